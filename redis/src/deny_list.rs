//! Keeps the whole deny-list in each process, so that no token costs a round trip. Takes snapshots of Redis, and
//! follows the stream of changes.

use std::{
    fmt,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use ::redis::{
    Cmd,
    streams::{StreamId, StreamReadReply},
};
use tokio::time::Instant;

use super::{
    connection::{Backoff, Connection, start},
    data_loss::{Position, PositionReply, read_hash},
    deny_list_entries::{EntrySet, LocalCopy},
    error::Failure,
    keys::{self, Dates, HashedName},
    snapshot::{PackedWriter, read_keys, read_packed},
    store::{RedisStore, random},
};
use tower_bearer::{
    BackgroundTask, BoxFuture,
    claims::{Clock, Moment, SystemClock},
    revocation::{Lookup, RevocationEntry, RevocationStore, StoreError, Verdict},
};

#[cfg(feature = "metrics")]
use super::telemetry::names as metric;
#[cfg(feature = "metrics")]
use tower_bearer::telemetry::{MetricSource, Metrics};

/// All revocation entries, kept in this process: a snapshot of Redis, and the stream of changes after it.
///
/// 1. **A lookup does not need a round trip**, for known and unknown tokens alike.
/// 2. **Lookups fail until the first snapshot is complete**, and whenever the data is older than the staleness bound.
///    The age of the data counts from when the question was *sent* whose answer has brought the data up to date.
/// 3. **After a disconnection, it continues where it stopped.** It follows the same server as its store. If the stream
///    does not reach back that far, or Redis was seeded again, it takes a new snapshot. It pauses between snapshots.
///    Meanwhile it uses the old data only within the staleness bound.
/// 4. **A process that starts reads a large set quickly.** From 100 000 entries on, one process writes them into Redis in
///    a packed form, of 40 bytes for each entry, and replaces it from time to time. Processes that start later read the
///    packed form and the changes after it: a million entries take less than half a second. Without it, or if it is too
///    old, they read every key, which takes seconds.
/// 5. **It notices a loss of data in Redis** as [`RedisStore`] does. Lookups then fail at once. A snapshot counts only
///    if no data was lost while it was taken.
/// 6. **Only time removes a revocation entry.** An entry is removed only if it is over by both the wall clock and the
///    monotonic clock. So a wall clock that jumps does not remove any entry.
///
/// Use it behind a cache with a staleness bound of zero. Such a cache keeps no answers, and still makes a revocation of
/// this process visible to its next request. With a higher bound, the two bounds add up.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use tower_bearer::RevocationCache;
/// use tower_bearer_redis::{DenyList, RedisStore};
///
/// let store = RedisStore::connect("redis://redis.internal").await?;
/// let deny_list = DenyList::follow(&store, Duration::from_secs(10));
/// let revocation = RevocationCache::new(deny_list, Duration::ZERO);
/// # Ok(()) }
/// ```
///
/// Tokens, sessions, keys and subjects are kept as 128 bits of a SHA-256. With a million revoked tokens, the chance
/// that one valid token is rejected because of a collision is 1 in 3 · 10^32. A snapshot reads every key of the
/// database (`SCAN`), so the database should hold few other keys. The ACL user also needs `+xread +scan`.
#[derive(Clone)]
pub struct DenyList(Arc<Inner>);

struct Inner {
    store: RedisStore,
    copy: Arc<LocalCopy>,
    task: BackgroundTask,
}

/// The state and the counters of a [`DenyList`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DenyListStats {
    /// Whether lookups are answered.
    pub is_current: bool,
    /// How many revocation entries are kept, including those that are over but not swept yet.
    pub denials: u64,
    /// How many complete snapshots were taken.
    pub snapshots: u64,
}

impl DenyList {
    /// Begins to follow the revocations in `store`. Lookups are answered while the data is at most `bound` old.
    ///
    /// A [task](Self::task) follows them, on a separate connection, until the last clone is dropped. With a bound of
    /// less than four seconds it asks Redis more often: four times in each bound, and at most 40 times a second. So it
    /// cannot keep up with a bound below 50 milliseconds, and lookups fail.
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    #[must_use]
    pub fn follow(store: &RedisStore, bound: Duration) -> Self {
        Self::with(store, bound, Arc::new(SystemClock::default()))
    }

