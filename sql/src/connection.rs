//! Limits the number of connections, and gives each back to its pool only when nothing is open on it.
//!
//! 1. **The size of a pool limits the backends of the server**, whatever callers do. A caller may be dropped while a
//!    connection is being made, or while a statement runs. That does not drop the connection: a task waits for the
//!    answer of the server, rolls back, and only then gives the connection back to its pool.
//! 2. **A dropped caller that only waits leaves the queue.** It starts no work.
//! 3. **The store gives up a server that does not answer** after [`give_up_after`]. By then, the timeouts of the server
//!    have ended the statement and the transaction.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use sqlx::{AssertSqlSafe, Pool, SqlSafeStr as _, pool::PoolConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    failure::Failure,
    value::{Row, Sql, Value},
};

/// Some of the connections of a pool: at most `most` at the same time.
pub(super) struct Connections<D: sqlx::Database> {
    pool: Pool<D>,
    turns: Arc<Semaphore>,
    patience: Duration,
}

impl<D: sqlx::Database> Connections<D> {
    pub(super) fn new(pool: Pool<D>, most: u32, patience: Duration) -> Self {
        let turns = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(usize::MAX >> 3)));
        Self { pool, turns, patience }
    }

    /// Returns a connection, or fails after the patience. Callers get connections in the order of their calls.
    pub(super) async fn acquire(&self) -> Result<Held<D>, Failure> {
        let acquired = tokio::time::timeout(self.patience, async {
            let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Failure::Over)?;
            let pool = self.pool.clone();
            // Without this task, a dropped caller would drop a connection that is half made, and the server would still
            // have it.
            let connecting = tokio::spawn(async move {
                let connection = pool.acquire().await?;
                Ok(Held { connection, _turn: turn })
            });
            connecting.await.map_err(|_| Failure::Broken("connecting has ended early".into()))?
        });
        acquired.await.unwrap_or(Err(Failure::NoConnection))
    }
}

/// A derive would require that `D` is `Clone`.
impl<D: sqlx::Database> Clone for Connections<D> {
    fn clone(&self) -> Self {
        let Self { pool, turns, patience } = self;
        Self { pool: pool.clone(), turns: Arc::clone(turns), patience: *patience }
    }
}

/// A connection, and the permit to use it.
pub(super) struct Held<D: sqlx::Database> {
    connection: PoolConnection<D>,
    _turn: OwnedSemaphorePermit,
}

impl<D: sqlx::Database> Deref for Held<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        &self.connection
    }
}

impl<D: sqlx::Database> DerefMut for Held<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        &mut self.connection
    }
}

/// Returns how long to wait for a connection that does not answer. A statement may take twice the patience, and so may
/// a transaction that waits for its next statement.
fn give_up_after(patience: Duration) -> Duration {
    patience * 4 + Duration::from_secs(1)
}

/// A connection of either database. If it is dropped while it is busy, a task settles it before another caller gets it.
pub(super) struct Connection {
    /// `None` once a task settles it.
    either: Option<Either>,
    state: State,
    /// How long to wait for an answer of PostgreSQL.
    limit: Duration,
}

