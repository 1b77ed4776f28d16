//! Other services find the keys of `token_service` by the name of its issuer: with `Issuer::discover`, and with `jose`
//! for Node.js. Browsers use its token management page.

#![allow(clippy::disallowed_methods, reason = "processes take real time")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tower_bearer::{Authenticator, Issuer, RejectionKind};

#[path = "page/run.rs"]
mod page;
#[path = "../../../tests/common/program.rs"]
#[allow(dead_code, reason = "other tests use all of it")]
mod program;

use program::Program;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "a password of the demo";
const AUDIENCE: &str = "api://demo";

/// A running service, whose issuer is a URL under its address.
struct Service {
    issuer: String,
    address: String,
    _process: Program,
    directory: PathBuf,
}

impl Service {
    fn start(name: &str, path: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("bearer-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).unwrap();
        // The issuer's name contains the port, so the port must be known before the service starts.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let issuer = format!("http://{address}{path}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_token_service"));
        for name in ["DATABASE_URL", "KEY_FILE", "KEY_DIR", "PUBLIC_URL", "AUDIENCE", "REDIS_URL"] {
            command.env_remove(name);
        }
        command.current_dir(&directory).env("ADDR", &address).env("ISSUER", &issuer);
        command.env("DEMO", "1").env("DEMO_EMAIL", EMAIL).env("DEMO_PASSWORD", PASSWORD);
        Self { issuer, address, _process: Program::start(command), directory }
    }

    fn post(
        &self,
        path: &str,
        token: Option<&str>,
        content_type: &str,
        body: &str,
    ) -> (u16, String) {
        let credential =
            token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "POST /api/v1/auth{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{credential}\
             Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// An access token and its refresh token.
    fn log_in(&self) -> [String; 2] {
        let body = json!({"username": EMAIL, "password": PASSWORD}).to_string();
        let (status, body) = self.post("/login/", None, "application/json", &body);
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        ["access_token", "refresh_token"].map(|name| body[name].as_str().unwrap().to_owned())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[tokio::test]
async fn a_service_discovers_the_issuer_by_its_name() {
    for (name, path) in [("root", ""), ("slash", "/"), ("path", "/shop/one")] {
        let service = Service::start(name, path);
        let issuer = Issuer::discover(&service.issuer).unwrap().audience(AUDIENCE);
        let authenticator = Authenticator::builder().issuer(issuer).build().unwrap();
        let authenticator: Authenticator = authenticator;
        let [access, refresh] = service.log_in();
        let user = authenticator.authenticate(&access).await.unwrap();
        assert_eq!(user.registered().issuer(), service.issuer);
        let rejected = authenticator.authenticate(&refresh).await.unwrap_err();
        assert_eq!(rejected.kind(), RejectionKind::WrongType, "{rejected:?}");
    }
}

#[test]
fn the_holder_of_a_token_revokes_it_in_the_service() {
    let service = Service::start("holder", "");
    let [access, refresh] = service.log_in();
    let body = json!({"refresh_token": refresh}).to_string();
    let form = format!("token={refresh}&token_type_hint=refresh_token");
    let form_type = "application/x-www-form-urlencoded";
    assert_eq!(service.post("/revoke/", None, form_type, &form), (200, String::new()));
    assert_eq!(service.post("/refresh/", None, "application/json", &body).0, 401);
    assert_eq!(service.post("/revoke_all/", Some(&access), "application/json", "").0, 401);
}

#[test]
#[ignore = "needs node and jose"]
fn jose_for_node_verifies_the_tokens_of_the_service() {
    let directory = std::env::var_os("JOSE_DIR")
        .expect("JOSE_DIR is not set: install `jose` with npm and set it to that directory");
    let service = Service::start("jose", "/shop");
    let [access, refresh] = service.log_in();
    let claims = URL_SAFE_NO_PAD.decode(access.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let mut tampered = access.clone();
    tampered.insert(access.find('.').unwrap() + 10, 'A');
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/jose.mjs");
    let mut node = Command::new("node")
        .args([script, &service.issuer, AUDIENCE])
        .env("JOSE_DIR", directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`node` does not start: install Node.js");
    let tokens = [&*access, &refresh, &tampered].join("\n");
    node.stdin.take().unwrap().write_all(tokens.as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(Some(said[0]), claims["sub"].as_str(), "the subject of a valid token");
    assert_eq!(said[1], "ERR_JWT_CLAIM_VALIDATION_FAILED", "the `typ` of a refresh token");
    assert!(said[2].starts_with("ERR_J"), "{said:?}");
}
