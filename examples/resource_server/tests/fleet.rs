//! Several resource servers that share a Redis.

#![allow(clippy::disallowed_methods, reason = "processes take real time")]

use std::{
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

#[path = "../../../tests/common/program.rs"]
mod program;
#[path = "../../../redis/tests/redis/server.rs"]
#[allow(dead_code, reason = "the tests of the store use all of it")]
mod server;
#[path = "../../../tests/common/tokens.rs"]
mod tokens;

use program::Program;
use server::Server;

fn example(redis: &Server) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_resource_server"));
    for name in ["OIDC_ISSUER", "JWKS_URL", "JWKS_FILE", "DATABASE_URL", "PUBLIC_URL", "KEY_FILE"] {
        command.env_remove(name);
    }
    command.env("ADDR", "127.0.0.1:0").env("REDIS_URL", redis.url());
    command
}

#[test]
#[ignore = "needs redis-server"]
fn a_log_out_at_one_resource_server_reaches_the_other() {
    let redis = Server::start();
    let example = || resource_server(&redis);
    let (one, other) = (Program::start(example()), Program::start(example()));
    let token = token();
    assert_eq!(one.call("GET", "/whoami", &token, "").0, 503, "Redis is not initialised");
    for answer in ["initialised\n", "was initialised before\n"] {
        let output = example().arg("--initialise-redis").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), answer);
    }
    one.becomes(200, "/whoami", &token);
    other.becomes(200, "/whoami", &token);
    assert_eq!(one.call("POST", "/logout", &token, "").0, 204);
    assert_eq!(one.call("GET", "/whoami", &token, "").0, 401);
    other.becomes(401, "/whoami", &token);
}

fn resource_server(redis: &Server) -> Command {
    let mut command = example(redis);
    command.env("HS256_SECRET", std::str::from_utf8(tokens::SECRET).unwrap());
    command.env("ISSUER", "https://issuer.example").env("AUDIENCE", "api://orders");
    command
}

#[test]
#[ignore = "needs redis-server"]
fn a_resource_server_starts_before_its_redis_and_needs_no_restart() {
    let mut redis = Server::absent();
    let server = Program::start(resource_server(&redis));
    let token = token();
    assert_eq!(server.call("GET", "/whoami", &token, "").0, 503);
    redis.restart();
    server.becomes(503, "/whoami", &token);
    let initialised = resource_server(&redis).arg("--initialise-redis").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&initialised.stdout), "initialised\n");
    server.becomes(200, "/whoami", &token);
}

#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_evicts_ends_the_start() {
    let redis = Server::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let output = resource_server(&redis).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("maxmemory-policy noeviction, got allkeys-lru"), "{said}");
}

/// A token that is valid for an hour.
fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(
        r#"{{"iss":"https://issuer.example","aud":"api://orders","sub":"alice","jti":"a","iat":{},"exp":{}}}"#,
        now - 60,
        now + 3_600
    );
    tokens::sign_hs256(r#"{"alg":"HS256"}"#, &claims)
}
