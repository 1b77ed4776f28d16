//! Keeps one connection to Redis: checks it, and replaces it if it fails. Asks replicas over such a connection.

use std::{
    sync::{
        Arc, Mutex as Lock, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use ::redis::{Cmd, FromRedisValue, Pipeline};
use tokio::{
    sync::{Mutex, Notify, watch},
    time::{Instant, timeout},
};

use super::{
    connection::{Backoff, Connection, Dialer},
    data_loss::Health,
    error::Failure,
    keys::{Keys, twenty_digits},
    telemetry,
};
use tower_bearer::BackgroundTask;

/// How often the connection is checked. A process asks Redis this often even without requests.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Backoff between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The current connection. A task checks it, gives it up if Redis does not answer, and makes a new one.
///
/// This does not use redis-rs's `ConnectionManager`, because it keeps a connection whose commands time out. So it would
/// keep a silent connection until the kernel closes it.
pub(super) struct Link {
    state: watch::Receiver<State>,
    suspected: Arc<Notify>,
}

#[derive(Clone)]
enum State {
    /// The connection and its number. Each connection has a different number.
    Up(Connection, u64),
    /// The connection was lost just now, and the first attempt to reconnect is in progress.
    Lost,
    /// The last attempt failed for this reason.
    Down(Arc<Failure>),
    /// The task has ended.
    Stopped,
}

/// How to treat a server that cannot be reached at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnreachableAtStart {
    IsAnError,
    IsAllowed,
}

impl Link {
    /// Connects, and returns the work that keeps the connection. The caller runs it in its task.
    pub(super) async fn open(
        dialer: &Dialer,
        health: &Health,
        unreachable: UnreachableAtStart,
        mut report: LinkReport,
    ) -> Result<(Self, Keeper), Failure> {
        let first = match connect(dialer, health).await {
            Ok(connection) => State::Up(connection, 0),
            Err(failure)
                if unreachable == UnreachableAtStart::IsAllowed && failure.may_be_temporary() =>
            {
                report.failed(failure.kind());
                State::Down(Arc::new(failure))
            }
            Err(failure) => return Err(failure),
        };
        let (states, state) = watch::channel(first);
        let suspected = Arc::new(Notify::new());
        let keeper = Keeper {
            dialer: dialer.clone(),
            health: health.clone(),
            states,
            suspected: Arc::clone(&suspected),
            report,
        };
        Ok((Self { state, suspected }, keeper))
    }

    pub(super) fn is_up(&self) -> bool {
        self.number().is_some()
    }

    /// Returns the number of the current connection, counted since the start. If this number changes, replace all other
    /// connections to the same server, because the name may lead to a different server now.
    pub(super) fn number(&self) -> Option<u64> {
        match *self.state.borrow() {
            State::Up(_, number) => Some(number),
            State::Lost | State::Down(_) | State::Stopped => None,
        }
    }

    /// Asks the task to check the connection at once.
    pub(super) fn suspect(&self) {
        self.suspected.notify_one();
    }

    pub(super) async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let (mut connection, _) = self.connection().await?;
        let answer = command.query_async(&mut connection.0).await;
        self.note(answer)
    }

    /// Sends over the connection with this number, and fails if another one has replaced it. So the answer comes from
    /// the same server as the earlier answers over that connection.
    pub(super) async fn send_over<T: FromRedisValue>(
        &self,
        number: u64,
        command: &Cmd,
    ) -> Result<T, Failure> {
        let (mut connection, current) = self.connection().await?;
        if current != number {
            return Err(Failure::Down(None));
        }
        let answer = command.query_async(&mut connection.0).await;
        self.note(answer)
    }

    /// The number of the current connection, for [`send_over`](Self::send_over).
    pub(super) async fn current(&self) -> Result<u64, Failure> {
        Ok(self.connection().await?.1)
    }

    pub(super) async fn send_all<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, Failure> {
        let (mut connection, _) = self.connection().await?;
        let answer = commands.query_async(&mut connection.0).await;
        self.note(answer)
    }

    /// Returns the current connection. If it was lost just now, this waits only for the first attempt to reconnect.
    async fn connection(&self) -> Result<(Connection, u64), Failure> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, State::Lost)).await;
        match settled.as_deref() {
            Ok(State::Up(connection, number)) => Ok((connection.clone(), *number)),
            Ok(State::Down(reason)) => Err(Failure::Down(Some(Arc::clone(reason)))),
            Ok(State::Stopped) => Err(Failure::Stopped),
            _ => Err(Failure::Down(None)),
        }
    }

    fn note<T>(&self, answer: ::redis::RedisResult<T>) -> Result<T, Failure> {
        answer.map_err(|error| {
            let is_broken = error.is_timeout() || error.is_unrecoverable_error();
            let failure = Failure::from(error);
            if is_broken || failure.may_be_at_another_server() {
                self.suspect();
            }
            failure
        })
    }
}

async fn connect(dialer: &Dialer, health: &Health) -> Result<Connection, Failure> {
    let connection = dialer.connection().await?;
    // The state of the data does not matter here, because every command checks it.
    let _ = health.check_server(&connection).await?;
    Ok(connection)
}

