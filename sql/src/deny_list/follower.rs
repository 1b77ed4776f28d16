//! Reads the changes of `bearer_denials`, for deny-lists and for caches.
//!
//! 1. **A row that is committed late is not missed.** The next poll begins at the lowest number that a later commit can
//!    have. So it may read rows again, which is harmless.
//! 2. **The server may go back**: it crashed, a standby replaced it, or a backup was restored. A poll begins at most
//!    one above the highest number that was committed, so that a crash of the same server leaves no gap. If the server
//!    was started again, or has lost transactions, everything is read again.
//! 3. **A notification only makes the next poll come earlier.** Nothing depends on it.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    entries::{LocalCopy, read_row},
    listener::Listener,
};
use crate::{
    connection::Pool,
    database::Database,
    entries::read_entry,
    statement::{Failure, Row, Sql, Value},
};
use tower_bearer::{BackgroundTask, claims::Moment, revocation::WeakRevocationCache};

/// How many rows a poll reads at once, and a snapshot.
const CHANGES_AT_ONCE: usize = 1_000;
const ROWS_AT_ONCE: usize = 10_000;

/// A process polls at most this often, however many notifications there are.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);

/// Backoff between attempts that fail.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Limits of how long to wait for a connection, and for the answer to a poll.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(2);
const LONGEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What receives the revocations.
pub(crate) enum Sink {
    /// All of them.
    Copy(Arc<LocalCopy>),
    /// Those that are new. The cache asks its store for the others.
    Cache(WeakRevocationCache),
}

pub(crate) struct Follower {
    database: Database,
    connections: Pool,
    sink: Sink,
    task: BackgroundTask,
    interval: Duration,
    listener: Listener,
    /// `None`: everything is to be read again.
    position: Option<Position>,
}

/// Up to where the changes were read.
#[derive(Clone)]
struct Position {
    /// The run of the server, and its table. Numbers of another history cannot be compared.
    history: String,
    /// The next poll begins at this number.
    from: i64,
    /// No number of this history was higher.
    highest: i64,
}

impl Position {
    fn read(row: &Row) -> Result<Self, Failure> {
        if row.int(8)? != 0 {
            return Err(Failure::Standby);
        }
        let (lowest, latest) = (row.int(10)?, row.optional_int(12)?.unwrap_or(0));
        Ok(Self {
            history: row.text(9)?,
            from: lowest.min(latest.saturating_add(1)),
            highest: row.int(11)?,
        })
    }

    fn continues(&self, earlier: &Self) -> bool {
        self.history == earlier.history && self.highest >= earlier.highest
    }
}

impl Follower {
    pub(crate) fn new(
        database: &Database,
        sink: Sink,
        task: &BackgroundTask,
        interval: Duration,
        listener: Listener,
    ) -> Self {
        let (database, task) = (database.clone(), task.clone());
        let connections = database.lookups.clone();
        let mut follower =
            Self { database, connections, sink, task, interval, listener, position: None };
        follower.connect_again();
        follower
    }

    /// Gives a deny-list a connection of its own. sqlx keeps the place of a connection that does not answer, so a pool
    /// with such a connection would be of no use. A cache does not depend on its follower, so it shares the connections
    /// for lookups.
    fn connect_again(&mut self) {
        if matches!(self.sink, Sink::Copy(_)) {
            let timeout = (self.interval * 4).max(SHORTEST_TIMEOUT).min(LONGEST_TIMEOUT);
            self.connections = self.database.lookups.separate(timeout);
        }
    }

