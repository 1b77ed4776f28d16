//! Accepts each proof once (RFC 9449 section 11.1).

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::RandomState},
    fmt,
    hash::{BuildHasher as _, Hash},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::proof::ProofId;
use crate::{BoxFuture, revocation::StoreError};

/// Remembers which proofs were used, for all processes of a fleet.
///
/// By default each layer remembers them in its own process. `tower-bearer-redis` has an implementation for a fleet.
pub trait ReplayStore: Send + Sync + 'static {
    /// Records a proof in one step, unless it is recorded already. Of all calls with one [id](ProofUse::id), in all
    /// processes, at most one may answer [`Recorded::FirstUse`] within [`ProofUse::keep_for`].
    ///
    /// The future must end within a bounded time. The caller may drop it before it is done. The proof may then be
    /// recorded, and the client must make a new one.
    ///
    /// # Errors
    /// If the store cannot answer, or may have lost proofs that it recorded. The store must not guess: the setting
    /// [`with_on_unavailable`](super::Dpop::with_on_unavailable) decides what an error means.
    fn record(&self, proof: ProofUse) -> BoxFuture<'static, Result<Recorded, StoreError>>;
}

/// A proof that has passed every other check.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct ProofUse {
    pub(super) id: ProofId,
    pub(super) keep_for: Duration,
}

impl ProofUse {
    /// Identifies the proof: a hash of its key and its `jti`. It reveals neither.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.id.0
    }

    /// How long the proof must be remembered. No process accepts it after that time, if the clocks of the fleet differ
    /// by at most the leeway.
    #[must_use]
    pub fn keep_for(&self) -> Duration {
        self.keep_for
    }
}

impl fmt::Debug for ProofUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofUse").field("keep_for", &self.keep_for).finish_non_exhaustive()
    }
}

/// The answer of a [`ReplayStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a caller must handle every answer")]
pub enum Recorded {
    /// The proof was not recorded before. It is recorded now.
    FirstUse,
    /// The proof was used before.
    Replay,
}

/// How many proofs this process accepts within one to one and a quarter windows. The window is the maximum age of a
/// proof plus twice the leeway plus a second. Above a limit, requests get 503 and no proof is forgotten.
///
/// | limit | default | what it protects |
/// |---|---|---|
/// | [per key](Self::with_per_key) | 20 000 | the subject's own other keys |
/// | [per subject](Self::with_per_subject) | 40 000 | the other subjects |
/// | [in total](Self::with_total) | 2 000 000 | the memory of the process |
///
/// With the default window of 121 seconds a key can send about 130 requests per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it is a setting of `Dpop`"]
pub struct ReplayLimits {
    per_key: usize,
    per_subject: usize,
    total: usize,
}

impl Default for ReplayLimits {
    fn default() -> Self {
        Self { per_key: 20_000, per_subject: 40_000, total: 2_000_000 }
    }
}

impl ReplayLimits {
    /// Sets the number of proofs of one key. Default: 20 000.
    pub fn with_per_key(self, per_key: usize) -> Self {
        Self { per_key, ..self }
    }

    /// Sets the number of proofs of one subject of one issuer, by all its keys. Default: 40 000. A token without `sub`
    /// counts for its key only.
    pub fn with_per_subject(self, per_subject: usize) -> Self {
        Self { per_subject, ..self }
    }

    /// Sets the number of proofs in total. Default: 2 000 000.
    pub fn with_total(self, total: usize) -> Self {
        Self { total, ..self }
    }
}

/// The proofs that were used in this process, and how many of them each key and subject has used.
pub(super) struct Replays {
    limits: ReplayLimits,
    /// How long a proof is remembered at least, by the monotonic clock.
    window: Duration,
    used: Sharded<HashSet<ProofId>>,
    counts: Sharded<HashMap<Holder, usize>>,
    total: Mutex<Recent<usize>>,
}

/// The hash of a key or of a subject.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Holder(u64);

/// The key of a proof, and the subject of its token.
pub(super) struct Holders {
    key: Holder,
    subject: Option<Holder>,
}

impl Replays {
    pub(super) fn new(limits: ReplayLimits, window: Duration) -> Self {
        Self {
            limits,
            window,
            used: Sharded::new(),
            counts: Sharded::new(),
            total: Mutex::new(Recent::new()),
        }
    }

    pub(super) fn limits(&self) -> ReplayLimits {
        self.limits
    }

