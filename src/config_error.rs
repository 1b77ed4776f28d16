//! The error for mistakes of a programmer or operator. Constructors and builders return it at start.

use std::{fmt, io, path::PathBuf, time::Duration};

use crate::jws::Algorithm;

/// A key, policy or layer that was rejected during setup.
///
/// Requests never see this type: only constructors and builders return it. Its text names the rule that was broken. It
/// never repeats key material.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The crate was built with neither `aws-lc-rs` nor `rust-crypto`, so no signature can be checked.
    #[error(
        "no cryptographic backend: enable the feature `aws-lc-rs` or `rust-crypto` of tower-bearer"
    )]
    NoBackend,
    /// The cryptographic backend that was compiled in cannot do this algorithm with this key.
    #[error(
        "the cryptographic backend cannot do {0} with this key: enable the feature `aws-lc-rs`, or use another algorithm"
    )]
    UnsupportedByBackend(Algorithm),
    /// The text or bytes of a key could not be read. The string names what was expected.
    #[error("unreadable key: expected {0}")]
    UnreadableKey(&'static str),
    /// A [`Transmitter`](crate::security_events::Transmitter) of security events that cannot revoke anything. The string
    /// names what was expected.
    #[error("invalid transmitter of security events: expected {0}")]
    InvalidTransmitter(&'static str),
    /// The name of an algorithm, key type or curve that this crate does not support.
    #[error("unsupported {0}: `tower_bearer::Algorithm` lists what is supported")]
    UnsupportedKey(&'static str),
    /// The key's type or curve does not fit the algorithm that was given for it (RFC 8725 section 3.1).
    #[error("the key does not fit {0}: expected {key}", key = key_of(*.0))]
    KeyAlgorithmMismatch(Algorithm),
    /// A private key instead of a public key.
    #[error("a private key: expected the public key of the pair")]
    PrivateKey,
    /// An HMAC secret that is shorter than the hash of its algorithm (RFC 7518 section 3.2), in bytes.
    #[error(
        "an HMAC secret of {length} bytes: expected {minimum} or more, from a random generator"
    )]
    SecretTooShort {
        /// Length of the secret that was given.
        length: usize,
        /// Minimum length for the algorithm.
        minimum: usize,
    },
    /// An RSA modulus outside 2048 to 8192 bits (RFC 7518 section 3.3 sets the lower bound).
    #[error("an RSA modulus of {0} bits: expected 2048 to 8192")]
    RsaModulusBits(usize),
    /// An RSA public exponent that is even, below 3, or longer than 33 bits.
    #[error(
        "an RSA exponent that is even, below 3 or longer than 33 bits: expected an odd one, such as 65537"
    )]
    RsaExponent,
    /// An elliptic curve point that is not on its curve, not canonical, or of small order.
    #[error("an invalid curve point: expected one on its curve, canonical and not of small order")]
    InvalidPoint,
    /// A key parameter that does not have the length of its curve.
    #[error("a key parameter of the wrong length: expected the length of its curve")]
    KeyLength,
    /// A coordinate of an EC JWK that does not have the length of its curve, in bytes (RFC 7518 section 6.2.1.2).
    /// Keycloak once removed leading zeros.
    #[error(
        "an EC coordinate of {length} bytes: expected {expected}, with leading zeros (RFC 7518 section 6.2.1.2)"
    )]
    CoordinateLength {
        /// Length of the coordinate that was given.
        length: usize,
        /// Length that the curve requires.
        expected: usize,
    },
    /// A JWK whose `use` is not `sig` (RFC 7517 section 4.2).
    #[error("a key whose `use` is not `sig`: expected `sig`, or no `use`")]
    KeyUse,
    /// A JWK whose `key_ops` lacks `verify` (RFC 7517 section 4.3).
    #[error("a key whose `key_ops` lacks `verify`: expected `verify` in it, or no `key_ops`")]
    KeyOperations,
    /// An `oct` JWK in a set of public keys.
    #[error("a symmetric key in a set of public keys: expected public keys only")]
    SecretInPublicKeySet,
    /// A key set in which no key can be used. It lists the keys, each with the rule that it breaks.
    #[error("no key of the set can be used: {}", reasons(.0))]
    NoUsableKey(Vec<RefusedKey>),
    /// A key file that could not be read.
    #[error("cannot read the key file {}: check its path and permissions", path.display())]
    KeyFile {
        /// The path as it was given.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// An authenticator without an issuer.
    #[error(
        "an authenticator without an issuer: call `AuthenticatorBuilder::issuer` at least once"
    )]
    NoIssuer,
    /// A check that was added before the type of the claims was set. Call
    /// [`claims`](crate::AuthenticatorBuilder::claims) first.
    #[error("a check was added before the type of the claims was named: call `claims` first")]
    ChecksBeforeClaims,
    /// Two issuers with the same name.
    #[error("two issuers with the name {0:?}: expected each name once")]
    DuplicateIssuer(String),
    /// An issuer without a name, or an empty audience.
    #[error("an empty {0}: expected one that is not empty")]
    EmptyName(&'static str),
    /// A name that an issuer cannot have. The string names what was expected.
    #[error("unusable issuer name: expected {0}")]
    InvalidIssuerName(&'static str),
    /// A resource identifier, or the URL of its documentation, that cannot be used. The string names what was expected.
    #[error("unusable URL of a resource: expected {0}")]
    InvalidResource(&'static str),
    /// A proxy that is neither an IP address nor a network. It is the text that was given.
    #[error(
        "unusable proxy {0:?}: expected an IP address, or a network without bits behind its prefix, such as 10.0.0.0/8"
    )]
    InvalidProxy(String),
    /// A setting of [`Dpop`](crate::dpop::Dpop) that cannot be used. The string names what was expected.
    #[error("unusable setting of DPoP: expected {0}")]
    InvalidDpop(&'static str),
    /// A scope that no token can have (RFC 6749 section 3.3), or that must not be listed.
    #[error(
        "unusable scope {0:?}: expected a scope-token (RFC 6749 section 3.3) other than `offline_access`"
    )]
    InvalidScope(String),
    /// A scope hierarchy in which this scope implies itself, directly or through others.
    #[error("the scope {0:?} implies itself: remove one of the scopes in the cycle")]
    ScopeCycle(String),
    /// A leeway above [`MAX_LEEWAY`](crate::claims::MAX_LEEWAY).
    #[error("a leeway of {} s: expected {} s or less", .0.as_secs(), crate::claims::MAX_LEEWAY.as_secs())]
    LeewayTooLong(Duration),
    /// A setting that is out of range. The string names the setting and its limits.
    #[error("setting out of range: {0}")]
    OutOfRange(&'static str),
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes: allow the process to call getrandom")]
    NoRandomness,
    /// A URL that keys cannot be fetched from. The string names what was expected.
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    #[error("unusable address: expected {0}")]
    InvalidUrl(&'static str),
    /// Keys or status lists from another machine over plain `http`, without
    /// [`allow_http`](crate::jwks::RemoteJwks::allow_http).
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    #[error("plain http to another machine: expected a URL that begins with https://")]
    InsecureUrl,
    /// The remote keys were set up for an issuer of a different name.
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    #[error(
        "the discovery document belongs to a different issuer: pass the same name to `Issuer::new` and to `RemoteJwks::discover`"
    )]
    ForeignMetadata,
    /// Root certificates that could not be read. The string names what was expected.
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    #[error("unreadable root certificates: expected a {0}")]
    Roots(&'static str),
    /// TLS could not be set up.
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    #[error("TLS cannot be set up: expected certificates and a key that rustls accepts")]
    Tls,
    /// A value that cannot be part of an HTTP header. The string names the setting.
    #[error(
        "the {0} cannot be part of an HTTP header: expected visible ASCII without quotes and backslashes"
    )]
    InvalidHeaderValue(&'static str),
}

