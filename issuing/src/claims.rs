//! The claims of the tokens that are issued, and their text.

use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use sha2::{Digest, Sha256};
use tower_bearer::jws::{SigningFailed, SigningKey};

/// `typ` of access and private tokens (RFC 9068 section 2.1).
pub(super) const ACCESS_TYP: &str = "at+jwt";

/// `typ` of refresh tokens, which no verifier of access tokens takes.
pub(super) const REFRESH_TYP: &str = "refresh+jwt";

/// An access token lives for one hour, always.
pub(super) const ACCESS_LIFETIME: Duration = Duration::from_secs(3600);

/// What the id of a private token begins with. No other id does: a dot is no character of base64url.
const PRIVATE_MARK: &str = "p.";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TokenType {
    Access,
    Private,
    Refresh,
}

/// Written in this order, so that the same claims are the same text.
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
}

impl Claims<'_> {
    pub(super) fn to_text(&self) -> Result<ClaimsText, SigningFailed> {
        serde_json::to_string(self).map(ClaimsText).map_err(|_| SigningFailed)
    }
}

/// Claims as they are signed.
pub(super) struct ClaimsText(String);

impl ClaimsText {
    /// What is stored in place of the token. The claims' and not the token's: a token that is signed again has another
    /// signature, and after a rotation of keys another header, and is still the same token.
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

/// The kind of a token whose claims were verified.
pub(super) fn token_type(claims: &str) -> Option<TokenType> {
    #[derive(Deserialize)]
    struct Kind {
        token_type: TokenType,
    }
    serde_json::from_str::<Kind>(claims).ok().map(|kind| kind.token_type)
}

/// The claims of a refresh token, once its signature was verified.
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
}

/// 144 bits of the operating system's randomness, as 24 characters.
pub(super) fn random_id() -> Result<String, SigningFailed> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes).map_err(|_| SigningFailed)?;
    Ok(URL_SAFE_NO_PAD.encode_to_string(bytes))
}

/// As [`random_id`], for a private token.
pub(super) fn private_id() -> Result<String, SigningFailed> {
    random_id().map(|id| format!("{PRIVATE_MARK}{id}"))
}

/// Whether an id is that of a private token: a hint that is cheap on every request, and decides nothing.
pub(super) fn is_private_id(id: &str) -> bool {
    id.starts_with(PRIVATE_MARK)
}
