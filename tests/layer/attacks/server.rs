//! A server on a loopback socket with the layer in front of it, and a client that sends whatever bytes it is given.
//!
//! Each request is sent twice: its very bytes over HTTP/1, and then the same method, target, headers and body over
//! HTTP/2 with prior knowledge. Both must get the same answer for the same reason. Not sent over HTTP/2 are requests
//! that it cannot carry, such as folded lines, and `CONNECT`, whose answers have rules of their own there.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Router, response::Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, uri::Authority};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_bearer::{
    Authenticator, BearerLayer, Issuer, Rejection, RejectionKind, UnixTime, claims::ManualClock,
    rejection::Answer,
};

use crate::common::requests::{NOW, layer};

/// What the service behind the layer answers.
pub(crate) const PASSED: &str = "from the service behind the layer";

pub(crate) struct Server {
    address: SocketAddr,
    /// Why the latest request was refused, read outside of the layer: no client can see it.
    reason: Arc<Mutex<Option<RejectionKind>>>,
    /// How many requests have reached the service behind the layer. One that is sent over both protocols counts once.
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
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    let mut http = auto::Builder::new(TokioExecutor::new());
                    // As long headers as HTTP/1 has.
                    http.http2().max_header_list_size(1 << 20);
                    http.serve_connection_with_upgrades(TokioIo::new(stream), service).await
                });
            }
        });
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

    /// Sends a request over both protocols, which must agree. Returns the reply of HTTP/1.
    pub(crate) async fn send(&self, request: impl AsRef<[u8]>) -> Reply {
        let request = request.as_ref();
        let before = self.reached();
        let reply = self.send_over_http_1(request).await;
        let Some(same) = over_http_2(request) else { return reply };
        let (reason, reached) = (self.reason(), self.reached());
        let second = self.send_over_http_2(same).await;
        let shown = request.escape_ascii();
        assert_eq!(second, reply.without_version(), "{shown}");
        assert_eq!(self.reason(), reason, "over HTTP/2: {shown}");
        assert_eq!(self.reached() - reached, reached - before, "over HTTP/2: {shown}");
        self.reached.store(reached, Ordering::SeqCst);
        reply
    }

    /// Sends a request on a new HTTP/2 connection. The reply has no version and no header of the connection.
    pub(crate) async fn send_over_http_2<B>(&self, request: Request<B>) -> Reply
    where
        B: http_body::Body<Data = Bytes, Error: std::error::Error + Send + Sync>
            + Send
            + Unpin
            + 'static,
    {
        *self.reason.lock().unwrap() = None;
        let stream = TokioIo::new(TcpStream::connect(self.address).await.unwrap());
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        let (parts, body) = client.send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut headers: Vec<_> = parts
            .headers
            .iter()
            .filter(|(name, _)| *name != "date")
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort_unstable();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Reply { status: parts.status.to_string(), headers, body }
    }

    /// Sends a request's very bytes, and reads to the end of the connection.
    async fn send_over_http_1(&self, request: &[u8]) -> Reply {
        *self.reason.lock().unwrap() = None;
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
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
    let builder = Authenticator::builder().with_clock(ManualClock::at(UnixTime::from_secs(now)));
    let builder = issuers.into_iter().fold(builder, |builder, issuer| builder.issuer(issuer));
    builder.build().unwrap()
}

impl Reply {
    /// As HTTP/2 has it.
    pub(crate) fn without_version(&self) -> Self {
        let (_, status) = self.status.split_once(' ').unwrap_or_default();
        let headers = self.headers.iter().filter(|line| !line.starts_with("connection:"));
        Self {
            status: status.to_owned(),
            headers: headers.cloned().collect(),
            body: self.body.clone(),
        }
    }

    fn parse(response: &str) -> Self {
        let (head, body) = response.split_once("\r\n\r\n").unwrap_or((response, ""));
        let mut lines = head.split("\r\n").map(str::to_owned);
        let status = lines.next().unwrap_or_default();
        let mut headers: Vec<_> = lines.filter(|line| !line.starts_with("date:")).collect();
        headers.sort_unstable();
        Self { status, headers, body: body.to_owned() }
    }
}

/// The request of these bytes as HTTP/2 carries it; `None` if it cannot.
fn over_http_2(request: &[u8]) -> Option<Request<Full<Bytes>>> {
    let end = request.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (&request[..end], Bytes::copy_from_slice(&request[end + 4..]));
    let mut lines =
        head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut start = lines.next()?.split(|byte| *byte == b' ');
    let method = Method::from_bytes(start.next()?).ok()?;
    if method == Method::CONNECT {
        return None;
    }
    let target = Uri::try_from(start.next()?).ok()?.into_parts();
    let mut authority = target.authority;
    let mut built = Request::new(Full::new(body));
    for line in lines {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':')?);
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_bytes(value[1..].trim_ascii()).ok()?;
        match name.as_str() {
            "connection" | "upgrade" => {}
            "transfer-encoding" => return None,
            // A host that no URI can have stays a header.
            "host" if Authority::try_from(value.as_bytes()).is_ok() => {
                authority = authority.or(Authority::try_from(value.as_bytes()).ok());
            }
            _ => {
                built.headers_mut().append(name, value);
            }
        }
    }
    let authority = authority.unwrap_or_else(|| Authority::from_static("api.example"));
    *built.method_mut() = method;
    *built.uri_mut() = Uri::builder()
        .scheme("http")
        .authority(authority)
        .path_and_query(target.path_and_query?)
        .build()
        .ok()?;
    Some(built)
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