/// The number of characters shown of the `kid` of a key that was left out.
const SHOWN_KEY_ID: usize = 64;

/// The number of keys shown that were left out.
const SHOWN_KEYS: usize = 16;

/// A key of a document that was left out.
///
/// Its `Display` shows its position, its `kid` (up to 64 characters) and the rule that it breaks.
pub struct RefusedKey {
    index: usize,
    key_id: Option<Box<str>>,
    reason: ConfigError,
}

impl RefusedKey {
    pub(crate) fn new(index: usize, key_id: Option<Box<str>>, reason: ConfigError) -> Self {
        Self { index, key_id, reason }
    }

    /// Its position in the array `keys`, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Its `kid`, if that can be read.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The rule that it breaks.
    #[must_use]
    pub fn reason(&self) -> &ConfigError {
        &self.reason
    }
}

impl fmt::Debug for RefusedKey {
    /// Does not show the id, like [`Key`](crate::Key).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusedKey")
            .field("index", &self.index)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for RefusedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.index)?;
        if let Some(key_id) = self.key_id() {
            let shown: String = key_id.chars().take(SHOWN_KEY_ID).collect();
            let more = if shown.len() < key_id.len() { "..." } else { "" };
            write!(f, " (kid {shown:?}{more})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Displays the first keys that were left out, and the number of the others.
pub(crate) struct RefusedKeys<'a>(pub(crate) &'a [RefusedKey]);

impl fmt::Display for RefusedKeys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, key) in self.0.iter().take(SHOWN_KEYS).enumerate() {
            write!(f, "{}{key}", if position == 0 { "" } else { "; " })?;
        }
        match self.0.len().saturating_sub(SHOWN_KEYS) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

fn reasons(refused: &[RefusedKey]) -> String {
    match refused {
        [] => "the set is empty".to_owned(),
        _ => RefusedKeys(refused).to_string(),
    }
}

/// The kind of key that this algorithm needs.
fn key_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => "an HMAC secret",
        Algorithm::ES256 => "a key of the curve P-256",
        Algorithm::ES384 => "a key of the curve P-384",
        Algorithm::ES512 => "a key of the curve P-521",
        Algorithm::EdDSA => "a key of the curve Ed25519",
        _ => "an RSA key",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_names_the_key_that_was_expected() {
        for (algorithm, expected) in [
            (Algorithm::HS384, "an HMAC secret"),
            (Algorithm::RS256, "an RSA key"),
            (Algorithm::PS512, "an RSA key"),
            (Algorithm::ES256, "a key of the curve P-256"),
            (Algorithm::ES512, "a key of the curve P-521"),
            (Algorithm::EdDSA, "a key of the curve Ed25519"),
        ] {
            let text = ConfigError::KeyAlgorithmMismatch(algorithm).to_string();
            assert_eq!(text, format!("the key does not fit {algorithm}: expected {expected}"));
        }
    }

    #[test]
    fn a_key_file_keeps_the_error_of_the_system_as_its_source() {
        let source = io::Error::from(io::ErrorKind::NotFound);
        let error = ConfigError::KeyFile { path: "keys.json".into(), source };
        assert!(error.to_string().starts_with("cannot read the key file keys.json: "), "{error}");
        assert!(std::error::Error::source(&error).is_some());
    }
}
