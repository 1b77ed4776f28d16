//! What is known to be revoked, and until when.
//!
//! A map of our own and not a cache: nothing but time may remove a denial, and the time is the injected
//! clock's. A cache with a capacity drops new entries in silence when it is full, and one whose timer
//! expires an entry in the background can take away a denial that is renewed at that very moment.

use std::{
    hash::{BuildHasher, Hash},
    sync::{Arc, PoisonError},
    time::Duration,
};

use hashbrown::{Equivalent, HashMap};

use super::{
    Revocable, TokenFacts,
    sync::{AtomicU8, Ordering, RandomState, RwLock, SHARDS},
};
use crate::claims::{Clock, Moment};

/// Below this many entries a shard is not worth sweeping.
const SWEEP_FROM: usize = 64;

/// Every denial, of every kind.
pub(super) struct Denials {
    /// The kinds of which there ever was a denial, one bit each: others need no look-up.
    kinds: AtomicU8,
    shards: [RwLock<Shard>; SHARDS],
    /// Which of them: by a hash that ids cannot be chosen for.
    spread: RandomState,
}

struct Shard {
    entries: HashMap<Name, Denial, RandomState>,
    /// Sweep when there are this many entries: twice as many as the last sweep left, so that sweeping
    /// costs a constant for each denial and at most half of what is kept has had its day.
    sweep_at: usize,
}

#[derive(Clone, Copy)]
struct Denial {
    /// Tokens issued at this second or before are refused; `u64::MAX` where the time of issue is no matter.
    cutoff: u64,
    until: Until,
}

/// The last moment at which a denial holds: the later one by either clock. Memory is freed for ever, so a wall clock
/// that jumps ahead and is set right again must not have taken a denial with it.
#[derive(Clone, Copy)]
struct Until {
    unix_seconds: u64,
    monotonic: Duration,
}

impl Until {
    fn new(unix_seconds: u64, now: Moment) -> Self {
        let left = unix_seconds.saturating_sub(now.unix_time.as_secs());
        let monotonic = now.monotonic.saturating_add(Duration::from_secs(left));
        Self { unix_seconds, monotonic }
    }

    fn is_over(self, now: Moment) -> bool {
        now.unix_time.as_secs() > self.unix_seconds && now.monotonic > self.monotonic
    }

    fn max(self, other: Self) -> Self {
        Self {
            unix_seconds: self.unix_seconds.max(other.unix_seconds),
            monotonic: self.monotonic.max(other.monotonic),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
enum Kind {
    Token = 1,
    Subject = 2,
    Session = 4,
    Key = 8,
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

    /// Denies `what` through the second `keep_until`. An earlier denial is never shortened, nor its
    /// cut-off lowered.
    pub(super) fn insert(&self, what: &Revocable, keep_until: u64, clock: &dyn Clock) {
        let (kind, issuer, id, cutoff) = match what {
            Revocable::Token { issuer, id } => (Kind::Token, issuer, id, u64::MAX),
            Revocable::Subject { issuer, subject, issued_at } => {
                (Kind::Subject, issuer, subject, *issued_at)
            }
            Revocable::Session { issuer, id } => (Kind::Session, issuer, id, u64::MAX),
            Revocable::Key { issuer, id } => (Kind::Key, issuer, id, u64::MAX),
        };
        // Before the entry: who sees the entry's publication sees this.
        self.kinds.fetch_or(kind as u8, Ordering::Release);

        let now = Moment::of(clock);
        let mut shard = self.shard(id).write().unwrap_or_else(PoisonError::into_inner);
        if shard.entries.len() >= shard.sweep_at {
            shard.entries.retain(|_, denial| !denial.until.is_over(now));
            shard.sweep_at = shard.entries.len().saturating_mul(2).max(SWEEP_FROM);
        }
        let name = Name { kind, issuer: Arc::clone(issuer), id: Arc::clone(id) };
        let new = Denial { cutoff, until: Until::new(keep_until, now) };
        let denial = shard.entries.entry(name).or_insert(new);
        if denial.until.is_over(now) {
            *denial = new;
        } else {
            denial.cutoff = denial.cutoff.max(cutoff);
            denial.until = denial.until.max(new.until);
        }
    }

    /// Whether a token is denied, by whichever of its facts.
    pub(super) fn refuse(&self, token: &TokenFacts<'_>, clock: &dyn Clock) -> bool {
        let kinds = self.kinds.load(Ordering::Acquire);
        let denied = |kind: Kind, id: Option<&str>| {
            kinds & kind as u8 != 0
                && id.is_some_and(|id| self.holds(kind, token.issuer, id, token.issued_at, clock))
        };
        kinds != 0
            && (denied(Kind::Token, Some(token.token_id))
                || denied(Kind::Subject, token.subject)
                || denied(Kind::Session, token.session_id)
                || denied(Kind::Key, token.key_id.map(|id| &**id))
                || denied(Kind::Key, Some(token.key_thumbprint)))
    }

    /// Whether `what`, as a store is asked about it, is denied.
    pub(super) fn refuse_one(&self, what: &Revocable, clock: &dyn Clock) -> bool {
        match what {
            Revocable::Token { issuer, id } => self.holds(Kind::Token, issuer, id, 0, clock),
            Revocable::Subject { issuer, subject, issued_at } => {
                self.holds(Kind::Subject, issuer, subject, *issued_at, clock)
            }
            Revocable::Session { issuer, id } => self.holds(Kind::Session, issuer, id, 0, clock),
            Revocable::Key { issuer, id } => self.holds(Kind::Key, issuer, id, 0, clock),
        }
    }

    /// How many there are, those included whose time is over but which were not swept yet.
    pub(super) fn len(&self) -> usize {
        let entries = |shard: &RwLock<Shard>| {
            shard.read().unwrap_or_else(PoisonError::into_inner).entries.len()
        };
        self.shards.iter().map(entries).sum()
    }

    fn holds(&self, kind: Kind, issuer: &str, id: &str, issued_at: u64, clock: &dyn Clock) -> bool {
        let denial = {
            let shard = self.shard(id).read().unwrap_or_else(PoisonError::into_inner);
            shard.entries.get(&BorrowedName { kind, issuer, id }).copied()
        };
        denial.is_some_and(|denial| {
            issued_at <= denial.cutoff && !denial.until.is_over(Moment::of(clock))
        })
    }

    fn shard(&self, id: &str) -> &RwLock<Shard> {
        // Cutting the hash short is no matter: only low bits are used.
        &self.shards[self.spread.hash_one(id) as usize % SHARDS]
    }
}

/// The key of a denial in the map.
#[derive(PartialEq, Eq, Hash)]
struct Name {
    kind: Kind,
    issuer: Arc<str>,
    id: Arc<str>,
}

/// Finds a [`Name`] in the map without an allocation. It has the same fields in the same order, so both have the same
/// hash.
#[derive(Hash)]
struct BorrowedName<'a> {
    kind: Kind,
    issuer: &'a str,
    id: &'a str,
}

impl Equivalent<Name> for BorrowedName<'_> {
    fn equivalent(&self, name: &Name) -> bool {
        self.kind == name.kind && *self.issuer == *name.issuer && *self.id == *name.id
    }
}
