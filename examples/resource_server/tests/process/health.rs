//! The health checks, the timeouts and the stop of a process.

use std::{
    io::Read as _,
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::server::Server;

#[test]
fn without_keys_a_replica_is_alive_and_not_ready() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let issuer = format!("http://{closed}/secret-path");
    let server = Server::start(&[("OIDC_ISSUER", &issuer), ("AUDIENCE", "api://test")]);
    let live = server.call("GET", "/healthz", None);
    assert_eq!((live.status, live.body.as_str()), (200, r#"{"status":"ok"}"#));
    let ready = server.call("GET", "/readyz", None);
    assert_eq!(ready.status, 503, "{}", ready.body);
    let report: serde_json::Value = serde_json::from_str(&ready.body).unwrap();
    assert_eq!(report["status"], "not_ready");
    assert_eq!(report["parts"]["keys"]["error"], "no_keys");
    assert!(!ready.body.contains("secret-path") && !ready.body.contains("127.0.0.1"));
    assert_eq!(ready.header("cache-control"), Some("no-store"));
}

#[test]
fn with_demo_keys_a_replica_is_ready() {
    let ready = Server::start(&[]).call("GET", "/readyz", None);
    assert_eq!((ready.status, ready.body.as_str()), (200, r#"{"status":"ok","parts":{}}"#));
}

#[test]
fn a_stop_signal_ends_the_process_although_a_connection_is_open() {
    let mut server = Server::start(&[]);
    let mut idle = TcpStream::connect(&server.address).unwrap();
    assert_eq!(server.call("GET", "/healthz", None).status, 200);
    let id = server.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
}
