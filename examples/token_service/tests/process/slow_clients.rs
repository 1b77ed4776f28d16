//! Clients that send slowly, or nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::Duration,
};

use crate::{Directory, Service, slow_client::trickle};

/// Limits that are short, but long enough for a busy machine.
const LIMITS: [(&str, &str); 4] = [
    ("FIRST_REQUEST_TIMEOUT", "2"),
    ("IDLE_TIMEOUT", "3"),
    ("BODY_TIMEOUT", "2"),
    ("REQUEST_TIMEOUT", "4"),
];

const LOGIN: &str = "POST /api/v1/auth/login/ HTTP/1.1\r\nHost: test\r\n\
                     Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{";

#[test]
fn connections_that_send_headers_slowly_or_nothing_are_closed() {
    let directory = Directory::new("slow-headers");
    let service = Service::start(&directory, &LIMITS);
    for beginning in ["P", "GET /healthz HTTP/1.1\r\nX-Slow: "] {
        assert_eq!(
            trickle(&service.address, beginning, Duration::from_millis(100)),
            "",
            "{beginning}"
        );
    }
    // These do not send anything after their beginning. The last one begins like HTTP/2.
    for beginning in ["", "GET /he", "PRI * HTTP/2.0\r\n"] {
        assert_eq!(
            trickle(&service.address, beginning, Duration::from_secs(600)),
            "",
            "{beginning}"
        );
    }
}

#[test]
fn a_body_that_pauses_or_never_ends_is_answered_and_cut_off() {
    let directory = Directory::new("slow-body");
    let service = Service::start(&directory, &LIMITS);
    let paused = trickle(&service.address, LOGIN, Duration::from_secs(600));
    assert!(paused.starts_with("HTTP/1.1 400 "), "{paused}");
    // Each byte comes in time, but there is no end.
    let endless = trickle(&service.address, LOGIN, Duration::from_millis(100));
    assert!(endless.starts_with("HTTP/1.1 408 "), "{endless}");
}

#[test]
fn an_idle_connection_serves_more_requests_and_is_closed_later() {
    let directory = Directory::new("idle");
    let service = Service::start(&directory, &LIMITS);
    let mut stream = TcpStream::connect(&service.address).unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n";
    for _ in 0..3 {
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(br#"{"status":"ok"}"#) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        thread::sleep(Duration::from_millis(500));
    }
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
}
