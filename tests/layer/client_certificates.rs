//! Certificate-bound tokens, apart from attacks: sources, extensions, metadata, `explain`, gRPC.

use std::net::IpAddr;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{StatusCode, header::AUTHORIZATION, request::Parts};
use tower::Layer;
use tower_bearer::{
    Authenticated, Authenticator, BearerLayer, BoxFuture, Issuer, ProtectedResource, RejectionKind,
    UnixTime,
    claims::ManualClock,
    client_certificate::{CertificateSource, ClientCertificate, PeerAddress, TrustedProxies},
    jwks::{FetchError, FetchJwks, FetchRequest, Fetched, RemoteJwks},
};

use crate::common::{
    requests::{
        Body, NOW, Outcome, authenticator, body, get, issuer, layer, open, send, token, token_with,
        with_bearer,
    },
    tokens,
};

/// The certificate of RFC 8705 appendix A, and its `x5t#S256`.
const CERTIFICATE: &str = "\
    MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzEN\
    MAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/co\
    ZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWU\
    VeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";
const THUMBPRINT: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";

fn certificate() -> ClientCertificate {
    ClientCertificate::from_der(&STANDARD.decode(CERTIFICATE).unwrap())
}

fn bound_token() -> String {
    token_with(&format!(r#""exp":1800000060,"cnf":{{"x5t#S256":"{THUMBPRINT}"}}"#))
}

/// A request with the token and the header, from this peer.
fn from_peer(peer: Option<[u8; 4]>) -> http::Request<Body> {
    let mut request = with_bearer(&bound_token());
    request.headers_mut().insert("client-cert", format!(":{CERTIFICATE}:").parse().unwrap());
    if let Some(peer) = peer {
        request.extensions_mut().insert(PeerAddress::from(IpAddr::from(peer)));
    }
    request
}

async fn through(source: CertificateSource, request: http::Request<Body>) -> Outcome {
    send(layer().with_client_certificates(source).layer(open()), request).await
}

#[test]
fn a_thumbprint_is_that_of_the_rfc() {
    assert!(!format!("{:?}", certificate()).contains(&THUMBPRINT[..8]));
    assert_eq!(certificate().thumbprint().to_string(), THUMBPRINT);
    let bytes = URL_SAFE_NO_PAD.decode(THUMBPRINT).unwrap();
    assert_eq!(certificate().thumbprint().as_bytes()[..], bytes[..]);
}

#[tokio::test]
async fn a_bound_token_names_its_certificate_to_the_service() {
    let mut request = with_bearer(&bound_token());
    request.extensions_mut().insert(certificate());
    let outcome = through(CertificateSource::extension(), request).await;
    outcome.assert_passed();
    let bound = outcome.authenticated().and_then(Authenticated::client_certificate);
    assert_eq!(bound, Some(&certificate().thumbprint()));

    // The same certificate with a token that is not bound.
    let mut request = with_bearer(&token());
    request.extensions_mut().insert(certificate());
    let outcome = through(CertificateSource::extension(), request).await;
    outcome.assert_passed();
    assert_eq!(outcome.authenticated().unwrap().client_certificate(), None);
}

#[tokio::test]
async fn a_policy_that_does_not_check_the_binding_names_no_certificate() {
    let lenient = Authenticator::builder()
        .issuer(issuer().allow_unverified_cnf())
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
        .build()
        .unwrap();
    let layer = BearerLayer::new(lenient);
    let layer = layer.with_client_certificates(CertificateSource::extension());
    let outcome = send(layer.layer(open()), with_bearer(&bound_token())).await;
    outcome.assert_passed();
    assert_eq!(outcome.authenticated().unwrap().client_certificate(), None);
}

#[tokio::test]
async fn a_function_finds_certificate_and_peer() {
    let at_work = |parts: &Parts| {
        assert_eq!(parts.uri.path(), "/");
        assert!(parts.headers.contains_key(AUTHORIZATION));
        parts.extensions.get::<u8>().map(|_| certificate())
    };
    let mut request = with_bearer(&bound_token());
    request.headers_mut().insert("client-cert", ":AA==:".parse().unwrap());
    request.extensions_mut().insert(7_u8);
    let outcome = through(CertificateSource::function(at_work), request).await;
    outcome.assert_passed();
    let seen = outcome.seen.unwrap();
    assert!(!seen.headers.contains_key("client-cert"), "only a proxy may send it");
    assert!(seen.headers.contains_key(AUTHORIZATION) && seen.extensions.get::<u8>().is_some());
    let outcome = through(CertificateSource::function(at_work), with_bearer(&bound_token())).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::UnverifiedConfirmation));

    let header = || CertificateSource::header(TrustedProxies::loopback());
    let outcome = through(header(), from_peer(Some([127, 0, 0, 1]))).await;
    outcome.assert_passed();
    for peer in [Some([192, 0, 2, 1]), None] {
        let outcome = through(header(), from_peer(peer)).await;
        assert_eq!(outcome.rejection, Some(RejectionKind::UnverifiedConfirmation), "{peer:?}");
    }
    // The function alone decides, and not the extension.
    let local = |_: &Parts| Some(IpAddr::from([127, 0, 0, 1]));
    let none = |_: &Parts| None;
    through(header().with_peer_address(local), from_peer(Some([192, 0, 2, 1])))
        .await
        .assert_passed();
    let outcome = through(header().with_peer_address(none), from_peer(Some([127, 0, 0, 1]))).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::UnverifiedConfirmation));
}

