//! What this crate writes into Redis: the names of keys, the format of values and messages, and the scripts that write
//! revocation entries.
//!
//! # Messages
//!
//! `<number in the count> <signature> <JSON>`. Without a signature, every client that may publish could revoke tokens:
//! in Redis, channels have separate rights, and before version 7 every user has them by default. So the JSON is signed
//! with HMAC-SHA256. The key is the generation, which every client knows that may read the keys of the fleet. The
//! number is not signed, because Redis assigns it. It only shows where a message may be missing.

use ::redis::Cmd;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::Failure;
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocableKind, RevocationEntry},
};

/// The last second of the year 9999. Lua and Redis do not count later seconds correctly, and no entry needs them.
const END_OF_DATES: u64 = 253_402_300_799;

const DIGITS: usize = 20;

/// The keys and the channel of one fleet.
pub(super) struct Keys {
    pub(super) prefix: String,
    pub(super) generation: String,
    pub(super) count: String,
    pub(super) seeding: String,
    pub(super) changes: String,
    /// This key is written so that `WAIT` has a write to wait for.
    pub(super) waited: String,
    /// Names the packed snapshot.
    pub(super) snapshot: String,
    /// Exists while a process writes a packed snapshot.
    pub(super) snapshot_writer: String,
    /// Since when used proofs are recorded without a loss, and at which server.
    pub(super) replays_since: String,
    /// This key never exists.
    pub(super) absent: String,
    pub(super) channel: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        let under = |name: &str| format!("{prefix}{name}");
        Self {
            prefix: prefix.to_owned(),
            generation: under("generation"),
            count: under("count"),
            seeding: under("seeding"),
            changes: under("changes"),
            waited: under("waited"),
            snapshot: under("snapshot"),
            snapshot_writer: under("snapshot-writer"),
            replays_since: under("replays-since"),
            absent: under("absent"),
            channel: under("pushes"),
        }
    }

    pub(super) fn entry_key(&self, name: HashedName) -> String {
        self.entry_prefix() + &name.hex()
    }

    pub(super) fn snapshot_part(&self, id: &str, part: usize) -> String {
        format!("{}:{id}:{part}", self.snapshot)
    }

    pub(super) fn proof_key(&self, id: [u8; 16]) -> String {
        format!("{}p:{}", self.prefix, hex(&id))
    }

    /// Returns the prefix of the key of every revocation entry.
    pub(super) fn entry_prefix(&self) -> String {
        format!("{}d:", self.prefix)
    }
}

/// The name of a [`Revocable`]: 128 bits of a SHA-256. With a million names, the chance that any two are equal is 1 in
/// 10^26.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct HashedName(pub(super) [u8; 16]);

impl HashedName {
    pub(super) fn of(what: &Revocable) -> Self {
        let (issuer, id) = (what.issuer(), what.id());
        let kind = match what.kind() {
            RevocableKind::Token => b't',
            RevocableKind::Subject => b'u',
            RevocableKind::Session => b's',
            RevocableKind::Key => b'k',
        };
        let mut input = Vec::with_capacity(9 + issuer.len() + id.len());
        input.push(kind);
        input.extend_from_slice(&(issuer.len() as u64).to_be_bytes());
        input.extend_from_slice(issuer.as_bytes());
        input.extend_from_slice(id.as_bytes());
        let hash = sha256(&input);
        let mut name = [0; 16];
        name.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        Self(name)
    }

    pub(super) fn read(digits: &[u8]) -> Result<Self, Failure> {
        unhex(digits).map(Self).ok_or(Failure::Unreadable)
    }

