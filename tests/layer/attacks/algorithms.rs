//! Rows 1 to 5, and 16: which algorithm is used is the key's decision, never the token's.

use jsonwebtoken::{Algorithm, EncodingKey};
use tower_bearer::{Key, KeySet, RejectionKind};

use super::{
    forge::{
        CLAIMS, authenticate_with, eddsa, es256, hs256, issuer_with, parts, rs256, sign_with_secret,
    },
    server::Server,
};
use crate::common::tokens::{SECRET, base64url, fixture, jwks_with, p384_key, rsa_key, sign};

fn public_key(algorithm: tower_bearer::Algorithm, file: &str) -> Key {
    Key::from_pem(algorithm, fixture(file)).unwrap()
}

fn rsa() -> Key {
    public_key(tower_bearer::Algorithm::RS256, "rsa2048.public.pem")
}

/// A server for each kind of key, with a good token for it.
async fn servers() -> [(Server, String); 4] {
    let p256 = public_key(tower_bearer::Algorithm::ES256, "p256.public.pem");
    let ed25519 = public_key(tower_bearer::Algorithm::EdDSA, "ed25519.public.pem");
    [
        (Server::start().await, hs256(r#"{"alg":"HS256"}"#)),
        (Server::trusting([issuer_with(rsa())]).await, rs256(r#"{"alg":"RS256"}"#)),
        (Server::trusting([issuer_with(p256)]).await, es256(r#"{"alg":"ES256"}"#)),
        (Server::trusting([issuer_with(ed25519)]).await, eddsa(r#"{"alg":"EdDSA"}"#)),
    ]
}

/// The signature of `good` under another header, the code of the right secret, one byte, and none.
fn unsigned(header: &str, good: &str) -> ([String; 3], String) {
    let signing_input = format!("{}.{}", base64url(header), base64url(CLAIMS));
    let forged = [
        format!("{signing_input}.{}", parts(good)[2]),
        hs256(header),
        format!("{signing_input}.AA"),
    ];
    (forged, format!("{signing_input}."))
}

#[tokio::test]
async fn row_01_a_token_without_a_signature_is_rejected() {
    for (server, good) in servers().await {
        server.assert_admitted(&good).await;
        for header in [r#"{"alg":"none"}"#, r#"{"typ":"JWT","alg":"none"}"#] {
            let (forged, empty) = unsigned(header, &good);
            for token in forged {
                server.assert_refused(&token, RejectionKind::UnsupportedAlgorithm).await;
            }
            server.assert_refused(&empty, RejectionKind::MalformedToken).await;
            let without_its_dot = empty.trim_end_matches('.');
            server.assert_refused(without_its_dot, RejectionKind::MalformedToken).await;
        }
        // The signature taken off a token whose header names an algorithm.
        let [header, claims, _] = parts(&good);
        for token in [format!("{header}.{claims}."), format!("{header}.{claims}")] {
            server.assert_refused(&token, RejectionKind::MalformedToken).await;
        }
    }
}

#[tokio::test]
async fn row_02_other_spellings_of_none_and_of_algorithms_are_unknown() {
    for (server, good) in servers().await {
        server.assert_admitted(&good).await;
        for name in ["None", "NONE", "nOnE", "none ", " none", "\\u006eone", "n\\u006Fne"] {
            let (forged, empty) = unsigned(&format!(r#"{{"alg":"{name}"}}"#), &good);
            for token in forged {
                server.assert_refused(&token, RejectionKind::UnsupportedAlgorithm).await;
            }
            server.assert_refused(&empty, RejectionKind::MalformedToken).await;
        }
    }
    let server = Server::start().await;
    for name in ["hs256", "Hs256", "HS-256", "HS2560", "HS25", "HMAC-SHA256", "http://HS256"] {
        let token = hs256(&format!(r#"{{"alg":"{name}"}}"#));
        server.assert_refused(&token, RejectionKind::UnsupportedAlgorithm).await;
    }
}

#[tokio::test]
async fn row_03_an_alg_that_is_not_a_name_is_rejected() {
    let server = Server::start().await;
    server.assert_admitted(&hs256(r#"{"alg":"HS256"}"#)).await;
    for header in [
        "{}",
        r#"{"typ":"JWT"}"#,
        r#"{"alg":null}"#,
        r#"{"alg":0}"#,
        r#"{"alg":256}"#,
        r#"{"alg":true}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":{"HS256":"HS256"}}"#,
        r#"{"ALG":"HS256"}"#,
    ] {
        server.assert_refused(&hs256(header), RejectionKind::MalformedHeader).await;
    }
    for header in [
        r#"{"alg":""}"#,
        r#"{"alg":"HS256 "}"#,
        r#"{"alg":" HS256"}"#,
        r#"{"alg":"HS256\u0000"}"#,
        r#"{"alg":"HS256\n"}"#,
        r#"{"alg":"HS256,RS256"}"#,
    ] {
        server.assert_refused(&hs256(header), RejectionKind::UnsupportedAlgorithm).await;
    }
    // Raw control characters are no JSON.
    server.assert_refused(&hs256("{\"alg\":\"HS256\0\"}"), RejectionKind::MalformedHeader).await;
}

/// Every text of the public key that a server might hold.
fn texts_of_the_public_key() -> Vec<Vec<u8>> {
    let pem = fixture("rsa2048.public.pem");
    let trimmed = pem.trim_ascii().to_vec();
    let text = String::from_utf8(trimmed.clone()).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &body).unwrap();
    let jwks = jwks_with(r#""kid":"rsa""#, "");
    let jwk = jwks.strip_prefix(r#"{"keys":["#).unwrap().strip_suffix(",]}").unwrap();
    vec![
        pem,
        trimmed,
        format!("{text}\n\n").into_bytes(),
        format!(" {text}\n").into_bytes(),
        format!("\n{text}").into_bytes(),
        format!("{}\r\n", text.replace('\n', "\r\n")).into_bytes(),
        fixture("rsa2048.pkcs1.pem"),
        fixture("rsa2048.certificate.pem"),
        der.clone(),
        der[24..].to_vec(),
        body.clone().into_bytes(),
        body.trim_end_matches('=').replace('+', "-").replace('/', "_").into_bytes(),
        base64url(&text).into_bytes(),
        ["\u{feff}", &text].concat().into_bytes(),
        ["\u{feff} \r\n\t", &text].concat().into_bytes(),
        ["a comment\n", &text].concat().into_bytes(),
        utf_16(&text),
        jwk.as_bytes().to_vec(),
        ["\u{feff}\n", jwk].concat().into_bytes(),
        jwks_with(r#""kid":"rsa""#, "{}").into_bytes(),
        base64url(jwk).into_bytes(),
    ]
}

/// As some editors write it: a byte order mark, then two bytes for each character.
fn utf_16(text: &str) -> Vec<u8> {
    ["\u{feff}", text].concat().encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// What of a public key does not tell that it is one.
fn bare_numbers_of_the_public_key() -> Vec<u8> {
    let jwks: serde_json::Value = serde_json::from_str(&jwks_with(r#""kid":"rsa""#, "{}")).unwrap();
    jwks["keys"][0]["n"].as_str().unwrap().as_bytes().to_vec()
}

#[tokio::test]
async fn row_04_a_public_key_is_not_an_hmac_secret() {
    let mixed = KeySet::new([rsa(), Key::hs256(SECRET).unwrap()]);
    let named =
        KeySet::new([rsa().with_key_id("rsa"), Key::hs256(SECRET).unwrap().with_key_id("hmac")]);
    for (keys, kid, kind) in [
        (KeySet::from(rsa()), "", RejectionKind::AlgorithmMismatch),
        (mixed, "", RejectionKind::BadSignature),
        (named, r#","kid":"rsa""#, RejectionKind::AlgorithmMismatch),
    ] {
        let server = Server::trusting([issuer_with(keys)]).await;
        server.assert_admitted(&rs256(&format!(r#"{{"alg":"RS256"{kid}}}"#))).await;
        for secret in
            texts_of_the_public_key().into_iter().chain([bare_numbers_of_the_public_key()])
        {
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let header = format!(r#"{{"alg":"{algorithm:?}"{kid}}}"#);
                let signing_input = format!("{}.{}", base64url(header), base64url(CLAIMS));
                let token = authenticate_with(algorithm, &secret, &signing_input);
                // Nothing trusts HS384 and HS512 here, so those never come as far as a signature.
                let kind = if algorithm == Algorithm::HS256 {
                    kind
                } else {
                    RejectionKind::AlgorithmMismatch
                };
                server.assert_refused(&token, kind).await;
            }
        }
    }
}

#[test]
fn row_04_a_public_key_is_not_loaded_for_hmac() {
    use tower_bearer::{Algorithm, ConfigError};

    let pem = fixture("rsa2048.public.pem");
    assert!(Key::from_pem(Algorithm::RS256, &pem).is_ok());
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        assert!(matches!(
            Key::from_pem(algorithm, &pem),
            Err(ConfigError::KeyAlgorithmMismatch(_))
        ));
    }
    let others = [
        "p256.public.pem",
        "p256.certificate.pem",
        "p521.public.pem",
        "ed25519.public.pem",
        "x25519.public.pem",
        "rsa-pss.public.pem",
    ];
    for secret in texts_of_the_public_key().into_iter().chain(others.map(fixture)) {
        for loaded in [
            Key::hs256(&secret),
            Key::hs384(&secret),
            Key::hs512(&secret),
            Key::allow_short_secret(Algorithm::HS256, &secret),
            Key::from_jwk_json(&format!(r#"{{"kty":"oct","k":"{}"}}"#, base64url(&secret))),
        ] {
            let shown = secret.escape_ascii();
            assert!(matches!(loaded, Err(ConfigError::KeyAlgorithmMismatch(_))), "{shown}");
        }
    }
    // DER of 44 bytes, which is too short for the other hashes.
    let text = String::from_utf8(fixture("ed25519.public.pem")).unwrap();
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, &body).unwrap();
    for secret in [body.as_bytes(), &der] {
        assert!(matches!(Key::hs256(secret), Err(ConfigError::KeyAlgorithmMismatch(_))));
    }
}

#[test]
fn row_04_a_secret_that_only_resembles_a_public_key_is_loaded() {
    let random: Vec<u8> = (0..64_u8).map(|byte| byte.wrapping_mul(151).wrapping_add(48)).collect();
    for secret in [
        random.clone(),
        base64url(&random).into_bytes(),
        [b"0", &random[..]].concat(),
        [b"\xEF\xBB\xBF", &random[..]].concat(),
        b"{a secret of braces and more than sixty-four characters, but not JSON}".to_vec(),
        b"-----a line of dashes before a secret that has more than 64 bytes-----".to_vec(),
        bare_numbers_of_the_public_key(),
    ] {
        for loaded in [Key::hs256(&secret), Key::hs384(&secret), Key::hs512(&secret)] {
            assert!(loaded.is_ok(), "{}", secret.escape_ascii());
        }
    }
}

#[tokio::test]
async fn row_05_an_rsa_key_without_alg_is_not_an_empty_hmac_secret() {
    let keys = KeySet::from_jwks_json(&jwks_with(r#""kid":"rsa""#, "{}")).unwrap();
    let server = Server::trusting([issuer_with(keys)]).await;
    for kid in ["", r#","kid":"rsa""#] {
        server.assert_admitted(&rs256(&format!(r#"{{"alg":"RS256"{kid}}}"#))).await;
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = format!(r#"{{"alg":"{algorithm:?}"{kid}}}"#);
            let signing_input = format!("{}.{}", base64url(header), base64url(CLAIMS));
            let token = authenticate_with(algorithm, b"", &signing_input);
            server.assert_refused(&token, RejectionKind::AlgorithmMismatch).await;
        }
    }
}

#[tokio::test]
async fn row_16_a_key_verifies_its_own_algorithm_only() {
    for (server, good) in servers().await {
        server.assert_admitted(&good).await;
        let own = server_algorithm(&good);
        let rsa = rsa_key();
        for (algorithm, key) in [
            (Algorithm::HS256, EncodingKey::from_secret(SECRET)),
            (Algorithm::HS384, EncodingKey::from_secret(SECRET)),
            (Algorithm::HS512, EncodingKey::from_secret(SECRET)),
            (Algorithm::RS256, rsa.clone()),
            (Algorithm::RS384, rsa.clone()),
            (Algorithm::RS512, rsa.clone()),
            (Algorithm::PS256, rsa.clone()),
            (Algorithm::PS384, rsa.clone()),
            (Algorithm::PS512, rsa.clone()),
            (Algorithm::ES384, p384_key()),
        ] {
            let name = format!("{algorithm:?}");
            if name == own {
                continue;
            }
            let token = sign(algorithm, &key, &format!(r#"{{"alg":"{name}"}}"#), CLAIMS);
            server.assert_refused(&token, RejectionKind::AlgorithmMismatch).await;
            // The same signature under the name that the server trusts.
            let disguised = sign(algorithm, &key, &format!(r#"{{"alg":"{own}"}}"#), CLAIMS);
            server.assert_refused(&disguised, RejectionKind::BadSignature).await;
        }
    }
}

/// The name of the algorithm in a token's header.
fn server_algorithm(token: &str) -> String {
    let header =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, parts(token)[0]);
    let header: serde_json::Value = serde_json::from_slice(&header.unwrap()).unwrap();
    header["alg"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn row_16_two_keys_of_one_id_keep_their_algorithms() {
    let keys = KeySet::new([
        Key::hs256(SECRET).unwrap().with_key_id("k"),
        Key::hs512(SECRET).unwrap().with_key_id("k"),
    ]);
    let server = Server::trusting([issuer_with(keys)]).await;
    server.assert_admitted(&sign_with_secret(r#"{"alg":"HS256","kid":"k"}"#, CLAIMS)).await;
    let signing_input = |alg: &str| {
        format!("{}.{}", base64url(format!(r#"{{"alg":"{alg}","kid":"k"}}"#)), base64url(CLAIMS))
    };
    let hs512 = authenticate_with(Algorithm::HS512, SECRET, &signing_input("HS512"));
    server.assert_admitted(&hs512).await;
    let hs384 = authenticate_with(Algorithm::HS384, SECRET, &signing_input("HS384"));
    server.assert_refused(&hs384, RejectionKind::AlgorithmMismatch).await;
    // HS256's code under the name of HS512.
    let disguised = authenticate_with(Algorithm::HS256, SECRET, &signing_input("HS512"));
    server.assert_refused(&disguised, RejectionKind::BadSignature).await;
}
