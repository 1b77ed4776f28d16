//! Reads and writes private keys in PKCS#8 (RFC 5958) without encryption, for `SigningKey`.
//!
//! The crates `pkcs8` and `sec1` read and write DER. This module makes three checks: there is exactly one PEM block,
//! key type and curve belong to the algorithm, and numbers have the length of their curve.

use ::pkcs8::{LineEnding, PrivateKeyInfoRef, SecretDocument};
use sec1::EcPrivateKey;
use x509_cert::{
    der::{
        Decode as _, Encode as _,
        asn1::{AnyRef, OctetStringRef},
        pem::Decoder,
    },
    spki::AlgorithmIdentifierRef,
};
use zeroize::Zeroizing;

use super::{
    Algorithm,
    material::{EC, ED25519, P256, PrivateMaterial, PublicMaterial, RSA},
};
use crate::ConfigError;

const UNREADABLE: ConfigError =
    ConfigError::UnreadableKey("a private key in PKCS#8 that is not encrypted");

/// Reads exactly one block `PRIVATE KEY`.
pub(super) fn read_pem(algorithm: Algorithm, pem: &[u8]) -> Result<PrivateMaterial, ConfigError> {
    const ONE_BLOCK: ConfigError = ConfigError::UnreadableKey("exactly one PEM block PRIVATE KEY");
    let pem = pem.trim_ascii();
    if !pem.starts_with(b"-----BEGIN PRIVATE KEY-----") {
        return Err(ONE_BLOCK);
    }
    let mut decoder = Decoder::new_detect_wrap(pem).map_err(|_| ONE_BLOCK)?;
    // One allocation of the final size: a growing buffer would leave copies that are not wiped.
    let mut der = Zeroizing::new(vec![0; decoder.remaining_len()]);
    decoder.decode(&mut der).map_err(|_| ONE_BLOCK)?;
    read_der(algorithm, der)
}

fn read_der(algorithm: Algorithm, der: Zeroizing<Vec<u8>>) -> Result<PrivateMaterial, ConfigError> {
    let info = PrivateKeyInfoRef::try_from(der.as_slice()).map_err(|_| UNREADABLE)?;
    let key = info.private_key.as_bytes();
    match (algorithm, info.algorithm.oid) {
        (Algorithm::ES256, EC) if info.algorithm.parameters_oid() == Ok(P256) => read_p256(key),
        (Algorithm::EdDSA, ED25519) => {
            // RFC 8410 section 7: an octet string inside the octet string.
            let seed = <&OctetStringRef>::from_der(key).map_err(|_| UNREADABLE)?;
            number(seed.as_bytes()).map(PrivateMaterial::Ed25519)
        }
        (Algorithm::RS256, RSA) => Ok(PrivateMaterial::Rsa(der)),
        _ => Err(ConfigError::KeyAlgorithmMismatch(algorithm)),
    }
}

/// RFC 5915 section 3. The outer structure names the curve. If the inner structure names a curve too, it must be the
/// same.
fn read_p256(der: &[u8]) -> Result<PrivateMaterial, ConfigError> {
    let key = EcPrivateKey::try_from(der).map_err(|_| UNREADABLE)?;
    let curve = key.parameters.and_then(|parameters| parameters.named_curve());
    if curve.is_some_and(|curve| curve != P256) {
        return Err(ConfigError::KeyAlgorithmMismatch(Algorithm::ES256));
    }
    number(key.private_key).map(PrivateMaterial::P256)
}

/// Checks that the number has 32 bytes: neither crate checks the length.
fn number(bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
    match bytes.len() {
        32 => Ok(Zeroizing::new(bytes.to_vec())),
        _ => Err(ConfigError::KeyLength),
    }
}

/// Returns `None` for an HMAC secret, which has no PEM form.
pub(super) fn write_pem(
    secret: &PrivateMaterial,
    public: &PublicMaterial,
) -> Option<Zeroizing<String>> {
    write_der(secret, public)?.to_pem("PRIVATE KEY", LineEnding::LF).ok()
}

fn write_der(secret: &PrivateMaterial, public: &PublicMaterial) -> Option<SecretDocument> {
    match (secret, public) {
        (PrivateMaterial::P256(scalar), PublicMaterial::Point(point)) => {
            // Includes the public key, like OpenSSL: some readers require it.
            let key =
                EcPrivateKey { private_key: scalar, parameters: None, public_key: Some(point) };
            let key = SecretDocument::try_from(key).ok()?;
            let curve = AnyRef::from(&P256);
            wrapped(AlgorithmIdentifierRef { oid: EC, parameters: Some(curve) }, key.as_bytes())
        }
        (PrivateMaterial::Ed25519(seed), _) => {
            let key =
                Zeroizing::new(OctetStringRef::new(seed).and_then(|seed| seed.to_der()).ok()?);
            wrapped(AlgorithmIdentifierRef { oid: ED25519, parameters: None }, &key)
        }
        (PrivateMaterial::Rsa(der), _) => SecretDocument::try_from(der.as_slice()).ok(),
        (PrivateMaterial::P256(_) | PrivateMaterial::Hmac(_), _) => None,
    }
}

fn wrapped(algorithm: AlgorithmIdentifierRef<'_>, key: &[u8]) -> Option<SecretDocument> {
    let key = OctetStringRef::new(key).ok()?;
    SecretDocument::try_from(PrivateKeyInfoRef::new(algorithm, key)).ok()
}