    /// `subject`: the issuer and the subject of the token.
    pub(super) fn holders(&self, key: &str, subject: Option<(&str, &str)>) -> Holders {
        let hasher = &self.counts.hasher;
        Holders {
            key: Holder(hasher.hash_one(key)),
            subject: subject.map(|subject| Holder(hasher.hash_one(subject))),
        }
    }

    /// Whether one more proof is within the limits. Threads that ask at the same time may each get `true` for the last
    /// place.
    pub(super) fn has_room(&self, holders: &Holders, now: Duration) -> bool {
        let is_below = |holder: Option<Holder>, limit: usize| {
            holder.is_none_or(|holder| self.count_of(holder, now) < limit)
        };
        is_below(Some(holders.key), self.limits.per_key)
            && is_below(holders.subject, self.limits.per_subject)
            && self.total(now, 0) < self.limits.total
    }

    /// Counts a proof that was recorded.
    pub(super) fn count(&self, holders: &Holders, now: Duration) {
        for holder in [Some(holders.key), holders.subject].into_iter().flatten() {
            self.counts.with(&holder, now, self.window, |slots| {
                if let Some((_, newest)) = slots.back_mut() {
                    *newest.entry(holder).or_default() += 1;
                }
            });
        }
        self.total(now, 1);
    }

    /// Records a proof in the memory of this process.
    pub(super) fn record(&self, id: ProofId, now: Duration) -> Recorded {
        let is_first = self.used.with(&id, now, self.window, |slots| {
            if slots.iter().any(|(_, used)| used.contains(&id)) {
                return false;
            }
            slots.back_mut().is_some_and(|(_, newest)| newest.insert(id))
        });
        if is_first { Recorded::FirstUse } else { Recorded::Replay }
    }

    fn count_of(&self, holder: Holder, now: Duration) -> usize {
        self.counts.with(&holder, now, self.window, |slots| {
            slots.iter().filter_map(|(_, counts)| counts.get(&holder)).sum()
        })
    }

    /// The number of all proofs after `added` more.
    fn total(&self, now: Duration, added: usize) -> usize {
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = total.at(now, self.window);
        if let Some((_, newest)) = slots.back_mut() {
            *newest += added;
        }
        slots.iter().map(|(_, count)| count).sum()
    }
}

/// Parts of a window. Data is dropped in such parts.
const SLOTS_PER_WINDOW: u32 = 4;

/// Data in slots by the time when it was added. A slot is dropped as a whole, when everything in it is older than the
/// window.
struct Recent<T> {
    slots: VecDeque<(u128, T)>,
}

impl<T: Default> Recent<T> {
    fn new() -> Self {
        Self { slots: VecDeque::new() }
    }

    /// Drops what is too old. The last of the slots is the one for new data.
    fn at(&mut self, now: Duration, window: Duration) -> &mut VecDeque<(u128, T)> {
        let current = now.as_nanos() / (window / SLOTS_PER_WINDOW).as_nanos().max(1);
        let is_old = |slot: u128| slot + u128::from(SLOTS_PER_WINDOW) < current;
        while self.slots.front().is_some_and(|(slot, _)| is_old(*slot)) {
            self.slots.pop_front();
        }
        if self.slots.back().is_none_or(|(newest, _)| *newest < current) {
            self.slots.push_back((current, T::default()));
        }
        &mut self.slots
    }
}

/// Data in shards, so that threads seldom wait for each other, and so that a table that grows does not stop all.
struct Sharded<T> {
    shards: Box<[Mutex<Recent<T>>]>,
    hasher: RandomState,
}

const SHARDS: usize = 64;

impl<T: Default> Sharded<T> {
    fn new() -> Self {
        let shards = (0..SHARDS).map(|_| Mutex::new(Recent::new())).collect();
        Self { shards, hasher: RandomState::new() }
    }

