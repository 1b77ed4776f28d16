//! Keeps the deny-list up to date: takes snapshots, and follows the stream of changes.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use ::redis::{
    Cmd,
    streams::{StreamId, StreamReadReply},
};
use tokio::time::Instant;

use super::{
    super::{
        RedisStore,
        dial::Connection,
        error::Failure,
        mark::{Mark, MarkReply},
        names::{self, Dates, Name},
        pauses::Pauses,
    },
    Held, snapshot,
};
use tower_bearer::claims::Moment;

/// How many changes are read at once.
const BATCH: usize = 1_000;

/// Limits of how long Redis is asked to wait for a change.
const SHORTEST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Pauses between attempts to follow.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Pauses between snapshots. Each snapshot is work for Redis, and after a new generation the whole fleet takes one.
const FIRST_REST: Duration = Duration::from_millis(400);
const LONGEST_REST: Duration = Duration::from_secs(2);

pub(super) struct Follower {
    store: RedisStore,
    held: Arc<Held>,
    /// The data that the set is a copy of. `None` before the first snapshot.
    position: Option<Position>,
    /// The count of Redis was higher than the last entry of the stream. Once may be chance.
    is_behind: bool,
    rests: Pauses,
    /// When the last snapshot was complete. `None` before the first one.
    snapshot_at: Option<Instant>,
}

/// A generation, and the number of the latest revocation that was read.
#[derive(Clone)]
struct Position {
    generation: Arc<str>,
    count: u64,
}

/// A connection, and the number of the store's connection when it was made.
struct Followed {
    connection: Connection,
    link: u64,
    block: Duration,
}

impl Follower {
    pub(super) fn new(store: RedisStore, held: Arc<Held>) -> Self {
        let rests = Pauses::new(FIRST_REST, LONGEST_REST.max(held.bound / 2));
        Self { store, held, position: None, is_behind: false, rests, snapshot_at: None }
    }

    pub(super) async fn run(mut self) {
        let mut pauses = Pauses::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let begin = Instant::now();
            match self.follow().await {
                // The set is not a copy of the data in Redis any more.
                Failure::NotSeeded | Failure::WentBackwards | Failure::Unreadable => {
                    self.position = None;
                    self.held.set_as_of(None);
                }
                // The set may be used until it is older than the bound.
                _ => {}
            }
            pauses.held_since(begin);
            pauses.wait().await;
        }
    }

    /// Follows until there is a failure, and returns it.
    async fn follow(&mut self) -> Failure {
        match self.connect().await {
            Ok(followed) => loop {
                if let Err(failure) = self.round(&followed).await {
                    return failure;
                }
            },
            Err(failure) => failure,
        }
    }

    async fn connect(&self) -> Result<Followed, Failure> {
        let store = &self.store.0;
        let link = store.link.number().ok_or(Failure::Down(None))?;
        let block = (self.held.bound / 4).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let connection = store.dialer.with_more_time(block).connection().await?;
        // This connection may lead to a different server than the connection of the store.
        store.health.check(&connection).await??;
        Ok(Followed { connection, link, block })
    }

    /// Checks that the store still has the same connection. The store notices, for both, if the server was replaced or
    /// may not be used any more.
    fn is_that_of_the_store(&self, followed: &Followed) -> Result<(), Failure> {
        let is_it = self.store.0.link.number() == Some(followed.link);
        if is_it { Ok(()) } else { Err(Failure::Down(None)) }
    }

    async fn round(&mut self, followed: &Followed) -> Result<(), Failure> {
        self.is_that_of_the_store(followed)?;
        let Some(position) = self.position.clone() else {
            return self.begin_anew(followed).await;
        };
        let before = self.store.0.seen.mark();
        let asked = Moment::of(&*self.held.clock);
        let mut both = ::redis::pipe();
        both.add_command(self.read(position.count, followed.block));
        both.add_command(Mark::command(&self.store.0.space));
        let (changes, mark): (Option<StreamReadReply>, MarkReply) =
            both.query_async(&mut followed.connection.0.clone()).await?;
        self.is_that_of_the_store(followed)?;
        let health = &self.store.0.health;
        let mark = health.judge(&followed.connection, before.as_ref(), Mark::of(&mark)?).await?;
        if mark.generation != position.generation {
            self.position = None;
            return Ok(());
        }
        let changes = changes.map(|changes| changes.keys).unwrap_or_default();
        let changes: Vec<_> = changes.into_iter().flat_map(|stream| stream.ids).collect();
        if changes.is_empty() && mark.count > position.count {
            // A revocation was recorded just after the stream was read, or the stream is gone.
            if self.is_behind {
                self.position = None;
            }
            self.is_behind = !self.is_behind;
            return Ok(());
        }
        self.is_behind = false;
        let Some((count, denials)) = read_changes(&changes, position.count)? else {
            self.position = None;
            return Ok(());
        };
        self.insert(denials);
        self.position = Some(Position { count, ..position });
        if changes.len() < BATCH {
            self.held.set_as_of(Some(asked));
        }
        Ok(())
    }

    async fn begin_anew(&mut self, followed: &Followed) -> Result<(), Failure> {
        if let Some(last) = self.snapshot_at {
            self.rests.held_since(last);
            self.rests.wait().await;
        }
        let asked = Moment::of(&*self.held.clock);
        let (mark, set) = snapshot::take(&self.store.0.health, &followed.connection, asked).await?;
        self.is_that_of_the_store(followed)?;
        *self.held.set.write().unwrap_or_else(PoisonError::into_inner) = set;
        self.held.snapshots.fetch_add(1, Relaxed);
        self.position = Some(Position { generation: mark.generation, count: mark.count });
        self.snapshot_at = Some(Instant::now());
        self.held.set_as_of(Some(asked));
        Ok(())
    }

    fn insert(&self, denials: Vec<(Name, Dates)>) {
        if denials.is_empty() {
            return;
        }
        let now = Moment::of(&*self.held.clock);
        let mut set = self.held.set.write().unwrap_or_else(PoisonError::into_inner);
        for (name, dates) in denials {
            set.insert(name, dates, now);
        }
    }

    fn read(&self, last: u64, block: Duration) -> Cmd {
        let mut read = ::redis::cmd("XREAD");
        read.arg("COUNT").arg(BATCH).arg("BLOCK").arg(block.as_millis().max(1).to_string());
        read.arg("STREAMS").arg(&self.store.0.space.changes).arg(format!("{last}-0"));
        read
    }
}

/// The number of the last change, and the revocation entries.
type Changes = (u64, Vec<(Name, Dates)>);

/// Returns `None` if the stream does not reach back to the position of the set.
fn read_changes(changes: &[StreamId], mut last: u64) -> Result<Option<Changes>, Failure> {
    let mut denials = Vec::with_capacity(changes.len());
    for change in changes {
        let number = change.id.split('-').next().unwrap_or_default();
        if names::number(number.as_bytes())? != last.wrapping_add(1) {
            return Ok(None);
        }
        last = last.wrapping_add(1);
        let name: Vec<u8> = change.get("n").ok_or(Failure::Unreadable)?;
        let dates: Vec<u8> = change.get("d").ok_or(Failure::Unreadable)?;
        denials.push((Name::read(&name)?, Dates::read(&dates)?));
    }
    Ok(Some((last, denials)))
}
