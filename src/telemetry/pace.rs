//! How often the same thing is worth a warning.

#[cfg(feature = "tracing")]
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Lets one through, and the next after ten seconds.
#[derive(Default)]
pub(crate) struct Pace {
    /// The second after that of the last one; 0 before the first.
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
