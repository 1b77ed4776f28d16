//! Keys and tokens for all peers.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tower_bearer::Algorithm;

pub(crate) const ALGORITHMS: [Algorithm; 5] =
    [Algorithm::HS256, Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "api://orders";
pub(crate) const KEY_ID: &str = "2026-11-key-1";
pub(crate) const SECRET: &str = "a secret of the benches, 64 bytes long, so that HS512 takes it.";

/// The peers read the system clock, so these tokens are valid until the year 2100.
const ISSUED_AT: u64 = 1_700_000_000;
const EXPIRES_AT: u64 = 4_102_444_800;

/// Owned claims of five strings, as a handler would use them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: String,
    pub(crate) jti: String,
    pub(crate) scope: String,
    pub(crate) exp: u64,
    pub(crate) iat: u64,
}

/// A typical access token.
pub(crate) fn good_token(algorithm: Algorithm) -> String {
    token(algorithm, ISSUER, AUDIENCE, EXPIRES_AT)
}

/// Tokens that every peer must reject. Each has one error, with the name of that error.
pub(crate) fn bad_tokens(algorithm: Algorithm) -> Vec<(&'static str, String)> {
    vec![
        ("signature", with_bad_signature(&good_token(algorithm))),
        ("issuer", token(algorithm, "https://issuer.invalid", AUDIENCE, EXPIRES_AT)),
        ("audience", token(algorithm, ISSUER, "api://invoices", EXPIRES_AT)),
        ("expiry", token(algorithm, ISSUER, AUDIENCE, ISSUED_AT + 3_600)),
    ]
}

/// The same token with one bit of its signature changed.
pub(crate) fn with_bad_signature(token: &str) -> String {
    let (unsigned, signature) = token.rsplit_once('.').expect("a compact token");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    signature[20] ^= 1;
    format!("{unsigned}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The claims of a valid token, with the algorithm `none`.
pub(crate) fn unsigned_token() -> String {
    let good = good_token(Algorithm::HS256);
    let claims = good.split('.').nth(1).expect("a compact token");
    format!("{}.{claims}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"at+jwt"}"#))
}

fn token(algorithm: Algorithm, iss: &str, aud: &str, exp: u64) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":"{KEY_ID}"}}"#);
    let claims = format!(
        r#"{{"iss":"{iss}","sub":"248289761001","aud":"{aud}","jti":"0b8f1f3e-6a5f-4a53-9b3e-0f6f1b8f7a11","scope":"openid profile orders:read","iat":{ISSUED_AT},"exp":{exp}}}"#
    );
    let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature =
        jsonwebtoken::crypto::sign(input.as_bytes(), &encoding_key(algorithm), peer(algorithm));
    format!("{input}.{}", signature.expect("the test keys are good"))
}

/// The name of the algorithm in jsonwebtoken.
pub(crate) fn peer(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    algorithm.to_string().parse().expect("both know the names of RFC 7518")
}

fn encoding_key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::HS256 => Ok(EncodingKey::from_secret(SECRET.as_bytes())),
        Algorithm::RS256 | Algorithm::PS256 => {
            EncodingKey::from_rsa_pem(pem("rsa2048.private").as_bytes())
        }
        Algorithm::ES256 => EncodingKey::from_ec_pem(pem("p256.private").as_bytes()),
        _ => EncodingKey::from_ed_pem(pem("ed25519.private").as_bytes()),
    }
    .expect("the test keys are good")
}

pub(crate) fn public_pem(algorithm: Algorithm) -> String {
    match algorithm {
        Algorithm::RS256 | Algorithm::PS256 => pem("rsa2048.public"),
        Algorithm::ES256 => pem("p256.public"),
        Algorithm::EdDSA => pem("ed25519.public"),
        other => panic!("{other} has no public key here"),
    }
}

/// The only key of an algorithm as a JWK set.
pub(crate) fn jwks(algorithm: Algorithm) -> String {
    let all: Value = serde_json::from_str(&fixture("jwks.json")).expect("the fixture is JSON");
    let named = |kid: &str| {
        let mut keys = all["keys"].as_array().expect("a JWK set").iter();
        keys.find(|key| key["kid"] == kid).expect("the fixture has this key").clone()
    };
    let mut key = match algorithm {
        Algorithm::HS256 => {
            json!({"kty": "oct", "use": "sig", "k": URL_SAFE_NO_PAD.encode(SECRET)})
        }
        Algorithm::RS256 | Algorithm::PS256 => named("rsa"),
        Algorithm::ES256 => named("p256"),
        _ => named("ed25519"),
    };
    key["kid"] = KEY_ID.into();
    key["alg"] = algorithm.to_string().into();
    json!({ "keys": [key] }).to_string()
}

fn pem(name: &str) -> String {
    fixture(&format!("keys/{name}.pem"))
}

fn fixture(path: &str) -> String {
    let path = format!("{}/../../tests/fixtures/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
