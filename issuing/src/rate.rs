//! Limits how often calls happen (the generic cell rate algorithm) and how many run at once, in constant memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Allows `at_once` calls at once, and then one more for each interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) at_once: u64,
    pub(super) interval_ms: u64,
}

/// The time, in milliseconds, at which all charges have expired.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// Counts one call, or returns after how long to try again, in whole seconds.
    pub(super) fn charge(&self, limit: &Limit, now: u64) -> Result<(), Duration> {
        let most = now.saturating_add(limit.at_once.saturating_mul(limit.interval_ms));
        let charge = |until: u64| {
            let charged = until.max(now).saturating_add(limit.interval_ms);
            (charged <= most).then_some(charged)
        };
        match self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, charge) {
            Ok(_) => Ok(()),
            Err(until) => {
                let wait = until.saturating_add(limit.interval_ms).saturating_sub(most);
                // Rounded up to whole seconds, so that a client that waits this long is let in.
                Err(Duration::from_secs(wait.div_ceil(1000).max(1)))
            }
        }
    }

    pub(super) fn give_back(&self, limit: &Limit) {
        let back = |until: u64| Some(until.saturating_sub(limit.interval_ms));
        // This cannot fail, because `back` always returns `Some`.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, back);
    }
}

/// A table of counters. A hash chooses the place.
pub(super) struct Counters {
    places: Box<[Counter]>,
    /// For a hash without a place. In practice every hash has a place.
    other: Counter,
}

impl Counters {
    const PLACES: usize = 1 << 16;

    pub(super) fn new() -> Self {
        Self {
            places: (0..Self::PLACES).map(|_| Counter::default()).collect(),
            other: Counter::default(),
        }
    }

    pub(super) fn of(&self, hash: u64) -> &Counter {
        let place = usize::try_from(hash % Self::PLACES as u64).ok();
        place.and_then(|place| self.places.get(place)).unwrap_or(&self.other)
    }
}

/// Limits how many calls run at once and how many more wait. A hash chooses the place in a table of limits.
pub(super) struct ConcurrencyLimits(Box<[ConcurrencyLimit]>);

struct ConcurrencyLimit {
    running: Arc<Semaphore>,
    /// Calls that run and calls that wait.
    admitted: Arc<Semaphore>,
}

/// Permits one call. The call counts as running until this is dropped.
#[must_use = "the limit has no effect if the permit is dropped at once"]
pub(super) struct Permit {
    _running: OwnedSemaphorePermit,
    _admitted: OwnedSemaphorePermit,
}

impl ConcurrencyLimits {
    pub(super) fn new(places: usize, running: usize, waiting: usize) -> Self {
        let place = || ConcurrencyLimit {
            running: Arc::new(Semaphore::new(running)),
            admitted: Arc::new(Semaphore::new(running + waiting)),
        };
        Self((0..places).map(|_| place()).collect())
    }

    /// Waits until the call may run. `None` at once if too many calls wait.
    pub(super) async fn acquire(&self, hash: u64) -> Option<Permit> {
        let place = usize::try_from(hash % self.0.len().max(1) as u64).ok()?;
        let place = self.0.get(place)?;
        let admitted = Arc::clone(&place.admitted).try_acquire_owned().ok()?;
        let running = Arc::clone(&place.running).acquire_owned().await.ok()?;
        Some(Permit { _running: running, _admitted: admitted })
    }
}
