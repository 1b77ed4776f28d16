//! The only type of dates in the public API.

use std::{
    ops::{Add, Sub},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A date in whole seconds since the Unix epoch, as `exp`, `nbf` and `iat` are (RFC 7519 section 2, `NumericDate`).
///
/// Sums and differences with a [`Duration`] drop fractions of a second. They saturate at the epoch and at
/// [`MAX`](Self::MAX), so a date from a token cannot overflow.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use tower_bearer::UnixTime;
///
/// let issued_at = UnixTime::from_secs(1_300_815_780);
/// let expires_at = issued_at + Duration::from_secs(3600);
/// assert_eq!(expires_at.as_secs(), 1_300_819_380);
/// assert_eq!(expires_at.saturating_duration_since(issued_at), Duration::from_secs(3600));
/// assert!(expires_at < UnixTime::from(SystemTime::now()));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// The Unix epoch: the first second of the year 1970, in UTC.
    pub const EPOCH: Self = Self(0);

    /// The last possible date. As a limit it means "never".
    pub const MAX: Self = Self(u64::MAX);

    /// Makes a date from seconds since the Unix epoch.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// The date in seconds since the Unix epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this date. Zero if this date is not later.
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl From<SystemTime> for UnixTime {
    /// Drops fractions of a second. A time before 1970 becomes [`EPOCH`](Self::EPOCH).
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    /// Drops fractions of a second of `later`, and stops at [`MAX`](Self::MAX).
    fn add(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later.as_secs()))
    }
}

impl Sub<Duration> for UnixTime {
    type Output = Self;

    /// Drops fractions of a second of `earlier`, and stops at [`EPOCH`](Self::EPOCH).
    fn sub(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(earlier.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_differences_saturate_and_drop_fractions() {
        let (time, almost) = (UnixTime::from_secs(10), Duration::from_millis(2_999));
        assert_eq!(time + almost, UnixTime::from_secs(12));
        assert_eq!(time - almost, UnixTime::from_secs(8));
        assert_eq!(time + Duration::MAX, UnixTime::MAX);
        assert_eq!(time - Duration::MAX, UnixTime::EPOCH);
        assert_eq!(time.saturating_duration_since(UnixTime::MAX), Duration::ZERO);
    }

    #[test]
    fn a_system_time_is_rounded_down_and_before_1970_is_the_epoch() {
        let at = |offset| UnixTime::from(UNIX_EPOCH + offset);
        assert_eq!(at(Duration::from_millis(1_999)), UnixTime::from_secs(1));
        assert_eq!(UnixTime::from(UNIX_EPOCH - Duration::from_millis(1)), UnixTime::EPOCH);
    }
}
