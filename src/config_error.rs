//! What a programmer or operator got wrong, told at start.

use std::{error::Error, fmt, io, path::PathBuf, time::Duration};

use crate::jws::{Algorithm, RefusedKey, RefusedKeys};

/// A key, policy or layer that was refused when it was set up.
///
/// Requests never see this type: it is returned by constructors and builders only. Its text names
/// the rule that was broken and never repeats key material.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The crate was built with neither `aws-lc-rs` nor `rust-crypto`, so no signature can be checked.
    NoBackend,
    /// The cryptographic backend that was compiled in cannot do this algorithm with this key.
    UnsupportedByBackend(Algorithm),
    /// The text or bytes of a key could not be read; the string says what was expected.
    UnreadableKey(&'static str),
    /// The name of an algorithm, key type or curve that this crate does not verify with.
    UnsupportedKey(&'static str),
    /// The key's type or curve does not fit the algorithm it was given (RFC 8725 section 3.1).
    KeyAlgorithmMismatch(Algorithm),
    /// A private key where a public one belongs.
    PrivateKey,
    /// An HMAC secret shorter than the hash it is used with (RFC 7518 section 3.2), in bytes.
    SecretTooShort {
        /// Length of the secret that was given.
        length: usize,
        /// Least length for the algorithm.
        minimum: usize,
    },
    /// An RSA modulus outside 2048 to 8192 bits (RFC 7518 section 3.3 sets the lower bound).
    RsaModulusBits(usize),
    /// An RSA public exponent that is even or below 3, or longer than 33 bits.
    RsaExponent,
    /// An elliptic curve point that is not on its curve, not canonical, or of small order.
    InvalidPoint,
    /// A key parameter of the wrong length for its curve.
    KeyLength,
    /// A coordinate of an EC JWK that is not as long as its curve demands, in bytes (RFC 7518 section 6.2.1.2).
    /// Keycloak once cut off leading zeros.
    CoordinateLength {
        /// Length of the coordinate.
        length: usize,
        /// Length that the curve demands.
        expected: usize,
    },
    /// A JWK whose `use` is not `sig` (RFC 7517 section 4.2).
    KeyUse,
    /// A JWK whose `key_ops` lacks `verify` (RFC 7517 section 4.3).
    KeyOperations,
    /// An `oct` JWK in a set of public keys.
    SecretInPublicKeySet,
    /// A key set in which no key could be used: the keys, each with the rule that it breaks.
    NoUsableKey(Vec<RefusedKey>),
    /// A key file that could not be read.
    KeyFile {
        /// The path as it was given.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// An authenticator without a single issuer.
    NoIssuer,
    /// A check that was added before the type of the claims was named: call
    /// [`claims`](crate::AuthenticatorBuilder::claims) first.
    ChecksBeforeClaims,
    /// Two issuers with the same name.
    DuplicateIssuer(String),
    /// An issuer without a name, or an empty audience.
    EmptyName(&'static str),
    /// A name that no issuer can have; the string says what was expected.
    InvalidIssuerName(&'static str),
    /// A leeway above [`MAX_LEEWAY`](crate::claims::MAX_LEEWAY).
    LeewayTooLong(Duration),
    /// A setting outside of what it may be; the string names setting and limits.
    OutOfRange(&'static str),
    /// The operating system has no random bytes.
    NoRandomness,
    /// An address that keys cannot be fetched from; the string says what was expected.
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    InvalidUrl(&'static str),
    /// Keys from another machine over plain `http`, without
    /// [`allow_http`](crate::jwks::RemoteJwks::allow_http).
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    InsecureUrl,
    /// An issuer with the metadata of another.
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    ForeignMetadata,
    /// Certificates of authorities that could not be read; the string says what was expected.
    #[cfg(any(feature = "jwks", feature = "redis"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "jwks", feature = "redis"))))]
    Roots(&'static str),
    /// TLS could not be set up.
    #[cfg(any(feature = "jwks", feature = "redis"))]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "jwks", feature = "redis"))))]
    Tls,
    /// A value that cannot stand in an HTTP header; the string names the setting.
    InvalidHeaderValue(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBackend => f.write_str(
                "no cryptographic backend: enable the feature `aws-lc-rs` or `rust-crypto` of tower-bearer",
            ),
            Self::UnsupportedByBackend(algorithm) => {
                write!(f, "the cryptographic backend in use cannot do {algorithm} with this key")
            }
            Self::UnreadableKey(expected) => write!(f, "unreadable key: expected {expected}"),
            Self::UnsupportedKey(what) => write!(f, "unsupported {what}"),
            Self::KeyAlgorithmMismatch(algorithm) => {
                write!(f, "the key's type or curve does not fit {algorithm}")
            }
            Self::PrivateKey => f.write_str("a private key where a public key belongs"),
            Self::SecretTooShort { length, minimum } => write!(
                f,
                "an HMAC secret of {length} bytes: expected {minimum} bytes or more, the length of the hash"
            ),
            Self::RsaModulusBits(bits) => {
                write!(f, "an RSA modulus of {bits} bits, outside 2048 to 8192")
            }
            Self::RsaExponent => f.write_str("an RSA exponent that is even, below 3 or above 33 bits"),
            Self::InvalidPoint => {
                f.write_str("a curve point that is off its curve, not canonical or of small order")
            }
            Self::KeyLength => f.write_str("a key parameter of the wrong length"),
            Self::CoordinateLength { length, expected } => write!(
                f,
                "an EC coordinate of {length} bytes: expected {expected}, with leading zeros (RFC 7518 section 6.2.1.2)"
            ),
            Self::KeyUse => f.write_str("a key whose `use` is not `sig`"),
            Self::KeyOperations => f.write_str("a key whose `key_ops` lacks `verify`"),
            Self::SecretInPublicKeySet => f.write_str("a symmetric key in a set of public keys"),
            Self::NoUsableKey(refused) if refused.is_empty() => {
                f.write_str("no key of the set can be used: the set is empty")
            }
            Self::NoUsableKey(refused) => {
                write!(f, "no key of the set can be used: {}", RefusedKeys(refused))
            }
            Self::KeyFile { path, .. } => write!(f, "cannot read the key file {}", path.display()),
            Self::NoIssuer => f.write_str("an authenticator needs at least one issuer"),
            Self::ChecksBeforeClaims => f.write_str(
                "a check was added before the type of the claims was named: call `claims` first",
            ),
            Self::DuplicateIssuer(name) => write!(f, "the issuer {name:?} is named twice"),
            Self::EmptyName(what) => write!(f, "an empty {what}"),
            Self::InvalidIssuerName(expected) => {
                write!(f, "unusable issuer name: expected {expected}")
            }
            Self::LeewayTooLong(leeway) => write!(
                f,
                "a leeway of {} s, above {} s",
                leeway.as_secs(),
                crate::claims::MAX_LEEWAY.as_secs()
            ),
            Self::OutOfRange(setting) => write!(f, "out of range: {setting}"),
            Self::NoRandomness => f.write_str("the operating system has no random bytes"),
            #[cfg(feature = "jwks")]
            Self::InvalidUrl(expected) => write!(f, "unusable address of keys: expected {expected}"),
            #[cfg(feature = "jwks")]
            Self::InsecureUrl => f.write_str(
                "keys from another machine over plain http: expected a URL that begins with https://",
            ),
            #[cfg(feature = "jwks")]
            Self::ForeignMetadata => {
                f.write_str("the discovery document belongs to a different issuer")
            }
            #[cfg(any(feature = "jwks", feature = "redis"))]
            Self::Roots(expected) => write!(f, "unreadable roots: expected a {expected}"),
            #[cfg(any(feature = "jwks", feature = "redis"))]
            Self::Tls => f.write_str("TLS cannot be set up"),
            Self::InvalidHeaderValue(setting) => {
                write!(f, "{setting} has characters that cannot stand in an HTTP header")
            }
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::KeyFile { source, .. } => Some(source),
            _ => None,
        }
    }
}
