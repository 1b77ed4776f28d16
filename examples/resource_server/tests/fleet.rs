//! Several resource servers that share a Redis or a database.

#![allow(clippy::disallowed_methods, reason = "processes take real time")]

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

#[path = "../../../sql/src/tests/server.rs"]
#[allow(dead_code, reason = "the tests of the store use all of it")]
mod postgres;
#[path = "../../../tests/common/program.rs"]
mod program;
#[path = "../../../redis/tests/redis/server.rs"]
#[allow(dead_code, reason = "the tests of the store use all of it")]
mod server;
#[path = "../../../tests/common/tokens.rs"]
mod tokens;

use program::Program;
use server::Server;
use tower_bearer::{
    UnixTime,
    revocation::{Revocable, RevocationEntry, RevocationStore},
    test_util::ProofKey,
};
use tower_bearer_sql::SqlStore;

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

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn a_database_alone_carries_revocations_to_all_resource_servers() {
    let database = postgres::Postgres::start();
    let url = database.database("tokens").await;
    let example = || {
        let mut command = with_an_issuer(Command::new(env!("CARGO_BIN_EXE_resource_server")));
        command.env("ADDR", "127.0.0.1:0").env_remove("REDIS_URL").env("DATABASE_URL", &url);
        command
    };
    let (one, other) = (Program::start(example()), Program::start(example()));
    let [token, of_session] = [token(), token_with(r#","sid":"s""#)];
    for server in [&one, &other] {
        server.becomes(200, "/whoami", &token);
        server.becomes(200, "/whoami", &of_session);
    }
    assert_eq!(one.call("POST", "/logout", &token, "").0, 204);
    assert_eq!(one.call("GET", "/whoami", &token, "").0, 401);
    other.becomes(401, "/whoami", &token);

    // As an issuer does.
    let store = SqlStore::open(&url).await.unwrap();
    let end = UnixTime::from_secs(4_102_444_800);
    let alice = Revocable::subject("https://issuer.example", "alice");
    store.revoke(&RevocationEntry::new(alice, end)).await.unwrap();
    for server in [&one, &other] {
        server.becomes(401, "/whoami", &of_session);
    }

    let mut both = example();
    let output = both.env("REDIS_URL", "redis://127.0.0.1:1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("REDIS_URL and DATABASE_URL exclude each other"), "{said}");
}

fn resource_server(redis: &Server) -> Command {
    with_an_issuer(example(redis))
}

fn with_an_issuer(mut command: Command) -> Command {
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

#[test]
#[ignore = "needs redis-server"]
fn a_proof_is_accepted_at_one_of_two_resource_servers() {
    let redis = Server::start();
    let start = || {
        let address = format!("127.0.0.1:{}", server::free_port());
        let mut command = resource_server(&redis);
        command.env("ADDR", &address).env("DPOP", "required").env("PUBLIC_URL", "https://api");
        (Program::start(command), address)
    };
    let [one, other] = [start(), start()];
    let initialised = resource_server(&redis).arg("--initialise-redis").output().unwrap();
    assert!(initialised.status.success());
    let key = ProofKey::new();
    let token = token_with(&format!(r#","cnf":{{"jkt":"{}"}}"#, key.thumbprint()));
    let new_proof = || key.proof("GET", "https://api/whoami", &token).issue();
    assert_eq!(status(&one.1, &token, &new_proof()), 503, "within the first window");

    // As if the window had passed.
    let script = "local server = string.match(redis.call('GET', KEYS[1]), '^(.+) %d+$')
        return redis.call('SET', KEYS[1], server .. ' 1000')";
    assert_eq!(redis.command(&["EVAL", script, "1", "tower-bearer:replays-since"]), "+OK");
    let proof = new_proof();
    assert_eq!(status(&one.1, &token, &proof), 200);
    assert_eq!(status(&other.1, &token, &proof), 401);
    assert_eq!(status(&other.1, &token, &new_proof()), 200);
}

fn status(address: &str, token: &str, proof: &str) -> u16 {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("Host: api\r\nAuthorization: DPoP {token}\r\nDPoP: {proof}\r\n");
    write!(stream, "GET /whoami HTTP/1.1\r\n{head}Connection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A token that is valid for an hour.
fn token() -> String {
    token_with("")
}

fn token_with(more: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(
        r#"{{"iss":"https://issuer.example","aud":"api://orders","sub":"alice","jti":"a{}","iat":{},"exp":{}{more}}}"#,
        more.len(),
        now - 60,
        now + 3_600
    );
    tokens::sign_hs256(r#"{"alg":"HS256"}"#, &claims)
}
