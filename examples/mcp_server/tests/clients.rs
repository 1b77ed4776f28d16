//! MCP clients against this server, with an authorization server of others.
//!
//! `OIDC_PROVIDER_DIR` names the directory in which npm has installed `oidc-provider`, and `MCP_CLIENT_DIR` that of
//! `@modelcontextprotocol/sdk`.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Url;
use rmcp::{
    ClientLifecycleMode, ClientServiceExt, RoleClient,
    model::{CallToolRequestParams, ProtocolVersion},
    service::{ClientInitializeError, RunningService},
    transport::{
        AuthClient, AuthorizationManager, AuthorizationRequest, StreamableHttpClientTransport,
        WWWAuthenticateParams,
        auth::{AuthorizationCallback, OAuthState},
        streamable_http_client::{StreamableHttpClient, StreamableHttpClientTransportConfig},
    },
};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

const REDIRECT: &str = "http://127.0.0.1/callback";

/// A process that prints where it listens. It is killed when the test is done with it.
struct Process {
    process: Child,
    url: String,
}

impl Process {
    fn start(command: &mut Command, line: &str) -> Self {
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut lines = output.lines().map_while(Result::ok);
        let url = lines.find_map(|text| text.strip_prefix(line).map(str::to_owned));
        // The rest is read as well, so that the process can write it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, url: url.expect("the process ended before it listened") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(format!("{}/tests/{script}", env!("CARGO_MANIFEST_DIR")));
    command
}

fn authorization_server() -> Process {
    let directory = std::env::var_os("OIDC_PROVIDER_DIR").expect(
        "OIDC_PROVIDER_DIR is not set: install `oidc-provider` with npm and set it to that directory",
    );
    let mut command = node("authorization_server.mjs");
    command.env("OIDC_PROVIDER_DIR", directory);
    let mut server = Process::start(&mut command, "http://");
    server.url.insert_str(0, "http://");
    server
}

/// This example, and its URL.
fn mcp_server(issuer: &str) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp_server"));
    let command = command.env("ISSUER", issuer).env("ADDR", "127.0.0.1:0");
    let command = command.env_remove("RESOURCE").env_remove("ORIGINS");
    Process::start(command, "the MCP server is ")
}

fn mcp_client_directory() -> OsString {
    std::env::var_os("MCP_CLIENT_DIR").expect(
        "MCP_CLIENT_DIR is not set: install `@modelcontextprotocol/sdk` with npm and set it to that directory",
    )
}

#[test]
#[ignore = "needs node, oidc-provider and the MCP client"]
fn the_typescript_client_logs_in_calls_tools_and_steps_up() {
    let issuer = authorization_server();
    let server = mcp_server(&issuer.url);
    let mut client = node("typescript_client.mjs");
    let status = client.arg(&server.url).env("MCP_CLIENT_DIR", mcp_client_directory()).status();
    assert!(status.unwrap().success(), "the client failed: see its output");
}

