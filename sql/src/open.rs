//! Opens a database: settings, connections, and the errors of opening and of migrating.

use std::time::Duration;

use super::{
    connection::{LimitedPool, Pool},
    database::Database,
    migration::{KNOWN_MAJOR, Migration, migrate},
    statement::Failure,
};
use tower_bearer::revocation::StoreError;

/// Settings of an [`SqlStore`](crate::SqlStore).
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct SqlStoreOptions {
    max_connections: Option<u32>,
    lookup_connections: Option<u32>,
    revocation_connections: u32,
    wait_timeout: Duration,
    is_notified: bool,
}

impl SqlStoreOptions {
    /// Default settings. With PostgreSQL, a store has at most 4 connections: 2 for everything, 1 for revocations and 1
    /// for lookups. A step waits up to 5 seconds for a connection.
    pub fn new() -> Self {
        Self {
            max_connections: None,
            lookup_connections: None,
            revocation_connections: 1,
            wait_timeout: Duration::from_secs(5),
            is_notified: true,
        }
    }

    /// Sets how many connections there are at most for everything but lookups and revocations. Default: 2 with
    /// PostgreSQL, 10 with SQLite. Values below 1 are set to 1, values above 1000 to 1000.
    ///
    /// A store and its clones have at most these connections, whatever their callers do:
    ///
    /// * PostgreSQL: this many, those [for revocations](Self::with_revocation_connections) and those
    ///   [for lookups](Self::with_lookup_connections). By default 2 + 1 + 1 = 4. Each is a backend of the server.
    ///   **N processes need N times their sum**, and during a rolling update the old and the new processes count. The
    ///   server has `max_connections` less `superuser_reserved_connections`: by default 100 - 3 = 97. So 20 processes
    ///   need 80 by default, and 17 are left for a rolling update, a migration and your own tools.
    /// * SQLite: 1 that writes, one less than this many (but at least 1) that read, and those for lookups. A step that
    ///   revokes waits for at most one other write, however many others wait.
    /// * SQLite in memory: 1 for everything, and 1 that keeps the database in memory.
    ///
    /// A connection is made when it is needed, and closed after 10 minutes without use (PostgreSQL).
    ///
    /// If a server cannot be reached, it may keep a connection for longer than the store does. The store waits for an
    /// answer for four times the [wait timeout](Self::with_wait_timeout) plus one second.
    pub fn with_max_connections(mut self, connections: u32) -> Self {
        self.max_connections = Some(connections.clamp(1, 1000));
        self
    }

    /// Sets how many connections are only for lookups and for reading the records of signing keys, so that requests
    /// with tokens are answered while lists and writes keep the other connections busy. Default: 1 with PostgreSQL, 4
    /// with SQLite. Values below 1 are set to 1, values above 1000 to 1000. It has no effect for SQLite in memory.
    ///
    /// A lookup is one round trip, and the `RevocationCache` asks once for each token within its staleness bound. Add
    /// connections if the network is slow and there are many tokens.
    pub fn with_lookup_connections(mut self, connections: u32) -> Self {
        self.lookup_connections = Some(connections.clamp(1, 1000));
        self
    }

    /// Sets how many connections of PostgreSQL are only for steps that revoke or change the records of signing keys.
    /// Default: 1. Values below 1 are set to 1, values above 1000 to 1000. It has no effect for SQLite, which has one
    /// writer.
    pub fn with_revocation_connections(mut self, connections: u32) -> Self {
        self.revocation_connections = connections.clamp(1, 1000);
        self
    }

    /// Sets how long a step waits for its turn among the steps of the same account, then for a connection, and then for
    /// the locks of other steps. After that the step fails.
    /// Default: 5 seconds. Values below 100 milliseconds are set to 100 milliseconds, values above one minute to one
    /// minute. A step that meets a conflict or a broken connection is tried again only within this time. PostgreSQL
    /// ends a statement that takes twice as long.
    pub fn with_wait_timeout(mut self, wait_timeout: Duration) -> Self {
        self.wait_timeout = wait_timeout.clamp(Duration::from_millis(100), Duration::from_secs(60));
        self
    }

