//! `STATUS_LISTS`: tokens whose issuer has revoked them in a status list, of this crate and of another implementation.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Output},
};

use tower_bearer::{jws::SigningKey, test_util::TestIssuer};

use crate::{SECRET, server::Server};

/// Serves the lists that `make` makes for URLs under the prefix that it returns.
fn serve_lists(make: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let prefix = format!("{origin}/lists");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = String::new();
            let _ = BufReader::new(&stream).read_line(&mut head);
            let path = head.split(' ').nth(1).unwrap_or_default();
            let list = make(&format!("{origin}{path}"));
            let length = list.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{list}");
        }
    });
    prefix
}

fn issuer() -> TestIssuer {
    TestIssuer::new().with_key(SigningKey::hs256(SECRET).unwrap())
}

fn server(prefix: &str) -> Server {
    Server::start(&[
        ("HS256_SECRET", SECRET),
        ("ISSUER", TestIssuer::NAME),
        ("AUDIENCE", TestIssuer::AUDIENCE),
        ("STATUS_LISTS", prefix),
    ])
}

#[test]
fn a_token_that_is_revoked_in_a_status_list_is_rejected() {
    let prefix = serve_lists(|url| issuer().status_list(url).with_status(7, 1).issue());
    let server = server(&prefix);
    let token = |url: &str, index| issuer().token().with_status_entry(url, index).issue();
    let call = |token: String| server.call("GET", "/whoami", Some(&token));
    let url = format!("{prefix}/1");
    assert_eq!(call(token(&url, 6)).status, 200);
    call(token(&url, 7)).assert_token_not_valid("revoked");
    call(token("http://127.0.0.1:9/lists/1", 6)).assert_token_not_valid("elsewhere");
    assert_eq!(call(issuer().token().issue()).status, 200);
}

/// What `status_list.mjs` prints.
fn other_implementation(arguments: &[&str]) -> String {
    let directory = std::env::var_os("JOSE_DIR").expect(
        "JOSE_DIR is not set: install `jose` and `@sd-jwt/jwt-status-list` with npm and set it to that directory",
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/status_list.mjs");
    let mut command = Command::new("node");
    let command = command.arg(script).args(arguments).env("JOSE_DIR", directory);
    let Output { status, stdout, stderr } = command.output().expect("node starts");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap().trim().to_owned()
}

#[test]
#[ignore = "needs node, jose and @sd-jwt/jwt-status-list"]
fn lists_of_another_implementation_are_read() {
    for bits in ["1", "2", "4", "8"] {
        let statuses = ["1", "0", "0", "1", "0", "1", "1", "0", "1", "0", "0"];
        let prefix = serve_lists(move |url| {
            other_implementation(&[&["make", url, SECRET, bits], &statuses[..]].concat())
        });
        let server = server(&prefix);
        for (status, index) in statuses.iter().zip(0..) {
            let token = issuer().token().with_status_entry(&format!("{prefix}/1"), index).issue();
            let answer = server.call("GET", "/whoami", Some(&token));
            let expected = if *status == "0" { 200 } else { 401 };
            assert_eq!(answer.status, expected, "{bits} bits, index {index}");
        }
    }
}

#[test]
#[ignore = "needs node, jose and @sd-jwt/jwt-status-list"]
fn another_implementation_reads_lists_of_this_crate() {
    const URL: &str = "https://issuer.test/lists/1";
    for (bits, status) in [(1, 1), (2, 2), (4, 13), (8, 200)] {
        let list = issuer().status_list(URL).with_bits(bits).with_status(1_000, status).issue();
        for (index, expected) in [(0, 0), (999, 0), (1_000, status), (1_001, 0), (1_023, 0)] {
            let token = issuer().token().with_status_entry(URL, index).issue();
            let read = other_implementation(&["read", &token, &list]);
            assert_eq!(read, format!("{URL} {expected}"), "{bits} bits, index {index}");
        }
    }
}