#[tokio::test]
#[ignore = "needs node and oidc-provider"]
async fn the_rmcp_client_logs_in_calls_tools_and_steps_up() {
    let issuer = authorization_server();
    let server = mcp_server(&issuer.url);
    let url = server.url.as_str();

    // From the URL alone to a token for exactly this resource.
    let error = connect(reqwest::Client::new(), url).await.unwrap_err();
    let rejected = error.auth_challenge().expect("a challenge");
    assert_eq!(scope_of(rejected, url).as_deref(), Some("orders:read"));
    let manager = authorize(url, rejected).await;
    let client = AuthClient::new(reqwest::Client::new(), manager);
    let manager = Arc::clone(&client.auth_manager);
    let token = manager.lock().await.get_access_token().await.unwrap();
    assert_eq!(claims(&token)["aud"], url);
    assert_eq!(claims(&token)["scope"], "orders:read");

    // The tools.
    let service = connect(client, url).await.unwrap();
    let mut tools: Vec<_> =
        service.list_all_tools().await.unwrap().into_iter().map(|tool| tool.name).collect();
    tools.sort();
    assert_eq!(tools, ["cancel_order", "list_orders", "whoami"]);
    let expected = json!({ "user": "ada", "scopes": ["orders:read"] });
    assert_eq!(call(&service, "whoami").await.unwrap(), expected);
    assert_eq!(call(&service, "list_orders").await.unwrap()["user"], "ada");

    // One needs more scope: 403, the user consents, and the same call succeeds.
    let error = call(&service, "cancel_order").await.unwrap_err();
    let rejected = error.auth_challenge().expect("a challenge");
    assert!(rejected.contains(r#"error="insufficient_scope""#), "{rejected}");
    let metadata = Url::parse(url).unwrap().join("/.well-known/oauth-protected-resource/mcp");
    assert!(rejected.contains(metadata.unwrap().as_str()), "{rejected}");
    step_up(&manager, &scope_of(rejected, url).expect("a scope")).await;
    let expected = json!({ "user": "ada", "cancelled": 7 });
    assert_eq!(call(&service, "cancel_order").await.unwrap(), expected);
    assert_eq!(call(&service, "list_orders").await.unwrap()["user"], "ada");

    // A token for this server is not a token for another one of the same issuer.
    let other = mcp_server(&issuer.url);
    let token = manager.lock().await.get_access_token().await.unwrap();
    let config = StreamableHttpClientTransportConfig::with_uri(other.url.as_str());
    let transport = StreamableHttpClientTransport::from_config(config.auth_header(token));
    let error = ().serve_with_lifecycle(transport, newest_revision()).await.unwrap_err();
    let rejected = error.auth_challenge().expect("a challenge");
    assert!(rejected.contains(r#"error="invalid_token""#), "{rejected}");
}

/// The revision of MCP without a handshake. The TypeScript client of version 1 has the one before.
fn newest_revision() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

async fn connect(
    client: impl StreamableHttpClient + Sync,
    url: &str,
) -> Result<RunningService<RoleClient, ()>, ClientInitializeError> {
    let config = StreamableHttpClientTransportConfig::with_uri(url);
    let transport = StreamableHttpClientTransport::with_client(client, config);
    ().serve_with_lifecycle(transport, newest_revision()).await
}

/// Discovery, registration, and the log-in of the user.
async fn authorize(url: &str, challenge: &str) -> AuthorizationManager {
    let mut state = OAuthState::new(url, None).await.unwrap();
    let request = AuthorizationRequest::new(REDIRECT);
    let request = request.with_challenge(challenge).with_initial_scope_selection();
    state.start_authorization(request).await.unwrap();
    let authorization = state.get_authorization_url().await.unwrap();
    assert_has_parameters(&authorization, url, "orders:read");
    state.handle_callback_url(&log_in(&authorization)).await.unwrap();
    state.into_authorization_manager().unwrap()
}

/// The client only reports the 403. Its application asks for the scopes, and repeats the call.
async fn step_up(manager: &Mutex<AuthorizationManager>, scope: &str) {
    let manager = manager.lock().await;
    let authorization = manager.request_scope_upgrade(scope).await.unwrap();
    let callback = AuthorizationCallback::from_redirect_url(&log_in(&authorization)).unwrap();
    let AuthorizationCallback { code, csrf_token, issuer, .. } = callback;
    let issuer = issuer.as_deref();
    manager.exchange_code_for_token_with_issuer(&code, &csrf_token, issuer).await.unwrap();
}

fn assert_has_parameters(authorization: &str, resource: &str, scope: &str) {
    let url = Url::parse(authorization).unwrap();
    let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value);
    assert_eq!(value("resource").as_deref(), Some(resource));
    assert_eq!(value("scope").as_deref(), Some(scope));
    assert_eq!(value("code_challenge_method").as_deref(), Some("S256"));
}

/// The user opens this URL and logs in. Returns where the authorization server sends them.
fn log_in(authorization: &str) -> String {
    let output = node("browser.mjs").arg(authorization).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "the log-in failed: see its output");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn scope_of(challenge: &str, url: &str) -> Option<String> {
    WWWAuthenticateParams::parse(challenge, &Url::parse(url).unwrap()).scope
}

fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

async fn call(
    service: &RunningService<RoleClient, ()>,
    tool: &'static str,
) -> Result<Value, rmcp::ServiceError> {
    let arguments = Map::from_iter([("order".to_owned(), json!(7))]);
    let request = CallToolRequestParams::new(tool).with_arguments(arguments);
    let result = service.call_tool(request).await?;
    Ok(result.structured_content.expect("structured content"))
}
