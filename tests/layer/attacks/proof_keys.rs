//! Row 79, keys and signatures of proofs: each algorithm with a key of another implementation, forged signatures, weak
//! keys, and JSON with two members of one name (RFC 9449 sections 4.2 and 4.3, checks 2, 5, 6 and 7).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm as Theirs, EncodingKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tower_bearer::{Algorithm, Key, RejectionKind};

use super::{
    dpop::{assert_refuses, lines, serving, unrecorded},
    forge::{authenticate_with, with_signature},
    server::Server,
};
use crate::common::{
    requests::{NOW, token_with},
    tokens::{base64url, ed25519_key, fixture, p256_key, p384_key, rsa_key, sign},
};

/// A client whose key and proofs were made by other implementations.
struct Foreign {
    alg: Theirs,
    key: EncodingKey,
    jwk: String,
    token: String,
}

impl Foreign {
    fn new(alg: Theirs, key: EncodingKey, jwk: Value, public: &Key) -> Self {
        let cnf = format!(r#""exp":{},"cnf":{{"jkt":"{}"}}"#, NOW + 60, public.thumbprint());
        Self { alg, key, jwk: jwk.to_string(), token: token_with(&cnf) }
    }

    fn p256() -> Self {
        let public = fixture("p256.public.pem");
        let jwk = ec_jwk("P-256", &public, 32);
        let public = Key::from_pem(Algorithm::ES256, public).unwrap();
        Self::new(Theirs::ES256, p256_key(), jwk, &public)
    }

    fn header(&self) -> String {
        format!(r#"{{"typ":"dpop+jwt","alg":"{:?}","jwk":{}}}"#, self.alg, self.jwk)
    }

    fn claims(&self) -> String {
        let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&self.token));
        format!(
            r#"{{"jti":"a","htm":"GET","htu":"https://api.example/","iat":{NOW},"ath":"{hash}"}}"#
        )
    }

    fn lines(&self, header: &str, claims: &str) -> String {
        lines(&self.token, &sign(self.alg, &self.key, header, claims))
    }
}

/// The coordinates are at the end of an uncompressed key in DER.
fn ec_jwk(curve: &str, pem: &[u8], length: usize) -> Value {
    let der = der_of(pem);
    let (rest, y) = der.split_at(der.len() - length);
    let x = &rest[rest.len() - length..];
    json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
}

fn der_of(pem: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(pem).unwrap();
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(base64).unwrap()
}

fn rsa_jwk() -> Value {
    let set: Value = serde_json::from_slice(&fixture("../jwks.json")).unwrap();
    let key = &set["keys"][0];
    json!({ "kty": "RSA", "n": key["n"], "e": key["e"] })
}

#[tokio::test]
async fn row_79_proofs_of_other_implementations_pass_with_each_algorithm() {
    let server = serving(unrecorded()).await;
    let read = |algorithm, file| Key::from_pem(algorithm, fixture(file)).unwrap();
    let p384 = fixture("p384.public.pem");
    let ed25519 = der_of(&fixture("ed25519.public.pem"));
    let x = base64url(&ed25519[ed25519.len() - 32..]);
    let okp = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
    let rsa = |alg, algorithm| {
        Foreign::new(alg, rsa_key(), rsa_jwk(), &read(algorithm, "rsa2048.public.pem"))
    };
    for client in [
        Foreign::p256(),
        Foreign::new(
            Theirs::ES384,
            p384_key(),
            ec_jwk("P-384", &p384, 48),
            &read(Algorithm::ES384, "p384.public.pem"),
        ),
        Foreign::new(
            Theirs::EdDSA,
            ed25519_key(),
            okp,
            &read(Algorithm::EdDSA, "ed25519.public.pem"),
        ),
        rsa(Theirs::RS256, Algorithm::RS256),
        rsa(Theirs::PS256, Algorithm::PS256),
    ] {
        let (header, claims) = (client.header(), client.claims());
        server.assert_passes(client.lines(&header, &claims)).await;
        let other = client.lines(&header, &claims.replace("\"GET\"", "\"POST\""));
        assert_refuses(&server, &other, RejectionKind::WrongProofTarget).await;
        // None of them is listed.
        let name = format!("{:?}", client.alg);
        for alg in ["RS384", "ES512", "none"] {
            let other = client.lines(&header.replace(&name, alg), &claims);
            assert_refuses(&server, &other, RejectionKind::MalformedProof).await;
        }
    }
    // Both are algorithms of the key, as its `jwk` has no `alg`.
    let client = rsa(Theirs::RS256, Algorithm::RS256);
    let other = client.lines(&client.header().replace("RS256", "PS256"), &client.claims());
    assert_refuses(&server, &other, RejectionKind::BadProofSignature).await;
}

