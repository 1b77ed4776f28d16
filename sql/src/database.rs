//! Runs statements and transactions on either database.

use std::{any::Any, sync::Arc, time::Duration};

#[cfg(feature = "issuing")]
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::{sync::watch, time::Instant};

use super::{
    connection::{Connection, Pool},
    statement::{Failure, Row, Sql, Value},
};
use tower_bearer::revocation::{
    StoreError,
    outbox::{NewEntries, OutboxEntry},
};

/// The connections of a store. Clones share them.
#[derive(Clone)]
pub(crate) struct Database {
    /// For transactions that write.
    pub(crate) writers: Pool,
    /// For transactions that revoke. No other step can keep these connections busy.
    pub(crate) revokers: Pool,
    /// For statements that read.
    pub(crate) readers: Pool,
    /// For lookups only.
    pub(crate) lookups: Pool,
    /// Whether followers listen for notifications.
    pub(crate) is_notified: bool,
    pub(crate) wait_timeout: Duration,
    #[cfg(feature = "issuing")]
    pub(crate) turns: Turns,
    pub(crate) new_entries: Arc<NewEntries>,
    /// Changes when there may be new revocations, so that followers poll at once.
    pub(crate) hints: Arc<watch::Sender<()>>,
    /// An open connection, without which SQLite deletes a database in memory.
    pub(crate) _kept_open: Option<Arc<dyn Any + Send + Sync>>,
}

impl Database {
    /// Runs one statement that reads, outside of a transaction. It sees what was committed before it was sent.
    pub(crate) async fn read(
        &self,
        sql: impl Into<Sql>,
        values: &[Value],
    ) -> Result<Vec<Row>, Failure> {
        self.read_on(&self.readers, sql.into(), values).await
    }

    /// The same as [`read`](Self::read), on connections that are only for lookups.
    pub(crate) async fn look_up(
        &self,
        sql: &'static str,
        values: &[Value],
    ) -> Result<Vec<Row>, Failure> {
        self.read_on(&self.lookups, sql.into(), values).await
    }

    async fn read_on(&self, pool: &Pool, sql: Sql, values: &[Value]) -> Result<Vec<Row>, Failure> {
        let mut retries = Retries::within(self.wait_timeout);
        loop {
            let read = async { pool.acquire().await?.read(sql.clone(), values.to_vec()).await };
            match read.await {
                Err(failure) if failure.is_conflict() || failure.is_broken() => {
                    retries.pause_after(failure).await?;
                }
                rows => return rows,
            }
        }
    }

