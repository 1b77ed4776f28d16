//! Computes the correct answers to a request from the record of the run.

use std::time::{Duration, Instant};

use crate::{
    answer::Answer,
    run_state::RunState,
    soak_token::{Revocation, Token, unix_time},
};

/// The staleness bound: how long the resource server uses an old answer if it has not received a revocation.
const STALENESS_BOUND: Duration = Duration::from_secs(30);
/// The tolerance around the moment at which a token expires.
const EXPIRY_TOLERANCE: u64 = 1;
/// The default leeway of a policy.
const LEEWAY: u64 = 30;

/// A request, from just before it was sent until its answer arrived.
pub(crate) struct Exchange {
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
    sent_unix: u64,
    answered_unix: u64,
}

impl Exchange {
    pub(crate) fn begin() -> Self {
        let (now, unix) = (Instant::now(), unix_time().as_secs());
        Self { sent: now, answered: now, sent_unix: unix, answered_unix: unix }
    }

    pub(crate) fn end(&mut self) {
        (self.answered, self.answered_unix) = (Instant::now(), unix_time().as_secs());
    }
}

/// The endpoint that the client calls.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Claims,
    Admin,
    LogOut,
}

/// The correct answers for a token without flaws, in its state at this time.
pub(crate) fn for_token(
    state: &RunState,
    token: &Token,
    first_sent: Instant,
    revocation: Revocation,
    endpoint: Endpoint,
    exchange: &Exchange,
) -> Vec<Answer> {
    let Exchange { sent, answered, sent_unix, answered_unix } = *exchange;
    let ends = token.expires_at + LEEWAY;
    let has_expired = ends + EXPIRY_TOLERANCE <= sent_unix;
    let may_have_expired = ends <= answered_unix + EXPIRY_TOLERANCE;
    let key = state.key_fetches.key_knowledge(Some(token.key), sent, answered);
    let (may_be_revoked, is_revoked, revocation_is_local) = match revocation {
        Revocation::None => (false, false, false),
        Revocation::Asked => (true, false, false),
        Revocation::Recorded(at) => (true, sent >= at + STALENESS_BOUND, false),
        Revocation::LoggedOut(at) => (true, sent >= at, sent >= at),
    };
    // The server has never got an answer about this token, and cannot get one.
    let was_never_looked_up = state.redis_faults.is_surely_down(first_sent, answered);

    let mut answers = Vec::new();
    if key.may_know && !has_expired && !is_revoked && !was_never_looked_up {
        answers.push(match endpoint {
            Endpoint::Admin if !token.is_admin() => Answer::PermissionDenied,
            _ => Answer::Passed,
        });
        if endpoint == Endpoint::LogOut
            && (state.redis_faults.may_be_down(sent, answered)
                || state.redis_faults.is_near_a_stall(sent, answered))
        {
            answers.push(Answer::NotStored);
        }
    }
    if !key.surely_knows || may_have_expired || may_be_revoked {
        answers.push(Answer::TokenNotValid);
    }
    let keys_may_be_unavailable = !key.surely_knows && key.fetch_may_have_failed;
    let may_fail = state.redis_faults.may_be_down(sent, answered)
        || state.redis_faults.is_near_a_stall(sent, answered);
    let lookup_may_fail = may_fail && !(has_expired && key.surely_knows) && !revocation_is_local;
    if keys_may_be_unavailable || lookup_may_fail {
        answers.push(Answer::Unavailable);
    }
    answers
}

/// The correct answers for a token that is invalid at any time and with any store. `key` is the number of the key that
/// signed it, if a key did.
pub(crate) fn for_invalid_token(
    state: &RunState,
    key: Option<usize>,
    exchange: &Exchange,
) -> Vec<Answer> {
    let knowledge = state.key_fetches.key_knowledge(key, exchange.sent, exchange.answered);
    match !knowledge.surely_knows && knowledge.fetch_may_have_failed {
        true => vec![Answer::TokenNotValid, Answer::Unavailable],
        false => vec![Answer::TokenNotValid],
    }
}

/// Whether the resource server certainly knows the key of the token, during the whole exchange.
pub(crate) fn server_knows_key(state: &RunState, token: &Token, exchange: &Exchange) -> bool {
    state.key_fetches.key_knowledge(Some(token.key), exchange.sent, exchange.answered).surely_knows
}
