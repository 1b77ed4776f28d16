//! `RESOURCE`: the metadata document, and the challenges that lead to it.

use serde_json::{Value, json};

use super::{
    SECRET,
    common::tokens::sign_hs256_with,
    server::{Answer, Server},
};

const ISSUER: &str = "https://issuer.example";
const RESOURCE: &str = "https://api.example/orders";
const DOCUMENT: &str = "/.well-known/oauth-protected-resource/orders";
const METADATA: &str =
    r#"resource_metadata="https://api.example/.well-known/oauth-protected-resource/orders""#;

/// Headers by which a request may claim to be for another host.
const HOSTILE: [&str; 8] = [
    "X-Forwarded-Host: evil.example\r\n",
    "X-Forwarded-Proto: http\r\n",
    "X-Forwarded-Prefix: /evil\r\n",
    "X-Forwarded-Port: 666\r\n",
    "X-Original-URL: /evil\r\n",
    "X-Rewrite-URL: /evil\r\n",
    "Forwarded: host=evil.example;proto=http\r\n",
    "Origin: https://evil.example\r\n",
];

fn server() -> Server {
    start(&[("RESOURCE", RESOURCE)])
}

fn start(more: &[(&str, &str)]) -> Server {
    Server::start(&[&[("HS256_SECRET", SECRET), ("ISSUER", ISSUER)], more].concat())
}

