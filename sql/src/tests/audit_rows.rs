//! The rows of audit events that an issuer causes.

use std::time::Duration;

use super::{
    super::statement::Sql,
    Directory, ISSUER, NOW, SqlStore,
    any_store::{DAY, Everybody},
    server::Postgres,
};
use tower_bearer::{
    Algorithm, BoxFuture, claims::ManualClock, jws::SigningKey, revocation::StoreError,
};
use tower_bearer_issuing::{
    AccountStore as _, ClientInfo, Credentials, NewAccount, TokenIssuer,
    audit::{AuditEvent, AuditKind, AuditLog, AuditQuery, AuditSink},
};

const WRONG: &str = "wr0ng~p4ssword";
const UNKNOWN: &str = "typed.into.the.wrong.field@example.org";

/// Every column of every row, as text.
async fn rows(store: &SqlStore) -> Vec<String> {
    let columns = store.database.sql_for(
        "CAST(issuer AS TEXT), CAST(subject AS TEXT)",
        "convert_from(issuer, 'UTF8'), convert_from(subject, 'UTF8')",
    );
    let sql = format!("SELECT event, details, address, {columns} FROM bearer_audit ORDER BY id");
    let rows = store.database.read(crate::statement::Sql::Built(sql), &[]).await.unwrap();
    let text = |row: &crate::statement::Row| {
        let columns = (0..5).map(|at| row.optional_text(at).unwrap().unwrap_or_default());
        columns.collect::<Vec<_>>().join(" ")
    };
    rows.iter().map(text).collect()
}

/// Checks the rows in the database that `open` opens.
async fn check(open: impl AsyncFn() -> SqlStore) {
    let (store, clock) = (open().await, ManualClock::at(NOW));
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let issuer = TokenIssuer::builder(ISSUER, "api", key, store.clone(), Everybody)
        .with_audit(store.clone())
        .with_clock(clock.clone())
        .build()
        .unwrap();
    let client = ClientInfo::new().with_address([192, 0, 2, 7]);
    let log_in = async |name: &str, password: &str| {
        let credentials = Credentials::new(name, password);
        issuer.log_in(&credentials, &client).await.map(|login| login.tokens)
    };
    log_in(UNKNOWN, WRONG).await.unwrap_err();
    let tokens = log_in("ada", "right").await.unwrap();
    let next = issuer.refresh(&tokens.refresh_token).await.unwrap();
    let access = issuer.authenticator().authenticate(&next.access_token).await.unwrap();
    let created = issuer.create_private_token(&access, "a name", NOW + DAY).await.unwrap();
    issuer.refresh(&tokens.refresh_token).await.unwrap_err();
    issuer.maintain().await.unwrap();

    let other = open().await;
    let rows = rows(&other).await;
    let kinds: Vec<&str> = rows.iter().filter_map(|row| row.split(' ').next()).collect();
    let expected = [
        AuditKind::LoginFailed,
        AuditKind::LoginSucceeded,
        AuditKind::Refreshed,
        AuditKind::TokenCreated,
        AuditKind::RefreshReused,
    ];
    assert_eq!(kinds, expected.map(AuditKind::as_str));
    let rows = rows.join("\n");
    assert!(rows.contains("192.0.2.7") && rows.contains("ada"), "{rows}");
    let tokens = [&tokens, &next].map(|pair| [&pair.access_token, &pair.refresh_token]);
    let parts = tokens.as_flattened().iter().flat_map(|token| token.split('.'));
    for secret in parts.chain(created.data.split('.')).chain([WRONG, "right", UNKNOWN]) {
        assert!(!rows.contains(secret), "{secret} is in {rows}");
    }

    // Texts that do not fit into an index or are far too long do not stop the writer.
    let mut long = AuditEvent::new(AuditKind::AllRevoked, "another issuer", NOW);
    let mut text = String::from("a");
    text.extend((0..100_000_u32).map(|n| char::from_u32(0x4e00 + n * 7919 % 20_000).unwrap()));
    long.subject = Some(text.as_str().into());
    long.session_id = Some(text.as_str().into());
    store.record(&[long]).await.unwrap();
    let page = AuditLog::list(&other, &AuditQuery::new("another issuer")).await.unwrap();
    let event = &page.records[0].event;
    assert_eq!((event.kind, &event.subject), (AuditKind::AllRevoked, &None));
    let session = event.session_id.as_deref().unwrap();
    assert!(text.starts_with(session) && (997..=1000).contains(&session.len()));

    // Rows are kept for the retention, and a day longer.
    let count = async || {
        let query = AuditQuery::new(ISSUER).with_limit(100);
        AuditLog::list(&other, &query).await.unwrap().records.len()
    };
    clock.advance(181 * DAY);
    issuer.maintain().await.unwrap();
    assert_eq!(count().await, 5);
    clock.advance(Duration::from_secs(1));
    issuer.maintain().await.unwrap();
    assert_eq!(count().await, 0);
}

