//! Tables of the version before: the migration keeps every row and every decision, and it is possible to go back.
//!
//! `old_data/version_2.json` has what that version made over HTTP. `.ci/migration` made the file, and does the same
//! with the old program and a million rows.

use std::{collections::HashMap, time::Duration};

use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, Connection as _};

use super::{
    super::{SqlStore, statement::Sql},
    Directory,
    any_store::refusal,
};
use tower_bearer::{
    Algorithm, RejectionKind, UnixTime,
    claims::{Clock, ManualClock},
    jws::SigningKey,
};
use tower_bearer_issuing::{ClientInfo, Credentials, Passwords, RefreshError, TokenIssuer};

const OLD: &str = include_str!("old_data/version_2.json");
const SQLITE: [&str; 2] =
    [include_str!("../schema/sqlite_1.sql"), include_str!("../schema/sqlite_2.sql")];
const POSTGRES: [&str; 2] =
    [include_str!("../schema/postgres_1.sql"), include_str!("../schema/postgres_2.sql")];

/// How many sessions there are besides those of the file. The copy needs several steps.
const SESSIONS: u64 = 2500;

/// A row of each changed table, as the old version inserts it.
const OLD_INSERTS: [&str; 4] = [
    "INSERT INTO bearer_refresh_tokens
        (issuer, token_id, subject, session_id, issued_at, expires_at, hash, dies_at)
     VALUES (B'01', B'02', B'03', B'04', 1, 2, B'05', 9)",
    "INSERT INTO bearer_private_tokens
        (issuer, token_id, subject, session_id, name, name_folded, issued_at, expires_at, hash, dies_at)
     VALUES (B'01', B'02', B'03', B'05', 'n', 'n', 1, 2, B'05', 9)",
    "INSERT INTO bearer_known_devices (id, keep_until) VALUES (B'01', 2)",
    "INSERT INTO bearer_accounts
        (subject, email_key, email, username, password_hash, company_id, is_active, is_verified, profile)
     VALUES ('new x', 'x', 'x', 'x', 'x', NULL, 1, 1, '{}')",
];

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_old_rows_and_decisions() {
    let directory = Directory::new();
    let url = directory.url("old.db") + "?mode=rwc";
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for statement in old_database(&SQLITE, "INTEGER", sqlite_text) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    the_migration_keeps_everything(&url, sqlite_text).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn postgres_keeps_old_rows_and_decisions() {
    let server = super::server::Postgres::start();
    let url = server.database("old").await;
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    for statement in old_database(&POSTGRES, "BIGINT", postgres_text) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    }
    the_migration_keeps_everything(&url, postgres_text).await;
    // A change that waits for another session fails soon, because everything else waits behind it.
    back_to_version_2(&SqlStore::open(&url).await.unwrap(), true).await;
    let mut backup = connection.begin().await.unwrap();
    let read = "LOCK TABLE bearer_refresh_tokens IN ACCESS SHARE MODE";
    sqlx::raw_sql(read).execute(&mut *backup).await.unwrap();
    let refused = tokio::time::timeout(Duration::from_secs(30), SqlStore::open(&url)).await;
    refused.expect("a limit for the wait").expect_err("the table is in use");
    backup.rollback().await.unwrap();
    SqlStore::open(&url).await.unwrap();
}

/// How a database writes bytes.
type BytesText = fn(&str) -> String;

fn sqlite_text(hex: &str) -> String {
    format!("x'{hex}'")
}

fn postgres_text(hex: &str) -> String {
    format!("'\\x{hex}'::bytea")
}

