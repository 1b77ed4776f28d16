//! Private keys in PKCS#8 (RFC 5958), in clear.

use x509_cert::{
    der::{
        Decode as _, Tag, Tagged as _,
        asn1::{AnyRef, OctetStringRef},
        pem::{Decoder, LineEnding, encode_string},
    },
    spki::AlgorithmIdentifierRef,
};
use zeroize::Zeroizing;

use super::{
    Algorithm,
    backend::{Public, Secret},
    der::{EC, ED25519, P256, RSA},
};
use crate::ConfigError;

/// Reads exactly one block `PRIVATE KEY`.
pub(super) fn read_pem(algorithm: Algorithm, pem: &[u8]) -> Result<Secret, ConfigError> {
    const ONE_BLOCK: ConfigError = ConfigError::UnreadableKey("exactly one PEM block PRIVATE KEY");
    let pem = pem.trim_ascii();
    if !pem.starts_with(b"-----BEGIN PRIVATE KEY-----") {
        return Err(ONE_BLOCK);
    }
    let mut decoder = Decoder::new_detect_wrap(pem).map_err(|_| ONE_BLOCK)?;
    // All at once: growing would leave pieces behind that nobody wipes.
    let mut der = Zeroizing::new(vec![0; decoder.remaining_len()]);
    decoder.decode(&mut der).map_err(|_| ONE_BLOCK)?;
    read_der(algorithm, der)
}

fn read_der(algorithm: Algorithm, der: Zeroizing<Vec<u8>>) -> Result<Secret, ConfigError> {
    const UNREADABLE: ConfigError = ConfigError::UnreadableKey("a private key in PKCS#8, in clear");
    let elements = Vec::<AnyRef<'_>>::from_der(&der).map_err(|_| UNREADABLE)?;
    let [version, identifier, key, ..] = elements.as_slice() else {
        return Err(UNREADABLE);
    };
    if version.tag() != Tag::Integer || key.tag() != Tag::OctetString {
        return Err(UNREADABLE);
    }
    let identifier: AlgorithmIdentifierRef<'_> = identifier.decode_as().map_err(|_| UNREADABLE)?;
    let number = |bytes: &[u8]| match bytes.len() {
        32 => Ok(Zeroizing::new(bytes.to_vec())),
        _ => Err(ConfigError::KeyLength),
    };
    match (algorithm, identifier.oid) {
        (Algorithm::ES256, EC) if identifier.parameters_oid() == Ok(P256) => {
            // RFC 5915 section 3.
            let parts = Vec::<AnyRef<'_>>::from_der(key.value()).map_err(|_| UNREADABLE)?;
            match parts.get(1) {
                Some(scalar) if scalar.tag() == Tag::OctetString => {
                    number(scalar.value()).map(Secret::P256)
                }
                _ => Err(UNREADABLE),
            }
        }
        (Algorithm::EdDSA, ED25519) => {
            // RFC 8410 section 7: an octet string within the octet string.
            let seed = <&OctetStringRef>::from_der(key.value()).map_err(|_| UNREADABLE)?;
            number(seed.as_bytes()).map(Secret::Ed25519)
        }
        (Algorithm::RS256, RSA) => Ok(Secret::Rsa(der.clone())),
        _ => Err(ConfigError::KeyAlgorithmMismatch(algorithm)),
    }
}

/// `None` where there is nothing to write: an HMAC secret.
pub(super) fn write_pem(secret: &Secret, public: &Public) -> Option<Zeroizing<String>> {
    let der = match (secret, public) {
        (Secret::P256(scalar), Public::Point(point)) => p256_der(scalar, point),
        (Secret::Ed25519(seed), _) => joined(&[&ED25519_HEAD, seed]),
        (Secret::Rsa(der), _) => der.clone(),
        (Secret::P256(_) | Secret::Hmac(_), _) => return None,
    };
    encode_string("PRIVATE KEY", LineEnding::LF, &der).ok().map(Zeroizing::new)
}

/// The form that OpenSSL writes: with the public key, which some readers demand.
fn p256_der(scalar: &[u8], point: &[u8]) -> Zeroizing<Vec<u8>> {
    joined(&[&P256_HEAD, scalar, &P256_MIDDLE, point])
}

/// Everything before the scalar of 32 bytes.
const P256_HEAD: [u8; 36] = [
    0x30, 0x81, 0x87, 0x02, 0x01, 0x00, // PrivateKeyInfo, version 0
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, // id-ecPublicKey
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, // prime256v1
    0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20, // ECPrivateKey, version 1
];

/// Between the scalar and the point of 65 bytes.
const P256_MIDDLE: [u8; 5] = [0xa1, 0x44, 0x03, 0x42, 0x00];

/// Everything before the seed of 32 bytes.
const ED25519_HEAD: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

fn joined(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut whole = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        whole.extend_from_slice(part);
    }
    whole
}
