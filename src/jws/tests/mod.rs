//! Tests of keys and key sets through their public API, each rejection together with an accepted twin.

#[cfg(feature = "jsonwebtoken")]
mod jsonwebtoken_conversion;
mod jwk_reading;
mod pem_der;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use x509_cert::{
    der::{Decode as _, Document},
    spki::SubjectPublicKeyInfoRef,
};

use super::*;
use crate::ConfigError;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../tests/fixtures/keys/", $name))
    };
}
pub(super) use fixture;

/// Asserts that the key is rejected for this reason.
macro_rules! assert_refused {
    ($key:expr, $reason:pat) => {
        match $key {
            Ok(key) => panic!("accepted: {key:?}"),
            Err(reason) => assert!(matches!(reason, $reason), "{reason:?}"),
        }
    };
}
pub(super) use assert_refused;

pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn to_der(pem: &str) -> Vec<u8> {
    Document::from_pem(pem).unwrap().1.into_vec()
}

/// The bits in a `SubjectPublicKeyInfo`: a point, or an `RSAPublicKey`.
pub(super) fn public_bits(pem: &str) -> Vec<u8> {
    let der = to_der(pem);
    let info = SubjectPublicKeyInfoRef::from_der(&der).unwrap();
    info.subject_public_key.as_bytes().unwrap().to_vec()
}

/// A compact JWS, signed by another implementation.
pub(super) fn sign(algorithm: Algorithm, key_id: Option<&str>, key: &EncodingKey) -> String {
    let key_id = key_id.map(|id| format!(r#","kid":"{id}""#)).unwrap_or_default();
    let header = format!(r#"{{"alg":"{algorithm}"{key_id}}}"#);
    let signing_input = format!("{}.{}", base64url(header.as_bytes()), base64url(b"payload"));
    let other = algorithm.name().parse().unwrap();
    let signature = jsonwebtoken::crypto::sign(signing_input.as_bytes(), key, other).unwrap();
    format!("{signing_input}.{signature}")
}

/// The same JWS with one flipped bit in its signature.
pub(super) fn one_bit_off(jws: &str) -> String {
    let (signing_input, signature) = jws.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    signature[10] ^= 1;
    format!("{signing_input}.{}", base64url(&signature))
}

/// Asserts that the key verifies a signature of its private half, and rejects a changed one.
#[track_caller]
fn assert_verifies(key: Key, jws: &str) {
    let keys = KeySet::from(key);
    assert_eq!(keys.verify_compact(jws.as_bytes()).as_deref(), Ok(b"payload".as_slice()));
    let refused = keys.verify_compact(one_bit_off(jws).as_bytes());
    assert_eq!(refused, Err(JwsError::BadSignature));
}

pub(super) fn signed_with_rsa(algorithm: Algorithm) -> String {
    let key = EncodingKey::from_rsa_pem(fixture!("rsa2048.private.pem").as_bytes()).unwrap();
    sign(algorithm, None, &key)
}

fn signed_with_p256() -> String {
    let key = EncodingKey::from_ec_pem(fixture!("p256.private.pem").as_bytes()).unwrap();
    sign(Algorithm::ES256, None, &key)
}

fn signed_with_p384() -> String {
    let key = EncodingKey::from_ec_pem(fixture!("p384.private.pem").as_bytes()).unwrap();
    sign(Algorithm::ES384, None, &key)
}

fn signed_with_ed25519() -> String {
    let key = EncodingKey::from_ed_pem(fixture!("ed25519.private.pem").as_bytes()).unwrap();
    sign(Algorithm::EdDSA, None, &key)
}

const HMAC: [Algorithm; 3] = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

fn hmac_key(algorithm: Algorithm, secret: &[u8]) -> Result<Key, ConfigError> {
    match algorithm {
        Algorithm::HS256 => Key::hs256(secret),
        Algorithm::HS384 => Key::hs384(secret),
        _ => Key::hs512(secret),
    }
}

#[test]
fn a_secret_is_as_long_as_its_hash() {
    for (algorithm, least) in HMAC.into_iter().zip([32, 48, 64]) {
        for length in [0, 1, least - 1] {
            match hmac_key(algorithm, &vec![7; length]) {
                Err(ConfigError::SecretTooShort { length: given, minimum }) => {
                    assert_eq!((given, minimum), (length, least));
                }
                other => panic!("{other:?}"),
            }
        }
        for length in [least, least + 1, 128, 129, 1000] {
            let secret = vec![7; length];
            let jws = sign(algorithm, None, &EncodingKey::from_secret(&secret));
            assert_verifies(hmac_key(algorithm, &secret).unwrap(), &jws);
        }
    }
}

#[test]
fn a_public_key_in_pem_is_not_a_secret() {
    let pem = include_bytes!("../../../tests/fixtures/keys/rsa2048.public.pem");
    for secret in [&pem[..], &[b"\n \t", &pem[..]].concat()] {
        for key in [Key::hs256(secret), Key::allow_short_secret(Algorithm::HS512, secret)] {
            assert!(matches!(key, Err(ConfigError::KeyAlgorithmMismatch(_))));
        }
    }
    assert!(Key::hs256(&pem[1..]).is_ok(), "only what reads as PEM is told");
}

#[test]
fn a_short_secret_is_allowed_by_name_only_and_is_never_empty() {
    for algorithm in HMAC {
        let jws = sign(algorithm, None, &EncodingKey::from_secret(b"s"));
        assert_verifies(Key::allow_short_secret(algorithm, "s").unwrap(), &jws);
        let empty = Key::allow_short_secret(algorithm, "");
        assert_refused!(empty, ConfigError::SecretTooShort { length: 0, minimum: 1 });
    }
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let key = Key::allow_short_secret(algorithm, [7; 64]);
        assert_refused!(key, ConfigError::KeyAlgorithmMismatch(_));
    }
}

#[test]
fn debug_shows_neither_keys_nor_their_ids() {
    let key = Key::hs256("0123456789abcdef0123456789abcdef").unwrap().with_key_id("the-key-id");
    assert_eq!(format!("{key:?}"), "Key { algorithm: HS256, has_key_id: true, .. }");
    let set = KeySet::from(key);
    assert_eq!(format!("{set:?}"), "KeySet { len: 1, refused: 0, .. }");
    let handle = KeySetHandle::new(set);
    assert_eq!(format!("{handle:?}"), "KeySetHandle(KeySet { len: 1, refused: 0, .. })");
}

#[test]
fn keys_and_sets_can_be_shared_by_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Key>();
    shared::<KeySet>();
    shared::<KeySetHandle>();
    shared::<RefusedKey>();
}
