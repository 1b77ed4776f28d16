//! The operator API: only an access token with the scope `tokens:admin` gets in, and what it revokes is revoked at
//! once.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::{Answer, Api, Call, NOT_FOUND, Tokens, slowly};

const DENIED: &str = concat!(
    r#"{"code":"permission_denied","#,
    r#""detail":"You do not have permission to perform this action."}"#
);
const CHALLENGE: &str = r#"Bearer realm="api", error="insufficient_scope", scope="tokens:admin""#;

async fn revoke(api: &Api, operator: &str, body: Value) -> Answer {
    api.post("/admin/revoke/", Some(operator), body).await
}

#[tokio::test]
async fn only_an_access_token_with_the_scope_gets_in() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let (id, private) = api.create(&ada.access, "ci").await;
    let one = format!("/admin/private_tokens/{id}/");
    let other = api.sign("at+jwt", json!({"scope": "tokens tokens:admin:x admin introspect"}));
    let private_operator =
        api.sign("at+jwt", json!({"token_type": "private", "jti": "p.x", "scope": "tokens:admin"}));
    for (method, path) in [
        (Method::GET, "/admin/private_tokens/?subject=7"),
        (Method::DELETE, &*one),
        (Method::POST, "/admin/revoke/"),
    ] {
        let call = |token| Call::new(method.clone(), path).token(token);
        let body = json!({"subject": "7"});
        api.call(call(None).json(&body)).await.is_not_authenticated();
        for token in [&private_operator, &private, &ada.refresh] {
            api.call(call(Some(token)).json(&body)).await.is_token_not_valid();
        }
        for token in [&ada.access, &other] {
            let answer = api.call(call(Some(token)).json(&body)).await;
            answer.is(403, &[("www-authenticate", CHALLENGE)], DENIED);
        }
    }
    for token in [&ada.access, &private] {
        assert_eq!(api.me(token).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn an_operator_sees_the_list_of_the_owner() {
    let api = Api::new();
    let (operator, ada) = (api.operator(), api.log_in("ada").await);
    for name in ["a", "b", "c"] {
        api.create(&ada.access, name).await;
    }
    let own = api.get("/private_tokens/?page_size=2&ordering=-name", &ada.access).await.json();
    let path = "/admin/private_tokens/?page_size=2&subject=7&ordering=-name";
    let seen = api.get(path, &operator).await.json();
    assert_eq!((&seen["count"], &seen["results"]), (&own["count"], &own["results"]));
    let next = "http://api.example.org/api/v1/auth/admin/private_tokens/?ordering=-name&page=2&page_size=2&subject=7";
    assert_eq!(seen["next"], next);
    let last = api.get("/admin/private_tokens?subject=7&page=last&page_size=2", &operator).await;
    assert_eq!(last.json()["results"][0]["name"], "c");
    let searched = api.get("/admin/private_tokens/?subject=7&q=B", &operator).await.json();
    assert_eq!(searched["count"], 1);
    for (query, count) in [("subject=8", 0), ("subject=nobody", 0), ("subject=8&subject=7", 3)] {
        let path = format!("/admin/private_tokens/?{query}");
        assert_eq!(api.get(&path, &operator).await.json()["count"], count, "{query}");
    }
    let beyond = api.get("/admin/private_tokens/?subject=7&page=9", &operator).await;
    beyond.is(404, &[], r#"{"detail":"Invalid page."}"#);
    assert!(!seen.to_string().contains("data"), "{seen}");
}

#[tokio::test]
async fn a_list_needs_a_subject() {
    let api = Api::new();
    let operator = api.operator();
    for (query, message) in [
        ("", "This field is required."),
        ("?Subject=7", "This field is required."),
        ("?subject=", "This field may not be blank."),
        ("?subject=7%00", "Null characters are not allowed."),
    ] {
        let answer = api.get(&format!("/admin/private_tokens/{query}"), &operator).await;
        answer.is(400, &[], &json!({"subject": [message]}).to_string());
    }
}

#[tokio::test]
async fn ids_are_not_trimmed_and_have_at_most_1000_bytes() {
    let api = Api::new();
    let (operator, ada) = (api.operator(), api.log_in("ada").await);
    api.create(&ada.access, "ci").await;
    let [fits, too_long] = [1000, 1001].map(|length| "x".repeat(length));
    for member in ["subject", "session", "key"] {
        let expected = json!({member: ["Ensure this field has no more than 1000 bytes."]});
        let answer = revoke(&api, &operator, json!({member: too_long})).await;
        answer.is(400, &[], &expected.to_string());
        for path in ["/admin/private_tokens/", "/admin/audit/"] {
            let answer = api.get(&format!("{path}?subject={too_long}"), &operator).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
            let answer = api.get(&format!("{path}?subject={fits}"), &operator).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
        }
    }
    let listed = api.get("/admin/private_tokens/?subject=%207", &operator).await.json();
    assert_eq!(listed["count"], 0);
    for subject in [" 7", "7 ", &fits] {
        revoke(&api, &operator, json!({"subject": subject})).await.is(204, &[], "");
    }
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_operator_revokes_one_private_token() {
    let api = Api::new();
    let (operator, ada) = (api.operator(), api.log_in("ada").await);
    let (id, private) = api.create(&ada.access, "ci").await;
    let (_, other) = api.create(&ada.access, "other").await;
    let path = format!("/admin/private_tokens/{id}/");
    api.delete(&path, &operator).await.is(204, &[], "");
    api.me(&private).await.is_token_not_valid();
    for token in [&other, &ada.access] {
        assert_eq!(api.me(token).await.status, StatusCode::OK);
    }
    assert_eq!(api.count(&ada.access).await, 1);
    for id in [&*id.to_string(), "0", "x", "-1", "99999999999999999999"] {
        let path = format!("/admin/private_tokens/{id}/");
        api.delete(&path, &operator).await.is(404, &[], NOT_FOUND);
    }
}

#[tokio::test]
async fn an_operator_revokes_a_subject_a_session_or_a_key() {
    let api = Api::new();
    let (ada, other, bob) =
        (api.log_in("ada").await, api.log_in("ada").await, api.log_in("bob").await);
    let (_, private) = api.create(&ada.access, "ci").await;
    let is = async |token: &str, status: u16| {
        assert_eq!(api.me(token).await.status.as_u16(), status);
    };
    let claims = api.issuer.authenticator().authenticate(&ada.access).await.unwrap();
    let session = claims.registered().session_id().unwrap();
    revoke(&api, &api.operator(), json!({"session": session})).await.is(204, &[], "");
    is(&ada.access, 401).await;
    let refused = api.post("/refresh/", None, json!({"refresh_token": ada.refresh})).await;
    refused.is_token_not_valid();
    for token in [&other.access, &private, &bob.access] {
        is(token, 200).await;
    }

    revoke(&api, &api.operator(), json!({"subject": "7"})).await.is(204, &[], "");
    for token in [&other.access, &private] {
        is(token, 401).await;
    }
    is(&bob.access, 200).await;
    assert_eq!(api.me(&api.log_in("ada").await.access).await.status, StatusCode::OK);

    let operator = api.operator();
    let kid = api.key.key_id();
    revoke(&api, &operator, json!({"key": kid})).await.is(204, &[], "");
    is(&bob.access, 401).await;
    // The operator's own token, too.
    revoke(&api, &operator, json!({"subject": "8"})).await.is_token_not_valid();
}

#[tokio::test]
async fn a_key_is_also_revoked_by_its_thumbprint() {
    let api = Api::new();
    let bob = api.log_in("bob").await;
    let thumbprint = api.key.verifying_key().thumbprint().to_owned();
    revoke(&api, &api.operator(), json!({"key": thumbprint})).await.is(204, &[], "");
    api.me(&bob.access).await.is_token_not_valid();
}

#[tokio::test]
async fn a_revocation_names_exactly_one_thing() {
    const ONE: &str = r#"{"non_field_errors":["Name exactly one of subject, session and key."]}"#;
    let api = Api::new();
    let (operator, ada) = (api.operator(), api.log_in("ada").await);
    for (body, expected) in [
        (json!({}), ONE.to_owned()),
        (json!({"other": "7"}), ONE.to_owned()),
        (json!({"subject": "7", "session": "x"}), ONE.to_owned()),
        (json!({"subject": "7", "session": "x", "key": "y"}), ONE.to_owned()),
        (json!({"subject": null}), r#"{"subject":["This field may not be null."]}"#.to_owned()),
        (json!({"subject": ""}), r#"{"subject":["This field may not be blank."]}"#.to_owned()),
        (json!({"subject": 7}), r#"{"subject":["Not a valid string."]}"#.to_owned()),
        (json!({"subject": "7", "key": 1}), r#"{"key":["Not a valid string."]}"#.to_owned()),
        (json!({"key": "unknown"}), r#"{"key":["This issuer has no such key."]}"#.to_owned()),
    ] {
        revoke(&api, &operator, body).await.is(400, &[], &expected);
    }
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);
    for body in [json!({"subject": "nobody"}), json!({"session": "none"})] {
        revoke(&api, &operator, body).await.is(204, &[], "");
    }
}

#[tokio::test]
async fn an_operator_that_another_process_revoked_does_nothing() {
    let api = Api::new();
    let (operator, ada) = (api.operator(), api.log_in("ada").await);
    let (id, private) = api.create(&ada.access, "ci").await;
    // This process still uses its answer of a moment ago.
    assert_eq!(api.me(&operator).await.status, StatusCode::OK);
    api.revoke_elsewhere("root").await;
    let path = format!("/admin/private_tokens/{id}/");
    assert_eq!(api.me(&operator).await.status, StatusCode::OK);
    api.delete(&path, &operator).await.is_token_not_valid();
    api.get("/admin/private_tokens/?subject=7", &operator).await.is_token_not_valid();
    for body in [json!({"subject": "7"}), json!({"session": "x"}), json!({"key": api.key.key_id()})]
    {
        revoke(&api, &operator, body).await.is_token_not_valid();
    }
    for token in [&ada.access, &private] {
        assert_eq!(api.me(token).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn an_operator_that_ends_while_the_body_is_sent_does_nothing() {
    let api = Api::new();
    let (operator, ada) = (api.operator(), api.log_in("ada").await);
    let body = json!({"subject": "7"}).to_string();
    let end = async || revoke(&api, &operator, json!({"subject": "root"})).await.is(204, &[], "");
    let answer = slowly(&api, "/admin/revoke/", &operator, "application/json", body, end).await;
    answer.is_token_not_valid();
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_the_store_operators_get_503() {
    let api = Api::new();
    let (operator, ada) = (api.operator(), api.log_in("ada").await);
    let (id, _) = api.create(&ada.access, "ci").await;
    assert_eq!(api.me(&operator).await.status, StatusCode::OK);
    api.wire.cut();
    let path = format!("/admin/private_tokens/{id}/");
    let list = api.get("/admin/private_tokens/?subject=7", &operator).await;
    let subject = revoke(&api, &operator, json!({"subject": "7"})).await;
    for answer in [list, subject, api.delete(&path, &operator).await] {
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("5")));
    }
    api.wire.mend();
    revoke(&api, &operator, json!({"subject": "7"})).await.is(204, &[], "");
    api.me(&ada.access).await.is_token_not_valid();
    Tokens::of(
        &api.post("/login/", None, json!({"username": "ada@example.org", "password": "right"}))
            .await,
    );
}