/// The work that keeps the connection of one [`Link`].
pub(super) struct Keeper {
    dialer: Dialer,
    health: Health,
    states: watch::Sender<State>,
    suspected: Arc<Notify>,
    report: LinkReport,
}

impl Keeper {
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut connections = 0;
        // A failure is reported only if it is of another kind than the last one.
        let mut reported = "";
        loop {
            let state = self.states.borrow().clone();
            if let State::Up(connection, _) = state {
                let begin = Instant::now();
                let failure = self.watch(&connection).await;
                telemetry::redis_lost(failure.kind());
                self.report.failed(failure.kind());
                reported = failure.kind();
                backoff.reset_if_stable(begin);
                // If the next attempt is far off, callers do not wait for it.
                let lost =
                    if backoff.is_reset() { State::Lost } else { State::Down(Arc::new(failure)) };
                self.states.send_replace(lost);
            }
            loop {
                // There is a pause even before the first attempt, because a fleet loses its connections all at once.
                backoff.wait().await;
                match connect(&self.dialer, &self.health).await {
                    Ok(connection) => {
                        telemetry::redis_connected();
                        self.report.succeeded();
                        connections += 1;
                        self.states.send_replace(State::Up(connection, connections));
                        break;
                    }
                    Err(failure) => {
                        self.report.failed(failure.kind());
                        if failure.kind() != reported {
                            telemetry::redis_lost(failure.kind());
                            reported = failure.kind();
                        }
                        self.states.send_replace(State::Down(Arc::new(failure)));
                    }
                }
            }
        }
    }

    /// Watches the connection until it must not be used any more, and returns the reason.
    async fn watch(&self, connection: &Connection) -> Failure {
        loop {
            let checks = tokio::try_join!(
                self.health.check_server(connection),
                self.dialer.check_master(connection),
            );
            if let Err(failure) = checks {
                return failure;
            }
            let _ = timeout(HEARTBEAT, self.suspected.notified()).await;
        }
    }
}

impl Drop for Keeper {
    /// A connection that is not checked any more must not be used.
    fn drop(&mut self) {
        self.states.send_replace(State::Stopped);
    }
}

/// Reports the health of several connections as that of one task: a connection that works does not hide one that fails.
pub(super) struct LinkReport {
    task: BackgroundTask,
    /// How many connections are down.
    down: Arc<AtomicUsize>,
    is_down: bool,
}

impl LinkReport {
    pub(super) fn new(task: &BackgroundTask) -> Self {
        Self { task: task.clone(), down: Arc::default(), is_down: false }
    }

    fn failed(&mut self, kind: &'static str) {
        if !std::mem::replace(&mut self.is_down, true) {
            self.down.fetch_add(1, Relaxed);
        }
        self.task.failed(kind);
    }

    fn succeeded(&mut self) {
        if std::mem::take(&mut self.is_down) {
            self.down.fetch_sub(1, Relaxed);
        }
        if self.down.load(Relaxed) == 0 {
            self.task.succeeded();
        }
    }
}

impl Clone for LinkReport {
    /// A report for another connection.
    fn clone(&self) -> Self {
        Self { task: self.task.clone(), down: Arc::clone(&self.down), is_down: false }
    }
}

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
pub(super) struct ReplicaWait {
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

impl ReplicaWait {
    pub(super) fn new(link: Link, replicas: u32, timeout: Duration) -> Self {
        let round = Round { up_to: 0, outcome: Outcome::TooFew };
        Self { link, replicas, timeout, due: Lock::default(), round: Mutex::new(round) }
    }

    /// Succeeds if enough replicas have everything up to `count`, which the master has acknowledged.
    ///
    /// Waits at most for two rounds: the current one, which began too early, and the next.
    pub(super) async fn confirm(&self, keys: &Keys, count: u64) -> Result<(), Failure> {
        let ticket = self.take_ticket(count);
        let mut round = self.round.lock().await;
        if ticket >= round.up_to {
            // If the future is dropped in the middle, no ticket is removed, and the next caller makes a round.
            let (up_to, highest) = self.all_due();
            let outcome = self.ask(keys, highest).await;
            *round = Round { up_to, outcome };
            self.due().counts.retain(|(ticket, _)| *ticket >= up_to);
        }
        match &round.outcome {
            Outcome::Reached => Ok(()),
            Outcome::TooFew => Err(Failure::TooFewReplicas),
            Outcome::Failed(failure) => Err(Failure::Unconfirmed(Arc::clone(failure))),
        }
    }

    async fn ask(&self, keys: &Keys, count: u64) -> Outcome {
        let mut confirm = ::redis::cmd("EVAL");
        confirm.arg(CONFIRM).arg(2).arg(&keys.count).arg(&keys.waited);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_that_works_does_not_hide_one_that_fails() {
        let task = BackgroundTask::new("test");
        assert!(task.start(std::future::pending()));
        let mut one = LinkReport::new(&task);
        let mut other = one.clone();
        one.failed("timed_out");
        other.succeeded();
        assert_eq!(task.health().last_error, Some("timed_out"));
        other.failed("dial");
        one.succeeded();
        assert_eq!(task.health().failures_in_a_row, 2);
        other.succeeded();
        assert!(task.health().is_ok());
    }
}