    pub(super) fn hex(self) -> String {
        hex(&self.0)
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(*HEX.get(usize::from(nibble)).unwrap_or(&b'0'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Reads `N` bytes from twice as many hexadecimal digits.
pub(super) fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = pair.iter().try_fold(0, |value, byte| Some(value * 16 + digit(byte)?))?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}

/// The value of a revocation entry: two numbers of twenty digits each. Lua compares them as text, so no digit is lost.
/// A third number follows if the entry starts in the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dates {
    /// `u64::MAX` if the time of issue does not matter.
    pub(super) cut_off: u64,
    pub(super) keep_until: u64,
    /// The first second in which the entry is in force. 0: at once.
    pub(super) starts_at: u64,
}

impl Dates {
    pub(super) fn of(entry: &RevocationEntry) -> Self {
        let capped = |date: UnixTime| date.as_secs().min(END_OF_DATES);
        Self {
            cut_off: entry.cut_off().as_secs(),
            keep_until: capped(entry.obsolete_after()),
            starts_at: capped(entry.starts_at()),
        }
    }

    pub(super) fn read(value: &[u8]) -> Result<Self, Failure> {
        let mut numbers = value.chunks(DIGITS).map(|digits| {
            if digits.len() == DIGITS { number(digits) } else { Err(Failure::Unreadable) }
        });
        let (Some(cut_off), Some(keep_until), starts_at, None) =
            (numbers.next(), numbers.next(), numbers.next(), numbers.next())
        else {
            return Err(Failure::Unreadable);
        };
        let starts_at = starts_at.unwrap_or(Ok(0))?;
        Ok(Self { cut_off: cut_off?, keep_until: keep_until?, starts_at })
    }
}

pub(super) fn twenty_digits(number: u64) -> String {
    format!("{number:020}")
}

pub(super) fn number(digits: &[u8]) -> Result<u64, Failure> {
    let text = std::str::from_utf8(digits).map_err(|_| Failure::Unreadable)?;
    text.parse().map_err(|_| Failure::Unreadable)
}

/// The longest message that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// Replaces the signature if this process does not know the generation. No process can verify such a message, so every
/// process asks Redis instead.
const UNSIGNED: &str = "-";

#[derive(Serialize, Deserialize)]
pub(super) struct Message {
    kind: MessageKind,
    issuer: String,
    id: String,
    cut_off: u64,
    keep_until: u64,
    /// 0: the revocation is in force at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    starts_at: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum MessageKind {
    Token,
    Subject,
    Session,
    Key,
}

impl Message {
    pub(super) fn of(entry: &RevocationEntry) -> Self {
        let Dates { cut_off, keep_until, starts_at } = Dates::of(entry);
        let thing = entry.thing();
        let kind = match thing.kind() {
            RevocableKind::Token => MessageKind::Token,
            RevocableKind::Subject => MessageKind::Subject,
            RevocableKind::Session => MessageKind::Session,
            RevocableKind::Key => MessageKind::Key,
        };
        let (issuer, id) = (thing.issuer().to_string(), thing.id().to_string());
        Self { kind, issuer, id, cut_off, keep_until, starts_at }
    }

    /// Returns the signature and the JSON. The script puts the number and a space before them.
    pub(super) fn signed(&self, generation: Option<&str>) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        let signature = generation.and_then(|generation| signature(generation, json.as_bytes()));
        let signature = signature.as_deref().unwrap_or(UNSIGNED);
        format!("{signature} {json}")
    }

    /// Returns the number in the count and the message, if it was signed with that generation.
    pub(super) fn read(payload: &[u8], generation: &str) -> Result<(u64, Self), Failure> {
        if LONGEST < payload.len() {
            return Err(Failure::Unreadable);
        }
        let mut parts = payload.splitn(3, |byte| *byte == b' ');
        let (Some(digits), Some(signature), Some(json)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(Failure::Unreadable);
        };
        let signature: [u8; 32] = unhex(signature).ok_or(Failure::Unreadable)?;
        let mac = mac(generation, json).ok_or(Failure::Unreadable)?;
        mac.verify_slice(&signature).map_err(|_| Failure::Unreadable)?;
        let message = serde_json::from_slice(json).map_err(|_| Failure::Unreadable)?;
        Ok((number(digits)?, message))
    }

    pub(super) fn entry(self) -> RevocationEntry {
        let Self { kind, issuer, id, cut_off, keep_until, starts_at } = self;
        let kind = match kind {
            MessageKind::Token => RevocableKind::Token,
            MessageKind::Subject => RevocableKind::Subject,
            MessageKind::Session => RevocableKind::Session,
            MessageKind::Key => RevocableKind::Key,
        };
        let at = UnixTime::from_secs;
        RevocationEntry::restored(Revocable::new(kind, issuer, id), at(keep_until))
            .with_cut_off(at(cut_off))
            .with_start(at(starts_at))
    }
}

/// Returns the HMAC (RFC 2104) of a message. It is always `Some`, because HMAC takes a key of any length.
fn mac(generation: &str, json: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(generation.as_bytes()).ok().map(|mac: Hmac<Sha256>| mac.chain_update(json))
}

fn signature(generation: &str, json: &[u8]) -> Option<String> {
    mac(generation, json).map(|mac| hex(&mac.finalize().into_bytes()))
}

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
/// The hash is a hash over all recorded revocations. So two different histories of the same length have different
/// hashes.
const RECORD: &str = r"
local generation, value = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
local count, hash = 0, ''
if value then
  local number
  number, hash = string.match(value, '^(%d+) (%x+)$')
  if not number then return redis.error_reply('ERR the count was not written by tower-bearer') end
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
  hash = string.sub(redis.sha1hex(hash .. name .. dates), 1, 16)
  local number = string.format('%.0f', count)
  value = number .. ' ' .. hash
  redis.call('SET', KEYS[2], value)
  local entry = {KEYS[3], 'MAXLEN', '~', ARGV[2], number .. '-0', 'n', name, 'd', dates, 't', hash}
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
    keys: &'a Keys,
    entries: &'a [RevocationEntry],
}

