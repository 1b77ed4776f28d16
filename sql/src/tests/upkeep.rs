//! Opening, accounts, errors, and texts that one database cannot hold.

use std::error::Error as _;

use serde_json::json;

use super::{
    super::{NewAccount, OpenError, SqlStore, database::Database},
    NOW, asked, caller, create, entry, listed, private, token,
};
use tower_bearer::revocation::outbox::Outbox;
use tower_bearer::{
    UnixTime,
    revocation::{Lookup, Revocable, RevocationStore, StoreError, Verdict},
};
use tower_bearer_issuing::{
    AccountStore,
    store::{ListQuery, Page, TokenStore},
};

/// Returns the texts of an error and its source, as `Display` and as `Debug`.
fn said(error: &StoreError) -> String {
    let source = error.source().map(|source| format!("{source} {source:?}"));
    format!("{error} {error:?} {}", source.unwrap_or_default())
}

async fn accounts_are_found_by_their_address(store: &SqlStore) {
    let mut new = NewAccount::new("Ada@Example.com", "$argon2id$1");
    new.company_id = Some(7);
    new.profile = json!({"first_name": "Ada", "z": [1, null]}).as_object().unwrap().clone();
    let made = store.add_account(&new).await.unwrap().unwrap();
    assert_eq!(*made.subject, *made.id.to_string());
    new.email = "ada@example.COM".into();
    new.is_verified = true;
    assert!(store.add_account(&new).await.unwrap().is_none(), "the address has an account");

    let found = store.find_by_email("ada@example.com").await.unwrap().unwrap();
    assert!(found.account == made);
    assert!(found.is_active);
    assert_eq!(found.account.email, "Ada@Example.com");
    assert_eq!(found.account.company_id, Some(7));
    assert!(!found.account.is_verified);
    assert_eq!(found.password_hash, "$argon2id$1");
    for nobody in ["Ada@Example.com", " ada@example.com", "bob@example.com", "", "\0"] {
        assert!(store.find_by_email(nobody).await.unwrap().is_none(), "{nobody:?}");
    }

    store.replace_hash(made.id, "$argon2id$other", "$argon2id$2").await.unwrap();
    let found = store.find_by_email("ada@example.com").await.unwrap().unwrap();
    assert_eq!(found.password_hash, "$argon2id$1", "it was another hash by then");
    store.replace_hash(made.id, "$argon2id$1", "$argon2id$2").await.unwrap();
    let found = store.find_by_email("ada@example.com").await.unwrap().unwrap();
    assert_eq!(found.password_hash, "$argon2id$2");

    let mut inactive = NewAccount::new("bob@example.com", "$argon2id$3");
    inactive.is_active = false;
    let bob = store.add_account(&inactive).await.unwrap().unwrap();
    assert_ne!(bob.subject, made.subject);
    assert!(!store.find_by_email("bob@example.com").await.unwrap().unwrap().is_active);
    for (account, is_active) in [(&made, true), (&bob, false)] {
        let found = store.find_by_subject(&account.subject).await.unwrap().unwrap();
        assert_eq!((found.account.id, found.is_active), (account.id, is_active));
    }
    for nobody in ["", "0", "bob@example.com", "new bob@example.com", "\0"] {
        assert!(store.find_by_subject(nobody).await.unwrap().is_none(), "{nobody:?}");
    }
}

async fn what_no_name_contains_finds_nothing(store: &SqlStore) {
    create(store, "a name").await;
    let query = ListQuery::new().with_search("\0").with_page(Page::Last);
    let page = store.list_private(&caller(), &query, NOW).await.unwrap().done().unwrap().unwrap();
    assert_eq!((page.count, page.number, page.tokens.len()), (0, 1, 0));
    let beyond = ListQuery::new().with_page(Page::Number(u64::MAX)).with_page_size(u32::MAX);
    assert!(store.list_private(&caller(), &beyond, NOW).await.unwrap().done().unwrap().is_none());
    let zeroth = ListQuery::new().with_page(Page::Number(0));
    assert!(store.list_private(&caller(), &zeroth, NOW).await.unwrap().done().unwrap().is_none());
}

async fn any_id_can_be_revoked(store: &SqlStore) {
    let long = "\u{1F980}".repeat(2000);
    for id in ["", "\0", "a\0b", "'; DROP TABLE bearer_denials; --", &long] {
        let token = Revocable::token("https://other.example", id);
        let what = Lookup::new([token.clone()], NOW);
        assert_eq!(store.look_up(&what).await.unwrap(), Verdict::NotRevoked);
        store.revoke(&entry(token.clone(), UnixTime::MAX)).await.unwrap();
        assert_eq!(store.look_up(&what).await.unwrap(), Verdict::Revoked);
        let entry = store.outbox(1000).await.unwrap().pop().unwrap();
        assert!(*entry.revocation.thing() == token);
        assert_eq!(entry.revocation.obsolete_after(), UnixTime::MAX);
    }
    assert_eq!(store.look_up(&Lookup::new([], NOW)).await.unwrap(), Verdict::NotRevoked);
}

