//! The revocation entries of a deny-list, in as little memory as possible, and how old they are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::AtomicU64},
    time::Duration,
};

use foldhash::fast::RandomState;

use super::{
    error::Failure,
    keys::{Dates, HashedName},
};
use tower_bearer::{
    UnixTime,
    claims::{Clock, Moment},
    revocation::{Lookup, Verdict},
};

/// The data that the follower writes and lookups read.
pub(super) struct LocalCopy {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) bound: Duration,
    pub(super) set: RwLock<EntrySet>,
    /// When the question was sent whose answer has brought the set up to date.
    as_of: Mutex<Option<Moment>>,
    pub(super) snapshots: AtomicU64,
}

impl LocalCopy {
    pub(super) fn new(bound: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            bound,
            set: RwLock::default(),
            as_of: Mutex::new(None),
            snapshots: AtomicU64::new(0),
        }
    }

    pub(super) fn is_current(&self, now: Moment) -> bool {
        let as_of = *self.as_of.lock().unwrap_or_else(PoisonError::into_inner);
        as_of.is_some_and(|as_of| now.age_of(as_of) <= self.bound)
    }

    pub(super) fn set_as_of(&self, as_of: Option<Moment>) {
        *self.as_of.lock().unwrap_or_else(PoisonError::into_inner) = as_of;
    }

    pub(super) fn look_up(&self, lookup: &Lookup) -> Result<Verdict, Failure> {
        let now = Moment::of(&*self.clock);
        // The age is checked before the set is read. The data may become too old while the set is read, but it was
        // current when the request came.
        if !self.is_current(now) {
            return Err(Failure::OutOfDate);
        }
        let names: Vec<HashedName> = lookup.things().iter().map(HashedName::of).collect();
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let issued_at = lookup.issued_at().as_secs();
        let starts = names.iter().filter_map(|name| set.revoked_from(*name, issued_at, now));
        Ok(Verdict::starting_at(starts.min().map(UnixTime::from_secs), now.wall()))
    }
}

/// The set is not swept below this number of entries.
const SWEEP_FROM: usize = 1_024;

/// Hashed names and dates.
#[derive(Default)]
pub(super) struct EntrySet {
    /// Entries for which the time of issue does not matter.
    plain: HashMap<HashedName, Until, RandomState>,
    cut_offs: HashMap<HashedName, CutOff, RandomState>,
    /// Entries that start at a given second.
    pending: HashMap<HashedName, Start, RandomState>,
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

    /// Returns the date that [`new`](Self::new) makes the same entry of.
    fn unix_seconds(self) -> u64 {
        if self.unix == u32::MAX { u64::MAX } else { self.unix.into() }
    }

    fn max(self, other: Self) -> Self {
        Self { unix: self.unix.max(other.unix), monotonic: self.monotonic.max(other.monotonic) }
    }
}