pub(super) enum Either {
    #[cfg(feature = "sqlite")]
    Sqlite(Held<sqlx::Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(Held<sqlx::Postgres>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No statement and no transaction is open: the connection can go back to its pool.
    Idle,
    /// A statement was sent, and its answer has not been read.
    Busy,
    /// A transaction is open, or may be open.
    InTransaction,
    /// The server has not answered in time. The store does not wait for it again.
    #[cfg(feature = "postgres")]
    Lost,
}

/// Makes a query for one of the two databases, and binds its values.
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

impl Connection {
    pub(super) fn new(either: Either, patience: Duration) -> Self {
        Self { either: Some(either), state: State::Idle, limit: give_up_after(patience) }
    }

    /// Runs one statement outside of a transaction.
    pub(super) async fn read(mut self, sql: Sql, values: Vec<Value>) -> Result<Vec<Row>, Failure> {
        self.state = State::Busy;
        let rows = self.fetch(sql, values).await?;
        self.state = State::Idle;
        Ok(rows)
    }

    pub(super) async fn begin(&mut self, begin: &'static str) -> Result<(), Failure> {
        self.state = State::InTransaction;
        self.run(begin).await
    }

    pub(super) async fn commit(mut self) -> Result<(), Failure> {
        self.run("COMMIT").await?;
        self.state = State::Idle;
        Ok(())
    }

    pub(super) async fn fetch(
        &mut self,
        sql: Sql,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, Failure> {
        #[cfg(feature = "postgres")]
        let limit = self.limit;
        match self.either.as_mut().ok_or(Failure::Over)? {
            #[cfg(feature = "sqlite")]
            Either::Sqlite(connection) => {
                let query = query!(sqlx::Sqlite, sql, values);
                let rows = query.fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            #[cfg(feature = "postgres")]
            Either::Postgres(connection) => {
                let query = query!(sqlx::Postgres, sql, values);
                let rows =
                    answered(limit, &mut self.state, query.fetch_all(&mut **connection)).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Runs a statement, and returns how many rows it has changed.
    pub(super) async fn execute(&mut self, sql: Sql, values: Vec<Value>) -> Result<u64, Failure> {
        #[cfg(feature = "postgres")]
        let limit = self.limit;
        match self.either.as_mut().ok_or(Failure::Over)? {
            #[cfg(feature = "sqlite")]
            Either::Sqlite(connection) => {
                let query = query!(sqlx::Sqlite, sql, values);
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
            #[cfg(feature = "postgres")]
            Either::Postgres(connection) => {
                let query = query!(sqlx::Postgres, sql, values);
                let executing = query.execute(&mut **connection);
                Ok(answered(limit, &mut self.state, executing).await?.rows_affected())
            }
        }
    }

    /// Runs statements without values.
    pub(super) async fn run(&mut self, sql: &'static str) -> Result<(), Failure> {
        #[cfg(feature = "postgres")]
        let limit = self.limit;
        match self.either.as_mut().ok_or(Failure::Over)? {
            #[cfg(feature = "sqlite")]
            Either::Sqlite(connection) => {
                sqlx::raw_sql(sql).execute(&mut **connection).await?;
            }
            #[cfg(feature = "postgres")]
            Either::Postgres(connection) => {
                let running = sqlx::raw_sql(sql).execute(&mut **connection);
                answered(limit, &mut self.state, running).await?;
            }
        }
        Ok(())
    }

    /// Removes the timeouts for the rest of the transaction. SQLite has no such timeouts.
    pub(super) async fn without_timeouts(&mut self) -> Result<(), Failure> {
        if self.is_postgres() {
            self.limit = Duration::MAX;
            self.run("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
        }
        Ok(())
    }

    pub(super) fn is_postgres(&self) -> bool {
        match &self.either {
            #[cfg(feature = "postgres")]
            Some(Either::Postgres(_)) => true,
            _ => false,
        }
    }

    /// Waits for the answer of the server and rolls back. If that succeeds, the connection goes back to its pool. If
    /// not, it is closed.
    async fn settle(mut self, sql: &'static str) {
        if self.run(sql).await.is_ok() {
            self.state = State::Idle;
            return;
        }
        match self.either.take() {
            #[cfg(feature = "sqlite")]
            Some(Either::Sqlite(held)) => drop(held.connection.close().await),
            #[cfg(feature = "postgres")]
            Some(Either::Postgres(held)) => drop(held.connection.detach()),
            None => {}
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let sql = match self.state {
            State::Idle => return,
            State::Busy => Some("SELECT 1"),
            State::InTransaction => Some("ROLLBACK"),
            #[cfg(feature = "postgres")]
            State::Lost => None,
        };
        let Some(either) = self.either.take() else { return };
        let busy = Self { either: Some(either), state: State::Idle, limit: self.limit };
        match (sql, tokio::runtime::Handle::try_current()) {
            (Some(sql), Ok(runtime)) => drop(runtime.spawn(busy.settle(sql))),
            // Waiting is not possible: the server does not answer, or the process or the runtime ends.
            _ => busy.leave(),
        }
    }
}

impl Connection {
    /// Closes the connection at once, without a task.
    fn leave(mut self) {
        match self.either.take() {
            #[cfg(feature = "sqlite")]
            Some(Either::Sqlite(held)) => drop(held.connection.detach()),
            #[cfg(feature = "postgres")]
            Some(Either::Postgres(held)) => drop(held.connection.detach()),
            None => {}
        }
    }
}

#[cfg(feature = "postgres")]
async fn answered<T>(
    limit: Duration,
    state: &mut State,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            *state = State::Lost;
            Err(Failure::Broken("the server does not answer".into()))
        }
    }
}
