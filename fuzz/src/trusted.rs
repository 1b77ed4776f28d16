//! Calls the crate: the keys that `policy` trusts, and authenticators with default settings.

use tower_bearer::{
    Algorithm, Authenticator, AuthenticatorBuilder, Issuer, Key, KeySet, claims::Clock,
};

use crate::{
    AUDIENCE, ISSUER,
    signer::{ED25519_PUBLIC, P256_PUBLIC, SECRET},
};

pub fn keys() -> KeySet {
    KeySet::new([
        Key::hs256(SECRET).unwrap().with_key_id("hs"),
        Key::from_pem(Algorithm::ES256, P256_PUBLIC).unwrap().with_key_id("es"),
        Key::from_pem(Algorithm::EdDSA, ED25519_PUBLIC).unwrap(),
    ])
}

pub fn issuer(keys: KeySet) -> Issuer {
    Issuer::new(ISSUER, keys).audience(AUDIENCE)
}

pub fn builder(clock: impl Clock) -> AuthenticatorBuilder {
    Authenticator::builder().issuer(issuer(keys())).with_clock(clock)
}
