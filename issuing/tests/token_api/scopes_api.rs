//! Scopes over HTTP: routes that require them, private tokens with them, and private tokens that manage others.

use http::StatusCode;
use serde_json::{Value, json};
use tower_bearer_issuing::TokenIssuerBuilder;

use crate::api::{Api, Call, Tokens};

const NOT_AVAILABLE: &str = r#"{"scopes":["Ensure this account has each of these scopes."]}"#;
const EXPIRY: &str = "2027-01-16T08:00:00Z";

fn new_token(scopes: &Value) -> Value {
    json!({"name": "ci", "expiration_time": EXPIRY, "scopes": scopes})
}

#[tokio::test]
async fn a_route_that_requires_a_scope_accepts_our_own_tokens_with_it() {
    let api = Api::new();
    let without = api.log_in("ada").await;
    api.grant("orders:read orders:write");
    let with = api.log_in("ada").await;
    let (_, private) = api.create(&with.access, "ci").await;
    let (_, private_without) = api.create_with(&with.access, json!(["orders:write"])).await;
    for token in [&with.access, &private] {
        assert_eq!(api.orders(token).await.body, "7");
    }
    for token in [&without.access, &private_without] {
        let refused = api.orders(token).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        assert_eq!(refused.json()["code"], "permission_denied");
        let challenge = refused.header("www-authenticate").unwrap();
        assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
        assert!(challenge.contains(r#"scope="orders:read""#), "{challenge}");
        assert_eq!(api.me(token).await.status, StatusCode::OK);
    }
    // The next refresh brings the scope.
    let body = json!({"refresh_token": without.refresh});
    let refreshed = Tokens::of(&api.post("/refresh/", None, body).await);
    assert_eq!(api.orders(&refreshed.access).await.status, StatusCode::OK);
}

#[tokio::test]
async fn created_listed_and_rotated_tokens_show_their_scopes() {
    let api = Api::new();
    api.grant("b a introspect");
    let ada = api.log_in("ada").await;
    for (asked, expected) in [
        (json!(["b", "a", "b"]), Some(json!(["a", "b"]))),
        (json!(["introspect"]), Some(json!(["introspect"]))),
        // Without scopes, the answers are those of earlier versions.
        (json!([]), None),
    ] {
        let answer = api.post("/private_tokens/", Some(&ada.access), new_token(&asked)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        assert_eq!(answer.json().get("scopes"), expected.as_ref());
        let rotate = format!("/private_tokens/{}/rotate/", answer.json()["id"]);
        let body = json!({"expiration_time": EXPIRY});
        let rotated = api.post(&rotate, Some(&ada.access), body).await.json();
        assert_eq!(rotated.get("scopes"), expected.as_ref());
        let list = api.get("/private_tokens/?ordering=-id", &ada.access).await.json();
        assert_eq!(list["results"][0]["id"], rotated["id"]);
        assert_eq!(list["results"][0].get("scopes"), expected.as_ref());
    }
    // Without the member: everything that is not reserved.
    let body = json!({"name": "ci", "expiration_time": EXPIRY});
    let plain = api.post("/private_tokens/", Some(&ada.access), body).await;
    assert_eq!(plain.json()["scopes"], json!(["a", "b"]));
}

#[tokio::test]
async fn wrong_scopes_are_400_and_nothing_is_kept() {
    let api = Api::new();
    api.grant("a private_tokens");
    let ada = api.log_in("ada").await;
    let message = |message: &str| json!({"scopes": [message]}).to_string();
    for (scopes, expected) in [
        (json!(["b"]), NOT_AVAILABLE.to_owned()),
        (json!(["a", "b"]), NOT_AVAILABLE.to_owned()),
        (json!(["A"]), NOT_AVAILABLE.to_owned()),
        // The operator does not allow it.
        (json!(["private_tokens"]), NOT_AVAILABLE.to_owned()),
        (json!(["a a"]), NOT_AVAILABLE.to_owned()),
        (json!(["a\"b"]), NOT_AVAILABLE.to_owned()),
        (json!(["a".repeat(5000)]), NOT_AVAILABLE.to_owned()),
        (json!([""]), message("This field may not be blank.")),
        (json!(["a", null]), message("This field may not be null.")),
        (json!([1, "a"]), message("Not a valid string.")),
        (json!([["a"]]), message("Not a valid string.")),
        (json!([{"a": ["a"]}, "a"]), message("Not a valid string.")),
        (json!(["a\u{0}"]), message("Null characters are not allowed.")),
        (json!("a"), message("Expected a list of items.")),
        (json!(1), message("Expected a list of items.")),
        (json!(true), message("Expected a list of items.")),
        (json!({"a": "a"}), message("Expected a list of items.")),
        (json!(null), message("This field may not be null.")),
    ] {
        let answer = api.post("/private_tokens/", Some(&ada.access), new_token(&scopes)).await;
        answer.is(400, &[], &expected);
    }
    assert_eq!(api.count(&ada.access).await, 0);
}

#[tokio::test]
async fn a_private_token_manages_only_if_operator_and_owner_allow_it() {
    let api = Api::build(TokenIssuerBuilder::allow_private_token_management, |api| {
        api.with_realm("shop").unwrap()
    });
    api.grant("a private_tokens");
    let ada = api.log_in("ada").await;
    let (plain_id, plain) = api.create(&ada.access, "plain").await;
    let (_, manager) = api.create_with(&ada.access, json!(["private_tokens"])).await;
    let one = format!("/private_tokens/{plain_id}/");
    let rotate = format!("/private_tokens/{plain_id}/rotate/");
    let later = json!({"expiration_time": EXPIRY});

    let refused = api.get("/private_tokens/", &plain).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json()["code"], "token_not_valid");
    assert!(refused.header("www-authenticate").unwrap().contains(r#"realm="shop""#));

    assert_eq!(api.count(&manager).await, 2);
    let created = api.post("/private_tokens/", Some(&manager), new_token(&json!([]))).await;
    assert_eq!(created.status, StatusCode::CREATED, "{}", created.body);
    // The other token has the scope `a`, which the manager lacks.
    let refused = api.post(&rotate, Some(&manager), later.clone()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(refused.json()["code"], "permission_denied");
    let far = json!({"name": "x", "expiration_time": "2027-01-17T08:00:00Z"});
    let message = r#"{"expiration_time":["Ensure this datetime is not later than the expiry of this token."]}"#;
    api.post("/private_tokens/", Some(&manager), far).await.is(400, &[], message);
    assert_eq!(api.delete(&one, &manager).await.status, StatusCode::NO_CONTENT);

    let logout = json!({"refresh_token": ada.refresh});
    for (path, body) in [("/logout/", logout), ("/revoke_all/", json!({}))] {
        let refused = api.post(path, Some(&manager), body).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(refused.json()["code"], "token_not_valid");
    }
    api.grant("a");
    assert_eq!(api.get("/private_tokens/", &manager).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_permission_a_manager_is_a_private_token_like_others() {
    let allowed = Api::build(TokenIssuerBuilder::allow_private_token_management, |api| api);
    allowed.grant("private_tokens");
    let ada = allowed.log_in("ada").await;
    let (id, manager) = allowed.create_with(&ada.access, json!(["private_tokens"])).await;
    let strict = allowed.restart(|builder| builder);
    assert_eq!(strict.me(&manager).await.status, StatusCode::OK);
    let one = format!("/private_tokens/{id}/");
    let rotate = format!("/private_tokens/{id}/rotate/");
    for (method, path) in [
        ("GET", "/private_tokens/"),
        ("POST", "/private_tokens/"),
        ("POST", &rotate),
        ("DELETE", &one),
    ] {
        let call = Call::new(method.parse().unwrap(), path).token(Some(&manager));
        strict.call(call.json(&new_token(&json!([])))).await.is_token_not_valid();
    }
    assert_eq!(strict.count(&ada.access).await, 1);
}

#[tokio::test]
async fn the_author_of_a_service_writes_the_answer_to_a_log_in() {
    let api = Api::build(
        |builder| builder,
        |api| {
            api.with_login_response(
                |login| json!({"user": login.account.id, "token": login.tokens.access_token}),
            )
        },
    );
    let body = json!({"username": "ada@example.org", "password": "right"});
    let answer = api.post("/login/", None, body).await;
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    answer.is(200, &[], &format!(r#"{{"token":"{token}","user":7}}"#));
    assert_eq!(api.me(&token).await.body, "7");
}
