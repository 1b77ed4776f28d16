//! Owners and sessions with very many rows.

use std::time::Duration;

use super::{
    super::{SqlStore, SqlStoreOptions, statement::Sql},
    HOUR, ISSUER, NOW, caller, entry, listed, owner, private, rotation, secs, session,
};
use tower_bearer::revocation::outbox::Outbox;
use tower_bearer::revocation::{Revocable, RevocationStore};
use tower_bearer_issuing::store::{Called, Insertion, Owner, RefreshUse, TokenStore};

const ROWS: u32 = 500_000;

/// Makes `ROWS` private tokens of one owner, and `ROWS` refresh tokens in one session of another owner.
async fn fill(store: &SqlStore) {
    let database = &store.database;
    let numbers = database.sql_for(
        "(WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ROWS)
         SELECT n, CAST(n AS BLOB) AS name FROM numbers)",
        "(SELECT n, convert_to(n::text, 'UTF8') AS name FROM generate_series(1, ROWS) AS n)",
    );
    let numbers = numbers.replace("ROWS", &ROWS.to_string());
    let bytes = |text: &str| {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("{}{hex}'", database.sql_for("x'", "'\\x")) + database.sql_for("", "::bytea")
    };
    let (issuer, ada, bob, session) = (bytes(ISSUER), bytes("ada"), bytes("bob"), bytes("s"));
    let (never, expires_at, hash) = (i64::MAX, (NOW + HOUR).as_secs(), bytes(&"\u{7}".repeat(32)));
    let now = NOW.as_secs();
    let statements = [
        format!(
            "INSERT INTO bearer_private_tokens (issuer, token_id, subject, session_id, name, name_folded,
                issued_at, expires_at, hash, dies_at)
             SELECT {issuer}, name, {ada}, name, '', '', {now}, {expires_at}, {hash}, {never} FROM {numbers} AS many"
        ),
        format!(
            "INSERT INTO bearer_refresh_tokens (issuer, token_id, subject, session_id,
                issued_at, expires_at, hash, dies_at)
             SELECT {issuer}, name, {bob}, {session}, {now}, {expires_at}, {hash}, {never} FROM {numbers} AS many"
        ),
    ];
    let mut transaction = database.begin().await.unwrap();
    for sql in statements {
        transaction.execute(Sql::Built(sql), vec![]).await.unwrap();
    }
    transaction.commit().await.unwrap();
}

/// A revocation does not write the rows that it ends. So neither its time nor its size grows with their number.
async fn revocations_write_no_row_of_what_they_end(store: &SqlStore) {
    let is_rejected = async |n: &str| {
        let mut rotation = rotation("s", n, "next");
        rotation.successor.owner = Owner::new(ISSUER, "bob");
        store.use_refresh(&rotation).await.unwrap() == RefreshUse::Revoked
    };
    let what = session("s");
    store.revoke(&entry(what, NOW)).await.unwrap();
    assert!(is_rejected("1").await && is_rejected("77").await);
    let bob = entry(Revocable::subject(ISSUER, "bob"), NOW).with_cut_off(NOW);
    store.revoke(&bob).await.unwrap();

    assert_eq!(store.revoke_owner(&owner(), NOW, NOW + HOUR).await.unwrap(), NOW);
    assert!(listed(store).await.is_empty());
    assert_eq!(store.revoke_private(&caller(), 1, NOW).await.unwrap(), Called::Done(None));
    let mut new = private("new").with_quota(1);
    new.issued_at = NOW + secs(1);
    let created = store.create_private(&caller(), &new).await.unwrap();
    assert!(matches!(created, Called::Done(Insertion::Done(_))));
    assert_eq!(listed(store).await.len(), 1);
    assert_eq!(store.outbox(10).await.unwrap().len(), 3);
    for table in ["bearer_private_tokens", "bearer_refresh_tokens"] {
        let sql = Sql::Built(format!("SELECT count(*) FROM {table} WHERE dies_at = 0"));
        let rows = store.database.read(sql, &[]).await.unwrap();
        assert_eq!(rows[0].int(0).unwrap(), 0, "{table}");
    }
}

#[tokio::test]
async fn sqlite_revokes_half_a_million_rows_at_once() {
    let store = SqlStore::open("sqlite::memory:").await.unwrap();
    fill(&store).await;
    revocations_write_no_row_of_what_they_end(&store).await;
}

/// The store that revokes has such a short timeout for its statements that it could not write the rows.
#[tokio::test]
#[ignore = "needs postgres"]
async fn postgres_revokes_half_a_million_rows_at_once() {
    let server = super::server::Postgres::start();
    let url = server.database("many").await;
    let long = SqlStoreOptions::new().with_wait_timeout(Duration::from_secs(60));
    fill(&long.open(&url).await.unwrap()).await;
    let short = SqlStoreOptions::new().with_wait_timeout(Duration::from_millis(500));
    revocations_write_no_row_of_what_they_end(&short.open(&url).await.unwrap()).await;
}