fn token(audience: &str, scope: &str, lifetime: i64) -> String {
    let exp = jsonwebtoken::get_current_timestamp().saturating_add_signed(lifetime);
    let claims =
        json!({ "iss": ISSUER, "aud": audience, "sub": "alice", "scope": scope, "exp": exp });
    sign_hs256_with(SECRET.as_bytes(), r#"{"alg":"HS256"}"#, &claims.to_string())
}

fn ask(server: &Server, method: &str, path: &str, headers: &str) -> Answer {
    let host = &server.address;
    Server::ask(&server.address, &format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}"))
}

#[test]
fn the_document_is_served_without_a_token() {
    let server = server();
    let answer = ask(&server, "GET", DOCUMENT, "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=3600"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    let expected = json!({
        "resource": RESOURCE,
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["admin"],
    });
    assert_eq!(document, expected);

    let length = answer.body.len().to_string();
    let head = ask(&server, "HEAD", DOCUMENT, "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    assert_eq!(head.header("content-type"), Some("application/json"));

    let preflight = "Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n\
                     Access-Control-Request-Headers: mcp-protocol-version\r\n";
    let options = ask(&server, "OPTIONS", DOCUMENT, preflight);
    assert_eq!((options.status, options.body.as_str()), (204, ""));
    assert_eq!(options.header("access-control-allow-origin"), Some("*"));
    let allowed = options.header("access-control-allow-headers").unwrap();
    assert!(allowed.split(", ").any(|header| header == "*"), "{allowed}");
    assert!(options.header("access-control-allow-methods").unwrap().contains("get"));

    assert_eq!(ask(&server, "POST", DOCUMENT, "Content-Length: 0\r\n").status, 405);
    let invalid = "Authorization: Bearer invalid\r\n";
    assert_eq!(ask(&server, "GET", DOCUMENT, invalid).body, answer.body);
}

#[test]
fn the_document_is_at_its_path_only() {
    let server = server();
    for path in [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/orders/",
        "/.well-known/oauth-protected-resource//orders",
        "/.well-known/oauth-protected-resource/Orders",
        "/.well-known/oauth-protected-resource/%6frders",
        "/.well-known/oauth-protected-resource/admin/../orders",
        "/orders/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server/orders",
    ] {
        let answer = ask(&server, "GET", path, "");
        assert_eq!((answer.status, answer.body.as_str()), (404, r#"{"detail":"Not found."}"#));
    }
    let answer = ask(&server, "GET", &format!("{DOCUMENT}?resource=https://evil.example"), "");
    assert_eq!(answer.status, 200);
    assert!(!answer.body.contains("evil"), "{}", answer.body);
}

#[test]
fn the_path_of_the_document_follows_from_the_resource() {
    for (resource, path) in [
        ("https://api.example", "/.well-known/oauth-protected-resource"),
        ("https://api.example/", "/.well-known/oauth-protected-resource"),
        ("https://api.example/a/", "/.well-known/oauth-protected-resource/a/"),
        ("https://api.example/:a/*b", "/.well-known/oauth-protected-resource/:a/*b"),
        ("http://127.0.0.1:3000/a", "/.well-known/oauth-protected-resource/a"),
    ] {
        let server = start(&[("RESOURCE", resource)]);
        let answer = ask(&server, "GET", path, "");
        assert_eq!(answer.status, 200, "{resource}");
        let document: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(document["resource"], resource);
        let other = "/.well-known/oauth-protected-resource/other/x";
        assert_eq!(ask(&server, "GET", other, "").status, 404, "{resource}");
    }
}

#[test]
fn challenges_name_the_metadata_and_the_scope_of_the_route() {
    let server = server();
    let challenge = |path, token: Option<&str>| {
        let answer = server.call("GET", path, token);
        let challenge = answer.header("www-authenticate").map(ToOwned::to_owned);
        (answer.status, challenge.unwrap_or_default())
    };
    let (user, expired) = (token(RESOURCE, "orders:read", 60), token(RESOURCE, "admin", -3_600));
    let elsewhere = token("https://api.example/other", "admin", 60);

    let realm = r#"bearer realm="api""#;
    let invalid = r#"error="invalid_token", error_description="token is invalid or expired""#;
    let whoami = |token| challenge("/whoami", token);
    assert_eq!(whoami(None), (401, format!("{realm}, {METADATA}")));
    for token in [&expired, &elsewhere] {
        assert_eq!(whoami(Some(token)), (401, format!("{realm}, {invalid}, {METADATA}")));
    }
    assert_eq!(whoami(Some(&user)), (200, String::new()));

    let scope = r#"scope="admin""#;
    let admin = |token| challenge("/admin", token);
    assert_eq!(admin(None), (401, format!("{realm}, {scope}, {METADATA}")));
    for token in [&expired, &elsewhere] {
        assert_eq!(admin(Some(token)), (401, format!("{realm}, {invalid}, {scope}, {METADATA}")));
    }
    let insufficient = format!(r#"{realm}, error="insufficient_scope", {scope}, {METADATA}"#);
    assert_eq!(admin(Some(&user)), (403, insufficient));
    assert_eq!(admin(Some(&token(RESOURCE, "admin", 60))), (200, String::new()));
}

#[test]
fn an_audience_of_its_own_replaces_the_resource() {
    let server = start(&[("RESOURCE", RESOURCE), ("AUDIENCE", "api://orders")]);
    let status = |audience| server.call("GET", "/whoami", Some(&token(audience, "", 60))).status;
    assert_eq!((status("api://orders"), status(RESOURCE)), (200, 401));
}

#[test]
fn a_400_and_a_404_do_not_name_the_metadata() {
    let server = server();
    let twice = "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n";
    for (path, headers, status) in [("/whoami", twice, 400), ("/nowhere", "", 404)] {
        let answer = ask(&server, "GET", path, headers);
        assert_eq!(answer.status, status);
        assert!(!answer.head.contains("resource_metadata"), "{}", answer.head);
    }
}

#[test]
fn nothing_of_a_request_is_in_the_document_or_a_challenge() {
    let server = server();
    let document = ask(&server, "GET", DOCUMENT, "").body;
    let hosts = ["evil.example", "api.example:666", "api.example, evil.example", "evil.example\""];
    let all = HOSTILE.concat();
    let headers = HOSTILE.into_iter().chain([all.as_str(), ""]);
    let requests =
        headers.flat_map(|headers| hosts.map(|host| format!("Host: {host}\r\n{headers}")));
    let mut asked = 0;
    for headers in requests {
        let ask =
            |path: &str| Server::ask(&server.address, &format!("GET {path} HTTP/1.1\r\n{headers}"));
        let answer = ask(DOCUMENT);
        assert_eq!((answer.status, answer.body.as_str()), (200, document.as_str()), "{headers}");
        for (path, scope) in [("/whoami", ""), ("/admin", r#"scope="admin", "#)] {
            let answer = ask(path);
            let expected = format!(r#"bearer realm="api", {scope}{METADATA}"#);
            assert_eq!(answer.header("www-authenticate"), Some(expected.as_str()), "{headers}");
            assert!(!answer.head.contains("evil") && !answer.body.contains("evil"), "{headers}");
        }
        asked += 1;
    }
    assert_eq!(asked, 40);
    // The absolute form of a request names a host too.
    let answer = Server::ask(
        &server.address,
        &format!("GET http://evil.example{DOCUMENT} HTTP/1.1\r\nHost: evil.example\r\n"),
    );
    assert_eq!((answer.status, answer.body), (200, document));
}

#[test]
fn without_a_resource_nothing_is_served_or_named() {
    let server = start(&[("AUDIENCE", "api://orders")]);
    assert_eq!(ask(&server, "GET", DOCUMENT, "").status, 404);
    assert_eq!(ask(&server, "GET", "/.well-known/oauth-protected-resource", "").status, 404);
    for path in ["/whoami", "/admin"] {
        let answer = ask(&server, "GET", path, "");
        assert_eq!(answer.header("www-authenticate"), Some(r#"bearer realm="api""#), "{path}");
    }
    let answer = server.call("GET", "/admin", Some(&token("api://orders", "", 60)));
    let challenge = r#"bearer realm="api", error="insufficient_scope", scope="admin""#;
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
}
