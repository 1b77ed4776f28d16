//! Revocation entries in as little memory as possible.

use std::{collections::HashMap, time::Duration};

use foldhash::fast::RandomState;

use super::super::names::{Dates, Name};
use tower_bearer::claims::Moment;

/// The set is not swept below this number of entries.
const SWEEP_FROM: usize = 1_024;

/// Hashed names and dates.
#[derive(Default)]
pub(super) struct Set {
    /// Entries for which the time of issue does not matter.
    plain: HashMap<Name, Until, RandomState>,
    cut_offs: HashMap<Name, CutOff, RandomState>,
    /// Entries that start at a given second.
    pending: HashMap<Name, Start, RandomState>,
    sweep_at: usize,
}

#[derive(Clone, Copy)]
struct CutOff {
    cut_off: u64,
    until: Until,
}

#[derive(Clone, Copy)]
struct Start {
    second: u64,
    until: Until,
}

/// The last second in which an entry is in force. The entry is over only when both clocks have passed it. A swept entry
/// does not come back, so a wall clock that jumps ahead and is corrected must not remove any.
#[derive(Clone, Copy)]
struct Until {
    unix: u32,
    monotonic: u32,
}

impl Until {
    fn new(unix_seconds: u64, now: Moment) -> Self {
        let left = unix_seconds.saturating_sub(now.unix_time.as_secs());
        // In the year 2106 all entries are kept forever, and these numbers need a wider type.
        let seconds = |seconds: u64| u32::try_from(seconds).unwrap_or(u32::MAX);
        Self {
            unix: seconds(unix_seconds),
            monotonic: seconds(now.monotonic.as_secs().saturating_add(left)),
        }
    }

    fn is_over(self, now: Moment) -> bool {
        let is_past =
            |last: u32, now: Duration| last != u32::MAX && u64::from(last) < now.as_secs();
        is_past(self.unix, now.unix_time) && is_past(self.monotonic, now.monotonic)
    }

    fn max(self, other: Self) -> Self {
        Self { unix: self.unix.max(other.unix), monotonic: self.monotonic.max(other.monotonic) }
    }
}

impl Set {
    /// Adds an entry. An entry that is not over is never weakened: the earlier start, the later cut-off and the later
    /// end apply.
    pub(super) fn insert(&mut self, name: Name, dates: Dates, now: Moment) {
        if self.len() >= self.sweep_at {
            self.sweep(now);
        }
        let until = Until::new(dates.keep_until, now);
        if dates.starts_at != 0 {
            let new = Start { second: dates.starts_at, until };
            let kept = self.pending.entry(name).or_insert(new);
            kept.second = kept.second.min(new.second);
            kept.until = kept.until.max(until);
            return;
        }
        if dates.cut_off == u64::MAX {
            let kept = self.plain.entry(name).or_insert(until);
            *kept = kept.max(until);
            return;
        }
        let new = CutOff { cut_off: dates.cut_off, until };
        let kept = self.cut_offs.entry(name).or_insert(new);
        *kept = if kept.until.is_over(now) {
            new
        } else {
            CutOff { cut_off: kept.cut_off.max(new.cut_off), until: kept.until.max(until) }
        };
    }

    /// Returns the second from which the token is revoked: 0, or a start that may have passed.
    pub(super) fn denied_from(&self, name: Name, issued_at: u64, now: Moment) -> Option<u64> {
        // An entry that is over does not hide another one.
        let is_denied = self.plain.get(&name).is_some_and(|until| !until.is_over(now)) || {
            let cut_off = self.cut_offs.get(&name);
            cut_off.is_some_and(|kept| issued_at <= kept.cut_off && !kept.until.is_over(now))
        };
        if is_denied {
            return Some(0);
        }
        let pending = self.pending.get(&name).filter(|start| !start.until.is_over(now));
        pending.map(|start| start.second)
    }

    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.cut_offs.len() + self.pending.len()
    }

    fn sweep(&mut self, now: Moment) {
        self.plain.retain(|_, until| !until.is_over(now));
        self.cut_offs.retain(|_, kept| !kept.until.is_over(now));
        self.pending.retain(|_, start| !start.until.is_over(now));
        self.sweep_at = self.len().saturating_mul(2).max(SWEEP_FROM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(cut_off: u64, keep_until: u64) -> Dates {
        Dates { cut_off, keep_until, starts_at: 0 }
    }

    fn refuses(set: &Set, name: Name, issued_at: u64, now: Moment) -> bool {
        set.denied_from(name, issued_at, now) == Some(0)
    }

    fn at(seconds: u64) -> Moment {
        let time = Duration::from_secs(seconds);
        Moment { unix_time: time, monotonic: time }
    }

    fn name(number: u64) -> Name {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&number.to_be_bytes());
        Name(name)
    }

    #[test]
    fn later_dates_hold_and_end() {
        let (mut set, name) = (Set::default(), Name([1; 16]));
        for keep_until in [100, 200, 50] {
            set.insert(name, dates(u64::MAX, keep_until), at(10));
        }
        assert!(refuses(&set, name, 0, at(200)));
        assert!(!refuses(&set, name, 0, at(201)));
        assert!(!refuses(&set, Name([2; 16]), 0, at(10)));
        set.insert(name, dates(u64::MAX, u64::MAX), at(10));
        assert!(refuses(&set, name, 0, at(u64::MAX)));
    }

    #[test]
    fn a_cut_off_refuses_what_was_issued_by_it() {
        let (mut set, name) = (Set::default(), Name([1; 16]));
        for cut_off in [70, 80, 60] {
            set.insert(name, dates(cut_off, 100), at(10));
        }
        assert!(refuses(&set, name, 80, at(100)));
        assert!(!refuses(&set, name, 81, at(100)));
        assert!(!refuses(&set, name, 80, at(101)));
    }

    #[test]
    fn a_cut_off_that_is_over_hides_no_later_one_and_adds_nothing_to_it() {
        for cut_off in [u64::MAX, 500] {
            let (mut set, name) = (Set::default(), Name([1; 16]));
            set.insert(name, dates(cut_off, 100), at(10));
            assert!(refuses(&set, name, 400, at(100)));
            set.insert(name, dates(200, 1_000), at(200));
            assert!(refuses(&set, name, 150, at(200)));
            assert!(!refuses(&set, name, 400, at(200)));
        }
    }

    #[test]
    fn what_is_over_is_swept_and_nothing_else() {
        let mut set = Set::default();
        for number in 0..100_000 {
            set.insert(name(number), dates(u64::MAX, number + 10), at(number));
        }
        assert!(set.len() < 5_000, "{}", set.len());
        assert!((99_990..100_000).all(|number| refuses(&set, name(number), 0, at(100_000))));
    }

    #[test]
    fn a_clock_that_jumps_and_is_set_right_takes_no_denial_with_it() {
        let mut set = Set::default();
        let denied = name(u64::MAX);
        set.insert(denied, dates(u64::MAX, 100), at(10));
        let jumped = Moment { unix_time: Duration::from_secs(5_000_000), ..at(10) };
        for number in 0..2 * SWEEP_FROM as u64 {
            set.insert(name(number), dates(u64::MAX, 9_000_000), jumped);
        }
        assert!(refuses(&set, denied, 0, at(20)));
        assert!(refuses(&set, denied, 0, at(100)));
        assert!(!refuses(&set, denied, 0, at(101)));
    }
}
