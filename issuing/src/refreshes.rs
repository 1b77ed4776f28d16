//! Keeps replays of one refresh token away from the store.
//!
//! 1. **One at a time**: one refresh of a session runs, and [`WAITING`] wait. More are rejected. The limit is by
//!    session and not by subject, so a stolen dead token does not block the other sessions of its owner. It may block
//!    its own session, because its first replay ends that session.
//! 2. **Dead tokens are remembered**: the store is not asked again about a token that it has called unknown, revoked or
//!    reused. None of these answers can change.
//! 3. **Memory is constant.** A randomly seeded hash assigns each session a place in a table. If there are too many
//!    dead tokens, the least used ones are forgotten. Then the store answers again.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
};

use quick_cache::sync::Cache;

use super::rate::{ConcurrencyLimits, Permit};

const PLACES: usize = 4096;

/// How many refreshes of one session wait.
const WAITING: usize = 16;

/// How many dead tokens are remembered.
const DEAD: usize = 16 * 1024;

pub(super) struct Refreshes {
    place: RandomState,
    limits: ConcurrencyLimits,
    /// SHA-256 of the claims of dead tokens.
    dead: Cache<[u8; 32], ()>,
}

impl Refreshes {
    pub(super) fn new() -> Self {
        Self {
            place: RandomState::new(),
            limits: ConcurrencyLimits::new(PLACES, 1, WAITING),
            dead: Cache::new(DEAD),
        }
    }

    /// Waits until a refresh of the session may run. `None` if too many wait.
    pub(super) async fn acquire(&self, session_id: &str) -> Option<Permit> {
        self.limits.acquire(self.place.hash_one(session_id)).await
    }

    pub(super) fn is_dead(&self, claims_hash: &[u8; 32]) -> bool {
        self.dead.get(claims_hash).is_some()
    }

    pub(super) fn remember_dead(&self, claims_hash: [u8; 32]) {
        self.dead.insert(claims_hash, ());
    }
}

impl fmt::Debug for Refreshes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refreshes").finish_non_exhaustive()
    }
}
