//! Connections and transactions of either database.

use std::{mem, time::Duration};

use sqlx::{AssertSqlSafe, Pool, SqlSafeStr as _, pool::PoolConnection};

use super::{
    failure::Failure,
    value::{Row, Sql, Value},
};
use crate::issuing::store::OutboxEntry;

/// How often a step is tried when others are in its way, or its connection turns out to be dead.
pub(super) const ATTEMPTS: u32 = 6;

#[derive(Clone)]
pub(super) enum Database {
    #[cfg(feature = "sqlite")]
    Sqlite {
        /// One connection: SQLite has one writer at a time, and a queue is fairer than its waiting by trying.
        writer: Pool<sqlx::Sqlite>,
        /// Readers see the last commit and wait for nobody.
        readers: Pool<sqlx::Sqlite>,
        /// Readers that only [`Database::look_up`] uses.
        look_ups: Pool<sqlx::Sqlite>,
        /// A database in memory lives as long as it has a connection.
        _keeps_memory: Option<std::sync::Arc<std::sync::Mutex<sqlx::SqliteConnection>>>,
    },
    #[cfg(feature = "postgres")]
    Postgres {
        pool: Pool<sqlx::Postgres>,
        /// Those that only [`Database::look_up`] uses.
        look_ups: Pool<sqlx::Postgres>,
    },
}

/// Which connections a statement is read on.
#[derive(Clone, Copy)]
enum For {
    All,
    LookUps,
}

