//! The commands, settings and health checks that an operator uses.

use std::{
    fs,
    io::Read as _,
    net::TcpListener,
    process::{Command, Output, Stdio},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use crate::{Directory, Service, commands::RUNBOOK, example};

/// Runs a command without settings of the environment, except these.
fn run(directory: &Directory, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = example(directory);
    command.env_remove("DEMO_PASSWORD").env_remove("DEMO_EMAIL").env_remove("ADDR");
    command.args(arguments).envs(settings.iter().copied()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn each_command_has_help_and_a_version() {
    let directory = Directory::new("commands");
    for command in [
        &[][..],
        &["serve"],
        &["migrate"],
        &["keys"],
        &["keys", "retire"],
        &["account"],
        &["account", "add"],
        &["account", "delete"],
        &["check"],
    ] {
        for (flag, part) in [("--help", "Usage: token_service"), ("--version", "token_service")] {
            let output = run(&directory, &[command, &[flag]].concat(), &[]);
            assert_eq!(output.status.code(), Some(0), "{command:?} {flag}");
            assert!(text(&output.stdout).contains(part), "{command:?} {flag}");
        }
    }
    let mistake = run(&directory, &["serv"], &[]);
    assert_eq!(mistake.status.code(), Some(2));
    assert!(text(&mistake.stderr).contains("serve"));
}

#[test]
fn check_shows_values_and_their_origin_and_no_secret() {
    let directory = Directory::new("check");
    let file = "revocation_bound = 7\nredis_url = \"rediss://:hunter2@cache.example\"\n";
    fs::write(directory.0.join("settings.toml"), file).unwrap();
    let settings = [
        ("DATABASE_URL", "postgres://ada:hunter2@db.example/tokens"),
        ("DEMO_PASSWORD", "hunter2hunter2"),
        ("AUDIENCE", "api://orders"),
    ];
    let output = run(&directory, &["check", "--config", "settings.toml"], &settings);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    assert!(!said.contains("hunter2") && !said.contains("ada:"), "{said}");
    for line in [
        "ADDR: 127.0.0.1:3000 (default)",
        "DATABASE_URL: postgres://db.example/tokens (environment)",
        "REDIS_URL: rediss://cache.example (file)",
        "REVOCATION_BOUND: 7 (file)",
        "AUDIENCE: api://orders (environment)",
        "DEMO_PASSWORD: set, not shown (environment)",
        "warning: DATABASE_URL does not verify the server: add sslmode=verify-full and sslrootcert",
    ] {
        assert!(said.lines().any(|found| found == line), "{line}\n{said}");
    }
}

#[test]
fn an_unknown_setting_in_a_file_is_an_error_that_names_the_nearest() {
    let directory = Directory::new("unknown");
    fs::write(directory.0.join("settings.toml"), "redis_ulr = \"redis://:hunter2@h\"").unwrap();
    let output = run(&directory, &["--config", "settings.toml"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("redis_ulr") && said.contains("redis_url"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn with_a_database_there_is_no_demo_account() {
    let directory = Directory::new("no-demo");
    let database = [("DATABASE_URL", "sqlite:own.db")];
    let service = Service::start(&directory, &database);
    let body = serde_json::json!({"username": crate::EMAIL, "password": crate::PASSWORD});
    let answer = service.call("POST", "/api/v1/auth/login/", None, Some(body.clone()));
    assert_eq!(answer.status, 401, "{}", answer.body);
    drop(service);
    let service = Service::start(&directory, &[database[0], ("DEMO", "1")]);
    assert_eq!(service.call("POST", "/api/v1/auth/login/", None, Some(body)).status, 200);
}

#[test]
fn tables_of_a_newer_version_end_the_start_with_code_3() {
    let directory = Directory::new("newer");
    drop(Service::start(&directory, &[]));
    let sql = "UPDATE bearer_schema SET version = 999, major = 999";
    let mut sqlite = Command::new("python3");
    let script = "import sqlite3, sys\nwith sqlite3.connect('token_service.db') as db: db.execute(sys.argv[1])";
    let output = sqlite.args(["-c", script, sql]).current_dir(&directory.0).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = run(&directory, &[], &[("ADDR", "127.0.0.1:0")]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("999"), "{}", text(&output.stderr));
}

#[test]
fn health_has_an_entry_for_each_part_and_redis_down_stays_ready() {
    let directory = Directory::new("health");
    // An address at which nothing listens.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let redis = format!("redis://:hunter2@{closed}");
    for (needs_shared, status) in [("0", 200), ("1", 503)] {
        let settings = [("REDIS_URL", redis.as_str()), ("READY_NEEDS_SHARED", needs_shared)];
        let service = Service::start(&directory, &settings);
        let live = service.call("GET", "/healthz", None, None);
        assert_eq!((live.status, live.body.as_str()), (200, r#"{"status":"ok"}"#));
        let ready = service.call("GET", "/readyz", None, None);
        assert_eq!(ready.status, status, "{}", ready.body);
        let parts = &ready.json()["parts"];
        assert_eq!(parts["database"]["status"], "ok");
        assert_eq!(parts["maintenance of the token issuer"]["status"], "ok");
        assert_eq!(parts["redis"]["status"], "failing");
        let parts = parts.as_object().unwrap();
        assert!(parts.len() > 5, "{}", ready.body);
        for name in parts.keys() {
            assert!(RUNBOOK.contains(&format!("`{name}`")), "no row in the runbook: {name}");
        }
        assert!(!ready.body.contains("hunter2") && !ready.body.contains("127.0.0.1"));
    }
    let service = Service::start(&directory, &[("READY_NEEDS_SHARED", "1")]);
    let ready = service.call("GET", "/readyz", None, None);
    assert_eq!((ready.status, &ready.json()["status"]), (200, &"ok".into()));
}

/// What the service writes to standard error during a log-in, and the access token.
fn logged(directory: &Directory, settings: &[(&str, &str)]) -> (String, String) {
    let mut command = example(directory);
    command.envs(settings.iter().copied()).stderr(Stdio::piped());
    let mut service = Service::run(command);
    let access = service.log_in();
    let mut log = service.process.stderr.take().unwrap();
    drop(service);
    let mut said = String::new();
    log.read_to_string(&mut said).unwrap();
    (said, access)
}

#[test]
fn the_log_has_audit_events_and_no_secret() {
    let directory = Directory::new("log");
    let (said, access) = logged(&directory, &[("LOG", "trace")]);
    assert!(!said.contains(&access) && !said.contains(crate::PASSWORD), "{said}");
    let (said, _) = logged(&directory, &[]);
    let line = said.lines().find(|line| line.contains("tower_bearer::audit")).expect("an event");
    assert!(line.contains("login") && line.contains("127.0.0.1"), "{line}");
    let (said, _) = logged(&directory, &[("LOG", "warn")]);
    assert!(!said.contains("tower_bearer"), "{said}");
}

#[test]
fn settings_of_tokens_reach_the_issuer() {
    let directory = Directory::new("tokens");
    let settings = [
        ("ISSUER", "https://i.example"),
        ("CLIENT_ID", "shop app"),
        ("SUPPORTED_SCOPES", "orders:read orders:write"),
        ("REFRESH_LIFETIME", "60"),
        ("MAX_PRIVATE_TOKEN_DAYS", "1000"),
        ("MAX_ROTATION_OVERLAP", "0"),
    ];
    let service = Service::start(&directory, &settings);
    let metadata =
        service.call("GET", "/.well-known/oauth-authorization-server", None, None).json();
    assert_eq!(metadata["scopes_supported"], json!(["orders:read", "orders:write"]));
    let body = json!({"username": crate::EMAIL, "password": crate::PASSWORD});
    let login = service.call("POST", "/api/v1/auth/login/", None, Some(body)).json();
    let access = login["access_token"].as_str().unwrap();
    let claims = service.call("GET", "/api/v1/me", Some(access), None).json();
    assert_eq!(claims["client_id"], "shop app");
    let refresh = claims_of(login["refresh_token"].as_str().unwrap());
    assert_eq!(refresh["exp"].as_u64().unwrap() - refresh["iat"].as_u64().unwrap(), 60);

    let create = |days: i64| {
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * days);
        let body = json!({"name": "ci", "expiration_time": at.to_string()});
        service.call("POST", "/api/v1/auth/private_tokens/", Some(access), Some(body))
    };
    // The key directory keeps keys for this long, too. Otherwise the start fails.
    assert_eq!((create(999).status, create(1001).status), (201, 400));
    let (id, token) = service.create(access);
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
    let body = json!({"expiration_time": at.to_string(), "overlap_seconds": 3600});
    let path = format!("/api/v1/auth/private_tokens/{id}/rotate/");
    assert_eq!(service.call("POST", &path, Some(access), Some(body)).status, 201);
    assert_eq!(service.me(&token), 401);
}

/// The claims of a token, which are not verified.
fn claims_of(token: &str) -> serde_json::Value {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

#[test]
fn private_tokens_manage_private_tokens_only_if_that_is_allowed() {
    for (allowed, status) in [("0", 400), ("1", 201)] {
        let directory = Directory::new(&format!("managing-{allowed}"));
        let settings =
            [("DATABASE_URL", "sqlite:own.db"), ("ALLOW_PRIVATE_TOKEN_MANAGEMENT", allowed)];
        let add = ["account", "add", crate::EMAIL, "--scope", "private_tokens"];
        let password = [("ACCOUNT_PASSWORD", crate::PASSWORD), settings[0]];
        assert!(run(&directory, &add, &password).status.success());
        let service = Service::start(&directory, &settings);
        let access = service.log_in();
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24);
        let body =
            json!({"name": "ci", "expiration_time": at.to_string(), "scopes": ["private_tokens"]});
        let path = "/api/v1/auth/private_tokens/";
        let created = service.call("POST", path, Some(&access), Some(body));
        assert_eq!(created.status, status, "{}", created.body);
    }
}

#[test]
fn the_unit_of_systemd_does_not_restart_after_wrong_settings() {
    const UNIT: &str = include_str!("../../token_service.service");
    let lines: Vec<&str> = UNIT.lines().collect();
    assert!(lines.contains(&"RestartPreventExitStatus=2 3"));
    // Its exit code does not count for RestartPreventExitStatus.
    assert!(!lines.iter().any(|line| line.starts_with("ExecStartPre")));
}

#[test]
fn another_demo_password_ends_the_tokens_of_the_one_before() {
    let directory = Directory::new("demo-password");
    let service = Service::start(&directory, &[]);
    let access = service.log_in();
    let (_, private) = service.create(&access);
    drop(service);
    let service = Service::start(&directory, &[]);
    assert_eq!((service.me(&access), service.me(&private)), (200, 200));
    drop(service);
    let service = Service::start(&directory, &[("DEMO_PASSWORD", "another password")]);
    assert_eq!((service.me(&access), service.me(&private)), (401, 401));
    let log_in = |password| {
        let body = json!({"username": crate::EMAIL, "password": password});
        service.call("POST", "/api/v1/auth/login/", None, Some(body)).status
    };
    assert_eq!((log_in(crate::PASSWORD), log_in("another password")), (401, 200));
}
