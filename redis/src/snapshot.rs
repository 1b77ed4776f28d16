//! Reads all revocation entries from Redis: packed into a few large values, or key by key.
//!
//! A million keys take seconds to read, and Redis does most of the work. So the first process that has read a large set
//! key by key also writes it into Redis *packed*, and processes that start later read that. A packed snapshot has a
//! position. The reader follows the stream of changes from that position on, and uses the snapshot only when it has
//! caught up. If there is no packed snapshot, or it is too old for the stream, the reader reads key by key.
//!
//! The packed snapshot is only an optimisation. If Redis does not accept it, because of its memory or of the rights of
//! the client, processes read key by key.

use std::{collections::VecDeque, sync::Arc};

use ::redis::Cmd;

use super::{
    connection::Connection,
    data_loss::{Health, Position, read_hash},
    deny_list_entries::EntrySet,
    error::Failure,
    keys::{self, CHANGES_KEPT, Dates, HashedName, Keys, hex},
};
use tower_bearer::claims::Moment;

/// How many keys are read at once.
const PAGE: usize = 1_000;

/// A smaller set is not packed, because it is read key by key in less than half a second.
const PACKED_FROM: usize = 100_000;

/// A packed snapshot is replaced when this many revocations have followed it. So the stream reaches back to it.
const CHANGES_BEFORE_REPLACEMENT: u64 = CHANGES_KEPT / 4;

/// Bytes of a packed entry: name, cut-off, end, start.
const ENTRY: usize = 40;

/// Entries in one value. A value has one megabyte: more would make other commands wait.
const PART: usize = 25_000;

/// A packed snapshot that no process has replaced for this long is removed.
const KEPT_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Parts are removed if their snapshot is not complete after this time.
const UNFINISHED_SECONDS: u64 = 600;

/// One process at a time writes a packed snapshot, at most once in this time.
const WRITER_SECONDS: u64 = 60;

/// Names a packed snapshot that is complete, if Redis has the generation and the revocation of its position. Returns
/// what was named before, or nil if Redis has another history.
const PUBLISH: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
if (redis.call('GET', KEYS[2]) or '0 0000000000000000') ~= ARGV[2] .. ' ' .. ARGV[3] then
  local id = ARGV[2] .. '-0'
  local entry = redis.call('XRANGE', KEYS[3], id, id)[1]
  if not entry or entry[2][6] ~= ARGV[3] then return false end
end
local old = redis.call('GET', KEYS[4]) or ''
redis.call('SET', KEYS[4], ARGV[4], 'EX', ARGV[5])
local last = string.format('%.0f', redis.call('TIME')[1] + ARGV[5])
for n = 5, #KEYS do redis.call('EXPIREAT', KEYS[n], last) end
return old
";

/// The name of a packed snapshot in Redis: its position, and where its parts are.
struct Packed {
    position: Position,
    id: String,
    entries: usize,
}

impl Packed {
    fn read(text: &[u8]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(text).map_err(|_| Failure::Unreadable)?;
        let [generation, count, hash, id, entries] =
            text.split(' ').collect::<Vec<_>>().try_into().map_err(|_| Failure::Unreadable)?;
        let position = Position {
            generation: Arc::from(generation),
            count: keys::number(count.as_bytes())?,
            hash: read_hash(hash.as_bytes())?,
        };
        let entries = entries.parse().map_err(|_| Failure::Unreadable)?;
        Ok(Self { position, id: id.to_owned(), entries })
    }

    fn text(&self) -> String {
        let Position { generation, count, hash } = &self.position;
        format!("{generation} {count} {} {} {}", hex(&hash.to_be_bytes()), self.id, self.entries)
    }

    fn part_keys<'a>(&'a self, keys: &'a Keys) -> impl Iterator<Item = String> + 'a {
        (0..self.entries.div_ceil(PART)).map(|part| keys.snapshot_part(&self.id, part))
    }

    /// Whether a process at this position can still follow the stream from the position of the snapshot.
    fn is_recent(&self, now: &Position, changes: u64) -> bool {
        self.position.generation == now.generation
            && self.position.count <= now.count
            && now.count - self.position.count <= changes
    }
}

