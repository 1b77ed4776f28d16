//! Revocation entries that start in the future.

use std::{
    collections::{BTreeMap, HashMap},
    sync::PoisonError,
};

use super::{
    Lookup, Revocable, RevocationEntry,
    sync::{AtomicU64, Ordering, RwLock},
};
use crate::UnixTime;

/// Entries by their start. [`LocalState`](super::local::LocalState) publishes the entries that are due.
pub(super) struct Pending {
    /// The earliest start in Unix seconds. It is `u64::MAX` without entries. It changes only under the lock.
    next: AtomicU64,
    by_start: RwLock<ByStart>,
}

/// For each start: the things that start then, each with the date after which it is obsolete.
type ByStart = BTreeMap<UnixTime, HashMap<Revocable, UnixTime>>;

impl Pending {
    pub(super) fn new() -> Self {
        Self { next: AtomicU64::new(u64::MAX), by_start: RwLock::new(BTreeMap::new()) }
    }

    pub(super) fn insert(&self, entry: &RevocationEntry) {
        // A store may answer with the same start at every request, so a known entry takes only the read lock.
        if self.has(entry) {
            return;
        }
        let (starts_at, obsolete_after) = (entry.starts_at(), entry.obsolete_after());
        let mut by_start = self.by_start.write().unwrap_or_else(PoisonError::into_inner);
        let entries = by_start.entry(starts_at).or_default();
        let kept = entries.entry(entry.thing().clone()).or_insert(obsolete_after);
        *kept = obsolete_after.max(*kept);
        self.store_next(&by_start);
    }

    fn has(&self, entry: &RevocationEntry) -> bool {
        let by_start = self.by_start.read().unwrap_or_else(PoisonError::into_inner);
        let kept = by_start.get(&entry.starts_at()).and_then(|kept| kept.get(entry.thing()));
        kept.is_some_and(|kept| *kept >= entry.obsolete_after())
    }

    /// The earliest start of an entry about this token.
    pub(super) fn start_of(&self, lookup: &Lookup) -> Option<UnixTime> {
        let by_start = self.by_start.read().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |entries: &HashMap<Revocable, UnixTime>| {
            lookup.things().iter().any(|thing| entries.contains_key(thing))
        };
        by_start.iter().find(|(_, entries)| is_meant(entries)).map(|(start, _)| *start)
    }

    /// The earliest start, or the maximum. The load acquires what was published before the start was stored.
    #[inline]
    pub(super) fn next(&self) -> UnixTime {
        UnixTime::from_secs(self.next.load(Ordering::Acquire))
    }

    /// Publishes every entry that is due, and removes it afterwards.
    pub(super) fn publish_due(&self, now: UnixTime, mut publish: impl FnMut(&Revocable, UnixTime)) {
        let mut by_start = self.by_start.write().unwrap_or_else(PoisonError::into_inner);
        while let Some(first) = by_start.first_entry().filter(|first| *first.key() <= now) {
            first.get().iter().for_each(|(thing, obsolete_after)| publish(thing, *obsolete_after));
            first.remove();
        }
        self.store_next(&by_start);
    }

    fn store_next(&self, by_start: &ByStart) {
        let next = by_start.first_key_value().map_or(u64::MAX, |(start, _)| start.as_secs());
        self.next.store(next, Ordering::Release);
    }

    pub(super) fn len(&self) -> usize {
        let by_start = self.by_start.read().unwrap_or_else(PoisonError::into_inner);
        by_start.values().map(HashMap::len).sum()
    }
}
