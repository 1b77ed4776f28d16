//! Several token services that share a database and a Redis.

#![allow(clippy::disallowed_methods, reason = "processes take real time")]

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

#[path = "../../../tests/common/program.rs"]
mod program;
#[path = "../../../redis/tests/redis/server.rs"]
#[allow(dead_code, reason = "the tests of the store use all of it")]
mod server;

use program::Program;
use server::Server;

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

/// With a staleness bound of one hour, so that only a push can be the reason.
fn token_service(redis: &Server, directory: &Directory) -> Command {
    let mut command = example(redis);
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
    let login = r#"{"username":"ada@example.org","password":"a long password"}"#;
    let (status, body) = at.call("POST", "/api/v1/auth/login/", "", login);
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
