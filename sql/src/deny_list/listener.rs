//! Listens for the notifications of PostgreSQL, which make a poll come at once.
//!
//! A notification may never come, although `LISTEN` has succeeded: through PgBouncer in transaction mode, or over a
//! connection that is dead. So nothing depends on notifications. If polls find changes without any notification, the
//! listener connects again, at most once a minute.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{task::JoinHandle, time::Instant};

use crate::database::Database;

/// Limits of the pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How long a notification may be missing after its change was found.
const LATE: Duration = Duration::from_secs(1);

pub(crate) struct Listener {
    heard: Arc<AtomicU64>,
    task: Option<JoinHandle<()>>,
    /// When the next attempt may begin, and the pause after it.
    next: Instant,
    pause: Duration,
    /// How many notifications had come before the last poll.
    heard_before: u64,
    /// Since when a notification is missing, and how many had come then.
    missing: Option<(Instant, u64)>,
}

impl Listener {
    /// `heard` counts the notifications.
    pub(crate) fn new(heard: Arc<AtomicU64>) -> Self {
        let (task, missing) = (None, None);
        let (next, pause) = (Instant::now(), FIRST_PAUSE);
        Self { heard, task, next, pause, heard_before: 0, missing }
    }

    /// Connects if there is no connection, or if it is deaf. Call it before each poll.
    pub(crate) fn keep(&mut self, database: &Database) {
        let heard = self.heard.load(Relaxed);
        if heard != self.heard_before {
            self.pause = FIRST_PAUSE;
        }
        let is_deaf = match self.missing {
            Some((_, before)) if before != heard => {
                self.missing = None;
                false
            }
            Some((since, _)) => since.elapsed() >= LATE,
            None => false,
        };
        self.heard_before = heard;
        let has_ended = self.task.as_ref().is_none_or(JoinHandle::is_finished);
        let is_needed = database.is_notified && (is_deaf || has_ended);
        if !is_needed || Instant::now() < self.next {
            return;
        }
        self.stop();
        self.missing = None;
        self.task = start(database, &self.heard);
        self.next = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// A poll has found a change. Its notification has come before the poll, or comes now.
    pub(crate) fn expect_notification(&mut self) {
        let expected = (Instant::now(), self.heard_before);
        if self.heard.load(Relaxed) == self.heard_before {
            self.missing.get_or_insert(expected);
        }
    }

    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(feature = "postgres")]
fn start(database: &Database, heard: &Arc<AtomicU64>) -> Option<JoinHandle<()>> {
    let options = database.lookups.postgres_options()?;
    let (hints, heard) = (Arc::clone(&database.hints), Arc::clone(heard));
    // The task ends when the connection is lost, and `keep` starts the next one.
    Some(tokio::spawn(async move { drop(postgres::listen(&options, &hints, &heard).await) }))
}

#[cfg(not(feature = "postgres"))]
fn start(_: &Database, _: &Arc<AtomicU64>) -> Option<JoinHandle<()>> {
    None
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::{
        sync::atomic::{AtomicU64, Ordering::Relaxed},
        time::Duration,
    };

    use sqlx::{
        pool::PoolOptions,
        postgres::{PgConnectOptions, PgListener},
    };
    use tokio::sync::watch;

    /// How long connecting may take.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// The channel that the trigger of `postgres_8.sql` notifies.
    const CHANNEL: &str = "bearer_denials";

    /// Listens on a separate connection until it is lost.
    pub(super) async fn listen(
        options: &PgConnectOptions,
        hints: &watch::Sender<()>,
        heard: &AtomicU64,
    ) -> Result<(), sqlx::Error> {
        let pool = PoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        loop {
            // The first poll finds what was committed before the listener was ready.
            hints.send_replace(());
            if listener.try_recv().await?.is_none() {
                return Ok(());
            }
            heard.fetch_add(1, Relaxed);
        }
    }
}
