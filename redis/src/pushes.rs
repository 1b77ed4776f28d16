//! Receives the revocations of other processes as soon as they are published, and puts them in force in a cache.

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
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{
    connection::{Backoff, Dialer, start},
    error::Failure,
    keys::Message,
    store::RedisStore,
    telemetry,
};
use tower_bearer::{BackgroundTask, RevocationCache, revocation::WeakRevocationCache};

#[cfg(feature = "metrics")]
use super::telemetry::names;
#[cfg(feature = "metrics")]
use tower_bearer::telemetry::{MetricSource, Metrics};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The counters of the pushes to one cache; see [`RedisStore::push_to`]. Dropping this value does not stop the pushes,
/// and [`task`](Self::task) does.
#[derive(Clone)]
pub struct Pushes {
    counters: Arc<Counters>,
    task: BackgroundTask,
}

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
struct Counters {
    is_connected: AtomicBool,
    received: AtomicU64,
    connections: AtomicU64,
    gaps: AtomicU64,
    unreadable: AtomicU64,
}

/// While it exists, the counters say that pushes arrive. A task that is stopped drops it, too.
struct Connected<'a>(&'a Counters);

impl<'a> Connected<'a> {
    fn new(counters: &'a Counters) -> Self {
        counters.is_connected.store(true, Relaxed);
        Self(counters)
    }
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.0.is_connected.store(false, Relaxed);
    }
}

impl Pushes {
    fn start(store: RedisStore, cache: WeakRevocationCache) -> Self {
        let (task, counters) = (BackgroundTask::new("revocation pushes"), Arc::default());
        let listener = Listener { dialer: store.0.dialer.clone(), store, cache };
        start(&task, listener.run(Arc::clone(&counters), task.clone()));
        Self { counters, task }
    }

    /// Returns the task that receives the pushes. Its [health](BackgroundTask::health) shows whether the connection
    /// fails.
    ///
    /// If it is stopped, revocations of other processes are seen after the staleness bound of the cache.
    #[must_use]
    pub fn task(&self) -> BackgroundTask {
        self.task.clone()
    }

    /// Returns the counters, for operators and tests.
    #[must_use]
    pub fn stats(&self) -> PushStats {
        PushStats {
            is_connected: self.counters.is_connected.load(Relaxed),
            received: self.counters.received.load(Relaxed),
            connections: self.counters.connections.load(Relaxed),
            gaps: self.counters.gaps.load(Relaxed),
            unreadable: self.counters.unreadable.load(Relaxed),
        }
    }
}

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
impl MetricSource for Pushes {
    fn report(&self, metrics: &mut Metrics) {
        if !metrics.is_new(&self.counters) {
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

impl RedisStore {
    /// Puts the revocations of other processes in force in `cache` as soon as they are published. Marks the cached
    /// answers as stale if a message may have been missed.
    ///
    /// A [task](Pushes::task) does this, until it is stopped, the last clone of the cache is dropped or the runtime
    /// ends. It uses a separate connection. Call this once for each cache. That is the cache of this store, or a cache
    /// in front of another store whose revocations a relay copies to this Redis.
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    pub fn push_to(&self, cache: &RevocationCache) -> Pushes {
        Pushes::start(self.clone(), cache.downgrade())
    }
}

struct Listener {
    dialer: Dialer,
    store: RedisStore,
    cache: WeakRevocationCache,
}

impl Listener {
    /// Runs until the cache is gone.
    async fn run(self, counters: Arc<Counters>, task: BackgroundTask) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        while self.cache.is_alive() {
            // This reads the current generation, with which messages are signed. It does not matter here if there is
            // none.
            let _ = self.store.read_position().await;
            let link = self.store.0.link.number();
            match self.subscribe().await {
                Err(failure) => task.failed(failure.kind()),
                Ok((mut sink, mut stream)) => {
                    let begin = Instant::now();
                    counters.connections.fetch_add(1, Relaxed);
                    let connected = Connected::new(&counters);
                    task.succeeded();
                    telemetry::pushes_connected();
                    let mut reading = Reading::new(&self, &counters, link);
                    // Revocations before the subscription may have been missed. Revocations from now on are not missed.
                    let is_alive = self.cache.doubt();
                    let ended = if is_alive {
                        reading.read(&mut sink, &mut stream).await
                    } else {
                        Err(CacheDropped)
                    };
                    drop(connected);
                    if ended.is_err() {
                        return;
                    }
                    telemetry::pushes_lost();
                    task.failed(Failure::Down(None).kind());
                    backoff.reset_if_stable(begin);
                    // The cause that has ended this connection may also have ended the connection of the store.
                    self.store.0.link.suspect();
                }
            }
            backoff.wait().await;
        }
    }

    async fn subscribe(&self) -> Result<(PubSubSink, PubSubStream), Failure> {
        let (mut sink, stream) = self.dialer.pub_sub().await?.split();
        self.confirm(&mut sink).await?;
        Ok((sink, stream))
    }

    /// Subscribes again, which changes nothing and is answered in order. So it works as a ping in both protocols: when
    /// the answer arrives, all messages that were published before have arrived.
    async fn confirm(&self, sink: &mut PubSubSink) -> Result<(), Failure> {
        let subscribing = sink.subscribe(&self.store.0.keys.channel);
        match timeout(self.dialer.command_timeout, subscribing).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::TimedOut),
        }
    }
}

