//! The backend RustCrypto: pure Rust crates of RustCrypto and dalek.

use ed25519_dalek::VerifyingKey;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rsa::{BoxedUint, PublicKey, pkcs1v15, pss};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::{
    ConfigError,
    jws::{
        Algorithm,
        material::{Check, Curve, Material},
    },
};

pub(super) fn check(algorithm: Algorithm, material: Material<'_>) -> Result<Check, ConfigError> {
    match material {
        Material::Secret(secret) => mac(algorithm, secret),
        Material::Rsa { modulus, exponent } => rsa(algorithm, modulus, exponent),
        Material::Ec { point, .. } => ecdsa(algorithm, point),
        Material::Ed25519(point) => ed25519(point),
    }
}

pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(super) fn uncompressed(curve: Curve, point: &[u8]) -> Result<Vec<u8>, ConfigError> {
    let off_curve = |_| ConfigError::InvalidPoint;
    match curve {
        Curve::P256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(off_curve)?;
            Ok(key.to_sec1_point(false).as_bytes().to_vec())
        }
        Curve::P384 => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(off_curve)?;
            Ok(key.to_sec1_point(false).as_bytes().to_vec())
        }
        Curve::P521 => Err(ConfigError::UnsupportedByBackend(Algorithm::ES512)),
    }
}

pub(super) fn hmac_sha256(secret: &[u8], message: &[u8]) -> [u8; 32] {
    keyed(secret)
        .map_or([0; 32], |keyed| keyed.chain_update(message).finalize().into_bytes().into())
}

/// Always `Some`: HMAC accepts a secret of any length.
fn keyed(secret: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(secret).ok()
}

fn mac(algorithm: Algorithm, secret: &[u8]) -> Result<Check, ConfigError> {
    // The key schedule is computed once and cloned for each message.
    macro_rules! held {
        ($hash:ty) => {{
            let keyed = Hmac::<$hash>::new_from_slice(secret)
                .map_err(|_| ConfigError::UnsupportedByBackend(algorithm))?;
            Ok(Box::new(move |message, tag| {
                keyed.clone().chain_update(message).verify_slice(tag).is_ok()
            }))
        }};
    }
    match algorithm {
        Algorithm::HS256 => held!(Sha256),
        Algorithm::HS384 => held!(Sha384),
        Algorithm::HS512 => held!(Sha512),
        _ => Err(ConfigError::KeyAlgorithmMismatch(algorithm)),
    }
}

fn rsa(algorithm: Algorithm, modulus: &[u8], exponent: &[u8]) -> Result<Check, ConfigError> {
    let number = BoxedUint::from_be_slice_vartime;
    let key = PublicKey::new(number(modulus), number(exponent))
        .map_err(|_| ConfigError::UnsupportedByBackend(algorithm))?;
    Ok(match algorithm {
        Algorithm::RS256 => {
            held::<_, pkcs1v15::Signature>(pkcs1v15::VerifyingKey::<Sha256>::new(key))
        }
        Algorithm::RS384 => {
            held::<_, pkcs1v15::Signature>(pkcs1v15::VerifyingKey::<Sha384>::new(key))
        }
        Algorithm::RS512 => {
            held::<_, pkcs1v15::Signature>(pkcs1v15::VerifyingKey::<Sha512>::new(key))
        }
        // The salt is as long as the hash, and MGF1 uses the same hash (RFC 7518 section 3.5).
        Algorithm::PS256 => held::<_, pss::Signature>(pss::VerifyingKey::<Sha256>::new(key)),
        Algorithm::PS384 => held::<_, pss::Signature>(pss::VerifyingKey::<Sha384>::new(key)),
        Algorithm::PS512 => held::<_, pss::Signature>(pss::VerifyingKey::<Sha512>::new(key)),
        _ => return Err(ConfigError::KeyAlgorithmMismatch(algorithm)),
    })
}

fn ecdsa(algorithm: Algorithm, point: &[u8]) -> Result<Check, ConfigError> {
    let off_curve = |_| ConfigError::InvalidPoint;
    match algorithm {
        Algorithm::ES256 => {
            let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(off_curve)?;
            Ok(held::<_, p256::ecdsa::Signature>(key))
        }
        Algorithm::ES384 => {
            let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(off_curve)?;
            Ok(held::<_, p384::ecdsa::Signature>(key))
        }
        _ => Err(ConfigError::UnsupportedByBackend(algorithm)),
    }
}

fn ed25519(point: &[u8]) -> Result<Check, ConfigError> {
    let key = point.try_into().map_err(|_| ConfigError::KeyLength)?;
    let key = VerifyingKey::from_bytes(key).map_err(|_| ConfigError::InvalidPoint)?;
    // Not `verify_strict`: keys of small order are already rejected. The rest of its rules would only make the two
    // backends differ.
    Ok(held::<_, ed25519_dalek::Signature>(key))
}

fn held<K, S>(key: K) -> Check
where
    K: signature::Verifier<S> + Send + Sync + 'static,
    S: for<'a> TryFrom<&'a [u8]>,
{
    Box::new(move |message, bytes| {
        S::try_from(bytes).is_ok_and(|signature| key.verify(message, &signature).is_ok())
    })
}
