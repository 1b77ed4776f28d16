//! The whole deny-list in each process: no token costs a round trip.

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

/// Everything that is revoked, held in this process: a snapshot of Redis, and the stream of changes since.
///
/// 1. **A look-up asks nobody**, for known and unknown tokens alike.
/// 2. **Unavailable until the first snapshot is complete**, and whenever what is held is older than the bound: its age
///    counts from when the question was *sent* whose answer has brought it up to date.
/// 3. **After a disconnection it goes on where it stopped**, and it goes where the connection of its store goes. Where the
///    stream no longer reaches back so far, or Redis was seeded anew, it takes a new snapshot, with rests between them;
///    what was held meanwhile is used only while it is within the bound.
/// 4. **What is lost in Redis is noticed** as [`RedisStore`] notices it, and makes this unavailable at once. A snapshot
///    counts only if nothing was lost while it was taken.
/// 5. **Nothing but time removes a denial**, and that by both clocks: a wall clock that jumps takes none with it.
///
/// In front of it belongs a cache with a bound of zero, which remembers nothing and keeps the promise that a
/// revocation of this process is seen by its next request; with another bound the two add up.
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
/// Tokens, sessions, keys and subjects are held as 128 bits of a SHA-256: that a good token is refused for another's
/// sake has, with a million revoked ones, a chance of 1 in 3 · 10^32 for each token. A snapshot reads every key of
/// the database (`SCAN`), so that Redis should hold little else. The ACL user needs `+xread +scan` as well.
#[derive(Clone)]
pub struct DenyList(Arc<Inner>);

struct Inner {
    store: RedisStore,
    held: Arc<Held>,
    follower: JoinHandle<()>,
}

/// What the follower writes and look-ups read.
struct Held {
    clock: Arc<dyn Clock>,
    bound: Duration,
    set: RwLock<Set>,
    /// When the question was sent whose answer has brought the set up to date.
    as_of: Mutex<Option<Moment>>,
    snapshots: AtomicU64,
}

/// How a [`DenyList`] is getting on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DenyListStats {
    /// Look-ups are answered.
    pub is_current: bool,
    /// How many denials are held, those included that are over and were not swept yet.
    pub denials: u64,
    /// Complete snapshots that were taken.
    pub snapshots: u64,
}

impl DenyList {
    /// Begins to follow what is revoked in `store`, and answers while that is at most `bound` old.
    ///
    /// A task of the runtime follows, on a connection of its own, until the last clone is gone. A bound of less than
    /// four seconds costs more questions: four in each, and 40 a second at most, so that one below 50 milliseconds is
    /// not kept up with and leaves look-ups unavailable.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    #[must_use]
    pub fn follow(store: &RedisStore, bound: Duration) -> Self {
        Self::with(store, bound, Arc::new(SystemClock::default()))
    }

    /// Takes the time from `clock`, which should be the [`Authenticator`](tower_bearer::Authenticator)'s, and begins anew: to be called
    /// before the list is used. Default: [`SystemClock`].
    ///
    /// # Panics
    /// Outside a Tokio runtime.
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

    /// For operators and tests.
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
        // Before the set: what is current now may not be so when it has been looked at, but was when the request came.
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
