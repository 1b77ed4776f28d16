//! Several token services that share a database and a Redis, or a database alone.

#![allow(clippy::disallowed_methods, reason = "processes take real time")]

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

#[path = "../../../sql/src/tests/server.rs"]
#[allow(dead_code, reason = "the tests of the store use all of it")]
mod postgres;
#[path = "../../../tests/common/program.rs"]
mod program;
#[path = "../../../redis/tests/redis/server.rs"]
#[allow(dead_code, reason = "the tests of the store use all of it")]
mod server;

use program::Program;
use server::Server;
use tower_bearer::test_util::{ProofKey, TestProof};

const LOGIN: &str = r#"{"username":"ada@example.org","password":"a long password"}"#;

fn example(redis: &Server) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_token_service"));
    for name in ["DATABASE_URL", "DEMO", "PUBLIC_URL", "KEY_FILE"] {
        command.env_remove(name);
    }
    command.env("ADDR", "127.0.0.1:0").env("REDIS_URL", redis.url());
    command
}

/// The service reads revocations from its database, with or without Redis.
#[test]
#[ignore = "needs redis-server"]
fn a_token_service_starts_before_its_redis_and_seeds_it() {
    let mut redis = Server::absent();
    let directory = Directory::new();
    let one = Program::start(token_service(&redis, &directory));
    let tokens = log_in(&one);
    assert_eq!(one.call("GET", "/api/v1/me", &tokens.access, "").0, 200);
    assert_eq!(one.call("POST", "/api/v1/auth/logout/", &tokens.access, &tokens.refresh).0, 204);
    assert_eq!(one.call("GET", "/api/v1/me", &tokens.access, "").0, 401);

    redis.restart();
    let begin = Instant::now();
    while !redis.command(&["EXISTS", "tower-bearer:generation"]).ends_with('1') {
        assert!(begin.elapsed() < Duration::from_secs(10), "is seeded");
    }
    let other = Program::start(token_service(&redis, &directory));
    let tokens = log_in(&one);
    assert_eq!(other.call("GET", "/api/v1/me", &tokens.access, "").0, 200);
    assert_eq!(one.call("POST", "/api/v1/auth/logout/", &tokens.access, &tokens.refresh).0, 204);
    other.becomes(401, "/api/v1/me", &tokens.access);
}

#[test]
#[ignore = "needs redis-server"]
fn a_log_out_at_one_token_service_reaches_the_other_before_the_bound() {
    let redis = Server::start();
    let directory = Directory::new();
    let example = || token_service(&redis, &directory);
    let (one, other) = (Program::start(example()), Program::start(example()));
    let tokens = log_in(&one);
    assert_eq!(other.call("GET", "/api/v1/me", &tokens.access, "").0, 200);
    assert_eq!(one.call("POST", "/api/v1/auth/logout/", &tokens.access, &tokens.refresh).0, 204);
    other.becomes(401, "/api/v1/me", &tokens.access);
}

#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_evicts_ends_the_start() {
    let redis = Server::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let directory = Directory::new();
    let output = token_service(&redis, &directory).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("maxmemory-policy noeviction, got allkeys-lru"), "{said}");
}

#[test]
#[ignore = "needs redis-server"]
fn a_proof_is_accepted_at_one_of_two_token_services() {
    let redis = Server::start();
    let directory = Directory::new();
    let start = || {
        let mut command = token_service(&redis, &directory);
        command.env("DPOP", "allowed").env("PUBLIC_URL", "https://tokens.example");
        Program::start(command)
    };
    let (one, other) = (start(), start());
    let key = ProofKey::new();
    let url = "https://tokens.example/api/v1/auth/login/";
    let log_in = |at: &Program, proof: &TestProof| {
        // A further header follows the one with the token.
        let header = format!("none\r\nDPoP: {}", proof.issue());
        at.call("POST", "/api/v1/auth/login/", &header, LOGIN).0
    };
    let begin = Instant::now();
    while redis.command(&["EXISTS", "tower-bearer:replays-since"]) != ":1" {
        assert!(begin.elapsed() < Duration::from_secs(10), "is seeded");
        let _ = log_in(&one, &key.proof("POST", url, "").without("ath"));
    }
    // As if the window after the first start had passed.
    let script = "local server = string.match(redis.call('GET', KEYS[1]), '^(.+) %d+$')
        return redis.call('SET', KEYS[1], server .. ' 1000')";
    assert_eq!(redis.command(&["EVAL", script, "1", "tower-bearer:replays-since"]), "+OK");
    let proof = key.proof("POST", url, "").without("ath");
    assert_eq!((log_in(&one, &proof), log_in(&other, &proof)), (200, 400));
    assert_eq!(log_in(&other, &key.proof("POST", url, "").without("ath")), 200);
}

#[test]
fn an_sqlite_file_alone_carries_a_log_out_before_the_bound() {
    a_database_alone_carries_a_log_out_before_the_bound("sqlite:tokens.db");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_postgres_alone_carries_a_log_out_before_the_bound() {
    let database = postgres::Postgres::start();
    let url = database.database("tokens").await;
    tokio::task::spawn_blocking(move || a_database_alone_carries_a_log_out_before_the_bound(&url))
        .await
        .unwrap();
}

fn a_database_alone_carries_a_log_out_before_the_bound(url: &str) {
    let directory = Directory::new();
    let example = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_token_service"));
        command.env_remove("REDIS_URL").env_remove("PUBLIC_URL").env_remove("KEY_FILE");
        command.env("ADDR", "127.0.0.1:0").env("DATABASE_URL", url).env("DEMO", "1");
        command.env("DATABASE_NOTIFICATIONS", "1");
        with_a_high_bound(command, &directory)
    };
    let (one, other) = (Program::start(example()), Program::start(example()));
    let tokens = log_in(&one);
    assert_eq!(other.call("GET", "/api/v1/me", &tokens.access, "").0, 200);
    assert_eq!(one.call("POST", "/api/v1/auth/logout/", &tokens.access, &tokens.refresh).0, 204);
    assert_eq!(one.call("GET", "/api/v1/me", &tokens.access, "").0, 401);
    other.becomes(401, "/api/v1/me", &tokens.access);
}

fn token_service(redis: &Server, directory: &Directory) -> Command {
    with_a_high_bound(example(redis), directory)
}

/// With a staleness bound of one hour, so that only a push can be the reason.
fn with_a_high_bound(mut command: Command, directory: &Directory) -> Command {
    command.current_dir(&directory.0).env("REVOCATION_BOUND", "3600");
    command.env("DEMO_EMAIL", "ada@example.org").env("DEMO_PASSWORD", "a long password");
    command.env_remove("ISSUER").env_remove("AUDIENCE");
    command
}

struct Tokens {
    access: String,
    /// The body of a log-out.
    refresh: String,
}

fn log_in(at: &Program) -> Tokens {
    let (status, body) = at.call("POST", "/api/v1/auth/login/", "", LOGIN);
    assert_eq!(status, 200, "{body}");
    let tokens: serde_json::Value = serde_json::from_str(&body).unwrap();
    let refresh = format!(r#"{{"refresh_token":{}}}"#, tokens["refresh_token"]);
    Tokens { access: tokens["access_token"].as_str().unwrap().to_owned(), refresh }
}

/// The directory for the files of a token service.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("bearer-redis-example-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
