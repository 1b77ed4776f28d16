//! JSON Web Signatures (RFC 7515) for the verifier: strict compact serialisation, and keys bound to one algorithm each.

mod algorithm;
mod backend;
mod compact;
mod der;
#[cfg(feature = "jsonwebtoken")]
mod jsonwebtoken_keys;
mod jwk;
mod key;
mod key_set;
mod material;
#[cfg(all(test, not(any(feature = "aws-lc-rs", feature = "rust-crypto"))))]
#[path = "tests/no_backend.rs"]
mod no_backend;
#[cfg(feature = "signing")]
mod pkcs8;
mod public_key_text;
#[cfg(feature = "signing")]
mod signing_key;
#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests;

pub use self::algorithm::Algorithm;
#[cfg(feature = "jwks")]
pub(crate) use self::backend::require as require_backend;
#[cfg(feature = "jwks")]
pub(crate) use self::compact::decode_base64url;
pub(crate) use self::compact::{Compact, Header, KnownHeaders, Scratch};
pub use self::key::Key;
pub use self::key_set::{KeySet, KeySetHandle};
#[cfg(feature = "signing")]
#[cfg_attr(docsrs, doc(cfg(feature = "signing")))]
pub use self::material::SigningFailed;
#[cfg(feature = "signing")]
#[cfg_attr(docsrs, doc(cfg(feature = "signing")))]
pub use self::signing_key::SigningKey;
pub use crate::config_error::RefusedKey;

/// The reason why bytes are not a compact JWS that a key of the set verifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum JwsError {
    /// Longer than the limit.
    #[error("the JWS is too long: expected at most the configured length")]
    TooLong,
    /// The bytes are not three parts of canonical, unpadded base64url, separated by exactly two dots.
    #[error("not a compact JWS: expected three parts of unpadded base64url between dots")]
    NotCompact,
    /// The protected header is not a strict JSON object, or a member of it has the wrong type.
    #[error(
        "malformed protected header: expected a JSON object with unique names and members of the right type"
    )]
    MalformedHeader,
    /// `alg` is `none` or a name that this crate does not know (RFC 8725 section 3.1).
    #[error("unsupported algorithm: `tower_bearer::Algorithm` lists what is supported")]
    UnsupportedAlgorithm,
    /// The header has `crit`, `b64` or `enc`: extensions that change the meaning of the bytes (RFC 7515 section 4.1.11,
    /// RFC 7797 section 7).
    #[error("unsupported header parameter: expected no `crit`, `b64` or `enc`")]
    UnsupportedHeader,
    /// The header's `typ` is not the expected one (RFC 8725 section 3.11).
    #[error("unexpected `typ` in the header: expected the one that the caller named")]
    UnexpectedType,
    /// No key of the set matches the token's `kid`.
    #[error("unknown key: expected the `kid` of a key of the set")]
    UnknownKey,
    /// The keys that match are bound to other algorithms (RFC 8725 section 3.1).
    #[error("algorithm mismatch: expected the algorithm of the key")]
    AlgorithmMismatch,
    /// No key that matches verifies the signature.
    #[error("bad signature: expected one that a key of the set verifies")]
    BadSignature,
}

/// The SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    backend::sha256(bytes)
}

/// HMAC with SHA-256 (RFC 2104).
pub(crate) fn hmac_sha256(secret: &[u8], message: &[u8]) -> [u8; 32] {
    backend::hmac_sha256(secret, message)
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    sha256(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
