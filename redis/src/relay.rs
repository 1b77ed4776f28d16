//! Copies revocations from the outbox of a token store to Redis, and so to the fleet. Makes sure that Redis still has
//! what it has acknowledged.
//!
//! # Why nothing is lost for good
//!
//! For each fleet the store keeps a generation, a server, and how far Redis had come with them ([`Acknowledged`]).
//!
//! 1. **Entries leave the outbox in the transaction that raises the kept position.** They leave it only while the kept
//!    generation and the kept server are those that have acknowledged them.
//! 2. **Before a relay records anything, it compares.** Redis must have the kept generation, and the kept position must
//!    be its latest or be in its stream. If not, Redis has lost acknowledged entries, and the relay seeds. If the stream
//!    does not reach back that far, the relay cannot know, and seeds.
//! 3. **A comparison is valid for one connection and one generation.** The relay records over the same connection only,
//!    so on the same server. If the connection breaks, or Redis answers with another generation, the entries stay in
//!    the outbox and the relay compares again. With the lease, it also checks again and again whether the store still
//!    keeps that generation. If the relay finds the kept position on a different server than the kept one, it makes the
//!    store keep that server instead. It does so only if the store has kept nothing else meanwhile; otherwise it
//!    compares again. From then on a relay of the old server, however slow, cannot remove an entry, because the new
//!    server may lack that entry.
//! 4. **A seeding first replaces the kept generation, and then reads the store.** The entries that left the outbox
//!    before are among the entries that it reads. From then on a relay of an older generation, however slow, cannot
//!    remove an entry. So a seeding that stops in the middle is noticed, too: Redis does not have the generation that
//!    the store keeps.
//! 5. **Redis may be ahead of the store.** A relay that stops between the two sides has recorded an entry that is still
//!    in the outbox. The entry is recorded again, and the position in Redis counts up from the kept one.
//!
//! The store may keep nothing for a fleet whose Redis has a generation, because an older version of this crate or
//! [`RedisStore::initialise`] has set it up. The relay then seeds once. Lookups are answered meanwhile, unless the
//! lease expires during the seeding: the next relay then finds that the generations differ. If the generations differ,
//! lookups fail until the seeding has finished.
//!
//! A server is one process and its replication history. A restart ends it. A failover ends it too, even one that leads
//! back to the same process. But the relay cannot notice if the data of a running process is replaced, as `FLUSHALL`
//! and `RESTORE` do. To restore a backup, restart Redis with it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    connection::{jittered, start, wait},
    data_loss::Position,
    error::Failure,
    keys::{hex, sha256},
    store::{Lease, RedisStore, Seeding},
    telemetry::{self, WarningLimit},
};
use tower_bearer::{
    BackgroundTask,
    revocation::{
        Revocable, StoreError,
        outbox::{Acknowledged, Outbox, OutboxEntry},
    },
};

/// How many entries of the backlog are read at once.
const READ: usize = 10_000;

/// Copies the revocations of an [`Outbox`] into Redis, and from there to every process. Use it if that store is the
/// source of truth.
///
/// 1. **At least once.** The store writes a revocation and its outbox entry in one step. The relay removes the entry
///    only after Redis has confirmed it. If a process stops in between, the entry is copied again, which changes
///    nothing.
/// 2. **The relay seeds a Redis that is empty or has lost acknowledged entries.** It writes every revocation entry of
///    the store that is in force or starts later, before lookups are answered again. The store keeps what Redis has
///    acknowledged, and the relay compares at every connection. So the relay notices a loss even if no process is left
///    that remembers.
/// 3. **Run a relay in each process.** A relay publishes the entries of its own process at once. The backlog is the
///    entries that other processes have left behind. Only one relay at a time copies the backlog and seeds Redis; a
///    lease in Redis decides which. A relay that loses the lease while it works may repeat one batch of 200 entries. A
///    revocation that starts in the future is copied at once, with its start. Each process compares the start with its
///    own clock.
/// 4. **One store for each prefix, and one Redis for each store.** If two stores feed one fleet, they seed it in turn,
///    and each seeding lacks the entries that only the other store has. If relays of one store feed two servers under
///    one prefix, both servers are seeded in turn, again and again. Each server is unavailable meanwhile.
///
/// **Delay.** A relay publishes at once what its own process writes through the same store object or a clone of it.
/// That takes three round trips: to Redis, to Redis again and to the store. All other entries are in the backlog. These
/// are the entries of a process that has died or runs no relay, entries that could not be published, and all entries of
/// a store that does not implement [`new_entries`](Outbox::new_entries). An entry of the backlog waits for at most the
/// [interval](Self::with_interval), and for the entries before it. If the process with the lease dies, the lease first
/// has to expire, after 2 seconds. If it dies while it seeds, that seeding has to expire, after 30 seconds. If no relay
/// runs, or either side cannot be reached, revocations wait in the outbox.
///
/// The staleness bound of a cache counts from the revocation only if the token store itself answers its lookups. A
/// cache in front of Redis sees a revocation only after the relay has copied it. Its staleness bound counts from then.
pub struct OutboxRelay {
    publisher: Publisher,
    interval: Duration,
}

