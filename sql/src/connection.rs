//! Limits the number of connections, and gives each back to its pool only when nothing is open on it.
//!
//! 1. **The size of a pool limits the backends of the server**, whatever callers do. A caller may be dropped while a
//!    connection is being made, or while a statement runs. That does not drop the connection: a task waits for the
//!    answer of the server, rolls back, and only then gives the connection back to its pool.
//! 2. **A dropped caller that only waits leaves the queue.** It starts no work.
//! 3. **The store closes a connection on which the server does not answer** after [`answer_timeout`]. By then, the
//!    timeouts of the server have ended the statement and the transaction.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use sqlx::{AssertSqlSafe, SqlSafeStr as _, pool::PoolConnection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::statement::{Failure, Row, Sql, Value};

/// The connections of either database for one purpose.
#[derive(Clone)]
pub(crate) enum Pool {
    #[cfg(feature = "sqlite")]
    Sqlite(LimitedPool<sqlx::Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(LimitedPool<sqlx::Postgres>),
}

impl Pool {
    /// Returns a connection, or fails after the wait timeout. Callers get connections in the order of their calls.
    pub(crate) async fn acquire(&self) -> Result<Connection, Failure> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => {
                let connection = AnyConnection::Sqlite(pool.acquire().await?);
                Ok(Connection::new(connection, pool.answer_timeout))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => {
                let connection = AnyConnection::Postgres(pool.acquire().await?);
                Ok(Connection::new(connection, pool.answer_timeout))
            }
        }
    }

    /// Returns a pool with one connection to the same server, which nothing else uses. It waits this long for the
    /// connection and for each answer. SQLite: the same pool.
    pub(crate) fn separate(&self, timeout: Duration) -> Self {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => {
                let _ = timeout;
                self.clone()
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(shared) => {
                let options = shared.pool.options().clone();
                let options = options.max_connections(1).acquire_timeout(timeout);
                let pool = options.connect_lazy_with((*shared.pool.connect_options()).clone());
                let mut pool = LimitedPool::new(pool, 1, timeout);
                pool.answer_timeout = timeout;
                Self::Postgres(pool)
            }
        }
    }

    /// Returns how to connect to PostgreSQL.
    #[cfg(feature = "postgres")]
    pub(crate) fn postgres_options(&self) -> Option<Arc<sqlx::postgres::PgConnectOptions>> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => None,
            Self::Postgres(pool) => Some(pool.pool.connect_options()),
        }
    }

    /// Closes all connections. Waits until each is closed.
    pub(crate) async fn close(&self) {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(pool) => pool.pool.close().await,
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => pool.pool.close().await,
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => false,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => true,
        }
    }
}

/// At most `limit` connections of a pool of sqlx at the same time.
pub(crate) struct LimitedPool<D: sqlx::Database> {
    pool: sqlx::Pool<D>,
    permits: Arc<Semaphore>,
    wait_timeout: Duration,
    answer_timeout: Duration,
}

impl<D: sqlx::Database> LimitedPool<D> {
    pub(crate) fn new(pool: sqlx::Pool<D>, limit: u32, wait_timeout: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(usize::try_from(limit).unwrap_or(usize::MAX >> 3)));
        Self { pool, permits, wait_timeout, answer_timeout: answer_timeout(wait_timeout) }
    }

    async fn acquire(&self) -> Result<PermittedConnection<D>, Failure> {
        let acquired = tokio::time::timeout(self.wait_timeout, async {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let permit = permit.map_err(|_| Failure::Ended)?;
            let pool = self.pool.clone();
            // Without this task, a dropped caller would drop a connection that is half made, and the server would still
            // have it.
            let connecting = tokio::spawn(async move {
                let connection = pool.acquire().await?;
                Ok(PermittedConnection { connection, _permit: permit })
            });
            let ended_early =
                || Failure::BrokenConnection("the task that connects has ended early".into());
            connecting.await.map_err(|_| ended_early())?
        });
        acquired.await.unwrap_or(Err(Failure::NoFreeConnection))
    }
}

