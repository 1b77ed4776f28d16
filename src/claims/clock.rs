//! The clock of the crate. It is injected: the rules of this crate do not read the system clock directly.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::UnixTime;

/// The source of time for the verifier and the revocation cache.
///
/// The default is [`SystemClock`]. Tests use [`ManualClock`].
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, as time since the Unix epoch. `exp`, `nbf` and `iat` are compared with it.
    fn unix_time(&self) -> Duration;

    /// Time since an arbitrary origin. It never runs backwards. The ages of cached answers also use it, so a correction
    /// of the wall clock cannot make an old answer young again.
    fn monotonic(&self) -> Duration;

    /// The wall clock in whole seconds. You need not implement it.
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.unix_time().as_secs())
    }
}

impl<T: Clock + ?Sized> Clock for Arc<T> {
    fn unix_time(&self) -> Duration {
        (**self).unix_time()
    }

    fn monotonic(&self) -> Duration {
        (**self).monotonic()
    }

    fn now(&self) -> UnixTime {
        (**self).now()
    }
}

/// Both clocks, read together. They give ages that neither a suspended machine nor a corrected wall clock makes
/// shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock, as time since the Unix epoch.
    pub unix_time: Duration,
    /// Time since the origin of the monotonic clock.
    pub monotonic: Duration,
}

impl Moment {
    /// Reads both clocks.
    pub fn of(clock: &dyn Clock) -> Self {
        Self { unix_time: clock.unix_time(), monotonic: clock.monotonic() }
    }

    /// The wall clock in whole seconds.
    #[must_use]
    pub fn wall(self) -> UnixTime {
        UnixTime::from_secs(self.unix_time.as_secs())
    }

    /// How long ago `earlier` was. It is the larger of two values: the monotonic clock stops while a machine is
    /// suspended, and the wall clock can be set back.
    #[must_use]
    pub fn age_of(self, earlier: Self) -> Duration {
        let monotonic = self.monotonic.saturating_sub(earlier.monotonic);
        monotonic.max(self.unix_time.saturating_sub(earlier.unix_time))
    }
}

/// The operating system's clocks.
///
/// On Linux these are the kernel's coarse clocks. They are several times cheaper to read. They lag by up to one tick: 1
/// to 10 milliseconds, depending on the kernel's configuration, or longer while a virtual machine does not run. Expiry
/// and the ages of cached answers are late by the same time.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_time(&self) -> Duration {
        system::unix_time()
    }

    fn monotonic(&self) -> Duration {
        system::monotonic()
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    pub(super) fn unix_time() -> Duration {
        read(ClockId::RealtimeCoarse)
    }

    pub(super) fn monotonic() -> Duration {
        read(ClockId::MonotonicCoarse)
    }

    /// A clock that is set before 1970 reads as 1970.
    fn read(clock: ClockId) -> Duration {
        let time = clock_gettime(clock);
        let parts = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        let (Ok(seconds), Ok(nanoseconds)) = parts else { return Duration::ZERO };
        Duration::new(seconds, nanoseconds)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::{
        sync::LazyLock,
        time::{Duration, Instant, SystemTime, UNIX_EPOCH},
    };

    /// A clock that is set before 1970 reads as 1970.
    #[expect(clippy::disallowed_methods, reason = "the one place where the system is asked")]
    pub(super) fn unix_time() -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place where the system is asked")]
    pub(super) fn monotonic() -> Duration {
        static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        ORIGIN.elapsed()
    }
}

/// A clock that changes only when you move it. Clones share the time.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{UnixTime, claims::{Clock, ManualClock}};
///
/// let clock = ManualClock::at(UnixTime::from_secs(1_300_819_379));
/// clock.advance(Duration::from_secs(1));
/// assert_eq!(clock.now(), UnixTime::from_secs(1_300_819_380));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Mutex<Reading>>);

#[derive(Clone, Copy, Debug)]
struct Reading {
    unix_time: Duration,
    monotonic: Duration,
}

impl ManualClock {
    /// Makes a clock at this date.
    #[must_use]
    pub fn at(time: UnixTime) -> Self {
        Self(Arc::new(Mutex::new(Reading {
            unix_time: Duration::from_secs(time.as_secs()),
            monotonic: Duration::ZERO,
        })))
    }

    /// Moves both clocks forward.
    pub fn advance(&self, by: Duration) {
        self.update(|reading| {
            reading.unix_time = reading.unix_time.saturating_add(by);
            reading.monotonic = reading.monotonic.saturating_add(by);
        });
    }

    /// Sets the wall clock, as an operator or NTP does. The monotonic clock does not change.
    pub fn set_unix_time(&self, time: UnixTime) {
        self.update(|reading| reading.unix_time = Duration::from_secs(time.as_secs()));
    }

    fn update(&self, change: impl FnOnce(&mut Reading)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn reading(&self) -> Reading {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn unix_time(&self) -> Duration {
        self.reading().unix_time
    }

    fn monotonic(&self) -> Duration {
        self.reading().monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the other clock, to compare with")]
    fn the_system_clock_shows_the_system_time_and_advances() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        assert!(SystemClock.unix_time().abs_diff(now) < Duration::from_secs(60));
        let (begun, give_up) = (SystemClock.monotonic(), now + Duration::from_secs(60));
        while SystemClock.monotonic() <= begun {
            assert!(SystemClock.unix_time() < give_up);
            std::thread::yield_now();
        }
    }

    #[test]
    fn an_arc_of_a_clock_reads_that_clock() {
        let clock = ManualClock::at(UnixTime::from_secs(1_800_000_000));
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(Clock::unix_time(&shared), Duration::from_millis(1_800_000_001_500));
        assert_eq!(Clock::monotonic(&shared), Duration::from_millis(1_500));
        clock.set_unix_time(UnixTime::from_secs(7));
        assert_eq!(Clock::unix_time(&shared), Duration::from_secs(7));
        assert_eq!(Clock::monotonic(&shared), Duration::from_millis(1_500));
    }

    #[test]
    fn an_age_is_the_larger_of_both_clocks() {
        let at = |unix_time, monotonic| Moment {
            unix_time: Duration::from_secs(unix_time),
            monotonic: Duration::from_secs(monotonic),
        };
        assert_eq!(at(107, 5).age_of(at(100, 2)), Duration::from_secs(7));
        assert_eq!(at(101, 9).age_of(at(100, 2)), Duration::from_secs(7));
        // The wall clock was set back.
        assert_eq!(at(50, 9).age_of(at(100, 2)), Duration::from_secs(7));
        assert_eq!(at(100, 2).age_of(at(107, 5)), Duration::ZERO);
    }
}
