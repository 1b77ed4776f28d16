//! Signing with RustCrypto, for `SigningKey`. It does not sign with RSA, because the crate's private key operations
//! leak timing (RUSTSEC-2023-0071).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use signature::Signer as _;

use crate::{
    ConfigError,
    jws::{
        Algorithm,
        material::{PrivateMaterial, PublicMaterial, Sign, SigningFailed},
    },
};

pub(super) fn signer(
    algorithm: Algorithm,
    secret: &PrivateMaterial,
) -> Result<(Sign, Option<PublicMaterial>), ConfigError> {
    match (algorithm, secret) {
        (Algorithm::HS256, PrivateMaterial::Hmac(secret)) => {
            let keyed = Hmac::<Sha256>::new_from_slice(secret)
                .map_err(|_| ConfigError::UnsupportedByBackend(algorithm))?;
            let sign = move |message: &[u8]| {
                Ok(keyed.clone().chain_update(message).finalize().into_bytes().to_vec())
            };
            Ok((Box::new(sign), None))
        }
        (Algorithm::ES256, PrivateMaterial::P256(scalar)) => {
            let key = p256::ecdsa::SigningKey::from_slice(scalar)
                .map_err(|_| ConfigError::UnreadableKey("a private key of P-256"))?;
            let public =
                PublicMaterial::Point(key.verifying_key().to_sec1_point(false).as_bytes().to_vec());
            let sign = move |message: &[u8]| {
                let signature: p256::ecdsa::Signature =
                    key.try_sign(message).map_err(|_| SigningFailed)?;
                Ok(signature.to_bytes().to_vec())
            };
            Ok((Box::new(sign), Some(public)))
        }
        (Algorithm::EdDSA, PrivateMaterial::Ed25519(seed)) => {
            let seed = seed.as_slice().try_into().map_err(|_| ConfigError::KeyLength)?;
            let key = ed25519_dalek::SigningKey::from_bytes(seed);
            let public = PublicMaterial::Point(key.verifying_key().to_bytes().to_vec());
            let sign = move |message: &[u8]| {
                let signature = key.try_sign(message).map_err(|_| SigningFailed)?;
                Ok(signature.to_bytes().to_vec())
            };
            Ok((Box::new(sign), Some(public)))
        }
        (Algorithm::RS256, PrivateMaterial::Rsa(_)) => {
            Err(ConfigError::UnsupportedByBackend(algorithm))
        }
        _ => Err(ConfigError::KeyAlgorithmMismatch(algorithm)),
    }
}

#[cfg(not(feature = "aws-lc-rs"))]
pub(super) fn generate_rsa() -> Result<PrivateMaterial, ConfigError> {
    Err(ConfigError::UnsupportedByBackend(Algorithm::RS256))
}