impl<'a> Record<'a> {
    pub(super) fn of(keys: &'a Keys, entries: &'a [RevocationEntry]) -> Self {
        Self { keys, entries }
    }

    fn entry_keys(&self) -> impl Iterator<Item = String> + '_ {
        self.entries.iter().map(|entry| self.keys.entry_key(HashedName::of(entry.thing())))
    }

    /// Returns the command that writes the entries and answers with the generation and the count after that. Messages
    /// are signed with the generation that this process knows.
    pub(super) fn command(&self, generation: Option<&str>) -> Cmd {
        let mut command = ::redis::cmd("EVAL");
        command.arg(RECORD).arg(3 + self.entries.len());
        command.arg(&self.keys.generation).arg(&self.keys.count).arg(&self.keys.changes);
        self.entry_keys().for_each(|key| {
            command.arg(key);
        });
        command.arg(&self.keys.channel).arg(CHANGES_KEPT);
        for entry in self.entries {
            command.arg(HashedName::of(entry.thing()).hex());
            add_dates(&mut command, entry);
            command.arg(Message::of(entry).signed(generation));
        }
        command
    }

    /// Returns the command that writes a batch of a seeding. It answers 1, or 0 if the seeding is not at `from`.
    pub(super) fn seed_command(&self, from: &str, to: &str, seconds: u64) -> Cmd {
        let mut command = ::redis::cmd("EVAL");
        command.arg(RECORD_SEED).arg(1 + self.entries.len());
        command.arg(&self.keys.seeding);
        self.entry_keys().for_each(|key| {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn every_kind() -> [Revocable; 4] {
        let (issuer, id): (Arc<str>, Arc<str>) = ("https://a.example".into(), "x \"\u{e9}".into());
        [
            Revocable::token(issuer.clone(), id.clone()),
            Revocable::subject(issuer.clone(), id.clone()),
            Revocable::session(issuer.clone(), id.clone()),
            Revocable::key(issuer, id),
        ]
    }

    #[test]
    fn names_differ_by_kind_issuer_and_id() {
        let [token, subject, session, key] = every_kind().map(|what| HashedName::of(&what).hex());
        let mut names = vec![token, subject, session, key];
        let token = |issuer: &str, id: &str| HashedName::of(&Revocable::token(issuer, id)).hex();
        names.extend([token("ab", "c"), token("a", "bc"), token("", "abc")]);
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let name = HashedName(*b"\x00\x01\x0f\x10\x7f\x80\xfe\xff01234567");
        assert!(HashedName::read(name.hex().as_bytes()).unwrap() == name);
        for hex in ["", "0", &"g".repeat(32), &"0".repeat(31), &"0".repeat(33)] {
            assert!(HashedName::read(hex.as_bytes()).is_err(), "{hex}");
        }
    }

    #[test]
    fn dates_keep_every_digit() {
        let [token, subject, ..] = every_kind();
        let text = |dates: Dates| twenty_digits(dates.cut_off) + &twenty_digits(dates.keep_until);
        let at = UnixTime::from_secs;
        let of_subject = RevocationEntry::restored(subject, at(5)).with_cut_off(at(7));
        let of_token = RevocationEntry::restored(token.clone(), UnixTime::MAX);
        for dates in [Dates::of(&of_token), Dates::of(&of_subject)] {
            assert_eq!(Dates::read(text(dates).as_bytes()).unwrap(), dates);
        }
        let pending = Dates::of(&RevocationEntry::restored(token, at(9)).with_start(at(7)));
        let value = text(pending) + &twenty_digits(pending.starts_at);
        assert_eq!(Dates::read(value.as_bytes()).unwrap(), pending);
        for value in ["", "1", &"x".repeat(40), &"1".repeat(20), &"1".repeat(41), &"1".repeat(80)] {
            assert!(Dates::read(value.as_bytes()).is_err(), "{value}");
        }
    }

    const GENERATION: &str = "00112233445566778899aabbccddeeff";

    fn entry(what: Revocable) -> RevocationEntry {
        RevocationEntry::restored(what, UnixTime::from_secs(99))
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        for what in every_kind() {
            let entry = entry(what).with_cut_off(UnixTime::from_secs(7));
            let text = format!("12 {}", Message::of(&entry).signed(Some(GENERATION)));
            let (count, message) = Message::read(text.as_bytes(), GENERATION).unwrap();
            assert_eq!(count, 12);
            assert!(message.entry() == entry);
        }
    }

    #[test]
    fn a_text_that_is_not_a_message_is_an_error() {
        let signed = |json: &str| {
            let signature = super::signature(GENERATION, json.as_bytes()).unwrap();
            format!("{signature} {json}")
        };
        let good = Message::of(&entry(every_kind()[0].clone())).signed(Some(GENERATION));
        let texts = [
            String::new(),
            " ".to_owned(),
            "1".to_owned(),
            good.clone(),
            format!("x {good}"),
            format!("-1 {good}"),
            format!("1 {}", signed("{}")),
            format!("1 {}", signed(r#"{"kind":"all"}"#)),
        ];
        for text in texts {
            assert!(Message::read(text.as_bytes(), GENERATION).is_err(), "{text}");
        }
    }

    #[test]
    fn a_message_without_the_right_signature_is_an_error() {
        let message = Message::of(&entry(every_kind()[0].clone()));
        let good = format!("1 {}", message.signed(Some(GENERATION)));
        assert!(Message::read(good.as_bytes(), GENERATION).is_ok());
        assert!(Message::read(good.as_bytes(), "another").is_err());
        assert!(Message::read(good.replace("99", "98").as_bytes(), GENERATION).is_err());
        let unsigned = format!("1 {}", message.signed(None));
        assert!(Message::read(unsigned.as_bytes(), GENERATION).is_err());
    }

    #[test]
    fn a_message_that_is_too_long_is_an_error() {
        let message = |length: usize| {
            let message = Message::of(&entry(Revocable::token("a", "x".repeat(length))));
            format!("1 {}", message.signed(Some(GENERATION)))
        };
        let rest = message(0).len();
        let longest = message(LONGEST - rest);
        assert_eq!(longest.len(), LONGEST);
        assert!(Message::read(longest.as_bytes(), GENERATION).is_ok());
        assert!(Message::read(message(LONGEST - rest + 1).as_bytes(), GENERATION).is_err());
    }
}
