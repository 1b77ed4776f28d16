//! Tokens that are bound to a key, with `DPOP`, `DPOP_NONCE`, `DPOP_NONCE_KEY` and `PUBLIC_URL`.

use serde_json::{Value, json};
use tower_bearer::test_util::ProofKey;

use super::{
    SECRET,
    common::tokens::sign_hs256_with,
    server::{Answer, Server, example},
};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api://orders";
const ALGORITHMS: [&str; 5] = ["ES256", "ES384", "EdDSA", "RS256", "PS256"];

fn start(more: &[(&str, &str)]) -> Server {
    let settings = [("HS256_SECRET", SECRET), ("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE)];
    Server::start(&[&settings[..], more].concat())
}

fn token(cnf: &Value) -> String {
    let now = jsonwebtoken::get_current_timestamp();
    let mut claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now + 600 });
    if !cnf.is_null() {
        claims["cnf"] = cnf.clone();
    }
    sign_hs256_with(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, &claims.to_string())
}

struct Client {
    key: ProofKey,
    token: String,
}

impl Client {
    fn new() -> Self {
        let key = ProofKey::new();
        let token = token(&json!({ "jkt": key.thumbprint() }));
        Self { key, token }
    }

    fn proof(&self, base: &str) -> String {
        self.key.proof("GET", &format!("{base}/whoami"), &self.token).issue()
    }

    fn send(&self, server: &Server, proof: &str) -> Answer {
        let head = format!(
            "GET /whoami HTTP/1.1\r\nHost: api\r\nAuthorization: DPoP {}\r\nDPoP: {proof}\r\n",
            self.token
        );
        Server::ask(&server.address, &head)
    }
}

#[test]
fn a_proof_for_the_own_address_is_accepted_once() {
    let (server, client) = (start(&[("DPOP", "allowed")]), Client::new());
    let proof = client.proof(&format!("http://{}", server.address));
    assert_eq!(client.send(&server, &proof).status, 200);
    let replayed = client.send(&server, &proof);
    assert_eq!(replayed.status, 401);
    assert!(replayed.body.contains(r#""code":"dpop_proof_not_valid""#), "{}", replayed.body);
    assert_eq!(client.send(&server, &client.proof("http://api")).status, 401, "the Host header");
    assert_eq!(server.call("GET", "/whoami", Some(&client.token)).status, 401, "as Bearer");
    assert_eq!(server.call("GET", "/whoami", Some(&token(&Value::Null))).status, 200);
}

#[test]
fn a_proof_is_for_one_of_the_public_urls() {
    let urls = "https://api.example, https://other.example";
    let (server, client) = (start(&[("DPOP", "required"), ("PUBLIC_URL", urls)]), Client::new());
    for (base, status) in [
        ("https://api.example", 200),
        ("https://other.example", 200),
        ("https://third.example", 401),
        (&format!("http://{}", server.address), 401),
    ] {
        assert_eq!(client.send(&server, &client.proof(base)).status, status, "{base}");
    }
    let unbound = server.call("GET", "/whoami", Some(&token(&Value::Null)));
    assert_eq!(unbound.status, 401, "a token without a binding");
}

#[test]
fn processes_with_one_key_accept_the_same_nonce() {
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    let url = "https://api.example/whoami";
    let settings = [
        ("DPOP", "allowed"),
        ("DPOP_NONCE", "required"),
        ("PUBLIC_URL", "https://api.example"),
        ("DPOP_NONCE_KEY", KEY),
    ];
    let [one, other] = [start(&settings), start(&settings)];
    let (random, client) = (start(&settings[..3]), Client::new());
    let first = client.send(&one, &client.proof("https://api.example"));
    assert_eq!(first.status, 401);
    assert!(first.head.contains(r#"error="use_dpop_nonce""#), "{}", first.head);
    // `Answer` keeps the head in lower case, and a nonce is case-sensitive.
    let nonce = nonce_of(&one, &client);
    for (server, status) in [(&one, 200), (&other, 200), (&random, 401)] {
        let proof = client.key.proof("GET", url, &client.token).with_nonce(nonce.clone()).issue();
        assert_eq!(client.send(server, &proof).status, status);
    }
}

fn nonce_of(server: &Server, client: &Client) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(&server.address).unwrap();
    let (token, proof) = (&client.token, client.proof("https://api.example"));
    write!(
        stream,
        "GET /whoami HTTP/1.1\r\nHost: api\r\nAuthorization: DPoP {token}\r\nDPoP: {proof}\r\n\
         Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let is_it = |line: &&str| line.to_ascii_lowercase().starts_with("dpop-nonce: ");
    text.lines().find(is_it).unwrap()["dpop-nonce: ".len()..].to_owned()
}

#[test]
fn the_metadata_document_names_the_algorithms_of_proofs() {
    let resource = ("RESOURCE", "https://api.example/orders");
    let path = "/.well-known/oauth-protected-resource/orders";
    for (mode, is_required) in [("allowed", Value::Null), ("required", true.into())] {
        let server = start(&[resource, ("DPOP", mode)]);
        let document: Value = serde_json::from_str(&server.call("GET", path, None).body).unwrap();
        assert_eq!(document["dpop_signing_alg_values_supported"], json!(ALGORITHMS));
        assert_eq!(document["dpop_bound_access_tokens_required"], is_required);
    }
}

#[test]
fn settings_that_cannot_be_used_are_errors() {
    for (settings, message) in [
        (&[("DPOP", "Required")][..], "error: DPOP is neither allowed nor required"),
        (&[("DPOP", "true")], "error: DPOP is neither allowed nor required"),
        (&[("DPOP_NONCE", "required")], "error: DPOP_NONCE has no effect without DPOP"),
        (&[("DPOP", "allowed"), ("DPOP_NONCE", "true")], "error: DPOP_NONCE is not the word"),
        (
            &[("DPOP", "allowed"), ("DPOP_NONCE_KEY", "AAAA")],
            "error: DPOP_NONCE_KEY has no effect without DPOP_NONCE",
        ),
        (
            &[("DPOP", "allowed"), ("DPOP_NONCE", "required"), ("DPOP_NONCE_KEY", "secret-key")],
            "error: DPOP_NONCE_KEY: ",
        ),
        (&[("DPOP", "allowed"), ("PUBLIC_URL", "api.example")], "error: PUBLIC_URL: "),
        (&[("DPOP", "allowed"), ("PUBLIC_URL", "https://a.example,")], "error: PUBLIC_URL: "),
    ] {
        let output = example().envs(settings.iter().copied()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.starts_with(message), "{error}");
        assert!(!error.contains("secret-key"), "{error}");
    }
}
