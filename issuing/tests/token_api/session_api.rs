use http::StatusCode;
use serde_json::json;
use std::time::Duration;

use crate::api::{Api, Tokens};

const NOT_OF_THIS_ACCOUNT: &str = r#"{"refresh_token":["Not a refresh token of this account."]}"#;

#[tokio::test]
async fn a_refresh_answers_new_tokens_and_the_old_refresh_token_is_used_up() {
    let api = Api::new();
    let first = api.log_in("ada").await;
    let answer = api.post("/refresh", None, json!({"refresh_token": first.refresh})).await;
    let second = Tokens::of(&answer);
    let Tokens { access, refresh } = &second;
    let expected = format!(
        r#"{{"token_access":"{access}","access_token":"{access}","refresh_token":"{refresh}"}}"#
    );
    answer.is(200, &[], &expected);
    assert_ne!(second.refresh, first.refresh);
    assert_eq!(api.me(&second.access).await.body, "7");

    // Used again: the whole family is gone, and its access tokens.
    let again = api.post("/refresh/", None, json!({"refresh_token": first.refresh})).await;
    again.is_token_not_valid();
    api.post("/refresh/", None, json!({"refresh_token": second.refresh}))
        .await
        .is_token_not_valid();
    api.me(&first.access).await.is_token_not_valid();
    api.me(&second.access).await.is_token_not_valid();
}

#[tokio::test]
async fn within_the_grace_a_repeat_gets_the_same_successor() {
    let api =
        Api::build(|issuer| issuer.with_refresh_reuse_grace(Duration::from_secs(10)), |api| api);
    let first = api.log_in("ada").await;
    let body = json!({"refresh_token": first.refresh});
    let one = Tokens::of(&api.post("/refresh/", None, body.clone()).await);
    let two = Tokens::of(&api.post("/refresh/", None, body.clone()).await);
    let payload = |token: &str| token.split('.').nth(1).unwrap().to_owned();
    assert_eq!(payload(&one.refresh), payload(&two.refresh));
    api.advance(11);
    api.post("/refresh/", None, body).await.is_token_not_valid();
    api.me(&two.access).await.is_token_not_valid();
}

#[tokio::test]
async fn what_is_no_good_refresh_token_gets_the_documented_answer() {
    let api = Api::new();
    let tokens = api.log_in("ada").await;
    let (_, private) = api.create(&tokens.access, "ci").await;
    for token in ["x", "a.b.c", &*tokens.access, &*private, &*"x".repeat(10_000)] {
        api.post("/refresh/", None, json!({"refresh_token": token})).await.is_token_not_valid();
    }
    api.advance(24 * 3600);
    api.post("/refresh/", None, json!({"refresh_token": tokens.refresh}))
        .await
        .is_token_not_valid();
}

#[tokio::test]
async fn a_refresh_token_is_no_bearer_token() {
    let api = Api::new();
    let tokens = api.log_in("ada").await;
    api.me(&tokens.refresh).await.is_token_not_valid();
    api.get("/private_tokens/", &tokens.refresh).await.is_token_not_valid();
}

#[tokio::test]
async fn a_logout_revokes_the_access_token_and_the_family() {
    let api = Api::new();
    let other = api.log_in("ada").await;
    for path in ["/logout/", "/logout"] {
        let tokens = api.log_in("ada").await;
        let body = json!({"refresh_token": tokens.refresh});
        api.post(path, Some(&tokens.access), body.clone()).await.is(204, &[], "");
        api.me(&tokens.access).await.is_token_not_valid();
        api.post("/refresh/", None, body.clone()).await.is_token_not_valid();
        api.post(path, Some(&tokens.access), body).await.is_token_not_valid();
    }
    assert_eq!(api.me(&other.access).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_logout_with_somebody_elses_refresh_token_changes_nothing() {
    let api = Api::new();
    let (ada, bob) = (api.log_in("ada").await, api.log_in("bob").await);
    for token in [&*bob.refresh, &*ada.access, "x"] {
        let answer = api.post("/logout/", Some(&ada.access), json!({"refresh_token": token})).await;
        answer.is(400, &[], NOT_OF_THIS_ACCOUNT);
    }
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);
    assert_eq!(api.me(&bob.access).await.status, StatusCode::OK);
    Tokens::of(&api.post("/refresh/", None, json!({"refresh_token": bob.refresh})).await);
}

#[tokio::test]
async fn revoke_all_ends_everything_of_the_caller_and_nothing_of_others() {
    let api = Api::new();
    let bob = api.log_in("bob").await;
    for path in ["/revoke_all/", "/revoke_all"] {
        let (one, two) = (api.log_in("ada").await, api.log_in("ada").await);
        let (_, private) = api.create(&one.access, "ci").await;
        api.post(path, Some(&one.access), json!({})).await.is(204, &[], "");
        for token in [&one.access, &two.access, &private] {
            api.me(token).await.is_token_not_valid();
        }
        for token in [&one.refresh, &two.refresh] {
            api.post("/refresh/", None, json!({"refresh_token": token})).await.is_token_not_valid();
        }
        assert_eq!(api.me(&bob.access).await.status, StatusCode::OK);
        // At once, in the same second: a token issued behind the cut-off is good.
        let new = api.log_in("ada").await;
        assert_eq!(api.me(&new.access).await.status, StatusCode::OK);
        assert_eq!(api.count(&new.access).await, 0);
    }
}
