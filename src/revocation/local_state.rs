//! The revocations and doubts that this process knows, and how requests see them.
//!
//! Denials are in a map and not in a cache, because only time may remove a denial, by the injected clock. A cache with a
//! capacity silently drops new entries when it is full. A cache whose timer expires entries in the background can
//! remove a denial at the moment at which it is renewed.

use std::{
    collections::{BTreeMap, HashMap as StdHashMap},
    hash::{BuildHasher, Hash},
    sync::PoisonError,
    time::Duration,
};

use hashbrown::{Equivalent, HashMap};

use super::{
    Lookup, Revocable, RevocableKind, RevocationEntry, TokenFacts, Verdict,
    sync::{AtomicU8, AtomicU64, Ordering, RandomState, RwLock, SHARDS},
};
use crate::{
    UnixTime,
    claims::{Clock, Moment},
};

/// Denials and doubts, numbered by an epoch.
///
/// To **publish** means: first write (a denial into the map, or the epoch of a doubt), then increment the epoch. A
/// **reader** first loads the epoch, then searches what is published. So a reader that loads an epoch sees everything
/// that was published up to it. The reason: the load acquires what each increment released, and an increment is a
/// read-modify-write, which passes on what earlier increments released.
///
/// A cached "not revoked" carries `looked`, an epoch. **Invariant: if `looked` is `n` or more, nothing that was
/// published up to `n` concerns that answer.** Only two operations set `looked`:
///
/// * *A lookup*: the epoch is loaded, no denial is found, and then the store is asked. The answer gets the loaded
///   epoch, not the epoch at its arrival. No doubt up to that epoch concerns the answer, because the question was sent
///   after it.
/// * *A hit with an older epoch*: the epoch is loaded, no denial is found, and no doubt is found that is later than the
///   question. Then the answer's epoch is raised to the loaded epoch.
///
/// Therefore a hit compares two numbers: if `looked >= epoch`, no search is needed.
///
/// After a revocation has been published as `n`, a request that starts later loads `n` or more. Every answer about an
/// affected token has `looked < n`. By the invariant this is true for ever, in every interleaving. Two examples: a
/// lookup that was in flight carries the epoch of its start. A reader between the write to the map and the increment
/// loaded an epoch below `n`, and cannot raise an answer above that epoch. So the later request searches the denials
/// and finds the revocation. The answer of such an early reader is the answer of a request that ran concurrently with
/// the revocation, before [`LocalState::apply`] returned.
///
/// An entry that **starts in the future** is published at its start, by the first request that needs it
/// ([`LocalState::start_due`]). That request loads the epoch afterwards. `next`, the earliest start, is stored only
/// after the publication. So a request at the start or later does one of three things. It publishes the entry. Or it
/// waits for the lock of the request that publishes it. Or it loads a later `next` and so acquires the publication. A
/// published entry stays published, even if the wall clock is set back.
///
/// `looked` is read and raised with relaxed ordering. The invariant is about the number, whichever thread wrote it. A
/// reader's view of the denials comes from the epoch that the reader loaded itself.
pub(super) struct LocalState {
    epoch: AtomicU64,
    /// An answer is stale if its question was sent in an earlier epoch than this.
    trusted_from: AtomicU64,
    denials: Denials,
    pending: Pending,
}

impl LocalState {
    pub(super) fn new() -> Self {
        Self {
            epoch: AtomicU64::new(0),
            trusted_from: AtomicU64::new(0),
            denials: Denials::new(),
            pending: Pending::new(),
        }
    }

    /// Load it before any search, but after [`start_due`](Self::start_due).
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Publishes an entry now, or at its start.
    pub(super) fn apply(&self, entry: &RevocationEntry, clock: &dyn Clock) {
        if entry.starts_at() == UnixTime::EPOCH || entry.starts_at() <= clock.now() {
            self.deny(entry.thing(), entry.cut_off(), entry.obsolete_after(), clock);
        } else if entry.starts_at() <= entry.obsolete_after() {
            self.pending.insert(entry);
        }
    }