/// Returns the statements that make the tables of version 2 with their rows.
fn old_database(schemas: &[&str], integer: &str, bytes: BytesText) -> Vec<String> {
    let mut statements = vec![
        format!("CREATE TABLE bearer_schema (version {integer} NOT NULL)"),
        "INSERT INTO bearer_schema (version) VALUES (2)".to_owned(),
    ];
    statements.extend(schemas.iter().map(|schema| (*schema).to_owned()));
    let old: Json = serde_json::from_str(OLD).unwrap();
    for (table, rows) in old["rows"].as_object().unwrap() {
        let columns = old["columns"][table].as_str().unwrap();
        for row in rows.as_array().unwrap() {
            let values: Vec<_> = row.as_array().unwrap().iter().map(|v| text(v, bytes)).collect();
            let values = values.join(", ");
            statements.push(format!("INSERT INTO {table} ({columns}) VALUES ({values})"));
        }
    }
    let now = old["now"].as_u64().unwrap();
    for session in 0..SESSIONS {
        let (name, issuer) = (bytes(&format!("{session:08x}")), bytes(&hex("token_service")));
        let tokens = (0..2).map(|link| {
            let (id, at) = (bytes(&format!("{session:08x}{link:02x}")), now - 10 + link);
            format!("({issuer}, {id}, {name}, {name}, {at}, {}, {id}, {})", at + 86400, i64::MAX)
        });
        statements.push(format!(
            "INSERT INTO bearer_refresh_tokens
                 (issuer, token_id, subject, session_id, issued_at, expires_at, hash, dies_at)
             VALUES {}",
            tokens.collect::<Vec<_>>().join(", ")
        ));
    }
    statements
}

