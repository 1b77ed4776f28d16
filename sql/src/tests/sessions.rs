//! Rows of sessions and of people, and the deletion that leaves nothing behind.

use super::{
    super::{SqlStore, SqlStoreOptions, entries, statement::Sql},
    HOUR, ISSUER, NOW,
    any_store::Everybody,
    caller, owner, refresh, rotation, secs,
};
use tower_bearer::{
    Algorithm, UnixTime,
    claims::ManualClock,
    jws::SigningKey,
    revocation::{Lookup, Revocable, RevocationEntry, RevocationStore as _, Verdict},
};
use tower_bearer_issuing::{
    AccountChange, AccountOutcome, AccountStore as _, AccountUpdate, ClientInfo, Credentials,
    ManagedAccounts as _, NewAccount, TokenIssuer,
    store::{Owner, RefreshUse, SessionPage, SessionQuery, TokenStore},
};

/// The user name and the subject of a person.
const PERSON: &str = "subject-f3a9";

const TABLES: [&str; 2] = [
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'bearer%'",
    "SELECT table_name::text FROM information_schema.tables WHERE table_name LIKE 'bearer%'",
];

async fn texts(store: &SqlStore, sql: String) -> Vec<String> {
    let rows = store.database.read(Sql::Built(sql), &[]).await.unwrap();
    rows.iter().map(|row| row.text(0).unwrap()).collect()
}

/// Returns the tables with a row that contains the text in any column.
async fn tables_with(store: &SqlStore, text: &str) -> Vec<String> {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut found = Vec::new();
    let tables = texts(store, store.database.sql_for(TABLES[0], TABLES[1]).to_owned()).await;
    assert!(tables.len() > 10, "{tables:?}");
    for table in tables {
        let conditions = if store.database.is_postgres() {
            format!("strpos(t::text, '{text}') > 0 OR strpos(t::text, '{hex}') > 0")
        } else {
            let columns = format!("SELECT name FROM pragma_table_info('{table}')");
            let columns = texts(store, columns).await;
            let has_it = |column: &String| format!("instr(CAST({column} AS BLOB), x'{hex}') > 0");
            columns.iter().map(has_it).collect::<Vec<_>>().join(" OR ")
        };
        let sql = format!("SELECT count(*) FROM {table} AS t WHERE {conditions}");
        let rows = store.database.read(Sql::Built(sql), &[]).await.unwrap();
        if rows[0].int(0).unwrap() > 0 {
            found.push(table);
        }
    }
    found.sort_unstable();
    found
}

async fn count(store: &SqlStore, table: &str) -> i64 {
    let sql = Sql::Built(format!("SELECT count(*) FROM {table}"));
    store.database.read(sql, &[]).await.unwrap()[0].int(0).unwrap()
}

async fn nothing_of_a_person_is_left_but_the_revocation(store: SqlStore) {
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let clock = ManualClock::at(NOW);
    let store = store.with_clock(clock.clone());
    let issuer = TokenIssuer::builder(ISSUER, "api", key, store.clone(), Everybody)
        .with_clock(clock)
        .with_audit(store.clone())
        .build()
        .unwrap();
    let log_in = async |name: &str, agent: &str| {
        let client = ClientInfo::new().with_address([192, 0, 2, 77]).with_user_agent(agent);
        issuer.log_in(&Credentials::new(name, "right"), &client).await.unwrap().tokens
    };
    let tokens = log_in(PERSON, "agent-of-the-person").await;
    log_in("another", "agent-of-another").await;
    issuer.refresh(&tokens.refresh_token).await.unwrap();
    let access = issuer.authenticator().authenticate(&tokens.access_token).await.unwrap();
    issuer.create_private_token(&access, "name-of-a-token", NOW + HOUR).await.unwrap();
    issuer.maintain().await.unwrap();
    let filled =
        ["bearer_audit", "bearer_private_tokens", "bearer_refresh_tokens", "bearer_sessions"];
    assert_eq!(tables_with(&store, PERSON).await, filled);
    assert_eq!(tables_with(&store, "agent-of-the-person").await, ["bearer_sessions"]);
    assert_eq!(tables_with(&store, "192.0.2.77").await, ["bearer_audit"]);
    assert_eq!(count(&store, "bearer_known_devices").await, 2);

    issuer.delete_personal_data(PERSON).await.unwrap();
    issuer.maintain().await.unwrap();
    // The revocation entry, its copy in the outbox, and the event that the account was deleted.
    let kept = ["bearer_audit", "bearer_denials", "bearer_outbox"];
    assert_eq!(tables_with(&store, PERSON).await, kept);
    let sql = "SELECT event FROM bearer_audit WHERE event <> 'login_succeeded'";
    assert_eq!(texts(&store, sql.to_owned()).await, ["account_deleted"]);
    for text in ["agent-of-the-person", "name-of-a-token"] {
        assert!(tables_with(&store, text).await.is_empty(), "{text}");
    }
    assert_eq!(count(&store, "bearer_known_devices").await, 1);
    assert_eq!(tables_with(&store, "agent-of-another").await, ["bearer_sessions"]);
    assert!(issuer.authenticator().authenticate(&tokens.access_token).await.is_err());
}

