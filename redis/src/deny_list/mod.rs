//! Keeps the whole deny-list in each process, so that no token costs a round trip.

mod follower;
mod set;
mod snapshot;

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::task::JoinHandle;

use self::{follower::Follower, set::Set};
use super::{RedisStore, error::Failure, names::Name};
use tower_bearer::{
    BoxFuture, UnixTime,
    claims::{Clock, Moment, SystemClock},
    revocation::{Lookup, RevocationEntry, RevocationStore, StoreError, Verdict},
};

#[cfg(feature = "metrics")]
use crate::telemetry::names as metric;
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
/// 4. **It notices a loss of data in Redis** as [`RedisStore`] does. Lookups then fail at once. A snapshot counts only
///    if no data was lost while it was taken.
/// 5. **Only time removes a revocation entry.** An entry is removed only if it is over by both the wall clock and the
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
    held: Arc<Held>,
    follower: JoinHandle<()>,
}

/// The data that the follower writes and lookups read.
struct Held {
    clock: Arc<dyn Clock>,
    bound: Duration,
    set: RwLock<Set>,
    /// When the question was sent whose answer has brought the set up to date.
    as_of: Mutex<Option<Moment>>,
    snapshots: AtomicU64,
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
    /// A task of the runtime follows them, on a separate connection, until the last clone is dropped. With a bound of
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
        Self::with(&self.0.store, self.0.held.bound, Arc::new(clock))
    }

    fn with(store: &RedisStore, bound: Duration, clock: Arc<dyn Clock>) -> Self {
        let held = Arc::new(Held {
            clock,
            bound,
            set: RwLock::default(),
            as_of: Mutex::new(None),
            snapshots: AtomicU64::new(0),
        });
        let follower = Follower::new(store.clone(), Arc::clone(&held));
        let follower = tokio::spawn(follower.run());
        Self(Arc::new(Inner { store: store.clone(), held, follower }))
    }

    /// Returns the state and the counters, for operators and tests.
    #[must_use]
    pub fn stats(&self) -> DenyListStats {
        let held = &self.0.held;
        let denials = held.set.read().unwrap_or_else(PoisonError::into_inner).len() as u64;
        let snapshots = held.snapshots.load(Relaxed);
        let is_current = held.is_current(Moment::of(&*held.clock));
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

impl Held {
    fn is_current(&self, now: Moment) -> bool {
        let as_of = *self.as_of.lock().unwrap_or_else(PoisonError::into_inner);
        as_of.is_some_and(|as_of| now.age_of(as_of) <= self.bound)
    }

    fn set_as_of(&self, as_of: Option<Moment>) {
        *self.as_of.lock().unwrap_or_else(PoisonError::into_inner) = as_of;
    }

    fn judge(&self, lookup: &Lookup) -> Result<Verdict, Failure> {
        let now = Moment::of(&*self.clock);
        // The age is checked before the set is read. The data may become too old while the set is read, but it was
        // current when the request came.
        if !self.is_current(now) {
            return Err(Failure::OutOfDate);
        }
        let names: Vec<Name> = lookup.things().iter().map(Name::of).collect();
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let issued_at = lookup.issued_at().as_secs();
        let starts = names.iter().filter_map(|name| set.denied_from(*name, issued_at, now));
        Ok(Verdict::starting_at(starts.min().map(UnixTime::from_secs), now.wall()))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl RevocationStore for DenyList {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        let verdict = self.0.held.judge(lookup).map_err(StoreError::from);
        Box::pin(std::future::ready(verdict))
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        self.0.store.revoke(entry)
    }
}

impl fmt::Debug for DenyList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DenyList")
            .field("bound", &self.0.held.bound)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
