//! `serve` and `check` print a warning for each insecure setting.

use std::collections::BTreeSet;

use crate::{Directory, example};

const SOURCE: &str = include_str!("../../src/settings/warnings.rs");

/// The database cannot be opened, so `serve` ends after its warnings.
const NO_SQLITE: (&str, &str) = ("DATABASE_URL", "sqlite:missing/own.db");
const NO_POSTGRES: (&str, &str) = ("DATABASE_URL", "postgres:///tokens?host=/missing");

/// The function that finds an insecure setting, settings that cause only its warning, and a part of the warning.
type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const CASES: [Case; 11] = [
    ("demo", &[NO_POSTGRES, ("DEMO", "1")], "add accounts with `token_service account add`"),
    ("issuer", &[NO_SQLITE, ("ISSUER", "http://issuer.example")], "ISSUER is an http URL"),
    (
        "public_url",
        &[
            NO_SQLITE,
            ("PUBLIC_URL", "http://api.example"),
            ("TRUSTED_PROXY_HEADER", "X-Forwarded-For"),
        ],
        "PUBLIC_URL is an http URL",
    ),
    (
        "proof_url",
        &[
            NO_SQLITE,
            ("ADDR", "0.0.0.0:0"),
            ("TRUSTED_PROXY_HEADER", "X-Forwarded-For"),
            ("DPOP", "allowed"),
        ],
        "DPOP is allowed and PUBLIC_URL is not set",
    ),
    ("proxy", &[NO_SQLITE, ("ADDR", "0.0.0.0:0")], "TRUSTED_PROXY_HEADER is not set"),
    ("key_dir", &[NO_SQLITE, ("KEY_DIR", "/")], "run chmod go-rwx"),
    ("publication", &[NO_SQLITE, ("KEY_PUBLICATION", "60")], "KEY_PUBLICATION is under 7200"),
    (
        "sqlite_replicas",
        &[NO_SQLITE, ("REDIS_URL", "redis://:hunter2@127.0.0.1")],
        "REDIS_URL is set with SQLite",
    ),
    (
        "database_tls",
        &[("DATABASE_URL", "postgres://ada:hunter2@192.0.2.1/tokens")],
        "add sslmode=verify-full",
    ),
    (
        "redis_tls",
        &[NO_POSTGRES, ("REDIS_URL", "redis://:hunter2@cache.example")],
        "REDIS_URL is not encrypted",
    ),
    ("bound", &[NO_SQLITE, ("REVOCATION_BOUND", "301")], "REVOCATION_BOUND is over 300"),
];

/// The warnings that a command prints.
fn warnings(command: &str, settings: &[(&str, &str)]) -> Vec<String> {
    let directory = Directory::new(&format!("warnings-{command}"));
    let mut program = example(&directory);
    for name in ["PGHOST", "PGSSLMODE", "KEY_PUBLICATION"] {
        program.env_remove(name);
    }
    program.env("DATABASE_WAIT_TIMEOUT", "1").arg(command).envs(settings.iter().copied());
    let output = program.output().unwrap();
    let code = if command == "serve" { 1 } else { 0 };
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
    said.lines().filter(|line| line.starts_with("warning: ")).map(str::to_owned).collect()
}

#[test]
fn serve_and_check_warn_about_each_insecure_setting() {
    for (name, settings, part) in CASES {
        let found = warnings("serve", settings);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].contains(part), "{name}: {found:?}");
        assert_eq!(warnings("check", settings), found, "{name}");
    }
    assert_eq!(warnings("serve", &[NO_SQLITE]), Vec::<String>::new());
}

#[test]
fn every_check_of_settings_has_a_case() {
    let list = SOURCE.split_once("let checks = [").unwrap().1.split_once("];").unwrap().0;
    let checks: BTreeSet<&str> = list.split(',').map(str::trim).filter(|s| !s.is_empty()).collect();
    assert_eq!(checks, CASES.map(|(name, ..)| name).into());
}
