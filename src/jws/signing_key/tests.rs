#![cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]

use super::*;
use crate::KeySet;

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
fn what_is_signed_verifies_under_its_id_and_under_no_other_key() {
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
