//! Rows 64, and 66 to 72: what a refusal tells, and what is behind the layer.

use axum::Router;
use tower_bearer::{
    BearerLayer, CheckError, ConfigError, Key, RejectionKind, RevocationCache,
    revocation::MemoryStore,
};

use super::{
    forge::{CLAIMS, hs256, issuer_with, sign_with_secret},
    server::{PASSED, Server, bearer, documented},
};
use crate::common::{
    requests::{NOW, builder, layer, token, token_for},
    tokens::{SECRET, sign_hs256_with},
};

const HEADER: &str = r#"{"alg":"HS256"}"#;

/// Comparing codes in constant time is the libraries' part and no test of ours. Ours is the order: no claim but the
/// issuer's name is looked at before the signature, so that nobody learns anything from a token that he wrote himself.
#[tokio::test]
async fn row_64_the_answer_does_not_depend_on_claims_before_the_signature() {
    let key = Key::hs256(SECRET).unwrap().with_key_id("k");
    let server = Server::trusting([issuer_with(key)]).await;
    let header = r#"{"alg":"HS256","kid":"k"}"#;
    server.assert_admitted(&sign_with_secret(header, CLAIMS)).await;
    for (from, to, kind) in [
        ("1800000060", "1", RejectionKind::Expired),
        ("1800000060", "\"never\"", RejectionKind::InvalidClaim),
        (r#","exp":1800000060"#, "", RejectionKind::MissingClaim),
        ("api://orders", "api://stock", RejectionKind::WrongAudience),
        (r#""me""#, "0", RejectionKind::InvalidClaim),
        (r#""sub""#, r#""nbf":9000000000,"sub""#, RejectionKind::NotYetValid),
        (r#""sub""#, r#""iat":9000000000,"sub""#, RejectionKind::IssuedInFuture),
        (r#""sub""#, r#""cnf":{},"sub""#, RejectionKind::UnverifiedConfirmation),
        (r#""sub""#, r#""token_type":"refresh","sub""#, RejectionKind::WrongTokenUse),
    ] {
        let claims = CLAIMS.replacen(from, to, 1);
        server.assert_refused(&sign_with_secret(header, &claims), kind).await;
        let forged = sign_hs256_with(&[1; 32], header, &claims);
        server.assert_refused(&forged, RejectionKind::BadSignature).await;
        let unknown = sign_with_secret(r#"{"alg":"HS256","kid":"x"}"#, &claims);
        server.assert_refused(&unknown, RejectionKind::UnknownKey).await;
    }
    // To a client all of them are one answer.
    let refused = [RejectionKind::UnknownKey, RejectionKind::BadSignature, RejectionKind::Expired];
    let [unknown, forged, expired] = refused.map(documented);
    assert!(unknown == forged && forged == expired);
}

/// Also in `tests/telemetry/secrecy`, with all that is printed and logged.
#[tokio::test]
async fn row_66_a_rejection_repeats_no_part_of_the_token() {
    const MARK: &str = "Zq7Wx2Lk9Pv4";

    let server = Server::start().await;
    let marked = CLAIMS.replace("me", MARK);
    server.assert_admitted(&sign_with_secret(HEADER, &marked)).await;
    for (token, kind) in [
        (MARK.to_owned(), RejectionKind::MalformedToken),
        (format!("{MARK}.{MARK}.{MARK}"), RejectionKind::MalformedHeader),
        (hs256(&format!(r#"{{"alg":"{MARK}"}}"#)), RejectionKind::UnsupportedAlgorithm),
        (hs256(&format!(r#"{{"alg":"HS256","typ":"{MARK}"}}"#)), RejectionKind::WrongType),
        (
            hs256(&format!(r#"{{"alg":"HS256","crit":["{MARK}"]}}"#)),
            RejectionKind::UnsupportedHeader,
        ),
        (sign_with_secret(HEADER, CLAIMS.replace("issuer", MARK)), RejectionKind::UnknownIssuer),
        (sign_hs256_with(&[1; 32], HEADER, &marked), RejectionKind::BadSignature),
        (
            sign_with_secret(HEADER, marked.replace("api://orders", MARK)),
            RejectionKind::WrongAudience,
        ),
    ] {
        server.assert_refused(&token, kind).await;
        let reply = server.get(bearer(&token)).await;
        assert!(!format!("{reply:?}").contains(MARK));
    }
}

#[tokio::test]
async fn row_67_no_part_of_a_request_is_in_a_header_of_the_answer() {
    let server = Server::start().await;
    server.assert_admitted(&hs256(HEADER)).await;
    for text in [r#"\", error=\"none"#, r"\r\nset-cookie: a=b\r\n\r\n", r"\u0000", "\u{e9}", r"\\"]
    {
        for (token, kind) in [
            (
                sign_with_secret(HEADER, CLAIMS.replace("issuer.example", text)),
                RejectionKind::UnknownIssuer,
            ),
            (
                sign_with_secret(HEADER, CLAIMS.replace("orders", text)),
                RejectionKind::WrongAudience,
            ),
            (hs256(&format!(r#"{{"alg":"HS256","typ":"{text}"}}"#)), RejectionKind::WrongType),
            (hs256(&format!(r#"{{"alg":"{text}"}}"#)), RejectionKind::UnsupportedAlgorithm),
        ] {
            server.assert_refused(&token, kind).await;
        }
    }
    // Nor of the target, the host or the forwarding headers, in or out of the realm.
    for target in
        ["/%0d%0aset-cookie:%20a=b", "/%22", "/\"", "/?realm=%22x%22", "http://x.example/"]
    {
        for host in ["api.example", "\"", "a\", error=\"none", "\u{e9}"] {
            let request = format!(
                "GET {target} HTTP/1.1\r\nhost: {host}\r\nx-forwarded-host: {host}\r\n\
                 connection: close\r\n\r\n"
            );
            server.assert_refuses_request(request, RejectionKind::MissingCredential).await;
        }
    }
    // What the service author sets is looked at when it is set.
    assert!(layer().with_realm("orders").is_ok());
    for realm in ["a\"b", "a\\", "a\r\nset-cookie: a=b", "a\0", "\u{e9}"] {
        let error = layer().with_realm(realm).unwrap_err();
        assert!(matches!(error, ConfigError::InvalidHeaderValue("realm")));
        assert!(layer().with_resource_metadata(realm).is_err());
    }
}

#[tokio::test]
async fn row_68_a_cache_may_not_store_a_rejection() {
    let protect = |layer: BearerLayer| {
        Server::behind(move |open: Router| open.layer(layer.require_scopes(["admin"])).layer(layer))
    };
    let no_store = "cache-control: no-store".to_owned();
    let server = protect(layer()).await;
    let admitted = server.get(bearer(&token_for("admin"))).await;
    assert_eq!((admitted.status.as_str(), admitted.body.as_str()), ("HTTP/1.1 200 OK", PASSED));
    assert!(!admitted.headers.contains(&no_store), "what the service says is its own affair");

    let authenticator = builder().add_check(|_| Err(CheckError::Unavailable)).build().unwrap();
    let unavailable = protect(BearerLayer::new(authenticator)).await;
    for (server, lines, status) in [
        (&server, String::new(), "401 Unauthorized"),
        (&server, bearer("a.b.c"), "401 Unauthorized"),
        (&server, bearer(""), "400 Bad Request"),
        (&server, bearer(&token()), "403 Forbidden"),
        (&unavailable, bearer(&token()), "503 Service Unavailable"),
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let reply = server
                .send(format!(
                    "{method} / HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n{lines}\r\n"
                ))
                .await;
            assert_eq!(reply.status, format!("HTTP/1.1 {status}"), "{method} {lines}");
            assert!(reply.headers.contains(&no_store), "{method} {lines}");
        }
    }
    assert_eq!((server.reached(), unavailable.reached()), (1, 0));
}

/// `layer` covers whatever comes in: every method and path, those that no route matches among them.
#[tokio::test]
async fn row_72_no_method_path_or_upgrade_passes_without_a_token() {
    let server = Server::start().await;
    let token = token();
    let upgrade = "upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: \
                   dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let preflight = "origin: https://app.example\r\naccess-control-request-method: GET\r\n";
    let override_ = "x-http-method-override: OPTIONS\r\nx-original-url: /public\r\n";
    for (start, further) in [
        ("GET / HTTP/1.1", ""),
        ("GET /no/such/path HTTP/1.1", ""),
        ("GET //admin HTTP/1.1", ""),
        ("GET /public/../admin HTTP/1.1", ""),
        ("GET /public/..;/admin HTTP/1.1", ""),
        ("GET /%2e%2e/admin HTTP/1.1", ""),
        ("GET /admin%2f HTTP/1.1", ""),
        ("GET /admin%00 HTTP/1.1", ""),
        ("GET /ADMIN HTTP/1.1", ""),
        ("GET /healthz HTTP/1.1", ""),
        ("GET /.well-known/jwks.json HTTP/1.1", ""),
        ("GET /favicon.ico HTTP/1.1", ""),
        ("GET http://other.example/ HTTP/1.1", ""),
        ("GET / HTTP/1.0", ""),
        ("POST / HTTP/1.1", ""),
        ("PUT / HTTP/1.1", ""),
        ("PATCH / HTTP/1.1", ""),
        ("DELETE / HTTP/1.1", ""),
        ("TRACE / HTTP/1.1", ""),
        ("OPTIONS / HTTP/1.1", ""),
        ("OPTIONS * HTTP/1.1", ""),
        ("OPTIONS / HTTP/1.1", preflight),
        ("PROPFIND / HTTP/1.1", ""),
        ("get / HTTP/1.1", ""),
        ("X / HTTP/1.1", ""),
        ("GET / HTTP/1.1", upgrade),
        ("GET / HTTP/1.1", override_),
        ("POST / HTTP/1.1", override_),
    ] {
        let connection = if further == upgrade { "upgrade, close" } else { "close" };
        let request = |lines: &str| {
            format!(
                "{start}\r\nhost: api.example\r\nconnection: {connection}\r\n{further}{lines}\r\n"
            )
        };
        let reached = server.reached();
        for (lines, kind) in [
            (String::new(), RejectionKind::MissingCredential),
            (bearer("a.b.c"), RejectionKind::MalformedToken),
        ] {
            let mut refused = server.send(request(&lines)).await;
            // HTTP/1.0 is answered in its version, and closes without saying so.
            if start.ends_with("HTTP/1.0") {
                refused.status = refused.status.replace("HTTP/1.0", "HTTP/1.1");
                refused.headers.push("connection: close".to_owned());
                refused.headers.sort_unstable();
            }
            assert_eq!((refused, server.reason()), (documented(kind), Some(kind)), "{start}");
        }
        assert_eq!(server.reached(), reached, "{start} {further}");
        let admitted = server.send(request(&bearer(&token))).await;
        assert_eq!(server.reason(), None);
        assert!(admitted.status.ends_with(" 200 OK"), "{start} {}", admitted.status);
        assert_eq!(server.reached(), reached + 1, "{start} {further}");
    }
}

#[tokio::test]
async fn row_72_head_is_rejected_with_the_headers_of_get() {
    let server = Server::start().await;
    let head = |lines: &str| {
        format!("HEAD / HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n{lines}\r\n")
    };
    for (lines, kind) in [
        (String::new(), RejectionKind::MissingCredential),
        (bearer("a.b.c"), RejectionKind::MalformedToken),
        (bearer(""), RejectionKind::MalformedCredential),
    ] {
        let reply = server.send(head(&lines)).await;
        let expected = documented(kind);
        assert_eq!((&reply.status, &reply.headers), (&expected.status, &expected.headers));
        assert_eq!(reply.body, "");
    }
    let admitted = server.send(head(&bearer(&token()))).await;
    assert_eq!((admitted.status.as_str(), admitted.body.as_str()), ("HTTP/1.1 200 OK", ""));
    assert_eq!(server.reached(), 1);
}

/// A tunnel is a request like any other; what follows the refusal's headers is its body.
#[tokio::test]
async fn row_72_connect_is_rejected() {
    let server = Server::start().await;
    let connect = |lines: &str| {
        format!(
            "CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: 127.0.0.1:22\r\nconnection: \
             close\r\n{lines}\r\n"
        )
    };
    for (lines, kind) in [
        (String::new(), RejectionKind::MissingCredential),
        (bearer("a.b.c"), RejectionKind::MalformedToken),
    ] {
        let reply = server.send(connect(&lines)).await;
        assert_eq!((reply, server.reason()), (documented(kind), Some(kind)));
    }
    assert_eq!(server.reached(), 0);
    server.send(connect(&bearer(&token()))).await;
    assert_eq!((server.reason(), server.reached()), (None, 1));
}

/// What claims to be gRPC is refused as gRPC, which is HTTP status 200: the service is not called all the same. A `GET`
/// cannot be gRPC, and its refusal must not be an answer of 200 that a shared cache keeps.
#[tokio::test]
async fn row_72_a_rejection_in_the_form_of_grpc_is_a_rejection() {
    let server = Server::start().await;
    let lines = "content-type: application/grpc\r\n";
    let post = format!(
        "POST / HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\ncontent-length: 0\r\n{lines}\r\n"
    );
    let refused = server.send(post).await;
    assert_eq!(server.reason(), Some(RejectionKind::MissingCredential));
    for header in ["grpc-status: 16", "cache-control: no-store"] {
        assert!(refused.headers.contains(&header.to_owned()), "{refused:?}");
    }
    assert_eq!((refused.body.as_str(), server.reached()), ("", 0));
    server.assert_refuses(lines, RejectionKind::MissingCredential).await;
    server.assert_passes(format!("{lines}{}", bearer(&token()))).await;
    assert_eq!(server.reached(), 1);
}

#[tokio::test]
async fn row_72_an_optional_layer_rejects_an_invalid_credential() {
    let cache = RevocationCache::new(MemoryStore::new(), std::time::Duration::ZERO);
    let authenticator = builder().build().unwrap();
    let authenticator = authenticator.with_revocation(cache);
    let server = Server::with(BearerLayer::new(authenticator).optional()).await;
    server.assert_passes("").await;
    server.assert_admitted(&token()).await;
    let expired = crate::common::requests::token_with(&format!(r#""exp":{}"#, NOW - 60));
    for (lines, kind) in [
        (bearer("a.b.c"), RejectionKind::MalformedToken),
        (bearer(&expired), RejectionKind::Expired),
        (bearer(""), RejectionKind::MalformedCredential),
        (bearer(&token()).repeat(2), RejectionKind::MultipleCredentials),
    ] {
        server.assert_refuses(lines, kind).await;
    }
}
