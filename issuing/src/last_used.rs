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
    pub(super) fn take(&self) -> Vec<TokenUse> {
        let mut uses = Vec::new();
        for shard in &self.shards {
            for (id, noted) in lock(shard).iter_mut().filter(|(_, noted)| !noted.is_written) {
                noted.is_written = true;
                uses.push(TokenUse::new(Arc::clone(&self.issuer), Arc::clone(id), noted.at));
            }
        }
        uses
    }

    /// Marks uses that could not be written as not written.
    pub(super) fn put_back(&self, uses: Vec<TokenUse>) {
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

fn lock(shard: &Mutex<HashMap<Arc<str>, Noted>>) -> MutexGuard<'_, HashMap<Arc<str>, Noted>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: UnixTime = UnixTime::from_secs(1_000);

    fn at(uses: &[TokenUse]) -> Vec<UnixTime> {
        uses.iter().map(|one| one.at).collect()
    }

    #[test]
    fn a_token_is_noted_once_in_five_minutes() {
        let last_used = LastUsed::new("iss".into());
        let seconds = (0..INTERVAL.as_secs()).map(Duration::from_secs);
        seconds.for_each(|later| last_used.note("p.a", START + later));
        assert_eq!(at(&last_used.take()), [START]);
        last_used.note("p.a", START + INTERVAL - Duration::from_secs(1));
        assert!(last_used.take().is_empty());
        last_used.note("p.a", START + INTERVAL);
        assert_eq!(at(&last_used.take()), [START + INTERVAL]);
    }

    #[test]
    fn what_could_not_be_written_comes_again() {
        let last_used = LastUsed::new("iss".into());
        last_used.note("p.a", START);
        let uses = last_used.take();
        last_used.put_back(uses);
        assert_eq!(at(&last_used.take()), [START]);
    }

    #[test]
    fn memory_is_bounded_and_freed() {
        let last_used = LastUsed::new("iss".into());
        (0..SHARDS * ROOM * 2).for_each(|n| last_used.note(&format!("p.{n}"), START));
        assert!(last_used.take().len() <= SHARDS * ROOM);
        last_used.forget(START + INTERVAL);
        assert!(last_used.shards.iter().all(|shard| lock(shard).is_empty()));
    }
}
