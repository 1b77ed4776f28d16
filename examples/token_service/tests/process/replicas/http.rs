//! One HTTP request on a new connection. An answer counts only if all of it was read.

use std::io::{Error, ErrorKind};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) body: Option<&'a Value>,
}

pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) has_retry_after: bool,
    pub(super) body: String,
}

pub(super) async fn send(address: &str, request: Request<'_>) -> Result<Reply, Error> {
    let mut stream = TcpStream::connect(address).await?;
    let Request { method, path, token, body } = request;
    let body = body.map(Value::to_string).unwrap_or_default();
    let credential = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        credential.unwrap_or_default(),
        body.len()
    );
    stream.write_all(text.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    read(&answer).ok_or_else(|| ErrorKind::UnexpectedEof.into())
}

/// `None` if the answer is not complete.
fn read(answer: &[u8]) -> Option<Reply> {
    let (head, body) = str::from_utf8(answer).ok()?.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
    let header = |name: &str| {
        headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    };
    let length: usize = header("content-length").map_or(Some(0), |length| length.parse().ok())?;
    let has_retry_after = header("retry-after").is_some();
    (body.len() == length).then(|| Reply { status, has_retry_after, body: body.to_owned() })
}

#[test]
fn an_answer_that_was_cut_off_is_not_an_answer() {
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 1\r\n\r\n{}";
    let reply = read(whole.as_bytes()).unwrap();
    assert_eq!((reply.status, reply.has_retry_after, &*reply.body), (200, true, "{}"));
    for length in 0..whole.len() {
        assert!(read(&whole.as_bytes()[..length]).is_none(), "{length}");
    }
    let empty = read(b"HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n").unwrap();
    assert_eq!((empty.status, empty.has_retry_after), (204, false));
}