    /// Sets whether PostgreSQL notifies a [deny-list](crate::SqlDenyList) and [pushes](crate::SqlStore::push_to) of
    /// revocations, so that they poll at once. Default: `true`. It has no effect for SQLite, and without a deny-list or
    /// pushes.
    ///
    /// Each deny-list, and each cache with pushes, has one more connection for notifications. Turn them off to save this
    /// connection, or for PgBouncer in transaction mode, which does not pass notifications on. Then a revocation of
    /// another process is seen after the next poll.
    pub fn with_notifications(mut self, is_notified: bool) -> Self {
        self.is_notified = is_notified;
        self
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
    #[error(
        "the URL is not for a database of this build: expected sqlite: with the feature `sqlite`, or postgres: with \
         the feature `postgres`"
    )]
    UnknownDatabase,
    /// The URL cannot be parsed.
    #[error(
        "the database URL cannot be parsed: expected one such as sqlite:tokens.db or \
         postgres://user:password@host/database"
    )]
    Url,
    /// A newer version of this crate has made the tables, and changed them so that this one cannot use them. Nothing
    /// was changed.
    #[error(
        "the tables have version {major}.{found}, and this build supports versions up to {KNOWN_MAJOR}.{known}: update \
         tower-bearer-sql"
    )]
    NewerSchema {
        /// The major version of the tables. It is higher than that of this build.
        major: u64,
        /// The version of the tables.
        found: u64,
        /// The latest version that this build supports.
        known: u64,
    },
    /// The database could not be reached, or answered with an error. The source has the reason.
    #[error("the database could not be opened")]
    Unavailable(#[source] StoreError),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.into())
    }
}

/// Opens the database of this URL, and creates its tables or migrates them to the current version.
pub(crate) async fn open(url: &str, options: SqlStoreOptions) -> Result<Database, OpenError> {
    let database = connect(url, options).await?;
    migrate(&database).await?;
    Ok(database)
}

/// Migrates the tables of this URL on one connection, and closes it.
pub(crate) async fn migrate_only(
    url: &str,
    options: SqlStoreOptions,
) -> Result<Migration, OpenError> {
    // Pools connect when a connection is needed, and a migration needs one.
    let database = connect(url, options.with_max_connections(1)).await?;
    let migration = migrate(&database).await;
    database.writers.close().await;
    migration
}

