//! A revocation during a log-in that waits for its hash.

use std::sync::Arc;

use axum::body::Body;
use futures_util::FutureExt;
use tower::ServiceExt;
use tower_bearer::{Algorithm, claims::ManualClock, jws::SigningKey};

use super::{ISSUER, NOW};
use crate::{
    Account, ClientInfo, Credentials, LoginError, MemoryAccounts, Passwords, StoredAccount,
    TokenIssuer, hash_password, store::MemoryTokenStore,
};

/// The issuer has read the old password hash, and the log-in waits for a permit to hash.
#[tokio::test]
async fn a_log_in_that_waits_for_its_hash_is_checked_again() {
    let clock = ManualClock::at(NOW);
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let accounts = Arc::new(MemoryAccounts::new());
    let set_password = |password: &str| {
        let hash = hash_password(password).unwrap();
        accounts.insert(StoredAccount::new(Account::new(1, "ada@example.org"), hash));
    };
    set_password("old");
    let passwords = Passwords::new(Arc::clone(&accounts)).unwrap().with_limits(1, 64);
    let slots = passwords.slots();
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let issuer = TokenIssuer::builder(ISSUER, "api", key, store, passwords);
    let issuer = issuer.with_clock(clock).build().unwrap();
    let log_in = async |password: &str| {
        issuer.log_in(&Credentials::new("ada@example.org", password), &ClientInfo::new()).await
    };

    let slot = slots.acquire().await.unwrap();
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(log_in("old"))).collect();
    for one in &mut waiting {
        assert!(one.as_mut().now_or_never().is_none(), "it waits for the slot");
    }
    let body = r#"{"username": "ada@example.org", "password": "old"}"#;
    let request = http::Request::post("/login/").header("content-type", "application/json");
    let mut over_http = Box::pin(issuer.router().oneshot(request.body(Body::from(body)).unwrap()));
    assert!(over_http.as_mut().now_or_never().is_none(), "it waits, too");
    set_password("new");
    issuer.revoke_subject("1").await.unwrap();
    drop(slot);
    // They are awaited together, because a permit goes to the log-in that has waited longest.
    let (outcomes, answer) = tokio::join!(futures_util::future::join_all(waiting), over_http);
    for outcome in outcomes {
        assert!(matches!(outcome, Err(LoginError::NoActiveAccount)));
    }
    assert_eq!(answer.unwrap().status(), http::StatusCode::UNAUTHORIZED);
}
