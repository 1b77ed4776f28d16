//! Each use of the operator API is one audit event, whatever its answer.

use http::Method;
use serde_json::{Value, json};
use tower_bearer_issuing::audit::AuditKind;

use crate::api::{Api, Call};

/// The events that operators caused, the oldest first.
async fn by_operators(api: &Api) -> Vec<Value> {
    api.issuer.flush_audit().await.unwrap();
    let page = api.get("/admin/audit/?page_size=100", &api.operator()).await.json();
    let mut events = page["results"].as_array().unwrap().clone();
    events.retain(|event| !event["actor"].is_null());
    events.reverse();
    events
}

#[tokio::test]
async fn a_call_that_is_rejected_for_its_request_is_an_event() {
    const JSON: &str = "application/json";
    let address = |_: &http::request::Parts| Some([192, 0, 2, 7].into());
    let api = Api::build(|builder| builder, |api| api.with_peer_address(address));
    let operator = api.operator();
    let get = |path| Call::new(Method::GET, path);
    let delete = |path| Call::new(Method::DELETE, path);
    let revoke = |body| Call::new(Method::POST, "/admin/revoke/").json(&body);
    let raw = |body: &str| Call::new(Method::POST, "/admin/revoke/").body(JSON, body);
    let calls = [
        (get("/admin/private_tokens/"), 400, Value::Null),
        (get("/admin/private_tokens/?subject=7&q=%00"), 400, Value::Null),
        (get("/admin/private_tokens/?subject=7&page=9"), 404, Value::Null),
        (get("/admin/private_tokens/?subject=7&page=x"), 404, Value::Null),
        (delete("/admin/private_tokens/123/"), 404, json!(123)),
        (delete("/admin/private_tokens/x/"), 404, Value::Null),
        (get("/admin/audit/?before=x"), 404, Value::Null),
        (revoke(json!({})), 400, Value::Null),
        (revoke(json!({"key": "unknown"})), 400, Value::Null),
        (raw("{"), 400, Value::Null),
        (Call::new(Method::POST, "/admin/revoke/").body("text/plain", "{}"), 415, Value::Null),
    ];
    let mut expected = Vec::new();
    for (call, status, id) in calls {
        let answer = api.call(call.token(Some(&operator))).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.body);
        expected.push(id);
    }
    let events = by_operators(&api).await;
    let ids: Vec<Value> = events.iter().map(|event| event["private_token_id"].clone()).collect();
    assert_eq!(ids, expected);
    for event in &events {
        assert_eq!(event["kind"], AuditKind::OperatorRejected.as_str());
        assert_eq!((&event["actor"], &event["address"]), (&json!("root"), &json!("192.0.2.7")));
        let is_null = |name: &str| event[name].is_null();
        assert!(["subject", "session_id", "token_id", "key"].into_iter().all(is_null), "{event}");
    }
}

#[tokio::test]
async fn a_call_that_succeeds_is_one_event_and_a_stranger_causes_none() {
    let api = Api::new();
    let (operator, ada) = (api.operator(), api.log_in("ada").await);
    let (id, _) = api.create(&ada.access, "ci").await;
    // Ada has no scope for it, and the method and the path do not exist.
    api.get("/admin/private_tokens/", &ada.access).await;
    let missing = Call::new(Method::GET, "/admin/private_tokens/").token(None);
    api.call(missing).await.is_not_authenticated();
    assert_eq!(api.get("/admin/other/", &operator).await.status.as_u16(), 404);
    assert_eq!(api.delete("/admin/audit/", &operator).await.status.as_u16(), 405);

    assert_eq!(api.get("/admin/private_tokens/?subject=7", &operator).await.status.as_u16(), 200);
    api.delete(&format!("/admin/private_tokens/{id}/"), &operator).await.is(204, &[], "");
    let claims = api.issuer.authenticator().authenticate(&ada.access).await.unwrap();
    let session = claims.registered().session_id().unwrap();
    for body in [json!({"session": session}), json!({"session": "none"}), json!({"subject": "7"})] {
        api.post("/admin/revoke/", Some(&operator), body).await.is(204, &[], "");
    }
    let events = by_operators(&api).await;
    let found: Vec<_> =
        events.iter().map(|event| (event["kind"].as_str().unwrap(), &event["subject"])).collect();
    let (ada, nobody) = (json!("7"), Value::Null);
    let expected = [
        ("operator_read", &ada),
        ("token_revoked", &ada),
        ("session_revoked", &ada),
        ("session_revoked", &nobody),
        ("all_revoked", &ada),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_operators_do_to_a_deleted_subject_is_recorded_without_it() {
    let api = Api::new();
    let operator = api.operator();
    api.log_in("ada").await;
    assert_eq!(api.get("/admin/private_tokens/?subject=7", &operator).await.status.as_u16(), 200);
    api.issuer.by_operator("a command").delete_account("7").await.unwrap();
    api.post("/admin/revoke/", Some(&operator), json!({"subject": "7"})).await.is(204, &[], "");
    let events = by_operators(&api).await;
    let found: Vec<_> = events
        .iter()
        .map(|event| (event["kind"].as_str().unwrap(), &event["subject"], &event["actor"]))
        .collect();
    let (ada, nobody) = (json!("7"), Value::Null);
    let (root, command) = (json!("root"), json!("a command"));
    let expected = [
        ("operator_read", &nobody, &root),
        ("account_deleted", &ada, &command),
        ("all_revoked", &nobody, &root),
    ];
    assert_eq!(found, expected);
}