fn text(value: &Json, bytes: BytesText) -> String {
    match value {
        Json::Null => "NULL".to_owned(),
        Json::String(text) => format!("'{text}'"),
        Json::Object(object) => bytes(object["hex"].as_str().unwrap()),
        number => number.to_string(),
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

async fn the_migration_keeps_everything(url: &str, bytes: BytesText) {
    let old: Json = serde_json::from_str(OLD).unwrap();
    // Two processes start at once.
    let (store, other) = tokio::join!(SqlStore::open(url), SqlStore::open(url));
    let store = store.unwrap();
    other.unwrap();
    rows_are_kept(&store, &old, bytes).await;
    sessions_are_listed(&store, &old).await;

    let clock = ManualClock::at(UnixTime::from_secs(old["now"].as_u64().unwrap() + 1));
    let issuer = issuer(store.clone(), &old, clock);
    decisions_are_kept(&issuer, &old).await;
    for sql in OLD_INSERTS {
        let sql = sql.split("B'").collect::<Vec<_>>();
        let sql = sql.iter().skip(1).fold(sql[0].to_owned(), |sql, part| {
            let (hex, rest) = part.split_once('\'').unwrap();
            sql + &bytes(hex) + rest
        });
        run(&store, sql).await;
    }

    // A process that is slower than another one copies nothing after the end of the migration.
    run(&store, "DELETE FROM bearer_sessions".to_owned()).await;
    crate::session_copy::copy(&store.database).await.unwrap();
    assert_eq!(number(&store, "SELECT count(*) FROM bearer_sessions").await, 0);

    // Going back and forward again loses nothing that the old version knows.
    back_to_version_2(&store, false).await;
    let store = SqlStore::open(url).await.unwrap();
    assert_eq!(number(&store, "SELECT version FROM bearer_schema").await, 8);
    rows_are_kept(&store, &old, bytes).await;
    sessions_are_listed(&store, &old).await;
}

fn issuer(store: SqlStore, old: &Json, clock: impl Clock) -> TokenIssuer {
    let key = SigningKey::from_pkcs8_pem(Algorithm::ES256, old["key"].as_str().unwrap()).unwrap();
    let accounts = Passwords::new(store.clone()).unwrap();
    TokenIssuer::builder("token_service", "api://demo", key, store, accounts)
        .with_clock(clock)
        .build()
        .unwrap()
}

async fn rows_are_kept(store: &SqlStore, old: &Json, bytes: BytesText) {
    for (table, rows) in old["rows"].as_object().unwrap() {
        let columns: Vec<_> = old["columns"][table].as_str().unwrap().split(", ").collect();
        for row in rows.as_array().unwrap() {
            let values = row.as_array().unwrap();
            // A log-in may prolong what is known of a device.
            let compared = columns.iter().zip(values).filter(|(name, _)| {
                !matches!(**name, "keep_until" | "used_at" | "successor" | "last_used_at")
            });
            let conditions: Vec<_> = compared
                .map(|(name, value)| match value {
                    Json::Null => format!("{name} IS NULL"),
                    value => format!("{name} = {}", text(value, bytes)),
                })
                .collect();
            let sql = format!("SELECT count(*) FROM {table} WHERE {}", conditions.join(" AND "));
            assert_eq!(number(store, &sql).await, 1, "{sql}");
        }
    }
    let kept = "SELECT count(*) FROM bearer_refresh_tokens WHERE subject = session_id";
    assert_eq!(number(store, kept).await, 2 * i64::try_from(SESSIONS).unwrap());
}

/// Every session that is not revoked has its row, with the dates of its tokens.
async fn sessions_are_listed(store: &SqlStore, old: &Json) {
    let now = old["now"].as_u64().unwrap();
    let (first, last) = (now - 10, now - 9);
    let whole = format!(
        "SELECT count(*) FROM bearer_sessions WHERE subject = session_id AND created_at = {first}
             AND last_used_at = {last} AND expires_at = {}",
        last + 86400
    );
    assert_eq!(number(store, &whole).await, i64::try_from(SESSIONS).unwrap());
    let revoked = "SELECT count(*) FROM bearer_sessions AS s
        JOIN bearer_denials AS d ON d.kind = 2 AND d.issuer = s.issuer AND d.name = s.session_id";
    assert_eq!(number(store, revoked).await, 0);
}

async fn decisions_are_kept(issuer: &TokenIssuer, old: &Json) {
    let token = |name: &str, kind: &str| old["tokens"][name][kind].as_str().unwrap().to_owned();
    let expected = HashMap::from([
        (token("ended session", "access"), Some(RejectionKind::Revoked)),
        (token("used", "access"), None),
        (token("session", "access"), None),
        (token("private", "token"), None),
        (token("revoked", "token"), Some(RejectionKind::Revoked)),
    ]);
    for (token, expected) in &expected {
        assert_eq!(refusal(issuer, token).await, *expected);
    }
    let client = ClientInfo::new();
    let credentials = Credentials::new("ada@example.org", old["password"].as_str().unwrap());
    issuer.log_in(&credentials, &client).await.expect("the old password");
    let ended = issuer.refresh(&token("ended session", "refresh")).await;
    assert!(matches!(ended, Err(RefreshError::NotValid)), "{ended:?}");
    let next = issuer.refresh(&token("session", "refresh")).await.expect("an old refresh token");
    assert_eq!(refusal(issuer, &next.access_token).await, None);
    // The second use of an old refresh token ends its session.
    issuer.refresh(&token("used", "refresh")).await.unwrap_err();
    assert_eq!(refusal(issuer, &next.access_token).await, Some(RejectionKind::Revoked));
}

/// What the operator does to start the version before. With `removes`, the new columns are removed as well.
async fn back_to_version_2(store: &SqlStore, removes: bool) {
    run(store, "UPDATE bearer_schema SET version = 2".to_owned()).await;
    if !removes {
        return;
    }
    let triggers = match store.database.is_postgres() {
        true => {
            "DROP FUNCTION bearer_denial_changed() CASCADE; DROP FUNCTION bearer_denials_notify() CASCADE"
        }
        false => {
            "DROP TRIGGER bearer_denials_inserted; DROP TRIGGER bearer_denials_updated;
             DROP TABLE bearer_denial_changes"
        }
    };
    for statement in triggers.split(';').chain(["DROP INDEX bearer_denials_changed"]) {
        run(store, statement.to_owned()).await;
    }
    for (table, column) in [
        ("bearer_denials", "changed"),
        ("bearer_refresh_tokens", "access_id"),
        ("bearer_refresh_tokens", "key_thumbprint"),
        ("bearer_private_tokens", "key_thumbprint"),
        ("bearer_private_tokens", "scopes"),
        ("bearer_known_devices", "account"),
        ("bearer_accounts", "scopes"),
        ("bearer_accounts", "company_text"),
        ("bearer_schema", "major"),
    ] {
        run(store, format!("ALTER TABLE {table} DROP COLUMN {column}")).await;
    }
    for table in ["bearer_sessions", "bearer_audit", "bearer_keys"] {
        run(store, format!("DROP TABLE {table}")).await;
    }
}

async fn run(store: &SqlStore, sql: String) {
    let mut transaction = store.database.begin().await.unwrap();
    transaction.execute(Sql::Built(sql), vec![]).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn number(store: &SqlStore, sql: &str) -> i64 {
    store.database.read(Sql::Built(sql.to_owned()), &[]).await.unwrap()[0].int(0).unwrap()
}
