//! The names of keys in Redis, and the format of their values.

use super::error::Failure;
use sha2::{Digest, Sha256};
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocableKind, RevocationEntry},
};

/// The last second of the year 9999. Lua and Redis do not count later seconds correctly, and no entry needs them.
const END_OF_DATES: u64 = 253_402_300_799;

const DIGITS: usize = 20;

/// The keys and the channel of one fleet.
pub(super) struct Space {
    pub(super) prefix: String,
    pub(super) generation: String,
    pub(super) count: String,
    pub(super) seeding: String,
    pub(super) changes: String,
    /// This key is written so that `WAIT` has a write to wait for.
    pub(super) waited: String,
    pub(super) channel: String,
}

impl Space {
    pub(super) fn new(prefix: &str) -> Self {
        let under = |name: &str| format!("{prefix}{name}");
        Self {
            prefix: prefix.to_owned(),
            generation: under("generation"),
            count: under("count"),
            seeding: under("seeding"),
            changes: under("changes"),
            waited: under("waited"),
            channel: under("pushes"),
        }
    }

    pub(super) fn denial(&self, name: Name) -> String {
        self.denials() + &name.hex()
    }

    /// Returns the prefix of the key of every revocation entry.
    pub(super) fn denials(&self) -> String {
        format!("{}d:", self.prefix)
    }
}

/// The name of a [`Revocable`]: 128 bits of a SHA-256. With a million names, the chance that any two are equal is 1 in
/// 10^26.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name(pub(super) [u8; 16]);

impl Name {
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

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;

    pub(in super::super) fn every_kind() -> [Revocable; 4] {
        let (issuer, id): (Arc<str>, Arc<str>) = ("https://a.example".into(), "x \"\u{e9}".into());
        [
            Revocable::token(issuer.clone(), id.clone()),
            Revocable::subject(issuer.clone(), id.clone()),
            Revocable::session(issuer.clone(), id.clone()),
            Revocable::key(issuer, id),
        ]
    }

    #[test]
    fn names_tell_kinds_issuers_and_ids_apart() {
        let [token, subject, session, key] = every_kind().map(|what| Name::of(&what).hex());
        let mut names = vec![token, subject, session, key];
        let token = |issuer: &str, id: &str| Name::of(&Revocable::token(issuer, id)).hex();
        names.extend([token("ab", "c"), token("a", "bc"), token("", "abc")]);
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let name = Name(*b"\x00\x01\x0f\x10\x7f\x80\xfe\xff01234567");
        assert!(Name::read(name.hex().as_bytes()).unwrap() == name);
        for hex in ["", "0", &"g".repeat(32), &"0".repeat(31), &"0".repeat(33)] {
            assert!(Name::read(hex.as_bytes()).is_err(), "{hex}");
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
}
