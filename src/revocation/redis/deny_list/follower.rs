//! How the deny-list comes and stays up to date.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use ::redis::{Cmd, streams::StreamReadReply};

use super::{
    super::{
        Mark, RedisStore,
        dial::Connection,
        error::Failure,
        link::{jittered, wait},
        names::{self, Dates, Name},
    },
    Held,
    set::Set,
};
use crate::claims::Moment;

/// Changes, or keys of a snapshot, that are read at once.
const BATCH: usize = 1_000;

/// The times that Redis is asked to wait for a change.
const SHORTEST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct Follower {
    store: RedisStore,
    held: Arc<Held>,
    /// What the set is a copy of; none before the first snapshot.
    position: Option<Mark>,
    /// Redis has counted further than the stream has told: once may be chance.
    is_behind: bool,
}

/// One answer: changes, generation, count.
type Round = (Option<StreamReadReply>, (Option<Vec<u8>>, Option<Vec<u8>>));

impl Follower {
    pub(super) fn new(store: RedisStore, held: Arc<Held>) -> Self {
        Self { store, held, position: None, is_behind: false }
    }

    pub(super) async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = self.held.snapshots.load(Relaxed);
            match self.follow().await {
                // What is held is no copy of anything any more.
                Failure::NotSeeded | Failure::WentBackwards | Failure::Unreadable => {
                    self.position = None;
                    self.held.set_as_of(None);
                }
                // It may grow as old as the bound allows.
                _ => {}
            }
            let came_on = self.position.is_some() && self.held.snapshots.load(Relaxed) != begun;
            pause = if came_on { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            wait(jittered(pause)).await;
        }
    }

    /// Until something fails.
    async fn follow(&mut self) -> Failure {
        let block = (self.held.bound / 4).clamp(SHORTEST_WAIT, LONGEST_WAIT);
        let dialer = &self.store.0.dialer;
        let dialer = dialer.with_more_time(block);
        let connection = match dialer.connection().await {
            Ok(connection) => connection,
            Err(failure) => return failure,
        };
        loop {
            if let Err(failure) = self.round(&connection, block).await {
                return failure;
            }
        }
    }

    async fn round(&mut self, connection: &Connection, block: Duration) -> Result<(), Failure> {
        // Whether the server may be asked at all is found out there, once for both.
        if !self.store.0.link.is_up() {
            return Err(Failure::Down(None));
        }
        let Some(position) = self.position.clone() else {
            let asked = Moment::of(&*self.held.clock);
            self.position = Some(self.snapshot(connection).await?);
            self.held.set_as_of(Some(asked));
            return Ok(());
        };
        let before = self.store.0.seen.mark();
        let asked = Moment::of(&*self.held.clock);
        let mut both = ::redis::pipe();
        both.add_command(self.read(position.count, block)).add_command(self.mark());
        let (changes, (generation, count)): Round =
            both.query_async(&mut connection.0.clone()).await?;
        let mark = self.store.judge(before, generation.as_deref(), count.as_deref()).await?;
        if mark.generation != position.generation {
            self.position = None;
            return Ok(());
        }
        let changes = changes.map(|changes| changes.keys).unwrap_or_default();
        let changes: Vec<_> = changes.into_iter().flat_map(|stream| stream.ids).collect();
        let (mut last, some_left) = (position.count, changes.len() >= BATCH);
        let mut denials = Vec::with_capacity(changes.len());
        for change in &changes {
            let number = change.id.split('-').next().unwrap_or_default();
            if names::number(number.as_bytes())? != last.wrapping_add(1) {
                // The stream no longer reaches back to where the set is.
                self.position = None;
                return Ok(());
            }
            last = last.wrapping_add(1);
            let name: Vec<u8> = change.get("n").ok_or(Failure::Unreadable)?;
            let dates: Vec<u8> = change.get("d").ok_or(Failure::Unreadable)?;
            denials.push((Name::read(&name)?, Dates::read(&dates)?));
        }
        if changes.is_empty() && mark.count > last {
            // Something came just after the stream was read, or the stream is gone.
            if self.is_behind {
                self.position = None;
            }
            self.is_behind = !self.is_behind;
            return Ok(());
        }
        self.is_behind = false;
        self.insert(denials);
        self.position = Some(Mark { count: last, ..position });
        if !some_left {
            self.held.set_as_of(Some(asked));
        }
        Ok(())
    }

    fn insert(&self, denials: Vec<(Name, Dates)>) {
        if denials.is_empty() {
            return;
        }
        let now = self.held.clock.unix_time().as_secs();
        let mut set = self.held.set.write().unwrap_or_else(PoisonError::into_inner);
        for (name, dates) in denials {
            set.insert(name, dates, now);
        }
    }

    /// Everything that is there, and whatever comes while it is read: the mark is from before.
    async fn snapshot(&self, connection: &Connection) -> Result<Mark, Failure> {
        let mut connection = connection.0.clone();
        let before = self.store.0.seen.mark();
        let (generation, count): (Option<Vec<u8>>, Option<Vec<u8>>) =
            self.mark().query_async(&mut connection).await?;
        let mark = self.store.judge(before, generation.as_deref(), count.as_deref()).await?;

        let prefix = self.store.0.space.denials();
        let pattern = format!("{}*", literally(&prefix));
        let now = self.held.clock.unix_time().as_secs();
        let mut set = Set::default();
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = ::redis::cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(BATCH);
            let (next, keys): (String, Vec<String>) = scan.query_async(&mut connection).await?;
            if !keys.is_empty() {
                let mut read = ::redis::cmd("MGET");
                keys.iter().for_each(|key| {
                    read.arg(key);
                });
                let values: Vec<Option<Vec<u8>>> = read.query_async(&mut connection).await?;
                for (key, value) in keys.iter().zip(values) {
                    let name = key.strip_prefix(&prefix).ok_or(Failure::Unreadable)?;
                    // One that is gone has had its time.
                    let Some(value) = value else { continue };
                    set.insert(Name::read(name.as_bytes())?, Dates::read(&value)?, now);
                }
            }
            if next == "0" {
                break;
            }
            cursor = next;
        }
        *self.held.set.write().unwrap_or_else(PoisonError::into_inner) = set;
        self.held.snapshots.fetch_add(1, Relaxed);
        Ok(mark)
    }

    fn read(&self, last: u64, block: Duration) -> Cmd {
        let mut read = ::redis::cmd("XREAD");
        read.arg("COUNT").arg(BATCH).arg("BLOCK").arg(block.as_millis().max(1).to_string());
        read.arg("STREAMS").arg(&self.store.0.space.changes).arg(format!("{last}-0"));
        read
    }

    fn mark(&self) -> Cmd {
        let mut command = ::redis::cmd("MGET");
        command.arg(&self.store.0.space.generation).arg(&self.store.0.space.count);
        command
    }
}

/// A prefix as a pattern that matches nothing but itself.
fn literally(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len());
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}
