//! Keeps one connection to Redis: checks it, and replaces it if it fails.

use std::{sync::Arc, time::Duration};

use ::redis::{Cmd, FromRedisValue, Pipeline};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    dial::{Connection, Dialer},
    error::Failure,
    health::Health,
    pauses::Pauses,
};
use crate::telemetry;

/// How often the connection is checked. A process asks Redis this often even without requests.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The current connection. A task checks it, gives it up if Redis does not answer, and makes a new one.
///
/// This does not use redis-rs's `ConnectionManager`, because it keeps a connection whose commands time out. So it would
/// keep a silent connection until the kernel closes it.
pub(super) struct Link {
    state: watch::Receiver<State>,
    suspected: Arc<Notify>,
    keeper: JoinHandle<()>,
}

#[derive(Clone)]
enum State {
    /// The connection and its number. Each connection has a different number.
    Up(Connection, u64),
    /// The connection was lost just now, and the first attempt to reconnect is in progress.
    Lost,
    /// The last attempt failed for this reason.
    Down(Arc<Failure>),
}

/// How to treat a server that cannot be reached at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    IsAnError,
    MayPass,
}

impl Link {
    pub(super) async fn open(
        dialer: &Dialer,
        health: &Health,
        absence: Absence,
    ) -> Result<Self, Failure> {
        let first = match connect(dialer, health).await {
            Ok(connection) => State::Up(connection, 0),
            Err(failure) if absence == Absence::MayPass && failure.is_absence() => {
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
        };
        let keeper = tokio::spawn(keeper.run());
        Ok(Self { state, suspected, keeper })
    }

    pub(super) fn is_up(&self) -> bool {
        self.number().is_some()
    }

    /// Returns the number of the current connection, counted since the start. If this number changes, replace all other
    /// connections to the same server, because the name may lead to a different server now.
    pub(super) fn number(&self) -> Option<u64> {
        match *self.state.borrow() {
            State::Up(_, number) => Some(number),
            State::Lost | State::Down(_) => None,
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
            _ => Err(Failure::Down(None)),
        }
    }

    fn note<T>(&self, answer: ::redis::RedisResult<T>) -> Result<T, Failure> {
        answer.map_err(|error| {
            if error.is_timeout() || error.is_unrecoverable_error() {
                self.suspect();
            }
            error.into()
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn connect(dialer: &Dialer, health: &Health) -> Result<Connection, Failure> {
    let connection = dialer.connection().await?;
    // The state of the data does not matter here, because every command checks it.
    let _ = health.check(&connection).await?;
    Ok(connection)
}

struct Keeper {
    dialer: Dialer,
    health: Health,
    states: watch::Sender<State>,
    suspected: Arc<Notify>,
}

impl Keeper {
    async fn run(self) {
        let mut pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);
        let mut connections = 0;
        // A failure is reported only if it is of another kind than the last one.
        let mut told = "";
        loop {
            let state = self.states.borrow().clone();
            if let State::Up(connection, _) = state {
                let begin = Instant::now();
                let failure = self.watch(&connection).await;
                telemetry::redis_lost(failure.kind());
                told = failure.kind();
                pauses.held_since(begin);
                // If the next attempt is far off, callers do not wait for it.
                let lost =
                    if pauses.is_at_first() { State::Lost } else { State::Down(Arc::new(failure)) };
                self.states.send_replace(lost);
            }
            loop {
                // There is a pause even before the first attempt, because a fleet loses its connections all at once.
                pauses.wait().await;
                match connect(&self.dialer, &self.health).await {
                    Ok(connection) => {
                        telemetry::redis_connected();
                        connections += 1;
                        self.states.send_replace(State::Up(connection, connections));
                        break;
                    }
                    Err(failure) => {
                        if failure.kind() != told {
                            telemetry::redis_lost(failure.kind());
                            told = failure.kind();
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
            if let Err(failure) = self.health.check(connection).await {
                return failure;
            }
            let _ = timeout(HEARTBEAT, self.suspected.notified()).await;
        }
    }
}