    /// Runs one transaction that writes. `work` returns the transaction, so that it is committed, and its answer.
    ///
    /// It is repeated if it conflicts with another one. A failure after which it is not known whether the commit has
    /// happened is never treated as a conflict. A failure before the commit is sent means that nothing was written.
    pub(crate) async fn step<T, F>(&self, work: impl Fn(Transaction) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<(Transaction, T), Failure>>,
    {
        self.step_on(&self.writers, work).await
    }

    /// The same as [`step`](Self::step), for a step that takes the lock of an owner. The steps of one owner take turns
    /// before they get a connection. So one owner keeps at most one connection busy, however many steps wait, and
    /// however long one waits for the lock.
    #[cfg(feature = "issuing")]
    pub(crate) async fn step_of_owner<T, F>(
        &self,
        lock: i64,
        work: impl Fn(Transaction) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<(Transaction, T), Failure>>,
    {
        let turn = self.turns.take(lock, self.wait_timeout).await;
        let _turn = turn.map_err(|failure| StoreError::from(failure).with_nothing_written())?;
        self.step(work).await
    }

    /// The same as [`step`](Self::step), on connections that are only for steps that revoke.
    pub(crate) async fn revoking_step<T, F>(
        &self,
        work: impl Fn(Transaction) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<(Transaction, T), Failure>>,
    {
        self.step_on(&self.revokers, work).await
    }

    async fn step_on<T, F>(
        &self,
        pool: &Pool,
        work: impl Fn(Transaction) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<(Transaction, T), Failure>>,
    {
        let nothing_written = |failure| StoreError::from(failure).with_nothing_written();
        let mut retries = Retries::within(self.wait_timeout);
        loop {
            let mut is_committing = false;
            let attempt = async {
                let (transaction, answer) = work(self.begin_on(pool).await?).await?;
                is_committing = true;
                transaction.commit().await?;
                Ok(answer)
            };
            match attempt.await {
                Ok(answer) => return Ok(answer),
                Err(failure) if Failure::is_conflict(&failure) => {
                    retries.pause_after(failure).await.map_err(nothing_written)?;
                }
                Err(failure) if !is_committing => return Err(nothing_written(failure)),
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// Begins a transaction that writes. If a connection breaks before anything was done, another one is used.
    pub(crate) async fn begin(&self) -> Result<Transaction, Failure> {
        self.begin_on(&self.writers).await
    }

    async fn begin_on(&self, pool: &Pool) -> Result<Transaction, Failure> {
        let mut retries = Retries::within(self.wait_timeout);
        loop {
            match self.begin_once(pool).await {
                Err(failure) if failure.is_broken() => retries.pause_after(failure).await?,
                begun => return begun,
            }
        }
    }

    async fn begin_once(&self, pool: &Pool) -> Result<Transaction, Failure> {
        let mut connection = pool.acquire().await?;
        // SQLite: IMMEDIATE takes the lock of the writer now. A transaction that reads first and writes later may find
        // that the data that it has read has changed. PostgreSQL: READ COMMITTED, also if the default of the server is
        // different. After waiting for a lock, the next statement must see what the last holder of the lock has
        // committed.
        let begin =
            self.sql_for("BEGIN IMMEDIATE", "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
        connection.begin(begin).await?;
        let (new_entries, hints) = (Arc::clone(&self.new_entries), Arc::clone(&self.hints));
        Ok(Transaction { connection, entries: Vec::new(), new_entries, hints })
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.writers.is_postgres()
    }

    /// Returns the one of two texts that this database understands.
    pub(crate) fn sql_for(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        if self.is_postgres() { postgres } else { sqlite }
    }
}

/// A transaction that writes. If it is dropped before [`commit`](Self::commit) has succeeded, it is rolled back before
/// its connection goes back to the pool. This holds for every failed statement and every place where the future is
/// dropped.
pub(crate) struct Transaction {
    connection: Connection,
    /// The entries that the transaction has written to the outbox.
    entries: Vec<OutboxEntry>,
    new_entries: Arc<NewEntries>,
    hints: Arc<watch::Sender<()>>,
}

impl Transaction {
    /// Remembers an entry that the transaction has written to the outbox. The commit gives it to the relay in this
    /// process.
    pub(crate) fn add_entry(&mut self, entry: OutboxEntry) {
        self.entries.push(entry);
    }

    pub(crate) async fn fetch(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, Failure> {
        self.connection.fetch(sql.into(), values).await
    }

    /// Runs a statement, and returns how many rows it has changed.
    pub(crate) async fn execute(
        &mut self,
        sql: impl Into<Sql>,
        values: Vec<Value>,
    ) -> Result<u64, Failure> {
        self.connection.execute(sql.into(), values).await
    }

    /// Runs statements without values.
    pub(crate) async fn run(&mut self, sql: &'static str) -> Result<(), Failure> {
        self.connection.run(sql).await
    }

    /// Takes locks with these numbers for this transaction: until it ends, no other transaction can take a lock with
    /// the same number. SQLite has one writer at a time, so this does nothing there. The locks are taken in sorted
    /// order, so that two transactions that want the same locks do not deadlock.
    pub(crate) async fn lock(&mut self, mut numbers: Vec<i64>) -> Result<(), Failure> {
        if !self.connection.is_postgres() {
            return Ok(());
        }
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            self.fetch(LOCK, vec![Value::int(number)]).await?;
        }
        Ok(())
    }

    /// Removes the timeouts for the rest of the transaction.
    pub(crate) async fn without_timeouts(&mut self) -> Result<(), Failure> {
        self.connection.without_timeouts().await
    }

    pub(crate) async fn commit(self) -> Result<(), Failure> {
        self.connection.commit().await?;
        if !self.entries.is_empty() {
            self.hints.send_replace(());
        }
        self.new_entries.add(self.entries);
        Ok(())
    }
}

const LOCK: &str = "SELECT 1 FROM pg_advisory_xact_lock($1)";

/// How often a step is tried if it conflicts with other steps, or if its connection turns out to be broken.
const ATTEMPTS: u32 = 6;

/// The attempts of one step. There are only a few, and none begins after the wait timeout has passed. So a step whose
/// attempts each wait for the longest time is not tried again.
pub(crate) struct Retries {
    attempt: u32,
    until: Instant,
}

impl Retries {
    pub(crate) fn within(wait_timeout: Duration) -> Self {
        Self { attempt: 0, until: Instant::now() + wait_timeout }
    }

    /// Waits before the next attempt. After the last attempt it returns the failure.
    #[expect(
        clippy::disallowed_methods,
        reason = "the database does not report when a conflicting step has ended"
    )]
    pub(crate) async fn pause_after(&mut self, failure: Failure) -> Result<(), Failure> {
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

/// Lets one step of an owner run at a time in this process. The number of the owner's lock chooses the place. Owners in
/// the same place wait for each other, which is the only effect.
#[cfg(feature = "issuing")]
#[derive(Clone)]
pub(crate) struct Turns(Arc<[Semaphore]>);

#[cfg(feature = "issuing")]
const TURNS: u64 = 1024;

#[cfg(feature = "issuing")]
impl Turns {
    async fn take(&self, lock: i64, timeout: Duration) -> Result<SemaphorePermit<'_>, Failure> {
        let place = usize::try_from(lock.unsigned_abs() % TURNS).unwrap_or_default();
        let turn = self.0.get(place).ok_or(Failure::Ended)?.acquire();
        let turn = tokio::time::timeout(timeout, turn).await.map_err(|_| Failure::OwnerIsBusy)?;
        turn.map_err(|_| Failure::Ended)
    }
}

#[cfg(feature = "issuing")]
impl Default for Turns {
    fn default() -> Self {
        Self((0..TURNS).map(|_| Semaphore::new(1)).collect())
    }
}