    /// Follows until the receiver is gone.
    #[expect(
        clippy::disallowed_methods,
        reason = "a database does not report that it can be polled, and each pause has a limit"
    )]
    pub(crate) async fn run(mut self) {
        let mut hints = self.database.hints.subscribe();
        let mut failures = 0;
        while self.is_needed() {
            let begin = Instant::now();
            hints.borrow_and_update();
            match self.poll().await {
                Ok(()) => {
                    failures = 0;
                    self.task.succeeded();
                    // A poll that has much to read must not keep the database busy.
                    sleep(begin.elapsed().max(SHORTEST_PAUSE)).await;
                    let rest = self.interval.saturating_sub(begin.elapsed());
                    let _ = timeout(rest, hints.changed()).await;
                }
                Err(failure) => {
                    self.task.failed(failure.label());
                    self.connect_again();
                    sleep(pause_after(failures)).await;
                    failures += 1;
                }
            }
        }
    }

    fn is_needed(&self) -> bool {
        match &self.sink {
            Sink::Copy(_) => true,
            Sink::Cache(cache) => cache.is_alive(),
        }
    }

    async fn poll(&mut self) -> Result<(), Failure> {
        self.listener.keep(&self.database);
        let asked = self.now();
        let Some(known) = self.position.clone() else { return self.read_again(asked).await };
        let (mut from, mut after) = (known.from, Vec::new());
        let mut first = None;
        loop {
            let rows = self.changes(from, &after).await?;
            let position = Position::read(rows.first().ok_or(Failure::UnreadableRow)?)?;
            if !position.continues(&known) {
                self.position = None;
                return self.read_again(asked).await;
            }
            let position = first.get_or_insert(position);
            // Without a change there is one row, which has only the position.
            let Some(last) = rows.last().filter(|row| !matches!(row.optional_int(0), Ok(None)))
            else {
                break;
            };
            (from, after) = (last.int(0)?, last.bytes(7)?);
            if position.from > known.from {
                self.listener.expect_notification();
            }
            self.give(&rows)?;
            if rows.len() < CHANGES_AT_ONCE {
                break;
            }
        }
        self.position = first;
        self.report_up_to_date(asked);
        Ok(())
    }

    /// Reads all rows. Rows that are committed meanwhile are read by the next poll.
    async fn read_again(&mut self, asked: Option<Moment>) -> Result<(), Failure> {
        let rows = self.changes(i64::MAX, &[]).await?;
        let position = Position::read(rows.first().ok_or(Failure::UnreadableRow)?)?;
        match &self.sink {
            Sink::Copy(copy) => self.take_snapshot(copy).await?,
            Sink::Cache(cache) => drop(cache.doubt()),
        }
        self.position = Some(position);
        self.report_up_to_date(asked);
        Ok(())
    }

    async fn take_snapshot(&self, copy: &LocalCopy) -> Result<(), Failure> {
        // The first snapshot has nothing to compare with.
        let mut read = (copy.snapshots() > 0).then(HashSet::new);
        copy.begin_snapshot();
        let mut after = Vec::new();
        loop {
            let values = vec![Value::Bytes(after), Value::limit(ROWS_AT_ONCE)];
            let rows = self.connections.acquire().await?.read(unnamed(ALL), values).await?;
            let entries: Vec<_> =
                rows.iter().map(|row| read_row(row, [0, 1, 2, 3])).collect::<Result<_, _>>()?;
            copy.insert(&entries);
            if let Some(read) = &mut read {
                read.extend(entries.iter().map(|(id, _)| *id));
            }
            match rows.last() {
                Some(last) if rows.len() == ROWS_AT_ONCE => after = last.bytes(0)?,
                _ => break,
            }
        }
        copy.end_snapshot(read.as_ref());
        Ok(())
    }

    /// Not repeated, because everything must come from the same server.
    async fn changes(&self, from: i64, after: &[u8]) -> Result<Vec<Row>, Failure> {
        let sql = self.database.sql_for(SQLITE_CHANGES, POSTGRES_CHANGES);
        let values =
            vec![Value::int(from), Value::Bytes(after.to_vec()), Value::limit(CHANGES_AT_ONCE)];
        self.connections.acquire().await?.read(unnamed(sql), values).await
    }

    fn give(&self, rows: &[Row]) -> Result<(), Failure> {
        match &self.sink {
            Sink::Copy(copy) => {
                let entries: Vec<_> =
                    rows.iter().map(|row| read_row(row, [7, 4, 5, 6])).collect::<Result<_, _>>()?;
                copy.insert(&entries);
            }
            Sink::Cache(cache) => {
                for row in rows {
                    cache.apply(&read_entry(row)?.revocation);
                }
            }
        }
        Ok(())
    }

    fn now(&self) -> Option<Moment> {
        match &self.sink {
            Sink::Copy(copy) => Some(copy.now()),
            Sink::Cache(_) => None,
        }
    }

    fn report_up_to_date(&self, asked: Option<Moment>) {
        if let (Sink::Copy(copy), Some(asked)) = (&self.sink, asked) {
            copy.set_as_of(asked);
        }
    }
}

/// A prepared statement that has no name. PgBouncer gives the connection of the server to several clients, and the names
/// of their statements would collide.
fn unnamed(sql: &str) -> Sql {
    Sql::Built(sql.to_owned())
}

/// The pause depends on the process, so that a fleet does not come back all at once.
fn pause_after(failures: u32) -> Duration {
    let pause = (FIRST_PAUSE * 2u32.pow(failures.min(8))).min(LONGEST_PAUSE);
    pause + pause * (std::process::id() % 16) / 32
}

/// `read_entry` expects the first seven columns. The position comes after the id, and is in each row.
///
/// The subquery reads rows with the same snapshot that the position has. Numbers that a backup has brought from another
/// server can be above the snapshot: the snapshot of this process has read them.
const POSTGRES_CHANGES: &str = "
    SELECT c.changed, c.kind, c.issuer, c.name, c.starts_at, c.cut_off, c.keep_until, c.id,
           pg_is_in_recovery()::int::bigint,
           concat_ws(' ', extract(epoch FROM pg_postmaster_start_time())::text, current_database()::text,
               to_regclass('bearer_denials')::oid::text),
           pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
           (SELECT latest.changed::text::bigint FROM bearer_denials AS latest
            WHERE latest.changed < pg_snapshot_xmax(pg_current_snapshot())
            ORDER BY latest.changed DESC LIMIT 1)
    FROM (SELECT 1) AS one LEFT JOIN (
        SELECT d.changed::text::bigint AS changed, d.kind, d.issuer, d.name, d.starts_at, d.cut_off, d.keep_until, d.id
        FROM bearer_denials AS d
        WHERE d.changed >= $1::bigint::text::xid8 AND (d.changed, d.id) > ($1::bigint::text::xid8, $2)
          AND d.changed < pg_snapshot_xmax(pg_current_snapshot())
        ORDER BY d.changed, d.id LIMIT $3
    ) AS c ON TRUE";

const SQLITE_CHANGES: &str = "
    SELECT c.changed, c.kind, c.issuer, c.name, c.starts_at, c.cut_off, c.keep_until, c.id,
           0, p.history, p.count + 1, p.count, p.count
    FROM bearer_denial_changes AS p LEFT JOIN (
        SELECT d.changed, d.kind, d.issuer, d.name, d.starts_at, d.cut_off, d.keep_until, d.id
        FROM bearer_denials AS d
        WHERE d.changed >= $1 AND (d.changed, d.id) > ($1, $2)
        ORDER BY d.changed, d.id LIMIT $3
    ) AS c ON 1 = 1";

const ALL: &str = "
    SELECT id, starts_at, cut_off, keep_until FROM bearer_denials WHERE id > $1 ORDER BY id LIMIT $2";