/// A derive would require that `D` is `Clone`.
impl<D: sqlx::Database> Clone for LimitedPool<D> {
    fn clone(&self) -> Self {
        let (pool, permits) = (self.pool.clone(), Arc::clone(&self.permits));
        Self { pool, permits, ..*self }
    }
}

/// A connection, and the permit to use it.
struct PermittedConnection<D: sqlx::Database> {
    connection: PoolConnection<D>,
    _permit: OwnedSemaphorePermit,
}

impl<D: sqlx::Database> Deref for PermittedConnection<D> {
    type Target = D::Connection;

    fn deref(&self) -> &D::Connection {
        &self.connection
    }
}

impl<D: sqlx::Database> DerefMut for PermittedConnection<D> {
    fn deref_mut(&mut self) -> &mut D::Connection {
        &mut self.connection
    }
}

/// Returns how long to wait for a connection that does not answer. A statement may take twice the wait timeout, and so
/// may a transaction that waits for its next statement.
fn answer_timeout(wait_timeout: Duration) -> Duration {
    wait_timeout * 4 + Duration::from_secs(1)
}

/// A connection of either database. If it is dropped while a statement or a transaction is open, a task rolls back
/// before another caller gets it.
pub(crate) struct Connection {
    /// `None` once a task has taken it.
    connection: Option<AnyConnection>,
    state: State,
    /// How long to wait for an answer of PostgreSQL.
    answer_timeout: Duration,
}

enum AnyConnection {
    #[cfg(feature = "sqlite")]
    Sqlite(PermittedConnection<sqlx::Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(PermittedConnection<sqlx::Postgres>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No statement and no transaction is open: the connection can go back to its pool.
    Idle,
    /// A statement was sent, and its answer has not been read.
    AwaitsAnswer,
    /// A transaction is open, or may be open.
    InTransaction,
    /// The server has not answered in time. The store does not wait for it again.
    #[cfg(feature = "postgres")]
    TimedOut,
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
                Value::Text(value) => query.bind(value),
                #[cfg(feature = "issuing")]
                Value::NoText => query.bind(None::<String>),
                Value::Bytes(value) => query.bind(value),
                #[cfg(feature = "issuing")]
                Value::NoBytes => query.bind(None::<Vec<u8>>),
            };
        }
        query
    }};
}

impl Connection {
    fn new(connection: AnyConnection, answer_timeout: Duration) -> Self {
        Self { connection: Some(connection), state: State::Idle, answer_timeout }
    }

    /// Runs one statement outside of a transaction.
    pub(crate) async fn read(mut self, sql: Sql, values: Vec<Value>) -> Result<Vec<Row>, Failure> {
        self.state = State::AwaitsAnswer;
        let rows = self.fetch(sql, values).await?;
        self.state = State::Idle;
        Ok(rows)
    }

    pub(crate) async fn begin(&mut self, begin: &'static str) -> Result<(), Failure> {
        self.state = State::InTransaction;
        self.run(begin).await
    }

    pub(crate) async fn commit(mut self) -> Result<(), Failure> {
        self.run("COMMIT").await?;
        self.state = State::Idle;
        Ok(())
    }

