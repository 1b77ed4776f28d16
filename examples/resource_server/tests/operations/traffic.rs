//! A resource server under traffic, and a relay that fails.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
};

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tower_bearer::{Algorithm, jws::SigningKey};
use tower_bearer_issuing::store::MemoryTokenStore;
use tower_bearer_redis::{OutboxRelay, RedisStore};

use super::{
    program::Program,
    redis_server::{Server as Redis, free_port},
};

const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "api://orders";

/// The reasons of the rejections in the traffic.
pub(crate) const REASONS: [&str; 8] = [
    "expired",
    "wrong_audience",
    "unknown_key",
    "insufficient_scope",
    "insufficient_user_authentication",
    "malformed_token",
    "revoked",
    "revocation_unavailable",
];

/// Runs until it is dropped.
pub(crate) struct Traffic {
    metrics: String,
    relay: String,
    is_over: Arc<AtomicBool>,
    client: Option<JoinHandle<()>>,
    /// In the order in which they end.
    _runtime: tokio::runtime::Runtime,
    _redis: Redis,
}

impl Traffic {
    pub(crate) fn start() -> Self {
        let redis = Redis::start();
        let key = SigningKey::generate(Algorithm::ES256).unwrap().with_key_id("one");
        let jwks = format!(r#"{{"keys":[{}]}}"#, key.public_jwk_json().unwrap());
        let keys = serve("application/json", move || jwks.clone());
        let metrics = format!("127.0.0.1:{}", free_port());
        let example = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_resource_server"));
            for name in ["OIDC_ISSUER", "JWKS_FILE", "HS256_SECRET", "TENANTS", "RESOURCE"] {
                command.env_remove(name);
            }
            command.env("ADDR", "127.0.0.1:0").env("METRICS_ADDR", &metrics);
            command.env("JWKS_URL", format!("http://{keys}/")).env("REDIS_URL", redis.url());
            command.env("ISSUER", ISSUER).env("AUDIENCE", AUDIENCE);
            command
        };
        let server = Program::start(example());
        let tokens = Tokens { key };
        // Redis has no generation yet, so the answer is 503: the first `unavailable`.
        assert_eq!(server.call("GET", "/whoami", &tokens.valid("first"), "").0, 503);
        let initialised = example().env("METRICS_ADDR", "").arg("--initialise-redis").status();
        assert!(initialised.unwrap().success());
        server.becomes(200, "/whoami", &tokens.valid("first"));

        let is_over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_over);
        let client = thread::spawn(move || {
            let mut round = 0;
            while !stop.load(Relaxed) {
                send_all(&server, &tokens, round);
                round += 1;
            }
        });
        let (runtime, relay) = failing_relay();
        Self { metrics, relay, is_over, client: Some(client), _runtime: runtime, _redis: redis }
    }

    /// Where Prometheus finds metrics: of the resource server, and of the process with the relay.
    pub(crate) fn targets(&self) -> [String; 2] {
        [self.metrics.clone(), self.relay.clone()]
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        let outcome = self.client.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(outcome, Some(Ok(()))), "the client ended with an error");
        }
    }
}

struct Tokens {
    key: SigningKey,
}

impl Tokens {
    fn valid(&self, id: &str) -> String {
        self.with(id, json!({}))
    }

    /// A token with these claims, which replace those of a valid one.
    fn with(&self, id: &str, claims: Value) -> String {
        sign(&self.key, id, claims)
    }
}

fn sign(key: &SigningKey, id: &str, claims: Value) -> String {
    let now = jsonwebtoken::get_current_timestamp();
    let mut all = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "jti": id, "iat": now, "exp": now + 600,
    });
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    key.sign("at+jwt", &all.to_string()).unwrap()
}

/// One request of each kind. A new `jti` makes the server ask Redis.
fn send_all(server: &Program, tokens: &Tokens, round: u32) {
    let id = |kind: &str| format!("{kind}-{round}");
    let now = jsonwebtoken::get_current_timestamp();
    let unknown = SigningKey::generate(Algorithm::ES256).unwrap().with_key_id("unknown");
    let valid = tokens.valid(&id("valid"));
    let revoked = tokens.valid(&id("revoked"));
    for (method, path, token, status) in [
        ("GET", "/whoami", &valid, 200),
        ("GET", "/whoami", &valid, 200),
        ("GET", "/admin", &valid, 403),
        ("GET", "/transfer", &valid, 401),
        ("GET", "/whoami", &tokens.with(&id("expired"), json!({ "exp": now - 600 })), 401),
        ("GET", "/whoami", &tokens.with(&id("aud"), json!({ "aud": "api://other" })), 401),
        ("GET", "/whoami", &sign(&unknown, &id("unknown"), json!({})), 401),
        ("GET", "/whoami", &"malformed".to_owned(), 401),
        ("POST", "/logout", &revoked, 204),
        ("GET", "/whoami", &revoked, 401),
    ] {
        assert_eq!(server.call(method, path, token, "").0, status, "{path}");
    }
}

/// A relay to a Redis that is not there, and the address of its metrics.
fn failing_relay() -> (tokio::runtime::Runtime, String) {
    let recorder = PrometheusBuilder::new().install_recorder().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let url = format!("redis://127.0.0.1:{}", free_port());
    let connect = RedisStore::builder(&url).allow_unreachable_at_start().connect();
    let redis = runtime.block_on(connect).unwrap();
    let relay = OutboxRelay::new(MemoryTokenStore::new(), redis);
    // The task ends with the runtime.
    let _ = runtime.block_on(async { relay.spawn() });
    (runtime, serve("text/plain; version=0.0.4", move || recorder.render()))
}

/// Answers every request with what `body` returns. Returns the address.
fn serve(content_type: &'static str, body: impl Fn() -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // Until the empty line: a client may not have sent all of its request when the answer ends the connection.
            let lines = BufReader::new(&stream).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let body = body();
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nConnection: close\r\n\
                 Content-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    address
}
