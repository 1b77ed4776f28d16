//! The revocation entries of a deny-list, in as little memory as possible, and how old they are.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{
    entries::id_of,
    statement::{Failure, Row},
};
use tower_bearer::{
    UnixTime,
    claims::{Clock, Moment},
    revocation::{Lookup, Revocable, RevocationEntry, Verdict},
};

/// 128 bits of the id of a row, which is a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ShortId([u8; 16]);

impl ShortId {
    fn of(thing: &Revocable) -> Self {
        Self::from_id(&id_of(thing))
    }

    fn from_id(id: &[u8; 32]) -> Self {
        let mut short = [0; 16];
        short.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
        Self(short)
    }
}

/// The dates of a row. All of them apply together.
#[derive(Clone, Copy)]
pub(super) struct Dates {
    starts_at: u64,
    cut_off: u64,
    keep_until: u64,
}

/// Reads an id, a start, a cut-off and an end from these columns.
pub(super) fn read_row(row: &Row, columns: [usize; 4]) -> Result<(ShortId, Dates), Failure> {
    let [id, starts_at, cut_off, keep_until] = columns;
    let dates = Dates {
        starts_at: row.count(starts_at)?,
        cut_off: row.count(cut_off)?,
        keep_until: row.count(keep_until)?,
    };
    Ok((ShortId::from_id(&row.hash(id)?), dates))
}

/// The data that the follower writes and lookups read.
pub(crate) struct LocalCopy {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) bound: Duration,
    set: RwLock<EntrySet>,
    /// When the poll was sent that has brought the set up to date.
    as_of: Mutex<Option<Moment>>,
    /// The entries that this process has written since the begin of the snapshot that is being read.
    written: Mutex<Option<HashSet<ShortId>>>,
    snapshots: AtomicU64,
    missing: AtomicU64,
}

impl LocalCopy {
    pub(super) fn new(bound: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            bound,
            set: RwLock::default(),
            as_of: Mutex::default(),
            written: Mutex::default(),
            snapshots: AtomicU64::new(0),
            missing: AtomicU64::new(0),
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment::of(&*self.clock)
    }

    pub(super) fn is_current(&self, now: Moment) -> bool {
        let as_of = *self.as_of.lock().unwrap_or_else(PoisonError::into_inner);
        as_of.is_some_and(|as_of| now.age_of(as_of) <= self.bound)
    }

    pub(super) fn set_as_of(&self, as_of: Moment) {
        *self.as_of.lock().unwrap_or_else(PoisonError::into_inner) = Some(as_of);
    }

    pub(super) fn look_up(&self, lookup: &Lookup) -> Result<Verdict, Failure> {
        let now = self.now();
        // The age is checked before the set is read. The data may become too old while the set is read, but it was
        // current when the request came.
        if !self.is_current(now) {
            return Err(Failure::OutOfDate);
        }
        let ids: Vec<ShortId> = lookup.things().iter().map(ShortId::of).collect();
        let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
        let issued_at = lookup.issued_at().as_secs();
        let starts = ids.iter().filter_map(|id| set.revoked_from(*id, issued_at, now));
        Ok(Verdict::starting_at(starts.min().map(UnixTime::from_secs), now.wall()))
    }

    pub(super) fn insert(&self, rows: &[(ShortId, Dates)]) {
        if rows.is_empty() {
            return;
        }
        let now = self.now();
        let mut set = self.set.write().unwrap_or_else(PoisonError::into_inner);
        for (id, dates) in rows {
            set.insert(*id, *dates, now);
        }
    }

    /// Adds an entry that this process has written to the database.
    pub(super) fn add_written(&self, entry: &RevocationEntry) {
        let id = ShortId::of(entry.thing());
        // Before the set has it: the snapshot that is being read may miss it.
        if let Some(written) = &mut *self.written() {
            written.insert(id);
        }
        let dates = Dates {
            starts_at: entry.starts_at().as_secs(),
            cut_off: entry.cut_off().as_secs(),
            keep_until: entry.obsolete_after().as_secs(),
        };
        self.insert(&[(id, dates)]);
    }

    pub(super) fn begin_snapshot(&self) {
        *self.written() = Some(HashSet::new());
    }

    /// Counts the entries that this process knows and that the snapshot does not have. They stay in the set. `read`
    /// has the ids of a snapshot that was not the first.
    pub(super) fn end_snapshot(&self, read: Option<&HashSet<ShortId>>) {
        let now = self.now();
        let written = self.written().take().unwrap_or_default();
        if let Some(read) = read {
            let set = self.set.read().unwrap_or_else(PoisonError::into_inner);
            let missing =
                set.in_force(now).filter(|id| !read.contains(id) && !written.contains(id));
            self.missing.store(missing.count() as u64, Relaxed);
        }
        self.snapshots.fetch_add(1, Relaxed);
    }