    fn with<R: Default>(
        &self,
        key: &impl Hash,
        now: Duration,
        window: Duration,
        action: impl FnOnce(&mut VecDeque<(u128, T)>) -> R,
    ) -> R {
        let shard = self.hasher.hash_one(key) % (SHARDS as u64);
        let shard = usize::try_from(shard).ok().and_then(|shard| self.shards.get(shard));
        let Some(shard) = shard else { return R::default() };
        action(shard.lock().unwrap_or_else(PoisonError::into_inner).at(now, window))
    }
}

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(120);

    fn id(number: u128) -> ProofId {
        ProofId(number.to_be_bytes())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(1_000_000 + seconds)
    }

    #[test]
    fn a_proof_is_remembered_for_at_least_the_window_and_then_forgotten() {
        for begin in 0..60 {
            let replays = Replays::new(ReplayLimits::default(), WINDOW);
            assert_eq!(replays.record(id(1), seconds(begin)), Recorded::FirstUse);
            for age in [0, 1, 59, 119, 120] {
                assert_eq!(replays.record(id(1), seconds(begin + age)), Recorded::Replay, "{age}");
            }
            assert_eq!(replays.record(id(1), seconds(begin + 151)), Recorded::FirstUse);
            assert_eq!(replays.record(id(2), seconds(begin + 151)), Recorded::FirstUse);
        }
    }

    #[test]
    fn old_proofs_release_their_memory_and_their_places() {
        let replays = Replays::new(ReplayLimits::default().with_total(10_000), WINDOW);
        let holders = replays.holders("key", None);
        for number in 0..10_000 {
            assert!(replays.has_room(&holders, seconds(0)));
            replays.record(id(number), seconds(0));
            replays.count(&holders, seconds(0));
        }
        assert!(!replays.has_room(&holders, seconds(120)));
        assert!(replays.has_room(&holders, seconds(151)));
        for number in 0..1_000 {
            replays.record(id(1 << 64 | number), seconds(151));
        }
        let used: usize = replays
            .used
            .shards
            .iter()
            .flat_map(|shard| {
                let shard = shard.lock().unwrap();
                shard.slots.iter().map(|(_, used)| used.len()).collect::<Vec<_>>()
            })
            .sum();
        assert_eq!(used, 1_000);
    }

    #[test]
    fn limits_of_a_key_and_of_a_subject_leave_room_for_others() {
        let limits = ReplayLimits::default().with_per_key(3).with_per_subject(5).with_total(8);
        let replays = Replays::new(limits, WINDOW);
        let user = Some(("https://issuer.example", "user"));
        let use_proofs = |key: &str, subject: Option<(&str, &str)>| {
            let holders = replays.holders(key, subject);
            let mut used = 0;
            while used < 100 && replays.has_room(&holders, seconds(0)) {
                replays.count(&holders, seconds(0));
                used += 1;
            }
            used
        };
        assert_eq!(use_proofs("a", user), 3);
        // The subject has two more, whatever its keys are.
        assert_eq!(use_proofs("b", user), 2);
        assert_eq!(use_proofs("c", user), 0);
        // The same name at another issuer is another subject.
        assert_eq!(use_proofs("d", Some(("https://other.example", "user"))), 3);
        assert_eq!(use_proofs("e", None), 0, "the limit in total");
    }

    #[test]
    fn of_many_threads_with_one_proof_one_uses_it() {
        let replays = Replays::new(ReplayLimits::default(), WINDOW);
        let first: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let record = |number| replays.record(id(number), seconds(0));
                        (0..1_000).filter(|n| record(*n) == Recorded::FirstUse).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(first, 1_000);
    }

    #[test]
    #[allow(
        clippy::print_stdout,
        clippy::disallowed_methods,
        reason = "it measures for benches/README.md"
    )]
    fn many_used_proofs_use_little_memory() {
        // A million takes half a minute without optimization.
        const COUNT: u32 = if cfg!(debug_assertions) { 100_000 } else { 1_000_000 };
        let replays = Replays::new(ReplayLimits::default(), WINDOW);
        let holders: Vec<_> = (0..1_000)
            .map(|key: u16| replays.holders(&key.to_string(), Some(("issuer", &key.to_string()))))
            .collect();
        let mut times: Vec<u32> = Vec::with_capacity(COUNT as usize);
        let used = allocation_counter::measure(|| {
            for (number, holders) in (0..COUNT).zip(holders.iter().cycle()) {
                // The proofs of one window, in all its slots.
                let now = WINDOW * 10_000 + WINDOW / COUNT * number;
                let begin = std::time::Instant::now();
                assert!(replays.has_room(holders, now));
                assert_eq!(replays.record(id(number.into()), now), Recorded::FirstUse);
                replays.count(holders, now);
                times.push(u32::try_from(begin.elapsed().as_nanos()).unwrap());
            }
        });
        times.sort_unstable();
        let part = |share: usize| times[times.len() / 1_000 * share];
        let held = used.bytes_current / i64::from(COUNT);
        println!("{held} bytes for a used proof");
        println!("recorded in {} ns, 99th percentile {} ns", part(500), part(990));
        assert!((17..=64).contains(&held), "{held} bytes");
    }
}