impl EntrySet {
    /// Adds an entry. An entry that is not over is never weakened: the earlier start, the later cut-off and the later
    /// end apply.
    pub(super) fn insert(&mut self, name: HashedName, dates: Dates, now: Moment) {
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
    pub(super) fn revoked_from(
        &self,
        name: HashedName,
        issued_at: u64,
        now: Moment,
    ) -> Option<u64> {
        // An entry that is over does not hide another one.
        let is_revoked = self.plain.get(&name).is_some_and(|until| !until.is_over(now)) || {
            let cut_off = self.cut_offs.get(&name);
            cut_off.is_some_and(|kept| issued_at <= kept.cut_off && !kept.until.is_over(now))
        };
        if is_revoked {
            return Some(0);
        }
        let pending = self.pending.get(&name).filter(|start| !start.until.is_over(now));
        pending.map(|start| start.second)
    }

    /// Returns all entries, also those that are over, in a form that [`insert`](Self::insert) reads.
    pub(super) fn entries(&self) -> impl Iterator<Item = (HashedName, Dates)> + '_ {
        let dates = |cut_off: u64, until: Until, starts_at: u64| Dates {
            cut_off,
            keep_until: until.unix_seconds(),
            starts_at,
        };
        let plain = self.plain.iter().map(move |(name, until)| (*name, dates(u64::MAX, *until, 0)));
        let cut_offs = self.cut_offs.iter();
        let cut_offs =
            cut_offs.map(move |(name, kept)| (*name, dates(kept.cut_off, kept.until, 0)));
        let pending = self.pending.iter();
        let pending =
            pending.map(move |(name, start)| (*name, dates(u64::MAX, start.until, start.second)));
        plain.chain(cut_offs).chain(pending)
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

    fn rejects(set: &EntrySet, name: HashedName, issued_at: u64, now: Moment) -> bool {
        set.revoked_from(name, issued_at, now) == Some(0)
    }

    fn at(seconds: u64) -> Moment {
        let time = Duration::from_secs(seconds);
        Moment { unix_time: time, monotonic: time }
    }

    fn name(number: u64) -> HashedName {
        let mut name = [0; 16];
        name[..8].copy_from_slice(&number.to_be_bytes());
        HashedName(name)
    }

    #[test]
    fn the_latest_end_of_an_entry_applies() {
        let (mut set, name) = (EntrySet::default(), HashedName([1; 16]));
        for keep_until in [100, 200, 50] {
            set.insert(name, dates(u64::MAX, keep_until), at(10));
        }
        assert!(rejects(&set, name, 0, at(200)));
        assert!(!rejects(&set, name, 0, at(201)));
        assert!(!rejects(&set, HashedName([2; 16]), 0, at(10)));
        set.insert(name, dates(u64::MAX, u64::MAX), at(10));
        assert!(rejects(&set, name, 0, at(u64::MAX)));
    }

    #[test]
    fn a_cut_off_rejects_tokens_issued_until_then() {
        let (mut set, name) = (EntrySet::default(), HashedName([1; 16]));
        for cut_off in [70, 80, 60] {
            set.insert(name, dates(cut_off, 100), at(10));
        }
        assert!(rejects(&set, name, 80, at(100)));
        assert!(!rejects(&set, name, 81, at(100)));
        assert!(!rejects(&set, name, 80, at(101)));
    }

    #[test]
    fn a_cut_off_that_is_over_does_not_change_a_later_one() {
        for cut_off in [u64::MAX, 500] {
            let (mut set, name) = (EntrySet::default(), HashedName([1; 16]));
            set.insert(name, dates(cut_off, 100), at(10));
            assert!(rejects(&set, name, 400, at(100)));
            set.insert(name, dates(200, 1_000), at(200));
            assert!(rejects(&set, name, 150, at(200)));
            assert!(!rejects(&set, name, 400, at(200)));
        }
    }

    #[test]
    fn all_entries_are_listed_with_their_dates() {
        let mut set = EntrySet::default();
        let pending = Dates { cut_off: u64::MAX, keep_until: 300, starts_at: 200 };
        let entries = [dates(u64::MAX, 100), dates(70, 100), pending, dates(u64::MAX, u64::MAX)];
        for (number, dates) in (0..).zip(entries) {
            set.insert(name(number), dates, at(10));
        }
        let mut listed: Vec<_> = set.entries().collect();
        listed.sort_by_key(|(name, _)| name.0);
        let listed: Vec<_> = listed.into_iter().map(|(_, dates)| dates).collect();
        assert_eq!(listed, entries);
    }

    #[test]
    fn only_entries_that_are_over_are_swept() {
        let mut set = EntrySet::default();
        for number in 0..100_000 {
            set.insert(name(number), dates(u64::MAX, number + 10), at(number));
        }
        assert!(set.len() < 5_000, "{}", set.len());
        assert!((99_990..100_000).all(|number| rejects(&set, name(number), 0, at(100_000))));
    }

    #[test]
    fn a_wall_clock_that_jumps_does_not_remove_an_entry() {
        let mut set = EntrySet::default();
        let revoked = name(u64::MAX);
        set.insert(revoked, dates(u64::MAX, 100), at(10));
        let jumped = Moment { unix_time: Duration::from_secs(5_000_000), ..at(10) };
        for number in 0..2 * SWEEP_FROM as u64 {
            set.insert(name(number), dates(u64::MAX, 9_000_000), jumped);
        }
        assert!(rejects(&set, revoked, 0, at(20)));
        assert!(rejects(&set, revoked, 0, at(100)));
        assert!(!rejects(&set, revoked, 0, at(101)));
    }
}
