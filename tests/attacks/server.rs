//! A server on a loopback socket with the layer in front of it, and a client that sends whatever bytes it is given.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, response::Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_bearer::{
    Authenticator, BearerLayer, Issuer, Rejection, RejectionKind, Verifier,
    claims::{ManualClock, UntypedClaims},
    rejection::Answer,
};

use crate::common::requests::{NOW, layer};

/// What the service behind the layer answers.
pub(crate) const PASSED: &str = "from the service behind the layer";

pub(crate) struct Server {
    address: SocketAddr,
    /// Why the latest request was refused, read outside of the layer: no client can see it.
    reason: Arc<Mutex<Option<RejectionKind>>>,
    /// How many requests have reached the service behind the layer.
    reached: Arc<AtomicUsize>,
}

/// What came back, but for the date.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: String,
    /// Sorted.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Server {
    /// Serves every path and method behind `protect`.
    pub(crate) async fn behind(protect: impl FnOnce(Router) -> Router) -> Self {
        let (reason, reached) = (Arc::<Mutex<_>>::default(), Arc::<AtomicUsize>::default());
        let (seen, count) = (Arc::clone(&reason), Arc::clone(&reached));
        let open = Router::new().fallback(async move || {
            count.fetch_add(1, Ordering::SeqCst);
            PASSED
        });
        let router =
            protect(open).layer(axum::middleware::map_response(move |response: Response| {
                *seen.lock().unwrap() = response.extensions().get().map(Rejection::kind);
                std::future::ready(response)
            }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { address, reason, reached }
    }

    pub(crate) async fn with(layer: BearerLayer) -> Self {
        Self::behind(|open| open.layer(layer)).await
    }

    /// Trusts the issuer of the tests, whose key is an HMAC secret.
    pub(crate) async fn start() -> Self {
        Self::with(layer()).await
    }

    pub(crate) async fn trusting(issuers: impl IntoIterator<Item = Issuer>) -> Self {
        Self::trusting_at(NOW, issuers).await
    }

    pub(crate) async fn trusting_at(now: u64, issuers: impl IntoIterator<Item = Issuer>) -> Self {
        Self::with(BearerLayer::new(authenticator_at(now, issuers))).await
    }

    /// Sends a request's very bytes, and reads to the end of the connection.
    pub(crate) async fn send(&self, request: impl AsRef<[u8]>) -> Reply {
        *self.reason.lock().unwrap() = None;
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_ref()).await.unwrap();
        let mut response = Vec::new();
        let mut block = [0; 4096];
        // A server that has refused a request unread may reset the connection behind its answer.
        while let Ok(length @ 1..) = stream.read(&mut block).await {
            response.extend_from_slice(&block[..length]);
        }
        Reply::parse(&String::from_utf8(response).unwrap())
    }

    /// `GET /` with these further header lines, each with its line break.
    pub(crate) async fn get(&self, lines: impl AsRef<[u8]>) -> Reply {
        let start = b"GET / HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n";
        self.send([&start[..], lines.as_ref(), b"\r\n"].concat()).await
    }

    pub(crate) async fn assert_admitted(&self, token: &str) {
        self.assert_passes(bearer(token)).await;
    }

    pub(crate) async fn assert_refused(&self, token: &str, kind: RejectionKind) {
        self.assert_refuses(bearer(token), kind).await;
    }

    pub(crate) async fn assert_passes(&self, lines: impl AsRef<[u8]>) {
        let lines = lines.as_ref();
        let reply = self.get(lines).await;
        assert_eq!(*self.reason.lock().unwrap(), None, "{}", lines.escape_ascii());
        assert_eq!((reply.status.as_str(), reply.body.as_str()), ("HTTP/1.1 200 OK", PASSED));
    }

    pub(crate) async fn assert_refuses(&self, lines: impl AsRef<[u8]>, kind: RejectionKind) {
        let lines = lines.as_ref();
        let start = b"GET / HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n";
        self.assert_refuses_request([&start[..], lines, b"\r\n"].concat(), kind).await;
    }

    /// The layer refuses for this reason, with the whole documented answer, and the service behind it is not called.
    pub(crate) async fn assert_refuses_request(
        &self,
        request: impl AsRef<[u8]>,
        kind: RejectionKind,
    ) {
        let reached = self.reached();
        let request = request.as_ref();
        let reply = self.send(request).await;
        let shown = request.escape_ascii();
        assert_eq!(self.reason(), Some(kind), "{shown}");
        assert_eq!(reply, documented(kind), "{shown}");
        assert_eq!(self.reached(), reached, "{shown}");
    }

    /// The HTTP server itself answers 400: the request is no HTTP, and comes to no layer.
    pub(crate) async fn assert_is_no_http(&self, lines: impl AsRef<[u8]>) {
        let (lines, reached) = (lines.as_ref(), self.reached());
        let reply = self.get(lines).await;
        let shown = lines.escape_ascii();
        assert_eq!(reply.status, "HTTP/1.1 400 Bad Request", "{shown}");
        assert_eq!((self.reason(), self.reached()), (None, reached), "{shown}");
    }

    pub(crate) fn reason(&self) -> Option<RejectionKind> {
        *self.reason.lock().unwrap()
    }

    pub(crate) fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}

pub(crate) fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

pub(crate) fn authenticator_at(
    now: u64,
    issuers: impl IntoIterator<Item = Issuer>,
) -> Authenticator {
    let builder = Verifier::<UntypedClaims>::builder().with_clock(ManualClock::at(now));
    let builder = issuers.into_iter().fold(builder, |builder, issuer| builder.issuer(issuer));
    Authenticator::new(builder.build().unwrap())
}

impl Reply {
    fn parse(response: &str) -> Self {
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or((response, ""));
        let mut lines = head.split("\r\n").map(str::to_owned);
        let status = lines.next().unwrap_or_default();
        let mut headers: Vec<_> = lines.filter(|line| !line.starts_with("date:")).collect();
        headers.sort_unstable();
        Self { status, headers, body: body.to_owned() }
    }
}

/// The documented answer, written out: status, every header and the body.
pub(crate) fn documented(kind: RejectionKind) -> Reply {
    let (status, further, body) = match kind.answer() {
        Answer::NotAuthenticated => (
            "401 Unauthorized",
            r#"www-authenticate: Bearer realm="api""#,
            r#"{"code":"not_authenticated","detail":"Authentication credentials were not provided."}"#,
        ),
        Answer::TokenNotValid => (
            "401 Unauthorized",
            r#"www-authenticate: Bearer realm="api", error="invalid_token", error_description="Token is invalid or expired""#,
            r#"{"code":"token_not_valid","detail":"Token is invalid or expired"}"#,
        ),
        Answer::InvalidRequest => (
            "400 Bad Request",
            r#"www-authenticate: Bearer realm="api", error="invalid_request""#,
            r#"{"code":"bad_authorization_header","detail":"The request must carry exactly one well-formed Bearer credential."}"#,
        ),
        Answer::Unavailable => (
            "503 Service Unavailable",
            "retry-after: 5",
            r#"{"code":"authentication_unavailable","detail":"Authentication is temporarily unavailable."}"#,
        ),
        answer => panic!("no row is answered with {answer:?}"),
    };
    let mut headers = vec![
        "cache-control: no-store".to_owned(),
        "connection: close".to_owned(),
        format!("content-length: {}", body.len()),
        "content-type: application/json".to_owned(),
        further.to_owned(),
    ];
    headers.sort_unstable();
    Reply { status: format!("HTTP/1.1 {status}"), headers, body: body.to_owned() }
}
