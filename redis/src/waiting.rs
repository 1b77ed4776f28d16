//! Waits until replicas have a revocation, before the store acknowledges it.

use std::{
    sync::{Arc, Mutex as Lock, PoisonError},
    time::Duration,
};

use tokio::sync::Mutex;

use super::{
    error::Failure,
    link::Link,
    names::{Space, twenty_digits},
};

/// Writes a value, so that `WAIT` has a write to wait for. Returns 0 if this server has fewer revocations than were
/// acknowledged, because then it is a different server.
const CONFIRM: &str = r"
local count = string.match(redis.call('GET', KEYS[1]) or '0', '^%d*')
if string.rep('0', 20 - string.len(count)) .. count < ARGV[1] then return 0 end
redis.call('SET', KEYS[2], count)
return 1
";

/// Asks how many replicas have the revocations that the master has acknowledged. One question serves all callers that
/// wait at that time.
///
/// It uses a separate connection, because `WAIT` delays all commands that are sent after it. Replicas receive one
/// stream of writes. A revocation that was recorded over another connection comes before the write of [`CONFIRM`] in
/// that stream. So a replica that has that write also has the revocation.
pub(super) struct Waiting {
    link: Link,
    replicas: u32,
    timeout: Duration,
    due: Lock<Due>,
    /// The last round. The caller that holds the lock makes the next round.
    round: Mutex<Round>,
}

/// Revocations that no finished round covers yet.
#[derive(Default)]
struct Due {
    tickets: u64,
    /// The ticket of each waiting call, and the count with which Redis has acknowledged it.
    counts: Vec<(u64, u64)>,
}

struct Round {
    /// The round covers all tickets below this one.
    up_to: u64,
    outcome: Outcome,
}

#[derive(Clone)]
enum Outcome {
    Reached,
    TooFew,
    Failed(Arc<Failure>),
}

impl Waiting {
    pub(super) fn new(link: Link, replicas: u32, timeout: Duration) -> Self {
        let round = Round { up_to: 0, outcome: Outcome::TooFew };
        Self { link, replicas, timeout, due: Lock::default(), round: Mutex::new(round) }
    }

    /// Succeeds if enough replicas have everything up to `count`, which the master has acknowledged.
    ///
    /// Waits at most for two rounds: the current one, which began too early, and the next.
    pub(super) async fn confirm(&self, space: &Space, count: u64) -> Result<(), Failure> {
        let ticket = self.take_ticket(count);
        let mut round = self.round.lock().await;
        if ticket >= round.up_to {
            // If the future is dropped in the middle, no ticket is removed, and the next caller makes a round.
            let (up_to, highest) = self.all_due();
            let outcome = self.ask(space, highest).await;
            *round = Round { up_to, outcome };
            self.due().counts.retain(|(ticket, _)| *ticket >= up_to);
        }
        match &round.outcome {
            Outcome::Reached => Ok(()),
            Outcome::TooFew => Err(Failure::TooFewReplicas),
            Outcome::Failed(failure) => Err(Failure::Unconfirmed(Arc::clone(failure))),
        }
    }

    async fn ask(&self, space: &Space, count: u64) -> Outcome {
        let mut confirm = ::redis::cmd("EVAL");
        confirm.arg(CONFIRM).arg(2).arg(&space.count).arg(&space.waited);
        confirm.arg(twenty_digits(count));
        let mut wait = ::redis::cmd("WAIT");
        wait.arg(self.replicas).arg(u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX));
        let mut both = ::redis::pipe();
        both.add_command(confirm).add_command(wait);
        match self.link.send_all(&both).await {
            Ok((true, reached)) if self.replicas <= reached => Outcome::Reached,
            Ok::<(bool, u32), _>((true, _)) => Outcome::TooFew,
            Ok((false, _)) => Outcome::Failed(Arc::new(Failure::WentBackwards)),
            Err(failure) => Outcome::Failed(Arc::new(failure)),
        }
    }

    fn take_ticket(&self, count: u64) -> u64 {
        let mut due = self.due();
        let ticket = due.tickets;
        due.tickets += 1;
        due.counts.push((ticket, count));
        ticket
    }

    /// Returns the number after the last ticket, and the highest count of all tickets.
    fn all_due(&self) -> (u64, u64) {
        let due = self.due();
        (due.tickets, due.counts.iter().map(|(_, count)| *count).max().unwrap_or(0))
    }

    fn due(&self) -> std::sync::MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
