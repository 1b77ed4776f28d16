//! Keeps the whole deny-list in each process, so that no token costs a query. Takes a snapshot of the database, and
//! polls for changes.

mod entries;
pub(crate) mod follower;
pub(crate) mod listener;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use self::{
    entries::LocalCopy,
    follower::{Follower, Sink},
    listener::Listener,
};
use super::store::SqlStore;
use tower_bearer::{
    BackgroundTask, BoxFuture,
    claims::{Clock, SystemClock},
    revocation::{Lookup, RevocationEntry, RevocationStore, StoreError, Verdict},
};

#[cfg(feature = "metrics")]
use tower_bearer::telemetry::{MetricSource, Metrics};

/// All revocation entries of a database, kept in this process: a snapshot of the database, and the changes after it.
///
/// 1. **A lookup does not need a query**, for known and unknown tokens alike.
/// 2. **Lookups fail until the first snapshot is complete**, and whenever the data is older than the staleness bound.
///    The age of the data counts from when the poll was *sent* whose answer has brought the data up to date.
/// 3. **A revocation of another process is seen after the next poll.** By default there is a poll each second, or four
///    times in each bound if that is more often. PostgreSQL also notifies this process, so that it polls at once.
///    Notifications do not pass PgBouncer in transaction mode. Then polls alone work.
/// 4. **A row that is committed late is not missed**, however the transactions of several processes overlap.
/// 5. **Only time removes a revocation entry.** An entry is removed only if it is over by both the wall clock and the
///    monotonic clock. The database may have deleted its row before, or lost it.
/// 6. **If the server was started again, replaced or restored, the list reads everything again.** Meanwhile it uses
///    the data that it has, within the bound. [`DenyListStats::missing`] counts the entries that the database does not
///    have any more.
///
/// Use it behind a cache with a staleness bound of zero. Such a cache keeps no answers, and still makes a revocation of
/// this process visible to its next request. With a higher bound, the two bounds add up.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use tower_bearer::RevocationCache;
/// use tower_bearer_sql::{SqlDenyList, SqlStore};
///
/// let store = SqlStore::open("postgres://service@db.internal/tokens?sslmode=verify-full").await?;
/// let deny_list = SqlDenyList::follow(&store, Duration::from_secs(10));
/// let revocation = RevocationCache::new(deny_list, Duration::ZERO);
/// # Ok(()) }
/// ```
///
/// Tokens, sessions, keys and subjects are kept as 128 bits of a SHA-256. With a million revoked tokens, the chance
/// that one valid token is rejected because of a collision is 1 in 3 · 10^32.
///
/// With PostgreSQL it needs two more connections: one for polls, and one for notifications.
/// [`SqlStoreOptions::with_notifications`](crate::SqlStoreOptions::with_notifications) turns notifications off.
///
/// With the feature `metrics` it is a source of a [`Collector`](tower_bearer::telemetry::Collector). The metrics
/// `tower_bearer_deny_list_entries`, `tower_bearer_deny_list_current` and `tower_bearer_deny_list_snapshots_total` mean
/// the same as those of the list over Redis. `tower_bearer_deny_list_missing` is [`DenyListStats::missing`].
#[derive(Clone)]
pub struct SqlDenyList(Arc<Inner>);

struct Inner {
    store: SqlStore,
    settings: Settings,
    copy: Arc<LocalCopy>,
    notifications: Arc<AtomicU64>,
    task: BackgroundTask,
}

#[derive(Clone)]
struct Settings {
    bound: Duration,
    /// `None`: depends on the bound.
    interval: Option<Duration>,
    clock: Arc<dyn Clock>,
}

/// The state and the counters of an [`SqlDenyList`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DenyListStats {
    /// Whether lookups are answered.
    pub is_current: bool,
    /// How many revocation entries are kept, including those that are over but not swept yet.
    pub denials: u64,
    /// How many complete snapshots were taken.
    pub snapshots: u64,
    /// How many notifications have come. If it stays 0 while there are revocations, polls alone find them, as through
    /// PgBouncer in transaction mode.
    pub notifications: u64,
    /// How many entries that this process knows were missing in the latest snapshot. 0 after the first.
    ///
    /// If it is higher, the database has lost revocations, for example in a failover to an asynchronous standby. This
    /// process keeps them. A process that starts later does not have them. It also counts entries that
    /// [`SqlStore::delete_obsolete`] deleted too early.
    pub missing: u64,
}

