//! MCP clients against this server, with an authorization server of others.
//!
//! `OIDC_PROVIDER_DIR` names the directory in which npm has installed `oidc-provider`, and `MCP_CLIENT_DIR` that of
//! `@modelcontextprotocol/sdk`.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use reqwest::{
    Client, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, WWW_AUTHENTICATE},
};
use rmcp::{
    RoleClient, ServiceError, ServiceExt,
    model::{CallToolRequestParams, ClientConfig},
    service::RunningService,
    transport::{
        AuthorizationManager, AuthorizationRequest, AuthorizationSession,
        StreamableHttpClientTransport,
        auth::{AuthClient, AuthorizationCallback, WWWAuthenticateParams},
        streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Map, Value, json};

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