async fn p256_server() -> (Server, Foreign, String) {
    let (server, client) = (serving(unrecorded()).await, Foreign::p256());
    let proof = sign(client.alg, &client.key, &client.header(), &client.claims());
    server.assert_passes(lines(&client.token, &proof)).await;
    (server, client, proof)
}

#[tokio::test]
async fn row_79_a_forged_signature_of_a_proof_is_not_accepted() {
    let (server, client, proof) = p256_server().await;
    let jwk: Value = serde_json::from_str(&client.jwk).unwrap();
    let x = jwk["x"].as_str().unwrap();
    // The public key as the secret of an HMAC.
    let header = client.header().replace("ES256", "HS256");
    let input = format!("{}.{}", base64url(&header), base64url(client.claims()));
    for secret in [
        x.as_bytes().to_vec(),
        URL_SAFE_NO_PAD.decode(x).unwrap(),
        client.jwk.clone().into_bytes(),
        fixture("p256.public.pem"),
    ] {
        let forged = authenticate_with(Theirs::HS256, &secret, &input);
        assert_refuses(&server, &lines(&client.token, &forged), RejectionKind::MalformedProof)
            .await;
    }
    let header = client.header().replace("ES256", "none");
    let unsigned = format!("{}.{}.", base64url(header), base64url(client.claims()));
    assert_refuses(&server, &lines(&client.token, &unsigned), RejectionKind::MalformedProof).await;
    // Zeros (CVE-2022-21449), the order of the curve, another length, and the form of DER.
    let order = super::forge::numbers::p256_order();
    for signature in [vec![0; 64], [&*order, &*order].concat(), vec![1; 63], vec![0x30; 70]] {
        let forged = lines(&client.token, &with_signature(&proof, &signature));
        assert_refuses(&server, &forged, RejectionKind::BadProofSignature).await;
    }
}