impl OutboxRelay {
    /// Copies from `store`, or a clone of it, to `redis`.
    #[must_use]
    pub fn new(store: impl Outbox, redis: RedisStore) -> Self {
        let publisher = Publisher::new(Arc::new(store), redis);
        Self { publisher, interval: Duration::from_millis(200) }
    }

    /// Sets how long an entry of the backlog waits at most until [`spawn`](Self::spawn) copies it. Has no effect on the
    /// entries that this process writes, which are published at once. Default: 200 milliseconds.
    ///
    /// A relay with the lease looks at the backlog twice in each interval. It copies the entries that it found the time
    /// before. It leaves newer entries alone, because the process that has written them is publishing them.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Starts a task that copies revocations until it is [stopped](BackgroundTask::shutdown). Call it in at least one
    /// process, better in each. **Dropping the returned handle does not stop the relay.** Keep a clone if you want to
    /// stop it or watch its [health](BackgroundTask::health).
    ///
    /// If the store or Redis fails, the relay tries again within the interval, as often as necessary. It reports the
    /// failure by the health of the task, and by the events and metrics of [`telemetry`]. Until it succeeds, no process
    /// learns of new revocations, and the staleness bound of their caches does not help.
    ///
    /// A stop loses nothing: the entries that Redis has not confirmed stay in the outbox, and the next relay copies
    /// them. If the stopped relay has the lease, the next one waits until that has expired, after 2 seconds. If it
    /// seeds, that seeding has to expire, after 30 seconds.
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    pub fn spawn(self) -> BackgroundTask {
        let task = BackgroundTask::new("outbox relay");
        let running = Running {
            relay: self,
            task: task.clone(),
            begin: Instant::now(),
            warnings: WarningLimit::default(),
        };
        start(&task, async move {
            tokio::join!(running.publish_new_entries(), running.copy_backlog());
        });
        task
    }

    /// Copies the entries up to the newest one that the last call found, if this relay has the lease. Returns whether it
    /// has.
    async fn look_at_the_backlog(
        &self,
        lease: &mut Option<Lease>,
        newest: &mut i64,
    ) -> Result<bool, StoreError> {
        let lease = match lease {
            Some(lease) => lease,
            none => none.insert(Lease::new()?),
        };
        if !lease.hold(&self.publisher.redis).await? {
            return Ok(false);
        }
        self.publisher.complete(Some(lease)).await?;
        (_, *newest) = self.copy_up_to(*newest, Some(lease)).await?;
        Ok(true)
    }

    /// Seeds Redis if necessary, copies all entries that are in the outbox by now, and returns how many it has copied.
    ///
    /// It needs no lease. Entries that another relay copies at the same time are copied twice.
    ///
    /// # Errors
    /// If either side fails, or another relay is seeding. Entries that Redis did not confirm stay in the outbox for the
    /// next call.
    pub async fn carry(&self) -> Result<usize, StoreError> {
        self.publisher.complete(None).await?;
        Ok(self.copy_up_to(i64::MAX, None).await?.0)
    }

    /// Writes every revocation entry of the store into Redis, and then a new generation; see [`RedisStore::seed`].
    ///
    /// Call it only while no relay [runs](Self::spawn). A relay that runs finds that the store keeps a different
    /// generation than Redis has. It removes the generation and ends this seeding, and lookups fail until it has seeded
    /// again.
    ///
    /// # Errors
    /// If either side fails, Redis loses its data or the connection meanwhile, or another relay is seeding.
    pub async fn seed(&self) -> Result<(), StoreError> {
        self.publisher.seed().await
    }

    /// Copies the entries up to `last`. Returns how many it has copied, and the newest entry that it has seen. It stops
    /// if another relay has the lease.
    async fn copy_up_to(
        &self,
        last: i64,
        lease: Option<&Lease>,
    ) -> Result<(usize, i64), StoreError> {
        let Publisher { store, redis, .. } = &self.publisher;
        let mut carried = 0;
        loop {
            let entries = store.outbox(READ).await?;
            let newest = entries.last().map_or(last, |entry| entry.id);
            let due = entries.partition_point(|entry| entry.id <= last);
            let due = entries.get(..due).unwrap_or_default();
            if due.is_empty() {
                return Ok((carried, newest));
            }
            for batch in due.chunks(BATCH) {
                if let Some(lease) = lease
                    && !lease.hold(redis).await?
                {
                    return Ok((carried, last));
                }
                self.publisher.publish(batch).await?;
                carried += batch.len();
            }
        }
    }
}