/// Lets the database reject every row with this event.
async fn reject(store: &SqlStore, event: AuditKind) {
    let sql = store.database.sql_for(
        "CREATE TRIGGER rejects BEFORE INSERT ON bearer_audit WHEN NEW.event = 'EVENT'
         BEGIN SELECT RAISE(ABORT, 'no'); END",
        "ALTER TABLE bearer_audit ADD CONSTRAINT rejects CHECK (event <> 'EVENT') NOT VALID",
    );
    let sql = Sql::Built(sql.replace("EVENT", event.as_str()));
    let mut transaction = store.database.begin().await.unwrap();
    transaction.execute(sql, vec![]).await.unwrap();
    transaction.commit().await.unwrap();
}

fn issuer_on(store: &SqlStore, sink: impl AuditSink) -> TokenIssuer {
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    TokenIssuer::builder(ISSUER, "api", key, store.clone(), Everybody)
        .with_managed_accounts(store.clone())
        .with_audit(sink)
        .with_clock(ManualClock::at(NOW))
        .build()
        .unwrap()
}

async fn list(store: &SqlStore) -> Vec<AuditEvent> {
    let query = AuditQuery::new(ISSUER).with_limit(1000);
    let page = AuditLog::list(store, &query).await.unwrap();
    page.records.into_iter().rev().map(|record| record.event).collect()
}

/// Far more than one batch is rejected. The events between and after them are stored, and those lost are counted.
async fn rejected_rows_do_not_block_others(store: SqlStore) {
    reject(&store, AuditKind::KeyRetired).await;
    let issuer = issuer_on(&store, store.clone());
    for _ in 0..120 {
        issuer.rotate_key(SigningKey::generate(Algorithm::ES256).unwrap());
    }
    let credentials = Credentials::new("ada", "right");
    issuer.log_in(&credentials, &ClientInfo::new()).await.unwrap();
    // A flush fails if it meets events that are refused. They have left the queue then.
    while issuer.flush_audit().await.is_err() {}
    let events = list(&store).await;
    let count = |kind| events.iter().filter(|event| event.kind == kind).count();
    assert_eq!((count(AuditKind::KeyAdded), count(AuditKind::LoginSucceeded)), (120, 1));
    let lost = events.iter().filter(|event| event.kind == AuditKind::EventsLost);
    assert_eq!(lost.map(|event| event.count).sum::<u64>(), 120);
}

/// A sink that is always away.
struct Away;

impl AuditSink for Away {
    fn record<'a>(&'a self, _: &'a [AuditEvent]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(std::future::ready(Err(StoreError::timed_out())))
    }
}

/// An account and the event that it was deleted: both or neither.
async fn a_deletion_and_its_event_are_one_step(store: SqlStore) {
    let issuer = issuer_on(&store, Away).by_operator("a command");
    let add = async |email: &str| {
        issuer.add_account(&NewAccount::new(email, "a hash")).await.unwrap().subject
    };
    let [ada, bob] = [add("ada@example.org").await, add("bob@example.org").await];
    issuer.delete_account(&ada).await.unwrap();
    issuer.delete_personal_data("somebody").await.unwrap();
    let events = list(&store).await;
    let subjects: Vec<_> = events.iter().map(|event| event.subject.as_deref().unwrap()).collect();
    assert_eq!(subjects, [&*ada, "somebody"]);
    for event in &events {
        assert_eq!(event.kind, AuditKind::AccountDeleted);
        assert_eq!(event.actor.as_deref(), Some("a command"));
        assert_eq!((event.at, event.keep_until), (NOW, NOW + 180 * DAY));
    }
    reject(&store, AuditKind::AccountDeleted).await;
    issuer.delete_personal_data("another").await.unwrap_err();
    assert_eq!(list(&store).await.len(), 2);
    let issuer = issuer_on(&store, store.clone()).by_operator("a command");
    issuer.delete_account(&bob).await.unwrap_err();
    // The deletion has begun: the account is closed, and the log has that.
    assert!(!store.find_by_subject(&bob).await.unwrap().unwrap().is_active);
    issuer.flush_audit().await.unwrap();
    let last = list(&store).await.pop().unwrap();
    assert_eq!((last.kind, last.subject), (AuditKind::AccountClosed, Some(bob)));
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_events_without_secrets_until_their_time() {
    let directory = Directory::new();
    check(async || SqlStore::open(&directory.url("tokens.db")).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn postgres_keeps_events_without_secrets_until_their_time() {
    let server = Postgres::start();
    let url = server.database("audit_rows").await;
    check(async || SqlStore::open(&url).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_stores_the_event_of_a_deletion_and_survives_bad_rows() {
    let open = async || SqlStore::open("sqlite::memory:").await.unwrap();
    rejected_rows_do_not_block_others(open().await).await;
    a_deletion_and_its_event_are_one_step(open().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn postgres_stores_the_event_of_a_deletion_and_survives_bad_rows() {
    let server = Postgres::start();
    let open = async |name: &str| SqlStore::open(&server.database(name).await).await.unwrap();
    rejected_rows_do_not_block_others(open("bad_rows").await).await;
    a_deletion_and_its_event_are_one_step(open("deletion").await).await;
}
