//! Clients that send slowly, or nothing. The limits are the defaults of `http_server`: 10 seconds for the headers.

use std::{thread, time::Duration};

use crate::{server::Server, slow_client::trickle};

const SLOWLY: Duration = Duration::from_millis(100);

/// Longer than any limit. The client sends nothing after its beginning.
const NEVER: Duration = Duration::from_secs(600);

#[test]
fn connections_that_send_headers_slowly_or_nothing_are_closed() {
    let server = Server::start(&[]);
    thread::scope(|scope| {
        for (beginning, pause) in [
            ("P", SLOWLY),
            ("GET /healthz HTTP/1.1\r\nX-Slow: ", SLOWLY),
            ("", NEVER),
            ("GET /he", NEVER),
            ("PRI * HTTP/2.0\r\n", NEVER),
        ] {
            let address = &server.address;
            scope.spawn(move || assert_eq!(trickle(address, beginning, pause), "", "{beginning}"));
        }
    });
    assert_eq!(server.call("GET", "/healthz", None).status, 200);
}

#[test]
fn a_body_that_pauses_or_never_ends_keeps_no_connection_open() {
    let server = Server::start(&[]);
    let request = "POST /logout HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n{";
    thread::scope(|scope| {
        for pause in [SLOWLY, NEVER] {
            let address = &server.address;
            // No route reads a body, so the answer does not wait for its end.
            scope.spawn(move || {
                let answer = trickle(address, request, pause);
                assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
            });
        }
    });
}