/// Searches the tables, and so also what no call shows.
async fn a_deleted_account_leaves_no_personal_data(store: SqlStore) {
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let clock = ManualClock::at(NOW);
    let store = store.with_clock(clock.clone());
    let issuer = TokenIssuer::builder(ISSUER, "api", key, store.clone(), Everybody)
        .with_clock(clock)
        .with_managed_accounts(store.clone())
        .with_audit(store.clone())
        .build()
        .unwrap();
    let new = NewAccount::new("person@example.org", "$argon2id$");
    let subject = issuer.add_account(&new).await.unwrap().subject;
    let client = ClientInfo::new().with_address([192, 0, 2, 77]).with_user_agent("agent-77");
    let login = issuer.log_in(&Credentials::new(&*subject, "right"), &client).await.unwrap();
    let access = issuer.authenticator().authenticate(&login.tokens.access_token).await.unwrap();
    issuer.create_private_token(&access, "name-77", NOW + HOUR).await.unwrap();
    issuer.maintain().await.unwrap();
    let texts = ["person@example.org", "agent-77", "name-77", "192.0.2.77"];
    let tables = ["accounts", "sessions", "private_tokens", "audit"];
    for (text, table) in texts.iter().zip(tables) {
        assert_eq!(tables_with(&store, text).await, [format!("bearer_{table}")]);
    }
    issuer.delete_account(&subject).await.unwrap();
    issuer.maintain().await.unwrap();
    for text in texts {
        assert!(tables_with(&store, text).await.is_empty(), "{text}");
    }
    let tables = ["accounts", "sessions", "refresh_tokens", "private_tokens", "known_devices"];
    for table in tables.map(|table| format!("bearer_{table}")) {
        assert_eq!(count(&store, &table).await, 0, "{table}");
    }
    assert_eq!(count(&store, "bearer_denials").await, 1);
    assert_eq!(count(&store, "bearer_audit").await, 1);
}

async fn sessions(store: &SqlStore, owner: &Owner, now: UnixTime) -> SessionPage {
    let mut caller = caller();
    caller.owner = owner.clone();
    let page = store.list_sessions(&caller, &SessionQuery::new(), now).await.unwrap();
    page.done().unwrap().unwrap()
}

/// An older replica has opened the session, so there is no row.
async fn a_refresh_lists_the_session_of_an_older_replica(store: SqlStore) {
    store.open_session(&refresh("s", "1").into()).await.unwrap();
    let mut transaction = store.database.begin().await.unwrap();
    transaction.run("DELETE FROM bearer_sessions").await.unwrap();
    transaction.commit().await.unwrap();
    let mut later = rotation("s", "1", "2");
    (later.now, later.successor.issued_at) = (NOW + secs(60), NOW + secs(60));
    assert!(store.use_refresh(&later).await.unwrap() == RefreshUse::Rotated);
    let page = sessions(&store, &owner(), NOW).await;
    let [one] = page.sessions.as_slice() else { panic!("{} sessions", page.count) };
    assert_eq!((one.created_at, one.last_used_at), (NOW, NOW + secs(60)));
}

/// An older replica has revoked the session, and left its row.
async fn a_session_that_an_older_replica_has_revoked_is_not_listed(store: SqlStore) {
    for name in ["kept", "revoked", "listed", "ended"] {
        store.open_session(&refresh(name, name).into()).await.unwrap();
    }
    let all = sessions(&store, &owner(), NOW).await;
    let revoke_as_older = async |name: &str| {
        let mut transaction = store.database.begin().await.unwrap();
        let session = Revocable::session(ISSUER, name);
        let entry = RevocationEntry::new(session, NOW + HOUR);
        entries::record(&mut transaction, &[entry]).await.unwrap();
        transaction.commit().await.unwrap();
    };
    revoke_as_older("revoked").await;
    revoke_as_older("ended").await;
    let id = all.sessions[3].id;
    let outcome = store.revoke_session(&caller(), id, NOW, NOW + HOUR).await.unwrap();
    assert_eq!(outcome.done().unwrap(), None, "it has ended before");
    let page = sessions(&store, &owner(), NOW).await;
    assert_eq!(page.count, 2);
    let ids: Vec<i64> = page.sessions.iter().map(|session| session.id).collect();
    assert_eq!(ids, [all.sessions[0].id, all.sessions[2].id]);
    assert_eq!(count(&store, "bearer_sessions").await, 2);
}

