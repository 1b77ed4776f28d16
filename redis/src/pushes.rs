//! Receives the revocations of other processes as soon as they are published, and puts them in force in a cache.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ::redis::aio::{PubSubSink, PubSubStream};
use tokio::time::{Instant, timeout};

use super::{
    RedisStore,
    dial::Dialer,
    error::Failure,
    pauses::Pauses,
    reading::{Over, Reading},
};
use crate::telemetry;
use tower_bearer::revocation::WeakRevocationCache;

#[cfg(feature = "metrics")]
use crate::telemetry::names;
#[cfg(feature = "metrics")]
use tower_bearer::telemetry::{MetricSource, Metrics};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The counters of the pushes to one cache; see [`RedisStore::push_to`]. Dropping this value does not stop the pushes.
#[derive(Clone)]
pub struct Pushes(Arc<Counters>);

/// The counters since [`RedisStore::push_to`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushStats {
    /// Whether pushes arrive now.
    pub is_connected: bool,
    /// How many revocations were put in force.
    pub received: u64,
    /// How many connections were made, including the first.
    pub connections: u64,
    /// How often the count showed, on a working connection, that messages may have been missed.
    pub gaps: u64,
    /// How many messages could not be read: they were malformed, or not signed with the generation that this process
    /// knows. The count shows whether one of them was a revocation.
    pub unreadable: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    is_connected: AtomicBool,
    pub(super) received: AtomicU64,
    connections: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) unreadable: AtomicU64,
}

impl Pushes {
    pub(super) fn start(store: RedisStore, cache: WeakRevocationCache) -> Self {
        let counters = Arc::new(Counters::default());
        let listener = Listener { dialer: store.0.dialer.clone(), store, cache };
        tokio::spawn(listener.run(Arc::clone(&counters)));
        Self(counters)
    }

    /// Returns the counters, for operators and tests.
    #[must_use]
    pub fn stats(&self) -> PushStats {
        PushStats {
            is_connected: self.0.is_connected.load(Relaxed),
            received: self.0.received.load(Relaxed),
            connections: self.0.connections.load(Relaxed),
            gaps: self.0.gaps.load(Relaxed),
            unreadable: self.0.unreadable.load(Relaxed),
        }
    }
}

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
impl MetricSource for Pushes {
    fn report(&self, metrics: &mut Metrics) {
        if !metrics.is_new(&self.0) {
            return;
        }
        let stats = self.stats();
        metrics.add_gauge(names::PUSHES_CONNECTED, &[], stats.is_connected.into());
        metrics.add_counter(names::PUSHES, &[], stats.received);
        metrics.add_counter(names::PUSH_CONNECTIONS, &[], stats.connections);
        metrics.add_counter(names::PUSH_GAPS, &[], stats.gaps);
        metrics.add_counter(names::PUSHES_UNREADABLE, &[], stats.unreadable);
    }
}

impl fmt::Debug for Pushes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}

pub(super) struct Listener {
    dialer: Dialer,
    pub(super) store: RedisStore,
    pub(super) cache: WeakRevocationCache,
}

impl Listener {
    /// Runs until the cache is gone.
    async fn run(self, counters: Arc<Counters>) {
        let mut pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);
        while self.cache.is_alive() {
            // This reads the current generation, with which messages are signed. It does not matter here if there is
            // none.
            let _ = self.store.look_at_the_mark().await;
            let link = self.store.0.link.number();
            if let Ok((mut sink, mut stream)) = self.subscribe().await {
                let begin = Instant::now();
                counters.connections.fetch_add(1, Relaxed);
                counters.is_connected.store(true, Relaxed);
                telemetry::pushes_connected();
                let mut reading = Reading::new(&self, &counters, link);
                // Revocations before the subscription may have been missed. Revocations from now on are not missed.
                let told = self.cache.doubt();
                let ended =
                    if told { reading.read(&mut sink, &mut stream).await } else { Err(Over) };
                counters.is_connected.store(false, Relaxed);
                if ended.is_err() {
                    return;
                }
                telemetry::pushes_lost();
                pauses.held_since(begin);
                // The cause that has ended this connection may also have ended the connection of the store.
                self.store.0.link.suspect();
            }
            pauses.wait().await;
        }
    }

    async fn subscribe(&self) -> Result<(PubSubSink, PubSubStream), Failure> {
        let (mut sink, stream) = self.dialer.pub_sub().await?.split();
        self.confirm(&mut sink).await?;
        Ok((sink, stream))
    }

    /// Subscribes again, which changes nothing and is answered in order. So it works as a ping in both protocols: when
    /// the answer arrives, all messages that were published before have arrived.
    pub(super) async fn confirm(&self, sink: &mut PubSubSink) -> Result<(), Failure> {
        let subscribing = sink.subscribe(&self.store.0.space.channel);
        match timeout(self.dialer.command_timeout, subscribing).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::TimedOut),
        }
    }
}
