//! Accounts, errors, and texts that one of the databases cannot store.

use std::error::Error as _;

use serde_json::json;

use super::{super::SqlStore, NOW, caller, create, entry, listed, private};
use tower_bearer::revocation::outbox::Outbox;
use tower_bearer::{
    UnixTime,
    revocation::{Lookup, Revocable, RevocationStore, StoreError, Verdict},
};
use tower_bearer_issuing::{
    AccountStore, ManagedAccounts, NewAccount,
    scopes::ScopeSet,
    store::{ListQuery, Page, TokenStore},
};

/// Returns the texts of an error and its source, as `Display` and as `Debug`.
fn texts_of(error: &StoreError) -> String {
    let source = error.source().map(|source| format!("{source} {source:?}"));
    format!("{error} {error:?} {}", source.unwrap_or_default())
}

async fn accounts_are_found_by_their_address(store: &SqlStore) {
    let mut new = NewAccount::new("Ada@Example.com", "$argon2id$1");
    new.company_id = Some(7.into());
    new.scopes = ScopeSet::from_text("orders:read orders:write").unwrap();
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
    assert_eq!(found.account.company_id, Some(7.into()));
    assert_eq!(found.account.scopes.to_string(), "orders:read orders:write");
    assert!(!found.account.is_verified);
    assert_eq!(found.password_hash, "$argon2id$1");
    for unknown in ["Ada@Example.com", " ada@example.com", "bob@example.com", "", "\0"] {
        assert!(store.find_by_email(unknown).await.unwrap().is_none(), "{unknown:?}");
    }

    store.replace_hash(&made.subject, "$argon2id$other", "$argon2id$2").await.unwrap();
    let found = store.find_by_email("ada@example.com").await.unwrap().unwrap();
    assert_eq!(found.password_hash, "$argon2id$1", "the hash had changed in between");
    store.replace_hash(&made.subject, "$argon2id$1", "$argon2id$2").await.unwrap();
    let found = store.find_by_email("ada@example.com").await.unwrap().unwrap();
    assert_eq!(found.password_hash, "$argon2id$2");

    let mut inactive = NewAccount::new("bob@example.com", "$argon2id$3");
    inactive.is_active = false;
    inactive.company_id = Some("3f2504e0-4f89-11d3-9a0c-0305e82c3301".into());
    let bob = store.add_account(&inactive).await.unwrap().unwrap();
    assert_ne!(bob.subject, made.subject);
    assert!(!store.find_by_email("bob@example.com").await.unwrap().unwrap().is_active);
    for (account, is_active) in [(&made, true), (&bob, false)] {
        let found = store.find_by_subject(&account.subject).await.unwrap().unwrap();
        assert_eq!(found.is_active, is_active);
        assert!(found.account == *account);
    }
    for unknown in ["", "0", "bob@example.com", "new bob@example.com", "\0"] {
        assert!(store.find_by_subject(unknown).await.unwrap().is_none(), "{unknown:?}");
    }
}

async fn a_search_for_what_no_name_contains_finds_nothing(store: &SqlStore) {
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
    assert!(!texts_of(&error).contains("secret-id"), "{}", texts_of(&error));
    assert!(texts_of(&error).contains("the database rejected a statement"), "{}", texts_of(&error));
    assert_eq!(listed(store).await.iter().filter(|token| &*token.name == "secret-id").count(), 1);
    create(store, "after the error").await;
}

#[tokio::test]
async fn sqlite_stores_accounts_and_any_text() {
    for check in 0..4 {
        let store = SqlStore::open("sqlite::memory:").await.unwrap();
        all(&store, check).await;
    }
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn postgres_stores_accounts_and_any_text() {
    let server = super::server::Postgres::start();
    for check in 0..4 {
        let url = server.database(&format!("texts{check}")).await;
        all(&SqlStore::open(&url).await.unwrap(), check).await;
    }
}

async fn all(store: &SqlStore, check: u32) {
    match check {
        0 => accounts_are_found_by_their_address(store).await,
        1 => a_search_for_what_no_name_contains_finds_nothing(store).await,
        2 => any_id_can_be_revoked(store).await,
        _ => errors_do_not_repeat_what_was_stored(store).await,
    }
}
