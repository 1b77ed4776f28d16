//! `POST revoke/` (RFC 7009): who presents a token may revoke it, and learns nothing about other strings.

use std::net::IpAddr;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::json;
use tower_bearer::{Algorithm, jws::SigningKey, revocation::outbox::Outbox as _};

use crate::api::{Answer, Api, Call, FORM, NOW, Tokens};

const INVALID_REQUEST: &str = r#"{"error":"invalid_request"}"#;
const LATER: &str = r#"{"detail":"Request was throttled. Expected available in 3 seconds."}"#;

async fn revoke(api: &Api, token: &str) -> Answer {
    let call = Call::new(Method::POST, "/revoke/").body(FORM, format!("token={token}"));
    api.call(call).await
}

async fn revokes(api: &Api, token: &str) {
    revoke(api, token).await.is(200, &[], "");
}

async fn refresh(api: &Api, token: &str) -> Answer {
    api.post("/refresh/", None, json!({"refresh_token": token})).await
}

#[tokio::test]
async fn an_access_token_is_revoked_itself_and_its_session_lives() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);
    revokes(&api, &ada.access).await;
    api.me(&ada.access).await.is_token_not_valid();
    let next = Tokens::of(&refresh(&api, &ada.refresh).await);
    assert_eq!(api.me(&next.access).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_private_token_is_revoked_itself_and_is_not_listed_any_more() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let (id, private) = api.create(&ada.access, "ci").await;
    let (_, other) = api.create(&ada.access, "other").await;
    revokes(&api, &private).await;
    api.me(&private).await.is_token_not_valid();
    assert_eq!(api.count(&ada.access).await, 1);
    assert_eq!(api.delete(&format!("/private_tokens/{id}/"), &ada.access).await.status, 404);
    for token in [&other, &ada.access] {
        assert_eq!(api.me(token).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_refresh_token_is_revoked_with_its_session_and_nothing_else() {
    let api = Api::new();
    let (ada, other) = (api.log_in("ada").await, api.log_in("ada").await);
    let (_, private) = api.create(&ada.access, "ci").await;
    revokes(&api, &ada.refresh).await;
    api.me(&ada.access).await.is_token_not_valid();
    refresh(&api, &ada.refresh).await.is_token_not_valid();
    for token in [&private, &other.access] {
        assert_eq!(api.me(token).await.status, StatusCode::OK);
    }
    Tokens::of(&refresh(&api, &other.refresh).await);
}

#[tokio::test]
async fn a_used_refresh_token_revokes_its_successors() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let next = Tokens::of(&refresh(&api, &ada.refresh).await);
    revokes(&api, &ada.refresh).await;
    for token in [&ada.access, &next.access] {
        api.me(token).await.is_token_not_valid();
    }
    refresh(&api, &next.refresh).await.is_token_not_valid();
}

#[tokio::test]
async fn a_token_in_its_last_second_is_revoked() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    api.advance(3599);
    revokes(&api, &ada.access).await;
    api.me(&ada.access).await.is_token_not_valid();
    assert_eq!(api.wire.outbox(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_old_token_in_its_overlap_is_revoked_at_once() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let (id, old) = api.create(&ada.access, "ci").await;
    let body = json!({"expiration_time": "2027-01-16T08:00:00Z", "overlap_seconds": 600});
    let rotated = api.post(&format!("/private_tokens/{id}/rotate/"), Some(&ada.access), body).await;
    assert_eq!(api.me(&old).await.status, StatusCode::OK);
    revokes(&api, &old).await;
    api.me(&old).await.is_token_not_valid();
    let new = rotated.json()["data"].as_str().unwrap().to_owned();
    assert_eq!(api.me(&new).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_hint_changes_nothing() {
    let api = Api::new();
    for hint in ["access_token", "refresh_token", "pct", "", "%00"] {
        let ada = api.log_in("ada").await;
        for token in [&ada.access, &ada.refresh] {
            let form = format!("token_type_hint={hint}&token={token}&unknown=x");
            let call = Call::new(Method::POST, "/revoke").body(FORM, form);
            api.call(call).await.is(200, &[], "");
        }
        api.me(&ada.access).await.is_token_not_valid();
        refresh(&api, &ada.refresh).await.is_token_not_valid();
    }
}

#[tokio::test]
async fn every_other_string_gets_the_same_answer_without_the_store() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let stranger = SigningKey::generate(Algorithm::ES256).unwrap();
    let ours = |claims| api.sign("at+jwt", claims);
    let strings = [
        "x".to_owned(),
        "a.b.c".to_owned(),
        "%00".to_owned(),
        "x".repeat(60_000),
        format!("{}x", ada.access),
        format!("{}.x", ada.refresh),
        stranger.sign("at+jwt", &api.claims("access").to_string()).unwrap(),
        stranger.sign("refresh+jwt", &api.claims("refresh").to_string()).unwrap(),
        ours(json!({"iss": "https://other.example"})),
        ours(json!({"aud": "other"})),
        ours(json!({"exp": NOW})),
        ours(json!({"token_type": "refresh"})),
        api.sign("refresh+jwt", json!({"aud": "other", "token_type": "refresh"})),
        api.sign("refresh+jwt", json!({"exp": NOW, "token_type": "refresh"})),
        api.sign("refresh+jwt", json!({"token_type": "access"})),
        api.sign("JWT", json!({})),
    ];
    api.wire.cut();
    for token in &strings {
        revokes(&api, token).await;
    }
    api.wire.mend();
    assert_eq!(api.wire.outbox(10).await.unwrap(), []);
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_form_without_one_token_is_an_invalid_request() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let token = &ada.access;
    for (content_type, form) in [
        (FORM, String::new()),
        ("", String::new()),
        ("application/json", String::new()),
        (FORM, "token=".into()),
        (FORM, "token_type_hint=access_token".into()),
        (FORM, format!("token={token}&token={token}")),
        (FORM, format!("token={token}&x=1&x=2")),
        (FORM, format!("token={token}&token_type_hint=a&token_type_hint=a")),
    ] {
        for path in ["/revoke/", "/revoke"] {
            let call = Call::new(Method::POST, path).body(content_type, form.clone());
            api.call(call).await.is(400, &[], INVALID_REQUEST);
        }
    }
    assert_eq!(api.me(token).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_token_in_the_query_or_the_header_is_never_read() {
    let api = Api::new();
    let (ada, bob) = (api.log_in("ada").await, api.log_in("bob").await);
    let path = format!("/revoke/?token={}", ada.access);
    let call = Call::new(Method::POST, &path).token(Some(&ada.access)).body(FORM, "");
    api.call(call).await.is(400, &[], INVALID_REQUEST);
    let form = format!("token={}", bob.access);
    let call = Call::new(Method::POST, &path).token(Some(&ada.access)).body(FORM, form);
    api.call(call).await.is(200, &[], "");
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);
    api.me(&bob.access).await.is_token_not_valid();
}

#[tokio::test]
async fn other_media_types_and_long_forms_are_rejected() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let form = format!("token={}", ada.access);
    for content_type in ["", "application/json", "text/plain", "multipart/form-data; boundary=x"] {
        let call = Call::new(Method::POST, "/revoke/").body(content_type, form.clone());
        let expected =
            format!(r#"{{"detail":"Unsupported media type \"{content_type}\" in request."}}"#);
        api.call(call).await.is(415, &[], &expected);
    }
    let long = format!("{form}&x={}", "x".repeat(64 * 1024));
    let call = Call::new(Method::POST, "/revoke/").body(FORM, long);
    api.call(call).await.is(413, &[], r#"{"detail":"Request body is larger than 65536 bytes."}"#);
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);

    let content_type = "Application/X-WWW-Form-Urlencoded; charset=UTF-8";
    let call = Call::new(Method::POST, "/revoke/").body(content_type, form);
    api.call(call).await.is(200, &[], "");
    api.me(&ada.access).await.is_token_not_valid();
}

#[tokio::test]
async fn other_strings_are_limited_and_valid_tokens_never() {
    let api = Api::new();
    let (ada, bob) = (api.log_in("ada").await, api.log_in("bob").await);
    let (_, private) = api.create(&ada.access, "ci").await;
    for _ in 0..20 {
        revokes(&api, "a.b.c").await;
    }
    for _ in 0..3 {
        revoke(&api, "a.b.c").await.is(429, &[("retry-after", "3")], LATER);
    }
    for token in [&private, &ada.access, &ada.refresh, &bob.access, &bob.refresh] {
        revokes(&api, token).await;
        // From now on it is like any other string.
        assert_eq!(revoke(&api, token).await.status, StatusCode::TOO_MANY_REQUESTS);
    }
    api.advance(3);
    revokes(&api, "a.b.c").await;
    revoke(&api, "a.b.c").await.is(429, &[("retry-after", "3")], LATER);
}

#[tokio::test]
async fn the_limit_of_other_strings_is_that_of_one_address() {
    let api = Api::build(
        |builder| builder,
        |api| {
            api.with_peer_address(|parts| {
                let host = parts.headers.get("host")?.to_str().ok()?;
                host.parse::<IpAddr>().ok()
            })
        },
    );
    let from = async |address: &str| {
        let call = Call::new(Method::POST, "/revoke/").body(FORM, "token=x").host(address);
        api.call(call).await.status.as_u16()
    };
    for _ in 0..20 {
        assert_eq!(from("192.0.2.1").await, 200);
    }
    assert_eq!(from("192.0.2.1").await, 429);
    assert_eq!(from("192.0.2.2").await, 200);
    assert_eq!(from("unknown").await, 200);
}

#[tokio::test]
async fn a_token_is_valid_until_the_store_has_its_revocation() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let (_, private) = api.create(&ada.access, "ci").await;
    let tokens = [&ada.access, &private, &ada.refresh];
    api.wire.cut();
    for _ in 0..25 {
        for token in tokens {
            let answer = revoke(&api, token).await;
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("5")));
        }
    }
    api.wire.mend();
    for token in [&ada.access, &private] {
        assert_eq!(api.me(token).await.status, StatusCode::OK);
    }
    for token in tokens {
        revokes(&api, token).await;
    }
    for token in [&ada.access, &private] {
        api.me(token).await.is_token_not_valid();
    }
    refresh(&api, &ada.refresh).await.is_token_not_valid();
}

#[tokio::test]
async fn what_only_this_process_rejects_is_stored_at_the_next_attempt() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);
    api.wire.cut();
    let body = json!({"refresh_token": ada.refresh});
    assert_eq!(api.post("/logout/", Some(&ada.access), body).await.status, 503);
    api.wire.mend();
    assert_eq!(api.wire.outbox(10).await.unwrap().len(), 0);
    api.me(&ada.access).await.is_token_not_valid();
    revokes(&api, &ada.access).await;
    assert_eq!(api.wire.outbox(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_replay_writes_nothing() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    for token in [&ada.access, &ada.refresh] {
        for _ in 0..5 {
            revokes(&api, token).await;
        }
    }
    assert_eq!(api.wire.outbox(10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn fifty_revocations_of_one_token_at_once_all_succeed() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let calls = (0..50).map(|_| revoke(&api, &ada.refresh));
    for answer in join_all(calls).await {
        assert!([200, 429].contains(&answer.status.as_u16()));
    }
    api.me(&ada.access).await.is_token_not_valid();
    assert_eq!(api.wire.outbox(10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn tokens_of_a_revoked_key_are_other_strings() {
    let api = Api::new();
    let kid = api.key.key_id().to_owned();
    let ada = api.log_in("ada").await;
    api.issuer.revoke_key(&kid).await.unwrap();
    let before = api.wire.outbox(100).await.unwrap().len();
    let mut answers = Vec::new();
    for number in 0..30 {
        let forged = api.sign("at+jwt", json!({"jti": format!("forged-{number}")}));
        answers.push(revoke(&api, &forged).await.status.as_u16());
    }
    assert_eq!(answers.iter().filter(|status| **status == 429).count(), 10, "{answers:?}");
    assert!(api.wire.outbox(100).await.unwrap().len() <= before + 20);
    api.me(&ada.access).await.is_token_not_valid();
}
