//! The same layer on axum, tonic and bare hyper.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, extract::Request as AxumRequest, routing};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_stream::{Empty, wrappers::TcpListenerStream};
use tonic::{
    Code, Status,
    server::NamedService,
    service::Routes,
    transport::{Endpoint, Server},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_client::HealthClient,
    health_server::{Health, HealthServer},
};
use tower::{Layer, Service, ServiceExt, layer::util::Identity, service_fn, util::MapRequestLayer};
use tower_bearer::{
    Authenticated, Authenticator, BearerAuth, BearerLayer, UnixTime,
    claims::{ManualClock, UntypedClaims},
    client_certificate::{CertificateSource, ClientCertificate},
    rejection::ProblemJson,
    require::Require,
    tonic::authenticated,
};

use crate::common::requests::{
    Body, body, get, issuer, layer, send, token, token_for, token_with, with_bearer,
};

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

fn typed_layer() -> BearerLayer<Claims> {
    let clock = ManualClock::at(UnixTime::from_secs(crate::common::requests::NOW));
    let authenticator = Authenticator::builder()
        .claims::<Claims>()
        .issuer(issuer())
        .with_clock(clock)
        .build()
        .unwrap();
    BearerLayer::new(authenticator)
}

async fn who(user: Authenticated<Claims>) -> String {
    format!("user {}", user.claims().sub)
}

async fn who_if_any(user: Option<Authenticated<Claims>>) -> String {
    match user {
        Some(user) => format!("user {}", user.claims().sub),
        None => "nobody".to_owned(),
    }
}

async fn call(app: &Router, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
    let outcome = send(app.clone(), request.map(axum::body::Body::new)).await;
    (outcome.status, outcome.headers, outcome.body)
}

fn get_with_bearer(uri: &str, token: &str) -> Request<Body> {
    body(get(uri).header(AUTHORIZATION, format!("Bearer {token}")))
}

#[tokio::test]
async fn axum_accepts_the_layer_for_all_routes() {
    let app = Router::new().route("/", routing::get(who)).layer(typed_layer());
    let (status, _, body) = call(&app, get_with_bearer("/", &token())).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "user me"));
    let (status, headers, _) = call(&app, body_of("/")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(headers[WWW_AUTHENTICATE], r#"Bearer realm="api""#);
}

#[tokio::test]
async fn axum_accepts_the_layer_and_requirements_for_existing_routes() {
    let layer = typed_layer();
    let app = Router::new()
        .route("/orders", routing::get(who))
        .route_layer(layer.require_scopes(["orders:read"]))
        .route_layer(layer)
        .route("/open", routing::get(|| async { "open" }));
    let (status, _, body) = call(&app, get_with_bearer("/orders", &token_for("orders:read"))).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "user me"));
    let (status, ..) = call(&app, get_with_bearer("/orders", &token())).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, ..) = call(&app, body_of("/orders")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, ..) = call(&app, body_of("/open")).await;
    assert_eq!(status, StatusCode::OK);
    let (status, ..) = call(&app, body_of("/missing")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

fn body_of(uri: &str) -> Request<Body> {
    body(get(uri))
}

#[tokio::test]
async fn axum_extractors_distinguish_users_from_anonymous_requests() {
    let app = Router::new()
        .route("/any", routing::get(who_if_any))
        .route("/users", routing::get(who))
        .route_layer(typed_layer().optional().with_responder(ProblemJson));
    for (uri, answer) in [("/any", "user me"), ("/users", "user me")] {
        assert_eq!(call(&app, get_with_bearer(uri, &token())).await.2, answer);
    }
    let (status, _, body) = call(&app, body_of("/any")).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "nobody"));

    let (status, headers, body) = call(&app, body_of("/users")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
    assert_eq!(headers[WWW_AUTHENTICATE], r#"Bearer realm="api""#);
    assert!(body.contains("not_authenticated"), "{body}");
}

#[tokio::test]
async fn a_request_that_passed_a_layer_of_another_type_is_500() {
    // `who_if_any` asks for `Claims`; the optional layer in front of it knows `UntypedClaims`.
    let app = Router::new().route("/", routing::get(who_if_any)).route_layer(layer().optional());
    let outcome = send(app, body(get("/"))).await;
    assert_eq!(outcome.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(outcome.body.contains("Claims"), "{}", outcome.body);
}

#[tokio::test]
async fn axum_extractors_without_their_layer_are_500_and_name_the_claims() {
    let app =
        Router::new().route("/any", routing::get(who_if_any)).route("/users", routing::get(who));
    // A layer for other claims is none for these.
    let with_other_layer = app.clone().route_layer(layer());
    for app in [app, with_other_layer] {
        for uri in ["/any", "/users"] {
            let (status, _, body) = call(&app, get_with_bearer(uri, &token())).await;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(body.contains("Authenticated<layer::hosts::Claims>"), "{body}");
        }
    }
}

#[tokio::test]
async fn axum_middleware_behind_the_layer_sees_the_token() {
    let app = Router::new()
        .route("/", routing::get(|| async {}))
        .route_layer(axum::middleware::from_fn(
            |request: AxumRequest, next: axum::middleware::Next| async move {
                assert!(request.extensions().get::<Authenticated<Claims>>().is_some());
                next.run(request).await
            },
        ))
        .route_layer(typed_layer());
    assert_eq!(call(&app, get_with_bearer("/", &token())).await.0, StatusCode::OK);
}

/// gRPC's health check, which answers with the number of scopes of the token.
struct Guarded;

#[tonic::async_trait]
impl Health for Guarded {
    type WatchStream = Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let user = authenticated::<UntypedClaims, _>(&request)?;
        let status = i32::try_from(user.scopes().iter().count()).unwrap();
        Ok(tonic::Response::new(HealthCheckResponse { status }))
    }

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only check"))
    }
}