/// Reads the packed snapshot, if there is one that the stream of changes reaches back to.
pub(super) async fn read_packed(
    health: &Health,
    connection: &Connection,
    now: Moment,
) -> Result<Option<(Position, EntrySet)>, Failure> {
    let position = health.check_server(connection).await??;
    let mut connection = connection.0.clone();
    let mut ask = ::redis::cmd("GET");
    let name: Option<Vec<u8>> = ask.arg(&health.keys.snapshot).query_async(&mut connection).await?;
    // What cannot be read was written by another version.
    let Some(Ok(packed)) = name.map(|name| Packed::read(&name)) else { return Ok(None) };
    if !packed.is_recent(&position, CHANGES_KEPT) {
        return Ok(None);
    }
    let mut set = EntrySet::default();
    let mut read = 0;
    for key in packed.part_keys(&health.keys) {
        let part: Option<Vec<u8>> =
            ::redis::cmd("GET").arg(key).query_async(&mut connection).await?;
        let Some(entries) = part.as_deref().and_then(unpacked) else { return Ok(None) };
        for (name, dates) in entries {
            set.insert(name, dates, now);
            read += 1;
        }
    }
    Ok((read == packed.entries).then_some((packed.position, set)))
}

/// The key and the value of a revocation entry.
type KeyAndValue = (Vec<u8>, Option<Vec<u8>>);

/// Reads all entries key by key, including those that are written meanwhile. The position was read before the entries.
///
/// An entry that is lost meanwhile could be missing from the snapshot. So the data is checked again at the end. That
/// check also shows that nothing was evicted, so an entry that has disappeared by then had expired.
pub(super) async fn read_keys(
    health: &Health,
    connection: &Connection,
    now: Moment,
) -> Result<(Position, EntrySet), Failure> {
    let position = health.check_server(connection).await??;
    let prefix = health.keys.entry_prefix();
    let pattern = format!("{}*", escaped(&prefix));
    let mut set = EntrySet::default();
    let mut cursor = "0".to_owned();
    loop {
        let (next, denials) = read_entries(health, connection, &cursor, &pattern).await?;
        for (key, value) in denials {
            // The key may belong to another fleet whose prefix begins with the key prefix of this fleet's entries.
            let name = key.strip_prefix(prefix.as_bytes()).map(HashedName::read);
            let (Some(Ok(name)), Some(value)) = (name, value) else { continue };
            set.insert(name, Dates::read(&value)?, now);
        }
        if next == "0" {
            break;
        }
        cursor = next;
    }
    let after = health.check_server(connection).await??;
    if after.generation != position.generation {
        return Err(Failure::WentBackwards);
    }
    Ok((position, set))
}

/// `SCAN` sees only the keys of the asked node, also while the slot is being moved. The node then answers with an error
/// to the question for a key that does not exist.
async fn read_entries(
    health: &Health,
    connection: &Connection,
    cursor: &str,
    pattern: &str,
) -> Result<(String, Vec<KeyAndValue>), Failure> {
    let mut connection = connection.0.clone();
    let mut scan = ::redis::cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(PAGE);
    let mut all = ::redis::pipe();
    if health.is_cluster {
        let mut absent = ::redis::cmd("GET");
        absent.arg(&health.keys.absent);
        all.add_command(absent.clone()).ignore().add_command(scan).add_command(absent).ignore();
    } else {
        all.add_command(scan);
    }
    let ((next, keys),): ((String, Vec<Vec<u8>>),) = all.query_async(&mut connection).await?;
    if keys.is_empty() {
        return Ok((next, Vec::new()));
    }
    let mut read = ::redis::cmd("MGET");
    keys.iter().for_each(|key| {
        read.arg(key);
    });
    let values: Vec<Option<Vec<u8>>> = read.query_async(&mut connection).await?;
    if values.len() != keys.len() {
        return Err(Failure::Unreadable);
    }
    Ok((next, keys.into_iter().zip(values).collect()))
}

/// Returns a pattern that matches only this prefix.
fn escaped(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len());
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

fn pack(part: &mut Vec<u8>, name: HashedName, dates: Dates) {
    let Dates { cut_off, keep_until, starts_at } = dates;
    part.extend_from_slice(&name.0);
    for number in [cut_off, keep_until, starts_at] {
        part.extend_from_slice(&number.to_be_bytes());
    }
}

/// Returns `None` if these are not whole entries.
fn unpacked(part: &[u8]) -> Option<impl Iterator<Item = (HashedName, Dates)>> {
    let entries = part.chunks_exact(ENTRY);
    if !entries.remainder().is_empty() {
        return None;
    }
    Some(entries.map(|entry| {
        let (name, numbers) = entry.split_first_chunk().unwrap_or((&[0; 16], &[]));
        let number = |at: usize| {
            let digits = numbers.get(8 * at..).and_then(|rest| rest.first_chunk());
            digits.copied().map_or(u64::MAX, u64::from_be_bytes)
        };
        let dates = Dates { cut_off: number(0), keep_until: number(1), starts_at: number(2) };
        (HashedName(*name), dates)
    }))
}