async fn errors_do_not_repeat_what_was_stored(store: &SqlStore) {
    create(store, "secret-id").await;
    let error = store.create_private(&caller(), &private("secret-id")).await.unwrap_err();
    assert!(!said(&error).contains("secret-id"), "{}", said(&error));
    assert!(said(&error).contains("refused"), "{}", said(&error));
    assert_eq!(listed(store).await.iter().filter(|token| &*token.name == "secret-id").count(), 1);
    create(store, "after the error").await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn sqlite_does_it_all() {
    for check in 0..4 {
        let store = SqlStore::open("sqlite::memory:").await.unwrap();
        all(&store, check).await;
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
#[ignore = "needs postgres"]
async fn postgres_does_it_all() {
    let server = super::server::Postgres::start();
    for check in 0..4 {
        let url = server.database(&format!("upkeep{check}")).await;
        all(&SqlStore::open(&url).await.unwrap(), check).await;
    }
}

async fn all(store: &SqlStore, check: u32) {
    match check {
        0 => accounts_are_found_by_their_address(store).await,
        1 => what_no_name_contains_finds_nothing(store).await,
        2 => any_id_can_be_revoked(store).await,
        _ => errors_do_not_repeat_what_was_stored(store).await,
    }
}

#[tokio::test]
async fn a_url_of_no_database_is_refused_without_being_repeated() {
    for url in ["", "mysql://me:secret@host/db", "tokens.db", "secret"] {
        let error = SqlStore::open(url).await.unwrap_err();
        assert!(matches!(error, OpenError::UnknownDatabase), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_server_that_is_not_there_is_said_so_without_the_password() {
    for url in ["postgres://me:secret@127.0.0.1:1/db", "postgres://me:secret@127.0.0.1:secret/db"] {
        let options = super::super::SqlStoreOptions::new();
        let options = options.with_patience(std::time::Duration::from_millis(200));
        let error = options.open(url).await.unwrap_err();
        assert!(matches!(error, OpenError::Unavailable(_) | OpenError::Url), "{error:?}");
        let source = error.source().map(ToString::to_string);
        assert!(!format!("{error} {error:?} {source:?}").contains("secret"));
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_file_is_its_owners_and_survives_the_store() {
    let directory = super::Directory::new();
    let url = directory.url("tokens.db");
    let store = SqlStore::open(&url).await.unwrap();
    create(&store, "kept").await;
    nobody_else_may_read(&directory);
    drop(store);
    let store = SqlStore::open(&url).await.unwrap();
    assert_eq!(listed(&store).await.len(), 1);
    for (pragma, expected) in [("PRAGMA synchronous", "2"), ("PRAGMA journal_mode", "wal")] {
        let rows = store.database.read(pragma, &[]).await.unwrap();
        let found = rows[0].text(0).or_else(|_| rows[0].int(0).map(|number| number.to_string()));
        assert_eq!(found.unwrap(), expected, "{pragma}");
    }
    for missing in ["sqlite:", "sqlite:///nowhere/at/all.db"] {
        SqlStore::open(missing).await.unwrap_err();
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_file_that_the_mode_lets_sqlite_make_is_its_owners_too() {
    for parameters in ["?mode=rwc", "?cache=private&%6Dode=rwc"] {
        let directory = super::Directory::new();
        let url = directory.url("mode=memory.db") + parameters;
        create(&SqlStore::open(&url).await.unwrap(), "kept").await;
        nobody_else_may_read(&directory);
        assert_eq!(listed(&SqlStore::open(&url).await.unwrap()).await.len(), 1);
    }
    for parameters in ["?mode=rw", "?mode=ro"] {
        let directory = super::Directory::new();
        SqlStore::open(&(directory.url("tokens.db") + parameters)).await.unwrap_err();
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), 0, "{parameters}");
    }
}

#[cfg(feature = "sqlite")]
fn nobody_else_may_read(directory: &super::Directory) {
    #[cfg(unix)]
    for file in std::fs::read_dir(&directory.0).unwrap() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
    }
    #[cfg(not(unix))]
    let _ = directory;
}

/// Few connections and a short patience, so that a caller that waits for one fails soon.
fn small() -> super::super::SqlStoreOptions {
    let patience = std::time::Duration::from_millis(500);
    super::super::SqlStoreOptions::new().with_max_connections(2).with_patience(patience)
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn look_ups_in_sqlite_do_not_wait_for_lists_and_writes() {
    let directory = super::Directory::new();
    let store = small().open(&directory.url("tokens.db")).await.unwrap();
    #[allow(irrefutable_let_patterns, reason = "with one database there is no other")]
    let Database::Sqlite { writer, readers, .. } = store.database.clone() else { unreachable!() };
    let held = (writer.acquire().await.unwrap(), readers.acquire().await.unwrap());
    assert!(store.list_private(&caller(), &ListQuery::new(), NOW).await.is_err());
    assert_eq!(store.look_up(&asked(token("a"))).await.unwrap(), Verdict::NotRevoked);
    drop(held);
}

#[cfg(feature = "postgres")]
#[tokio::test]
#[ignore = "needs postgres"]
async fn look_ups_in_postgresql_do_not_wait_for_lists_and_writes() {
    let server = super::server::Postgres::start();
    let store = small().open(&server.database("look_ups").await).await.unwrap();
    #[allow(irrefutable_let_patterns, reason = "with one database there is no other")]
    let Database::Postgres { all, .. } = store.database.clone() else { unreachable!() };
    let held = (all.acquire().await.unwrap(), all.acquire().await.unwrap());
    assert!(store.list_private(&caller(), &ListQuery::new(), NOW).await.is_err());
    assert_eq!(store.look_up(&asked(token("a"))).await.unwrap(), Verdict::NotRevoked);
    drop(held);
}

#[cfg(feature = "postgres")]
#[tokio::test]
#[ignore = "needs postgres"]
async fn postgresql_waits_for_the_log_whatever_the_default_is() {
    let server = super::server::Postgres::start();
    let url = server.database("waits").await;
    for (default, expected) in [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ] {
        let url = format!("{url}&options[synchronous_commit]={default}");
        let store = SqlStore::open(&url).await.unwrap();
        let rows = store.database.read("SHOW synchronous_commit", &[]).await.unwrap();
        assert_eq!(rows[0].text(0).unwrap(), expected, "{default}");
    }
}