#[tokio::test]
async fn row_79_two_members_of_one_name_make_a_proof_invalid() {
    let (server, client, _) = p256_server().await;
    let (header, claims) = (client.header(), client.claims());
    // A name with an escape is the same name.
    server.assert_passes(client.lines(&header, &claims.replace("htm", r"ht\u006d"))).await;
    let malformed = RejectionKind::MalformedProof;
    for member in [r#""typ":"dpop+jwt""#, r#""alg":"ES256""#, r#""jwk":{}"#, r#""al\u0067":"none""#]
    {
        let twice = header.replacen('{', &format!("{{{member},"), 1);
        assert_refuses(&server, &client.lines(&twice, &claims), malformed).await;
        let twice = format!("{},{member}}}", header.strip_suffix('}').unwrap());
        assert_refuses(&server, &client.lines(&twice, &claims), malformed).await;
    }
    for member in [
        r#""jti":"b""#,
        r#""htm":"GET""#,
        r#""ht\u006d":"POST""#,
        r#""htu":"https://evil.example/""#,
        r#""iat":1"#,
        r#""ath":"""#,
        r#""other":1,"other":1"#,
        r#""other":{"a":1,"a":2}"#,
        r#""__proto__":{},"__proto__":{}"#,
    ] {
        let twice = claims.replacen('{', &format!("{{{member},"), 1);
        assert_refuses(&server, &client.lines(&header, &twice), malformed).await;
        let twice = format!("{},{member}}}", claims.strip_suffix('}').unwrap());
        assert_refuses(&server, &client.lines(&header, &twice), malformed).await;
    }
    // In the key.
    for member in [r#""kty":"EC""#, r#""d":null,"d":null"#, r#""x":"AA""#] {
        let twice = client.jwk.replacen('{', &format!("{{{member},"), 1);
        let lines = client.lines(&header.replace(&client.jwk, &twice), &claims);
        assert_refuses(&server, &lines, malformed).await;
    }
    // Text that is not one JSON object.
    for text in ["", "[]", "null", "{}{}", "{\"jti\":\"a\",}", "\u{feff}{}", "{\"a\":\"\\ud800\"}"]
    {
        assert_refuses(&server, &client.lines(&header, text), malformed).await;
        assert_refuses(&server, &client.lines(text, &claims), malformed).await;
    }
    let deep = format!("{{\"a\":{}", "[".repeat(2_000));
    assert_refuses(&server, &client.lines(&header, &deep), malformed).await;
}

#[tokio::test]
async fn row_79_weak_and_private_keys_of_vectors_are_not_keys_of_proofs() {
    let (server, client, _) = p256_server().await;
    let refuse = async |jwk: &Value, alg: &str, kind: RejectionKind| {
        let header = json!({ "typ": "dpop+jwt", "alg": alg, "jwk": jwk }).to_string();
        assert_refuses(&server, &client.lines(&header, &client.claims()), kind).await;
    };
    let unusable = RejectionKind::UnusableProofKey;
    let der = der_of(&fixture("rsa1024.public.pem"));
    // A number of 128 bytes, and the exponent 65537 in five bytes.
    let n = &der[der.len() - 128 - 5..der.len() - 5];
    refuse(&json!({ "kty": "RSA", "n": base64url(n), "e": "AQAB" }), "RS256", unusable).await;
    let rsa = rsa_jwk();
    refuse(&rsa, "RS256", RejectionKind::UnverifiedConfirmation).await;
    for e in ["AQ", "Ag", "AA", ""] {
        refuse(&json!({ "kty": "RSA", "n": rsa["n"], "e": e }), "RS256", unusable).await;
    }
    for member in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        let mut jwk = rsa.clone();
        jwk[member] = json!("AQAB");
        refuse(&jwk, "RS256", unusable).await;
    }
    let mut vectors = 0;
    for file in ["json_web_key_test.json", "json_web_signature_test.json"] {
        let text = fixture(&format!("../wycheproof/{file}"));
        let file: Value = serde_json::from_slice(&text).unwrap();
        for group in file["testGroups"].as_array().unwrap() {
            for name in ["private", "public"] {
                let keys = match &group[name] {
                    Value::Null => continue,
                    one => one["keys"].as_array().cloned().unwrap_or_else(|| vec![one.clone()]),
                };
                for jwk in keys {
                    vectors += 1;
                    let alg = match jwk["kty"].as_str() {
                        Some("RSA") => "RS256",
                        _ => "ES256",
                    };
                    let header = json!({ "typ": "dpop+jwt", "alg": alg, "jwk": jwk }).to_string();
                    let lines = client.lines(&header, &client.claims());
                    // Public keys of others are not the key of the token.
                    let is_secret = |name: &&str| jwk.get(*name).is_some();
                    let is_usable = !["k", "d", "p", "q"].iter().any(is_secret);
                    let reply = server.get(&lines).await;
                    assert!(reply.status.contains("401"), "{header}: {reply:?}");
                    let kind = server.reason().unwrap();
                    let foreign = is_usable && kind == RejectionKind::UnverifiedConfirmation;
                    let too_long = kind == RejectionKind::MalformedProof && lines.len() > 8 * 1024;
                    assert!(kind == unusable || foreign || too_long, "{kind} {header}");
                }
            }
        }
    }
    assert!(vectors > 50, "{vectors}");
}
