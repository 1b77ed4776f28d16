//! The backoff: how long to wait before the next attempt.

use std::{
    future::pending,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::time::{Instant, timeout};

/// A connection this old resets the backoff.
const SETTLED: Duration = Duration::from_secs(3);

/// Pauses between attempts. Each is twice as long as the one before, up to a limit. Each is shortened by a random part,
/// because a fleet loses its connections all at once. The first pause is used again only after a connection has held
/// for a while. So the pauses also grow if a server accepts connections and closes them at once.
pub(super) struct Pauses {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Pauses {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first }
    }

    pub(super) fn is_at_first(&self) -> bool {
        self.next == self.first
    }

    /// Resets the backoff if the connection that began at this time has held long enough.
    pub(super) fn held_since(&mut self, begin: Instant) {
        if SETTLED <= begin.elapsed() {
            self.next = self.first;
        }
    }

    pub(super) async fn wait(&mut self) {
        let pause = jittered(self.next);
        self.next = self.next.saturating_mul(2).min(self.longest);
        wait(pause).await;
    }
}

/// Returns a random pause between half of this one and all of it.
pub(super) fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) >> 40;
    let parts = u32::try_from(random).unwrap_or(0);
    pause / 2 + (pause / 2).mul_f64(f64::from(parts) / f64::from(1_u32 << 24))
}

pub(super) async fn wait(pause: Duration) {
    let _ = timeout(pause, pending::<()>()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_until_something_has_held_for_a_while() {
        let (first, longest) = (Duration::from_millis(50), Duration::from_secs(2));
        let mut pauses = Pauses::new(first, longest);
        let mut expected = first;
        for _ in 0..10 {
            let begin = Instant::now();
            pauses.wait().await;
            let took = begin.elapsed();
            // The timer has a resolution of one millisecond.
            let latest = expected + Duration::from_millis(1);
            assert!(expected / 2 <= took && took <= latest, "{took:?} of {expected:?}");
            expected = (expected * 2).min(longest);
            pauses.held_since(Instant::now());
            assert!(!pauses.is_at_first());
        }
        let begin = Instant::now();
        wait(SETTLED).await;
        pauses.held_since(begin);
        assert!(pauses.is_at_first());
    }
}
