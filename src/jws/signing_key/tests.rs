#![cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]

use x509_cert::der::pem::{LineEnding, encode_string};

use super::*;
use crate::{KeySet, jws::tests::fixture};

const ED25519: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
    -----END PRIVATE KEY-----\n";

fn every_key() -> Vec<SigningKey> {
    let algorithms: &[Algorithm] = if cfg!(feature = "aws-lc-rs") {
        &[Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256, Algorithm::RS256]
    } else {
        &[Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256]
    };
    algorithms.iter().map(|algorithm| SigningKey::generate(*algorithm).unwrap()).collect()
}

#[test]
fn a_signature_verifies_under_its_id_and_no_other_key() {
    for key in every_key() {
        let token = key.sign("at+jwt", r#"{"sub":"x"}"#).unwrap();
        let set = KeySet::from(key.verifying_key());
        assert_eq!(set.verify_compact(token.as_bytes()).unwrap(), br#"{"sub":"x"}"#);
        let other = SigningKey::generate(key.algorithm()).unwrap();
        assert!(KeySet::from(other.verifying_key()).verify_compact(token.as_bytes()).is_err());
        let tampered = token.replacen(&token[token.len() - 8..], "AAAAAAAA", 1);
        assert!(set.verify_compact(tampered.as_bytes()).is_err());
    }
}

#[test]
fn the_public_half_is_a_jwk_that_verifies_and_holds_no_secret() {
    for key in every_key() {
        let token = key.sign("at+jwt", "{}").unwrap();
        match key.public_jwk_json() {
            None => assert_eq!(key.algorithm(), Algorithm::HS256),
            Some(jwk) => {
                let set = KeySet::from_jwks_json(&format!(r#"{{"keys":[{jwk}]}}"#)).unwrap();
                assert!(set.verify_compact(token.as_bytes()).is_ok());
                assert!(!jwk.contains(r#""d""#));
                assert!(jwk.contains(r#""use":"sig""#));
            }
        }
    }
}

#[test]
fn a_key_that_is_written_and_read_is_the_same_key() {
    for key in every_key() {
        let Some(pem) = key.to_pkcs8_pem() else { continue };
        let read = SigningKey::from_pkcs8_pem(key.algorithm(), pem.as_bytes()).unwrap();
        assert_eq!(read.key_id(), key.key_id());
        let token = read.sign("at+jwt", "{}").unwrap();
        assert!(KeySet::from(key.verifying_key()).verify_compact(token.as_bytes()).is_ok());
    }
}

#[test]
fn keys_are_written_as_openssl_writes_them() {
    for (algorithm, pem) in [
        (Algorithm::ES256, fixture!("p256.private.pem")),
        (Algorithm::EdDSA, fixture!("ed25519.private.pem")),
        #[cfg(feature = "aws-lc-rs")]
        (Algorithm::RS256, fixture!("rsa2048.private.pem")),
    ] {
        let key = SigningKey::from_pkcs8_pem(algorithm, pem).unwrap();
        assert_eq!(key.to_pkcs8_pem().unwrap().as_str(), pem, "{algorithm}");
    }
}

/// RFC 8410 section 10.3: the same key twice. The second form has an attribute and the public key.
#[test]
fn a_second_version_with_attributes_and_public_key_is_read() {
    let first = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
    let second = "MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB\n\
        Z9w7lshQhqowtrbLDFw4rXAxZuE=";
    let [first, second] = [first, second].map(|text| {
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        SigningKey::from_pkcs8_pem(Algorithm::EdDSA, pem).unwrap()
    });
    assert_eq!(first.key_id(), second.key_id());
}

/// DER of one element.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap();
    let head = if length < 128 { vec![tag, length] } else { vec![tag, 0x81, length] };
    [head, content.to_vec()].concat()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &parts.concat())
}

const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const ED: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
const VERSIONS: [&[u8]; 3] = [&[0x02, 0x01, 0x00], &[0x02, 0x01, 0x01], &[0x02, 0x01, 0x02]];

/// An `ECPrivateKey` (RFC 5915) with this scalar.
fn sec1(version: usize, scalar: &[u8], more: &[u8]) -> Vec<u8> {
    sequence(&[VERSIONS[version], &element(4, scalar), more])
}

/// A `PrivateKeyInfo` (RFC 5958).
fn pkcs8(version: usize, algorithm: &[&[u8]], key: &[u8], more: &[u8]) -> Vec<u8> {
    sequence(&[VERSIONS[version], &sequence(algorithm), &element(4, key), more])
}

fn read(algorithm: Algorithm, der: &[u8]) -> Result<SigningKey, ConfigError> {
    let pem = encode_string("PRIVATE KEY", LineEnding::LF, der).unwrap();
    SigningKey::from_pkcs8_pem(algorithm, pem)
}

#[test]
fn der_that_breaks_the_standards_is_rejected() {
    let (scalar, named) = ([7; 32], element(0xa0, P256));
    let key = sec1(1, &scalar, &named);
    let good = pkcs8(0, &[EC, P256], &key, &[]);
    assert!(read(Algorithm::ES256, &good).is_ok());
    let public = element(0x81, &[0; 66]);
    assert!(read(Algorithm::ES256, &pkcs8(1, &[EC, P256], &key, &public)).is_ok());

    let mut long_length = good.clone();
    long_length.splice(1..2, [0x81, good[1]]);
    let bit_string = sequence(&[VERSIONS[0], &sequence(&[EC, P256]), &element(3, &key)]);
    for (what, der) in [
        ("unknown version", pkcs8(2, &[EC, P256], &key, &[])),
        ("version 2 without public key", pkcs8(1, &[EC, P256], &key, &[])),
        ("version 1 with public key", pkcs8(0, &[EC, P256], &key, &public)),
        ("public key with an explicit tag", pkcs8(1, &[EC, P256], &key, &element(0xa1, &public))),
        ("bytes after it", [good.as_slice(), &[0]].concat()),
        ("another element in it", pkcs8(0, &[EC, P256], &key, &[5, 0])),
        ("bytes after the inner key", pkcs8(0, &[EC, P256], &[&*key, &[0]].concat(), &[])),
        ("another element in the inner key", {
            pkcs8(0, &[EC, P256], &sec1(1, &scalar, &[5, 0]), &[])
        }),
        ("inner version 0", pkcs8(0, &[EC, P256], &sec1(0, &scalar, &[]), &[])),
        ("inner version 2", pkcs8(0, &[EC, P256], &sec1(2, &scalar, &[]), &[])),
        ("a length that is not the shortest", long_length),
        ("a bit string for an octet string", bit_string),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("a scalar of zero", pkcs8(0, &[EC, P256], &sec1(1, &[0; 32], &[]), &[])),
        ("a scalar above the order", pkcs8(0, &[EC, P256], &sec1(1, &[255; 32], &[]), &[])),
    ] {
        let rejected = read(Algorithm::ES256, &der);
        assert!(matches!(rejected, Err(ConfigError::UnreadableKey(_))), "{what}: {rejected:?}");
    }
    let seed = pkcs8(0, &[ED], &[7; 32], &[]);
    let bare = read(Algorithm::EdDSA, &seed);
    assert!(matches!(bare, Err(ConfigError::UnreadableKey(_))), "not in an octet string: {bare:?}");
}

#[test]
fn the_curve_is_checked_outside_and_inside_and_the_length_as_well() {
    let p256 = |key: &[u8]| read(Algorithm::ES256, &pkcs8(0, &[EC, P256], key, &[]));
    for parameters in [vec![], element(0xa0, P256)] {
        assert!(p256(&sec1(1, &[7; 32], &parameters)).is_ok());
    }
    let good = sec1(1, &[7; 32], &[]);
    for rejected in [
        p256(&sec1(1, &[7; 32], &element(0xa0, P384))),
        read(Algorithm::ES256, &pkcs8(0, &[EC, P384], &good, &[])),
        read(Algorithm::ES256, &pkcs8(0, &[EC], &good, &[])),
        read(Algorithm::EdDSA, &pkcs8(0, &[EC, P256], &good, &[])),
        read(Algorithm::ES384, &pkcs8(0, &[EC, P256], &good, &[])),
    ] {
        assert!(matches!(rejected, Err(ConfigError::KeyAlgorithmMismatch(_))), "{rejected:?}");
    }
    for length in [0, 31, 33, 64] {
        let number = vec![7; length];
        let seed = pkcs8(0, &[ED], &element(4, &number), &[]);
        for rejected in [p256(&sec1(1, &number, &[])), read(Algorithm::EdDSA, &seed)] {
            assert!(matches!(rejected, Err(ConfigError::KeyLength)), "{length}: {rejected:?}");
        }
    }
}

#[test]
fn only_one_block_of_pkcs8_that_is_not_encrypted_is_read() {
    let good = fixture!("p256.private.pem");
    assert!(SigningKey::from_pkcs8_pem(Algorithm::ES256, format!("\n {good}\n")).is_ok());
    for pem in [
        fixture!("p256.private.sec1.pem"),
        fixture!("p256.private.encrypted.pem"),
        fixture!("p256.public.pem"),
        &format!("{good}{good}"),
        &format!("{good}x"),
        &format!("x{good}"),
        &good.replace("END PRIVATE KEY", "END PUBLIC KEY"),
    ] {
        let rejected = SigningKey::from_pkcs8_pem(Algorithm::ES256, pem);
        assert!(matches!(rejected, Err(ConfigError::UnreadableKey(_))), "{pem}: {rejected:?}");
    }
    let rsa = SigningKey::from_pkcs8_pem(Algorithm::RS256, fixture!("rsa2048.private.pkcs1.pem"));
    assert!(matches!(rsa, Err(ConfigError::UnreadableKey(_))), "{rsa:?}");
}

#[test]
fn the_id_is_the_thumbprint_of_rfc_8037_appendix_a_3() {
    let key = SigningKey::from_pkcs8_pem(Algorithm::EdDSA, ED25519).unwrap();
    assert_eq!(key.key_id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(key.with_key_id("mine").verifying_key().key_id(), Some("mine"));
}

#[test]
fn the_id_of_a_secret_is_the_same_for_the_same_secret_only() {
    let id = |secret: [u8; 32]| SigningKey::hs256(secret).unwrap().key_id().to_owned();
    assert_eq!(id([7; 32]), id([7; 32]));
    assert_ne!(id([7; 32]), id([8; 32]));
}

#[test]
fn a_key_is_refused_for_another_algorithm_and_in_another_form() {
    let wrong = SigningKey::from_pkcs8_pem(Algorithm::ES256, ED25519).unwrap_err();
    assert!(matches!(wrong, ConfigError::KeyAlgorithmMismatch(Algorithm::ES256)));
    for text in ["", "nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
        let unreadable = SigningKey::from_pkcs8_pem(Algorithm::EdDSA, text).unwrap_err();
        assert!(matches!(unreadable, ConfigError::UnreadableKey(_)), "{text:?}");
    }
    assert!(SigningKey::generate(Algorithm::PS512).is_err());
    assert!(matches!(SigningKey::hs256([7; 31]), Err(ConfigError::SecretTooShort { .. })));
}

#[test]
fn debug_shows_algorithm_and_id_only() {
    let key = SigningKey::hs256([7; 32]).unwrap().with_key_id("k");
    assert_eq!(format!("{key:?}"), r#"SigningKey { algorithm: HS256, key_id: "k", .. }"#);
}
