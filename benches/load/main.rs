//! Measures a whole server on the loopback interface, with and without the layer, with its own client.
//!
//! `load [SECONDS]` runs for this time in total (default 10, from 3 to 600) and prints requests for each second. Server
//! and client run in this process, each on half of the cores. The cases take turns, so that all of them have the same
//! noise.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::{
    env,
    error::Error,
    net::SocketAddr,
    num::NonZero,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{Router, routing::get};
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::{Instant, timeout},
};
use tower_bearer::{
    Algorithm, Authenticated, Authenticator, BearerLayer, Issuer, Key, RevocationCache,
    claims::UntypedClaims, revocation::MemoryStore,
};

#[path = "../../tests/common/tokens.rs"]
mod tokens;

const ISSUED_AT: u64 = 1_750_000_000;
const EXPIRES_AT: u64 = 4_000_000_000;
/// Keep-alive connections. Each has one running request at any time.
const CONNECTIONS: usize = 64;
/// The number of different tokens. It is small, so that all of them are in the cache.
const TOKENS: usize = 100;
/// How long one case runs before the next one.
const TURN: Duration = Duration::from_millis(500);

type Failure = Box<dyn Error + Send + Sync>;
type Connection = SendRequest<Empty<bytes::Bytes>>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    // `cargo bench` adds `--bench`.
    let seconds = env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let seconds = seconds.map_or(Ok(10), |seconds| seconds.parse::<u64>())?.clamp(3, 600);
    let cores = thread::available_parallelism().map_or(2, NonZero::get);
    let (server, client) = (runtime(cores / 2)?, runtime(cores / 2)?);

    let credentials = Arc::new(credentials()?);
    let mut cases = Vec::new();
    for (name, layer) in [
        ("unprotected", None),
        ("protected, hot tokens", Some(layer(None)?)),
        ("protected, every token verified", Some(layer(Some(0))?)),
    ] {
        let address = server.block_on(serve(layer))?;
        let connections = client.block_on(connect(address, &credentials))?;
        cases.push(Case { name, connections, requests: 0, time: Duration::ZERO });
    }

    // The first turn of each case is not counted, because it fills caches.
    let turns = Duration::from_secs(seconds).as_millis() / TURN.as_millis() / cases.len() as u128;
    for turn in 0..=turns.max(1) {
        for case in &mut cases {
            let (requests, time) = client.block_on(case.take_turn(&credentials))?;
            if turn > 0 {
                case.requests += requests;
                case.time += time;
            }
        }
    }

    let bare = cases[0].per_second();
    println!(
        "{CONNECTIONS} connections, {TOKENS} ES256 tokens, {cores} cores, {seconds} s in total"
    );
    for case in &cases {
        let rate = case.per_second();
        println!("{:<32} {rate:>9.0} requests/s   {:.3}", case.name, rate / bare);
    }
    Ok(())
}

struct Case {
    name: &'static str,
    connections: Vec<Connection>,
    requests: u64,
    time: Duration,
}

impl Case {
    /// The number of requests that were answered in one turn, and the duration of the turn.
    async fn take_turn(
        &mut self,
        credentials: &Arc<Vec<HeaderValue>>,
    ) -> Result<(u64, Duration), Failure> {
        let answered = Arc::new(AtomicU64::new(0));
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for (number, mut connection) in self.connections.drain(..).enumerate() {
            let (answered, credentials) = (Arc::clone(&answered), Arc::clone(credentials));
            tasks.spawn(async move {
                let mut next = number;
                while start.elapsed() < TURN {
                    next = (next + 1) % credentials.len();
                    ask(&mut connection, Some(&credentials[next]), StatusCode::OK).await?;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, Failure>(connection)
            });
        }
        while let Some(connection) = timeout(10 * TURN, tasks.join_next()).await? {
            self.connections.push(connection??);
        }
        Ok((answered.load(Ordering::Relaxed), start.elapsed()))
    }

    fn per_second(&self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }
}

/// Sends one request and reads the whole response.
async fn ask(
    connection: &mut Connection,
    credential: Option<&HeaderValue>,
    expected: StatusCode,
) -> Result<(), Failure> {
    connection.ready().await?;
    let mut request = Request::get("/").header(header::HOST, "localhost");
    if let Some(credential) = credential {
        request = request.header(header::AUTHORIZATION, credential);
    }
    let response = connection.send_request(request.body(Empty::new())?).await?;
    let status = response.status();
    response.into_body().collect().await?;
    if status == expected { Ok(()) } else { Err(format!("{status} in place of {expected}").into()) }
}

fn runtime(threads: usize) -> Result<Runtime, Failure> {
    Ok(Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()?)
}

/// Serves one route on a free port until the runtime ends.
async fn serve(layer: Option<BearerLayer>) -> Result<SocketAddr, Failure> {
    let router = match layer {
        None => Router::new().route("/", get(async || "hello")),
        Some(layer) => Router::new()
            .route("/", get(async |_: Authenticated<UntypedClaims>| "hello"))
            .route_layer(layer),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn connect(
    address: SocketAddr,
    credentials: &[HeaderValue],
) -> Result<Vec<Connection>, Failure> {
    let mut connections = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (mut connection, driver) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(driver);
        ask(&mut connection, credentials.first(), StatusCode::OK).await?;
        connections.push(connection);
    }
    Ok(connections)
}

/// The layer with revocation, and with its defaults or this many bytes for the token cache.
fn layer(token_cache: Option<u64>) -> Result<BearerLayer, Failure> {
    let key = Key::from_pem(Algorithm::ES256, tokens::fixture("p256.public.pem"))?;
    let issuer = Issuer::new("https://issuer.example", key).audience("api://orders");
    let revocation = RevocationCache::new(MemoryStore::new(), Duration::from_secs(3_600));
    let builder = Authenticator::builder().claims().issuer(issuer).revocation(revocation);
    let builder = match token_cache {
        Some(bytes) => builder.with_token_cache_capacity(bytes),
        None => builder,
    };
    Ok(BearerLayer::new(builder.build()?))
}

fn credentials() -> Result<Vec<HeaderValue>, Failure> {
    let key = tokens::p256_key();
    let credential = |number| {
        let claims = format!(
            r#"{{"iss":"https://issuer.example","sub":"248289761001","aud":"api://orders","jti":"{number}","scope":"openid profile orders:read","iat":{ISSUED_AT},"exp":{EXPIRES_AT}}}"#
        );
        let token = tokens::sign(
            jsonwebtoken::Algorithm::ES256,
            &key,
            r#"{"alg":"ES256","typ":"at+jwt"}"#,
            &claims,
        );
        Ok(HeaderValue::try_from(format!("Bearer {token}"))?)
    };
    (0..TOKENS).map(credential).collect()
}
