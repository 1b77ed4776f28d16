//! The backend AWS-LC, through the crate aws-lc-rs.

use aws_lc_rs::{
    digest,
    encoding::AsDer as _,
    hmac,
    signature::{self, ParsedPublicKey, VerificationAlgorithm},
};
use x509_cert::der::{Encode as _, asn1::UintRef};

use crate::{
    ConfigError,
    jws::{
        Algorithm,
        material::{Check, Curve, Material, without_leading_zeros},
    },
};

pub(super) fn check(algorithm: Algorithm, material: Material<'_>) -> Result<Check, ConfigError> {
    match material {
        Material::Secret(secret) => {
            let key = hmac::Key::new(hash_of(algorithm)?, secret);
            Ok(Box::new(move |message, tag| hmac::verify(&key, message, tag).is_ok()))
        }
        Material::Rsa { modulus, exponent } => {
            let key = rsa_public_key(modulus, exponent)?;
            public_key(algorithm, &key, ConfigError::UnsupportedByBackend(algorithm))
        }
        Material::Ec { point, .. } | Material::Ed25519(point) => {
            public_key(algorithm, point, ConfigError::InvalidPoint)
        }
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    // The lengths are equal by definition of the algorithm.
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

pub(super) fn uncompressed(curve: Curve, point: &[u8]) -> Result<Vec<u8>, ConfigError> {
    let scheme = scheme_of(match curve {
        Curve::P256 => Algorithm::ES256,
        Curve::P384 => Algorithm::ES384,
        Curve::P521 => Algorithm::ES512,
    })?;
    let key = ParsedPublicKey::new(scheme, point).map_err(|_| ConfigError::InvalidPoint)?;
    let der = key.as_der().map_err(|_| ConfigError::InvalidPoint)?;
    // The point is at the end of a `SubjectPublicKeyInfo`.
    let der = der.as_ref();
    let start = der.len().checked_sub(1 + 2 * curve.coordinate_length());
    let point = start.and_then(|start| der.get(start..));
    point
        .filter(|point| point.first() == Some(&4))
        .map(<[u8]>::to_vec)
        .ok_or(ConfigError::InvalidPoint)
}

pub(super) fn hmac_sha256(secret: &[u8], message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message);
    let mut bytes = [0; 32];
    // The lengths are equal by definition of the algorithm.
    bytes.copy_from_slice(tag.as_ref());
    bytes
}

fn public_key(
    algorithm: Algorithm,
    key: &[u8],
    refusal: ConfigError,
) -> Result<Check, ConfigError> {
    let key = ParsedPublicKey::new(scheme_of(algorithm)?, key).map_err(|_| refusal)?;
    Ok(Box::new(move |message, signature| key.verify_sig(message, signature).is_ok()))
}

fn hash_of(algorithm: Algorithm) -> Result<hmac::Algorithm, ConfigError> {
    match algorithm {
        Algorithm::HS256 => Ok(hmac::HMAC_SHA256),
        Algorithm::HS384 => Ok(hmac::HMAC_SHA384),
        Algorithm::HS512 => Ok(hmac::HMAC_SHA512),
        _ => Err(ConfigError::KeyAlgorithmMismatch(algorithm)),
    }
}

/// In PSS the salt is as long as the hash, and MGF1 uses the same hash, as RFC 7518 section 3.5 requires.
fn scheme_of(algorithm: Algorithm) -> Result<&'static dyn VerificationAlgorithm, ConfigError> {
    Ok(match algorithm {
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::ES512 => &signature::ECDSA_P521_SHA512_FIXED,
        Algorithm::EdDSA => &signature::ED25519,
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            return Err(ConfigError::KeyAlgorithmMismatch(algorithm));
        }
    })
}

/// Encodes the key in the form of RFC 8017 appendix A.1.1, which AWS-LC reads.
fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Result<Vec<u8>, ConfigError> {
    let number = |bytes| UintRef::new(without_leading_zeros(bytes));
    let encode = || [number(modulus)?, number(exponent)?].to_der();
    encode().map_err(|_| ConfigError::UnreadableKey("an RSA modulus and exponent"))
}
