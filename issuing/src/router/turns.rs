//! What one owner may keep the store busy with.
//!
//! 1. **A few calls at once**: [`RUNNING`] of one owner's run, [`WAITING`] wait for their turn, and the next is 429. Whoever
//!    floods the service with one account waits for itself.
//! 2. **New private tokens by rate**, rotations counted with them: they write, and what they write stays.
//! 3. **Revocations do not wait for the rest**: they have turns of their own, so that whoever has stolen an access token
//!    cannot keep its owner from revoking. What ends the token that it is called with (`logout/`, `revoke_all/`) is not
//!    limited: it cannot be called again.
//! 4. **Memory is constant**: owners have places in tables, which a randomly seeded hash chooses. Two that share one share
//!    its turns.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use crate::{
    rate::{Counters, Limit, Turn, Turns},
    router::answers::{Refusal, throttled},
};
use tower_bearer::{
    Authenticated,
    claims::{Clock, UntypedClaims},
};

/// How many calls of one owner run.
const RUNNING: usize = 4;

/// How many more wait.
const WAITING: usize = 16;

/// When to come again where there is no turn: those before are done in a moment.
const A_MOMENT: Duration = Duration::from_secs(1);

const PLACES: usize = 4096;

pub(super) struct Owners {
    clock: Arc<dyn Clock>,
    place: RandomState,
    calls: Turns,
    revocations: Turns,
    new_tokens: Counters,
    pub(super) new_token_rate: Limit,
}

impl Owners {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            place: RandomState::new(),
            calls: Turns::new(PLACES, RUNNING, WAITING),
            revocations: Turns::new(PLACES, RUNNING, WAITING),
            new_tokens: Counters::new(),
            new_token_rate: Limit { at_once: 30, interval_ms: 10_000 },
        }
    }

    /// Waits for the turn of a call that lists.
    pub(super) async fn call(&self, access: &Access) -> Result<Turn, Refusal> {
        self.calls.take(self.hash(access)).await.ok_or_else(no_turn)
    }

    /// Waits for the turn of a call that makes a private token, if it may make one now.
    pub(super) async fn new_token(&self, access: &Access) -> Result<Turn, Refusal> {
        let owner = self.hash(access);
        let turn = self.calls.take(owner).await.ok_or_else(no_turn)?;
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        match self.new_tokens.of(owner).charge(&self.new_token_rate, now) {
            Ok(()) => Ok(turn),
            Err(retry_after) => Err(throttled(retry_after).into()),
        }
    }

    /// Waits for the turn of a call that revokes a private token.
    pub(super) async fn revocation(&self, access: &Access) -> Result<Turn, Refusal> {
        self.revocations.take(self.hash(access)).await.ok_or_else(no_turn)
    }

    fn hash(&self, access: &Access) -> u64 {
        self.place.hash_one(access.registered().subject())
    }
}

type Access = Authenticated<UntypedClaims>;

fn no_turn() -> Refusal {
    throttled(A_MOMENT).into()
}
