//! Revocations of other processes, as they happen.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ::redis::{
    Msg,
    aio::{PubSubSink, PubSubStream},
};
use futures_util::{FutureExt, StreamExt};
use tokio::time::timeout;

use super::{
    RedisStore,
    dial::Dialer,
    error::Failure,
    link::{jittered, wait},
    names::Message,
};
use crate::{
    revocation::{cache::WeakCache, known::expires_at},
    telemetry,
};

/// How often the connection is tried out and the count compared.
const HEARTBEAT: Duration = Duration::from_secs(1);
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
    /// Times that something may have been missed on a connection that held: a gap in the count, or a message that
    /// could not be read.
    pub gaps: u64,
}

#[derive(Default)]
struct Counters {
    is_connected: AtomicBool,
    received: AtomicU64,
    connections: AtomicU64,
    gaps: AtomicU64,
}

impl Pushes {
    pub(super) fn start(store: RedisStore, cache: WeakCache) -> Self {
        let counters = Arc::new(Counters::default());
        let listener = Listener { dialer: store.0.dialer.clone(), store, cache };
        tokio::spawn(listener.run(Arc::clone(&counters)));
        Self(counters)
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn place(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Counters, for operators and tests.
    #[must_use]
    pub fn stats(&self) -> PushStats {
        PushStats {
            is_connected: self.0.is_connected.load(Relaxed),
            received: self.0.received.load(Relaxed),
            connections: self.0.connections.load(Relaxed),
            gaps: self.0.gaps.load(Relaxed),
        }
    }
}

impl fmt::Debug for Pushes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.stats().fmt(f)
    }
}

struct Listener {
    dialer: Dialer,
    store: RedisStore,
    cache: WeakCache,
}

/// Nobody is left who would be told.
struct Over;

impl Listener {
    /// Ends when the cache is gone.
    async fn run(self, counters: Arc<Counters>) {
        let mut pause = FIRST_PAUSE;
        while self.cache.is_alive() {
            if let Ok((mut sink, mut stream)) = self.subscribe().await {
                counters.connections.fetch_add(1, Relaxed);
                counters.is_connected.store(true, Relaxed);
                telemetry::pushes_connected();
                pause = FIRST_PAUSE;
                let mut reading = Reading { listener: &self, counters: &counters, last: None };
                // What was revoked before the subscription may have been missed; what is revoked from now on is not.
                let told = self.cache.doubt();
                let ended =
                    if told { reading.read(&mut sink, &mut stream).await } else { Err(Over) };
                counters.is_connected.store(false, Relaxed);
                if ended.is_err() {
                    return;
                }
                telemetry::pushes_lost();
            }
            wait(jittered(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn subscribe(&self) -> Result<(PubSubSink, PubSubStream), Failure> {
        let (mut sink, stream) = self.dialer.pub_sub().await?.split();
        self.confirm(&mut sink).await?;
        Ok((sink, stream))
    }

    /// Subscribing again changes nothing and is answered in its turn, which makes it a ping that both protocols have:
    /// when it is answered, all that was published before has arrived.
    async fn confirm(&self, sink: &mut PubSubSink) -> Result<(), Failure> {
        let subscribing = sink.subscribe(&self.store.0.space.channel);
        match timeout(self.dialer.command_timeout, subscribing).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::TimedOut),
        }
    }
}

/// One connection's worth of messages.
struct Reading<'a> {
    listener: &'a Listener,
    counters: &'a Counters,
    /// The number in the count up to which everything has arrived.
    last: Option<u64>,
}

impl Reading<'_> {
    async fn read(&mut self, sink: &mut PubSubSink, stream: &mut PubSubStream) -> Result<(), Over> {
        loop {
            match timeout(HEARTBEAT, stream.next()).await {
                Ok(Some(message)) => self.take(&message)?,
                Ok(None) => return Ok(()),
                Err(_) => {
                    if !self.beat(sink, stream).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether the connection lives; finds out what it should have brought.
    async fn beat(
        &mut self,
        sink: &mut PubSubSink,
        stream: &mut PubSubStream,
    ) -> Result<bool, Over> {
        if !self.listener.cache.is_alive() {
            return Err(Over);
        }
        let mark = self.listener.store.look_at_the_mark().await;
        if self.listener.confirm(sink).await.is_err() {
            return Ok(false);
        }
        while let Some(Some(message)) = stream.next().now_or_never() {
            self.take(&message)?;
        }
        if let Ok(mark) = mark {
            if self.last.is_some_and(|last| last < mark.count) {
                self.missed()?;
            }
            self.last = self.last.max(Some(mark.count));
        }
        Ok(true)
    }

    fn take(&mut self, message: &Msg) -> Result<(), Over> {
        let Ok((number, message)) = Message::read(message.get_payload_bytes()) else {
            return self.missed();
        };
        let follows = self.last.is_none_or(|last| number == last.wrapping_add(1));
        self.last = Some(number);
        let expires_at = expires_at(message.keep_until);
        if !self.listener.cache.apply(&message.what(), expires_at) {
            return Err(Over);
        }
        self.counters.received.fetch_add(1, Relaxed);
        if follows { Ok(()) } else { self.missed() }
    }

    fn missed(&self) -> Result<(), Over> {
        self.counters.gaps.fetch_add(1, Relaxed);
        telemetry::pushes_missed();
        if self.listener.cache.doubt() { Ok(()) } else { Err(Over) }
    }
}
