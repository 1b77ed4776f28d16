//! Connections and transactions of either database.

use std::{mem, time::Duration};

use tokio::time::Instant;

use super::{
    connection::{Connection, Connections, Either},
    failure::Failure,
    value::{Row, Sql, Value},
};
use tower_bearer::revocation::outbox::OutboxEntry;

#[derive(Clone)]
pub(super) enum Database {
    #[cfg(feature = "sqlite")]
    Sqlite {
        /// The one connection that writes. SQLite has one writer at a time and waits by trying again, so a queue is
        /// fairer. One write at a time is in the queue of the pool; the others wait before it.
        writer: Connections<sqlx::Sqlite>,
        /// The same connection, for steps that revoke: they wait for one other write at most.
        revocations: Connections<sqlx::Sqlite>,
        /// Readers see the last commit and do not wait for writers.
        readers: Connections<sqlx::Sqlite>,
        /// Readers for [`Database::look_up`] only.
        look_ups: Connections<sqlx::Sqlite>,
        /// Keeps a database in memory alive, which needs an open connection.
        _keeps_memory: Option<std::sync::Arc<std::sync::Mutex<sqlx::SqliteConnection>>>,
        patience: Duration,
    },
    #[cfg(feature = "postgres")]
    Postgres {
        all: Connections<sqlx::Postgres>,
        /// Connections for steps that revoke only.
        revocations: Connections<sqlx::Postgres>,
        /// Connections for [`Database::look_up`] only.
        look_ups: Connections<sqlx::Postgres>,
        patience: Duration,
    },
}

/// Which connections a statement is read on.
#[derive(Clone, Copy)]
enum For {
    All,
    LookUps,
}

/// Which connections a transaction uses.
#[derive(Clone, Copy)]
pub(super) enum Writes {
    All,
    /// Steps that revoke have connections that no other step can keep busy.
    Revocations,
}

