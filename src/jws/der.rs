//! Reads public keys in PEM (RFC 7468) and DER: `SubjectPublicKeyInfo`, `RSAPublicKey`, certificates.

use x509_cert::{
    Certificate,
    der::{
        Decode as _, Encode as _, Tag, Tagged as _,
        asn1::{AnyRef, ObjectIdentifier, UintRef},
        pem::Decoder,
    },
    spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef},
};

use super::{
    Algorithm, Key, backend,
    key::Verifier,
    material::{Curve, EC, ED25519, Material, P256, RSA},
    public_key_text::contains,
};
use crate::ConfigError;

// RFC 8017 appendix C, RFC 5480 section 2.1.1. `material.rs` has the other identifiers.
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

impl Key {
    /// A public key in PEM (RFC 7468): exactly one block labelled `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`. Only
    /// white space may surround the block.
    ///
    /// A certificate only carries the key. Its signature and its dates are not checked.
    ///
    /// # Errors
    /// [`ConfigError::PrivateKey`] for any private key. [`ConfigError::KeyAlgorithmMismatch`] if the key is not a key
    /// for `algorithm`. A public key is never a key for an HMAC algorithm. Otherwise the errors listed at [`Key`].
    pub fn from_pem(algorithm: Algorithm, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        backend::require()?;
        read_pem(algorithm, pem.as_ref()).map(|key| Self::new(algorithm, key))
    }

    /// A public key in DER: a `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7), an `RSAPublicKey` (RFC 8017 appendix
    /// A.1.1) or a certificate, of which only the key is used.
    ///
    /// # Errors
    /// Like [`from_pem`](Self::from_pem).
    pub fn from_der(algorithm: Algorithm, der: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        backend::require()?;
        read_der(algorithm, der.as_ref()).map(|key| Self::new(algorithm, key))
    }
}

/// Reads exactly one block. Its label names the content.
fn read_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Verifier, ConfigError> {
    const ONE_BLOCK: ConfigError = ConfigError::UnreadableKey("exactly one PEM block");
    let pem = pem.trim_ascii();
    if contains(pem, b"PRIVATE KEY-----") {
        return Err(ConfigError::PrivateKey);
    }
    // The decoder would skip text before the block. After the block, it fails at any text that is not base64.
    if !pem.starts_with(b"-----BEGIN ") {
        return Err(ONE_BLOCK);
    }
    let mut decoder = Decoder::new_detect_wrap(pem).map_err(|_| ONE_BLOCK)?;
    let mut der = Vec::new();
    decoder.decode_to_end(&mut der).map_err(|_| ONE_BLOCK)?;
    match decoder.type_label() {
        "PUBLIC KEY" => read_spki(algorithm, &der),
        "RSA PUBLIC KEY" => read_rsa(algorithm, &der),
        "CERTIFICATE" => read_certificate(algorithm, &der),
        _ => Err(ConfigError::UnreadableKey("a PEM block of a public key or a certificate")),
    }
}

/// Recognises the content by its outermost types.
fn read_der(algorithm: Algorithm, der: &[u8]) -> Result<Verifier, ConfigError> {
    const UNREADABLE: ConfigError =
        ConfigError::UnreadableKey("a public key or a certificate in DER");
    let elements = Vec::<AnyRef<'_>>::from_der(der).map_err(|_| UNREADABLE)?;
    let tags: Vec<Tag> = elements.iter().map(AnyRef::tag).collect();
    match tags.as_slice() {
        [Tag::Sequence, Tag::BitString] => read_spki(algorithm, der),
        [Tag::Integer, Tag::Integer] => read_rsa(algorithm, der),
        [Tag::Sequence, Tag::Sequence, Tag::BitString] => read_certificate(algorithm, der),
        // PKCS#8 without and with encryption, SEC 1, PKCS#1.
        [Tag::Integer, Tag::Sequence, Tag::OctetString, ..]
        | [Tag::Sequence, Tag::OctetString]
        | [Tag::Integer, Tag::OctetString, ..]
        | [Tag::Integer, Tag::Integer, Tag::Integer, ..] => Err(ConfigError::PrivateKey),
        _ => Err(UNREADABLE),
    }
}

/// Reads the key of a certificate. The certificate is only a container: the key is trusted because it was configured.
fn read_certificate(algorithm: Algorithm, der: &[u8]) -> Result<Verifier, ConfigError> {
    let spki = Certificate::from_der(der)
        .and_then(|certificate| certificate.tbs_certificate().subject_public_key_info().to_der())
        .map_err(|_| ConfigError::UnreadableKey("an X.509 certificate"))?;
    read_spki(algorithm, &spki)
}

/// RFC 5280 section 4.1.2.7.
fn read_spki(algorithm: Algorithm, der: &[u8]) -> Result<Verifier, ConfigError> {
    const UNREADABLE: ConfigError = ConfigError::UnreadableKey("a SubjectPublicKeyInfo");
    let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| UNREADABLE)?;
    // `None` if the last octet is incomplete.
    let key = info.subject_public_key.as_bytes().ok_or(UNREADABLE)?;
    let parameters = info.algorithm.parameters;
    match info.algorithm.oid {
        // RFC 3279 section 2.3.1 requires NULL. Absent parameters mean the same.
        RSA if parameters.is_none_or(AnyRef::is_null) => read_rsa(algorithm, key),
        // A key for PSS only (RFC 4055 section 1.2). A key that is bound to a hash has parameters.
        RSASSA_PSS if parameters.is_none() => match algorithm {
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => read_rsa(algorithm, key),
            _ => Err(ConfigError::KeyAlgorithmMismatch(algorithm)),
        },
        RSASSA_PSS => Err(ConfigError::UnsupportedKey("RSASSA-PSS parameters")),
        EC => {
            let curve = named_curve(info.algorithm)?;
            Verifier::new(algorithm, Material::Ec { curve, point: key })
        }
        ED25519 if parameters.is_none() => Verifier::new(algorithm, Material::Ed25519(key)),
        RSA | ED25519 => Err(UNREADABLE),
        _ => Err(ConfigError::UnsupportedKey("key type")),
    }
}

/// RFC 5480 section 2.1.1: the curve is named. Explicit curve parameters are not allowed.
fn named_curve(algorithm: AlgorithmIdentifierRef<'_>) -> Result<Curve, ConfigError> {
    match algorithm.parameters_oid() {
        Ok(P256) => Ok(Curve::P256),
        Ok(P384) => Ok(Curve::P384),
        Ok(P521) => Ok(Curve::P521),
        _ => Err(ConfigError::UnsupportedKey("elliptic curve")),
    }
}

/// RFC 8017 appendix A.1.1.
fn read_rsa(algorithm: Algorithm, der: &[u8]) -> Result<Verifier, ConfigError> {
    let numbers = Vec::<UintRef<'_>>::from_der(der);
    let Ok([modulus, exponent]) = numbers.as_deref() else {
        return Err(ConfigError::UnreadableKey("an RSAPublicKey"));
    };
    let (modulus, exponent) = (modulus.as_bytes(), exponent.as_bytes());
    Verifier::new(algorithm, Material::Rsa { modulus, exponent })
}
