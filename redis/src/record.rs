//! Writes revocations into Redis.

use ::redis::Cmd;

use super::{
    message::Message,
    names::{Dates, Name, Space, twenty_digits},
};
use tower_bearer::revocation::RevocationEntry;

/// How many entries the stream of changes keeps. A reader that has missed more takes a new snapshot.
pub(super) const CHANGES_KEPT: u64 = 100_000;

/// Writes any number of revocation entries in one step, and publishes them to the fleet in the order of the count.
///
/// The entry is written before its message. A stream that is out of order, for example after a backup was restored in
/// part, does not prevent revocations: the script deletes the stream and begins a new one. Readers of the stream then
/// take a snapshot.
///
/// The start is an empty string for an entry that is in force at once. So it compares as less than every other start.
///
/// The tip is a hash over all recorded revocations. So two different histories of the same length have different tips.
const RECORD: &str = r"
local generation, value = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
local count, tip = 0, ''
if value then
  local number
  number, tip = string.match(value, '^(%d+) (%x+)$')
  if not number then return redis.error_reply('ERR the count is none of ours') end
  count = tonumber(number)
end
for n = 4, #KEYS do
  local at = 5 * (n - 4) + 3
  local name, cut_off, keep_until = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local starts_at, message = ARGV[at + 3], ARGV[at + 4]
  local old = redis.call('GET', KEYS[n])
  if old then
    local old_cut_off, old_keep_until = string.sub(old, 1, 20), string.sub(old, 21, 40)
    if old_cut_off > cut_off then cut_off = old_cut_off end
    if old_keep_until > keep_until then keep_until = old_keep_until end
    local old_starts_at = string.sub(old, 41, 60)
    if old_starts_at < starts_at then starts_at = old_starts_at end
  end
  local dates = cut_off .. keep_until .. starts_at
  redis.call('SET', KEYS[n], dates)
  redis.call('EXPIREAT', KEYS[n], string.format('%.0f', tonumber(keep_until) + 1))
  count = count + 1
  tip = string.sub(redis.sha1hex(tip .. name .. dates), 1, 16)
  local number = string.format('%.0f', count)
  value = number .. ' ' .. tip
  redis.call('SET', KEYS[2], value)
  local entry = {KEYS[3], 'MAXLEN', '~', ARGV[2], number .. '-0', 'n', name, 'd', dates, 't', tip}
  local added = redis.pcall('XADD', unpack(entry))
  if type(added) == 'table' and added.err then
    redis.call('DEL', KEYS[3])
    redis.call('XADD', unpack(entry))
  end
  redis.call('PUBLISH', ARGV[1], number .. ' ' .. message)
end
return {generation, value}
";

/// Like [`RECORD`], if the seeding with this token is still in progress and every earlier batch is in Redis. It
/// publishes nothing, because the new generation makes all processes read the data again.
const RECORD_SEED: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for n = 2, #KEYS do
  local at = 3 * (n - 2) + 4
  local cut_off, keep_until, starts_at = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local old = redis.call('GET', KEYS[n])
  if old then
    local old_cut_off, old_keep_until = string.sub(old, 1, 20), string.sub(old, 21, 40)
    if old_cut_off > cut_off then cut_off = old_cut_off end
    if old_keep_until > keep_until then keep_until = old_keep_until end
    local old_starts_at = string.sub(old, 41, 60)
    if old_starts_at < starts_at then starts_at = old_starts_at end
  end
  redis.call('SET', KEYS[n], cut_off .. keep_until .. starts_at)
  redis.call('EXPIREAT', KEYS[n], string.format('%.0f', tonumber(keep_until) + 1))
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
";

/// Revocation entries that are written into Redis.
pub(super) struct Record<'a> {
    space: &'a Space,
    entries: &'a [RevocationEntry],
}

impl<'a> Record<'a> {
    pub(super) fn of(space: &'a Space, entries: &'a [RevocationEntry]) -> Self {
        Self { space, entries }
    }

    fn keys(&self) -> impl Iterator<Item = String> + '_ {
        self.entries.iter().map(|entry| self.space.denial(Name::of(entry.thing())))
    }

    /// Returns the command that writes the entries and answers with the generation and the count after that. Messages
    /// are signed with the generation that this process knows.
    pub(super) fn command(&self, generation: Option<&str>) -> Cmd {
        let mut command = ::redis::cmd("EVAL");
        command.arg(RECORD).arg(3 + self.entries.len());
        command.arg(&self.space.generation).arg(&self.space.count).arg(&self.space.changes);
        self.keys().for_each(|key| {
            command.arg(key);
        });
        command.arg(&self.space.channel).arg(CHANGES_KEPT);
        for entry in self.entries {
            command.arg(Name::of(entry.thing()).hex());
            add_dates(&mut command, entry);
            command.arg(Message::of(entry).signed(generation));
        }
        command
    }

    /// Returns the command that writes a batch of a seeding. It answers 1, or 0 if the seeding is not at `from`.
    pub(super) fn seed_command(&self, from: &str, to: &str, seconds: u64) -> Cmd {
        let mut command = ::redis::cmd("EVAL");
        command.arg(RECORD_SEED).arg(1 + self.entries.len());
        command.arg(&self.space.seeding);
        self.keys().for_each(|key| {
            command.arg(key);
        });
        command.arg(from).arg(to).arg(seconds);
        self.entries.iter().for_each(|entry| add_dates(&mut command, entry));
        command
    }
}

fn add_dates(command: &mut Cmd, entry: &RevocationEntry) {
    let Dates { cut_off, keep_until, starts_at } = Dates::of(entry);
    let starts_at = if starts_at == 0 { String::new() } else { twenty_digits(starts_at) };
    command.arg(twenty_digits(cut_off)).arg(twenty_digits(keep_until)).arg(starts_at);
}