/// How often the connection is checked and the count is compared.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The cache is gone, so no messages are needed any more.
struct CacheDropped;

/// Reads the messages of one connection.
///
/// The numbers in messages are not signed. So a forged number can cause a doubt and nothing else, and only once between
/// two heartbeats.
struct Reading<'a> {
    listener: &'a Listener,
    counters: &'a Counters,
    /// The number of the store's connection when this connection was made.
    link: Option<u64>,
    /// The generation and the number up to which all messages have arrived. `None` before the first message or
    /// heartbeat.
    last: Option<(Arc<str>, u64)>,
    /// The value of `last` at the previous heartbeat.
    last_at_beat: Option<(Arc<str>, u64)>,
    /// A message could not be read before there was a number to compare with. So it is not known whether a revocation
    /// is missing.
    is_unsure: bool,
    /// There was a doubt since the previous heartbeat. A further one has to wait for the next heartbeat, see
    /// `owes_a_doubt`.
    has_doubted: bool,
    owes_a_doubt: bool,
}

impl<'a> Reading<'a> {
    fn new(listener: &'a Listener, counters: &'a Counters, link: Option<u64>) -> Self {
        Self {
            listener,
            counters,
            link,
            last: None,
            last_at_beat: None,
            is_unsure: false,
            has_doubted: false,
            owes_a_doubt: false,
        }
    }

    async fn read(
        &mut self,
        sink: &mut PubSubSink,
        stream: &mut PubSubStream,
    ) -> Result<(), CacheDropped> {
        let mut beats = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Heartbeats come first, however many messages there are.
                biased;
                _ = beats.tick() => {
                    if !self.beat(sink, stream).await? {
                        return Ok(());
                    }
                }
                message = stream.next() => match message {
                    Some(message) => self.take(&message)?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Returns whether the connection still works and belongs to the same connection of the store. Compares the count
    /// in Redis with the messages that have arrived.
    async fn beat(
        &mut self,
        sink: &mut PubSubSink,
        stream: &mut PubSubStream,
    ) -> Result<bool, CacheDropped> {
        if !self.listener.cache.is_alive() {
            return Err(CacheDropped);
        }
        let store = &self.listener.store;
        let position = store.read_position().await;
        let link = store.0.link.number();
        if link.is_some() && link != self.link {
            return Ok(false);
        }
        if self.listener.confirm(sink).await.is_err() {
            return Ok(false);
        }
        while let Some(Some(message)) = stream.next().now_or_never() {
            self.take(&message)?;
        }
        let owes_a_doubt = std::mem::take(&mut self.owes_a_doubt);
        self.has_doubted = false;
        if let Ok(position) = position {
            self.compare(position.generation, position.count)?;
        }
        if owes_a_doubt && !self.has_doubted {
            self.missed()?;
        }
        Ok(true)
    }

    /// Compares the messages that have arrived with the count of Redis. That count was read before the confirmation
    /// that all earlier messages have arrived.
    fn compare(&mut self, generation: Arc<str>, count: u64) -> Result<(), CacheDropped> {
        let of_it = |last: &Option<(Arc<str>, u64)>| {
            last.as_ref().filter(|(of, _)| *of == generation).map(|(_, number)| *number)
        };
        let is_new = self.last.is_none();
        let (last, before) = (of_it(&self.last), of_it(&self.last_at_beat));
        let arrived = match last {
            // A number that arrived a heartbeat ago and that Redis has not counted by now was forged.
            Some(_) if before.is_some_and(|before| count < before) => None,
            Some(last) if last < count => None,
            last => last,
        };
        let is_missing = arrived.is_none() && (!is_new || self.is_unsure);
        self.last = Some((generation, arrived.unwrap_or(count)));
        self.last_at_beat.clone_from(&self.last);
        self.is_unsure = false;
        if is_missing { self.missed() } else { Ok(()) }
    }

    fn take(&mut self, message: &Msg) -> Result<(), CacheDropped> {
        let Some(position) = self.listener.store.0.known.latest() else {
            return self.could_not_read();
        };
        let generation = position.generation;
        let Ok((number, message)) = Message::read(message.get_payload_bytes(), &generation) else {
            return self.could_not_read();
        };
        let follows = match &self.last {
            None => true,
            Some((of, last)) => *of == generation && number == last.wrapping_add(1),
        };
        let is_older =
            self.last.as_ref().is_some_and(|(of, last)| *of == generation && number <= *last);
        if !is_older {
            self.last = Some((generation, number));
        }
        if !self.listener.cache.apply(&message.entry()) {
            return Err(CacheDropped);
        }
        self.counters.received.fetch_add(1, Relaxed);
        if follows { Ok(()) } else { self.missed() }
    }

    fn could_not_read(&mut self) -> Result<(), CacheDropped> {
        self.counters.unreadable.fetch_add(1, Relaxed);
        self.is_unsure |= self.last.is_none();
        if self.listener.cache.is_alive() { Ok(()) } else { Err(CacheDropped) }
    }

    fn missed(&mut self) -> Result<(), CacheDropped> {
        if self.has_doubted {
            self.owes_a_doubt = true;
            return Ok(());
        }
        self.has_doubted = true;
        self.counters.gaps.fetch_add(1, Relaxed);
        telemetry::pushes_missed();
        if self.listener.cache.doubt() { Ok(()) } else { Err(CacheDropped) }
    }
}
