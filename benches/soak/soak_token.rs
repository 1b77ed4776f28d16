//! Tokens, the keys that sign them, and the client's record of each token.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocationEntry},
};

use crate::{failure::Failure, signing};

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "api://soak";

#[derive(Clone)]
pub(crate) struct SigningKey {
    pub(crate) number: usize,
    pub(crate) jwk: String,
    pub(crate) published: Instant,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl SigningKey {
    /// The RSA key, which never changes.
    pub(crate) fn permanent_rsa_key() -> Self {
        let set: serde_json::Value =
            serde_json::from_slice(&signing::fixture("../jwks.json")).unwrap_or_default();
        let rsa = &set["keys"][0];
        Self {
            number: 0,
            jwk: format!(
                r#"{{"kty":"RSA","kid":"key-0","alg":"RS256","n":{},"e":{}}}"#,
                rsa["n"], rsa["e"]
            ),
            published: Instant::now(),
            algorithm: Algorithm::RS256,
            key: signing::rsa_key(),
        }
    }

    /// ES256 and EdDSA in turn.
    pub(crate) fn new(number: usize) -> Result<Self, Failure> {
        let head = format!(r#"{{"kid":"key-{number}","use":"sig""#);
        let (algorithm, key, jwk) = if number.is_multiple_of(2) {
            let pair = KeyPair::generate_for(&PKCS_ED25519)?;
            let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
            let jwk = format!(r#"{head},"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
            let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes())?;
            (Algorithm::EdDSA, key, jwk)
        } else {
            let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            // Uncompressed: one byte for the format, and two coordinates.
            let (x, y) = pair.public_key_raw()[1..].split_at(32);
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            let jwk = format!(r#"{head},"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
            (Algorithm::ES256, EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes())?, jwk)
        };
        Ok(Self { number, jwk, published: Instant::now(), algorithm, key })
    }

    pub(crate) fn sign(&self, claims: &str) -> String {
        let header = format!(
            r#"{{"alg":"{:?}","typ":"at+jwt","kid":"key-{}"}}"#,
            self.algorithm, self.number
        );
        signing::sign(self.algorithm, &self.key, &header, claims)
    }
}

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

/// The state of a revocation, as far as the client knows it.
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

    pub(crate) fn record_sent(&self, at: Instant) -> Instant {
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
