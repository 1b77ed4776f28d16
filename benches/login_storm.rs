//! Measures how many log-ins at once affect other users: the latency of a protected call with and without them.
//!
//! `cargo bench --bench login_storm` serves the token API and a protected endpoint on loopback, with real password
//! hashes (argon2id, 19 MiB). It measures three cases in turn:
//!
//! 1. Quiet.
//! 2. 18 people log in. Each logs in again as soon as the answer arrives, so passwords are checked all the time.
//! 3. 200 clients guess passwords, each ten times a second.
//!
//! `SECONDS` is the duration of each case [5]. Server and clients share the processors of this machine.

#![allow(clippy::print_stdout, reason = "the result is printed")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tower_bearer::{Algorithm, Authenticated, jws::SigningKey};
use tower_bearer_issuing::{
    Account, MemoryAccounts, Passwords, StoredAccount, TokenIssuer, hash_password,
    store::MemoryTokenStore,
};

/// Below the limit of simultaneous attempts from one address, so that all are let in.
const PEOPLE: usize = 18;
const GUESSERS: usize = 200;
const GUESSES_EVERY: Duration = Duration::from_millis(100);
const PASSWORD: &str = "correct horse battery staple";

type Statuses = Arc<Mutex<BTreeMap<StatusCode, usize>>>;

#[tokio::main]
async fn main() {
    let seconds = env::var("SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(5);
    let time = Duration::from_secs(seconds);
    let service = Service::start().await;
    let login = service.post("/login/", &credentials(0, PASSWORD)).await.1;
    let access = login["access_token"].as_str().expect("the account exists").to_owned();

    println!("| | calls/s | p50 | p99 | p99.9 | slowest | log-ins answered |");
    println!("|---|---|---|---|---|---|---|");
    service.measure("quiet", &access, time, &Storm::None).await;
    service.measure("18 people log in", &access, time, &Storm::People).await;
    service.measure("200 clients guess", &access, time, &Storm::Guessers).await;
}

enum Storm {
    None,
    People,
    Guessers,
}

#[derive(Clone)]
struct Service {
    address: SocketAddr,
    client: Client<HttpConnector, Body>,
}

impl Service {
    async fn start() -> Self {
        let accounts = MemoryAccounts::new();
        let hash = hash_password(PASSWORD).expect("memory and randomness");
        for (id, number) in (1..).zip(0..PEOPLE) {
            let account = Account::new(id, format!("{number}@example.org"));
            accounts.insert(StoredAccount::new(account, hash.as_str()));
        }
        let key = SigningKey::generate(Algorithm::ES256).expect("a backend");
        let passwords = Passwords::new(accounts).expect("randomness");
        let store = MemoryTokenStore::new();
        let issuer = TokenIssuer::builder("https://issuer.example", "api", key, store, passwords)
            .build()
            .expect("good settings");
        let app = Router::new()
            .route("/me", get(async |user: Authenticated| format!("{:?}", user.expires_at())))
            .route_layer(issuer.layer())
            .merge(issuer.router());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, app).await.expect("it listens");
        });
        Self { address, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::post(format!("http://{}{path}", self.address))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let response = self.client.request(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Eight clients call the protected endpoint while the storm runs.
    async fn measure(&self, name: &str, token: &str, time: Duration, storm: &Storm) {
        let statuses = Statuses::default();
        let (clients, password, pause) = match storm {
            Storm::None => (0, "", None),
            Storm::People => (PEOPLE, PASSWORD, None),
            Storm::Guessers => (GUESSERS, "guess", Some(GUESSES_EVERY)),
        };
        let storm: Vec<_> = (0..clients)
            .map(|number| {
                let body = credentials(number, password);
                let (service, statuses) = (self.clone(), Arc::clone(&statuses));
                tokio::spawn(async move {
                    loop {
                        let (status, _) = service.post("/login/", &body).await;
                        *statuses.lock().expect("no task panics").entry(status).or_default() += 1;
                        if let Some(pause) = pause {
                            tokio::time::sleep(pause).await;
                        }
                    }
                })
            })
            .collect();
        let end = Instant::now() + time;
        let callers: Vec<_> =
            (0..8).map(|_| tokio::spawn(self.clone().call_until(token.to_owned(), end))).collect();
        let mut latencies = Vec::new();
        for caller in callers {
            latencies.extend(caller.await.expect("it does not panic"));
        }
        storm.iter().for_each(tokio::task::JoinHandle::abort);
        latencies.sort_unstable();
        let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
        let answered: Vec<String> = {
            let statuses = statuses.lock().expect("no task panics");
            statuses.iter().map(|(status, n)| format!("{} x {n}", status.as_u16())).collect()
        };
        println!(
            "| {name} | {:.0} | {:.2?} | {:.2?} | {:.2?} | {:.2?} | {} |",
            latencies.len() as f64 / time.as_secs_f64(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            answered.join(", "),
        );
    }

    async fn call_until(self, token: String, end: Instant) -> Vec<Duration> {
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let request = Request::get(format!("http://{}/me", self.address))
                .header("authorization", format!("Bearer {token}"))
                .body(Body::empty())
                .expect("a request");
            let before = Instant::now();
            let response = self.client.request(request).await.expect("an answer");
            assert_eq!(response.status(), StatusCode::OK);
            response.into_body().collect().await.expect("a body");
            latencies.push(before.elapsed());
        }
        latencies
    }
}

fn credentials(number: usize, password: &str) -> Value {
    json!({ "username": format!("{number}@example.org"), "password": password })
}
