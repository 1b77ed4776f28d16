//! Runs the example `token_service` as a process. A client in another language calls the whole API, on SQLite and on
//! PostgreSQL. The tests run the printed lines unchanged. They also stop and kill processes, and run several at once.

#![allow(clippy::disallowed_methods, reason = "processes take real time")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

#[path = "process/clients.rs"]
mod clients;
#[path = "process/commands.rs"]
mod commands;
#[path = "process/dpop.rs"]
mod dpop;
#[path = "process/keys.rs"]
mod keys;
#[path = "process/operating.rs"]
mod operating;
#[path = "process/part_two.rs"]
mod part_two;
#[path = "process/replicas.rs"]
mod replicas;
#[path = "process/slow_clients.rs"]
mod slow_clients;
#[path = "process/warnings.rs"]
mod warnings;

#[path = "../../../tests/common/slow_client.rs"]
mod slow_client;

#[path = "../../../sql/src/tests/server.rs"]
#[allow(dead_code, reason = "the store's tests also kill it")]
mod postgres;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "it's a \"demo\"";
const NOT_VALID: &str = r#"{"code":"token_not_valid","detail":"Token is invalid or expired"}"#;

#[test]
fn a_client_written_from_the_documentation_uses_the_whole_api_on_sqlite() {
    let directory = Directory::new("client");
    run_client(&Service::start(&directory, &[]));
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn a_client_written_from_the_documentation_uses_the_whole_api_on_postgres() {
    let server = postgres::Postgres::start();
    let url = server.database("token_service").await;
    let directory = Directory::new("client-pg");
    // The directory belongs to the server's user. Other users may pass through it to the socket.
    run_client(&Service::start(&directory, &[("DATABASE_URL", &url), ("DEMO", "1")]));
}

fn run_client(service: &Service) {
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/token_api_client.py");
    let url = format!("http://{}", service.address);
    let output = Command::new("python3").args([client, &url, EMAIL, PASSWORD]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("ok: ").count(), 8, "{said}");
}

#[test]
fn the_printed_lines_work_unchanged() {
    let directory = Directory::new("lines");
    let (said, lines) = Service::start(&directory, &[]).assert_lines_work();
    // The password that the operator chose is not printed.
    for secret in [PASSWORD, r#"it's a \"demo\""#, "a \\\"demo"] {
        assert!(!said.contains(secret) && !lines.contains(secret), "{said}{lines}");
    }
    assert!(said.contains("DEMO_PASSWORD"), "{said}");
}

#[test]
fn a_generated_password_is_printed_and_the_lines_work() {
    let directory = Directory::new("made");
    let mut command = example(&directory);
    command.env_remove("DEMO_PASSWORD");
    let (said, lines) = Service::run(command).assert_lines_work();
    let password = said.split_once("password: ").unwrap().1.lines().next().unwrap();
    assert!(password.len() == 16 && lines.contains(password), "{said}");
}

impl Service {
    /// Runs the printed lines. Returns the text before them, and the lines.
    fn assert_lines_work(mut self) -> (String, String) {
        let (before, lines) = self.printed_lines();
        run_lines(&lines);
        (before, lines)
    }
}

fn run_lines(lines: &str) {
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", lines]).env("DEMO_PASSWORD", PASSWORD);
    let output = shell.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{lines}\n{said}");
    let said: Vec<&str> = said.lines().map(str::trim_end).collect();
    let json = |line: usize| serde_json::from_str::<Value>(said[line]).unwrap();
    assert_eq!(json(0)["email"], EMAIL);
    assert_eq!(json(1)["name"], "ci");
    assert_eq!(json(2)["count"], 1);
    assert_eq!(json(3)["token_type"], "private");
    assert_eq!(json(4)["name"], "ci");
    assert_eq!((&json(5)["jti"], json(6)["jti"] == json(3)["jti"]), (&json(3)["jti"], false));
    assert_eq!(said[7], "HTTP/1.1 204 No Content");
    assert!(said.contains(&"HTTP/1.1 401 Unauthorized"), "{said:?}");
    assert_eq!(said.last(), Some(&NOT_VALID));
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let directory = Directory::new("kill");
    let mut service = Service::start(&directory, &[]);
    let access = service.log_in();
    let (_, kept) = service.create(&access);
    let (id, revoked) = service.create(&access);
    assert_eq!(service.call("DELETE", &one(id), Some(&access), None).status, 204);
    service.process.kill().unwrap();
    service.process.wait().unwrap();

    let service = Service::start(&directory, &[]);
    assert_eq!(service.me(&kept), 200);
    assert_eq!(service.me(&access), 200);
    let refused = service.call("GET", "/api/v1/me", Some(&revoked), None);
    assert_eq!((refused.status, &*refused.body), (401, NOT_VALID));
}

#[test]
fn another_process_on_the_same_database_rejects_within_the_bound() {
    let directory = Directory::new("two");
    let bound = [("REVOCATION_BOUND", "3")];
    let (one_process, other) =
        (Service::start(&directory, &bound), Service::start(&directory, &bound));
    let access = one_process.log_in();
    let (id, token) = one_process.create(&access);
    assert_eq!(other.me(&token), 200);
    let before = Instant::now();
    assert_eq!(one_process.call("DELETE", &one(id), Some(&access), None).status, 204);
    let acknowledged = Instant::now();
    assert_eq!(one_process.me(&token), 401);
    while other.me(&token) == 200 {
        assert!(acknowledged.elapsed() < Duration::from_secs(10), "the token is still accepted");
        thread::sleep(Duration::from_millis(20));
    }
    // A cached answer is used for the staleness bound, from when its question was sent. The rest is time for a busy
    // machine.
    assert!(before.elapsed() < Duration::from_secs(3 + 2), "{:?}", before.elapsed());
    let refused = other.call("GET", "/api/v1/me", Some(&token), None);
    assert_eq!((refused.status, &*refused.body), (401, NOT_VALID));
}

#[test]
fn a_stop_signal_lets_requests_finish_and_stores_token_uses() {
    let directory = Directory::new("stop");
    let mut service = Service::start(&directory, &[]);
    let access = service.log_in();
    let (_, token) = service.create(&access);
    assert_eq!(service.me(&token), 200);
    let id = service.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(service.process.wait().unwrap().code(), Some(0));

    let service = Service::start(&directory, &[]);
    let list = service.call("GET", "/api/v1/auth/private_tokens/", Some(&access), None);
    assert!(list.json()["results"][0]["last_used_at"].is_string(), "{}", list.body);
}

#[test]
fn only_the_owner_can_read_the_key_and_damage_is_reported() {
    let directory = Directory::new("key");
    let service = Service::start(&directory, &[]);
    let keys = directory.0.join("token_service_keys");
    let files = fs::read_dir(&keys).unwrap().map(|file| file.unwrap().path());
    let files: Vec<PathBuf> = files.collect();
    let [key] = &files[..] else { panic!("{files:?}") };
    assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    drop(service);

    fs::write(key, "damaged").unwrap();
    let output = example(&directory).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8(output.stderr).unwrap();
    let name = key.file_name().unwrap().to_str().unwrap();
    assert!(said.contains(name) && !said.contains("damaged"), "{said}");
}

#[test]
fn files_that_a_killed_process_left_do_not_prevent_a_start() {
    let directory = Directory::new("left");
    let program = example(&directory);
    // The process keeps its id when it becomes the service.
    let mut shell = Command::new("sh");
    shell
        .args([
            "-c",
            "mkdir -m 700 token_service_keys && touch token_service_keys/.$$.pem && exec \"$0\"",
        ])
        .arg(program.get_program());
    shell
        .current_dir(&directory.0)
        .envs(program.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
    let service = Service::run(shell);
    service.log_in();
}

#[test]
fn behind_a_proxy_only_the_address_that_it_adds_counts() {
    let directory = Directory::new("proxy");
    let service = Service::start(&directory, &[("TRUSTED_PROXY_HEADER", "X-Forwarded-For")]);
    let log_in = |from: &str, password| {
        let body = json!({"username": EMAIL, "password": password}).to_string();
        let header = format!("X-Forwarded-For: {from}\r\n");
        service.send("POST", "/api/v1/auth/login/", &header, &body).status
    };
    let (home, elsewhere) = ("198.51.100.7", "192.0.2.1");
    assert_eq!(log_in(home, PASSWORD), 200);
    let failures = (0..6).map(|n| log_in(&format!("192.0.2.{n}, {elsewhere}"), "wrong"));
    assert_eq!(failures.collect::<Vec<_>>(), [401, 401, 401, 401, 401, 429]);
    assert_eq!(log_in(&format!("{home}, {elsewhere}"), PASSWORD), 429);
    assert_eq!(log_in(&format!("{elsewhere}, {home}"), PASSWORD), 200);
}

#[test]
fn a_refresh_token_sent_again_is_answered_within_the_grace() {
    for (grace, again) in [("", 401), ("0", 401), ("30", 200)] {
        let directory = Directory::new(&format!("grace-{grace}"));
        let service = Service::start(&directory, &[("REFRESH_REUSE_GRACE", grace)]);
        let body = json!({"username": EMAIL, "password": PASSWORD});
        let login = service.call("POST", "/api/v1/auth/login/", None, Some(body)).json();
        let refresh = || {
            let body = json!({"refresh_token": login["refresh_token"]});
            service.call("POST", "/api/v1/auth/refresh/", None, Some(body))
        };
        let first = refresh();
        assert_eq!(first.status, 200, "{}", first.body);
        assert_eq!(refresh().status, again, "{grace}");
    }
}

#[test]
fn help_is_printed_and_mistakes_exit_with_code_2() {
    let directory = Directory::new("help");
    let run = |argument: &[&str], (name, value)| -> Output {
        example(&directory).args(argument).env(name, value).output().unwrap()
    };
    let help = run(&["--help"], ("ADDR", "nowhere"));
    assert!(help.status.success());
    let said = String::from_utf8(help.stdout).unwrap();
    for name in [
        "ADDR",
        "DATABASE_URL",
        "KEY_FILE",
        "DEMO_EMAIL",
        "DEMO_PASSWORD",
        "PUBLIC_URL",
        "TRUSTED_PROXY_HEADER",
        "REFRESH_REUSE_GRACE",
    ] {
        assert!(said.contains(name), "{name}");
    }
    for (argument, name, value) in [
        (&["--port"][..], "--port", ""),
        (&[], "ADDR", "nowhere"),
        (&[], "REVOCATION_BOUND", "soon"),
        (&[], "REFRESH_REUSE_GRACE", "31"),
        (&[], "REFRESH_REUSE_GRACE", "-1"),
        (&[], "REFRESH_REUSE_GRACE", "soon"),
        (&[], "PUBLIC_URL", "ftp://x"),
        (&[], "TRUSTED_PROXY_HEADER", "no header"),
        (&[], "DATABASE_URL", "mysql://x"),
        (&[], "LOG", "verbose"),
        (&[], "DEMO_PASSWORD", "short"),
        (&[], "CLIENT_ID", "\u{e9}"),
        (&[], "SUPPORTED_SCOPES", "a \"b"),
        (&[], "REFRESH_LIFETIME", "0"),
        (&[], "MAX_PRIVATE_TOKEN_DAYS", "36501"),
        (&[], "MAX_ROTATION_OVERLAP", "-1"),
        (&[], "ALLOW_PRIVATE_TOKEN_MANAGEMENT", "yes"),
    ] {
        let mistake = run(argument, (name, value));
        let said = String::from_utf8(mistake.stderr).unwrap();
        assert_eq!(mistake.status.code(), Some(2), "{said}");
        assert!(said.contains(name) && said.contains("--help"), "{said}");
    }
}

#[test]
fn the_document_and_its_page_are_served_without_external_resources() {
    let directory = Directory::new("page");
    let service = Service::start(&directory, &[]);
    let document = service.call("GET", "/openapi.json", None, None).json();
    assert_eq!(document["openapi"], "3.1.0");
    for path in ["/api/v1/auth/login/", "/api/v1/auth/private_tokens/{id}/rotate/", "/api/v1/me"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    assert!(document["components"]["securitySchemes"]["access_token"].is_object());
    let page = service.call("GET", "/", None, None).body;
    assert!(page.contains("/api/v1/auth/private_tokens/{id}/rotate/"), "{page}");
    for foreign in ["<script", "<link", "src=", "href=\"http", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // Descriptions are rendered Markdown.
    assert!(page.contains("<code>data</code>") && !page.contains('`'), "{page}");
    // Each call has its `curl` line, and the bodies of its errors.
    let calls = page.matches("<span class=\"method\">").count();
    assert!(calls > 5);
    assert_eq!(page.matches("<pre>curl -i").count(), calls);
    assert!(page.contains("&quot;code&quot;:&quot;token_not_valid&quot;"), "{page}");
}

fn one(id: i64) -> String {
    format!("/api/v1/auth/private_tokens/{id}/")
}

/// The example, in a separate directory.
fn example(directory: &Directory) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_token_service"));
    for name in [
        "DATABASE_URL",
        "DEMO",
        "KEY_DIR",
        "KEY_FILE",
        "PUBLIC_URL",
        "DPOP",
        "ISSUER",
        "AUDIENCE",
        "REVOCATION_BOUND",
        "TRUSTED_PROXY_HEADER",
        "REFRESH_REUSE_GRACE",
        "REDIS_URL",
        "READY_NEEDS_SHARED",
        "LOG",
        "CLIENT_ID",
        "SUPPORTED_SCOPES",
        "REFRESH_LIFETIME",
        "MAX_PRIVATE_TOKEN_DAYS",
        "MAX_ROTATION_OVERLAP",
        "ALLOW_PRIVATE_TOKEN_MANAGEMENT",
        "ACCOUNT_PASSWORD",
        "KEY_PUBLICATION",
        "DATABASE_CONNECTIONS",
        "DATABASE_LOOKUP_CONNECTIONS",
        "DATABASE_REVOCATION_CONNECTIONS",
        "DATABASE_NOTIFICATIONS",
        "DATABASE_WAIT_TIMEOUT",
    ] {
        command.env_remove(name);
    }
    command.current_dir(&directory.0).env("ADDR", "127.0.0.1:0");
    command.env("DEMO_EMAIL", EMAIL).env("DEMO_PASSWORD", PASSWORD);
    command
}

/// An empty directory, which is deleted at the end of the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("bearer-token-service-{}-{name}", std::process::id());
        let path: &Path = &std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(path);
        fs::create_dir(path).unwrap();
        Self(path.into())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running service. It is killed at the end of the test.
struct Service {
    process: Child,
    address: String,
    output: BufReader<std::process::ChildStdout>,
}

impl Service {
    fn start(directory: &Directory, settings: &[(&str, &str)]) -> Self {
        let mut command = example(directory);
        command.envs(settings.iter().copied());
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        let mut process = command.spawn().expect("`cargo test` builds the examples");
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut ready = String::new();
        output.read_line(&mut ready).unwrap();
        let address = ready.trim_end().strip_prefix("listening on http://").expect("a ready line");
        Self { process, address: address.to_owned(), output }
    }

    /// The text before the first comment, and the text from there to the last line.
    fn printed_lines(&mut self) -> (String, String) {
        let (mut before, mut lines) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            if line.starts_with("# log in") || !lines.is_empty() {
                lines.push_str(&line);
            } else {
                before.push_str(&line);
            }
            if line.contains("$NEW_TOKEN") && lines.contains("the documented 401") {
                return (before, lines);
            }
        }
    }

    fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Answer {
        let credential =
            token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.send(method, path, &credential, &body)
    }

    /// Sends a request with more headers. Each ends with its own end of line.
    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Answer { status: head.split(' ').nth(1).unwrap().parse().unwrap(), body: body.to_owned() }
    }

    fn log_in(&self) -> String {
        let body = json!({"username": EMAIL, "password": PASSWORD});
        let answer = self.call("POST", "/api/v1/auth/login/", None, Some(body)).json();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    fn create(&self, access: &str) -> (i64, String) {
        let tomorrow = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
        let body = json!({"name": "ci", "expiration_time": tomorrow.to_string()});
        let path = "/api/v1/auth/private_tokens/";
        let created = self.call("POST", path, Some(access), Some(body)).json();
        (created["id"].as_i64().unwrap(), created["data"].as_str().unwrap().to_owned())
    }

    /// The status of the protected endpoint.
    fn me(&self, token: &str) -> u16 {
        self.call("GET", "/api/v1/me", Some(token), None).status
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }
}
