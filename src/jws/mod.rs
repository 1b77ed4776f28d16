//! JSON Web Signatures (RFC 7515): strict compact serialisation, keys that know their algorithm.

mod algorithm;
mod backend;
mod compact;
mod der;
mod header;
mod jwk;
mod key;
mod key_set;
mod key_set_handle;
mod known_headers;
mod material;
#[cfg(all(test, not(any(feature = "aws-lc-rs", feature = "rust-crypto"))))]
#[path = "tests/no_backend.rs"]
mod no_backend;
#[cfg(feature = "signing")]
mod pkcs8;
mod public_text;
#[cfg(feature = "signing")]
mod signing_key;
#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests;

use std::fmt;

pub use self::algorithm::Algorithm;
#[cfg(feature = "jwks")]
pub(crate) use self::backend::require as require_backend;
pub(crate) use self::compact::{Compact, Scratch};
pub(crate) use self::header::Header;
pub use self::key::Key;
pub(crate) use self::key_set::RefusedKeys;
pub use self::key_set::{KeySet, RefusedKey};
pub use self::key_set_handle::KeySetHandle;
pub(crate) use self::known_headers::KnownHeaders;
#[cfg(feature = "signing")]
#[cfg_attr(docsrs, doc(cfg(feature = "signing")))]
pub use self::signing_key::{SigningFailed, SigningKey};

/// Why compact bytes are no JWS that a key set vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JwsError {
    /// Longer than the limit.
    TooLong,
    /// Not three parts of canonical, unpadded base64url, separated by exactly two dots.
    NotCompact,
    /// The protected header is no strict JSON object, or a member of it has the wrong type.
    MalformedHeader,
    /// `alg` is `none` or a name that this crate does not know (RFC 8725 section 3.1).
    UnsupportedAlgorithm,
    /// `crit`, `b64` or `enc`: extensions that change what the bytes mean (RFC 7515 section 4.1.11, RFC 7797
    /// section 7).
    UnsupportedHeader,
    /// The header's `typ` is not the one that was asked for (RFC 8725 section 3.11).
    UnexpectedType,
    /// No key of the set can be meant.
    UnknownKey,
    /// The keys that are meant are bound to other algorithms (RFC 8725 section 3.1).
    AlgorithmMismatch,
    /// No key that is meant verifies the signature.
    BadSignature,
}

impl fmt::Display for JwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "longer than the limit",
            Self::NotCompact => "not a compact JWS",
            Self::MalformedHeader => "malformed protected header",
            Self::UnsupportedAlgorithm => "unsupported algorithm",
            Self::UnsupportedHeader => "unsupported header parameter",
            Self::UnexpectedType => "the header has another typ",
            Self::UnknownKey => "unknown key",
            Self::AlgorithmMismatch => "the algorithm is not the key's",
            Self::BadSignature => "the signature does not verify",
        })
    }
}

impl std::error::Error for JwsError {}

/// The SHA-256 of `bytes`, in hexadecimal.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;

    backend::sha256(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
