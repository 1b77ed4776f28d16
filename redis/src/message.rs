//! The message that tells other processes about a revocation.
//!
//! `<number in the count> <signature> <JSON>`. Without a signature, every client that may publish could revoke tokens:
//! in Redis, channels have separate rights, and before version 7 every user has them by default. So the JSON is signed
//! with HMAC-SHA256. The key is the generation, which every client knows that may read the keys of the fleet. The
//! number is not signed, because Redis assigns it. It only shows where a message may be missing.

use serde::{Deserialize, Serialize};

use super::{
    error::Failure,
    names::{Dates, hex, number, unhex},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocableKind, RevocationEntry},
};

/// The longest message that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// Replaces the signature if this process does not know the generation. No process can verify such a message, so every
/// process asks Redis instead.
const UNSIGNED: &str = "-";

#[derive(Serialize, Deserialize)]
pub(super) struct Message {
    kind: Kind,
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
enum Kind {
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
            RevocableKind::Token => Kind::Token,
            RevocableKind::Subject => Kind::Subject,
            RevocableKind::Session => Kind::Session,
            RevocableKind::Key => Kind::Key,
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
            Kind::Token => RevocableKind::Token,
            Kind::Subject => RevocableKind::Subject,
            Kind::Session => RevocableKind::Session,
            Kind::Key => RevocableKind::Key,
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

#[cfg(test)]
mod tests {
    use super::{super::names::tests::every_kind, *};

    const GENERATION: &str = "00112233445566778899aabbccddeeff";

    fn entry(what: Revocable) -> RevocationEntry {
        RevocationEntry::restored(what, UnixTime::from_secs(99))
    }

    #[test]
    fn a_message_says_what_was_revoked() {
        for what in every_kind() {
            let entry = entry(what).with_cut_off(UnixTime::from_secs(7));
            let text = format!("12 {}", Message::of(&entry).signed(Some(GENERATION)));
            let (count, message) = Message::read(text.as_bytes(), GENERATION).unwrap();
            assert_eq!(count, 12);
            assert!(message.entry() == entry);
        }
    }

    #[test]
    fn what_is_no_message_is_an_error() {
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
    fn a_message_of_somebody_who_does_not_know_the_generation_is_none() {
        let message = Message::of(&entry(every_kind()[0].clone()));
        let good = format!("1 {}", message.signed(Some(GENERATION)));
        assert!(Message::read(good.as_bytes(), GENERATION).is_ok());
        assert!(Message::read(good.as_bytes(), "another").is_err());
        assert!(Message::read(good.replace("99", "98").as_bytes(), GENERATION).is_err());
        let unsigned = format!("1 {}", message.signed(None));
        assert!(Message::read(unsigned.as_bytes(), GENERATION).is_err());
    }

    #[test]
    fn a_message_that_is_too_long_is_none() {
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
