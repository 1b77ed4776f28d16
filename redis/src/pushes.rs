//! Revocations of other processes, as they happen.

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

/// How pushes to one cache are getting on; see [`RedisStore::push_to`]. Dropping it changes nothing.
#[derive(Clone)]
pub struct Pushes(Arc<Counters>);

/// Counted since [`RedisStore::push_to`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushStats {
    /// Pushes arrive at the moment.
    pub is_connected: bool,
    /// Revocations that were put in force.
    pub received: u64,
    /// Connections that were made, the first included.
    pub connections: u64,
    /// Times that something may have been missed on a connection that held, by the count.
    pub gaps: u64,
    /// Messages that could not be read: nonsense, or not signed by a process that knows the generation which this one
    /// knows. Whether one of them was a revocation is told by the count.
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

    /// Counters, for operators and tests.
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
    /// Ends when the cache is gone.
    async fn run(self, counters: Arc<Counters>) {
        let mut pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);
        while self.cache.is_alive() {
            // The generation of the moment, which messages are signed with. Whether there is one is no matter here.
            let _ = self.store.look_at_the_mark().await;
            let link = self.store.0.link.number();
            if let Ok((mut sink, mut stream)) = self.subscribe().await {
                let begin = Instant::now();
                counters.connections.fetch_add(1, Relaxed);
                counters.is_connected.store(true, Relaxed);
                telemetry::pushes_connected();
                let mut reading = Reading::new(&self, &counters, link);
                // What was revoked before the subscription may have been missed; what is revoked from now on is not.
                let told = self.cache.doubt();
                let ended =
                    if told { reading.read(&mut sink, &mut stream).await } else { Err(Over) };
                counters.is_connected.store(false, Relaxed);
                if ended.is_err() {
                    return;
                }
                telemetry::pushes_lost();
                pauses.held_since(begin);
                // Whatever has ended this one may have ended that one, too.
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

    /// Subscribing again changes nothing and is answered in its turn, which makes it a ping that both protocols have:
    /// when it is answered, all that was published before has arrived.
    pub(super) async fn confirm(&self, sink: &mut PubSubSink) -> Result<(), Failure> {
        let subscribing = sink.subscribe(&self.store.0.space.channel);
        match timeout(self.dialer.command_timeout, subscribing).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::TimedOut),
        }
    }
}
