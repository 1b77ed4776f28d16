//! How a store is opened.

use std::time::Duration;

use super::{SqlStore, connect, failure::Failure, schema};
use tower_bearer::revocation::StoreError;

/// Settings of an [`SqlStore`].
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct SqlStoreOptions {
    pub(super) max_connections: u32,
    pub(super) patience: Duration,
}

impl SqlStoreOptions {
    /// 10 connections besides those for look-ups and revocations, and 5 seconds of patience.
    pub fn new() -> Self {
        Self { max_connections: 10, patience: Duration::from_secs(5) }
    }

    /// At most this many connections for everything but look-ups and revocations, in place of 10; between 1 and 1000.
    ///
    /// How many connections a store and its clones have at most, whatever their callers do:
    ///
    /// * PostgreSQL: this many, 2 that take only steps that revoke, and 4 that take only look-ups. By default 16. Each
    ///   is a backend of the server: `max_connections` of the server must allow for those of all processes.
    /// * SQLite: 1 that writes, one less than this many (but at least 1) that read, and 4 that take only look-ups. By
    ///   default 14. A step that revokes waits for at most one other write, however many others wait.
    /// * SQLite in memory: 1 for everything, and 1 that keeps the database in memory.
    ///
    /// A server that cannot be reached may keep a connection for longer than the store does. The store waits for an
    /// answer for four times the [patience](Self::with_patience) and a second.
    pub fn with_max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.clamp(1, 1000);
        self
    }

    /// How long a step waits for a connection, and then for locks of others, in place of 5 seconds; between 100
    /// milliseconds and a minute. After it the step fails. A step that meets a conflict or a broken connection is tried
    /// again within this time only. PostgreSQL ends a statement that takes twice as long.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience.clamp(Duration::from_millis(100), Duration::from_secs(60));
        self
    }

    /// Opens the database of this URL, as [`SqlStore::open`] does.
    ///
    /// # Errors
    /// As [`SqlStore::open`].
    pub async fn open(self, url: &str) -> Result<SqlStore, OpenError> {
        let database = connect::connect(url, self).await?;
        schema::migrate(&database).await?;
        Ok(SqlStore::over(database))
    }
}

impl Default for SqlStoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a database was not opened. Never repeats the URL, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is of no database that this build knows: `sqlite:` takes the feature `sqlite`, `postgres:` the feature
    /// `postgres`.
    #[error("not a database URL: expected sqlite: or postgres:, and the feature of that name")]
    UnknownDatabase,
    /// The URL cannot be understood.
    #[error(
        "an unreadable database URL: expected one such as sqlite:tokens.db or postgres://user:password@host/database"
    )]
    Url,
    /// The tables were made by a newer version of this crate. Nothing was changed.
    #[error(
        "the tables are of version {found}, and this build knows versions up to {known}: update tower-bearer"
    )]
    NewerSchema {
        /// The version of the tables.
        found: u64,
        /// The latest that this build knows.
        known: u64,
    },
    /// The database could not be reached, or refused.
    #[error("the database could not be opened")]
    Unavailable(#[source] StoreError),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.into())
    }
}
