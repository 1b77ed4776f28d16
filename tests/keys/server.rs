//! A key server on a socket, which behaves as it is told, badly for the most part.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
    time::interval,
};
use tokio_rustls::TlsAcceptor;
use tower_bearer::{UnixTime, claims::ManualClock, jwks::RemoteJwks};

use crate::common::requests::NOW;

#[derive(Clone)]
pub(crate) enum Answer {
    /// Status, further headers, body.
    Says(u16, String, String),
    /// 304 to whoever has this `ETag`, else the body with it.
    Tagged(String, String),
    /// Reads the request and says nothing.
    Hangs,
    /// A good answer, one byte a second.
    Drips(String),
    /// A good head, and a body without end.
    Endless,
    /// Hangs up in the middle of the body.
    BreaksOff,
}

impl Answer {
    pub(crate) fn keys(set: &str) -> Self {
        Self::Says(200, "Content-Type: application/jwk-set+json\r\n".to_owned(), set.to_owned())
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::Says(status, String::new(), String::new())
    }

    pub(crate) fn redirect(status: u16, to: &str) -> Self {
        Self::Says(status, format!("Location: {to}\r\n"), String::new())
    }
}

pub(crate) struct Server {
    pub(crate) origin: String,
    /// The clock of [`keys`](Self::keys).
    pub(crate) clock: ManualClock,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    answers: Mutex<HashMap<String, Answer>>,
    requests: Mutex<Vec<Request>>,
    written: Mutex<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// The whole head, in lower case.
    pub(crate) head: String,
}

impl Request {
    fn etag(&self) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix("if-none-match: "))
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_on("127.0.0.1:0", None).await
    }

    pub(crate) async fn start_with_tls(tls: TlsAcceptor) -> Self {
        Self::start_on("127.0.0.1:0", Some(tls)).await
    }

    pub(crate) async fn start_on(address: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let state = Arc::new(State::default());
        let of_task = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, tls) = (Arc::clone(&of_task), tls.clone());
                tokio::spawn(async move {
                    // Whoever hangs up on a bad server is right.
                    let _ = match tls {
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => state.answer(stream).await,
                            Err(_) => None,
                        },
                        None => state.answer(stream).await,
                    };
                });
            }
        });
        Self {
            origin: format!("{scheme}://localhost:{}", address.port()),
            clock: ManualClock::at(UnixTime::from_secs(NOW)),
            state,
            task,
        }
    }

    pub(crate) fn serves(&self, path: &str, answer: Answer) {
        self.state.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    pub(crate) fn keys(&self, path: &str) -> RemoteJwks {
        RemoteJwks::new(&self.url(path)).unwrap().with_clock(self.clock.clone())
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path == path).count()
    }

    /// Bytes of endless bodies that were taken from it.
    pub(crate) fn written(&self) -> usize {
        *self.state.written.lock().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    /// One request to a connection.
    async fn answer(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).ok()?.to_ascii_lowercase();
        let path = head.split(' ').nth(1)?.to_owned();
        let request = Request { path: path.clone(), head };
        self.requests.lock().unwrap().push(request.clone());
        let answer = self.answers.lock().unwrap().get(&path).cloned();
        match answer.unwrap_or_else(|| Answer::status(404)) {
            Answer::Says(status, headers, body) => say(&mut stream, status, &headers, &body).await,
            Answer::Tagged(etag, body) => {
                let headers = format!("ETag: {etag}\r\n");
                match request.etag() == Some(&*etag) {
                    true => say(&mut stream, 304, &headers, "").await,
                    false => say(&mut stream, 200, &headers, &body).await,
                }
            }
            Answer::Hangs => std::future::pending().await,
            Answer::Drips(body) => {
                let whole =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                let mut seconds = interval(Duration::from_secs(1));
                for byte in whole.bytes() {
                    seconds.tick().await;
                    stream.write_u8(byte).await.ok()?;
                }
                Some(())
            }
            Answer::Endless => {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{\"keys\":[";
                stream.write_all(head.as_bytes()).await.ok()?;
                loop {
                    stream.write_all(&[b' '; 65_536]).await.ok()?;
                    *self.written.lock().unwrap() += 65_536;
                }
            }
            Answer::BreaksOff => {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"keys\":[";
                stream.write_all(head.as_bytes()).await.ok()
            }
        }
    }
}

async fn say(
    stream: &mut (impl AsyncWrite + Unpin),
    status: u16,
    headers: &str,
    body: &str,
) -> Option<()> {
    let length =
        if status == 304 { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let whole =
        format!("HTTP/1.1 {status} Status\r\n{headers}{length}Connection: close\r\n\r\n{body}");
    stream.write_all(whole.as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}
