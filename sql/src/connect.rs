//! Opens the connections for a URL.

use super::{
    connection::Connections,
    database::Database,
    options::{OpenError, SqlStoreOptions},
};

/// How many connections are only for lookups. So requests with tokens are still answered when lists and writes keep the
/// other connections busy.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
const LOOK_UP_CONNECTIONS: u32 = 4;

/// How many connections to PostgreSQL are only for steps that revoke.
#[cfg(feature = "postgres")]
const REVOCATION_CONNECTIONS: u32 = 2;

pub(super) async fn connect(url: &str, options: SqlStoreOptions) -> Result<Database, OpenError> {
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
        ConnectOptions as _, Pool, Sqlite, SqliteConnection,
        pool::PoolOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    };

    use super::{Connections, Database, LOOK_UP_CONNECTIONS, OpenError, SqlStoreOptions};
    use crate::{database::Retries, failure::Failure};

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
            .busy_timeout(options.patience)
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
                create(&file).map_err(|error| Failure::Broken(error.to_string()))?;
            }
        }

        let patience = options.patience;
        let first = first_connection(&settings, patience).await?;
        let one = pool(&settings, options, 1);
        let some = |most: u32| match is_memory {
            true => Connections::new(one.clone(), 1, patience),
            false => Connections::new(pool(&settings, options, most), most, patience),
        };
        let readers = some(options.max_connections.saturating_sub(1).max(1));
        let look_ups = some(LOOK_UP_CONNECTIONS);
        Ok(Database::Sqlite {
            writer: Connections::new(one.clone(), 1, patience),
            revocations: Connections::new(one, 1, patience),
            readers,
            look_ups,
            _keeps_memory: is_memory.then(|| Arc::new(Mutex::new(first))),
            patience,
        })
    }

    /// Opens the first connection, which turns the write-ahead log on. At that moment no other process may have the
    /// file open, and SQLite does not wait for that by itself.
    async fn first_connection(
        settings: &SqliteConnectOptions,
        patience: Duration,
    ) -> Result<SqliteConnection, Failure> {
        let mut retries = Retries::within(patience);
        loop {
            match settings.connect().await.map_err(Failure::from) {
                Err(failure) if failure.is_conflict() => retries.pause_after(failure).await?,
                connected => return connected,
            }
        }
    }

    fn pool(settings: &SqliteConnectOptions, options: SqlStoreOptions, size: u32) -> Pool<Sqlite> {
        PoolOptions::new()
            .max_connections(size)
            .acquire_timeout(options.patience)
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
    use std::{str::FromStr as _, time::Duration};

    use sqlx::{
        AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, pool::PoolOptions,
        postgres::PgConnectOptions,
    };

    use super::{
        Connections, Database, LOOK_UP_CONNECTIONS, OpenError, REVOCATION_CONNECTIONS,
        SqlStoreOptions,
    };

    /// A connection that was idle for this long is pinged before it is used. One that was used more recently is not,
    /// which saves a round trip.
    const IDLE: Duration = Duration::from_secs(1);

    pub(super) fn connect(url: &str, options: SqlStoreOptions) -> Result<Database, OpenError> {
        let settings = PgConnectOptions::from_str(url).map_err(|_| OpenError::Url)?;
        let settings = settings.disable_statement_logging();
        let patience = options.patience.as_millis();
        // Acknowledged means written, on synchronous standbys too if there are some. If the default of a role or a
        // database waits for less, it is raised. If it waits for more, it stays. The timeouts follow from the patience:
        // a client that disappears during a transaction does not block others for longer.
        let session = format!(
            "SELECT set_config('synchronous_commit', 'on', false)
                 WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
             SET lock_timeout = {patience};
             SET statement_timeout = {};
             SET idle_in_transaction_session_timeout = {};",
            patience * 2,
            patience * 2,
        );
        let pool = PoolOptions::<sqlx::Postgres>::new()
            .acquire_timeout(options.patience)
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
        let some = |most: u32| {
            let pool = pool.clone().max_connections(most).connect_lazy_with(settings.clone());
            Connections::new(pool, most, options.patience)
        };
        Ok(Database::Postgres {
            all: some(options.max_connections),
            revocations: some(REVOCATION_CONNECTIONS),
            look_ups: some(LOOK_UP_CONNECTIONS),
            patience: options.patience,
        })
    }
}