impl Database {
    /// Runs one statement that reads, outside of a transaction. It sees what was committed before it was sent.
    pub(super) async fn read(
        &self,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Vec<Row>, Failure> {
        self.read_on(For::All, || Sql::Fixed(sql), values).await
    }

    /// The same as [`read`](Self::read), on connections that are only for lookups.
    pub(super) async fn look_up(
        &self,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Vec<Row>, Failure> {
        self.read_on(For::LookUps, || Sql::Fixed(sql), values).await
    }

    /// The same as [`read`](Self::read), for a statement that was built at run time.
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
        let mut retries = self.retries();
        loop {
            match self.read_once(connections, sql(), values.to_vec()).await {
                Err(failure) if failure.is_conflict() || failure.is_broken() => {
                    retries.pause_after(failure).await?;
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
        let either = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite { readers, look_ups, .. } => Either::Sqlite(match connections {
                For::All => readers.acquire().await?,
                For::LookUps => look_ups.acquire().await?,
            }),
            #[cfg(feature = "postgres")]
            Self::Postgres { all, look_ups, .. } => Either::Postgres(match connections {
                For::All => all.acquire().await?,
                For::LookUps => look_ups.acquire().await?,
            }),
        };
        Connection::new(either, self.patience()).read(sql, values).await
    }

    /// Begins a transaction that writes. If a connection breaks before anything was done, another one is used.
    pub(super) async fn begin(&self, writes: Writes) -> Result<Transaction, Failure> {
        let mut retries = self.retries();
        loop {
            match self.begin_once(writes).await {
                Err(failure) if failure.is_broken() => retries.pause_after(failure).await?,
                begun => return begun,
            }
        }
    }

    async fn begin_once(&self, writes: Writes) -> Result<Transaction, Failure> {
        let (either, begin) = match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite { writer, revocations, .. } => {
                // IMMEDIATE takes the lock of the writer now. A transaction that reads first and writes later may find
                // that the data that it has read has changed.
                let connection = match writes {
                    Writes::All => writer.acquire().await?,
                    Writes::Revocations => revocations.acquire().await?,
                };
                (Either::Sqlite(connection), "BEGIN IMMEDIATE")
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { all, revocations, .. } => {
                // READ COMMITTED, also if the default of the server is different: after waiting for a lock, the next
                // statement must see what the last holder of the lock has committed.
                let connection = match writes {
                    Writes::All => all.acquire().await?,
                    Writes::Revocations => revocations.acquire().await?,
                };
                let begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
                (Either::Postgres(connection), begin)
            }
        };
        let mut connection = Connection::new(either, self.patience());
        connection.begin(begin).await?;
        Ok(Transaction { connection, entries: Vec::new() })
    }

    fn patience(&self) -> Duration {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite { patience, .. } => *patience,
            #[cfg(feature = "postgres")]
            Self::Postgres { patience, .. } => *patience,
        }
    }

    /// Returns the retries of a step that begins now.
    pub(super) fn retries(&self) -> Retries {
        Retries::within(self.patience())
    }

    /// Returns whether the database can store, and so find, this text: PostgreSQL has no NUL in texts.
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

    /// Returns the one of the two spellings that this database understands.
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

/// A transaction that writes. If it is dropped before [`commit`](Self::commit) has succeeded, it is rolled back before
/// its connection goes back to the pool. This holds for every failed statement and every place where the future is
/// dropped.
pub(super) struct Transaction {
    connection: Connection,
    /// The entries that the transaction has written to the outbox.
    entries: Vec<OutboxEntry>,
}

impl Transaction {
    /// Remembers an entry that the transaction has written to the outbox.
    pub(super) fn add_entry(&mut self, entry: OutboxEntry) {
        self.entries.push(entry);
    }

    /// Returns the entries that the transaction has written to the outbox.
    pub(super) fn take_entries(&mut self) -> Vec<OutboxEntry> {
        mem::take(&mut self.entries)
    }

    pub(super) async fn fetch(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, Failure> {
        self.connection.fetch(sql.into(), values).await
    }

    /// Runs a statement, and returns how many rows it has changed.
    pub(super) async fn execute(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<u64, Failure> {
        self.connection.execute(sql.into(), values).await
    }

    /// Runs statements without values.
    pub(super) async fn run(&mut self, sql: &'static str) -> Result<(), Failure> {
        self.connection.run(sql).await
    }

    /// Locks these names for this transaction: until it ends, no other transaction can lock the same name. SQLite has
    /// one writer at a time, so this does nothing there. The locks are taken in sorted order, so that two transactions
    /// that want the same locks do not deadlock.
    pub(super) async fn lock(&mut self, mut names: Vec<i64>) -> Result<(), Failure> {
        if !self.connection.is_postgres() {
            return Ok(());
        }
        names.sort_unstable();
        names.dedup();
        for name in names {
            self.fetch(LOCK, vec![Value::Int(name)]).await?;
        }
        Ok(())
    }

    /// Removes the timeouts for the rest of the transaction.
    pub(super) async fn without_timeouts(&mut self) -> Result<(), Failure> {
        self.connection.without_timeouts().await
    }

    pub(super) async fn commit(self) -> Result<(), Failure> {
        self.connection.commit().await
    }
}

const LOCK: &str = "SELECT 1 FROM pg_advisory_xact_lock($1)";

/// How often a step is tried if it conflicts with other steps, or if its connection turns out to be dead.
const ATTEMPTS: u32 = 6;

/// The attempts of one step. There are only a few, and none begins after the patience has passed. So a step whose
/// attempts each wait for the longest time is not tried again.
pub(super) struct Retries {
    attempt: u32,
    until: Instant,
}

impl Retries {
    pub(super) fn within(patience: Duration) -> Self {
        Self { attempt: 0, until: Instant::now() + patience }
    }

    /// Waits before the next attempt. After the last attempt it returns the failure.
    #[expect(clippy::disallowed_methods, reason = "who is in the way does not say when it is gone")]
    pub(super) async fn pause_after(&mut self, failure: Failure) -> Result<(), Failure> {
        self.attempt += 1;
        if self.attempt >= ATTEMPTS || Instant::now() >= self.until {
            return Err(failure);
        }
        // The pause depends on the process and the attempt, so that two steps that conflicted do not conflict again.
        let spread = u64::from(std::process::id() % 7) + u64::from(self.attempt);
        tokio::time::sleep(Duration::from_millis((2 << self.attempt) + spread)).await;
        Ok(())
    }
}