    /// Takes the time from `clock`, and begins again from an empty list. Use the clock of the
    /// [`Authenticator`](tower_bearer::Authenticator). Call this before you use the list. Default: [`SystemClock`].
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        Self::with(&self.0.store, self.0.copy.bound, Arc::new(clock))
    }

    fn with(store: &RedisStore, bound: Duration, clock: Arc<dyn Clock>) -> Self {
        let copy = Arc::new(LocalCopy::new(bound, clock));
        let task = BackgroundTask::new("deny-list");
        let follower = Follower::new(store.clone(), Arc::clone(&copy), task.clone());
        start(&task, follower.run());
        Self(Arc::new(Inner { store: store.clone(), copy, task }))
    }

    /// Returns the task that keeps the list up to date. Its [health](BackgroundTask::health) shows whether it can read
    /// from Redis.
    ///
    /// If it is stopped, the list becomes older than the bound, and every lookup fails from then on. The task stops by
    /// itself when the last clone of the list is dropped.
    #[must_use]
    pub fn task(&self) -> BackgroundTask {
        self.0.task.clone()
    }

    /// Returns the state and the counters, for operators and tests.
    #[must_use]
    pub fn stats(&self) -> DenyListStats {
        let copy = &self.0.copy;
        let denials = copy.set.read().unwrap_or_else(PoisonError::into_inner).len() as u64;
        let snapshots = copy.snapshots.load(Relaxed);
        let is_current = copy.is_current(Moment::of(&*copy.clock));
        DenyListStats { is_current, denials, snapshots }
    }
}

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
impl MetricSource for DenyList {
    fn report(&self, metrics: &mut Metrics) {
        if !metrics.is_new(&self.0) {
            return;
        }
        let stats = self.stats();
        metrics.add_gauge(metric::DENY_LIST_ENTRIES, &[], stats.denials);
        metrics.min_gauge(metric::DENY_LIST_CURRENT, &[], stats.is_current.into());
        metrics.add_counter(metric::DENY_LIST_SNAPSHOTS, &[], stats.snapshots);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.stop();
    }
}

impl RevocationStore for DenyList {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        let verdict = self.0.copy.look_up(lookup).map_err(StoreError::from);
        Box::pin(std::future::ready(verdict))
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.store.revoke(entry)
    }
}

impl fmt::Debug for DenyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenyList")
            .field("bound", &self.0.copy.bound)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// How many changes are read at once.
const BATCH: usize = 1_000;

/// Limits of how long Redis is asked to wait for a change.
const SHORTEST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Backoff between attempts to follow.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Backoff between snapshots. Each snapshot is work for Redis, and after a new generation the whole fleet takes one.
const FIRST_SNAPSHOT_PAUSE: Duration = Duration::from_millis(400);
const LONGEST_SNAPSHOT_PAUSE: Duration = Duration::from_secs(2);

/// Keeps the entries up to date: takes snapshots, and follows the stream of changes.
struct Follower {
    store: RedisStore,
    copy: Arc<LocalCopy>,
    task: BackgroundTask,
    /// The position of the data that the set is a copy of. `None` before the first snapshot.
    read_up_to: Option<Position>,
    /// A packed snapshot that has not caught up yet. Lookups do not see it.
    catching_up: Option<EntrySet>,
    packed: PackedWriter,
    /// Whether the next snapshot is read key by key, because the stream did not reach back to a packed one.
    reads_keys: bool,
    /// The count of Redis was higher than the last entry of the stream. Once may be chance.
    is_behind: bool,
    snapshot_backoff: Backoff,
    /// When the last snapshot was complete. `None` before the first one.
    snapshot_at: Option<Instant>,
}

/// A connection, and the number of the store's connection when it was made.
struct Followed {
    connection: Connection,
    link: u64,
    block: Duration,
}

