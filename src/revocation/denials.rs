//! The denials of this process: what is revoked, and until when.
//!
//! This is a map and not a cache, because only time may remove a denial, by the injected clock. A cache with a capacity
//! silently drops new entries when it is full. A cache whose timer expires entries in the background can remove a
//! denial at the moment at which it is renewed.

use std::{
    hash::{BuildHasher, Hash},
    sync::PoisonError,
    time::Duration,
};

use hashbrown::{Equivalent, HashMap};

use super::{
    Lookup, Revocable, RevocableKind, TokenFacts,
    sync::{AtomicU8, Ordering, RandomState, RwLock, SHARDS},
};
use crate::{
    UnixTime,
    claims::{Clock, Moment},
};

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
    pub(super) fn refuse(&self, token: &TokenFacts<'_>, clock: &dyn Clock) -> bool {
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
    pub(super) fn refuse_lookup(&self, lookup: &Lookup, clock: &dyn Clock) -> bool {
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
