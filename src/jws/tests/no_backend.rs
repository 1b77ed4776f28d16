//! Tests the crate without a cryptographic backend: it compiles, and every constructor returns `NoBackend`.

use super::*;
use crate::ConfigError;

#[test]
fn every_key_constructor_returns_no_backend() {
    let pem = include_str!("../../../tests/fixtures/keys/p256.public.pem");
    for key in [
        Key::hs256([7; 32]),
        Key::hs384("short"),
        Key::hs512([7; 64]),
        Key::allow_short_secret(Algorithm::HS256, "short"),
        Key::from_pem(Algorithm::ES256, pem),
        Key::from_pem(Algorithm::ES256, "no PEM"),
        Key::from_der(Algorithm::ES256, []),
        Key::from_jwk_json("{}"),
    ] {
        assert!(matches!(key, Err(ConfigError::NoBackend)), "{key:?}");
    }
    let keys = KeySet::from_jwks_json(r#"{"keys":[]}"#);
    assert!(matches!(keys, Err(ConfigError::NoBackend)), "{keys:?}");
}

#[test]
fn an_empty_set_verifies_nothing() {
    let refused = KeySet::default().verify_compact(b"eyJhbGciOiJIUzI1NiJ9.e30.AAAA");
    assert_eq!(refused, Err(JwsError::UnknownKey));
}
