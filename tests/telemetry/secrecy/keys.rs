//! Nothing of keys in the errors that refuse them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_bearer::{Algorithm, ConfigError, Key, KeySet};

use super::{hidden::hidden, marked::SECRET};
use crate::common::tokens::{fixture, jwks_with};

#[test]
fn keys_that_are_refused_are_not_repeated() {
    let secret = std::str::from_utf8(SECRET).unwrap();
    let encoded = URL_SAFE_NO_PAD.encode(SECRET);
    let private_pem = fixture("rsa2048.private.pem");
    let pem_lines = String::from_utf8(private_pem.clone()).unwrap();
    let jwks = jwks_with(r#""kid":"rsa""#, "{}");
    let rsa: serde_json::Value = serde_json::from_str(&jwks).unwrap();
    let modulus = rsa["keys"][0]["n"].as_str().unwrap();

    let mut hidden = hidden([]);
    hidden.add(&encoded);
    hidden.add(modulus);
    for line in pem_lines.lines().filter(|line| line.len() == 64) {
        hidden.add(line);
    }
    let jwk = |members: &str| Key::from_jwk_json(&format!("{{{members}}}"));
    let key_errors = [
        Key::hs256(&SECRET[..31]),
        Key::hs384(&SECRET[..47]),
        Key::hs512(&SECRET[..63]),
        Key::allow_short_secret(Algorithm::RS256, SECRET),
        Key::from_pem(Algorithm::RS256, &private_pem),
        Key::from_pem(Algorithm::ES256, fixture("rsa2048.public.pem")),
        Key::from_pem(Algorithm::RS256, secret),
        Key::from_pem(
            Algorithm::RS256,
            format!("-----BEGIN PUBLIC KEY-----\n{secret}\n-----END PUBLIC KEY-----\n"),
        ),
        Key::from_pem(
            Algorithm::RS256,
            format!("-----BEGIN {secret}-----\nAAAA\n-----END {secret}-----\n"),
        ),
        Key::from_der(Algorithm::RS256, SECRET),
        Key::from_jwk_json(secret),
        jwk(&format!(r#""{secret}":1,"{secret}":2"#)),
        jwk(&format!(r#""kty":"{secret}""#)),
        jwk(&format!(r#""kty":"EC","crv":"{secret}""#)),
        jwk(&format!(r#""kty":"oct","k":"{secret}""#)),
        jwk(&format!(r#""kty":"oct","k":"{encoded}","alg":"{secret}""#)),
        jwk(&format!(r#""kty":"oct","k":"{encoded}","alg":"RS256""#)),
        jwk(&format!(r#""kty":"oct","k":"{encoded}","use":"{secret}""#)),
        jwk(&format!(r#""kty":"oct","k":"{encoded}","key_ops":["{secret}"]"#)),
        jwk(&format!(r#""kty":"oct","k":"{encoded}","kid":["{secret}"]"#)),
        jwk(&format!(r#""kty":"RSA","n":"{modulus}","e":"AQ""#)),
        jwk(&format!(r#""kty":"RSA","n":"{modulus}","e":"AQAB","d":"{encoded}""#)),
        jwk(&format!(r#""kty":"RSA","n":"{encoded}","e":"AQAB""#)),
        jwk(&format!(r#""kty":"EC","crv":"P-256","x":"{encoded}","y":"{encoded}""#)),
        jwk(&format!(r#""kty":"OKP","crv":"Ed25519","x":"{encoded}""#)),
    ];
    for error in key_errors {
        hidden.assert_not_told(&error.unwrap_err());
    }

    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/secrecy-keys.json");
    std::fs::write(file, [SECRET, b"\xff"].concat()).unwrap();
    let no_text = KeySet::from_jwks_file(file).unwrap_err();
    std::fs::write(file, SECRET).unwrap();
    let no_json = KeySet::from_jwks_file(file).unwrap_err();
    let set_errors = [
        no_text,
        no_json,
        KeySet::from_jwks_json(secret).unwrap_err(),
        KeySet::from_jwks_json(&format!(r#"{{"keys":"{secret}"}}"#)).unwrap_err(),
        KeySet::from_jwks_json(&format!(r#"{{"keys":["{secret}"]}}"#)).unwrap_err(),
        KeySet::from_jwks_json(&format!(r#"{{"keys":[],"{secret}":[}}"#)).unwrap_err(),
        secret.parse::<Algorithm>().unwrap_err(),
    ];
    for error in &set_errors {
        hidden.assert_not_told(error);
    }

    // The `kid` of a published key is public, and an event names it.
    let oct = format!(r#"{{"kty":"oct","k":"{encoded}","kid":"published"}}"#);
    let set = KeySet::from_jwks_json(&jwks_with(r#""kid":"rsa""#, &oct)).unwrap();
    let [refused] = set.refused() else { panic!("{:?}", set.refused()) };
    assert!(matches!(refused.reason(), ConfigError::SecretInPublicKeySet));
    hidden.assert_not_printed(refused);
    hidden.assert_not_told(refused.reason());
    hidden.assert_not_printed(&set);
    for key in &set {
        hidden.assert_not_printed(key);
    }
}
