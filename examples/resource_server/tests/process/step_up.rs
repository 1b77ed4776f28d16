//! `GET /transfer` requires a recent and strong log-in.

use serde_json::{Value, json};

use super::{SECRET, common::tokens::sign_hs256_with, server::Server};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api://orders";
const BODY: &str = concat!(
    r#"{"code":"insufficient_user_authentication","#,
    r#""detail":"A more recent or stronger authentication is required."}"#
);

fn start(more: &[(&str, &str)]) -> Server {
    let settings = [("HS256_SECRET", SECRET), ("ISSUER", ISSUER), ("AUDIENCE", AUDIENCE)];
    Server::start(&[&settings[..], more].concat())
}

/// A valid token, with these claims in addition. The `auth_time` is given as an age.
fn token(acr: &Value, age: Option<u64>) -> String {
    let now = jsonwebtoken::get_current_timestamp();
    let mut claims = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": now + 600 });
    if !acr.is_null() {
        claims["acr"] = acr.clone();
    }
    if let Some(age) = age {
        claims["auth_time"] = (now - age).into();
    }
    sign_hs256_with(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, &claims.to_string())
}

fn transfer(server: &Server, acr: &str, age: Option<u64>) -> u16 {
    server.call("GET", "/transfer", Some(&token(&acr.into(), age))).status
}

#[test]
fn a_recent_and_strong_log_in_is_required() {
    let server = start(&[]);
    let answer = server.call("GET", "/transfer", Some(&token(&"urn:example:mfa".into(), Some(0))));
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"transfer":"alice"}"#));

    for (acr, age) in [
        (Value::Null, None),
        (Value::Null, Some(0)),
        (json!("urn:example:mfa"), None),
        (json!("urn:example:password"), Some(0)),
        (json!("urn:example:MFA"), Some(0)),
        (json!("urn:example:mfa urn:example:password"), Some(0)),
        (json!(""), Some(0)),
        (json!("urn:example:mfa"), Some(1_000)),
    ] {
        let weak = token(&acr, age);
        let answer = server.call("GET", "/transfer", Some(&weak));
        assert_eq!((answer.status, answer.body.as_str()), (401, BODY), "{acr} {age:?}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert_eq!(
            challenge.replace("max_age=\"300\"", "max_age=300"),
            "bearer realm=\"api\", error=\"insufficient_user_authentication\", \
             error_description=\"a more recent or stronger authentication is required.\", \
             acr_values=\"urn:example:mfa\", max_age=300"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(server.call("GET", "/whoami", Some(&weak)).status, 200, "elsewhere it is valid");
    }
    let answer = server.call("GET", "/transfer", None);
    assert_eq!(answer.header("www-authenticate"), Some(r#"bearer realm="api""#));
    let malformed = token(&json!(["urn:example:mfa"]), Some(0));
    server.call("GET", "/transfer", Some(&malformed)).assert_token_not_valid("acr is a list");
    assert_eq!(server.call("GET", "/whoami", Some(&malformed)).status, 200);
}

#[test]
fn the_settings_name_the_values_and_the_age() {
    let server = start(&[("STEP_UP_ACR", "urn:a  urn:b "), ("STEP_UP_MAX_AGE", "4000")]);
    assert_eq!(transfer(&server, "urn:a", Some(3_000)), 200);
    assert_eq!(transfer(&server, "urn:b", Some(3_000)), 200);
    assert_eq!(transfer(&server, "urn:a", Some(5_000)), 401);
    assert_eq!(transfer(&server, "urn:example:mfa", Some(0)), 401);
    let answer = server.call("GET", "/transfer", Some(&token(&Value::Null, None)));
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains(r#"acr_values="urn:a urn:b""#), "{challenge}");
    assert!(challenge.replace('"', "").ends_with("max_age=4000"), "{challenge}");
}

#[test]
fn a_step_up_challenge_names_the_metadata_of_the_resource() {
    let server = start(&[("RESOURCE", "https://api.example/orders")]);
    let headers = format!("Authorization: Bearer {}\r\n", token(&Value::Null, None));
    let head = format!(
        "GET /transfer HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\n{headers}"
    );
    let answer = Server::ask(&server.address, &head);
    assert_eq!(answer.status, 401);
    let challenge = answer.header("www-authenticate").unwrap();
    let metadata =
        r#"resource_metadata="https://api.example/.well-known/oauth-protected-resource/orders""#;
    assert!(challenge.ends_with(metadata), "{challenge}");
    assert!(!challenge.contains("scope="), "{challenge}");
}
