//! The token management page in a real Chromium: `*.test.mjs`, against a running service. [README.md](README.md) lists
//! the tests.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};
use sqlx::Connection as _;
use tower_bearer_issuing::{ManagedAccounts, NewAccount, hash_password, scopes::ScopeSet};
use tower_bearer_sql::SqlStore;

use super::{PASSWORD, Service};

/// Each test of the browser has its own account, because log-ins of an account are limited.
const ACCOUNTS: usize = 60;

/// The account that has a thousand tokens.
const OWNER_OF_MANY: &str = "user0@example.org";

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "page"].iter().collect()
}

#[tokio::test]
#[ignore = "needs node, Chromium and playwright-core"]
async fn the_page_does_what_its_contract_says_in_chromium() {
    let chromium = std::env::var_os("CHROMIUM")
        .expect("CHROMIUM is not set: install Chromium and set it to the program");
    let packages = std::env::var_os("PLAYWRIGHT_DIR").expect(
        "PLAYWRIGHT_DIR is not set: install `playwright-core` and `axe-core` with npm and set it to that directory",
    );
    let service = Service::start("page", "");
    let database = format!("sqlite:{}", service.directory.join("token_service.db").display());
    add_accounts(&database).await;
    add_many_tokens(&service, &database).await;
    let mut node = Command::new("node");
    node.args(["--test", "--test-concurrency=1"]).args(test_files());
    node.env("PAGE_URL", format!("http://{}/tokens/", service.address));
    node.env("PAGE_PASSWORD", PASSWORD).env("CHROMIUM", chromium).env("PLAYWRIGHT_DIR", packages);
    let output = node.output().expect("`node` does not start: install Node.js");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    // A run without tests also succeeds.
    let passed =
        said.lines().find_map(|line| line.strip_prefix("# pass ").or(line.strip_prefix("ℹ pass ")));
    let passed: usize = passed.expect("a summary").parse().unwrap();
    assert_eq!(passed, names_of_tests().len(), "{said}");
}

#[test]
fn each_sentence_of_the_contract_names_tests_that_exist() {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    let names = names_of_tests();
    let rows =
        readme.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| sentence"));
    let mut named = Vec::new();
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let tests: Vec<_> = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        named.extend(tests);
    }
    for name in &named {
        assert!(names.contains(name), "no test is named {name:?}");
    }
    for name in &names {
        assert!(named.contains(name), "no sentence names {name:?}");
    }
}

fn test_files() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.to_string_lossy().ends_with(".test.mjs")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The first argument of each call of `test`.
fn names_of_tests() -> Vec<String> {
    let mut names = Vec::new();
    for file in test_files() {
        let source = fs::read_to_string(file).unwrap();
        for rest in source.split("\ntest('").skip(1) {
            names.push(rest.split('\'').next().unwrap().to_owned());
        }
    }
    names
}

async fn add_accounts(database: &str) {
    let store = SqlStore::open(database).await.unwrap();
    let hash = hash_password(PASSWORD).unwrap();
    for number in 0..ACCOUNTS {
        let mut account = NewAccount::new(format!("user{number}@example.org"), hash.clone());
        account.scopes = ScopeSet::new(["orders:read", "orders:write", "invoices:read"]).unwrap();
        assert!(store.add_account(&account).await.unwrap().is_some());
    }
}

/// Creates one token, and copies its row: the service limits how fast a user creates tokens.
async fn add_many_tokens(service: &Service, database: &str) {
    let json = "application/json";
    let body = json!({"username": OWNER_OF_MANY, "password": PASSWORD}).to_string();
    let (_, body) = service.post("/login/", None, json, &body);
    let body: Value = serde_json::from_str(&body).unwrap();
    let expiry = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(90 * 24);
    let new = json!({"name": "many 0000", "expiration_time": expiry.to_string()});
    let access = body["access_token"].as_str();
    assert_eq!(service.post("/private_tokens/", access, json, &new.to_string()).0, 201);
    let sql = "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 999) \
               INSERT INTO bearer_private_tokens \
               (issuer, token_id, subject, session_id, name, name_folded, issued_at, expires_at, hash, \
               dies_at, scopes) \
               SELECT issuer, CAST('many' || n AS BLOB), subject, CAST('many' || n AS BLOB), \
               printf('many %04d', n), printf('many %04d', n), issued_at - n, expires_at, hash, dies_at, scopes \
               FROM numbers, bearer_private_tokens";
    let mut database = sqlx::SqliteConnection::connect(database).await.unwrap();
    let added = sqlx::query(sql).execute(&mut database).await.unwrap();
    assert_eq!(added.rows_affected(), 999);
}
