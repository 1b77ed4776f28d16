//! Limits how often the same warning is logged.

#[cfg(feature = "tracing")]
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Lets one event through, and the next one after ten seconds.
#[derive(Default)]
pub(crate) struct Pace {
    /// The second of the last event plus one. 0 before the first event.
    #[cfg(feature = "tracing")]
    last: AtomicU64,
}

#[cfg(feature = "tracing")]
impl Pace {
    const SECONDS: u64 = 10;

    pub(super) fn lets_through(&self, now: Duration) -> bool {
        let now = now.as_secs().saturating_add(1);
        let last = self.last.load(Ordering::Relaxed);
        let is_due = last == 0 || now >= last.saturating_add(Self::SECONDS);
        is_due
            && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