impl Follower {
    fn new(store: RedisStore, copy: Arc<LocalCopy>, task: BackgroundTask) -> Self {
        let snapshot_backoff =
            Backoff::new(FIRST_SNAPSHOT_PAUSE, LONGEST_SNAPSHOT_PAUSE.max(copy.bound / 2));
        Self {
            store,
            copy,
            task,
            read_up_to: None,
            catching_up: None,
            packed: PackedWriter::default(),
            reads_keys: false,
            is_behind: false,
            snapshot_backoff,
            snapshot_at: None,
        }
    }

    async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let begin = Instant::now();
            let failure = self.follow().await;
            self.task.failed(failure.kind());
            match failure {
                // The set is not a copy of the data in Redis any more.
                Failure::NotSeeded | Failure::WentBackwards | Failure::Unreadable => {
                    self.forget_position();
                    self.copy.set_as_of(None);
                }
                // The set may be used until it is older than the bound.
                _ => {}
            }
            backoff.reset_if_stable(begin);
            backoff.wait().await;
        }
    }

    /// Follows until there is a failure, and returns it.
    async fn follow(&mut self) -> Failure {
        // The next connection may lead to another server, which lacks the parts that were written.
        self.packed.abandon();
        match self.connect().await {
            Ok(followed) => loop {
                if let Err(failure) = self.round(&followed).await {
                    return failure;
                }
            },
            Err(failure) => failure,
        }
    }

    async fn connect(&self) -> Result<Followed, Failure> {
        let store = &self.store.0;
        let link = store.link.number().ok_or(Failure::Down(None))?;
        let block = (self.copy.bound / 4).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let connection = store.dialer.with_more_time(block).connection().await?;
        // This connection may lead to a different server than the connection of the store.
        store.health.check_server(&connection).await??;
        Ok(Followed { connection, link, block })
    }

    /// Checks that the store still has the same connection. The store notices, for both, if the server was replaced or
    /// may not be used any more.
    fn check_link(&self, followed: &Followed) -> Result<(), Failure> {
        let is_it = self.store.0.link.number() == Some(followed.link);
        if is_it { Ok(()) } else { Err(Failure::Down(None)) }
    }

    async fn round(&mut self, followed: &Followed) -> Result<(), Failure> {
        self.check_link(followed)?;
        let Some(read_up_to) = self.read_up_to.clone() else {
            return self.begin_with_snapshot(followed).await;
        };
        let before = self.store.0.known.latest();
        let asked = Moment::of(&*self.copy.clock);
        let mut both = ::redis::pipe();
        both.add_command(self.read(read_up_to.count, followed.block));
        both.add_command(Position::command(&self.store.0.keys));
        let (changes, position): (Option<StreamReadReply>, PositionReply) =
            both.query_async(&mut followed.connection.0.clone()).await?;
        self.check_link(followed)?;
        let health = &self.store.0.health;
        let position = health
            .check_position(&followed.connection, before.as_ref(), Position::of(&position)?)
            .await?;
        if position.generation != read_up_to.generation {
            self.forget_position();
            return Ok(());
        }
        let changes = changes.map(|changes| changes.keys).unwrap_or_default();
        let changes: Vec<_> = changes.into_iter().flat_map(|stream| stream.ids).collect();
        if changes.is_empty() && position.count > read_up_to.count {
            // A revocation was recorded just after the stream was read, or the stream is gone.
            if self.is_behind {
                self.forget_position();
            }
            self.is_behind = !self.is_behind;
            return Ok(());
        }
        self.is_behind = false;
        let is_other = changes.is_empty() && position != read_up_to;
        let Some((read_up_to, denials)) = read_changes(&changes, read_up_to)?.filter(|_| !is_other)
        else {
            self.forget_position();
            return Ok(());
        };
        self.insert(denials);
        self.read_up_to = Some(read_up_to);
        if changes.len() < BATCH {
            self.report_up_to_date(asked);
            self.keep_packed(followed).await;
        }
        Ok(())
    }

    /// The stream does not reach back to the position of the set. The next round takes a snapshot.
    fn forget_position(&mut self) {
        self.read_up_to = None;
        // If it was packed, the next one would be the same.
        self.reads_keys = self.catching_up.take().is_some();
    }

    async fn begin_with_snapshot(&mut self, followed: &Followed) -> Result<(), Failure> {
        if let Some(last) = self.snapshot_at {
            self.snapshot_backoff.reset_if_stable(last);
            self.snapshot_backoff.wait().await;
        }
        let health = &self.store.0.health;
        let asked = Moment::of(&*self.copy.clock);
        let packed = match self.reads_keys {
            true => None,
            false => read_packed(health, &followed.connection, asked).await?,
        };
        if let Some((position, set)) = packed {
            self.check_link(followed)?;
            self.packed.has_read(position.clone());
            self.catching_up = Some(set);
            self.read_up_to = Some(position);
            return Ok(());
        }
        let (position, set) = read_keys(health, &followed.connection, asked).await?;
        self.check_link(followed)?;
        self.reads_keys = false;
        self.read_up_to = Some(position);
        self.publish(set);
        self.report_up_to_date(asked);
        Ok(())
    }

    /// Lookups read this set from now on.
    fn publish(&mut self, set: EntrySet) {
        *self.copy.set.write().unwrap_or_else(PoisonError::into_inner) = set;
        self.copy.snapshots.fetch_add(1, Relaxed);
        self.snapshot_at = Some(Instant::now());
    }

    fn report_up_to_date(&mut self, asked: Moment) {
        if let Some(set) = self.catching_up.take() {
            self.publish(set);
        }
        self.copy.set_as_of(Some(asked));
        self.task.succeeded();
    }

    fn insert(&mut self, denials: Vec<(HashedName, Dates)>) {
        if denials.is_empty() {
            return;
        }
        let now = Moment::of(&*self.copy.clock);
        let mut current;
        let set = match &mut self.catching_up {
            Some(set) => set,
            None => {
                current = self.copy.set.write().unwrap_or_else(PoisonError::into_inner);
                &mut *current
            }
        };
        for (name, dates) in denials {
            set.insert(name, dates, now);
        }
    }

    /// Writes the packed snapshot if it is missing or old: one part in each round. If Redis rejects it, processes that
    /// start later read key by key. If the connection has failed, the next round notices that.
    async fn keep_packed(&mut self, followed: &Followed) {
        let (keys, connection) = (&self.store.0.keys, &followed.connection);
        if self.packed.is_writing() {
            let _ = self.packed.write_next(keys, connection).await;
            return;
        }
        let Some(position) = &self.read_up_to else { return };
        let set = || self.copy.set.read().unwrap_or_else(PoisonError::into_inner);
        if !self.packed.is_due(set().len(), position) {
            return;
        }
        let may_write = self.packed.may_write(keys, connection, position).await;
        if let (Ok(true), Ok(id)) = (may_write, random()) {
            self.packed.begin(keys, id, &set(), position.clone());
        }
    }

    fn read(&self, last: u64, block: Duration) -> Cmd {
        let mut read = ::redis::cmd("XREAD");
        // Lookups wait for a packed snapshot to catch up, and one is written between two rounds.
        let is_in_haste = self.catching_up.is_some() || self.packed.is_writing();
        let block = if is_in_haste { Duration::ZERO } else { block };
        read.arg("COUNT").arg(BATCH).arg("BLOCK").arg(block.as_millis().max(1).to_string());
        read.arg("STREAMS").arg(&self.store.0.keys.changes).arg(format!("{last}-0"));
        read
    }
}

/// The position of the last change, and the revocation entries.
type Changes = (Position, Vec<(HashedName, Dates)>);

/// Returns `None` if the stream does not reach back to the position of the set.
fn read_changes(changes: &[StreamId], mut last: Position) -> Result<Option<Changes>, Failure> {
    let mut denials = Vec::with_capacity(changes.len());
    for change in changes {
        let number = change.id.split('-').next().unwrap_or_default();
        if keys::number(number.as_bytes())? != last.count.wrapping_add(1) {
            return Ok(None);
        }
        let field = |name: &str| change.get::<Vec<u8>>(name).ok_or(Failure::Unreadable);
        last.count = last.count.wrapping_add(1);
        last.hash = read_hash(&field("t")?)?;
        denials.push((HashedName::read(&field("n")?)?, Dates::read(&field("d")?)?));
    }
    Ok(Some((last, denials)))
}
