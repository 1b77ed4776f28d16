//! Decides which answers are correct.

use std::time::{Duration, Instant};

use crate::{
    answer::Answer,
    token::{Revocation, Token, unix_time},
    world::World,
};

/// The staleness bound: how long the resource server uses an old answer if it has not received a revocation.
const BOUND: Duration = Duration::from_secs(30);
/// The tolerance around the moment at which a token expires.
const TICK: u64 = 1;
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

/// The request that was made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    Claims,
    Admin,
    LogOut,
}

/// The correct answers for a token without flaws, in its state at this time.
pub(crate) fn answers(
    world: &World,
    token: &Token,
    first_sent: Instant,
    revocation: Revocation,
    demand: Demand,
    exchange: &Exchange,
) -> Vec<Answer> {
    let Exchange { sent, answered, sent_unix, answered_unix } = *exchange;
    let ends = token.expires_at + LEEWAY;
    let has_expired = ends + TICK <= sent_unix;
    let may_have_expired = ends <= answered_unix + TICK;
    let key = world.attempts.knowledge(Some(token.key), sent, answered);
    let (may_be_revoked, is_revoked, is_known) = match revocation {
        Revocation::None => (false, false, false),
        Revocation::Asked => (true, false, false),
        Revocation::Recorded(at) => (true, sent >= at + BOUND, false),
        Revocation::LoggedOut(at) => (true, sent >= at, sent >= at),
    };
    // The server has never got an answer about this token, and cannot get one.
    let is_unasked = world.redis.surely_concern(first_sent, answered);

    let mut answers = Vec::new();
    if key.maybe && !has_expired && !is_revoked && !is_unasked {
        answers.push(match demand {
            Demand::Admin if !token.is_admin() => Answer::PermissionDenied,
            _ => Answer::Passed,
        });
        if demand == Demand::LogOut
            && (world.redis.may_concern(sent, answered)
                || world.redis.is_near_a_stall(sent, answered))
        {
            answers.push(Answer::NotStored);
        }
    }
    if !key.surely || may_have_expired || may_be_revoked {
        answers.push(Answer::TokenNotValid);
    }
    let is_in_doubt = !key.surely && key.in_doubt;
    let may_fail =
        world.redis.may_concern(sent, answered) || world.redis.is_near_a_stall(sent, answered);
    let is_out_of_reach = may_fail && !(has_expired && key.surely) && !is_known;
    if is_in_doubt || is_out_of_reach {
        answers.push(Answer::Unavailable);
    }
    answers
}

/// The correct answers for a token that is invalid at any time and with any store. `key` is the number of the key that
/// signed it, if a key did.
pub(crate) fn bad(world: &World, key: Option<usize>, exchange: &Exchange) -> Vec<Answer> {
    let knowledge = world.attempts.knowledge(key, exchange.sent, exchange.answered);
    match !knowledge.surely && knowledge.in_doubt {
        true => vec![Answer::TokenNotValid, Answer::Unavailable],
        false => vec![Answer::TokenNotValid],
    }
}

/// Whether the resource server certainly knows the key of the token, during the whole exchange.
pub(crate) fn knows_key(world: &World, token: &Token, exchange: &Exchange) -> bool {
    world.attempts.knowledge(Some(token.key), exchange.sent, exchange.answered).surely
}