/// A relay in its task. An entry that is not copied is still in the outbox, so the task can be dropped at each `await`.
struct Running {
    relay: OutboxRelay,
    task: BackgroundTask,
    begin: Instant,
    warnings: WarningLimit,
}

impl Running {
    async fn publish_new_entries(&self) {
        let publisher = &self.relay.publisher;
        loop {
            let entries = publisher.store.new_entries().await;
            for batch in entries.chunks(BATCH) {
                let published = publisher.publish(batch).await;
                self.report(&published);
                if published.is_err() {
                    break;
                }
            }
        }
    }

    async fn copy_backlog(&self) {
        let (mut lease, mut newest) = (None, i64::MIN);
        loop {
            let copied = self.relay.look_at_the_backlog(&mut lease, &mut newest).await;
            match &copied {
                Ok(true) => self.report(&Ok(())),
                // Without the lease nothing was tried, so nothing has succeeded.
                Ok(false) => {}
                Err(error) => self.report_failure(error),
            }
            if let (Err(_), Some(lease)) = (copied, &lease) {
                // Another relay may still reach the store.
                lease.give_up(&self.relay.publisher.redis).await;
            }
            // Twice in each interval.
            wait(jittered((self.relay.interval / 2).max(Duration::from_millis(1)))).await;
        }
    }

    fn report(&self, outcome: &Result<(), StoreError>) {
        match outcome {
            Ok(()) => self.task.succeeded(),
            Err(error) => self.report_failure(error),
        }
    }

    fn report_failure(&self, error: &StoreError) {
        self.task.failed(error.kind());
        telemetry::not_carried(error.kind(), &self.warnings, self.begin.elapsed());
    }
}

impl fmt::Debug for OutboxRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxRelay")
            .field("redis", &self.publisher.redis)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// How many entries one step records. The number is small, so that other clients do not wait long for Redis.
const BATCH: usize = 200;

/// How often a relay compares again at once, because the store has kept another value meanwhile.
const COMPARISONS: usize = 5;

/// A token store, and the fleet that it feeds.
struct Publisher {
    store: Arc<dyn Outbox>,
    redis: RedisStore,
    /// The last comparison that found Redis complete.
    verified: Mutex<Option<Verified>>,
}

/// Redis was complete over this connection, with this generation.
#[derive(Clone)]
struct Verified {
    link: u64,
    generation: Arc<str>,
    /// The server behind the connection, as the store keeps it.
    server: Arc<str>,
}

/// Whether an earlier comparison over this connection and with this generation is enough, or the store must be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EarlierComparison {
    /// It is enough: `outbox_done` checks whether the store still keeps that generation and that server.
    IsEnough,
    /// The store must be asked, because a relay that seeds another server replaces the generation.
    AskStore,
}

/// The result of comparing Redis with what the store keeps as acknowledged.
enum Compared {
    Complete(Verified),
    /// Redis has no generation, or it has one and lacks entries that it had acknowledged under it.
    NotSeeded,
    /// The store keeps nothing for this fleet.
    Unknown,
    /// Redis has this generation, and the store keeps a different one.
    Differs {
        link: u64,
        generation: Arc<str>,
    },
}

impl Publisher {
    fn new(store: Arc<dyn Outbox>, redis: RedisStore) -> Self {
        Self { store, redis, verified: Mutex::default() }
    }

    /// Records up to [`BATCH`] entries in Redis and removes them from the outbox.
    async fn publish(&self, entries: &[OutboxEntry]) -> Result<(), StoreError> {
        let Compared::Complete(verified) = self.compare(EarlierComparison::IsEnough).await? else {
            // The entries stay in the outbox until Redis is seeded.
            return Err(Failure::NotSeeded.into());
        };
        let denials: Vec<_> = entries.iter().map(|entry| entry.revocation.clone()).collect();
        let position = self.redis.record(verified.link, &denials).await?;
        if position.generation != verified.generation {
            return Err(Failure::Overtaken.into());
        }
        let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
        if !self.store.outbox_done(&ids, &self.acknowledged(&verified, &position)).await? {
            // Another relay has found a different server, or is seeding one, or has seeded one.
            *self.verified() = None;
            return Err(Failure::Overtaken.into());
        }
        Ok(())
    }

