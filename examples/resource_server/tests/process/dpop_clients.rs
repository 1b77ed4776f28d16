//! Clients that make their proofs with other libraries, against a server that requires proofs and nonces.

use std::process::{Command, Output};

use super::{SECRET, server::Server};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api://orders";

/// What the client prints.
fn run(command: &mut Command) -> String {
    let server = Server::start(&[
        ("HS256_SECRET", SECRET),
        ("ISSUER", ISSUER),
        ("AUDIENCE", AUDIENCE),
        ("DPOP", "required"),
        ("DPOP_NONCE", "required"),
    ]);
    let url = format!("http://{}/whoami", server.address);
    let command = command.args([&*url, SECRET, ISSUER, AUDIENCE]);
    let Output { status, stdout, stderr } = command.output().expect("the client starts");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
#[ignore = "needs node, jose and dpop"]
fn the_npm_library_dpop_is_accepted_with_each_of_its_algorithms() {
    let directory = std::env::var_os("JOSE_DIR").expect(
        "JOSE_DIR is not set: install `jose` and `dpop` with npm and set it to that directory",
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dpop_client.mjs");
    let said = run(Command::new("node").arg(script).env("JOSE_DIR", directory));
    // Without a nonce, with one, and again.
    let expected = |alg: &str| format!("{alg} 401 200 alice 401\n");
    assert_eq!(said, ["ES256", "Ed25519", "RS256", "PS256"].map(expected).concat());
}

#[test]
#[ignore = "needs pyjwt and requests_oauth2client"]
fn a_python_client_is_accepted_with_each_of_its_algorithms() {
    let python = std::env::var_os("PYJWT_PYTHON").expect(
        "PYJWT_PYTHON is not set: set it to a Python that has `pyjwt` and `requests_oauth2client`",
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dpop_client.py");
    let said = run(Command::new(python).arg(script));
    let expected = |alg: &str| format!("{alg} 200 alice\n{alg} token_not_valid\n");
    assert_eq!(said, ["ES256", "ES384", "RS256", "PS256", "EdDSA"].map(expected).concat());
}