/// Publishes the public half of [`tokens::p256_key`].
struct KeyServer;

impl FetchJwks for KeyServer {
    fn fetch<'a>(&'a self, _: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        let set = String::from_utf8(tokens::fixture("../jwks.json")).unwrap();
        Box::pin(async { Ok(Fetched::document(set)) })
    }
}

/// A request whose key is not loaded yet waits. It is then verified again, with what it proves.
#[tokio::test]
async fn a_request_that_waits_for_its_key_is_checked_with_its_certificate() {
    let start = r#""iss":"https://issuer.example","aud":"api://orders","exp":1800000060"#;
    let claims = format!(r#"{{{start},"cnf":{{"x5t#S256":"{THUMBPRINT}"}}}}"#);
    let header = r#"{"alg":"ES256","kid":"p256"}"#;
    let key = tokens::p256_key();
    let token = tokens::sign(jsonwebtoken::Algorithm::ES256, &key, header, &claims);
    for (certificate, rejection) in [
        (Some(certificate()), None),
        (Some(ClientCertificate::from_der(b"other")), Some(RejectionKind::UnverifiedConfirmation)),
        (None, Some(RejectionKind::UnverifiedConfirmation)),
    ] {
        let clock = ManualClock::at(UnixTime::from_secs(NOW));
        let keys = RemoteJwks::new("https://issuer.example/keys").unwrap();
        let keys = keys.with_fetcher(KeyServer).with_clock(clock.clone());
        let issuer = Issuer::new("https://issuer.example", keys).audience("api://orders");
        let authenticator = Authenticator::builder().issuer(issuer).with_clock(clock).build();
        let layer = BearerLayer::new(authenticator.unwrap());
        let layer = layer.with_client_certificates(CertificateSource::extension());
        let mut request = with_bearer(&token);
        certificate.map(|certificate| request.extensions_mut().insert(certificate));
        assert_eq!(send(layer.layer(open()), request).await.rejection, rejection);
    }
}

#[tokio::test]
async fn without_a_source_the_header_stays_and_bound_tokens_are_rejected() {
    let mut request = with_bearer(&token());
    request.headers_mut().insert("client-cert", ":AA==:".parse().unwrap());
    let outcome = send(layer().layer(open()), request).await;
    outcome.assert_passed();
    assert!(outcome.seen.unwrap().headers.contains_key("client-cert"));
    let outcome = send(layer().layer(open()), from_peer(Some([127, 0, 0, 1]))).await;
    assert_eq!(outcome.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_anonymous_request_loses_a_header_that_is_not_accepted() {
    let layer = layer().optional().with_client_certificates(CertificateSource::extension());
    let request = body(get("/").header("client-cert", ":AA==:"));
    let outcome = send(layer.layer(open()), request).await;
    outcome.assert_passed();
    assert!(!outcome.seen.unwrap().headers.contains_key("client-cert"));
}

#[test]
fn the_metadata_document_says_that_bound_tokens_are_accepted() {
    let with_resource =
        || layer().with_resource(ProtectedResource::new("https://api.example").unwrap());
    let document = |layer: BearerLayer| -> serde_json::Value {
        serde_json::from_str(layer.resource_metadata().unwrap().document()).unwrap()
    };
    let member = "tls_client_certificate_bound_access_tokens";
    assert_eq!(document(with_resource()).get(member), None);
    let bound = with_resource().with_client_certificates(CertificateSource::extension());
    assert_eq!(document(bound)[member], true);
}

#[tokio::test]
async fn without_a_request_a_bound_token_is_rejected_and_explained() {
    let authenticator = authenticator();
    let rejection = authenticator.authenticate(&bound_token()).await.unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::UnverifiedConfirmation);
    let explanation = authenticator.explain(&bound_token()).await;
    let failed = explanation.failed().unwrap();
    assert_eq!(failed.number, 12);
    assert!(failed.expected.contains("without a request"), "{}", failed.expected);
    let found: Vec<_> = failed.found.iter().map(|it| it.value.to_string()).collect();
    assert_eq!(found, ["a client certificate"]);
    assert!(!explanation.to_string().contains(THUMBPRINT));
}
