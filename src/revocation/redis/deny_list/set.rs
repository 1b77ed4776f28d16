//! Denials in as little memory as they can be told apart in.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::super::names::{Dates, Name};

/// Below this many entries it is not worth sweeping.
const SWEEP_FROM: usize = 1_024;

/// Names and dates, without the names of anything.
#[derive(Default)]
pub(super) struct Set {
    /// Of everything whose time of issue is no matter: the last second.
    plain: HashMap<Name, u32, RandomState>,
    cut_offs: HashMap<Name, CutOff, RandomState>,
    sweep_at: usize,
}

struct CutOff {
    cut_off: u64,
    last_second: u32,
}

impl Set {
    /// Nothing is ever weakened: later dates hold.
    pub(super) fn insert(&mut self, name: Name, dates: Dates, now: u64) {
        if self.len() >= self.sweep_at {
            self.sweep(now);
        }
        // In the year 2106 all are kept for ever, and this number gets wider.
        let last_second = u32::try_from(dates.keep_until).unwrap_or(u32::MAX);
        if dates.cut_off == u64::MAX {
            let kept = self.plain.entry(name).or_default();
            *kept = (*kept).max(last_second);
        } else {
            let kept = self.cut_offs.entry(name).or_insert(CutOff { cut_off: 0, last_second: 0 });
            kept.cut_off = kept.cut_off.max(dates.cut_off);
            kept.last_second = kept.last_second.max(last_second);
        }
    }

    pub(super) fn refuses(&self, name: Name, issued_at: u64, now: u64) -> bool {
        if let Some(last_second) = self.plain.get(&name) {
            return !is_over(*last_second, now);
        }
        let cut_off = self.cut_offs.get(&name);
        cut_off.is_some_and(|kept| issued_at <= kept.cut_off && !is_over(kept.last_second, now))
    }

    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.cut_offs.len()
    }

    fn sweep(&mut self, now: u64) {
        self.plain.retain(|_, last_second| !is_over(*last_second, now));
        self.cut_offs.retain(|_, kept| !is_over(kept.last_second, now));
        self.sweep_at = self.len().saturating_mul(2).max(SWEEP_FROM);
    }
}

fn is_over(last_second: u32, now: u64) -> bool {
    last_second != u32::MAX && now > u64::from(last_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(cut_off: u64, keep_until: u64) -> Dates {
        Dates { cut_off, keep_until }
    }

    #[test]
    fn later_dates_hold_and_end() {
        let (mut set, name) = (Set::default(), Name([1; 16]));
        for keep_until in [100, 200, 50] {
            set.insert(name, dates(u64::MAX, keep_until), 10);
        }
        assert!(set.refuses(name, 0, 200));
        assert!(!set.refuses(name, 0, 201));
        assert!(!set.refuses(Name([2; 16]), 0, 10));
        set.insert(name, dates(u64::MAX, u64::MAX), 10);
        assert!(set.refuses(name, 0, u64::MAX));
    }

    #[test]
    fn a_cut_off_refuses_what_was_issued_by_it() {
        let (mut set, name) = (Set::default(), Name([1; 16]));
        for cut_off in [70, 80, 60] {
            set.insert(name, dates(cut_off, 100), 10);
        }
        assert!(set.refuses(name, 80, 100));
        assert!(!set.refuses(name, 81, 100));
        assert!(!set.refuses(name, 80, 101));
    }

    #[test]
    fn what_is_over_is_swept_and_nothing_else() {
        let mut set = Set::default();
        let name = |number: u64| {
            let mut name = [0; 16];
            name[..8].copy_from_slice(&number.to_be_bytes());
            Name(name)
        };
        for number in 0..100_000 {
            set.insert(name(number), dates(u64::MAX, number + 10), number);
        }
        assert!(set.len() < 5_000, "{}", set.len());
        assert!((99_990..100_000).all(|number| set.refuses(name(number), 0, 100_000)));
    }
}
