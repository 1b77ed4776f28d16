//! Notices that Redis has lost data: remembers what this process has seen, and checks every answer against it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ::redis::{Cmd, streams::StreamRangeReply};

use super::{
    connection::Connection,
    error::Failure,
    keys::{self, Keys, hex, twenty_digits},
    replays::ReplayCheck,
};

/// How many replaced generations a process remembers, so that it does not trust them again.
const SUPERSEDED: usize = 16;

/// A state of the data in Redis: its generation, and how many revocations it had. There is no `Debug`, because a reader
/// who knows the generation can sign messages.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) generation: Arc<str>,
    /// How many revocations were recorded.
    pub(super) count: u64,
    /// The hash over all revocations in their order. The same count with a different hash is a different history.
    pub(super) hash: u64,
}

/// The answer of Redis: generation and count. Either may be missing.
pub(super) type PositionReply = (Option<Vec<u8>>, Option<Vec<u8>>);

/// Data was lost. Unless Redis has reached this position, the generation must be removed.
#[must_use = "remove the generation, so that the whole fleet becomes unavailable"]
pub(super) struct Lost(pub(super) Position);

/// Why an answer is rejected.
pub(super) enum Incomplete {
    Lost(Lost),
    /// This process learned a new generation after it had sent the question, and the answer has a different one. The
    /// next answer shows which of the two is newer.
    Overtaken,
}

impl Position {
    /// Returns the command that reads the generation and the count.
    pub(super) fn command(keys: &Keys) -> Cmd {
        let mut command = ::redis::cmd("MGET");
        command.arg(&keys.generation).arg(&keys.count);
        command
    }

    pub(super) fn read(generation: Option<&[u8]>, count: Option<&[u8]>) -> Result<Self, Failure> {
        let generation = generation.ok_or(Failure::NotSeeded)?;
        let generation = std::str::from_utf8(generation).map_err(|_| Failure::Unreadable)?;
        let (count, hash) = match count {
            Some(value) => read_count(value)?,
            None => (0, 0),
        };
        Ok(Self { generation: generation.into(), count, hash })
    }

    pub(super) fn of((generation, count): &PositionReply) -> Result<Self, Failure> {
        Self::read(generation.as_deref(), count.as_deref())
    }

    /// Returns a position that no data can reach.
    pub(super) fn never(generation: &Arc<str>) -> Lost {
        Lost(Self { generation: Arc::clone(generation), count: u64::MAX, hash: 0 })
    }
}

/// Reads the value of the count: a number, a space, and the hash as sixteen hexadecimal digits.
fn read_count(value: &[u8]) -> Result<(u64, u64), Failure> {
    let blank = value.iter().position(|byte| *byte == b' ').ok_or(Failure::Unreadable)?;
    let (number, hash) = value.split_at(blank);
    let hash = hash.get(1..).unwrap_or_default();
    Ok((keys::number(number)?, read_hash(hash)?))
}

pub(super) fn read_hash(hex: &[u8]) -> Result<u64, Failure> {
    keys::unhex(hex).map(u64::from_be_bytes).ok_or(Failure::Unreadable)
}

/// The latest position that this process has seen.
#[derive(Default)]
pub(super) struct KnownPositions(Mutex<History>);

#[derive(Default)]
struct History {
    latest: Option<Position>,
    /// Generations that other ones have replaced. They come back only with old data.
    superseded: VecDeque<Arc<str>>,
    /// The loss that was noticed and is not settled yet. Until it is settled, every answer of that generation with a
    /// different position is rejected, however high its count is.
    lost: Option<Position>,
}

impl KnownPositions {
    pub(super) fn latest(&self) -> Option<Position> {
        self.lock().latest.clone()
    }

    /// Checks whether an answer covers all the data, as far as this process knows, and remembers the position if it
    /// does.
    /// `before` is the latest position that was known when the question was sent.
    pub(super) fn check(
        &self,
        before: Option<&Position>,
        position: &Position,
    ) -> Result<(), Incomplete> {
        let mut history = self.lock();
        if history.superseded.contains(&position.generation) {
            return Err(Incomplete::Lost(Position::never(&position.generation)));
        }
        if let Some(lost) = history.missing_position(before, position) {
            history.lost = Some(lost.clone());
            return Err(Incomplete::Lost(Lost(lost)));
        }
        history.note(before, position)
    }

    /// Remembers a loss that has to be settled, like one that [`check`](Self::check) has found.
    pub(super) fn lose(&self, Lost(position): &Lost) {
        self.lock().lost = Some(position.clone());
    }

