//! Runs the example `resource_server` as a process, started as its documentation describes.
//!
//! PyJWT is another library that makes tokens. The interpreter that `PYJWT_PYTHON` names must have `pyjwt` and
//! `cryptography`.

mod client_certificates;
#[path = "../../../../tests/common/mod.rs"]
mod common;
mod dpop;
mod dpop_clients;
mod health;
mod resource;
mod server;
mod slow_clients;
mod status_lists;
mod step_up;

#[path = "../../../../tests/common/slow_client.rs"]
mod slow_client;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Output},
};

use common::tokens::sign_hs256_with;
use server::{SETTINGS, Server, example};

const ISSUER: &str = "https://pyjwt.example";
const AUDIENCE: &str = "api://interop";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

const TEMPLATE: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";

const NOT_AUTHENTICATED: &str =
    r#"{"code":"not_authenticated","detail":"Authentication credentials were not provided."}"#;

struct Minted {
    jwks: serde_json::Value,
    good: BTreeMap<String, String>,
    bad: BTreeMap<String, String>,
    hmac_good: BTreeMap<String, String>,
}

/// Tokens that PyJWT made.
fn mint() -> Minted {
    let python = std::env::var_os("PYJWT_PYTHON")
        .expect("PYJWT_PYTHON is not set: set it to a Python that has `pyjwt` and `cryptography`");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mint.py");
    let output = Command::new(python).args([script, SECRET]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let tokens = |name: &str| serde_json::from_value(all[name].clone()).unwrap();
    Minted {
        jwks: all["jwks"].clone(),
        good: tokens("good"),
        bad: tokens("bad"),
        hmac_good: tokens("hmac_good"),
    }
}

#[test]
#[ignore = "needs pyjwt"]
fn pyjwt_tokens_are_judged_correctly_with_a_key_set_file() {
    let minted = mint();
    let path = format!("{}/pyjwt-jwks.json", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, minted.jwks.to_string()).unwrap();
    let server = Server::start(&[("JWKS_FILE", &path), ("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE)]);

    assert_eq!(minted.good.len(), 12);
    for (name, token) in &minted.good {
        if name == "ES512" && !cfg!(feature = "aws-lc-rs") {
            server.call("GET", "/whoami", Some(token)).assert_token_not_valid(name);
            continue;
        }
        let answer = server.call("GET", "/whoami", Some(token));
        assert_eq!(answer.status, 200, "{name}");
        let claims: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(claims["sub"], "pyjwt-user", "{name}");
    }
    assert_eq!(minted.bad.len(), 13);
    for (name, token) in &minted.bad {
        server.call("GET", "/whoami", Some(token)).assert_token_not_valid(name);
    }

    let user = &minted.good["RS256"];
    assert_eq!(server.call("GET", "/admin", Some(user)).status, 403);
    assert_eq!(server.call("GET", "/admin", Some(&minted.good["admin"])).status, 200);
    assert_eq!(server.call("GET", "/whoami", None).body, NOT_AUTHENTICATED);
    assert_eq!(server.call("POST", "/logout", Some(user)).status, 204);
    server.call("GET", "/whoami", Some(user)).assert_token_not_valid("revoked");
}

#[test]
#[ignore = "needs pyjwt"]
fn pyjwt_tokens_are_judged_correctly_with_keys_from_the_network() {
    let minted = mint();
    let origin = key_server(minted.jwks.to_string());
    let keys = format!("{origin}/keys");
    for source in [("JWKS_URL", keys.as_str()), ("OIDC_ISSUER", origin.as_str())] {
        let server = Server::start(&[source, ("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE)]);
        for name in ["RS256", "ES256", "EdDSA"] {
            let answer = server.call("GET", "/whoami", Some(&minted.good[name]));
            assert_eq!(answer.status, 200, "{name}");
        }
        for (name, token) in &minted.bad {
            server.call("GET", "/whoami", Some(token)).assert_token_not_valid(name);
        }
    }
}

/// Publishes a key set, and metadata in which the issuer is [`ISSUER`].
fn key_server(jwks: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let metadata = serde_json::json!({ "issuer": ISSUER, "jwks_uri": format!("{origin}/keys") });
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = String::new();
            let _ = BufReader::new(&stream).read_line(&mut head);
            let body = match head.split(' ').nth(1) {
                Some("/keys") => jwks.clone(),
                Some("/.well-known/openid-configuration") => metadata.to_string(),
                _ => String::new(),
            };
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        }
    });
    origin
}

#[test]
fn a_key_server_that_is_down_gives_503_and_the_server_keeps_running() {
    let unused_address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/keys", listener.local_addr().unwrap())
    };
    let server =
        Server::start(&[("JWKS_URL", &unused_address), ("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE)]);
    // {"alg":"RS256","kid":"a"}.{"iss":"https://pyjwt.example"} with a signature of two bytes.
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL3B5and0LmV4YW1wbGUifQ.AAA";
    let answer = server.call("GET", "/whoami", Some(token));
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("\r\nretry-after: "), "{}", answer.head);
    assert!(answer.body.contains(r#""code":"authentication_unavailable""#), "{}", answer.body);
}

#[test]
#[ignore = "needs pyjwt"]
fn pyjwt_tokens_are_accepted_with_a_shared_secret() {
    let minted = mint();
    let server =
        Server::start(&[("HS256_SECRET", SECRET), ("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE)]);
    assert_eq!(server.call("GET", "/whoami", Some(&minted.hmac_good["HS256"])).status, 200);
    server.call("GET", "/whoami", Some(&minted.good["RS256"])).assert_token_not_valid("RS256");
}

#[test]
fn the_printed_curl_lines_get_the_stated_answers() {
    check_curl_lines(&mut Server::start(&[]), 9);
}

#[test]
fn the_printed_curl_lines_with_a_resource_get_the_stated_answers() {
    let settings = [("RESOURCE", "https://api.example/orders"), ("STEP_UP_ACR", "urn:a urn:b")];
    check_curl_lines(&mut Server::start(&settings), 10);
}

fn check_curl_lines(server: &mut Server, expected: usize) {
    let mut variables = BTreeMap::new();
    let mut calls = 0;
    let mut line = String::new();
    while calls < expected {
        line.clear();
        assert_ne!(server.output.read_line(&mut line).unwrap(), 0, "{expected} curl lines");
        if let Some((name, token)) =
            line.trim().split_once('=').filter(|_| !line.starts_with("curl"))
        {
            variables.insert(name.to_owned(), token.to_owned());
        }
        if line.starts_with("curl -i ") {
            check_curl_line(server, &line, &variables);
            calls += 1;
        }
    }
}

fn check_curl_line(server: &Server, line: &str, variables: &BTreeMap<String, String>) {
    let (command, comment) = line.split_once("# ").unwrap();
    let method = if command.contains("-X POST") { "POST" } else { "GET" };
    let base = format!("http://{}", server.address);
    let path = command.split_once(&base).unwrap().1.split_whitespace().next().unwrap();
    let token = command
        .split_once("Bearer $")
        .map(|(_, rest)| variables[rest.split('"').next().unwrap()].as_str());
    let answer = server.call(method, path, token);
    assert_eq!(answer.status.to_string(), comment[..3], "{line}");
    match comment[3..].trim() {
        "token_not_valid" if !answer.head.contains("resource_metadata") => {
            answer.assert_token_not_valid(line);
        }
        code if answer.status >= 400 => {
            assert!(answer.body.contains(&format!(r#""code":"{code}""#)), "{line}{}", answer.body);
        }
        _ => {}
    }
}

#[test]
fn unknown_paths_and_methods_are_answered_in_json() {
    let server = Server::start(&[]);
    assert_eq!(server.call("GET", "/nowhere", None).body, r#"{"detail":"Not found."}"#);
    let answer = server.call("DELETE", "/whoami", None);
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("\r\nallow: get,head"), "{}", answer.head);
}

#[test]
fn a_wrong_setting_is_reported_in_one_line() {
    // The address is in use, so an example that accepts a wrong setting also ends.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = |settings: &[(&str, &str)]| -> Output {
        example().env("ADDR", &address).envs(settings.iter().copied()).output().unwrap()
    };
    for (settings, message) in [
        (&[("HS256_SECRET", SECRET)][..], "error: ISSUER is not set"),
        (
            &[("HS256_SECRET", "short"), ("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE)],
            "error: an HMAC secret of 5 bytes",
        ),
        (
            &[("JWKS_FILE", "/no/such/file"), ("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE)],
            "error: cannot read the key file /no/such/file",
        ),
        (
            &[("JWKS_FILE", "x"), ("HS256_SECRET", SECRET)],
            "error: JWKS_FILE and HS256_SECRET exclude each other",
        ),
        (
            &[("OIDC_ISSUER", "https://a.example"), ("JWKS_URL", "https://a.example/keys")],
            "error: OIDC_ISSUER and JWKS_URL exclude each other",
        ),
        (&[("OIDC_ISSUER", "https://a.example")], "error: AUDIENCE is not set"),
        (&[("JWKS_URL", "https://a.example/keys")], "error: ISSUER is not set"),
        (
            &[("JWKS_URL", "a.example"), ("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE)],
            "error: unusable address: expected ",
        ),
        (
            &[("JWKS_URL", "http://a.example/keys"), ("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE)],
            "error: plain http to another machine",
        ),
        (&[("ADDR", "localhost")], "error: ADDR is not an address and port"),
        (&[("MAX_TOKEN_LENGTH", "0")], "error: MAX_TOKEN_LENGTH is not a number of bytes"),
        (&[("MAX_TOKEN_LENGTH", "8k")], "error: MAX_TOKEN_LENGTH is not a number of bytes"),
        (&[("MAX_TOKEN_LENGTH", "1048577")], "error: MAX_TOKEN_LENGTH is not a number of bytes"),
        (&[("RESOURCE", "api.example")], "error: RESOURCE: unusable URL of a resource: expected "),
        (&[("RESOURCE", "http://api.example/orders")], "error: RESOURCE: unusable URL"),
        (&[("RESOURCE", "https://api.example/orders?a=b")], "error: RESOURCE: unusable URL"),
        (&[("RESOURCE", "https://api.example/orders#a")], "error: RESOURCE: unusable URL"),
        (&[("RESOURCE", "https://me@api.example/")], "error: RESOURCE: unusable URL"),
        (&[("RESOURCE", "https://api.example/a/../b")], "error: RESOURCE: unusable URL"),
        (&[("RESOURCE", "https://api.example/{a}")], "error: RESOURCE: unusable URL"),
        (&[("RESOURCE", "https://api.example/a b")], "error: RESOURCE: unusable URL"),
        (&[("STEP_UP_ACR", " ")], "error: STEP_UP_ACR has no value"),
        (&[("STEP_UP_ACR", "urn:a \"")], "error: STEP_UP_ACR: the acr value cannot be part of"),
        (&[("STEP_UP_MAX_AGE", "5m")], "error: STEP_UP_MAX_AGE is not a number of seconds"),
        (&[("STEP_UP_MAX_AGE", "-1")], "error: STEP_UP_MAX_AGE is not a number of seconds"),
        (
            &[("HS256_SECRET", SECRET), ("ISSUER", TEMPLATE), ("AUDIENCE", AUDIENCE)],
            "error: ISSUER has braces",
        ),
        (
            &[("HS256_SECRET", SECRET), ("ISSUER", "https://{a}"), ("AUDIENCE", AUDIENCE)],
            "error: ISSUER has braces",
        ),
        (
            &[
                ("HS256_SECRET", SECRET),
                ("ISSUER", ISSUER),
                ("AUDIENCE", AUDIENCE),
                ("TENANTS", "a,b"),
            ],
            "error: unusable issuer name: expected one name with `{tenantid}`",
        ),
        (
            &[
                ("JWKS_URL", "https://a.example/keys"),
                ("ISSUER", "https://a.example/.well-known/openid-configuration"),
                ("AUDIENCE", AUDIENCE),
            ],
            "error: unusable issuer name: expected the name in `iss`",
        ),
        (
            &[
                ("OIDC_ISSUER", "https://a.example/.well-known/openid-configuration"),
                ("AUDIENCE", AUDIENCE),
            ],
            "error: unusable address: expected the issuer's URL alone",
        ),
        (
            &[
                ("JWKS_URL", "https://a.example/keys"),
                ("ISSUER", ISSUER),
                ("AUDIENCE", AUDIENCE),
                ("RSA_ALGORITHMS", "RS256,none"),
            ],
            "error: RSA_ALGORITHMS: unsupported algorithm name",
        ),
        (
            &[
                ("JWKS_URL", "https://a.example/keys"),
                ("ISSUER", ISSUER),
                ("AUDIENCE", AUDIENCE),
                ("RSA_ALGORITHMS", "ES256"),
            ],
            "error: the key does not fit ES256",
        ),
        (
            &[
                ("HS256_SECRET", SECRET),
                ("ISSUER", ISSUER),
                ("AUDIENCE", AUDIENCE),
                ("INTEGER_SUBJECT", "yes"),
            ],
            "error: INTEGER_SUBJECT is neither true nor false",
        ),
        (
            &[
                ("HS256_SECRET", SECRET),
                ("ISSUER", ISSUER),
                ("AUDIENCE", AUDIENCE),
                ("STATUS_LISTS", "https://issuer.example/lists?x"),
            ],
            "error: unusable address: expected a prefix without a query",
        ),
    ] {
        let output = run(settings);
        assert_eq!(output.status.code(), Some(1), "{message}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with(message), "{text}");
    }
    let output = example().arg("--help").output().unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let page = include_str!("../../../README.md");
    for name in SETTINGS {
        assert!(help.contains(&format!("\n  {name} ")), "{name}");
        assert!(page.contains(name), "{name}");
    }
}

#[test]
fn settings_decide_on_length_null_claims_and_integer_subjects() {
    let settings = [("HS256_SECRET", SECRET), ("ISSUER", TEMPLATE), ("AUDIENCE", AUDIENCE)];
    let more = [
        ("TENANTS", "tenant-a, tenant-b"),
        ("ALLOW_NULL_CLAIMS", "true"),
        ("INTEGER_SUBJECT", "true"),
        ("MAX_TOKEN_LENGTH", "400"),
    ];
    let server = Server::start(&[&settings[..], &more].concat());
    let status = |tenant: &str, more: &str| {
        let iss = TEMPLATE.replace("{tenantid}", tenant);
        let exp = jsonwebtoken::get_current_timestamp() + 60;
        let claims =
            format!(r#"{{"iss":"{iss}","tid":"{tenant}","aud":"{AUDIENCE}","exp":{exp}{more}}}"#);
        let token = sign_hs256_with(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, &claims);
        (token.len() <= 400, server.call("GET", "/whoami", Some(&token)).status)
    };
    assert_eq!(status("tenant-b", r#","jti":null,"sub":7"#), (true, 200));
    assert_eq!(status("tenant-c", r#","jti":null,"sub":7"#), (true, 401));
    assert_eq!(status("tenant-b", r#","sub":"7""#), (true, 401));
    let long = format!(r#","x":"{}""#, "x".repeat(200));
    assert_eq!(status("tenant-b", &long), (false, 401));
}

#[test]
fn metrics_are_on_a_separate_address_and_contain_no_token() {
    let mut server = Server::start(&[("METRICS_ADDR", "127.0.0.1:0")]);
    let mut line = String::new();
    server.output.read_line(&mut line).unwrap();
    let url = line.trim_end().strip_prefix("metrics on http://").expect("the second line");
    let address = url.strip_suffix("/metrics").unwrap().to_owned();
    let mut output = String::new();
    while !output.contains("EXPIRED_TOKEN=") {
        assert_ne!(server.output.read_line(&mut output).unwrap(), 0);
    }
    let token = |name: &str| {
        let begin = output.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        begin.expect(name).to_owned()
    };
    let (user, expired) = (token("USER_TOKEN"), token("EXPIRED_TOKEN"));
    for _ in 0..3 {
        assert_eq!(server.call("GET", "/whoami", Some(&user)).status, 200);
    }
    assert_eq!(server.call("GET", "/admin", Some(&user)).status, 403);
    assert_eq!(server.call("GET", "/whoami", Some(&expired)).status, 401);
    assert_eq!(server.call("GET", "/whoami", None).status, 401);
    assert_eq!(
        server.call("GET", "/metrics", Some(&user)).status,
        404,
        "metrics are not on the public address"
    );

    let scrape = Server::call_at(&address, "GET", "/metrics", None);
    assert_eq!(scrape.status, 200);
    assert!(scrape.head.contains("content-type: text/plain"), "{}", scrape.head);
    for line in [
        "# TYPE tower_bearer_decisions_total counter",
        r#"tower_bearer_decisions_total{decision="allowed",reason="token"} 4"#,
        r#"tower_bearer_decisions_total{decision="rejected",reason="expired"} 1"#,
        r#"tower_bearer_decisions_total{decision="rejected",reason="insufficient_scope"} 1"#,
        r#"tower_bearer_decisions_total{decision="rejected",reason="missing_credential"} 1"#,
        r#"tower_bearer_token_cache_total{outcome="hit"} 3"#,
        r#"tower_bearer_token_cache_total{outcome="miss"} 1"#,
        "tower_bearer_token_cache_entries 1",
        "# TYPE tower_bearer_revocation_look_up_seconds histogram",
        r#"tower_bearer_revocation_look_up_seconds_count{store="store",outcome="not_revoked"} 1"#,
        r#"tower_bearer_revocation_checks_total{source="looked_up"} 1"#,
        "tower_bearer_revocation_denials 0",
    ] {
        assert!(scrape.body.lines().any(|found| found == line), "{line}\n{}", scrape.body);
    }
    for secret in user.split('.').chain(expired.split('.')).chain(["demo-user"]) {
        assert!(!scrape.body.contains(secret), "{secret}");
    }
    assert_eq!(Server::call_at(&address, "GET", "/whoami", Some(&user)).status, 404);
}
