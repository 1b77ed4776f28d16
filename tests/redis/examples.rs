//! The example programs, as several processes that share a Redis.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::{server::Server, service::token};

struct Program {
    process: Child,
    address: String,
}

impl Program {
    fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("`cargo test` builds them");
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut ready = String::new();
        output.read_line(&mut ready).unwrap();
        // The rest is read as well, so that it finds somewhere to go.
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(drop));
        let address =
            ready.trim_end().strip_prefix("listening on http://").expect("the ready line");
        Self { process, address: address.to_owned() }
    }

    /// Status and body.
    fn call(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let host = &self.address;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn becomes(&self, status: u16, path: &str, token: &str) {
        let begin = Instant::now();
        while self.call("GET", path, token, "").0 != status {
            assert!(begin.elapsed() < Duration::from_secs(10), "never {status}");
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn example(name: &str, redis: &Server) -> Command {
    let test = std::env::current_exe().unwrap();
    let examples: PathBuf = test.parent().unwrap().parent().unwrap().join("examples");
    let mut command = Command::new(examples.join(name));
    for name in ["OIDC_ISSUER", "JWKS_URL", "JWKS_FILE", "DATABASE_URL", "PUBLIC_URL", "KEY_FILE"] {
        command.env_remove(name);
    }
    command.env("ADDR", "127.0.0.1:0").env("REDIS_URL", redis.url());
    command
}

#[test]
#[ignore = "needs redis-server"]
fn who_logs_out_at_one_resource_server_is_logged_out_at_the_other() {
    let redis = Server::start();
    let example = || resource_server(&redis);
    let (one, other) = (Program::start(example()), Program::start(example()));
    let token = token("a");
    assert_eq!(one.call("GET", "/whoami", &token, "").0, 503, "nobody has initialised it");
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
    let mut command = example("resource_server", redis);
    command.env("HS256_SECRET", std::str::from_utf8(crate::common::tokens::SECRET).unwrap());
    command.env("ISSUER", "https://issuer.example").env("AUDIENCE", "api://orders");
    command
}

#[test]
#[ignore = "needs redis-server"]
fn a_resource_server_starts_before_its_redis_and_needs_no_restart() {
    let mut redis = Server::absent();
    let server = Program::start(resource_server(&redis));
    let token = token("a");
    assert_eq!(server.call("GET", "/whoami", &token, "").0, 503);
    redis.restart();
    server.becomes(503, "/whoami", &token);
    let initialised = resource_server(&redis).arg("--initialise-redis").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&initialised.stdout), "initialised\n");
    server.becomes(200, "/whoami", &token);
}

#[test]
#[ignore = "needs redis-server"]
fn wrong_settings_end_the_start() {
    let redis = Server::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    for name in ["resource_server", "token_service"] {
        let directory = Directory::new();
        let mut command = resource_server(&redis);
        if name == "token_service" {
            command = token_service(&redis, &directory);
        }
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{name}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("maxmemory-policy of Redis is allkeys-lru"), "{name}: {said}");
    }
}

/// Whose database tells it what is revoked, with or without Redis.
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
fn who_logs_out_at_one_token_service_is_logged_out_at_the_other_long_before_the_bound() {
    let redis = Server::start();
    let directory = Directory::new();
    let example = || token_service(&redis, &directory);
    let (one, other) = (Program::start(example()), Program::start(example()));
    let tokens = log_in(&one);
    assert_eq!(other.call("GET", "/api/v1/me", &tokens.access, "").0, 200);
    assert_eq!(one.call("POST", "/api/v1/auth/logout/", &tokens.access, &tokens.refresh).0, 204);
    other.becomes(401, "/api/v1/me", &tokens.access);
}

/// With a bound of an hour, so that nothing but a push can be the reason.
fn token_service(redis: &Server, directory: &Directory) -> Command {
    let mut command = example("token_service", redis);
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

/// Where a token service has its files.
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