/// There are more rows than one statement deletes.
async fn every_row_of_an_owner_is_deleted(store: SqlStore) {
    let sql = "INSERT INTO bearer_refresh_tokens
            (issuer, token_id, subject, session_id, issued_at, expires_at, hash, dies_at)
        SELECT issuer, NUMBER, subject, session_id, issued_at, expires_at, hash, dies_at
        FROM bearer_refresh_tokens, NUMBERS";
    let [number, numbers] = [
        ("CAST(n AS BLOB)", "convert_to(n::text, 'UTF8')"),
        (
            "(WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 2500)
              SELECT n FROM many) AS many",
            "generate_series(1, 2500) AS n",
        ),
    ]
    .map(|(sqlite, postgres)| store.database.sql_for(sqlite, postgres));
    store.open_session(&refresh("s", "first").into()).await.unwrap();
    let mut transaction = store.database.begin().await.unwrap();
    let sql = sql.replace("NUMBERS", numbers).replace("NUMBER", number);
    transaction.execute(Sql::Built(sql), vec![]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(count(&store, "bearer_refresh_tokens").await, 2501);
    store.delete_personal_data(&owner(), NOW, NOW + HOUR, None).await.unwrap();
    assert_eq!(count(&store, "bearer_refresh_tokens").await, 0);
}

/// A deletion that fails leaves the revocation, and does not claim that nothing was written.
async fn a_person_is_revoked_before_the_rows_are_deleted(store: SqlStore) {
    store.open_session(&refresh("s", "first").into()).await.unwrap();
    let mut transaction = store.database.begin().await.unwrap();
    transaction.execute("DROP TABLE bearer_known_devices", vec![]).await.unwrap();
    transaction.execute("DROP TABLE bearer_secrets", vec![]).await.unwrap();
    transaction.commit().await.unwrap();
    let error = store.delete_personal_data(&owner(), NOW, NOW + HOUR, None).await.unwrap_err();
    assert!(!error.is_nothing_written());
    assert_eq!(count(&store, "bearer_refresh_tokens").await, 1);
    let subject = Revocable::subject(ISSUER, &*owner().subject);
    let verdict = store.look_up(&Lookup::new([subject], NOW)).await.unwrap();
    assert_eq!(verdict, Verdict::Revoked);
}

/// A deletion that fails can be repeated, because the account is deleted last.
async fn an_account_is_revoked_before_it_is_deleted(store: SqlStore) {
    let new = NewAccount::new("person@example.org", "$argon2id$");
    let subject = store.add_account(&new).await.unwrap().unwrap().subject;
    let owner = Owner::new(ISSUER, &*subject);
    let mut transaction = store.database.begin().await.unwrap();
    let rename = "ALTER TABLE bearer_sessions RENAME TO elsewhere";
    transaction.execute(rename, vec![]).await.unwrap();
    transaction.commit().await.unwrap();
    let delete = AccountUpdate::new(owner, AccountChange::Delete, NOW);
    let error = store.change_account(&delete).await.unwrap_err();
    assert!(!error.is_nothing_written());
    let lookup = Lookup::new([Revocable::subject(ISSUER, &*subject)], NOW);
    assert_eq!(store.look_up(&lookup).await.unwrap(), Verdict::Revoked);
    assert!(store.find_by_subject(&subject).await.unwrap().is_some());
    let mut transaction = store.database.begin().await.unwrap();
    let rename = "ALTER TABLE elsewhere RENAME TO bearer_sessions";
    transaction.execute(rename, vec![]).await.unwrap();
    transaction.commit().await.unwrap();
    let outcome = store.change_account(&delete).await.unwrap();
    assert!(matches!(outcome, AccountOutcome::Changed(_)), "{outcome:?}");
    assert!(store.find_by_subject(&subject).await.unwrap().is_none());
    let again = store.change_account(&delete).await.unwrap();
    assert_eq!(again, AccountOutcome::NotFound);
}

#[tokio::test]
async fn sqlite_keeps_the_rows_of_sessions_and_people() {
    let open = async || SqlStore::open("sqlite::memory:").await.unwrap();
    nothing_of_a_person_is_left_but_the_revocation(open().await).await;
    a_deleted_account_leaves_no_personal_data(open().await).await;
    a_refresh_lists_the_session_of_an_older_replica(open().await).await;
    every_row_of_an_owner_is_deleted(open().await).await;
    a_session_that_an_older_replica_has_revoked_is_not_listed(open().await).await;
    an_account_is_revoked_before_it_is_deleted(open().await).await;
    a_person_is_revoked_before_the_rows_are_deleted(open().await).await;
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn postgres_keeps_the_rows_of_sessions_and_people() {
    let server = super::server::Postgres::start();
    let open =
        async |name: &str| SqlStoreOptions::new().open(&server.database(name).await).await.unwrap();
    nothing_of_a_person_is_left_but_the_revocation(open("person").await).await;
    a_deleted_account_leaves_no_personal_data(open("account").await).await;
    a_refresh_lists_the_session_of_an_older_replica(open("older").await).await;
    every_row_of_an_owner_is_deleted(open("many").await).await;
    a_session_that_an_older_replica_has_revoked_is_not_listed(open("revoked").await).await;
    an_account_is_revoked_before_it_is_deleted(open("repeated").await).await;
    a_person_is_revoked_before_the_rows_are_deleted(open("broken").await).await;
}