/// Limits of the interval between polls.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(25);
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);

impl SqlDenyList {
    /// Begins to follow the revocations in `store`. Lookups are answered while the data is at most `bound` old.
    ///
    /// A [task](Self::task) follows them until the last clone is dropped.
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    #[must_use]
    pub fn follow(store: &SqlStore, bound: Duration) -> Self {
        let clock = Arc::new(SystemClock::default());
        Self::with(store, Settings { bound, interval: None, clock })
    }

    /// Takes the time from `clock`, and begins again from an empty list. Use the clock of the
    /// [`Authenticator`](tower_bearer::Authenticator). Call this before you use the list. Default: [`SystemClock`].
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        let clock = Arc::new(clock);
        Self::with(&self.0.store, Settings { clock, ..self.0.settings.clone() })
    }

    /// Sets how long to wait between polls, and begins again from an empty list. It is the delay of a revocation if
    /// there are no notifications. Call this before you use the list. Default: a quarter of the bound, at most one
    /// second. Values below 25 milliseconds are set to 25 milliseconds. With more than half of the bound, lookups may
    /// fail between two polls.
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    #[must_use]
    pub fn with_poll_interval(self, interval: Duration) -> Self {
        let interval = Some(interval.max(SHORTEST_INTERVAL));
        Self::with(&self.0.store, Settings { interval, ..self.0.settings.clone() })
    }

    fn with(store: &SqlStore, settings: Settings) -> Self {
        let copy = Arc::new(LocalCopy::new(settings.bound, Arc::clone(&settings.clock)));
        let task = BackgroundTask::new("deny-list");
        let interval = settings
            .interval
            .unwrap_or((settings.bound / 4).clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL));
        let notifications = Arc::default();
        let listener = Listener::new(Arc::clone(&notifications));
        let sink = Sink::Copy(Arc::clone(&copy));
        start(&task, Follower::new(&store.database, sink, &task, interval, listener));
        let store = store.clone();
        Self(Arc::new(Inner { store, settings, copy, notifications, task }))
    }

    /// Returns the task that keeps the list up to date. Its [health](BackgroundTask::health) shows whether it can read
    /// from the database.
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
        DenyListStats {
            is_current: copy.is_current(copy.now()),
            denials: copy.len(),
            snapshots: copy.snapshots(),
            notifications: self.0.notifications.load(Relaxed),
            missing: copy.missing(),
        }
    }
}

/// Starts the task of a follower.
///
/// # Panics
/// If it is called outside a Tokio runtime.
fn start(task: &BackgroundTask, follower: Follower) {
    let is_started = task.start(follower.run());
    assert!(is_started, "{} needs a Tokio runtime: make it inside one", task.name());
}

/// Gives new revocations to a cache; see [`SqlStore::push_to`].
pub(crate) fn push(store: &SqlStore, sink: Sink) -> BackgroundTask {
    let task = BackgroundTask::new("database changes");
    let listener = Listener::new(Arc::default());
    start(&task, Follower::new(&store.database, sink, &task, LONGEST_INTERVAL, listener));
    task
}

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
impl MetricSource for SqlDenyList {
    fn report(&self, metrics: &mut Metrics) {
        if !metrics.is_new(&self.0) {
            return;
        }
        let stats = self.stats();
        metrics.add_gauge("tower_bearer_deny_list_entries", &[], stats.denials);
        metrics.min_gauge("tower_bearer_deny_list_current", &[], stats.is_current.into());
        metrics.add_gauge("tower_bearer_deny_list_missing", &[], stats.missing);
        metrics.add_counter("tower_bearer_deny_list_snapshots_total", &[], stats.snapshots);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.stop();
    }
}

impl RevocationStore for SqlDenyList {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        let verdict = self.0.copy.look_up(lookup).map_err(StoreError::from);
        Box::pin(std::future::ready(verdict))
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.0.store.revoke(entry).await?;
            self.0.copy.add_written(entry);
            Ok(())
        })
    }
}

impl fmt::Debug for SqlDenyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlDenyList")
            .field("bound", &self.0.settings.bound)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
