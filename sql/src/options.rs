//! The settings with which a store is opened.

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
    /// Default settings: 10 connections besides those for lookups and revocations, and a patience of 5 seconds.
    pub fn new() -> Self {
        Self { max_connections: 10, patience: Duration::from_secs(5) }
    }

    /// Sets how many connections there are at most for everything but lookups and revocations. Default: 10. Values
    /// below 1 are set to 1, values above 1000 to 1000.
    ///
    /// A store and its clones have at most these connections, whatever their callers do:
    ///
    /// * PostgreSQL: this many, 2 that are only for steps that revoke, and 4 that are only for lookups. By default 16.
    ///   Each is a backend of the server: the `max_connections` of the server must be enough for all processes.
    /// * SQLite: 1 that writes, one less than this many (but at least 1) that read, and 4 that are only for lookups. By
    ///   default 14. A step that revokes waits for at most one other write, however many others wait.
    /// * SQLite in memory: 1 for everything, and 1 that keeps the database in memory.
    ///
    /// If a server cannot be reached, it may keep a connection for longer than the store does. The store waits for an
    /// answer for four times the [patience](Self::with_patience) plus one second.
    pub fn with_max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections.clamp(1, 1000);
        self
    }

    /// Sets how long a step waits for a connection, and then for the locks of other steps. After that the step fails.
    /// Default: 5 seconds. Values below 100 milliseconds are set to 100 milliseconds, values above one minute to one
    /// minute. A step that meets a conflict or a broken connection is tried again only within this time. PostgreSQL
    /// ends a statement that takes twice as long.
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience.clamp(Duration::from_millis(100), Duration::from_secs(60));
        self
    }

    /// Opens the database of this URL with these settings; see [`SqlStore::open`].
    ///
    /// # Errors
    /// The same as [`SqlStore::open`].
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

/// Why a database was not opened. The error never repeats the URL, which may contain a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is not for a database that this build supports: `sqlite:` needs the feature `sqlite`, `postgres:` needs
    /// the feature `postgres`.
    #[error("not a database URL: expected sqlite: or postgres:, and the feature of that name")]
    UnknownDatabase,
    /// The URL cannot be parsed.
    #[error(
        "an unreadable database URL: expected one such as sqlite:tokens.db or postgres://user:password@host/database"
    )]
    Url,
    /// A newer version of this crate has made the tables. Nothing was changed.
    #[error(
        "the tables are of version {found}, and this build knows versions up to {known}: update tower-bearer"
    )]
    NewerSchema {
        /// The version of the tables.
        found: u64,
        /// The latest version that this build knows.
        known: u64,
    },
    /// The database could not be reached, or answered with an error.
    #[error("the database could not be opened")]
    Unavailable(#[source] StoreError),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.into())
    }
}
