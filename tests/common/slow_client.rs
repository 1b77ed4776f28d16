//! A client that sends slowly, or nothing.

#![allow(clippy::disallowed_methods, reason = "sockets take real time")]

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Far more than a busy machine needs to close a connection.
const GIVE_UP: Duration = Duration::from_secs(120);

/// Sends the beginning, and then a byte after each pause until the server answers or closes the connection. Returns
/// what the server has sent.
pub(crate) fn trickle(address: &str, beginning: &str, pause: Duration) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(beginning.as_bytes()).unwrap();
    stream.set_read_timeout(Some(pause.min(GIVE_UP))).unwrap();
    let (mut answer, begin) = (Vec::new(), Instant::now());
    while begin.elapsed() < GIVE_UP {
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) => return String::from_utf8(answer).unwrap(),
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                let _ = stream.write_all(b"a");
            }
            // The server has closed the connection while this client was writing.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                return String::from_utf8(answer).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the connection is still open");
}