async fn connect(url: &str, options: SqlStoreOptions) -> Result<Database, OpenError> {
    match url.split_once(':') {
        #[cfg(feature = "sqlite")]
        Some(("sqlite", path)) => sqlite::connect(url, path, options).await,
        #[cfg(feature = "postgres")]
        Some(("postgres" | "postgresql", _)) => postgres::connect(url, options),
        _ => Err(OpenError::UnknownDatabase),
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::{
        fs::{File, OpenOptions},
        path::Path,
        str::FromStr as _,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use sqlx::{
        ConnectOptions as _, SqliteConnection, SqlitePool,
        pool::PoolOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    };

    use super::{Database, Failure, LimitedPool, OpenError, Pool, SqlStoreOptions};
    use crate::database::Retries;

    /// How many connections there are by default for everything but lookups, and for lookups. They are only file
    /// handles of this process.
    const CONNECTIONS: u32 = 10;
    const LOOKUP_CONNECTIONS: u32 = 4;

    pub(super) async fn connect(
        url: &str,
        path: &str,
        options: SqlStoreOptions,
    ) -> Result<Database, OpenError> {
        let (name, parameters) = path.split_once('?').unwrap_or((path, ""));
        let has_mode = |mode| {
            let mut parameters = form_urlencoded::parse(parameters.as_bytes());
            parameters.any(|(name, value)| name == "mode" && value == mode)
        };
        let is_memory = name.trim_start_matches('/') == ":memory:" || has_mode("memory");
        let settings = SqliteConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
        let file = settings.get_filename().to_owned();
        if file.as_os_str().is_empty() {
            return Err(OpenError::Url); // SQLite's name for a database that is deleted when it is closed
        }
        let mut settings = settings
            .busy_timeout(options.wait_timeout)
            // Acknowledged data survives a loss of power: FULL syncs the log at each commit, and `fullfsync` makes
            // macOS write it to the disk.
            .synchronous(SqliteSynchronous::Full)
            .pragma("fullfsync", "1")
            .pragma("checkpoint_fullfsync", "1")
            .disable_statement_logging();
        if !is_memory {
            settings = settings.journal_mode(SqliteJournalMode::Wal);
            // This is also for `mode=rwc`: SQLite itself would make a file that every user can read.
            if !has_mode("ro") && !has_mode("rw") {
                create(&file).map_err(|error| Failure::BrokenConnection(error.to_string()))?;
            }
        }

        let wait_timeout = options.wait_timeout;
        let first = first_connection(&settings, wait_timeout).await?;
        // SQLite has one writer at a time and waits by trying again, so a queue is fairer. One write at a time is in
        // the queue of this pool; the others wait before it. A step that revokes waits for one other write at most.
        let single = pool(&settings, options, 1);
        let single = || Pool::Sqlite(LimitedPool::new(single.clone(), 1, wait_timeout));
        // Readers see the last commit and do not wait for writers.
        let readers = |size: u32| match is_memory {
            true => single(),
            false => {
                Pool::Sqlite(LimitedPool::new(pool(&settings, options, size), size, wait_timeout))
            }
        };
        Ok(Database {
            writers: single(),
            revokers: single(),
            readers: readers(
                options.max_connections.unwrap_or(CONNECTIONS).saturating_sub(1).max(1),
            ),
            lookups: readers(options.lookup_connections.unwrap_or(LOOKUP_CONNECTIONS)),
            is_notified: false,
            wait_timeout,
            #[cfg(feature = "issuing")]
            turns: Default::default(),
            new_entries: Arc::default(),
            hints: Arc::default(),
            _kept_open: is_memory.then(|| Arc::new(Mutex::new(first)) as _),
        })
    }

    /// Opens the first connection, which turns the write-ahead log on. At that moment no other process may have the
    /// file open, and SQLite does not wait for that by itself.
    async fn first_connection(
        settings: &SqliteConnectOptions,
        wait_timeout: Duration,
    ) -> Result<SqliteConnection, Failure> {
        let mut retries = Retries::within(wait_timeout);
        loop {
            match settings.connect().await.map_err(Failure::from) {
                Err(failure) if failure.is_conflict() => retries.pause_after(failure).await?,
                connected => return connected,
            }
        }
    }

    fn pool(settings: &SqliteConnectOptions, options: SqlStoreOptions, size: u32) -> SqlitePool {
        PoolOptions::new()
            .max_connections(size)
            .acquire_timeout(options.wait_timeout)
            // A connection is a file handle, so no peer can have closed it.
            .test_before_acquire(false)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(settings.clone())
    }

    /// Creates the file so that only its owner can read it, because it contains password hashes. SQLite gives the files
    /// beside it the same permissions. The directory is synced, so that the file itself is not lost after something in
    /// it was acknowledged.
    fn create(path: &Path) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(_) => sync_directory_of(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn sync_directory_of(path: &Path) -> std::io::Result<()> {
        if cfg!(not(unix)) {
            return Ok(());
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use std::{str::FromStr as _, sync::Arc, time::Duration};

    use sqlx::{
        AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, pool::PoolOptions,
        postgres::PgConnectOptions,
    };

    use super::{Database, LimitedPool, OpenError, Pool, SqlStoreOptions};

    /// How many connections there are by default for everything but lookups and revocations, and for lookups. With one
    /// for revocations there are 4: so 20 processes fit the default limit of the server, which is 100.
    const CONNECTIONS: u32 = 2;
    const LOOKUP_CONNECTIONS: u32 = 1;

    /// A connection that was idle for this long is pinged before it is used. One that was used more recently is not,
    /// which saves a round trip.
    const IDLE: Duration = Duration::from_secs(1);

    pub(super) fn connect(url: &str, options: SqlStoreOptions) -> Result<Database, OpenError> {
        let settings = PgConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
        let settings = settings.disable_statement_logging();
        let wait_timeout = options.wait_timeout.as_millis();
        // Acknowledged means written, on synchronous standbys too if there are some. If the default of a role or a
        // database waits for less, it is raised. If it waits for more, it stays. The timeouts follow from the wait
        // timeout: a client that disappears during a transaction does not block others for longer.
        let session = format!(
            "SELECT set_config('synchronous_commit', 'on', false)
                 WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
             SET lock_timeout = {wait_timeout};
             SET statement_timeout = {};
             SET idle_in_transaction_session_timeout = {};",
            wait_timeout * 2,
            wait_timeout * 2,
        );
        let pool = PoolOptions::<sqlx::Postgres>::new()
            .acquire_timeout(options.wait_timeout)
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(
                    async move { Ok(about.idle_for < IDLE || connection.ping().await.is_ok()) },
                )
            })
            .after_connect(move |connection, _| {
                let session = session.clone();
                Box::pin(
                    async move { connection.execute(AssertSqlSafe(session)).await.map(|_| ()) },
                )
            });
        let limited = |size: u32| {
            let pool = pool.clone().max_connections(size).connect_lazy_with(settings.clone());
            Pool::Postgres(LimitedPool::new(pool, size, options.wait_timeout))
        };
        let for_all = limited(options.max_connections.unwrap_or(CONNECTIONS));
        Ok(Database {
            writers: for_all.clone(),
            revokers: limited(options.revocation_connections),
            readers: for_all,
            lookups: limited(options.lookup_connections.unwrap_or(LOOKUP_CONNECTIONS)),
            is_notified: options.is_notified,
            wait_timeout: options.wait_timeout,
            #[cfg(feature = "issuing")]
            turns: Default::default(),
            new_entries: Arc::default(),
            hints: Arc::default(),
            _kept_open: None,
        })
    }
}
