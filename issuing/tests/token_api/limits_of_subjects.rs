//! What one account cannot take from the others.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::api::{Api, Call};

const A_MOMENT: &str = r#"{"detail":"Request was throttled. Expected available in 1 second."}"#;
const LATER: &str = r#"{"detail":"Request was throttled. Expected available in 10 seconds."}"#;

fn list(token: &str) -> Call<'_> {
    Call::new(Method::GET, "/private_tokens/").token(Some(token))
}

#[tokio::test]
async fn four_calls_of_an_account_run_and_sixteen_wait() {
    let api = Api::new();
    let (ada, bob) = (api.log_in("ada").await.access, api.log_in("bob").await.access);
    let lists = api.wire.lists.clone();
    let held = lists.write().await;
    let mut calls = Vec::new();
    for _ in 0..20 {
        calls.push(api.start(list(&ada)).await);
    }
    assert_eq!(api.wire.arrived(), 4);
    api.call(list(&ada)).await.is(429, &[("retry-after", "1")], A_MOMENT);
    calls.push(api.start(list(&bob)).await);
    assert_eq!(api.wire.arrived(), 5);

    drop(held);
    for call in calls {
        assert_eq!(call.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(api.wire.arrived(), 21);
    assert_eq!(api.call(list(&ada)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn who_hangs_up_gives_its_turn_to_the_next() {
    let api = Api::new();
    let ada = api.log_in("ada").await.access;
    let lists = api.wire.lists.clone();
    let held = lists.write().await;
    for _ in 0..30 {
        api.start(list(&ada)).await.abort();
        tokio::task::yield_now().await;
    }
    assert_eq!(api.wire.arrived(), 30);
    drop(held);
}

#[tokio::test]
async fn a_flood_of_lists_does_not_keep_an_account_from_revoking() {
    let api = Api::new();
    let ada = api.log_in("ada").await.access;
    let (id, private) = api.create(&ada, "ci").await;
    let lists = api.wire.lists.clone();
    let held = lists.write().await;
    for _ in 0..20 {
        api.start(list(&ada)).await;
    }
    let path = format!("/private_tokens/{id}/");
    assert_eq!(api.delete(&path, &ada).await.status, StatusCode::NO_CONTENT);
    api.me(&private).await.is_token_not_valid();
    let all = api.call(Call::new(Method::POST, "/revoke_all/").token(Some(&ada))).await;
    assert_eq!(all.status, StatusCode::NO_CONTENT);
    drop(held);
}

#[tokio::test]
async fn a_revocation_keeps_its_turn_when_the_client_hangs_up() {
    let api = Api::new();
    let ada = api.log_in("ada").await.access;
    let revocations = api.wire.revocations.clone();
    let held = revocations.write().await;
    for _ in 0..10 {
        let path = "/private_tokens/1/";
        api.start(Call::new(Method::DELETE, path).token(Some(&ada))).await.abort();
        tokio::task::yield_now().await;
    }
    assert_eq!(api.wire.arrived(), 4);
    drop(held);
}

#[tokio::test]
async fn one_refresh_of_a_session_runs_sixteen_wait_and_more_are_429() {
    let api = Api::new();
    let (ada, other) = (api.log_in("ada").await, api.log_in("ada").await);
    let refreshes = api.wire.refreshes.clone();
    let held = refreshes.write().await;
    let refresh = |token: &str| {
        let body = json!({"refresh_token": token});
        Call::new(Method::POST, "/refresh/").json(&body)
    };
    let mut calls = Vec::new();
    for _ in 0..17 {
        calls.push(api.start(refresh(&ada.refresh)).await);
    }
    assert_eq!(api.wire.arrived(), 1);
    api.call(refresh(&ada.refresh)).await.is(429, &[("retry-after", "1")], A_MOMENT);
    calls.push(api.start(refresh(&other.refresh)).await);
    assert_eq!(api.wire.arrived(), 2, "another session of the subject");

    drop(held);
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await.unwrap());
    }
    let is_good = |status: &&StatusCode| **status == StatusCode::OK;
    assert_eq!(outcomes.iter().filter(is_good).count(), 2, "{outcomes:?}");
    assert_eq!(api.wire.arrived(), 3, "a token that was found dead is not looked up again");
}

#[tokio::test]
async fn thirty_private_tokens_are_made_at_once_and_then_one_in_ten_seconds() {
    let api = Api::new();
    let (ada, bob) = (api.log_in("ada").await.access, api.log_in("bob").await.access);
    let (id, _) = api.create(&ada, "ci").await;
    let expiry = json!({"name": "ci", "expiration_time": "2027-01-16T08:00:00Z"});
    let rotate = format!("/private_tokens/{id}/rotate/");
    assert_eq!(api.post(&rotate, Some(&ada), expiry.clone()).await.status, StatusCode::CREATED);
    for _ in 2..30 {
        api.create(&ada, "ci").await;
    }
    let count = api.count(&ada).await;
    for path in ["/private_tokens/", &*rotate] {
        let answer = api.post(path, Some(&ada), expiry.clone()).await;
        answer.is(429, &[("retry-after", "10")], LATER);
    }
    assert_eq!(api.count(&ada).await, count);
    api.create(&bob, "ci").await;
    let wrong = api.post("/private_tokens/", Some(&ada), json!({})).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "what is wrong is said all the same");

    api.advance(10);
    api.create(&ada, "ci").await;
    let again = api.post("/private_tokens/", Some(&ada), expiry).await;
    again.is(429, &[("retry-after", "10")], LATER);
}

#[tokio::test]
async fn the_operator_decides_how_many_private_tokens_are_made() {
    let two = |interval| {
        Api::build(|builder| builder, move |api| api.with_private_token_rate(2, interval))
    };
    let expiry = json!({"name": "ci", "expiration_time": "2027-01-16T08:00:00Z"});
    let api = two(Duration::from_secs(60));
    let ada = api.log_in("ada").await.access;
    api.create(&ada, "a").await;
    api.create(&ada, "b").await;
    let third = api.post("/private_tokens/", Some(&ada), expiry).await;
    assert_eq!(
        (third.status, third.header("retry-after")),
        (StatusCode::TOO_MANY_REQUESTS, Some("60"))
    );

    let api = two(Duration::ZERO);
    let ada = api.log_in("ada").await.access;
    for _ in 0..50 {
        api.create(&ada, "ci").await;
    }
}
