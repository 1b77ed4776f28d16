//! Tests of the issuer as a whole, on the memory store.

pub(crate) mod any_store;
mod auditing;
mod every_event;
mod failing;
mod managing;
mod private_token_life;
mod scopes;
mod session_life;
mod staff;
mod verification;
mod waiting;

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use self::any_store::{
    DAY, Everybody, ISSUER, NOW, account_changes, deleted_account, keys, overtaken, refusal,
    replicas, revocation_table,
};
use super::{
    ClientInfo, Credentials, PasswordChange, TokenIssuer, TokenIssuerBuilder, TokenPair,
    store::MemoryTokenStore,
};
use tower_bearer::{Algorithm, Authenticated, claims::ManualClock, jws::SigningKey};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn with_the_memory_store_nothing_survives_a_revocation() {
    overtaken::check(async |clock| MemoryTokenStore::new().with_clock(clock)).await;
}

#[tokio::test]
async fn with_the_memory_store_known_devices_are_shared() {
    replicas::check(async |clock| MemoryTokenStore::new().with_clock(clock)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_memory_store_the_table_of_revocations_is_right() {
    revocation_table::check(async |clock| MemoryTokenStore::new().with_clock(clock)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_memory_store_a_deleted_account_leaves_nothing() {
    deleted_account::check(async |clock| MemoryTokenStore::new().with_clock(clock)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_memory_store_a_changed_account_ends_its_tokens() {
    account_changes::check(async |clock| MemoryTokenStore::new().with_clock(clock)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_memory_store_replicas_share_keys() {
    let stores = Mutex::new(BTreeMap::new());
    keys::check(async |number, clock| {
        let new = || MemoryTokenStore::new().with_clock(clock);
        stores.lock().unwrap().entry(number).or_insert_with(new).clone()
    })
    .await;
}

fn builder(clock: &ManualClock) -> TokenIssuerBuilder {
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    TokenIssuer::builder(ISSUER, "api", key, store, Everybody).with_clock(clock.clone())
}

fn issuer() -> (TokenIssuer, ManualClock) {
    let clock = ManualClock::at(NOW);
    (builder(&clock).build().unwrap(), clock)
}

async fn log_in(issuer: &TokenIssuer, name: &str) -> (TokenPair, Authenticated) {
    let tokens =
        issuer.log_in(&Credentials::new(name, "right"), &ClientInfo::new()).await.unwrap().tokens;
    let access = issuer.authenticator().authenticate(&tokens.access_token).await.unwrap();
    (tokens, access)
}

#[test]
fn every_call_can_be_made_from_a_handler() {
    fn is_send<T: Send>(_: &T) {}
    fn handlers(issuer: &TokenIssuer, access: &Authenticated, credentials: &Credentials) {
        is_send(&issuer.log_in(credentials, &ClientInfo::new()));
        is_send(&issuer.refresh(""));
        is_send(&issuer.log_out(access, ""));
        is_send(&issuer.create_private_token(access, "", NOW));
        is_send(&issuer.create_private_token_with_scopes(access, "", NOW, &Default::default()));
        is_send(&issuer.list_private_tokens(access, &super::ListQuery::new()));
        is_send(&issuer.rotate_private_token(access, 0, NOW, Duration::ZERO));
        is_send(&issuer.revoke_private_token(access, 0));
        is_send(&issuer.revoke_all(access));
        is_send(&issuer.revoke_subject(""));
        is_send(&issuer.change_password(access, &PasswordChange::new("", ""), &ClientInfo::new()));
        is_send(&issuer.set_password("", ""));
        is_send(&issuer.close_account(""));
        is_send(&issuer.revoke_key(""));
        is_send(&issuer.maintain());
    }
    let _ = handlers;
}

#[test]
fn settings_outside_of_their_limits_are_refused() {
    let clock = ManualClock::at(NOW);
    let grace = |seconds| {
        builder(&clock).with_refresh_reuse_grace(Duration::from_secs(seconds)).build().is_ok()
    };
    assert!(grace(30) && !grace(31));
    assert!(builder(&clock).with_refresh_lifetime(Duration::ZERO).build().is_err());
    assert!(builder(&clock).with_max_private_lifetime(Duration::MAX).build().is_err());
    for client_id in ["", "a\nb", "\u{e9}"] {
        assert!(builder(&clock).with_client_id(client_id).build().is_err(), "{client_id:?}");
    }
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let store = MemoryTokenStore::new();
    assert!(TokenIssuer::builder(ISSUER, "", key, store, Everybody).build().is_err());
}
