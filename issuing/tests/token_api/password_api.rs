use axum::body::Body;
use http::{Method, Request, header};
use serde_json::json;
use tower::ServiceExt;
use tower_bearer::{Algorithm, jws::SigningKey};
use tower_bearer_issuing::{MemoryAccounts, Passwords, TokenIssuer, store::MemoryTokenStore};

use crate::api::{Api, Call, NOT_FOUND};

#[tokio::test]
async fn a_new_password_ends_every_session_and_every_private_token() {
    let api = Api::new();
    let bob = api.log_in("bob").await;
    for path in ["/password/", "/password"] {
        let (one, two) = (api.log_in("ada").await, api.log_in("ada").await);
        let (_, private) = api.create(&one.access, "ci").await;
        let body = json!({"password": "right", "new_password": "a new password"});
        api.post(path, Some(&one.access), body.clone()).await.is(204, &[], "");
        for token in [&one.access, &two.access, &private] {
            api.me(token).await.is_token_not_valid();
        }
        for token in [&one.refresh, &two.refresh] {
            api.post("/refresh/", None, json!({"refresh_token": token})).await.is_token_not_valid();
        }
        api.post(path, Some(&one.access), body).await.is_token_not_valid();
        assert_eq!(api.me(&bob.access).await.status, 200);
    }
}

#[tokio::test]
async fn a_password_that_breaks_a_rule_is_named_and_changes_nothing() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let long = "x".repeat(1025);
    for (password, new_password, expected) in [
        ("wrong", "a new password", r#"{"password":["Invalid password."]}"#),
        (&*long, "a new password", r#"{"password":["Invalid password."]}"#),
        (
            "right",
            "1234567",
            r#"{"new_password":["This password is too short. It must contain at least 8 characters."]}"#,
        ),
        (
            "right",
            &*long,
            r#"{"new_password":["This password is too long. It must contain at most 1024 bytes."]}"#,
        ),
        (
            "right",
            "ADA@example.org",
            r#"{"new_password":["The password is too similar to the email address."]}"#,
        ),
        (
            " right ",
            " right ",
            r#"{"new_password":["This password is too short. It must contain at least 8 characters."]}"#,
        ),
        (
            "a password",
            "a password",
            r#"{"new_password":["The new password must differ from the old one."]}"#,
        ),
        ("right", "12345678\0", r#"{"new_password":["Null characters are not allowed."]}"#),
        (
            "",
            "",
            r#"{"password":["This field may not be blank."],"new_password":["This field may not be blank."]}"#,
        ),
    ] {
        let body = json!({"password": password, "new_password": new_password});
        api.post("/password/", Some(&ada.access), body).await.is(400, &[], expected);
    }
    let missing =
        r#"{"password":["This field is required."],"new_password":["This field is required."]}"#;
    api.post("/password/", Some(&ada.access), json!({})).await.is(400, &[], missing);
    assert_eq!(api.me(&ada.access).await.status, 200);
}

#[tokio::test]
async fn wrong_old_passwords_are_throttled_like_those_of_log_ins() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let change = |password: &str| json!({"password": password, "new_password": "a new password"});
    for _ in 0..5 {
        let answer = api.post("/password/", Some(&ada.access), change("wrong")).await;
        assert_eq!(answer.status, 400);
    }
    let throttled = r#"{"detail":"Request was throttled. Expected available in 10 seconds."}"#;
    let answer = api.post("/password/", Some(&ada.access), change("right")).await;
    answer.is(429, &[("retry-after", "10")], throttled);
    let log_in = json!({"username": "ada@example.org", "password": "right"});
    api.post("/login/", None, log_in).await.is(429, &[("retry-after", "10")], throttled);
    api.advance(10);
    api.post("/password/", Some(&ada.access), change("right")).await.is(204, &[], "");
}

#[tokio::test]
async fn only_access_tokens_change_a_password() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let (_, private) = api.create(&ada.access, "ci").await;
    let body = json!({"password": "right", "new_password": "a new password"});
    for token in [&private, &ada.refresh] {
        api.post("/password/", Some(token), body.clone()).await.is_token_not_valid();
    }
    api.post("/password/", None, body).await.is_not_authenticated();
    assert_eq!(api.me(&ada.access).await.status, 200);
    let allow = "POST, OPTIONS";
    let get = Call::new(Method::GET, "/password/").token(Some(&ada.access));
    let expected = r#"{"detail":"Method \"GET\" not allowed."}"#;
    api.call(get).await.is(405, &[("allow", allow)], expected);
}

#[tokio::test]
async fn without_managed_accounts_there_is_no_password_call() {
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let passwords = Passwords::new(MemoryAccounts::new()).unwrap();
    let store = MemoryTokenStore::new();
    let issuer = TokenIssuer::builder("https://issuer.example", "api", key, store, passwords);
    let router = issuer.build().unwrap().router();
    for path in ["/password/", "/password"] {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(r#"{"password": "x"}"#)).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), 404);
        let body = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
        assert_eq!(body, NOT_FOUND);
    }
}
