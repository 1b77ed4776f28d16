//! Limits the calls of one subject.
//!
//! 1. **Few calls run at once.** [`RUNNING`] calls of one subject run and [`WAITING`] wait. The next call gets 429. So
//!    a subject that floods the service slows down only its own calls.
//! 2. **New private tokens are limited by rate.** Rotations count with them, because each of them stores a token.
//! 3. **Revocations have separate limits**, so that a stolen access token cannot keep its owner from revoking.
//!    `logout/` and `revoke_all/` have no limit: they revoke the token that calls them, so it cannot call them again.
//! 4. **Memory is constant.** A randomly seeded hash assigns each subject a place in the tables. Two subjects in the
//!    same place share its limits.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use super::responses::ApiError;
use crate::rate::{ConcurrencyLimits, Counters, Limit, Permit};
use tower_bearer::{Authenticated, claims::Clock};

/// How many calls of one subject run.
const RUNNING: usize = 4;

/// How many more wait.
const WAITING: usize = 16;

/// `Retry-After` if too many calls wait: they end within a moment.
const A_MOMENT: Duration = Duration::from_secs(1);

const PLACES: usize = 4096;

pub(super) struct SubjectLimits {
    clock: Arc<dyn Clock>,
    place: RandomState,
    calls: ConcurrencyLimits,
    revocations: ConcurrencyLimits,
    new_tokens: Counters,
    pub(super) new_token_rate: Limit,
}

impl SubjectLimits {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            place: RandomState::new(),
            calls: ConcurrencyLimits::new(PLACES, RUNNING, WAITING),
            revocations: ConcurrencyLimits::new(PLACES, RUNNING, WAITING),
            new_tokens: Counters::new(),
            new_token_rate: Limit { at_once: 30, interval_ms: 10_000 },
        }
    }

    /// Waits until the caller may list, or change its password.
    pub(super) async fn call(&self, caller: &Authenticated) -> Result<Permit, ApiError> {
        self.calls.acquire(self.hash(caller)).await.ok_or(TOO_MANY_CALLS)
    }

    /// Waits until the caller may create a private token. Fails if the caller has created too many.
    pub(super) async fn new_token(&self, caller: &Authenticated) -> Result<Permit, ApiError> {
        let subject = self.hash(caller);
        let permit = self.calls.acquire(subject).await.ok_or(TOO_MANY_CALLS)?;
        let now = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        match self.new_tokens.of(subject).charge(&self.new_token_rate, now) {
            Ok(()) => Ok(permit),
            Err(retry_after) => Err(ApiError::Throttled { retry_after }),
        }
    }

    /// Waits until the caller may revoke a private token.
    pub(super) async fn revocation(&self, caller: &Authenticated) -> Result<Permit, ApiError> {
        self.revocations.acquire(self.hash(caller)).await.ok_or(TOO_MANY_CALLS)
    }

    fn hash(&self, caller: &Authenticated) -> u64 {
        self.place.hash_one(caller.registered().subject())
    }
}

const TOO_MANY_CALLS: ApiError = ApiError::Throttled { retry_after: A_MOMENT };
