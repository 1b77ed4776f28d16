//! The audit log over HTTP: who may read it, its pages, and the addresses and actors of its events.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::{Api, Call};

/// The events, the newest first.
async fn events(api: &Api, query: &str) -> Vec<Value> {
    api.issuer.maintain().await.unwrap();
    let answer = api.get(&format!("/admin/audit/{query}"), &api.operator()).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.json()["results"].as_array().unwrap().clone()
}

#[tokio::test]
async fn only_an_operator_with_an_access_token_reads_the_log() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let (_, private) = api.create(&ada.access, "ci").await;
    let private_operator =
        api.sign("at+jwt", json!({"token_type": "private", "jti": "p.x", "scope": "tokens:admin"}));
    let operator = api.operator();
    let call = |token| Call::new(Method::GET, "/admin/audit/").token(token);
    api.call(call(None)).await.is_not_authenticated();
    for token in [&private_operator, &private, &ada.refresh] {
        api.call(call(Some(token))).await.is_token_not_valid();
    }
    assert_eq!(api.call(call(Some(&ada.access))).await.status, StatusCode::FORBIDDEN);
    assert_eq!(api.call(call(Some(&operator))).await.status, StatusCode::OK);
    api.revoke_elsewhere("root").await;
    api.call(call(Some(&operator))).await.is_token_not_valid();
}

#[tokio::test]
async fn the_newest_events_come_first_and_pages_follow_their_links() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    api.log_in("bob").await;
    for name in ["a", "b", "c"] {
        api.create(&ada.access, name).await;
    }
    api.issuer.maintain().await.unwrap();
    let (mut path, mut kinds) = ("/admin/audit/?subject=7&page_size=2".to_owned(), Vec::new());
    loop {
        let page = api.get(&path, &api.operator()).await.json();
        for event in page["results"].as_array().unwrap() {
            assert_eq!(event["subject"], "7");
            kinds.push(event["kind"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        let prefix = "http://api.example.org/api/v1/auth";
        path = next.strip_prefix(prefix).unwrap().to_owned();
    }
    assert_eq!(kinds, ["token_created", "token_created", "token_created", "login_succeeded"]);
    assert_eq!(events(&api, "?page_size=100").await.len(), 5 + 2);
    for (query, status) in
        [("?before=x", 404), ("?before=-1", 404), ("?before=1", 200), ("?subject=%00", 400)]
    {
        let answer = api.get(&format!("/admin/audit/{query}"), &api.operator()).await;
        assert_eq!(answer.status.as_u16(), status, "{query}");
    }
}

#[tokio::test]
async fn an_operator_is_the_actor_and_reading_is_an_event() {
    let api = Api::new();
    api.log_in("ada").await;
    let answer = api.post("/admin/revoke/", Some(&api.operator()), json!({"subject": "7"})).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    events(&api, "?subject=7").await;
    let found = events(&api, "").await;
    let named =
        |event: &Value| [&event["kind"], &event["subject"], &event["actor"]].map(Value::clone);
    let found: Vec<_> = found.iter().map(named).collect();
    let expected = [
        [json!("operator_read"), json!("7"), json!("root")],
        [json!("all_revoked"), json!("7"), json!("root")],
        [json!("login_succeeded"), json!("7"), Value::Null],
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn events_of_every_call_have_the_address_of_the_client() {
    let address = |_: &http::request::Parts| Some([192, 0, 2, 7].into());
    let api = Api::build(|builder| builder, |api| api.with_peer_address(address));
    let ada = api.log_in("ada").await;
    let (id, _) = api.create(&ada.access, "a").await;
    let rotation = json!({"expiration_time": api.date(1000)});
    let path = format!("/private_tokens/{id}/rotate/");
    let id = api.post(&path, Some(&ada.access), rotation).await.json()["id"].clone();
    api.delete(&format!("/private_tokens/{id}/"), &ada.access).await;
    let body = json!({"refresh_token": ada.refresh});
    let refreshed = api.post("/refresh/", None, body.clone()).await.json();
    let access = refreshed["access_token"].as_str().unwrap();
    api.post("/logout/", Some(access), json!({"refresh_token": refreshed["refresh_token"]})).await;
    let bob = api.log_in("bob").await;
    api.post("/revoke_all/", Some(&bob.access), json!({})).await;
    let body = json!({"username": "nobody@example.org", "password": "wrong"});
    api.post("/login/", None, body).await;
    events(&api, "").await;
    let found = events(&api, "?page_size=100").await;
    let kinds: Vec<&str> =
        found.iter().rev().map(|event| event["kind"].as_str().unwrap()).collect();
    let expected = [
        "login_succeeded",
        "token_created",
        "token_rotated",
        "token_revoked",
        "refreshed",
        "logged_out",
        "login_succeeded",
        "all_revoked",
        "login_failed",
        "operator_read",
    ];
    assert_eq!(kinds, expected);
    for event in found {
        assert_eq!(event["address"], "192.0.2.7", "{event}");
    }
}
