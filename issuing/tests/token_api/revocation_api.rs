use http::{Method, StatusCode};
use serde_json::json;

use crate::api::{Api, Call, NOT_FOUND, slowly};

#[tokio::test]
async fn a_token_that_was_revoked_by_id_is_refused_by_the_very_next_request() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    for slash in ["", "/"] {
        let (id, private) = api.create(&ada.access, "ci").await;
        let path = format!("/private_tokens/{id}{slash}");
        assert_eq!(api.me(&private).await.body, "7");
        api.delete(&path, &ada.access).await.is(204, &[], "");
        api.me(&private).await.is_token_not_valid();
        api.delete(&path, &ada.access).await.is(404, &[], NOT_FOUND);
    }
    assert_eq!(api.count(&ada.access).await, 0);
}

#[tokio::test]
async fn other_peoples_tokens_cannot_be_seen_rotated_or_revoked() {
    let api = Api::new();
    let (ada, bob) = (api.log_in("ada").await, api.log_in("bob").await);
    let (id, private) = api.create(&ada.access, "ci").await;
    assert_eq!(api.count(&bob.access).await, 0);
    api.delete(&format!("/private_tokens/{id}/"), &bob.access).await.is(404, &[], NOT_FOUND);
    let body = json!({"expiration_time": "2027-01-16T08:00:00Z"});
    let path = format!("/private_tokens/{id}/rotate/");
    api.post(&path, Some(&bob.access), body).await.is(404, &[], NOT_FOUND);
    assert_eq!(api.me(&private).await.status, StatusCode::OK);
}

#[tokio::test]
async fn ids_that_are_no_numbers_are_not_found() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    for id in ["0", "x", "-1", "+1", "1.0", "99999999999999999999", "%FF", "1%00", "%20"] {
        api.delete(&format!("/private_tokens/{id}/"), &ada.access).await.is(404, &[], NOT_FOUND);
        let body = json!({"expiration_time": "2027-01-16T08:00:00Z"});
        let path = format!("/private_tokens/{id}/rotate");
        api.post(&path, Some(&ada.access), body).await.is(404, &[], NOT_FOUND);
    }
}

#[tokio::test]
async fn a_rotated_token_dies_at_once_or_after_the_overlap() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let (id, old) = api.create(&ada.access, "ci").await;
    let body = json!({"expiration_time": "2027-01-20T08:00:00Z"});
    let path = format!("/private_tokens/{id}/rotate/");
    let answer = api.post(&path, Some(&ada.access), body).await;
    let created = answer.json();
    let (new_id, data) = (created["id"].as_i64().unwrap(), created["data"].as_str().unwrap());
    let expected = format!(
        r#"{{"id":{new_id},"name":"ci","expiration_time":"2027-01-20T08:00:00Z","data":"{data}"}}"#
    );
    answer.is(201, &[], &expected);
    assert_ne!(new_id, id);
    api.me(&old).await.is_token_not_valid();
    assert_eq!(api.me(data).await.body, "7");

    let body = json!({"expiration_time": "2027-01-20T08:00:00Z", "overlap_seconds": 600});
    let path = format!("/private_tokens/{new_id}/rotate");
    let answer = api.post(&path, Some(&ada.access), body).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(api.me(data).await.status, StatusCode::OK);
    api.advance(599);
    assert_eq!(api.me(data).await.status, StatusCode::OK);
    // The second of its death, and the bound of the cache.
    api.advance(1 + 30);
    api.me(data).await.is_token_not_valid();
    assert_eq!(api.me(answer.json()["data"].as_str().unwrap()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn private_tokens_manage_no_tokens() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let (id, private) = api.create(&ada.access, "ci").await;
    let body = json!({
        "name": "more", "expiration_time": "2027-01-16T08:00:00Z", "refresh_token": ada.refresh,
    });
    let one = format!("/private_tokens/{id}/");
    let rotate = format!("/private_tokens/{id}/rotate/");
    for (method, path) in [
        (Method::POST, "/private_tokens/"),
        (Method::GET, "/private_tokens/"),
        (Method::DELETE, &*one),
        (Method::POST, &*rotate),
        (Method::POST, "/revoke_all/"),
        (Method::POST, "/logout/"),
    ] {
        let call = Call::new(method, path).token(Some(&private)).json(&body);
        api.call(call).await.is_token_not_valid();
    }
    assert_eq!(api.me(&private).await.status, StatusCode::OK);
    assert_eq!(api.count(&ada.access).await, 1);
}

#[tokio::test]
async fn access_tokens_live_for_one_hour_and_private_ones_until_they_expire() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let (_, private) = api.create(&ada.access, "ci").await;
    api.advance(3599);
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);
    api.advance(1);
    api.me(&ada.access).await.is_token_not_valid();
    api.advance(24 * 3600 - 3601);
    assert_eq!(api.me(&private).await.status, StatusCode::OK);
    api.advance(1);
    api.me(&private).await.is_token_not_valid();
}

#[tokio::test]
async fn the_end_of_an_access_token_is_reported_before_errors_of_the_body() {
    for call in ["/private_tokens/", "/private_tokens/1/rotate/", "/logout/"] {
        for body in [json!([]), json!({}), json!("x".repeat(70_000))] {
            let api = Api::new();
            let ada = api.log_in("ada").await;
            let end = async || api.advance(3600);
            slowly(&api, call, &ada.access, "application/json", body.to_string(), end)
                .await
                .is_token_not_valid();
        }
    }
}

#[tokio::test]
async fn an_access_token_that_ends_while_the_body_is_sent_does_nothing() {
    let create = json!({"name": "ci", "expiration_time": "2027-01-16T08:00:00Z"});
    let rotate = json!({"expiration_time": "2027-01-16T08:00:00Z"});
    for is_revoked in [true, false] {
        for call in ["/private_tokens/", "/private_tokens/1/rotate/", "/logout/"] {
            let api = Api::new();
            let ada = api.log_in("ada").await;
            api.create(&ada.access, "first").await;
            let body = match call {
                "/private_tokens/" => create.clone(),
                "/logout/" => json!({"refresh_token": ada.refresh}),
                _ => rotate.clone(),
            };
            let end = async || {
                if is_revoked {
                    api.post("/logout/", Some(&ada.access), json!({"refresh_token": ada.refresh}))
                        .await;
                } else {
                    api.advance(3600);
                }
            };
            slowly(&api, call, &ada.access, "application/json", body.to_string(), end)
                .await
                .is_token_not_valid();
            let again = api.log_in("ada").await;
            assert_eq!(api.count(&again.access).await, 1, "{call}");
        }
    }
}
