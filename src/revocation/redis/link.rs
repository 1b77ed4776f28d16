//! A connection that is watched and replaced.

use std::{
    future::pending,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use ::redis::{Cmd, FromRedisValue, Pipeline};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::timeout,
};

use super::{
    dial::{Connection, Dialer},
    error::Failure,
    health,
};
use crate::telemetry;

/// How often a connection is tried out. So often a process asks Redis when nobody else does.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Between attempts to connect: twice as long after each, and each a random part of it.
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
    Up(Connection),
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
    pub(super) async fn open(dialer: &Dialer, absence: Absence) -> Result<Self, Failure> {
        let first = match connect(dialer).await {
            Ok(connection) => State::Up(connection),
            Err(failure) if absence == Absence::MayPass && failure.is_absence() => {
                State::Down(Arc::new(failure))
            }
            Err(failure) => return Err(failure),
        };
        let (states, state) = watch::channel(first);
        let suspected = Arc::new(Notify::new());
        let keeper = tokio::spawn(keep(dialer.clone(), states, Arc::clone(&suspected)));
        Ok(Self { state, suspected, keeper })
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(_))
    }

    pub(super) async fn send<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let mut connection = self.connection().await?;
        let answer = command.query_async(&mut connection.0).await;
        self.note(answer)
    }

    pub(super) async fn send_all<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, Failure> {
        let mut connection = self.connection().await?;
        let answer = commands.query_async(&mut connection.0).await;
        self.note(answer)
    }

    /// The connection of the moment. Where there is none, only the first attempt to make another is waited for.
    async fn connection(&self) -> Result<Connection, Failure> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| !matches!(state, State::Lost)).await;
        match settled.as_deref() {
            Ok(State::Up(connection)) => Ok(connection.clone()),
            Ok(State::Down(reason)) => Err(Failure::Down(Some(Arc::clone(reason)))),
            _ => Err(Failure::Down(None)),
        }
    }

    fn note<T>(&self, answer: ::redis::RedisResult<T>) -> Result<T, Failure> {
        answer.map_err(|error| {
            if error.is_timeout() || error.is_unrecoverable_error() {
                self.suspected.notify_one();
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

async fn connect(dialer: &Dialer) -> Result<Connection, Failure> {
    let connection = dialer.connection().await?;
    health::check(&connection).await?;
    Ok(connection)
}

async fn keep(dialer: Dialer, states: watch::Sender<State>, suspected: Arc<Notify>) {
    loop {
        let state = states.borrow().clone();
        if let State::Up(connection) = state {
            let failure = loop {
                if let Err(failure) = health::check(&connection).await {
                    break failure;
                }
                let _ = timeout(HEARTBEAT, suspected.notified()).await;
            };
            telemetry::redis_lost(failure.kind());
            states.send_replace(State::Lost);
        }
        let mut pause = FIRST_PAUSE;
        loop {
            // Even before the first attempt: a fleet loses its connections at one moment.
            wait(jittered(pause)).await;
            match connect(&dialer).await {
                Ok(connection) => {
                    telemetry::redis_connected();
                    states.send_replace(State::Up(connection));
                    break;
                }
                Err(failure) => states.send_replace(State::Down(Arc::new(failure))),
            };
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Between half of it and all of it.
pub(super) fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) >> 40;
    let parts = u32::try_from(random).unwrap_or(0);
    pause / 2 + (pause / 2).mul_f64(f64::from(parts) / f64::from(1_u32 << 24))
}

pub(super) async fn wait(pause: Duration) {
    let _ = timeout(pause, pending::<()>()).await;
}