    fn deny(
        &self,
        thing: &Revocable,
        cut_off: UnixTime,
        obsolete_after: UnixTime,
        clock: &dyn Clock,
    ) {
        self.denials.insert(thing, cut_off, obsolete_after, clock);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Publishes the denials that have started.
    #[inline]
    pub(super) fn start_due(&self, clock: &dyn Clock) {
        let next = self.pending.next();
        if next == UnixTime::MAX {
            return;
        }
        let now = clock.now();
        if next <= now {
            // Only tokens have a start, and they have no cut-off.
            self.pending.publish_due(now, |thing, obsolete_after| {
                self.deny(thing, UnixTime::MAX, obsolete_after, clock);
            });
        }
    }

    /// Publishes a doubt about every question that was sent before this call.
    pub(super) fn doubt(&self) {
        let next = self.epoch().wrapping_add(1);
        self.trusted_from.fetch_max(next, Ordering::AcqRel);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// The verdict on a token without a lookup, from a fresh answer if there is one. `None` if the store must be asked.
    /// The caller must load `epoch` before it searches for the answer.
    ///
    /// The proof at [`LocalState`] depends on the order of the lines.
    #[inline]
    pub(super) fn decide(
        &self,
        epoch: u64,
        answer: Option<&CachedAnswer>,
        token: &TokenFacts<'_>,
        clock: &dyn Clock,
    ) -> Option<Verdict> {
        if answer.is_some_and(|answer| answer.looked() >= epoch) {
            return Some(Verdict::NotRevoked);
        }
        if self.denials.denies(token, clock) {
            return Some(Verdict::Revoked);
        }
        if let Some(answer) = answer
            && self.is_trusted(answer.sent.epoch)
        {
            answer.raise_looked(epoch);
            return Some(Verdict::NotRevoked);
        }
        None
    }

    /// The verdict on the token of a store's lookup.
    pub(super) fn look_up(&self, lookup: &Lookup, clock: &dyn Clock) -> Verdict {
        self.start_due(clock);
        if self.denials.denies_lookup(lookup, clock) {
            return Verdict::Revoked;
        }
        Verdict::starting_at(self.pending.start_of(lookup), clock.now())
    }

    pub(super) fn denies(&self, token: &TokenFacts<'_>, clock: &dyn Clock) -> bool {
        self.start_due(clock);
        self.denials.denies(token, clock)
    }

    /// Whether a question that was sent in `epoch` was sent after the last doubt.
    pub(super) fn is_trusted(&self, epoch: u64) -> bool {
        epoch >= self.trusted_from.load(Ordering::Acquire)
    }

    pub(super) fn denials(&self) -> usize {
        self.denials.len() + self.pending.len()
    }
}

/// When a question was sent to the store.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    /// Read before sending.
    pub(super) at: Moment,
    /// The epoch, read before sending.
    pub(super) epoch: u64,
}

/// The store's "not revoked" about one token.
pub(crate) struct CachedAnswer {
    pub(super) sent: Sent,
    /// The number of the cache that it belongs to.
    asked_by: u64,
    /// Nothing that was published up to this epoch concerns the token. The largest epoch for which this is known.
    looked: AtomicU64,
}

impl CachedAnswer {
    /// The answer to a question sent at `sent`.
    pub(super) fn new(sent: Sent, asked_by: u64) -> Self {
        Self { sent, asked_by, looked: AtomicU64::new(sent.epoch) }
    }

    pub(super) fn asked_by(&self) -> u64 {
        self.asked_by
    }

    /// The epoch up to which nothing that was published concerns the token.
    ///
    /// Relaxed is enough: the number is the whole message (see [`LocalState`]).
    pub(super) fn looked(&self) -> u64 {
        self.looked.load(Ordering::Relaxed)
    }

    /// Records that nothing that was published up to `epoch` concerns the token. The time of the question does not
    /// change.
    pub(super) fn raise_looked(&self, epoch: u64) {
        self.looked.fetch_max(epoch, Ordering::Relaxed);
    }
}

/// A shard with fewer entries is not swept.
const SWEEP_FROM: usize = 64;

/// Every denial, of every kind.
pub(super) struct Denials {
    /// One bit for each kind that ever had a denial. The other kinds need no search.
    kinds: AtomicU8,
    shards: [RwLock<Shard>; SHARDS],
    /// Selects the shard, with a hash that an attacker cannot choose ids for.
    spread: RandomState,
}

struct Shard {
    entries: HashMap<Revocable, Denial, RandomState>,
    /// The shard is swept when it has this many entries: twice as many as the last sweep left. So a sweep costs a
    /// constant for each denial, and at most half of the kept denials are over.
    sweep_at: usize,
}

#[derive(Clone, Copy)]
struct Denial {
    /// Tokens issued at this second or before are rejected. The maximum if the time of issue does not matter.
    cut_off: UnixTime,
    until: Until,
}

/// The last moment of a denial: the later one of the two clocks. A removed denial does not come back. So a wall clock
/// that jumps ahead and is corrected later must not remove one.
#[derive(Clone, Copy)]
struct Until {
    wall: UnixTime,
    monotonic: Duration,
}

impl Until {
    fn new(wall: UnixTime, now: Moment) -> Self {
        let left = wall.saturating_duration_since(now.wall());
        Self { wall, monotonic: now.monotonic.saturating_add(left) }
    }

    fn is_over(self, now: Moment) -> bool {
        now.wall() > self.wall && now.monotonic > self.monotonic
    }