    pub(crate) async fn fetch(
        &mut self,
        sql: Sql,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, Failure> {
        #[cfg(feature = "postgres")]
        let limit = self.answer_timeout;
        match self.connection.as_mut().ok_or(Failure::Ended)? {
            #[cfg(feature = "sqlite")]
            AnyConnection::Sqlite(connection) => {
                let query = query!(sqlx::Sqlite, sql, values);
                let rows = query.fetch_all(&mut **connection).await?;
                Ok(rows.into_iter().map(Row::Sqlite).collect())
            }
            #[cfg(feature = "postgres")]
            AnyConnection::Postgres(connection) => {
                let query = query!(sqlx::Postgres, sql, values);
                let fetching = query.fetch_all(&mut **connection);
                let rows = within(limit, &mut self.state, fetching).await?;
                Ok(rows.into_iter().map(Row::Postgres).collect())
            }
        }
    }

    /// Runs a statement, and returns how many rows it has changed.
    pub(crate) async fn execute(&mut self, sql: Sql, values: Vec<Value>) -> Result<u64, Failure> {
        #[cfg(feature = "postgres")]
        let limit = self.answer_timeout;
        match self.connection.as_mut().ok_or(Failure::Ended)? {
            #[cfg(feature = "sqlite")]
            AnyConnection::Sqlite(connection) => {
                let query = query!(sqlx::Sqlite, sql, values);
                Ok(query.execute(&mut **connection).await?.rows_affected())
            }
            #[cfg(feature = "postgres")]
            AnyConnection::Postgres(connection) => {
                let query = query!(sqlx::Postgres, sql, values);
                let executing = query.execute(&mut **connection);
                Ok(within(limit, &mut self.state, executing).await?.rows_affected())
            }
        }
    }

    /// Runs statements without values.
    pub(crate) async fn run(&mut self, sql: &'static str) -> Result<(), Failure> {
        #[cfg(feature = "postgres")]
        let limit = self.answer_timeout;
        match self.connection.as_mut().ok_or(Failure::Ended)? {
            #[cfg(feature = "sqlite")]
            AnyConnection::Sqlite(connection) => {
                sqlx::raw_sql(sql).execute(&mut **connection).await?;
            }
            #[cfg(feature = "postgres")]
            AnyConnection::Postgres(connection) => {
                let running = sqlx::raw_sql(sql).execute(&mut **connection);
                within(limit, &mut self.state, running).await?;
            }
        }
        Ok(())
    }

    /// Removes the timeouts for the rest of the transaction. SQLite has no such timeouts.
    pub(crate) async fn without_timeouts(&mut self) -> Result<(), Failure> {
        if self.is_postgres() {
            self.answer_timeout = Duration::MAX;
            self.run("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0").await?;
        }
        Ok(())
    }

    pub(crate) fn is_postgres(&self) -> bool {
        match &self.connection {
            #[cfg(feature = "postgres")]
            Some(AnyConnection::Postgres(_)) => true,
            _ => false,
        }
    }

    /// Waits for the answer of the server and runs the statement. If that succeeds, the connection goes back to its
    /// pool. If not, it is closed.
    async fn give_back(mut self, sql: &'static str) {
        if self.run(sql).await.is_ok() {
            self.state = State::Idle;
            return;
        }
        match self.connection.take() {
            #[cfg(feature = "sqlite")]
            Some(AnyConnection::Sqlite(permitted)) => drop(permitted.connection.close().await),
            #[cfg(feature = "postgres")]
            Some(AnyConnection::Postgres(permitted)) => drop(permitted.connection.detach()),
            None => {}
        }
    }

    /// Closes the connection at once, without a task.
    fn close(mut self) {
        match self.connection.take() {
            #[cfg(feature = "sqlite")]
            Some(AnyConnection::Sqlite(permitted)) => drop(permitted.connection.detach()),
            #[cfg(feature = "postgres")]
            Some(AnyConnection::Postgres(permitted)) => drop(permitted.connection.detach()),
            None => {}
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let sql = match self.state {
            State::Idle => return,
            State::AwaitsAnswer => Some("SELECT 1"),
            State::InTransaction => Some("ROLLBACK"),
            #[cfg(feature = "postgres")]
            State::TimedOut => None,
        };
        let Some(connection) = self.connection.take() else { return };
        let answer_timeout = self.answer_timeout;
        let open = Self { connection: Some(connection), state: State::Idle, answer_timeout };
        match (sql, tokio::runtime::Handle::try_current()) {
            (Some(sql), Ok(runtime)) => drop(runtime.spawn(open.give_back(sql))),
            // Waiting is not possible: the server does not answer, or the process or the runtime ends.
            _ => open.close(),
        }
    }
}

/// Waits for the answer of the server until the timeout.
#[cfg(feature = "postgres")]
async fn within<T>(
    limit: Duration,
    state: &mut State,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(limit, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => {
            *state = State::TimedOut;
            Err(Failure::BrokenConnection("the server did not answer until the timeout".into()))
        }
    }
}
