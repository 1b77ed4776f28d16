//! Serves a router over HTTP/1 and HTTP/2 with timeouts, for the examples. `axum::serve` has no timeouts, so a client
//! that sends slowly, or nothing, can keep a connection open forever.
//!
//! 1. A connection must send the headers of its first request within [`Limits::first_request`].
//! 2. A connection that has no request in progress for [`Limits::idle`] is closed.
//! 3. If a request body pauses for longer than [`Limits::body_pause`], the handler gets an error.
//! 4. A request whose response does not begin within [`Limits::request`] gets 408.
//! 5. At most [`Limits::connections`] connections are open. Others wait in the queue of the operating system.
//! 6. An HTTP/2 client that does not answer pings is disconnected.
//! 7. After the signal to stop, the requests in progress may take up to [`Limits::shutdown`].
//!
//! It does not limit how slowly a client reads a response. Rule 5 limits how many such clients there can be.

mod in_progress;

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response, StatusCode},
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower::Service as _;
use tower_http::timeout::{TimeoutBody, TimeoutLayer};

use self::in_progress::{Requests, Sending};

/// How often an HTTP/2 client is pinged, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest head of an HTTP/1 request, in bytes. The default of hyper is more than 400 KiB for each connection.
const MAX_HEAD: usize = 64 * 1024;

/// How long an idle connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long the server waits after the system refused a connection, for example because no file handle is left.
const AFTER_REFUSAL: Duration = Duration::from_millis(200);

/// The limits of [`serve`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections may be open. The process needs as many file handles, and some more. Default: 900, because a
    /// process has 1024 file handles on many systems.
    pub connections: usize,
    /// How long a new connection may take to send the headers of its first request. Default: 10 seconds.
    pub first_request: Duration,
    /// How long a connection may have no request in progress. Default: 75 seconds. It must be longer than the same
    /// limit of a proxy in front, which is often 60 seconds. Otherwise the proxy may send a request on a connection
    /// that is being closed, and answer 502.
    pub idle: Duration,
    /// How long a request body may pause. Default: 10 seconds.
    pub body_pause: Duration,
    /// How long a request may take from its headers to the headers of its response. Default: 60 seconds.
    pub request: Duration,
    /// How long requests in progress may take after the signal to stop. Default: 10 seconds.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 900,
            first_request: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body_pause: Duration::from_secs(10),
            request: Duration::from_secs(60),
            shutdown: Duration::from_secs(10),
        }
    }
}

/// Answers requests until `stop` is ready. Then it accepts no more connections, and finishes the requests in progress.
///
/// Handlers find the address of the client in [`ConnectInfo<SocketAddr>`](ConnectInfo).
pub async fn serve(
    listener: TcpListener,
    app: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let app =
        app.layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limits.request));
    let server = Server { app, limits, http: Arc::new(http()) };
    let free = Arc::new(Semaphore::new(limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    let (stopping, stopped) = watch::channel(false);
    let (mut connections, mut stop) = (JoinSet::new(), pin!(stop));
    loop {
        let next = async { (Arc::clone(&free).acquire_owned().await, accept(&listener).await) };
        tokio::select! {
            () = &mut stop => break,
            (slot, (stream, client)) = next => {
                let (server, stopped) = (server.clone(), stopped.clone());
                connections.spawn(async move {
                    server.connection(stream, client, stopped).await;
                    drop(slot);
                });
            }
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let _ = stopping.send(true);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(limits.shutdown, all).await;
}

/// Is ready after SIGTERM or ctrl-c.
///
/// # Errors
/// If the system does not let the process handle signals.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn http() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    // `Requests::quiet` limits how long headers take, over both versions of HTTP and before the version is known.
    http.http1().header_read_timeout(None).max_buf_size(MAX_HEAD);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

#[expect(
    clippy::disallowed_methods,
    reason = "the system does not report when a file handle is free"
)]
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The client has gone, or the process has too many open files. Both pass.
            Err(_) => sleep(AFTER_REFUSAL).await,
        }
    }
}

#[derive(Clone)]
struct Server {
    app: Router,
    limits: Limits,
    http: Arc<Builder<TokioExecutor>>,
}

impl Server {
    async fn connection(
        &self,
        stream: TcpStream,
        client: SocketAddr,
        mut stopped: watch::Receiver<bool>,
    ) {
        let requests = Requests::default();
        let service = service_fn(|request| self.answer(request, client, &requests));
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let mut rest = Duration::MAX;
        tokio::select! {
            _ = connection.as_mut() => return,
            () = requests.quiet(self.limits.first_request, self.limits.idle) => rest = GOODBYE,
            _ = stopped.wait_for(|is_stopped| *is_stopped) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(rest, connection).await;
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        client: SocketAddr,
        requests: &Requests,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
        let (in_progress, pause) = (requests.begin(), self.limits.body_pause);
        let mut request = request.map(|body| Body::new(TimeoutBody::new(pause, body)));
        request.extensions_mut().insert(ConnectInfo(client));
        let mut app = self.app.clone();
        async move {
            let response = app.call(request).await?;
            Ok(response.map(|body| Body::new(Sending::new(body, in_progress))))
        }
    }
}
