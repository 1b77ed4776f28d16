//! Collects in memory when private tokens were last used. The maintenance writes these times to the store.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::store::TokenUse;
use tower_bearer::UnixTime;

/// A use of a token is noted at most once in this time.
const INTERVAL: Duration = Duration::from_secs(5 * 60);

const SHARDS: usize = 16;

/// Maximum number of tokens in one shard. If a shard is full, uses of other tokens are not noted until there is room.
const ROOM: usize = 8 * 1024;

/// Notes uses while requests are handled. A note takes one short lock and waits for nothing else.
pub(super) struct LastUsed {
    issuer: Arc<str>,
    spread: RandomState,
    shards: [Mutex<HashMap<Arc<str>, Noted>>; SHARDS],
}

struct Noted {
    at: UnixTime,
    is_written: bool,
}

impl LastUsed {
    pub(super) fn new(issuer: Arc<str>) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { issuer, spread: RandomState::new(), shards }
    }

    /// Notes that the token with this id was used at `now`.
    pub(super) fn note(&self, token_id: &str, now: UnixTime) {
        let place = self.spread.hash_one(token_id) % SHARDS as u64;
        let Some(shard) = usize::try_from(place).ok().and_then(|place| self.shards.get(place))
        else {
            return;
        };
        let mut shard = lock(shard);
        if let Some(noted) = shard.get_mut(token_id) {
            if now >= noted.at + INTERVAL {
                *noted = Noted { at: now, is_written: false };
            }
        } else if shard.len() < ROOM {
            shard.insert(token_id.into(), Noted { at: now, is_written: false });
        }
    }

    /// Returns the uses that are not written yet, and marks them as written.
    pub(super) fn take(&self) -> TakenUses<'_> {
        let mut uses = Vec::new();
        for shard in &self.shards {
            for (id, noted) in lock(shard).iter_mut().filter(|(_, noted)| !noted.is_written) {
                noted.is_written = true;
                uses.push(TokenUse::new(Arc::clone(&self.issuer), Arc::clone(id), noted.at));
            }
        }
        TakenUses { last_used: self, uses }
    }

    /// Marks uses that could not be written as not written.
    fn put_back(&self, uses: Vec<TokenUse>) {
        for TokenUse { token_id, at, .. } in uses {
            let place = self.spread.hash_one(&*token_id) % SHARDS as u64;
            let shard = usize::try_from(place).ok().and_then(|place| self.shards.get(place));
            if let Some(shard) = shard {
                match lock(shard).entry(token_id) {
                    Entry::Occupied(mut noted) => noted.get_mut().is_written = false,
                    Entry::Vacant(entry) => {
                        entry.insert(Noted { at, is_written: false });
                    }
                }
            }
        }
    }

    /// Forgets the tokens whose use is written and whose next use would be noted again.
    pub(super) fn forget(&self, now: UnixTime) {
        for shard in &self.shards {
            lock(shard).retain(|_, noted| !noted.is_written || now < noted.at + INTERVAL);
        }
    }
}

/// Uses that the maintenance writes. Those that are not written when this is dropped are put back. So a failure of the
/// store, or a maintenance that is dropped while it waits, loses none.
pub(super) struct TakenUses<'a> {
    last_used: &'a LastUsed,
    /// Those that are not written yet.
    uses: Vec<TokenUse>,
}

impl TakenUses<'_> {
    /// Up to `limit` uses to write next. `None` if all are written.
    pub(super) fn next_batch(&self, limit: usize) -> Option<&[TokenUse]> {
        self.uses.chunks(limit).next_back()
    }

    /// Marks the uses of [`next_batch`](Self::next_batch) with the same limit as written.
    pub(super) fn mark_written(&mut self, limit: usize) {
        let written = self.next_batch(limit).map_or(0, <[TokenUse]>::len);
        self.uses.truncate(self.uses.len() - written);
    }
}

impl Drop for TakenUses<'_> {
    fn drop(&mut self) {
        self.last_used.put_back(std::mem::take(&mut self.uses));
    }
}

fn lock(shard: &Mutex<HashMap<Arc<str>, Noted>>) -> MutexGuard<'_, HashMap<Arc<str>, Noted>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixTime = UnixTime::from_secs(1_000);

    /// Takes the uses and writes them.
    fn written(last_used: &LastUsed) -> Vec<UnixTime> {
        let mut uses = last_used.take();
        let mut times = Vec::new();
        while let Some(batch) = uses.next_batch(2) {
            times.extend(batch.iter().map(|one| one.at));
            uses.mark_written(2);
        }
        times
    }

    #[test]
    fn a_token_is_noted_once_in_five_minutes() {
        let last_used = LastUsed::new("iss".into());
        let seconds = (0..INTERVAL.as_secs()).map(Duration::from_secs);
        seconds.for_each(|later| last_used.note("p.a", START + later));
        assert_eq!(written(&last_used), [START]);
        last_used.note("p.a", START + INTERVAL - Duration::from_secs(1));
        assert!(written(&last_used).is_empty());
        last_used.note("p.a", START + INTERVAL);
        assert_eq!(written(&last_used), [START + INTERVAL]);
    }

    #[test]
    fn uses_that_were_not_written_are_put_back() {
        let last_used = LastUsed::new("iss".into());
        (0..5).for_each(|n| last_used.note(&format!("p.{n}"), START));
        let mut uses = last_used.take();
        assert_eq!(uses.next_batch(2).unwrap().len(), 1);
        uses.mark_written(2);
        assert_eq!(uses.next_batch(2).unwrap().len(), 2);
        uses.mark_written(2);
        drop(uses);
        assert_eq!(written(&last_used), [START; 2]);
        assert!(written(&last_used).is_empty());
    }

    #[test]
    fn memory_is_bounded_and_freed() {
        let last_used = LastUsed::new("iss".into());
        (0..SHARDS * ROOM * 2).for_each(|n| last_used.note(&format!("p.{n}"), START));
        assert!(written(&last_used).len() <= SHARDS * ROOM);
        last_used.forget(START + INTERVAL);
        assert!(last_used.shards.iter().all(|shard| lock(shard).is_empty()));
    }
}