    /// Seeds Redis unless it has everything that it had acknowledged.
    async fn complete(&self, lease: Option<&Lease>) -> Result<(), StoreError> {
        let only_if_missing = match self.compare(EarlierComparison::AskStore).await? {
            Compared::Complete(_) => return Ok(()),
            Compared::NotSeeded => true,
            Compared::Unknown => false,
            Compared::Differs { link, generation } => {
                self.redis.remove_generation(link, &Position::never(&generation)).await?;
                true
            }
        };
        match self.redis.begin_seeding(only_if_missing).await? {
            Some(seeding) => self.continue_seeding(seeding, lease).await,
            None => Ok(()),
        }
    }

    /// Seeds Redis, even if its data is complete.
    async fn seed(&self) -> Result<(), StoreError> {
        let seeding = self.redis.begin_seeding(false).await?.ok_or(Failure::SeedInterrupted)?;
        self.continue_seeding(seeding, None).await
    }

    async fn compare(&self, known: EarlierComparison) -> Result<Compared, StoreError> {
        for _ in 0..COMPARISONS {
            if let Some(compared) = self.compare_once(known).await? {
                return Ok(compared);
            }
        }
        Err(Failure::Overtaken.into())
    }

    /// Returns `None` if the store has kept another value meanwhile.
    async fn compare_once(&self, known: EarlierComparison) -> Result<Option<Compared>, StoreError> {
        let link = self.redis.0.link.current().await?;
        let position = match self.redis.read_position_over(link).await {
            Ok(position) => position,
            Err(Failure::NotSeeded | Failure::WentBackwards) => {
                return Ok(Some(Compared::NotSeeded));
            }
            Err(failure) => return Err(failure.into()),
        };
        let generation = position.generation;
        let verified = self.verified_over(link, &generation);
        if let (Some(verified), EarlierComparison::IsEnough) = (&verified, known) {
            return Ok(Some(Compared::Complete(verified.clone())));
        }
        let Some(kept) = self.store.acknowledged(&self.redis.0.keys.prefix).await? else {
            return Ok(Some(Compared::Unknown));
        };
        if kept.generation != fingerprint(&generation) {
            return Ok(Some(Compared::Differs { link, generation }));
        }
        if let Some(verified) = verified {
            return Ok(Some(Compared::Complete(verified)));
        }
        let server = self.redis.server_over(link).await?;
        let hash = u64::from_be_bytes(kept.hash);
        let position = Position { generation: Arc::clone(&generation), count: kept.count, hash };
        if !self.redis.still_has(link, position).await? {
            return Ok(Some(Compared::NotSeeded));
        }
        if kept.server != server && !self.store.change_server(&kept, &server).await? {
            return Ok(None);
        }
        let verified = Verified { link, generation, server: server.into() };
        *self.verified() = Some(verified.clone());
        Ok(Some(Compared::Complete(verified)))
    }

    async fn continue_seeding(
        &self,
        mut seeding: Seeding,
        lease: Option<&Lease>,
    ) -> Result<(), StoreError> {
        if let Err(error) = self.write_denials(&mut seeding, lease).await {
            // This lets another relay seed before the seeding expires.
            let _ = self.redis.abandon_seeding(&seeding).await;
            return Err(error);
        }
        Ok(self.redis.finish_seeding(seeding).await?)
    }

    async fn write_denials(
        &self,
        seeding: &mut Seeding,
        lease: Option<&Lease>,
    ) -> Result<(), StoreError> {
        // This comes before the entries are read, so that every entry that leaves the outbox is among them.
        let generation = fingerprint(&seeding.token);
        let server = self.redis.server_over(seeding.link).await?;
        let new = Acknowledged::new(&*self.redis.0.keys.prefix, generation, server, 0, [0; 8]);
        self.store.begin_generation(&new).await?;
        let mut after: Option<Revocable> = None;
        loop {
            let denials = self.store.denials(after.as_ref(), BATCH).await?;
            let Some(last) = denials.last() else { return Ok(()) };
            after = Some(last.thing().clone());
            self.redis.seed_batch(seeding, &denials).await?;
            if let Some(lease) = lease {
                // The seeding continues without the lease, because no other relay can seed meanwhile.
                lease.hold(&self.redis).await?;
            }
        }
    }

    fn acknowledged(&self, verified: &Verified, position: &Position) -> Acknowledged {
        let (prefix, generation) = (&*self.redis.0.keys.prefix, fingerprint(&position.generation));
        Acknowledged::new(
            prefix,
            generation,
            &*verified.server,
            position.count,
            position.hash.to_be_bytes(),
        )
    }

    fn verified_over(&self, link: u64, generation: &Arc<str>) -> Option<Verified> {
        let verified = self.verified().clone();
        verified.filter(|verified| verified.link == link && verified.generation == *generation)
    }

    fn verified(&self) -> MutexGuard<'_, Option<Verified>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a hash that identifies a generation. A reader of the hash cannot sign messages with it.
fn fingerprint(generation: &str) -> String {
    hex(&sha256(generation.as_bytes()))
}
