//! A connection that is watched and replaced.

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

/// How often a connection is tried out. So often a process asks Redis when nobody else does.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The connection of the moment. A task tries it out, gives it up when it does not answer, and makes another.
///
/// Not redis-rs's `ConnectionManager`: that one keeps a connection whose commands time out, so that one through which
/// nothing comes any more is kept for as long as the kernel believes in it.
pub(super) struct Link {
    state: watch::Receiver<State>,
    suspected: Arc<Notify>,
    keeper: JoinHandle<()>,
}

#[derive(Clone)]
enum State {
    /// With its number: each is another.
    Up(Connection, u64),
    /// Just lost; the first attempt at another is under way.
    Lost,
    /// The last attempt failed, and why.
    Down(Arc<Failure>),
}

/// What a server is that cannot be reached at start.
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

    /// Which connection it is, counted since the start. Whoever has another to the same server replaces it when this
    /// number changes: the name may lead to another server since.
    pub(super) fn number(&self) -> Option<u64> {
        match *self.state.borrow() {
            State::Up(_, number) => Some(number),
            State::Lost | State::Down(_) => None,
        }
    }

    /// Has the connection tried out at once.
    pub(super) fn suspect(&self) {
        self.suspected.notify_one();
    }

    pub(super) async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let (mut connection, _) = self.connection().await?;
        let answer = command.query_async(&mut connection.0).await;
        self.note(answer)
    }

    /// Sends over the connection with this number, and fails if another has replaced it. So the answer comes from the
    /// server that answered before over the same connection.
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

    /// The connection of the moment. Where there is none, only the first attempt to make another is waited for.
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
    // What its data are, every question finds out.
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
        // Of what keeps it away only news is told.
        let mut told = "";
        loop {
            let state = self.states.borrow().clone();
            if let State::Up(connection, _) = state {
                let begin = Instant::now();
                let failure = self.watch(&connection).await;
                telemetry::redis_lost(failure.kind());
                told = failure.kind();
                pauses.held_since(begin);
                // Nobody waits for an attempt that is far off.
                let lost =
                    if pauses.is_at_first() { State::Lost } else { State::Down(Arc::new(failure)) };
                self.states.send_replace(lost);
            }
            loop {
                // Even before the first attempt: a fleet loses its connections at one moment.
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

    /// Until it is not fit to be asked, and why.
    async fn watch(&self, connection: &Connection) -> Failure {
        loop {
            if let Err(failure) = self.health.check(connection).await {
                return failure;
            }
            let _ = timeout(HEARTBEAT, self.suspected.notified()).await;
        }
    }
}
