//! The numbers of a key, the checks that every constructor of a key shares, and the functions that a backend makes of
//! it.
//!
//! The checks are our own because the libraries accept such keys, or differ from each other.

use x509_cert::der::asn1::ObjectIdentifier;
#[cfg(feature = "signing")]
use zeroize::Zeroizing;

use super::Algorithm;
use crate::ConfigError;

// Identifiers of key types and curves: RFC 8017 appendix C, RFC 5480 section 2.1.1, RFC 8410 section 3.
pub(super) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
pub(super) const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
pub(super) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
pub(super) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A parsed key: returns whether the second argument is a signature of the message in the first.
pub(super) type Check = Box<dyn Fn(&[u8], &[u8]) -> bool + Send + Sync>;

/// A parsed private key: makes the signature of a message.
#[cfg(feature = "signing")]
pub(super) type Sign = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, SigningFailed> + Send + Sync>;

/// The numbers or the point of one key, borrowed from its source.
#[derive(Clone, Copy)]
pub(super) enum Material<'a> {
    /// An HMAC secret.
    Secret(&'a [u8]),
    /// Big-endian, possibly with leading zero octets.
    Rsa { modulus: &'a [u8], exponent: &'a [u8] },
    /// A point in the encoding of SEC 1 section 2.3.3.
    Ec { curve: Curve, point: &'a [u8] },
    /// A point in the encoding of RFC 8032 section 5.1.2.
    Ed25519(&'a [u8]),
}

/// The curves of RFC 7518 section 6.2.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub(super) fn coordinate_length(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The `crv` of a JWK.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }
}

impl Material<'_> {
    /// Checks that key type and curve belong to the algorithm (RFC 8725 section 3.1), and that the numbers are strong
    /// enough. The backend checks that a point of a NIST curve is on its curve.
    ///
    /// Returns the length of a signature in bytes.
    pub(super) fn check(&self, algorithm: Algorithm) -> Result<usize, ConfigError> {
        match (*self, algorithm) {
            (Self::Secret(secret), Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512) => {
                check_secret(secret, algorithm)
            }
            (
                Self::Rsa { modulus, exponent },
                Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512,
            ) => check_rsa(modulus, exponent),
            (Self::Ec { curve: curve @ Curve::P256, point }, Algorithm::ES256)
            | (Self::Ec { curve: curve @ Curve::P384, point }, Algorithm::ES384)
            | (Self::Ec { curve: curve @ Curve::P521, point }, Algorithm::ES512) => {
                check_point(curve, point)
            }
            (Self::Ed25519(point), Algorithm::EdDSA) => check_ed25519(point),
            _ => Err(ConfigError::KeyAlgorithmMismatch(algorithm)),
        }
    }
}

/// The length of the hash, which is the minimum length of a secret (RFC 7518 section 3.2). `None` for algorithms
/// without a secret.
pub(super) fn hash_length(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::HS256 => Some(32),
        Algorithm::HS384 => Some(48),
        Algorithm::HS512 => Some(64),
        _ => None,
    }
}

/// Rejects only an empty secret. [`Key::allow_short_secret`](super::Key::allow_short_secret) accepts secrets below the
/// minimum length.
fn check_secret(secret: &[u8], algorithm: Algorithm) -> Result<usize, ConfigError> {
    if secret.is_empty() {
        return Err(ConfigError::SecretTooShort { length: 0, minimum: 1 });
    }
    hash_length(algorithm).ok_or(ConfigError::KeyAlgorithmMismatch(algorithm))
}

fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<usize, ConfigError> {
    let modulus = without_leading_zeros(modulus);
    let exponent = without_leading_zeros(exponent);
    let bits = bit_length(modulus);
    if !(2048..=8192).contains(&bits) {
        return Err(ConfigError::RsaModulusBits(bits));
    }
    if !is_odd(modulus) {
        return Err(ConfigError::UnreadableKey("an odd RSA modulus"));
    }
    // With an exponent of 1, every padded hash is its own signature. A long exponent makes verification slow.
    if !is_odd(exponent) || exponent == [1] || bit_length(exponent) > 33 {
        return Err(ConfigError::RsaExponent);
    }
    Ok(modulus.len())
}

fn check_point(curve: Curve, point: &[u8]) -> Result<usize, ConfigError> {
    let length = curve.coordinate_length();
    match point.first() {
        Some(4) if point.len() == 1 + 2 * length => Ok(2 * length),
        Some(2 | 3) if point.len() == 1 + length => Ok(2 * length),
        Some(2..=4) | None => Err(ConfigError::KeyLength),
        // The point at infinity, or a hybrid form, which is not used in practice.
        Some(_) => Err(ConfigError::InvalidPoint),
    }
}

#[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
fn check_ed25519(point: &[u8]) -> Result<usize, ConfigError> {
    use curve25519_dalek::edwards::CompressedEdwardsY;

    let encoded = CompressedEdwardsY::from_slice(point).map_err(|_| ConfigError::KeyLength)?;
    let point = encoded.decompress().ok_or(ConfigError::InvalidPoint)?;
    // A point of small order verifies forged signatures. A point with two encodings has two thumbprints (RFC 8032
    // section 5.1.3 rejects an encoding that is not reduced).
    if point.is_small_order() || point.compress() != encoded {
        return Err(ConfigError::InvalidPoint);
    }
    Ok(64)
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))]
fn check_ed25519(_: &[u8]) -> Result<usize, ConfigError> {
    Err(ConfigError::NoBackend)
}

/// RFC 7518 section 6.3.1.1 forbids leading zeros, but keys of some providers have them. The number is the same, and
/// every check uses the number.
pub(super) fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn bit_length(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last & 1 == 1)
}

/// The secret part of a key that signs.
#[cfg(feature = "signing")]
pub(super) enum PrivateMaterial {
    Hmac(Zeroizing<Vec<u8>>),
    /// A number of 32 bytes.
    P256(Zeroizing<Vec<u8>>),
    /// A seed of 32 bytes.
    Ed25519(Zeroizing<Vec<u8>>),
    /// PKCS#8.
    #[cfg_attr(
        not(feature = "aws-lc-rs"),
        allow(dead_code, reason = "read from a file, then refused by this backend")
    )]
    Rsa(Zeroizing<Vec<u8>>),
}

/// The public half of a key.
#[cfg(feature = "signing")]
#[cfg_attr(
    not(any(feature = "aws-lc-rs", feature = "rust-crypto")),
    allow(dead_code, reason = "no backend makes one")
)]
pub(super) enum PublicMaterial {
    /// Uncompressed for P-256.
    Point(Vec<u8>),
    #[cfg_attr(not(feature = "aws-lc-rs"), allow(dead_code, reason = "only AWS-LC signs with RSA"))]
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
}

/// The operating system did not provide random bytes, or the backend did not make a signature.
#[cfg(feature = "signing")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token could not be signed: the operating system or the cryptographic backend failed")]
pub struct SigningFailed;
