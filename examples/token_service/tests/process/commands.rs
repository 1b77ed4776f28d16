//! The commands of an operator beside a running service, and the runbook.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::{Directory, Service, example, postgres::Postgres};

pub(super) const RUNBOOK: &str = include_str!("../../../../operations/token_service.md");

/// Every shell sees changes of the commands after a second.
const SETTINGS: [(&str, &str); 3] =
    [("DATABASE_URL", "sqlite:own.db"), ("REVOCATION_BOUND", "1"), ("ISSUER", "https://i.example")];

/// Runs a line as an operator types it.
fn shell(directory: &Directory, line: &str, settings: &[(&str, &str)]) -> Output {
    let program = example(directory);
    let folder = Path::new(program.get_program()).parent().unwrap();
    let path = format!("{}:{}", folder.display(), env::var("PATH").unwrap());
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", line]).current_dir(&directory.0);
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.env("PATH", path).envs(settings.iter().copied()).output().unwrap()
}

fn succeed(directory: &Directory, line: &str) -> String {
    succeed_with(directory, line, &SETTINGS)
}

/// Runs a line that must succeed. Returns what it prints.
pub(super) fn succeed_with(directory: &Directory, line: &str, settings: &[(&str, &str)]) -> String {
    let output = shell(directory, line, settings);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{line}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

fn fail(directory: &Directory, line: &str, code: i32) -> String {
    let output = shell(directory, line, &SETTINGS);
    assert_eq!(output.status.code(), Some(code), "{line}");
    String::from_utf8(output.stderr).unwrap()
}

fn log_in(service: &Service, password: &str) -> (u16, String) {
    let body = json!({"username": "bob@example.org", "password": password});
    let answer = service.call("POST", "/api/v1/auth/login/", None, Some(body));
    let access = match answer.status {
        200 => answer.json()["access_token"].as_str().unwrap().to_owned(),
        _ => String::new(),
    };
    (answer.status, access)
}

fn becomes(service: &Service, token: &str, status: u16) {
    let begin = Instant::now();
    while service.me(token) != status {
        assert!(begin.elapsed() < Duration::from_secs(30), "never {status}");
        thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test]
async fn every_command_of_the_runbook_works_as_written_on_sqlite() {
    let directory = Directory::new("runbook");
    let url = format!("sqlite:{}", directory.0.join("own.db").display());
    follow_the_runbook(&directory, &url).await;
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn every_command_of_the_runbook_works_as_written_on_postgres() {
    let server = Postgres::start();
    let directory = Directory::new("runbook-pg");
    follow_the_runbook(&directory, &server.database("token_service").await).await;
}

/// Runs all commands of the runbook in their order. Only the address and the names of keys are replaced.
async fn follow_the_runbook(directory: &Directory, database: &str) {
    let settings = [&[("DATABASE_URL", database)], &SETTINGS[1..]].concat();
    let succeed = |line: &str| succeed_with(directory, line, &settings);
    fs::write(directory.0.join("password.txt"), "correct horse battery\n").unwrap();
    let service = Service::start(directory, &settings);
    let lines = commands_of_the_runbook();
    assert!(lines.len() > 15, "{lines:?}");
    for line in lines {
        let keys = succeed("token_service keys list");
        let signing = keys.lines().find(|line| line.contains("\tsigns\t")).unwrap();
        let thumbprint = signing.split('\t').next().unwrap();
        let command =
            line.replace("127.0.0.1:3000", &service.address).replace("THUMBPRINT", thumbprint);
        let said = succeed(&command);
        if line.contains("--compromised") {
            assert!(!succeed("token_service keys list").contains(signing), "{said}");
        }
        if line.starts_with("curl") {
            assert!(said.starts_with(r#"{"status":"ok","parts":{"#), "{said}");
        }
    }
    drop(service);

    // The way back to the old version, and to the new one again.
    let [index] = &blocks_of_the_runbook("postgresql")[..] else { panic!("several statements") };
    if !database.starts_with("sqlite:") {
        execute(database, index).await;
    }
    let [statement] = &blocks_of_the_runbook("sql")[..] else { panic!("several statements") };
    execute(database, statement).await;
    let said = succeed("token_service migrate");
    assert!(said.starts_with("migrated the tables from version 2 to "), "{said}");
    let service = Service::start(directory, &settings);
    assert_eq!(service.call("GET", "/readyz", None, None).json()["status"], "ok");
}

/// The blocks in this language.
fn blocks_of_the_runbook(language: &str) -> Vec<&'static str> {
    let blocks = RUNBOOK.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n')).collect()
}

/// The lines of the blocks, and the commands with arguments in the text. They are in the order of the page.
fn commands_of_the_runbook() -> Vec<&'static str> {
    let mut commands = Vec::new();
    for (position, part) in RUNBOOK.split("```").enumerate() {
        match part.strip_prefix("sh\n") {
            Some(block) if position % 2 == 1 => commands.extend(block.lines()),
            _ if position % 2 == 0 => {
                let quoted = part.split('`').skip(1).step_by(2);
                commands.extend(quoted.filter(|text| text.starts_with("token_service ")));
            }
            _ => {}
        }
    }
    commands
}

async fn execute(database: &str, statement: &str) {
    let statement = AssertSqlSafe(statement.to_owned());
    if database.starts_with("sqlite:") {
        SqliteConnection::connect(database).await.unwrap().execute(statement).await.unwrap();
    } else {
        PgConnection::connect(database).await.unwrap().execute(statement).await.unwrap();
    }
}

#[test]
fn accounts_are_added_changed_and_deleted_while_the_service_runs() {
    let directory = Directory::new("accounts");
    let service = Service::start(&directory, &SETTINGS);
    let add =
        "token_service account add bob@example.org --scope orders:read --scope b <<<'first one'";
    succeed(&directory, add);
    assert!(fail(&directory, add, 1).contains("e-mail"));
    let list = succeed(&directory, "token_service account list BOB");
    assert!(list.ends_with("\tbob@example.org\tactive\tb orders:read\n"), "{list}");
    let (status, first) = log_in(&service, "first one");
    assert_eq!((status, service.me(&first)), (200, 200));

    succeed(
        &directory,
        "ACCOUNT_PASSWORD='second one' token_service account password bob@example.org",
    );
    becomes(&service, &first, 401);
    assert_eq!(log_in(&service, "first one").0, 401);
    let (_, second) = log_in(&service, "second one");
    assert_eq!(service.me(&second), 200);

    succeed(&directory, "token_service account close bob@example.org");
    becomes(&service, &second, 401);
    assert_eq!(log_in(&service, "second one").0, 401);
    succeed(&directory, "token_service account reopen bob@example.org");
    assert_eq!(service.me(&second), 401);
    assert_eq!(log_in(&service, "second one").0, 200);

    succeed(&directory, "token_service account scopes bob@example.org orders:read");
    let list = succeed(&directory, "token_service account list");
    assert!(list.ends_with("\tactive\torders:read\n"), "{list}");

    let mistake = fail(&directory, "token_service account delete bob@example.org", 2);
    assert!(mistake.contains("--yes"), "{mistake}");
    succeed(&directory, "token_service account delete bob@example.org --yes");
    assert_eq!(succeed(&directory, "token_service account list"), "");
    let unknown = fail(&directory, "token_service account close bob@example.org", 1);
    assert!(unknown.contains("bob@example.org"), "{unknown}");
}

#[test]
fn a_password_is_not_an_argument_and_has_rules() {
    let directory = Directory::new("passwords");
    let add = "token_service account add bob@example.org";
    fail(&directory, &format!("{add} --password secret"), 2);
    fail(&directory, &format!("{add} </dev/null"), 1);
    fail(&directory, &format!("{add} <<<short"), 1);
    assert_eq!(succeed(&directory, "token_service account list"), "");
}

fn key_files(directory: &Directory) -> Vec<PathBuf> {
    let files = fs::read_dir(directory.0.join("token_service_keys")).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn without_its_key_the_service_exits_with_code_3_and_makes_no_other() {
    let directory = Directory::new("missing-key");
    succeed(&directory, "token_service account add bob@example.org <<<'first one'");
    let service = Service::start(&directory, &SETTINGS);
    assert_eq!(log_in(&service, "first one").0, 200);
    drop(service);
    let files = key_files(&directory);
    let [file] = &files[..] else { panic!("{files:?}") };
    fs::rename(file, directory.0.join("elsewhere.pem")).unwrap();
    let said = fail(&directory, "token_service serve", 3);
    let name = file.file_stem().unwrap().to_str().unwrap();
    assert!(said.contains(name), "{said}");
    assert_eq!(key_files(&directory), Vec::<PathBuf>::new());

    fs::rename(directory.0.join("elsewhere.pem"), file).unwrap();
    assert_eq!(log_in(&Service::start(&directory, &SETTINGS), "first one").0, 200);
}

#[test]
fn tokens_of_a_compromised_key_end_and_a_new_key_signs() {
    let directory = Directory::new("compromised");
    succeed(&directory, "token_service account add bob@example.org <<<'first one'");
    let service = Service::start(&directory, &SETTINGS);
    let (_, access) = log_in(&service, "first one");
    let list = succeed(&directory, "token_service keys list");
    let thumbprint = list.split('\t').next().unwrap();
    assert!(
        fail(&directory, &format!("token_service keys retire {thumbprint}"), 1)
            .contains("no other key")
    );
    succeed(&directory, &format!("token_service keys retire --compromised {thumbprint}"));
    becomes(&service, &access, 401);
    drop(service);
    let service = Service::start(&directory, &SETTINGS);
    let (status, access) = log_in(&service, "first one");
    assert_eq!((status, service.me(&access)), (200, 200));
}

#[test]
fn a_replica_without_a_key_that_signs_is_not_ready() {
    let directory = Directory::new("no-signer");
    let service = Service::start(&directory, &SETTINGS);
    let ready = service.call("GET", "/readyz", None, None);
    assert_eq!((ready.status, &ready.json()["parts"]["keys"]["status"]), (200, &json!("ok")));
    // The new key is only in the directory of another machine.
    let list = succeed(&directory, "cp -a token_service_keys other; token_service keys list");
    let thumbprint = list.split('\t').next().unwrap();
    succeed(
        &directory,
        &format!("KEY_DIR=other token_service keys retire --compromised {thumbprint}"),
    );
    let begin = Instant::now();
    while service.call("GET", "/readyz", None, None).status == 200 {
        assert!(begin.elapsed() < Duration::from_secs(30), "never 503");
        thread::sleep(Duration::from_millis(200));
    }
    let parts = service.call("GET", "/readyz", None, None).json();
    assert_eq!(parts["parts"]["keys"]["status"], "failing", "{parts}");
    assert_eq!(parts["parts"]["database"]["status"], "ok", "{parts}");
}

/// An access token of an operator.
fn operator(directory: &Directory, service: &Service) -> String {
    let add = "token_service account add bob@example.org --scope tokens:admin <<<'first one'";
    succeed(directory, add);
    log_in(service, "first one").1
}

#[test]
fn commands_and_the_first_key_are_in_the_audit_log_once() {
    let directory = Directory::new("audited");
    let service = Service::start(&directory, &SETTINGS);
    let access = operator(&directory, &service);
    let list = succeed(&directory, "token_service keys list");
    let first = list.split('\t').next().unwrap();
    succeed(&directory, "token_service keys add");
    let list = succeed(&directory, "token_service keys list");
    let announced = list.lines().find(|line| line.contains("\tannounced\t")).unwrap();
    let announced = announced.split('\t').next().unwrap();
    succeed(&directory, &format!("token_service keys retire {announced}"));
    succeed(&directory, &format!("token_service keys retire {announced}"));
    fail(&directory, &format!("token_service keys retire {first}"), 1);
    drop(service);
    let service = Service::start(&directory, &SETTINGS);
    let answer = service.call("GET", "/api/v1/auth/admin/audit/", Some(&access), None).json();
    let events = answer["results"].as_array().unwrap();
    let found: Vec<_> = events
        .iter()
        .rev()
        .map(|event| ["kind", "key", "actor"].map(|name| event[name].as_str().unwrap_or_default()))
        .filter(|[kind, ..]| !kind.starts_with("login"))
        .collect();
    let (accounts, keys) = ("token_service account", "token_service keys");
    let expected = [
        ["key_added", first, ""],
        ["account_added", "", accounts],
        ["key_added", announced, keys],
        ["key_retired", announced, keys],
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_operator_cannot_revoke_the_key_that_signs() {
    let directory = Directory::new("signing-key");
    let service = Service::start(&directory, &SETTINGS);
    let access = operator(&directory, &service);
    let list = succeed(&directory, "token_service keys list");
    let body = json!({"key": list.split('\t').next().unwrap()});
    let answer = service.call("POST", "/api/v1/auth/admin/revoke/", Some(&access), Some(body));
    assert_eq!(answer.status, 400, "{}", answer.body);
    assert!(answer.body.contains("token_service keys retire --compromised"), "{}", answer.body);
    let (status, access) = log_in(&service, "first one");
    assert_eq!((status, service.me(&access)), (200, 200));
}

#[test]
fn another_key_in_the_key_file_ends_the_first_start_with_code_3() {
    let directory = Directory::new("other-key");
    drop(Service::start(&directory, &SETTINGS));
    let files = key_files(&directory);
    fs::copy(&files[0], directory.0.join("earlier.pem")).unwrap();
    // Another database and directory, both unused.
    let other = "DATABASE_URL=sqlite:other.db KEY_DIR=other_keys token_service keys add";
    succeed(&directory, other);
    let serve = "DATABASE_URL=sqlite:new.db KEY_DIR=other_keys KEY_FILE=earlier.pem token_service";
    let said = fail(&directory, serve, 3);
    assert!(said.contains("earlier.pem") && said.contains("other_keys"), "{said}");
    let list = succeed(
        &directory,
        "DATABASE_URL=sqlite:new.db KEY_DIR=other_keys token_service keys list",
    );
    assert!(list.contains("\tunknown\t") && list.lines().count() == 1, "{list}");
}

#[test]
fn migrate_creates_the_tables_once() {
    let directory = Directory::new("migrate");
    let first = succeed(&directory, "token_service migrate");
    assert!(first.contains("migrated"), "{first}");
    let second = succeed(&directory, "token_service migrate");
    assert!(second.contains("nothing to do"), "{second}");
}
