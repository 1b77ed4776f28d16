//! The rules of the server, without a network. `tests/clients.rs` has real clients and an authorization server.

use std::{convert::Infallible, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{
        Request, Response, StatusCode,
        header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE},
        request::Builder,
    },
};
use http_body_util::{BodyExt, channel::Channel};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;
use tower_bearer::{ProtectedResource, test_util::TestIssuer};

use crate::{app, tool_scopes::MAX_BODY_BYTES, tools::BASIC_SCOPES};

const RESOURCE: &str = "https://api.example/mcp";
const PAGE: &str = "http://localhost:6274";
const METADATA: &str =
    r#"resource_metadata="https://api.example/.well-known/oauth-protected-resource/mcp""#;

struct Server {
    app: Router,
    issuer: TestIssuer,
}

impl Server {
    fn new() -> Self {
        let issuer = TestIssuer::new().with_audience(RESOURCE);
        let resource = ProtectedResource::new(RESOURCE).unwrap();
        let resource = resource.with_scopes(BASIC_SCOPES).unwrap();
        let app = app::app(issuer.authenticator(), resource, [PAGE].into_iter()).unwrap();
        Self { app, issuer }
    }

    async fn send(&self, request: Builder, body: impl Into<Body>) -> Response<Body> {
        self.app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()
    }

    fn request(&self, scope: &str) -> Builder {
        let token = self.issuer.token().subject("ada").scope(scope).bearer();
        request().header(AUTHORIZATION, token)
    }

    async fn call(&self, scope: &str, tool: &str) -> Response<Body> {
        self.send(self.request(scope), call_of(tool)).await
    }
}

fn request() -> Builder {
    Request::post("/mcp")
        .header(HOST, "api.example")
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25")
}

fn call_of(tool: &str) -> String {
    let params = json!({ "name": tool, "arguments": { "order": 1 } });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string()
}

fn challenge(response: &Response<Body>) -> &str {
    response.headers()[WWW_AUTHENTICATE].to_str().unwrap()
}

async fn json_of(response: Response<Body>) -> Value {
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_request_without_a_token_learns_where_to_log_in() {
    let server = Server::new();
    let response = server.send(request(), call_of("whoami")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        challenge(&response),
        format!(r#"Bearer realm="api", scope="orders:read", {METADATA}"#)
    );

    let document = Request::get("/.well-known/oauth-protected-resource/mcp");
    let document = json_of(server.send(document, "").await).await;
    assert_eq!(document["resource"], RESOURCE);
    assert_eq!(document["authorization_servers"], json!([TestIssuer::NAME]));
    assert_eq!(document["scopes_supported"], json!(BASIC_SCOPES));
}

#[tokio::test]
async fn tools_know_the_user_of_the_request() {
    let server = Server::new();
    let answer = json_of(server.call("orders:read", "whoami").await).await;
    let expected = json!({ "user": "ada", "scopes": ["orders:read"] });
    assert_eq!(answer["result"]["structuredContent"], expected, "{answer}");
    let answer = json_of(server.call("orders:read", "list_orders").await).await;
    assert_eq!(answer["result"]["structuredContent"]["user"], "ada", "{answer}");
}

#[tokio::test]
async fn a_tool_with_another_scope_gets_403_with_all_its_scopes() {
    let server = Server::new();
    let response = server.call("orders:read", "cancel_order").await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let expected = format!(
        r#"Bearer realm="api", error="insufficient_scope", scope="orders:read orders:write", {METADATA}"#
    );
    assert_eq!(challenge(&response), expected);

    let answer = json_of(server.call("orders:read orders:write", "cancel_order").await).await;
    assert_eq!(answer["result"]["structuredContent"]["cancelled"], 1, "{answer}");
}

#[tokio::test]
async fn tokens_for_another_resource_or_outside_of_the_header_get_401() {
    let server = Server::new();
    let other =
        server.issuer.token().scope("orders:read").for_audience("https://api.example/other");
    let response =
        server.send(request().header(AUTHORIZATION, other.bearer()), call_of("whoami")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(challenge(&response).contains(r#"error="invalid_token""#));

    let mut grpc = request();
    grpc.headers_mut().unwrap().insert(CONTENT_TYPE, "application/grpc".parse().unwrap());
    assert_eq!(server.send(grpc, "").await.status(), StatusCode::UNAUTHORIZED);

    let token = server.issuer.token().scope("orders:read").issue();
    let request = request().uri(format!("/mcp?access_token={token}"));
    let response = server.send(request, call_of("whoami")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_message_that_two_readers_understand_differently_gets_400() {
    let server = Server::new();
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","name":"cancel_order"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"cancel_order"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{},"params":{"name":"cancel_order"}}"#,
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"cancel_order"}}]"#,
        "",
    ] {
        let response = server.send(server.request("orders:read"), body).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{body}");
    }
    // An escaped name is the same name.
    let escaped = call_of("cancel_order").replace("cancel", r"\u0063ancel");
    let response = server.send(server.request("orders:read"), escaped).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_tool_itself_rejects_a_token_without_its_scope() {
    let mut server = Server::new();
    let service = app::mcp_service(&RESOURCE.parse().unwrap());
    let layer = server.issuer.layer::<tower_bearer::claims::UntypedClaims>();
    server.app = Router::new().route_service("/mcp", service).route_layer(layer);
    let answer = json_of(server.call("orders:read", "cancel_order").await).await;
    assert_eq!(answer["error"]["code"], -32600, "{answer}");
    assert_eq!(answer.get("result"), None, "{answer}");
}

#[tokio::test]
async fn a_message_that_is_too_long_gets_413() {
    let server = Server::new();
    let body = " ".repeat(MAX_BODY_BYTES + 1);
    let response = server.send(server.request("orders:read"), body).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_end_gets_408() {
    let server = Server::new();
    let (_sender, endless) = Channel::<Bytes, Infallible>::new(1);
    let response = server.send(server.request("orders:read"), Body::new(endless));
    // Time passes at once while everything waits.
    let response = timeout(Duration::from_secs(3_600), response).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn other_hosts_and_pages_of_other_origins_get_403() {
    let server = Server::new();
    let mut foreign = server.request("orders:read");
    foreign.headers_mut().unwrap().insert(HOST, "rebound.example".parse().unwrap());
    assert_eq!(server.send(foreign, call_of("whoami")).await.status(), StatusCode::FORBIDDEN);

    for origin in ["https://page.example", "null", "http://localhost:6275"] {
        for request in [request(), server.request("orders:read")] {
            let response = server.send(request.header(ORIGIN, origin), call_of("whoami")).await;
            assert_eq!(response.status(), StatusCode::FORBIDDEN, "{origin}");
        }
    }
    let request = server.request("orders:read").header(ORIGIN, PAGE);
    let response = server.send(request, call_of("whoami")).await;
    assert_eq!(response.headers()["access-control-allow-origin"], PAGE);
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_page_of_an_accepted_origin_may_send_the_token() {
    let preflight = Request::options("/mcp")
        .header(HOST, "api.example")
        .header(ORIGIN, PAGE)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,mcp-protocol-version");
    let server = Server::new();
    let response = server.send(preflight, "").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["access-control-allow-origin"], PAGE);
    let allowed = response.headers()["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.contains("authorization") && allowed.contains("mcp-protocol-version"));

    // It can read the challenge.
    let response = server.send(request().header(ORIGIN, PAGE), call_of("whoami")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["access-control-allow-origin"], PAGE);
    assert_eq!(response.headers()["access-control-expose-headers"], "www-authenticate");
}