    pub(super) fn len(&self) -> u64 {
        self.set.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    pub(super) fn snapshots(&self) -> u64 {
        self.snapshots.load(Relaxed)
    }

    pub(super) fn missing(&self) -> u64 {
        self.missing.load(Relaxed)
    }

    fn written(&self) -> MutexGuard<'_, Option<HashSet<ShortId>>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The set is not swept below this number of entries.
const SWEEP_FROM: usize = 1_024;

/// Ids and dates.
#[derive(Default)]
struct EntrySet {
    /// Entries that apply to every token, and now.
    plain: HashMap<ShortId, Until>,
    /// Entries with a start or a cut-off.
    dated: HashMap<ShortId, Dated>,
    sweep_at: usize,
}

#[derive(Clone, Copy)]
struct Dated {
    starts_at: u64,
    cut_off: u64,
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

impl EntrySet {
    /// Adds a row. An entry that is not over is never weakened: the earlier start, the later cut-off and the later end
    /// apply.
    fn insert(&mut self, id: ShortId, dates: Dates, now: Moment) {
        if self.len() >= self.sweep_at {
            self.sweep(now);
        }
        let until = Until::new(dates.keep_until, now);
        if dates.starts_at == 0 && dates.cut_off == u64::MAX {
            let kept = self.plain.entry(id).or_insert(until);
            *kept = kept.max(until);
            return;
        }
        let new = Dated { starts_at: dates.starts_at, cut_off: dates.cut_off, until };
        let kept = self.dated.entry(id).or_insert(new);
        *kept = if kept.until.is_over(now) {
            new
        } else {
            Dated {
                starts_at: kept.starts_at.min(new.starts_at),
                cut_off: kept.cut_off.max(new.cut_off),
                until: kept.until.max(until),
            }
        };
    }

    /// Returns the second from which the token is revoked: 0, or a start that may have passed.
    fn revoked_from(&self, id: ShortId, issued_at: u64, now: Moment) -> Option<u64> {
        // An entry that is over does not hide another one.
        if self.plain.get(&id).is_some_and(|until| !until.is_over(now)) {
            return Some(0);
        }
        let dated = self.dated.get(&id).filter(|kept| !kept.until.is_over(now))?;
        (issued_at <= dated.cut_off).then_some(dated.starts_at)
    }

    fn in_force(&self, now: Moment) -> impl Iterator<Item = &ShortId> {
        let plain = self.plain.iter().map(|(id, until)| (id, *until));
        let dated = self.dated.iter().map(|(id, kept)| (id, kept.until));
        plain.chain(dated).filter(move |(_, until)| !until.is_over(now)).map(|(id, _)| id)
    }

    fn len(&self) -> usize {
        self.plain.len() + self.dated.len()
    }

    fn sweep(&mut self, now: Moment) {
        self.plain.retain(|_, until| !until.is_over(now));
        self.dated.retain(|_, kept| !kept.until.is_over(now));
        self.sweep_at = self.len().saturating_mul(2).max(SWEEP_FROM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dates(cut_off: u64, keep_until: u64) -> Dates {
        Dates { starts_at: 0, cut_off, keep_until }
    }

    fn rejects(set: &EntrySet, id: ShortId, issued_at: u64, now: Moment) -> bool {
        set.revoked_from(id, issued_at, now) == Some(0)
    }

    fn at(seconds: u64) -> Moment {
        let time = Duration::from_secs(seconds);
        Moment { unix_time: time, monotonic: time }
    }

    fn id(number: u64) -> ShortId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        ShortId(id)
    }

    #[test]
    fn the_latest_end_of_an_entry_applies() {
        let (mut set, id) = (EntrySet::default(), ShortId([1; 16]));
        for keep_until in [100, 200, 50] {
            set.insert(id, dates(u64::MAX, keep_until), at(10));
        }
        assert!(rejects(&set, id, 0, at(200)));
        assert!(!rejects(&set, id, 0, at(201)));
        assert!(!rejects(&set, ShortId([2; 16]), 0, at(10)));
    }

    #[test]
    fn a_cut_off_rejects_tokens_issued_until_then() {
        let (mut set, id) = (EntrySet::default(), ShortId([1; 16]));
        for cut_off in [70, 80, 60] {
            set.insert(id, dates(cut_off, 100), at(10));
        }
        assert!(rejects(&set, id, 80, at(100)));
        assert!(!rejects(&set, id, 81, at(100)));
        assert!(!rejects(&set, id, 80, at(101)));
    }

    #[test]
    fn the_earliest_start_applies() {
        let (mut set, id) = (EntrySet::default(), ShortId([1; 16]));
        for starts_at in [70, 60, 80] {
            set.insert(id, Dates { starts_at, ..dates(u64::MAX, 100) }, at(10));
        }
        assert_eq!(set.revoked_from(id, 0, at(10)), Some(60));
    }

    #[test]
    fn an_entry_that_is_over_does_not_change_a_later_one() {
        for cut_off in [u64::MAX, 500] {
            let (mut set, id) = (EntrySet::default(), ShortId([1; 16]));
            set.insert(id, dates(cut_off, 100), at(10));
            assert!(rejects(&set, id, 400, at(100)));
            set.insert(id, dates(200, 1_000), at(200));
            assert!(rejects(&set, id, 150, at(200)));
            assert!(!rejects(&set, id, 400, at(200)));
        }
    }

    #[test]
    fn only_entries_that_are_over_are_swept() {
        let mut set = EntrySet::default();
        for number in 0..100_000 {
            set.insert(id(number), dates(u64::MAX, number + 10), at(number));
        }
        assert!(set.len() < 5_000, "{}", set.len());
        assert!((99_990..100_000).all(|number| rejects(&set, id(number), 0, at(100_000))));
    }

    #[test]
    fn a_wall_clock_that_jumps_does_not_remove_an_entry() {
        let mut set = EntrySet::default();
        let revoked = id(u64::MAX);
        set.insert(revoked, dates(u64::MAX, 100), at(10));
        let jumped = Moment { unix_time: Duration::from_secs(5_000_000), ..at(10) };
        for number in 0..2 * SWEEP_FROM as u64 {
            set.insert(id(number), dates(u64::MAX, 9_000_000), jumped);
        }
        assert!(rejects(&set, revoked, 0, at(20)));
        assert!(rejects(&set, revoked, 0, at(100)));
        assert!(!rejects(&set, revoked, 0, at(101)));
    }
}
