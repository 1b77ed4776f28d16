//! Revocation entries that start in the future.

use std::{
    collections::{BTreeMap, HashMap},
    sync::PoisonError,
};

use super::{
    Revocable,
    sync::{AtomicU64, Ordering, RwLock},
};

/// Entries by the Unix second at which they start. [`Known`](super::known::Known) publishes those that are due.
pub(super) struct Pending {
    /// The earliest start; `u64::MAX` without entries. It changes under the lock.
    next: AtomicU64,
    by_start: RwLock<BTreeMap<u64, HashMap<Revocable, u64>>>,
}

impl Pending {
    pub(super) fn new() -> Self {
        Self { next: AtomicU64::new(u64::MAX), by_start: RwLock::new(BTreeMap::new()) }
    }

    pub(super) fn insert(&self, what: &Revocable, starts_at: u64, keep_until: u64) {
        // A store may name the same start at every request: readers do not wait for each other.
        if self.has(what, starts_at, keep_until) {
            return;
        }
        let mut by_start = self.by_start.write().unwrap_or_else(PoisonError::into_inner);
        let kept = by_start.entry(starts_at).or_default().entry(what.clone()).or_insert(keep_until);
        *kept = keep_until.max(*kept);
        self.store_next(&by_start);
    }

    fn has(&self, what: &Revocable, starts_at: u64, keep_until: u64) -> bool {
        let by_start = self.by_start.read().unwrap_or_else(PoisonError::into_inner);
        let kept = by_start.get(&starts_at).and_then(|entries| entries.get(what));
        kept.is_some_and(|kept| *kept >= keep_until)
    }

    /// The earliest start. Acquires what was published before it was stored.
    #[inline]
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// Publishes every entry that is due, and only then removes it.
    pub(super) fn publish_due(&self, now: u64, mut publish: impl FnMut(&Revocable, u64)) {
        let mut by_start = self.by_start.write().unwrap_or_else(PoisonError::into_inner);
        while let Some(first) = by_start.first_entry().filter(|first| *first.key() <= now) {
            first.get().iter().for_each(|(what, keep_until)| publish(what, *keep_until));
            first.remove();
        }
        self.store_next(&by_start);
    }

    fn store_next(&self, by_start: &BTreeMap<u64, HashMap<Revocable, u64>>) {
        let next = by_start.first_key_value().map_or(u64::MAX, |(start, _)| *start);
        self.next.store(next, Ordering::Release);
    }

    pub(super) fn len(&self) -> usize {
        let by_start = self.by_start.read().unwrap_or_else(PoisonError::into_inner);
        by_start.values().map(HashMap::len).sum()
    }
}
