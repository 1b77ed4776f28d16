//! Tokens made by another implementation (jsonwebtoken over RustCrypto), from any header and claims text.

#![allow(dead_code, reason = "each test binary uses a part")]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};

/// The HMAC secret of the tests.
pub(crate) const SECRET: &[u8] =
    b"a secret of the tests, 64 bytes long, so that HS512 takes it too";

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs whatever the header and claims are, whatever the header says of the algorithm.
pub(crate) fn sign(algorithm: Algorithm, key: &EncodingKey, header: &str, claims: &str) -> String {
    let signing_input = format!("{}.{}", base64url(header), base64url(claims));
    let signature = jsonwebtoken::crypto::sign(signing_input.as_bytes(), key, algorithm).unwrap();
    format!("{signing_input}.{signature}")
}

pub(crate) fn sign_hs256_with(secret: &[u8], header: &str, claims: &str) -> String {
    sign(Algorithm::HS256, &EncodingKey::from_secret(secret), header, claims)
}

pub(crate) fn sign_hs256(header: &str, claims: &str) -> String {
    sign_hs256_with(SECRET, header, claims)
}

/// The test key of this name from `tests/fixtures/keys`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    // A member of the workspace uses the fixtures of the top folder.
    let folders = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut paths = folders.map(|folder| folder.join("tests/fixtures/keys").join(name));
    let path = paths.find(|path| path.exists()).unwrap_or_else(|| panic!("no fixture {name}"));
    std::fs::read(path).unwrap()
}

pub(crate) fn rsa_key() -> EncodingKey {
    EncodingKey::from_rsa_pem(&fixture("rsa2048.private.pem")).unwrap()
}

pub(crate) fn p256_key() -> EncodingKey {
    EncodingKey::from_ec_pem(&fixture("p256.private.pem")).unwrap()
}

pub(crate) fn p384_key() -> EncodingKey {
    EncodingKey::from_ec_pem(&fixture("p384.private.pem")).unwrap()
}

pub(crate) fn ed25519_key() -> EncodingKey {
    EncodingKey::from_ed_pem(&fixture("ed25519.private.pem")).unwrap()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    sha2::Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

use sha2::Digest;

/// Runs a future to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The public half of [`rsa_key`] as a JWK set: with these further members, and beside these further keys.
pub(crate) fn jwks_with(members: &str, other_keys: &str) -> String {
    let keys: serde_json::Value = serde_json::from_slice(&fixture("../jwks.json")).unwrap();
    let rsa = &keys["keys"][0];
    assert_eq!(rsa["kid"], "rsa");
    format!(
        r#"{{"keys":[{{"kty":"RSA","n":{},"e":{},{members}}},{other_keys}]}}"#,
        rsa["n"], rsa["e"]
    )
}
