//! Rows about tokens that are bound to a client certificate: rows 53 and 80, and RFC 8705 sections 3 and 6.2.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Extension,
    extract::{ConnectInfo, Request},
    middleware::map_request,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use http::HeaderMap;
use sha2::{Digest, Sha256};
use tower_bearer::{
    BearerLayer, RejectionKind,
    client_certificate::{CertificateSource, ClientCertificate, TrustedProxies},
};

use super::server::{Server, bearer};
use crate::common::requests::{builder, layer, token, token_with};

/// The certificate of the client that the tokens were issued to. The layer does not read certificates.
const OWN: &[u8] = b"\xff\xfe\xfbcertificate of the client";
const STOLEN_WITH: &[u8] = b"certificate of the thief";

const REFUSED: RejectionKind = RejectionKind::UnverifiedConfirmation;

fn thumbprint(certificate: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(certificate))
}

fn token_with_cnf(cnf: &str) -> String {
    token_with(&format!(r#""exp":1800000060,"cnf":{cnf}"#))
}

fn bound_token() -> String {
    token_with_cnf(&format!(r#"{{"x5t#S256":"{}"}}"#, thumbprint(OWN)))
}

/// `Client-Cert` as RFC 9440 section 2.2 has it.
fn header(certificate: &[u8]) -> String {
    format!("client-cert: :{}:\r\n", STANDARD.encode(certificate))
}

/// A server whose TLS acceptor has seen this certificate.
async fn with_acceptor(certificate: Option<&[u8]>) -> Server {
    let layer = layer().with_client_certificates(CertificateSource::extension());
    Server::behind(|open| {
        let guarded = open.layer(layer);
        match certificate {
            Some(der) => guarded.layer(Extension(ClientCertificate::from_der(der))),
            None => guarded,
        }
    })
    .await
}

/// A server that a proxy at this address calls, and the headers that the service behind the layer saw last.
async fn behind_proxy(
    layer: BearerLayer,
    source: CertificateSource,
    peer: Option<&str>,
) -> (Server, Arc<Mutex<HeaderMap>>) {
    let seen = Arc::<Mutex<HeaderMap>>::default();
    let recorded = Arc::clone(&seen);
    let layer = layer.with_client_certificates(source);
    let server = Server::behind(|open| {
        let record = map_request(move |request: Request| {
            *recorded.lock().unwrap() = request.headers().clone();
            std::future::ready(request)
        });
        let guarded = open.layer(record).layer(layer);
        match peer {
            Some(peer) => {
                let peer: SocketAddr = format!("{peer}:4711").parse().unwrap();
                guarded.layer(Extension(ConnectInfo(peer)))
            }
            None => guarded,
        }
    });
    (server.await, seen)
}

fn from_local_proxy() -> CertificateSource {
    CertificateSource::header(TrustedProxies::loopback())
}

#[tokio::test]
async fn row_53_a_bound_token_needs_the_certificate_of_its_connection() {
    let own = with_acceptor(Some(OWN)).await;
    own.assert_admitted(&bound_token()).await;
    own.assert_admitted(&token()).await;
    for certificate in [Some(STOLEN_WITH), Some(&OWN[1..]), Some(b""), None] {
        let server = with_acceptor(certificate).await;
        server.assert_admitted(&token()).await;
        server.assert_refused(&bound_token(), REFUSED).await;
    }
    // A header is not the certificate of a connection.
    let none = with_acceptor(None).await;
    none.assert_refuses(bearer(&bound_token()) + &header(OWN), REFUSED).await;
}

#[tokio::test]
async fn row_53_a_binding_that_is_only_partly_proved_is_refused() {
    let server = with_acceptor(Some(OWN)).await;
    let own = thumbprint(OWN);
    server.assert_admitted(&token_with_cnf(&format!(r#"{{"x5t#S256":"{own}"}}"#))).await;
    server.assert_admitted(&token_with_cnf(&format!(r#"{{"x5t\u0023S256":"{own}"}}"#))).await;
    let hash = Sha256::digest(OWN);
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    for cnf in [
        // Another member of which nothing is known, or that is not configured.
        format!(r#"{{"x5t#S256":"{own}","jkt":"{own}"}}"#),
        format!(r#"{{"x5t#S256":"{own}","unknown":1}}"#),
        format!(r#"{{"x5t#S256":"{own}","x5t#S256 ":"{own}"}}"#),
        format!(r#"{{"jkt":"{own}"}}"#),
        format!(r#"{{"x5t":"{own}"}}"#),
        format!(r#"{{"X5T#S256":"{own}"}}"#),
        // Wrong types and other spellings of the thumbprint.
        format!(r#"{{"x5t#S256":["{own}"]}}"#),
        r#"{"x5t#S256":null}"#.to_owned(),
        r#"{"x5t#S256":""}"#.to_owned(),
        r#"{"x5t#S256":7}"#.to_owned(),
        format!(r#"{{"x5t#S256":"{}"}}"#, URL_SAFE.encode(hash)),
        format!(r#"{{"x5t#S256":"{own} "}}"#),
        format!(r#"{{"x5t#S256":"{hex}"}}"#),
        format!(r#"{{"x5t#S256":"{}"}}"#, &own[..42]),
        format!(r#"{{"x5t#S256":"{}"}}"#, thumbprint(STOLEN_WITH)),
        format!(r#"["{own}"]"#),
        format!(r#""{own}""#),
        "{}".to_owned(),
        "null".to_owned(),
        "true".to_owned(),
    ] {
        server.assert_refused(&token_with_cnf(&cnf), REFUSED).await;
    }
    let twice = format!(r#"{{"x5t#S256":"{own}","x5t#S256":"{own}"}}"#);
    server.assert_refused(&token_with_cnf(&twice), RejectionKind::MalformedClaims).await;
}

/// Every hit of the token cache is checked against the request's own certificate.
#[tokio::test]
async fn row_53_a_cached_token_needs_the_certificate_on_every_request() {
    let cached = BearerLayer::new(builder().cache_hmac_tokens().build().unwrap());
    let (server, _) = behind_proxy(cached, from_local_proxy(), Some("127.0.0.1")).await;
    let token = bound_token();
    for _ in 0..3 {
        server.assert_passes(bearer(&token) + &header(OWN)).await;
        server.assert_refused(&token, REFUSED).await;
        server.assert_refuses(bearer(&token) + &header(STOLEN_WITH), REFUSED).await;
    }
}

#[tokio::test]
async fn row_80_a_certificate_header_counts_only_from_a_trusted_proxy() {
    let with_header = bearer(&bound_token()) + &header(OWN);
    for (trusted, peer, is_trusted) in [
        ("127.0.0.0/8", Some("127.0.0.1"), true),
        ("10.1.0.0/16", Some("10.1.255.2"), true),
        ("10.1.0.0/16", Some("[::ffff:10.1.0.2]"), true),
        ("2001:db8::7", Some("[2001:db8::7]"), true),
        ("10.1.0.0/16", Some("10.2.0.2"), false),
        ("10.1.0.0/16", Some("127.0.0.1"), false),
        ("2001:db8::7", Some("[2001:db8::8]"), false),
        ("127.0.0.0/8", None, false),
    ] {
        let source = CertificateSource::header(TrustedProxies::new([trusted]).unwrap());
        let (server, seen) = behind_proxy(layer(), source, peer).await;
        // The service behind the layer sees the header only if the layer trusts it.
        server
            .assert_passes(bearer(&token()) + &header(OWN) + "client-cert-chain: :AA==:\r\n")
            .await;
        for name in ["client-cert", "client-cert-chain"] {
            assert_eq!(seen.lock().unwrap().contains_key(name), is_trusted, "{peer:?} {name}");
        }
        if is_trusted {
            server.assert_passes(&with_header).await;
            continue;
        }
        server.assert_refuses(&with_header, REFUSED).await;
        for lie in ["x-forwarded-for: ", "forwarded: for=", "x-real-ip: "] {
            for address in ["127.0.0.1", "10.1.0.1", "2001:db8::7"] {
                let lines = format!("{with_header}{lie}{address}\r\n");
                server.assert_refuses(lines, REFUSED).await;
            }
        }
    }
}

#[tokio::test]
async fn row_80_a_header_that_is_not_one_certificate_is_refused() {
    let (server, seen) = behind_proxy(layer(), from_local_proxy(), Some("127.0.0.1")).await;
    let token_line = bearer(&bound_token());
    let base64 = STANDARD.encode(OWN);
    server.assert_passes(format!("{token_line}client-cert: :{base64}:\r\n")).await;
    for value in [
        String::new(),
        "::".to_owned(),
        ":".to_owned(),
        base64.clone(),
        format!(":{base64}"),
        format!("{base64}:"),
        format!("\"{base64}\""),
        format!(": {base64}:"),
        format!(":{}:", base64.trim_end_matches('=')),
        format!(":{base64}:;a=1"),
        format!(":{base64}:, :{base64}:"),
        format!("(:{base64}:)"),
        format!(":{}:", URL_SAFE.encode(OWN)),
        format!(":{}:", STANDARD.encode(STOLEN_WITH)),
        format!(":{}:", STANDARD.encode([OWN, &[0]].concat())),
        format!("-----BEGIN CERTIFICATE-----%0A{base64}%0A-----END CERTIFICATE-----"),
    ] {
        let line = format!("client-cert: {value}\r\n");
        server.assert_refuses(format!("{token_line}{line}"), REFUSED).await;
    }
    // A proxy that appends its header to that of the client. No service behind may take the first.
    for (first, second) in [(OWN, STOLEN_WITH), (STOLEN_WITH, OWN), (OWN, OWN)] {
        let lines = header(first) + &header(second);
        server.assert_refuses(format!("{token_line}{lines}"), REFUSED).await;
        server.assert_passes(bearer(&token()) + &lines).await;
        assert!(!seen.lock().unwrap().contains_key("client-cert"));
    }
}

#[tokio::test]
async fn row_80_only_the_configured_header_counts() {
    let source = from_local_proxy().with_header_name(http::HeaderName::from_static("x-cert"));
    let (server, seen) = behind_proxy(layer(), source, Some("127.0.0.1")).await;
    let (token_line, other) =
        (bearer(&bound_token()), header(OWN).replace("client-cert", "x-cert"));
    server.assert_passes(format!("{token_line}{other}")).await;
    assert!(seen.lock().unwrap().contains_key("x-cert"));
    server.assert_refuses(format!("{token_line}{}", header(OWN)), REFUSED).await;
    server.assert_passes(token_line + &other + &header(STOLEN_WITH)).await;
    assert!(!seen.lock().unwrap().contains_key("client-cert"));
}