async fn check(url: &str, token: Option<&str>) -> Result<i32, Status> {
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
    }
    let channel = Endpoint::from_shared(url.to_owned()).unwrap().connect().await.unwrap();
    HealthClient::new(channel).check(request).await.map(|response| response.into_inner().status)
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, format!("http://{address}"))
}

#[tokio::test]
async fn tonic_accepts_the_layer_for_the_whole_server() {
    let (listener, url) = listen().await;
    let server = Server::builder().layer(layer()).add_service(HealthServer::new(Guarded));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    assert_eq!(check(&url, Some(&token_for("a b c"))).await.unwrap(), 3);
    let refused = check(&url, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(refused.message(), "Authentication credentials were not provided.");
    assert_eq!(refused.metadata().get("www-authenticate").unwrap(), r#"Bearer realm="api""#);
    let refused = check(&url, Some("a.b.c")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(refused.message(), "Token is invalid or expired");
}

#[tokio::test]
async fn tonic_accepts_a_bound_token_with_its_certificate_only() {
    let own = ClientCertificate::from_der(b"own");
    let token =
        token_with(&format!(r#""exp":1800000060,"cnf":{{"x5t#S256":"{}"}}"#, own.thumbprint()));
    let other = ClientCertificate::from_der(b"other");
    let guarded = layer().with_client_certificates(CertificateSource::extension());
    for (certificate, is_accepted) in [(Some(own), true), (Some(other), false), (None, false)] {
        // The acceptor puts the certificate into the extensions.
        let acceptor = MapRequestLayer::new(move |mut request: Request<_>| {
            certificate.map(|certificate| request.extensions_mut().insert(certificate));
            request
        });
        let (listener, url) = listen().await;
        let mut server = Server::builder().layer(acceptor).layer(guarded.clone());
        let server = server.add_service(HealthServer::new(Guarded));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        match check(&url, Some(&token)).await {
            Ok(_) => assert!(is_accepted),
            Err(refused) => {
                assert!(!is_accepted);
                assert_eq!(refused.code(), Code::Unauthenticated);
                assert_eq!(refused.message(), "Token is invalid or expired");
            }
        }
    }
}

#[tokio::test]
async fn tonic_accepts_the_layer_around_one_service() {
    let layer = layer();
    let guarded = layer.layer(layer.require_scopes(["a"]).layer(HealthServer::new(Guarded)));
    let (listener, url) = listen().await;
    let server = Server::builder().add_service(guarded);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    assert_eq!(check(&url, Some(&token_for("a"))).await.unwrap(), 1);
    let refused = check(&url, Some(&token())).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = check(&url, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

/// A health check that looks at no token, and counts its calls.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

#[tonic::async_trait]
impl Health for Counting {
    type WatchStream = Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(tonic::Response::new(HealthCheckResponse::default()))
    }

    async fn watch(
        &self,
        _: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only check"))
    }
}

#[tokio::test]
async fn tonic_runs_no_unary_method_on_options_with_content() {
    let calls = Counting::default();
    let (listener, url) = listen().await;
    let address = url.strip_prefix("http://").unwrap().to_owned();
    let server = Server::builder()
        .layer(layer().allow_cors_preflight())
        .add_service(HealthServer::new(calls.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let call = |token: Option<String>, message: &'static [u8]| {
        let request = Request::options(format!("{url}/grpc.health.v1.Health/Check"))
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST");
        let request = token.into_iter().fold(request, |request, token| {
            request.header(AUTHORIZATION, format!("Bearer {token}"))
        });
        // Without a length: only the DATA frame tells that there is content.
        let frames = tokio_stream::iter([Ok::<_, Infallible>(http_body::Frame::data(
            Bytes::from_static(message),
        ))]);
        let request = request.body(StreamBody::new(frames)).unwrap();
        let address = address.clone();
        async move {
            let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
            let (mut client, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
            tokio::spawn(connection);
            let response = client.send_request(request).await.unwrap();
            let status = response.status();
            response.collect().await.unwrap();
            status
        }
    };
    // An empty message: not compressed, no bytes.
    assert_eq!(call(None, &[0; 5]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(calls.0.load(Ordering::SeqCst), 0);
    // tonic does not look at the method: only the layer keeps the call away.
    assert_eq!(call(Some(token()), &[0; 5]).await, StatusCode::OK);
    assert_eq!(calls.0.load(Ordering::SeqCst), 1);
}

#[test]
fn tonic_services_keep_their_name() {
    fn name<S: NamedService>(_: &S) -> &'static str {
        S::NAME
    }
    let layer = layer();
    let guarded: BearerAuth<Require<_>> =
        layer.layer(layer.require(|_| true).layer(HealthServer::new(Guarded)));
    assert_eq!(name(&guarded), "grpc.health.v1.Health");
}

/// Calls the health check behind `layer`, with or without a token.
async fn status_behind<L>(layer: L, token: Option<&str>) -> Status
where
    L: Layer<Routes>,
    L::Service: Service<Request<tonic::body::Body>, Response: Answers, Error: std::fmt::Debug>,
{
    let mut request = Request::post("/grpc.health.v1.Health/Check")
        .header(CONTENT_TYPE, "application/grpc")
        // An empty message: not compressed, no bytes.
        .body(tonic::body::Body::new(Full::from(&[0; 5][..])))
        .unwrap();
    if let Some(token) = token {
        let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let service = layer.layer(Routes::new(HealthServer::new(Guarded)).prepare());
    service.oneshot(request).await.unwrap().status()
}

trait Answers {
    fn status(&self) -> Status;
}

impl<B> Answers for Response<B> {
    fn status(&self) -> Status {
        Status::from_header_map(self.headers()).unwrap_or_else(|| Status::ok(""))
    }
}

#[tokio::test]
async fn tonic_methods_reject_anonymous_requests_and_name_a_missing_layer() {
    assert_eq!(status_behind(layer(), Some(&token())).await.code(), Code::Ok);

    let anonymous = status_behind(layer().optional(), None).await;
    assert_eq!(anonymous.code(), Code::Unauthenticated);
    assert_eq!(anonymous.message(), "Authentication credentials were not provided.");

    let other_claims = status_behind(typed_layer(), Some(&token())).await;
    let no_layer = status_behind(Identity::new(), Some(&token())).await;
    for status in [other_claims, no_layer] {
        assert_eq!(status.code(), Code::Internal);
        assert!(status.message().contains("UntypedClaims>"), "{}", status.message());
    }
}

/// A hyper server that answers with the subject of the token.
async fn hyper_server() -> String {
    let service = layer().layer(service_fn(|request: Request<Incoming>| async move {
        let user: &Authenticated = request.extensions().get().unwrap();
        let subject = user.registered().subject().unwrap().to_owned();
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(subject))))
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address.to_string()
}

/// All lines of an HTTP/1.1 response but `date`.
async fn raw_http1(address: &str, request: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response.split("\r\n").filter(|line| !line.starts_with("date:")).map(str::to_owned).collect()
}

#[tokio::test]
async fn hyper_sends_a_whole_rejection_and_keeps_the_connection() {
    let address = hyper_server().await;
    let refusal = [
        "HTTP/1.1 401 Unauthorized",
        "content-type: application/json",
        "cache-control: no-store",
        r#"www-authenticate: Bearer realm="api", error="invalid_token", error_description="Token is invalid or expired""#,
        "content-length: 65",
    ];
    let body = r#"{"code":"token_not_valid","detail":"Token is invalid or expired"}"#;
    let get =
        |token: &str| format!("GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n");
    let requests = format!("{}\r\n{}Connection: close\r\n\r\n", get("a.b.c"), get(&token()));
    let lines = raw_http1(&address, &requests).await;
    let (refused, passed) = lines.split_at(refusal.len() + 1);
    assert_eq!(refused[..refusal.len()], refusal);
    assert_eq!(refused[refusal.len()], "");
    assert_eq!(passed[0], format!("{body}HTTP/1.1 200 OK"));
    assert_eq!(passed.last().unwrap(), "me");
}

#[tokio::test]
async fn hyper_sends_a_rejection_of_head_without_its_body() {
    let address = hyper_server().await;
    let head = "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let lines = raw_http1(&address, head).await;
    assert_eq!(lines[0], "HTTP/1.1 401 Unauthorized");
    assert_eq!(lines.last().unwrap(), "");
}

#[tokio::test]
async fn hyper_passes_bytes_beyond_ascii_and_the_layer_answers() {
    let address = hyper_server().await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer \xC2\xA0\xFF\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{response}");
}

#[tokio::test]
async fn hyper_ends_a_grpc_rejection_with_its_headers() {
    let address = hyper_server().await;
    let stream = TcpStream::connect(&address).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let mut request = with_bearer("a.b.c");
    *request.method_mut() = Method::POST;
    *request.uri_mut() = format!("http://{address}/").parse().unwrap();
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "16");
    assert!(response.body().is_end_stream());
    assert!(response.collect().await.unwrap().to_bytes().is_empty());
}
