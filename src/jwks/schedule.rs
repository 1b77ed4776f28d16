//! Computes when keys are fetched and how long they are used, for the engine.

use std::{hash::BuildHasher, time::Duration};

/// The minimum time between an attempt of any kind and a fetch for an unknown key.
pub(crate) const COOL_DOWN: Duration = Duration::from_secs(30);

/// How long metadata are used before they are read again.
pub(crate) const METADATA_LIFETIME: Duration = Duration::from_secs(60 * 60);

const SHORTEST_LIFETIME: Duration = Duration::from_secs(60);
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
const DEFAULT_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// The default of the longest time between two fetches.
pub(crate) const LONGEST_INTERVAL: Duration = Duration::from_secs(60 * 60);

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long keys are fresh, by the server's `max-age`.
pub(crate) fn lifetime(max_age: Option<Duration>) -> Duration {
    max_age.unwrap_or(DEFAULT_LIFETIME).clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME)
}

/// The age at which keys are fetched again. It leaves time for several attempts while the keys are fresh, and is at
/// most `longest`, or 30 seconds if that is longer.
pub(crate) fn refresh_after(lifetime: Duration, longest: Duration) -> Duration {
    (lifetime * 4 / 5).min(longest.max(COOL_DOWN))
}

/// The backoff after this many failures in a row. It doubles each time up to a minute. The pause is a random time
/// between half of it and all of it, so that a fleet does not return to a server at the same moment.
pub(crate) fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    jittered(FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE), random())
}

/// A time between half of `pause` and all of it.
fn jittered(pause: Duration, random: u32) -> Duration {
    pause / 2 + (pause / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// Each hasher of the standard library has a different seed.
#[expect(clippy::cast_possible_truncation, reason = "any 32 bits will do")]
fn random() -> u32 {
    std::hash::RandomState::new().hash_one(()) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn max_age_is_limited_to_between_a_minute_and_a_day() {
        for (max_age, fresh) in [
            (None, 600),
            (Some(0), 60),
            (Some(59), 60),
            (Some(60), 60),
            (Some(61), 61),
            (Some(86_400), 86_400),
            (Some(86_401), 86_400),
            (Some(u64::MAX), 86_400),
        ] {
            assert_eq!(lifetime(max_age.map(seconds)), seconds(fresh), "{max_age:?}");
        }
    }

    #[test]
    fn keys_are_fetched_again_within_the_longest_interval() {
        for (lifetime, longest, after) in
            [(600, 3_600, 480), (86_400, 3_600, 3_600), (86_400, 100_000, 69_120), (600, 0, 30)]
        {
            assert_eq!(refresh_after(seconds(lifetime), seconds(longest)), seconds(after));
        }
    }

    #[test]
    fn pauses_double_up_to_a_minute() {
        for (failures, most) in [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (8, 60), (u32::MAX, 60)]
        {
            for _ in 0..100 {
                let pause = pause(failures);
                assert!(
                    pause >= seconds(most) / 2 && pause <= seconds(most),
                    "{failures}: {pause:?}"
                );
            }
        }
        assert_eq!(jittered(seconds(8), 0), seconds(4));
        assert_eq!(jittered(seconds(8), u32::MAX), seconds(8));
    }

    #[test]
    fn pauses_differ() {
        let first = pause(7);
        assert!((0..100).any(|_| pause(7) != first));
    }
}