/// Binds and runs on a connection of the one database or the other.
macro_rules! query {
    ($database:ty, $sql:expr, $values:expr) => {{
        let (text, is_fixed) = match $sql {
            Sql::Fixed(text) => (text.into_sql_str(), true),
            Sql::Built(text) => (AssertSqlSafe(text).into_sql_str(), false),
        };
        let mut query = sqlx::query::<$database>(text).persistent(is_fixed);
        for value in $values {
            query = match value {
                Value::Int(value) => query.bind(value),
                Value::OptionalInt(value) => query.bind(value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }};
}

impl Database {
    /// Runs one statement that reads, outside of any transaction: it sees what was committed before it was sent.
    pub(super) async fn read(
        &self,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Vec<Row>, Failure> {
        self.read_on(For::All, || Sql::Fixed(sql), values).await
    }

    /// As [`read`](Self::read), on connections that nothing else can keep busy.
    pub(super) async fn look_up(
        &self,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Vec<Row>, Failure> {
        self.read_on(For::LookUps, || Sql::Fixed(sql), values).await
    }

    /// As [`read`](Self::read), of a statement that was put together.
    pub(super) async fn read_built(
        &self,
        sql: impl Fn() -> Sql,
        values: &[Value],
    ) -> Result<Vec<Row>, Failure> {
        self.read_on(For::All, sql, values).await
    }

    async fn read_on(
        &self,
        connections: For,
        sql: impl Fn() -> Sql,
        values: &[Value],
    ) -> Result<Vec<Row>, Failure> {
        let mut attempt = 0;
        loop {
            match self.read_once(connections, sql(), values.to_vec()).await {
                Err(failure) if failure.is_conflict() || failure.is_broken() => {
                    attempt += 1;
                    pause_before(attempt, failure).await?;
                }
                rows => return rows,
            }
        }
    }

    async fn read_once(
        &self,
        connections: For,
        sql: Sql,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, Failure> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite { readers, look_ups, .. } => {
                let readers = match connections {
                    For::All => readers,
                    For::LookUps => look_ups,
                };
                let rows = query!(sqlx::Sqlite, sql, values).fetch_all(readers).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { pool, look_ups } => {
                let pool = match connections {
                    For::All => pool,
                    For::LookUps => look_ups,
                };
                let rows = query!(sqlx::Postgres, sql, values).fetch_all(pool).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Begins a transaction that writes. A connection that breaks before anything was done is replaced.
    pub(super) async fn begin(&self) -> Result<Transaction, Failure> {
        let mut attempt = 0;
        loop {
            match self.begin_once().await {
                Err(failure) if failure.is_broken() => {
                    attempt += 1;
                    pause_before(attempt, failure).await?;
                }
                begun => return begun,
            }
        }
    }

    async fn begin_once(&self) -> Result<Transaction, Failure> {
        let (connection, begin) = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite { writer, .. } => {
                // IMMEDIATE takes the writer's lock now: a transaction that reads first and writes later may find that
                // what it has read is no longer so.
                let connection = writer.acquire().await?;
                (Connection::Sqlite(Some(connection)), "BEGIN IMMEDIATE")
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { pool, .. } => {
                // READ COMMITTED, whatever the server's default is: after waiting for a lock, the next statement must
                // see what its last holder has committed.
                let connection = pool.acquire().await?;
                let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
                (Connection::Postgres(Some(connection)), begin)
            }
        };
        let mut transaction = Transaction::on(connection);
        transaction.run(begin).await?;
        Ok(transaction)
    }

    /// Whether the database can keep, and so find, such a text: PostgreSQL has no NUL in texts.
    pub(super) fn can_hold(&self, text: &str) -> bool {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite { .. } => {
                let _ = text;
                true
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => !text.contains('\0'),
        }
    }

    /// The one of two spellings that this database understands.
    pub(super) fn spell(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite { .. } => {
                let _ = postgres;
                sqlite
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => {
                let _ = sqlite;
                postgres
            }
        }
    }
}

/// A transaction that writes. Dropped before [`commit`](Self::commit) has succeeded, it takes its connection with it,
/// and the database undoes what was done: no connection goes back to the pool in a state that nobody knows, whichever
/// statement failed and wherever the future was dropped.
pub(super) struct Transaction {
    connection: Connection,
    /// What it has written to the outbox.
    entries: Vec<OutboxEntry>,
}

enum Connection {
    #[cfg(feature = "sqlite")]
    Sqlite(Option<PoolConnection<sqlx::Sqlite>>),
    #[cfg(feature = "postgres")]
    Postgres(Option<PoolConnection<sqlx::Postgres>>),
}

impl Transaction {
    fn on(connection: Connection) -> Self {
        Self { connection, entries: Vec::new() }
    }

    /// Notes an entry that it has written to the outbox.
    pub(super) fn add_entry(&mut self, entry: OutboxEntry) {
        self.entries.push(entry);
    }

    /// The entries that it has written to the outbox.
    pub(super) fn take_entries(&mut self) -> Vec<OutboxEntry> {
        mem::take(&mut self.entries)
    }

    pub(super) async fn fetch(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, Failure> {
        match &mut self.connection {
            #[cfg(feature = "sqlite")]
            Connection::Sqlite(connection) => {
                let connection = connection.as_mut().ok_or(Failure::Over)?;
                let query = query!(sqlx::Sqlite, sql.into(), values);
                let rows = query.fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                let connection = connection.as_mut().ok_or(Failure::Over)?;
                let query = query!(sqlx::Postgres, sql.into(), values);
                let rows = query.fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// How many rows were changed.
    pub(super) async fn execute(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<u64, Failure> {
        match &mut self.connection {
            #[cfg(feature = "sqlite")]
            Connection::Sqlite(connection) => {
                let connection = connection.as_mut().ok_or(Failure::Over)?;
                let query = query!(sqlx::Sqlite, sql.into(), values);
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                let connection = connection.as_mut().ok_or(Failure::Over)?;
                let query = query!(sqlx::Postgres, sql.into(), values);
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
        }
    }

    /// Runs statements without values, as they stand.
    pub(super) async fn run(&mut self, sql: &'static str) -> Result<(), Failure> {
        match &mut self.connection {
            #[cfg(feature = "sqlite")]
            Connection::Sqlite(connection) => {
                let connection = connection.as_mut().ok_or(Failure::Over)?;
                sqlx::raw_sql(sql).execute(&mut **connection).await?;
            }
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => {
                let connection = connection.as_mut().ok_or(Failure::Over)?;
                sqlx::raw_sql(sql).execute(&mut **connection).await?;
            }
        }
        Ok(())
    }

    /// Lets no other transaction hold a lock of the same name until this one ends. SQLite has one writer at a time, so
    /// there is nothing to do. In one order, so that two that want the same locks do not wait for each other.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(clippy::unused_async, reason = "SQLite needs no locks")
    )]
    pub(super) async fn lock(&mut self, mut names: Vec<i64>) -> Result<(), Failure> {
        names.sort_unstable();
        names.dedup();
        match &mut self.connection {
            #[cfg(feature = "sqlite")]
            Connection::Sqlite(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Connection::Postgres(_) => {
                for name in names {
                    let sql = "SELECT 1 FROM pg_advisory_xact_lock($1)";
                    self.fetch(sql, vec![Value::Int(name)]).await?;
                }
                Ok(())
            }
        }
    }

    pub(super) async fn commit(mut self) -> Result<(), Failure> {
        self.run("COMMIT").await?;
        // Without the connection, dropping the transaction does nothing.
        match &mut self.connection {
            #[cfg(feature = "sqlite")]
            Connection::Sqlite(connection) => drop(connection.take()),
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => drop(connection.take()),
        }
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        match &mut self.connection {
            #[cfg(feature = "sqlite")]
            Connection::Sqlite(connection) => drop(connection.take().map(PoolConnection::detach)),
            #[cfg(feature = "postgres")]
            Connection::Postgres(connection) => drop(connection.take().map(PoolConnection::detach)),
        }
    }
}

/// Waits before the attempt after the one of this number; gives the failure back after the last.
#[expect(clippy::disallowed_methods, reason = "who is in the way does not say when it is gone")]
pub(super) async fn pause_before(attempt: u32, failure: Failure) -> Result<(), Failure> {
    if attempt >= ATTEMPTS {
        return Err(failure);
    }
    // Who waits longest differs from attempt to attempt, so that two that met do not meet again.
    let spread = u64::from(std::process::id() % 7) + u64::from(attempt);
    tokio::time::sleep(Duration::from_millis((2 << attempt) + spread)).await;
    Ok(())
}