/// Writes a packed snapshot, one part after the other, so that the process follows the stream meanwhile.
#[derive(Default)]
pub(super) struct PackedWriter {
    /// The count of the packed snapshot that Redis has, as far as this process knows.
    newest: Option<Position>,
    writing: Option<Writing>,
}

struct Writing {
    packed: Packed,
    keys: Vec<String>,
    parts: VecDeque<Vec<u8>>,
}

impl PackedWriter {
    /// This process has read the packed snapshot with this position.
    pub(super) fn has_read(&mut self, position: Position) {
        self.newest = Some(position);
    }

    pub(super) fn abandon(&mut self) {
        self.writing = None;
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Whether the packed snapshot in Redis is missing or old, as far as this process knows.
    pub(super) fn is_due(&self, entries: usize, now: &Position) -> bool {
        let is_recent = |newest: &Position| {
            newest.generation == now.generation
                && now.count.saturating_sub(newest.count) < CHANGES_BEFORE_REPLACEMENT
        };
        self.writing.is_none()
            && PACKED_FROM <= entries
            && !self.newest.as_ref().is_some_and(is_recent)
    }

    /// Returns whether this process writes the packed snapshot: no other one does, and none has just done it.
    pub(super) async fn may_write(
        &mut self,
        keys: &Keys,
        connection: &Connection,
        now: &Position,
    ) -> Result<bool, Failure> {
        // If it fails now, the next attempt is due with a later revocation.
        self.newest = Some(now.clone());
        let mut both = ::redis::pipe();
        both.cmd("GET").arg(&keys.snapshot);
        both.cmd("SET").arg(&keys.snapshot_writer).arg("1").arg("NX").arg("EX").arg(WRITER_SECONDS);
        let (name, begun): (Option<Vec<u8>>, Option<String>) =
            both.query_async(&mut connection.0.clone()).await?;
        if let Some(Ok(packed)) = name.map(|name| Packed::read(&name))
            && packed.is_recent(now, CHANGES_BEFORE_REPLACEMENT)
        {
            self.newest = Some(packed.position);
            return Ok(false);
        }
        Ok(begun.is_some())
    }

    /// Begins to write this set, which has all revocations up to the position.
    pub(super) fn begin(&mut self, keys: &Keys, id: String, set: &EntrySet, position: Position) {
        let mut parts = VecDeque::new();
        let mut part = Vec::new();
        for (name, dates) in set.entries() {
            pack(&mut part, name, dates);
            if part.len() == PART * ENTRY {
                parts.push_back(std::mem::take(&mut part));
            }
        }
        if !part.is_empty() {
            parts.push_back(part);
        }
        let packed = Packed { position, id, entries: set.len() };
        self.writing = Some(Writing { keys: packed.part_keys(keys).collect(), packed, parts });
    }

    /// Writes the next part. After the last part, names the snapshot and removes the one before.
    pub(super) async fn write_next(
        &mut self,
        keys: &Keys,
        connection: &Connection,
    ) -> Result<(), Failure> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let mut connection = connection.0.clone();
        if let Some(part) = writing.parts.pop_front() {
            let key = writing.keys.iter().rev().nth(writing.parts.len());
            let mut write = ::redis::cmd("SET");
            write.arg(key).arg(part).arg("EX").arg(UNFINISHED_SECONDS);
            let written: Result<(), _> = write.query_async(&mut connection).await;
            if written.is_err() {
                self.writing = None;
            }
            return Ok(written?);
        }
        let replaced = writing.publish(keys).query_async(&mut connection).await;
        let Some(Writing { packed, keys: new, .. }) = self.writing.take() else { return Ok(()) };
        let replaced: Option<Vec<u8>> = replaced?;
        let useless = match replaced {
            None => new,
            Some(old) => {
                self.newest = Some(packed.position);
                Packed::read(&old).map_or_else(|_| Vec::new(), |old| old.part_keys(keys).collect())
            }
        };
        if useless.is_empty() {
            return Ok(());
        }
        Ok(::redis::cmd("DEL").arg(useless).query_async(&mut connection).await?)
    }
}

impl Writing {
    fn publish(&self, keys: &Keys) -> Cmd {
        let Position { generation, count, hash } = &self.packed.position;
        let mut command = ::redis::cmd("EVAL");
        command.arg(PUBLISH).arg(4 + self.keys.len());
        command.arg(&keys.generation).arg(&keys.count).arg(&keys.changes).arg(&keys.snapshot);
        command.arg(&self.keys);
        command.arg(&**generation).arg(count).arg(hex(&hash.to_be_bytes()));
        command.arg(self.packed.text()).arg(KEPT_SECONDS);
        command
    }
}
