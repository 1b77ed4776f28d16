//! Tokens, and what the client knows about each.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use http::HeaderValue;
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocationEntry},
};

use crate::issuer::{AUDIENCE, ISSUER, SigningKey};

pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) subject: String,
    pub(crate) key: usize,
    pub(crate) issued_at: u64,
    pub(crate) expires_at: u64,
    /// The first time at which the server may have received the token.
    first_sent: OnceLock<Instant>,
    revocation: Mutex<Revocation>,
}

/// What the client knows about a revocation.
#[derive(Clone, Copy)]
pub(crate) enum Revocation {
    None,
    /// Sent. The answer has not arrived, or the revocation is not confirmed.
    Asked,
    /// Recorded in Redis, by a process other than the server.
    Recorded(Instant),
    /// Known to the server: it has answered a log-out with this token.
    LoggedOut(Instant),
}

/// The flaw of a token, if it has one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// For another audience, or from another issuer.
    Audience,
    Issuer,
    /// It has no `exp`.
    NoExpiry,
}

pub(crate) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Token {
    /// Makes a token that expires in `lifetime` seconds. That may be in the past.
    pub(crate) fn new(key: &SigningKey, number: u64, lifetime: i64, flaw: Flaw) -> Self {
        let issued_at = unix_time().as_secs();
        let expires_at = issued_at.saturating_add_signed(lifetime);
        let subject = format!("subject-{number}");
        let mut claims = serde_json::json!({
            "iss": if flaw == Flaw::Issuer { "https://other.example" } else { ISSUER },
            "aud": if flaw == Flaw::Audience { "api://other" } else { AUDIENCE },
            "sub": subject,
            "jti": format!("token-{number}"),
            "sid": format!("session-{number}"),
            "scope": if number.is_multiple_of(2) { "orders:read" } else { "orders:read admin" },
            "iat": issued_at.min(expires_at),
            "exp": expires_at,
        });
        if flaw == Flaw::NoExpiry
            && let Some(claims) = claims.as_object_mut()
        {
            claims.remove("exp");
        }
        Self {
            text: key.sign(&claims.to_string()),
            subject,
            key: key.number,
            issued_at: issued_at.min(expires_at),
            expires_at,
            first_sent: OnceLock::new(),
            revocation: Mutex::new(Revocation::None),
        }
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.number() % 2 == 1
    }

    fn number(&self) -> u64 {
        self.subject.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    }

    /// A revocation entry of one of three kinds (token, session, subject). It does not affect other tokens of the soak.
    pub(crate) fn revocation_entry(&self) -> RevocationEntry {
        let issuer: Arc<str> = ISSUER.into();
        let number = self.number();
        let thing = match number % 3 {
            0 => Revocable::token(issuer, format!("token-{number}")),
            1 => Revocable::session(issuer, format!("session-{number}")),
            _ => Revocable::subject(issuer, self.subject.as_str()),
        };
        RevocationEntry::new(thing, UnixTime::from_secs(self.expires_at))
            .with_cut_off(UnixTime::from_secs(self.issued_at))
    }

    pub(crate) fn credential(&self) -> HeaderValue {
        credential(&self.text)
    }

    pub(crate) fn is_sent(&self, at: Instant) -> Instant {
        *self.first_sent.get_or_init(|| at)
    }

    pub(crate) fn revocation(&self) -> Revocation {
        *self.revocation.lock().unwrap()
    }

    pub(crate) fn set_revocation(&self, revocation: Revocation) {
        *self.revocation.lock().unwrap() = revocation;
    }
}

pub(crate) fn credential(text: &str) -> HeaderValue {
    HeaderValue::try_from(format!("Bearer {text}")).expect("tokens are printable")
}