    /// Forgets this loss: Redis has answered that the data was not lost, or that it has another generation by now.
    pub(super) fn settle(&self, Lost(position): &Lost) {
        let mut history = self.lock();
        if history.lost.as_ref() == Some(position) {
            history.lost = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl History {
    /// Returns the position that was known and that the answer lacks.
    fn missing_position(&self, before: Option<&Position>, position: &Position) -> Option<Position> {
        if let Some(lost) = &self.lost
            && lost.generation == position.generation
            && lost != position
        {
            return Some(lost.clone());
        }
        let of_it = |known: &&Position| known.generation == position.generation;
        let before = before.filter(of_it);
        let is_other =
            |known: &&Position| known.count == position.count && known.hash != position.hash;
        let known = before.into_iter().chain(self.latest.as_ref().filter(of_it)).find(is_other);
        known.or(before.filter(|before| position.count < before.count)).cloned()
    }

    fn note(&mut self, before: Option<&Position>, position: &Position) -> Result<(), Incomplete> {
        match &mut self.latest {
            // Answers may arrive out of order.
            Some(latest) if latest.generation == position.generation => {
                if latest.count < position.count {
                    *latest = position.clone();
                }
            }
            Some(latest) if before.is_none_or(|before| before.generation != latest.generation) => {
                return Err(Incomplete::Overtaken);
            }
            latest => {
                if let Some(superseded) = latest.replace(position.clone()) {
                    self.superseded.push_back(superseded.generation);
                    if SUPERSEDED < self.superseded.len() {
                        self.superseded.pop_front();
                    }
                }
            }
        }
        self.lost = None;
        Ok(())
    }
}

/// Removes the generation, and any seeding in progress, because that seeding may have relied on the lost data. Does
/// nothing if Redis has another generation by now, or if the data is complete.
///
/// If the count is higher than the known one, the data is complete only if the stream has the known revocation, because
/// other revocations may have been recorded since the loss.
const REMOVE_GENERATION: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local count, hash = string.match(redis.call('GET', KEYS[2]) or '0 ', '^(%d+) (%x*)$')
if count then
  count = string.rep('0', 20 - string.len(count)) .. count
  if count == ARGV[2] and hash == ARGV[3] then return 0 end
  if count > ARGV[2] then
    local entry = redis.call('XRANGE', KEYS[3], ARGV[4], ARGV[4])[1]
    if entry and entry[2][6] == ARGV[3] then return 0 end
  end
end
redis.call('DEL', KEYS[4])
return redis.call('DEL', KEYS[1])
";

/// Returns the command that removes the generation because data was lost.
pub(super) fn remove_generation_command(keys: &Keys, Lost(position): &Lost) -> Cmd {
    let mut command = ::redis::cmd("EVAL");
    command.arg(REMOVE_GENERATION).arg(4).arg(&keys.generation).arg(&keys.count);
    command.arg(&keys.changes).arg(&keys.seeding);
    command.arg(&*position.generation).arg(twenty_digits(position.count));
    command.arg(hex(&position.hash.to_be_bytes())).arg(format!("{}-0", position.count));
    command
}

/// Checks servers: at each new connection, and once in each heartbeat, even without requests.
#[derive(Clone)]
pub(super) struct Health {
    pub(super) keys: Arc<Keys>,
    pub(super) known: Arc<KnownPositions>,
    pub(super) replays: ReplayCheck,
    pub(super) allows_unknown_evictions: bool,
    /// Whether the keys may be moved to another node.
    pub(super) is_cluster: bool,
}

impl Health {
    /// Checks that the server is a master, does not evict keys and has not evicted any. The inner result is about the
    /// data: if Redis is not seeded, that is not a reason to use another server.
    ///
    /// If the server may have evicted revocations, this removes the generation at once. The right settings do not bring
    /// the data back.
    ///
    /// It uses `INFO`, because an ACL may forbid `CONFIG` and `ROLE`.
    pub(super) async fn check_server(
        &self,
        connection: &Connection,
    ) -> Result<Result<Position, Failure>, Failure> {
        let before = self.known.latest();
        let known = before.as_ref().map_or(0, |position| position.count);
        let mut all = ::redis::pipe();
        for section in ["memory", "replication", "stats"] {
            all.cmd("INFO").arg(section);
        }
        all.add_command(Position::command(&self.keys));
        // The entry of the latest revocation that is known.
        all.cmd("XRANGE").arg(&self.keys.changes);
        all.arg(format!("{known}-0")).arg(format!("{known}-0"));
        let (memory, replication, stats, position, entry): (
            String,
            String,
            String,
            PositionReply,
            StreamRangeReply,
        ) = all.query_async(&mut connection.0.clone()).await?;

        match field(&replication, "role") {
            Some("master") => {}
            Some(_) => return Err(Failure::Replica),
            None => return Err(Failure::Unreadable),
        }
        if let Err(failure) = check_evictions(&memory, &stats, self.allows_unknown_evictions) {
            if let Ok(position) = Position::of(&position) {
                self.lose(connection, &Position::never(&position.generation)).await;
            }
            return Err(failure);
        }
        self.replays.check(&self.keys, connection).await;
        Ok(match Position::of(&position) {
            Ok(position)
                if before.as_ref().is_some_and(|before| is_replaced(before, &position, &entry)) =>
            {
                self.lose(connection, &Position::never(&position.generation)).await;
                Err(Failure::WentBackwards)
            }
            Ok(position) => self.check_position(connection, before.as_ref(), position).await,
            Err(failure) => Err(failure),
        })
    }

    /// Checks whether an answer on that connection covers all the data. `before` is the position that was known when
    /// the question was sent.
    pub(super) async fn check_position(
        &self,
        connection: &Connection,
        before: Option<&Position>,
        position: Position,
    ) -> Result<Position, Failure> {
        match self.known.check(before, &position) {
            Ok(()) => Ok(position),
            Err(Incomplete::Lost(lost)) => {
                self.remove_generation(connection, &lost).await;
                Err(Failure::WentBackwards)
            }
            Err(Incomplete::Overtaken) => Err(Failure::Overtaken),
        }
    }

    async fn lose(&self, connection: &Connection, lost: &Lost) {
        self.known.lose(lost);
        self.remove_generation(connection, lost).await;
    }

    /// Removes the generation because data was lost, which makes the whole fleet unavailable. If this fails, the loss
    /// is not settled, and the next answer leads to this call again.
    async fn remove_generation(&self, connection: &Connection, lost: &Lost) {
        let command = remove_generation_command(&self.keys, lost);
        if let Ok(0_u64) = command.query_async(&mut connection.0.clone()).await {
            self.known.settle(lost);
        }
    }
}

/// Returns whether the stream has a different revocation in the place of the latest known one. If the stream does not
/// reach back that far, this cannot be known, and the result is `false`.
fn is_replaced(known: &Position, position: &Position, entry: &StreamRangeReply) -> bool {
    let Some(entry) = entry.ids.first() else { return false };
    let hash = entry.get::<Vec<u8>>("t");
    let is_it = hash.is_some_and(|hash| read_hash(&hash).is_ok_and(|hash| hash == known.hash));
    known.generation == position.generation && !is_it
}

fn check_evictions(memory: &str, stats: &str, allows_unknown: bool) -> Result<(), Failure> {
    match field(memory, "maxmemory_policy") {
        Some("noeviction") => {}
        Some(policy) => return Err(Failure::Evicting(policy.to_owned())),
        None if allows_unknown => {}
        None => return Err(Failure::Unreadable),
    }
    match field(stats, "evicted_keys") {
        Some("0") => Ok(()),
        Some(_) => Err(Failure::Evicted),
        None if allows_unknown => Ok(()),
        None => Err(Failure::Unreadable),
    }
}

/// Identifies the process that has answered `INFO`, and its replication history. A process that was a replica for a
/// while may have lost data. It has a different history afterwards.
pub(super) fn server(info: &str) -> Result<String, Failure> {
    let read = |name| field(info, name).ok_or(Failure::Unreadable);
    Ok(format!("{} {}", read("run_id")?, read("master_replid")?))
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(generation: &str, count: u64, hash: u64) -> Position {
        Position { generation: generation.into(), count, hash }
    }

    fn check(known: &KnownPositions, position: &Position) -> Result<(), Position> {
        known.check(known.latest().as_ref(), position).map_err(|incomplete| match incomplete {
            Incomplete::Lost(Lost(position)) => position,
            Incomplete::Overtaken => {
                panic!("the question was sent after the latest position was known")
            }
        })
    }

    #[test]
    fn a_loss_stays_a_loss_when_the_count_has_passed_it() {
        let known = KnownPositions::default();
        let (latest, beyond) = (position("g", 10, 100), position("g", 12, 121));
        assert!(check(&known, &latest).is_ok());
        assert!(check(&known, &position("g", 9, 90)).is_err());
        for _ in 0..2 {
            assert!(check(&known, &beyond).is_err_and(|lost| lost == latest));
        }
        known.settle(&Lost(latest));
        assert!(check(&known, &beyond).is_ok(), "Redis said that it was there");

        known.lose(&Position::never(&"g".into()));
        assert!(check(&known, &beyond).is_err());
        assert!(check(&known, &position("h", 0, 0)).is_ok(), "seeded again");
    }

    #[test]
    fn a_server_that_hides_evictions_is_rejected_unless_allowed() {
        let check = |memory: &str, stats: &str, allows_unknown| {
            check_evictions(memory, stats, allows_unknown).err().map(|failure| failure.kind())
        };
        let (policy, none) = ("# Memory\r\nmaxmemory_policy:noeviction\r\n", "evicted_keys:0\r\n");
        for allows_unknown in [false, true] {
            assert_eq!(check(policy, none, allows_unknown), None);
            let lru = "maxmemory_policy:allkeys-lru\r\n";
            assert_eq!(check(lru, none, allows_unknown), Some("evicting"));
            assert_eq!(check(policy, "evicted_keys:1\r\n", allows_unknown), Some("evicted"));
        }
        for (memory, stats) in [("", none), (policy, ""), ("", "")] {
            assert_eq!(check(memory, stats, false), Some("unreadable"));
            assert_eq!(check(memory, stats, true), None);
        }
        assert_eq!(check("", "evicted_keys:1\r\n", true), Some("evicted"));
    }

    #[test]
    fn a_late_generation_does_not_replace_a_newer_one() {
        let known = KnownPositions::default();
        let asked = known.latest();
        assert!(check(&known, &position("new", 0, 0)).is_ok());
        let late = known.check(asked.as_ref(), &position("old", 0, 0));
        assert!(matches!(late, Err(Incomplete::Overtaken)));
        assert!(check(&known, &position("new", 1, 10)).is_ok());
    }

    #[test]
    fn a_count_is_read_with_its_hash() {
        let read = |count: Option<&str>| {
            let position = Position::read(Some(b"g"), count.map(str::as_bytes)).ok()?;
            Some((position.count, position.hash))
        };
        assert_eq!(read(None), Some((0, 0)));
        assert_eq!(read(Some("7 00000000000000ff")), Some((7, 255)));
        for count in ["", "7", "7 ", " ", "x 00000000000000ff", "7 ff", "-1 00000000000000ff"] {
            assert_eq!(read(Some(count)), None, "{count}");
        }
        assert!(Position::read(None, Some(b"7 00000000000000ff")).is_err());
        assert!(Position::read(Some(b"\xff"), None).is_err());
    }

    #[test]
    fn a_lower_count_is_a_loss_of_data() {
        let known = KnownPositions::default();
        assert!(check(&known, &position("g", 5, 50)).is_ok());
        assert!(check(&known, &position("g", 5, 50)).is_ok());
        assert!(check(&known, &position("g", 6, 60)).is_ok());
        assert!(
            check(&known, &position("g", 5, 50)).is_err_and(|lost| lost == position("g", 6, 60))
        );
        assert!(
            check(&known, &position("g", 6, 61)).is_err_and(|lost| lost == position("g", 6, 60))
        );
        assert!(check(&known, &position("g", 6, 60)).is_ok(), "the complete data is back");
    }

    #[test]
    fn a_late_answer_is_accepted_and_does_not_lower_the_count() {
        let known = KnownPositions::default();
        assert!(check(&known, &position("g", 5, 50)).is_ok());
        let before = known.latest();
        assert!(check(&known, &position("g", 9, 90)).is_ok());
        assert!(known.check(before.as_ref(), &position("g", 7, 70)).is_ok());
        assert!(known.latest() == Some(position("g", 9, 90)));
        assert!(known.check(before.as_ref(), &position("g", 9, 91)).is_err());
    }

    #[test]
    fn a_replaced_generation_is_never_accepted_again() {
        let known = KnownPositions::default();
        for number in 0..=SUPERSEDED {
            assert!(check(&known, &position(&format!("g{number}"), 0, 0)).is_ok());
        }
        for number in 0..SUPERSEDED {
            let old = check(&known, &position(&format!("g{number}"), 1_000, 0));
            assert!(old.is_err_and(|lost| lost.count == u64::MAX), "{number}");
        }
        assert!(check(&known, &position(&format!("g{SUPERSEDED}"), 0, 0)).is_ok());
    }
}
