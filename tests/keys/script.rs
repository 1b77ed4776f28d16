//! A key server in memory, for Tokio's paused time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;
use tower_bearer::{
    BoxFuture,
    claims::Clock,
    jwks::{FetchError, FetchJwks, FetchRequest, Fetched, RemoteJwks},
};

use crate::common::requests::NOW;

/// Tokio's clock, which a test may have paused, as the crate's.
#[derive(Clone, Copy)]
pub(crate) struct TokioClock(Instant);

impl TokioClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Seconds since it was made.
    pub(crate) fn seconds(self) -> u64 {
        self.0.elapsed().as_secs()
    }

    /// Lets time pass until so many seconds after it was made, and all that was due by then be done.
    pub(crate) async fn reaches(self, seconds: u64) {
        tokio::time::timeout_at(
            self.0 + Duration::from_secs(seconds),
            std::future::pending::<()>(),
        )
        .await
        .unwrap_err();
        settle().await;
    }
}

impl Clock for TokioClock {
    fn unix_time(&self) -> Duration {
        Duration::from_secs(NOW) + self.0.elapsed()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Lets all tasks do what they can without time passing.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[derive(Clone)]
pub(crate) enum Habit {
    Serves(Fetched),
    Fails,
    Hangs,
    Panics,
}

/// Clones are one server.
#[derive(Clone)]
pub(crate) struct Script(Arc<Mutex<State>>);

struct State {
    habit: Habit,
    clock: TokioClock,
    /// When it was asked, in seconds, and with which `ETag`.
    asked: Vec<(u64, Option<String>)>,
}

impl Script {
    pub(crate) fn serves(set: &str) -> Self {
        Self::that(Habit::Serves(Fetched::document(set.to_owned())))
    }

    pub(crate) fn that(habit: Habit) -> Self {
        let state = State { habit, clock: TokioClock::new(), asked: Vec::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn turns_to(&self, habit: Habit) {
        self.0.lock().unwrap().habit = habit;
    }

    pub(crate) fn turns_to_serve(&self, set: &str) {
        self.turns_to(Habit::Serves(Fetched::document(set.to_owned())));
    }

    pub(crate) fn clock(&self) -> TokioClock {
        self.0.lock().unwrap().clock
    }

    /// When it was asked, in seconds.
    pub(crate) fn asked_at(&self) -> Vec<u64> {
        self.0.lock().unwrap().asked.iter().map(|(at, _)| *at).collect()
    }

    pub(crate) fn etags(&self) -> Vec<Option<String>> {
        self.0.lock().unwrap().asked.iter().map(|(_, etag)| etag.clone()).collect()
    }

    pub(crate) fn keys(&self) -> RemoteJwks {
        RemoteJwks::new("https://issuer.example/keys")
            .unwrap()
            .with_fetcher(self.clone())
            .with_clock(self.clock())
    }
}

impl FetchJwks for Script {
    fn fetch<'a>(
        &'a self,
        request: FetchRequest<'a>,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        let habit = {
            let mut state = self.0.lock().unwrap();
            let seconds = state.clock.seconds();
            state.asked.push((seconds, request.etag().map(str::to_owned)));
            state.habit.clone()
        };
        Box::pin(async move {
            match habit {
                Habit::Serves(fetched) => Ok(fetched),
                Habit::Fails => Err(FetchError::client("down")),
                Habit::Hangs => std::future::pending().await,
                Habit::Panics => panic!("a client's own bug"),
            }
        })
    }
}
