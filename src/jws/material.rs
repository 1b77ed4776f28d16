//! The numbers of a key, and the checks that every constructor of a key shares.
//!
//! The checks are our own because the libraries accept such keys, or differ from each other.

use std::borrow::Cow;

use base64_simd::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::{Algorithm, backend};
use crate::ConfigError;

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
    fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }
}

impl Material<'_> {
    /// Identifies the key together with the algorithm. It is a hash, so storing it beside the key does not make another
    /// copy of a secret.
    pub(super) fn fingerprint(&self, algorithm: Algorithm) -> [u8; 32] {
        let parts: [&[u8]; 2] = match *self {
            Self::Secret(bytes) | Self::Ed25519(bytes) | Self::Ec { point: bytes, .. } => {
                [bytes, &[]]
            }
            Self::Rsa { modulus, exponent } => {
                [without_leading_zeros(modulus), without_leading_zeros(exponent)]
            }
        };
        // Allocates the final size at once: a growing buffer would leave copies that are not wiped.
        let length = 32 + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut input = Zeroizing::new(Vec::with_capacity(length));
        input.extend_from_slice(algorithm.name().as_bytes());
        for part in parts {
            // The length comes first, so two different lists of parts never make the same text.
            input.extend_from_slice(&part.len().to_be_bytes());
            input.extend_from_slice(part);
        }
        backend::sha256(&input)
    }

    /// Computes [`Key::thumbprint`](super::Key::thumbprint). The material must have passed [`check`](Self::check).
    pub(super) fn thumbprint(&self) -> Result<String, ConfigError> {
        if let Self::Secret(secret) = *self {
            let tag = backend::hmac_sha256(secret, b"tower-bearer: id of a key");
            return Ok(base64url(tag.first_chunk::<16>().map_or(&[][..], |half| half)));
        }
        Ok(base64url(&backend::sha256(self.public_members()?.as_bytes())))
    }

    /// The required members of a public JWK, in the order and form that RFC 7638 section 3 hashes.
    pub(super) fn public_members(&self) -> Result<String, ConfigError> {
        match *self {
            Self::Secret(_) => Err(ConfigError::SecretInPublicKeySet),
            Self::Rsa { modulus, exponent } => {
                let n = base64url(without_leading_zeros(modulus));
                let e = base64url(without_leading_zeros(exponent));
                Ok(format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#))
            }
            Self::Ec { curve, point } => {
                let whole = match point.first() {
                    Some(4) => Cow::Borrowed(point),
                    _ => Cow::Owned(backend::uncompressed(curve, point)?),
                };
                let coordinates = whole.get(1..).unwrap_or_default();
                let (x, y) = coordinates
                    .split_at_checked(curve.coordinate_length())
                    .ok_or(ConfigError::InvalidPoint)?;
                let (x, y, curve) = (base64url(x), base64url(y), curve.name());
                Ok(format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#))
            }
            Self::Ed25519(point) => {
                Ok(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(point)))
            }
        }
    }

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

pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

fn bit_length(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|last| last & 1 == 1)
}
