//! How revocations are written.

use ::redis::Cmd;

use super::names::{Dates, Message, Name, Space, twenty_digits};
use crate::revocation::Revocable;

/// Entries of the stream of changes that are kept: whoever has missed more takes a new snapshot.
pub(super) const CHANGES_KEPT: u64 = 100_000;

/// Writes any number of denials in one step and tells the fleet, in the order of the count.
///
/// The order of lines matters: what can fail comes first, so that an error leaves nothing half done.
const RECORD: &str = r"
local count = 0
for n = 4, #KEYS do
  local at = 4 * (n - 4) + 3
  local name, cut_off, keep_until, message = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local old = redis.call('GET', KEYS[n])
  if old then
    local old_cut_off, old_keep_until = string.sub(old, 1, 20), string.sub(old, 21, 40)
    if old_cut_off > cut_off then cut_off = old_cut_off end
    if old_keep_until > keep_until then keep_until = old_keep_until end
  end
  count = redis.call('INCR', KEYS[2])
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[2], string.format('%.0f-0', count), 'n', name, 'd', cut_off .. keep_until)
  redis.call('SET', KEYS[n], cut_off .. keep_until)
  redis.call('EXPIREAT', KEYS[n], string.format('%.0f', tonumber(keep_until) + 1))
  redis.call('PUBLISH', ARGV[1], string.format('%.0f ', count) .. message)
end
return count
";

/// As [`RECORD`], if the seeding goes on that began with a token; nobody is told, because the new generation tells all.
const RECORD_SEED: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('EXPIRE', KEYS[1], ARGV[2])
for n = 2, #KEYS do
  local at = 2 * (n - 2) + 3
  local cut_off, keep_until = ARGV[at], ARGV[at + 1]
  local old = redis.call('GET', KEYS[n])
  if old then
    local old_cut_off, old_keep_until = string.sub(old, 1, 20), string.sub(old, 21, 40)
    if old_cut_off > cut_off then cut_off = old_cut_off end
    if old_keep_until > keep_until then keep_until = old_keep_until end
  end
  redis.call('SET', KEYS[n], cut_off .. keep_until)
  redis.call('EXPIREAT', KEYS[n], string.format('%.0f', tonumber(keep_until) + 1))
end
return 1
";

/// Denials on their way into Redis.
pub(super) struct Record<'a> {
    space: &'a Space,
    denials: &'a [(Revocable, u64)],
}

impl<'a> Record<'a> {
    pub(super) fn of(space: &'a Space, denials: &'a [(Revocable, u64)]) -> Self {
        Self { space, denials }
    }

    fn keys(&self) -> impl Iterator<Item = String> + '_ {
        self.denials.iter().map(|(what, _)| self.space.denial(Name::of(what)))
    }

    /// Answers with the count.
    pub(super) fn command(&self) -> Cmd {
        let mut command = ::redis::cmd("EVAL");
        command.arg(RECORD).arg(3 + self.denials.len());
        command.arg(&self.space.generation).arg(&self.space.count).arg(&self.space.changes);
        self.keys().for_each(|key| {
            command.arg(key);
        });
        command.arg(&self.space.channel).arg(CHANGES_KEPT);
        for (what, keep_until) in self.denials {
            let dates = Dates::of(what, *keep_until);
            command.arg(Name::of(what).hex());
            command.arg(twenty_digits(dates.cut_off)).arg(twenty_digits(dates.keep_until));
            command.arg(Message::of(what, *keep_until).text());
        }
        command
    }

    /// Answers 1, or 0 where the seeding is over.
    pub(super) fn seed_command(&self, token: &str, seconds: u64) -> Cmd {
        let mut command = ::redis::cmd("EVAL");
        command.arg(RECORD_SEED).arg(1 + self.denials.len());
        command.arg(&self.space.seeding);
        self.keys().for_each(|key| {
            command.arg(key);
        });
        command.arg(token).arg(seconds);
        for (what, keep_until) in self.denials {
            let dates = Dates::of(what, *keep_until);
            command.arg(twenty_digits(dates.cut_off)).arg(twenty_digits(dates.keep_until));
        }
        command
    }
}
