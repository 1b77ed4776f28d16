//! The claims of the tokens that the issuer signs, and their text.

use std::{borrow::Cow, time::Duration};

use base64_simd::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize};

use sha2::{Digest, Sha256};

use super::scopes::ScopeSet;
use tower_bearer::{
    UnixTime,
    jws::{SigningFailed, SigningKey},
};

/// `typ` of access and private tokens (RFC 9068 section 2.1).
pub(super) const ACCESS_TYP: &str = "at+jwt";

/// `typ` of refresh tokens. A verifier of access tokens does not accept it.
pub(super) const REFRESH_TYP: &str = "refresh+jwt";

/// The lifetime of every access token: one hour.
pub(super) const ACCESS_LIFETIME: Duration = Duration::from_secs(3600);

/// The prefix of a private token's id. No other id has it, because a dot is not a character of base64url.
const PRIVATE_MARK: &str = "p.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TokenType {
    Access,
    Private,
    Refresh,
}

/// What a token is for, with the claims that not every token has.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'a> {
    Access {
        scopes: &'a ScopeSet,
        /// The time of the log-in. `None` if the session is older than this claim.
        auth_time: Option<UnixTime>,
    },
    Private {
        scopes: &'a ScopeSet,
    },
    Refresh {
        auth_time: Option<UnixTime>,
    },
}

impl Purpose<'_> {
    pub(super) fn token_type(self) -> TokenType {
        match self {
            Self::Access { .. } => TokenType::Access,
            Self::Private { .. } => TokenType::Private,
            Self::Refresh { .. } => TokenType::Refresh,
        }
    }

    /// `None` for a refresh token.
    pub(super) fn scopes(&self) -> Option<&ScopeSet> {
        match self {
            Self::Access { scopes, .. } | Self::Private { scopes } => Some(scopes),
            Self::Refresh { .. } => None,
        }
    }

    pub(super) fn auth_time(self) -> Option<UnixTime> {
        match self {
            Self::Access { auth_time, .. } | Self::Refresh { auth_time } => auth_time,
            Self::Private { .. } => None,
        }
    }
}

/// Serialized in this order, so that equal claims have equal text. The last five are optional. Earlier versions did not
/// write them, and without them the text is the same as then.
#[derive(Serialize)]
pub(super) struct Claims<'a> {
    pub(super) iss: &'a str,
    pub(super) sub: &'a str,
    pub(super) aud: &'a str,
    pub(super) jti: &'a str,
    pub(super) sid: &'a str,
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) token_type: TokenType,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auth_time: Option<u64>,
    /// Always `["pwd"]` (RFC 8176): a password is the only way to log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) amr: Option<[&'static str; 1]>,
    /// The key that the token is bound to (RFC 9449 section 6.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cnf: Option<Confirmation<'a>>,
}

/// The only member of `cnf` that this issuer writes.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation<'a> {
    pub(super) jkt: Cow<'a, str>,
}

impl Claims<'_> {
    pub(super) fn to_text(&self) -> Result<ClaimsText, SigningFailed> {
        serde_json::to_string(self).map(ClaimsText).map_err(|_| SigningFailed)
    }
}

/// The text of claims, as it is signed.
pub(super) struct ClaimsText(String);

impl ClaimsText {
    /// The hash that is stored instead of the token. It covers the claims and not the whole token. If a token is signed
    /// again, its signature differs, and after a key rotation its header differs too. It is still the same token.
    pub(super) fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }

    pub(super) fn sign(&self, key: &SigningKey, typ: &str) -> Result<String, SigningFailed> {
        key.sign(typ, &self.0)
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The kind of a token whose claims are verified.
pub(super) fn token_type(claims: &str) -> Option<TokenType> {
    #[derive(Deserialize)]
    struct Kind {
        token_type: TokenType,
    }
    serde_json::from_str::<Kind>(claims).ok().map(|kind| kind.token_type)
}

/// The thumbprint of the key that a token is bound to. `None` if it is not bound.
///
/// # Errors
/// If `cnf` is not as this issuer writes it.
pub(super) fn binding_of(claims: &str) -> Result<Option<String>, InvalidBinding> {
    #[derive(Deserialize)]
    struct Bound {
        #[serde(default, deserialize_with = "present")]
        cnf: Option<Confirmation<'static>>,
    }
    let Bound { cnf } = serde_json::from_str(claims).map_err(|_| InvalidBinding)?;
    let is_thumbprint =
        |text: &str| URL_SAFE_NO_PAD.decode_to_vec(text).is_ok_and(|hash| hash.len() == 32);
    match cnf {
        None => Ok(None),
        Some(Confirmation { jkt }) if is_thumbprint(&jkt) => Ok(Some(jkt.into_owned())),
        Some(_) => Err(InvalidBinding),
    }
}

/// `null` is not an absent member.
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Confirmation<'static>>, D::Error> {
    Confirmation::deserialize(deserializer).map(Some)
}

/// `cnf` is not as this issuer writes it.
pub(super) struct InvalidBinding;

/// The claims of a refresh token whose signature is verified.
#[derive(Deserialize)]
pub(super) struct RefreshClaims {
    pub(super) iss: Box<str>,
    pub(super) sub: Box<str>,
    pub(super) aud: Box<str>,
    pub(super) jti: Box<str>,
    pub(super) sid: Box<str>,
    pub(super) iat: u64,
    pub(super) exp: u64,
    pub(super) token_type: TokenType,
    /// Tokens of earlier versions have none.
    pub(super) auth_time: Option<u64>,
    /// The key that the session is bound to.
    pub(super) cnf: Option<Confirmation<'static>>,
}

/// An id of 144 random bits from the operating system, as 24 characters.
pub(super) fn random_id() -> Result<String, SigningFailed> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(|_| SigningFailed)?;
    Ok(URL_SAFE_NO_PAD.encode_to_string(bytes))
}

/// Like [`random_id`], for a private token.
pub(super) fn private_id() -> Result<String, SigningFailed> {
    random_id().map(|id| format!("{PRIVATE_MARK}{id}"))
}

/// Whether an id has the form of a private token's id. This is a cheap hint for every request. It decides nothing.
pub(super) fn is_private_id(id: &str) -> bool {
    id.starts_with(PRIVATE_MARK)
}
