//! Signing with AWS-LC, for `SigningKey`.

use aws_lc_rs::{
    encoding::AsDer as _,
    hmac,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256,
    },
};
use pkcs8::SecretDocument;
use sec1::EcPrivateKey;
use x509_cert::der::{Decode as _, asn1::UintRef};
use zeroize::Zeroizing;

use crate::{
    ConfigError,
    jws::{
        Algorithm,
        material::{P256, PrivateMaterial, PublicMaterial, Sign, SigningFailed},
    },
};

pub(super) fn signer(
    algorithm: Algorithm,
    secret: &PrivateMaterial,
) -> Result<(Sign, Option<PublicMaterial>), ConfigError> {
    match (algorithm, secret) {
        (Algorithm::HS256, PrivateMaterial::Hmac(secret)) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            Ok((Box::new(move |message| Ok(hmac::sign(&key, message).as_ref().to_vec())), None))
        }
        (Algorithm::ES256, PrivateMaterial::P256(scalar)) => p256(scalar),
        (Algorithm::EdDSA, PrivateMaterial::Ed25519(seed)) => {
            let key = Ed25519KeyPair::from_seed_unchecked(seed)
                .map_err(|_| ConfigError::UnreadableKey("an Ed25519 seed"))?;
            let public = PublicMaterial::Point(key.public_key().as_ref().to_vec());
            let sign = move |message: &[u8]| {
                key.try_sign(message)
                    .map(|signature| signature.as_ref().to_vec())
                    .map_err(|_| SigningFailed)
            };
            Ok((Box::new(sign), Some(public)))
        }
        (Algorithm::RS256, PrivateMaterial::Rsa(der)) => rsa(der),
        _ => Err(ConfigError::KeyAlgorithmMismatch(algorithm)),
    }
}

pub(super) fn generate_rsa() -> Result<PrivateMaterial, ConfigError> {
    let unsupported = |_| ConfigError::UnsupportedByBackend(Algorithm::RS256);
    let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(unsupported)?;
    let der = key.as_der().map_err(unsupported)?;
    Ok(PrivateMaterial::Rsa(Zeroizing::new(der.as_ref().to_vec())))
}

fn p256(scalar: &[u8]) -> Result<(Sign, Option<PublicMaterial>), ConfigError> {
    const UNREADABLE: ConfigError = ConfigError::UnreadableKey("a private key of P-256");
    // RFC 5915 section 3, without the public key, because AWS-LC computes it.
    let key = EcPrivateKey { private_key: scalar, parameters: Some(P256.into()), public_key: None };
    let der = SecretDocument::try_from(key).map_err(|_| UNREADABLE)?;
    let key = EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_bytes())
        .map_err(|_| UNREADABLE)?;
    let public = PublicMaterial::Point(key.public_key().as_ref().to_vec());
    let sign = move |message: &[u8]| {
        key.sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| SigningFailed)
    };
    Ok((Box::new(sign), Some(public)))
}

fn rsa(der: &[u8]) -> Result<(Sign, Option<PublicMaterial>), ConfigError> {
    const UNREADABLE: ConfigError = ConfigError::UnreadableKey("an RSA private key");
    let key = RsaKeyPair::from_pkcs8(der).map_err(|_| UNREADABLE)?;
    let numbers =
        Vec::<UintRef<'_>>::from_der(key.public_key().as_ref()).map_err(|_| UNREADABLE)?;
    let [modulus, exponent] = numbers.as_slice() else {
        return Err(UNREADABLE);
    };
    let (modulus, exponent) = (modulus.as_bytes().to_vec(), exponent.as_bytes().to_vec());
    let sign = move |message: &[u8]| {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| SigningFailed)?;
        Ok(signature)
    };
    Ok((Box::new(sign), Some(PublicMaterial::Rsa { modulus, exponent })))
}
