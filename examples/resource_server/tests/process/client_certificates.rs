//! Certificate-bound tokens behind a proxy, with `CLIENT_CERT_HEADER` and `TRUSTED_PROXIES`.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    SECRET,
    common::tokens::sign_hs256_with,
    server::{Answer, Server, example},
};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api://orders";
const CERTIFICATE: &[u8] = b"certificate of the client";

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

fn bound_token() -> String {
    token(&json!({ "x5t#S256": URL_SAFE_NO_PAD.encode(Sha256::digest(CERTIFICATE)) }))
}

fn ask(server: &Server, token: &str, lines: &str) -> Answer {
    let head = format!("GET /whoami HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {token}\r\n");
    Server::ask(&server.address, &(head + lines))
}

fn header(name: &str, certificate: &[u8]) -> String {
    format!("{name}: :{}:\r\n", STANDARD.encode(certificate))
}

#[test]
fn a_bound_token_needs_its_certificate_from_a_local_proxy() {
    let server = start(&[("CLIENT_CERT_HEADER", "client-cert")]);
    let own = header("Client-Cert", CERTIFICATE);
    assert_eq!(ask(&server, &bound_token(), &own).status, 200);
    assert_eq!(ask(&server, &token(&Value::Null), "").status, 200);
    for lines in [String::new(), header("Client-Cert", b"other"), own.repeat(2)] {
        ask(&server, &bound_token(), &lines).assert_token_not_valid(&lines);
    }
}

#[test]
fn a_header_of_another_peer_does_not_count() {
    let own = header("X-Cert", CERTIFICATE);
    for (proxies, status) in [("10.0.0.0/8", 401), ("10.0.0.0/8, 127.0.0.1", 200)] {
        let server = start(&[("CLIENT_CERT_HEADER", "x-cert"), ("TRUSTED_PROXIES", proxies)]);
        let lines = format!("{own}X-Forwarded-For: 10.0.0.1\r\n");
        assert_eq!(ask(&server, &bound_token(), &lines).status, status, "{proxies}");
    }
    let off = start(&[]);
    ask(&off, &bound_token(), &header("Client-Cert", CERTIFICATE)).assert_token_not_valid("off");
}

#[test]
fn the_metadata_document_says_that_bound_tokens_are_accepted() {
    let resource = ("RESOURCE", "https://api.example/orders");
    let server = start(&[resource, ("CLIENT_CERT_HEADER", "client-cert")]);
    let path = "/.well-known/oauth-protected-resource/orders";
    let document: Value = serde_json::from_str(&server.call("GET", path, None).body).unwrap();
    assert_eq!(document["tls_client_certificate_bound_access_tokens"], true);
}

#[test]
fn settings_that_cannot_be_used_are_errors() {
    for (name, value) in
        [("CLIENT_CERT_HEADER", "client cert"), ("TRUSTED_PROXIES", "proxy.example")]
    {
        let mut command = example();
        command.env("CLIENT_CERT_HEADER", "client-cert").env(name, value);
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(name), "{error}");
    }
}