    fn max(self, other: Self) -> Self {
        Self { wall: self.wall.max(other.wall), monotonic: self.monotonic.max(other.monotonic) }
    }
}

/// The bit of a kind in [`Denials::kinds`].
fn bit(kind: RevocableKind) -> u8 {
    match kind {
        RevocableKind::Token => 1,
        RevocableKind::Subject => 2,
        RevocableKind::Session => 4,
        RevocableKind::Key => 8,
    }
}

impl Denials {
    pub(super) fn new() -> Self {
        Self {
            kinds: AtomicU8::new(0),
            spread: RandomState::default(),
            shards: std::array::from_fn(|_| {
                RwLock::new(Shard { entries: HashMap::default(), sweep_at: SWEEP_FROM })
            }),
        }
    }

    /// Denies `thing` through the second `obsolete_after`. This never shortens an earlier denial and never lowers its
    /// cut-off.
    pub(super) fn insert(
        &self,
        thing: &Revocable,
        cut_off: UnixTime,
        obsolete_after: UnixTime,
        clock: &dyn Clock,
    ) {
        // Before the entry: a reader that sees the publication of the entry must see this bit.
        self.kinds.fetch_or(bit(thing.kind()), Ordering::Release);

        let now = Moment::of(clock);
        let mut shard = self.shard(thing.id()).write().unwrap_or_else(PoisonError::into_inner);
        if shard.entries.len() >= shard.sweep_at {
            shard.entries.retain(|_, denial| !denial.until.is_over(now));
            shard.sweep_at = shard.entries.len().saturating_mul(2).max(SWEEP_FROM);
        }
        let new = Denial { cut_off, until: Until::new(obsolete_after, now) };
        let denial = shard.entries.entry(thing.clone()).or_insert(new);
        if denial.until.is_over(now) {
            *denial = new;
        } else {
            denial.cut_off = denial.cut_off.max(cut_off);
            denial.until = denial.until.max(new.until);
        }
    }

    /// Whether any fact of the token is denied.
    pub(super) fn denies(&self, token: &TokenFacts<'_>, clock: &dyn Clock) -> bool {
        let kinds = self.kinds.load(Ordering::Acquire);
        let denied = |kind: RevocableKind, id: Option<&str>| {
            kinds & bit(kind) != 0
                && id.is_some_and(|id| self.holds(kind, token.issuer, id, token.issued_at, clock))
        };
        kinds != 0
            && (denied(RevocableKind::Token, Some(token.token_id))
                || denied(RevocableKind::Subject, token.subject)
                || denied(RevocableKind::Session, token.session_id)
                || denied(RevocableKind::Key, token.key_id.map(|id| &**id))
                || denied(RevocableKind::Key, Some(token.key_thumbprint)))
    }

    /// Whether any thing of the lookup is denied.
    pub(super) fn denies_lookup(&self, lookup: &Lookup, clock: &dyn Clock) -> bool {
        lookup.things().iter().any(|thing| {
            self.holds(thing.kind(), thing.issuer(), thing.id(), lookup.issued_at(), clock)
        })
    }

    /// The number of denials, including those that are over but not swept yet.
    pub(super) fn len(&self) -> usize {
        let entries = |shard: &RwLock<Shard>| {
            shard.read().unwrap_or_else(PoisonError::into_inner).entries.len()
        };
        self.shards.iter().map(entries).sum()
    }

    fn holds(
        &self,
        kind: RevocableKind,
        issuer: &str,
        id: &str,
        issued_at: UnixTime,
        clock: &dyn Clock,
    ) -> bool {
        let denial = {
            let shard = self.shard(id).read().unwrap_or_else(PoisonError::into_inner);
            shard.entries.get(&Borrowed { kind, issuer, id }).copied()
        };
        denial.is_some_and(|denial| {
            issued_at <= denial.cut_off && !denial.until.is_over(Moment::of(clock))
        })
    }

    fn shard(&self, id: &str) -> &RwLock<Shard> {
        // The cast may cut the hash: only low bits are used.
        &self.shards[self.spread.hash_one(id) as usize % SHARDS]
    }
}

/// Finds a [`Revocable`] in the map without an allocation. It has the same fields in the same order, so both have the
/// same hash.
#[derive(Hash)]
struct Borrowed<'a> {
    kind: RevocableKind,
    issuer: &'a str,
    id: &'a str,
}

impl Equivalent<Revocable> for Borrowed<'_> {
    fn equivalent(&self, thing: &Revocable) -> bool {
        self.kind == thing.kind() && *self.issuer == **thing.issuer() && *self.id == **thing.id()
    }
}

/// Entries by their start. [`LocalState`] publishes the entries that are due.
pub(super) struct Pending {
    /// The earliest start in Unix seconds. It is `u64::MAX` without entries. It changes only under the lock.
    next: AtomicU64,
    by_start: RwLock<ByStart>,
}

/// For each start: the things that start then, each with the date after which it is obsolete.
type ByStart = BTreeMap<UnixTime, StdHashMap<Revocable, UnixTime>>;

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
        let is_meant = |entries: &StdHashMap<Revocable, UnixTime>| {
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
        by_start.values().map(StdHashMap::len).sum()
    }
}
