use axum::body::Body;
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};

use crate::api::{Answer, Api, Call, NOT_FOUND, Tokens};

const INVALID_PAGE: &str = r#"{"detail":"Invalid page."}"#;

/// Logs in with these headers `User-Agent`.
async fn log_in_with(api: &Api, name: &str, user_agents: &[&[u8]]) -> Tokens {
    let body = json!({"username": format!("{name}@example.org"), "password": "right"});
    let mut request = Request::post("/api/v1/auth/login/")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    for name in user_agents {
        request.headers_mut().append(header::USER_AGENT, name.to_vec().try_into().unwrap());
    }
    Tokens::of(&api.send(request).await)
}

fn results(answer: &Answer) -> Vec<Value> {
    answer.json()["results"].as_array().unwrap().clone()
}

async fn sessions(api: &Api, access: &str) -> Vec<Value> {
    results(&api.get("/sessions/", access).await)
}

/// The number of the caller's own session.
async fn own(api: &Api, access: &str) -> i64 {
    let all = sessions(api, access).await;
    let mut current = all.iter().filter(|one| one["current"] == json!(true));
    let own = current.next().unwrap()["id"].as_i64().unwrap();
    assert!(current.next().is_none());
    own
}

#[tokio::test]
async fn a_session_is_listed_with_its_times_and_its_user_agent() {
    let api = Api::new();
    let phone = log_in_with(&api, "ada", &[b"Phone/1.0"]).await;
    let id = own(&api, &phone.access).await;
    let expected = format!(
        concat!(
            r#"{{"count":1,"next":null,"previous":null,"results":[{{"id":{},"#,
            r#""created_at":"2027-01-15T08:00:00Z","last_used_at":"2027-01-15T08:00:00Z","#,
            r#""expires_at":"2027-01-16T08:00:00Z","user_agent":"Phone/1.0","current":true}}]}}"#
        ),
        id
    );
    for path in ["/sessions/", "/sessions"] {
        api.get(path, &phone.access).await.is(200, &[], &expected);
    }

    api.advance(60);
    let answer = api.post("/refresh/", None, json!({"refresh_token": phone.refresh})).await;
    let phone = Tokens::of(&answer);
    let laptop = api.log_in("ada").await;
    log_in_with(&api, "bob", &[b"of bob"]).await;
    let all = sessions(&api, &laptop.access).await;
    assert_eq!(all.len(), 2);
    let refreshed = json!({
        "id": id, "created_at": "2027-01-15T08:00:00Z", "last_used_at": "2027-01-15T08:01:00Z",
        "expires_at": "2027-01-16T08:01:00Z", "user_agent": "Phone/1.0", "current": false,
    });
    assert_eq!(all[0], refreshed);
    assert_eq!([&all[1]["user_agent"], &all[1]["current"]], [&Value::Null, &json!(true)]);
    assert_eq!(own(&api, &phone.access).await, id);
}

#[tokio::test]
async fn hostile_user_agents_are_cut_and_cleaned() {
    let api = Api::new();
    let long = [b'a'; 10_000];
    let markup = "<script>\"'&".to_owned() + "\u{202E}é";
    let cases: [(&[&[u8]], Value); 8] = [
        (&[&long], json!("a".repeat(200))),
        (&[markup.as_bytes()], json!("<script>\"'&é")),
        (&[b"a\tb"], json!("ab")),
        (&[b"\xff\xfe"], json!("\u{fffd}\u{fffd}")),
        (&[b""], Value::Null),
        (&[b"one", b"two"], Value::Null),
        (&[b"'); DROP TABLE bearer_sessions; --"], json!("'); DROP TABLE bearer_sessions; --")),
        (&[], Value::Null),
    ];
    for (user_agents, kept) in cases {
        let tokens = log_in_with(&api, "ada", user_agents).await;
        let last = results(&api.get("/sessions/?ordering=-id&page_size=1", &tokens.access).await);
        assert_eq!(last[0]["user_agent"], kept);
    }
}

#[tokio::test]
async fn a_revoked_session_is_rejected_by_the_very_next_request() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    for slash in ["", "/"] {
        let lost = api.log_in("ada").await;
        let path = format!("/sessions/{}{slash}", own(&api, &lost.access).await);
        assert_eq!(api.me(&lost.access).await.body, "7");
        api.delete(&path, &ada.access).await.is(204, &[], "");
        api.me(&lost.access).await.is_token_not_valid();
        let refresh = json!({"refresh_token": lost.refresh});
        api.post("/refresh/", None, refresh).await.is_token_not_valid();
        api.delete(&path, &ada.access).await.is(404, &[], NOT_FOUND);
        assert_eq!(sessions(&api, &ada.access).await.len(), 1);
    }
    assert_eq!(api.me(&ada.access).await.body, "7");
    let refresh = json!({"refresh_token": ada.refresh});
    assert_eq!(api.post("/refresh/", None, refresh).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_own_session_can_be_revoked() {
    let api = Api::new();
    let (ada, other) = (api.log_in("ada").await, api.log_in("ada").await);
    let path = format!("/sessions/{}/", own(&api, &ada.access).await);
    api.delete(&path, &ada.access).await.is(204, &[], "");
    api.get("/sessions/", &ada.access).await.is_token_not_valid();
    api.delete(&path, &ada.access).await.is_token_not_valid();
    api.delete(&path, &other.access).await.is(404, &[], NOT_FOUND);
    assert_eq!(sessions(&api, &other.access).await.len(), 1);
}

#[tokio::test]
async fn sessions_of_others_are_not_found_and_keep_working() {
    let api = Api::new();
    let (ada, bob) = (api.log_in("ada").await, api.log_in("bob").await);
    let id = own(&api, &ada.access).await;
    assert_eq!(sessions(&api, &bob.access).await.len(), 1);
    api.delete(&format!("/sessions/{id}/"), &bob.access).await.is(404, &[], NOT_FOUND);
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);
    for id in ["0", "x", "-1", "+1", "1.0", "99999999999999999999", "%FF", "1%00", "%20"] {
        api.delete(&format!("/sessions/{id}/"), &ada.access).await.is(404, &[], NOT_FOUND);
    }
}

#[tokio::test]
async fn sessions_that_have_ended_are_not_listed() {
    let api = Api::new();
    let (old, ada) = (api.log_in("ada").await, api.log_in("ada").await);
    let body = json!({"refresh_token": old.refresh});
    api.post("/logout/", Some(&old.access), body).await.is(204, &[], "");
    assert_eq!(sessions(&api, &ada.access).await.len(), 1, "logged out");

    let reused = api.log_in("ada").await;
    let body = json!({"refresh_token": reused.refresh});
    assert_eq!(api.post("/refresh/", None, body.clone()).await.status, StatusCode::OK);
    assert_eq!(sessions(&api, &ada.access).await.len(), 2);
    api.post("/refresh/", None, body).await.is_token_not_valid();
    assert_eq!(sessions(&api, &ada.access).await.len(), 1, "a refresh token was reused");

    api.post("/revoke_all/", Some(&ada.access), json!({})).await.is(204, &[], "");
    let ada = api.log_in("ada").await;
    assert_eq!(sessions(&api, &ada.access).await.len(), 1, "cut off");
    // The session was dated a second later than the cut-off.
    api.advance(24 * 3600 + 1);
    let ada = api.log_in("ada").await;
    assert_eq!(sessions(&api, &ada.access).await.len(), 1, "expired");
}

#[tokio::test]
async fn only_access_tokens_reach_sessions() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let id = own(&api, &ada.access).await;
    let (_, private) = api.create(&ada.access, "ci").await;
    for (method, path) in
        [(Method::GET, "/sessions/".to_owned()), (Method::DELETE, format!("/sessions/{id}/"))]
    {
        api.call(Call::new(method.clone(), &path)).await.is_not_authenticated();
        for token in [&private, &ada.refresh] {
            let call = Call::new(method.clone(), &path).token(Some(token));
            api.call(call).await.is_token_not_valid();
        }
    }
    assert_eq!(api.me(&ada.access).await.status, StatusCode::OK);
}

#[tokio::test]
async fn sessions_are_ordered_and_paged_like_private_tokens() {
    let api = Api::new();
    for name in [b"a", b"b", b"c"] {
        log_in_with(&api, "ada", &[name]).await;
        api.advance(10);
    }
    let ada = log_in_with(&api, "ada", &[b"d"]).await;
    let page = async |query: &str| {
        let answer = api.get(&format!("/sessions/{query}"), &ada.access).await;
        let names: Vec<String> =
            results(&answer).iter().map(|one| one["user_agent"].as_str().unwrap().into()).collect();
        let body = answer.json();
        (names.concat(), body["next"].clone(), body["previous"].clone())
    };
    let url = |query: &str| json!(format!("http://api.example.org/api/v1/auth/sessions/{query}"));
    let first = page("?ordering=-created_at&page_size=3&q=%00").await;
    let next = url("?ordering=-created_at&page=2&page_size=3&q=%00");
    assert_eq!(first, ("dcb".into(), next, Value::Null));
    let last = page("?page=last&page_size=3").await;
    assert_eq!(last, ("d".into(), Value::Null, url("?page_size=3")));
    for (query, expected) in [
        ("?ordering=-last_used_at", "dcba"),
        ("?ordering=expires_at,-id", "abcd"),
        ("?ordering=-id", "dcba"),
        ("?ordering=subject,session_id,user_agent", "abcd"),
        ("?page_size=x", "abcd"),
    ] {
        assert_eq!(page(query).await.0, expected, "{query}");
    }
    for page in ["0", "3", "x", "99999999999999999999999"] {
        let path = format!("/sessions/?page_size=3&page={page}");
        api.get(&path, &ada.access).await.is(404, &[], INVALID_PAGE);
    }
}

#[tokio::test]
async fn personal_data_is_deleted_and_its_tokens_are_rejected() {
    let api = Api::new();
    let (ada, bob) = (api.log_in("ada").await, api.log_in("bob").await);
    let (_, private) = api.create(&ada.access, "ci").await;
    api.issuer.delete_personal_data("7").await.unwrap();
    for token in [&ada.access, &private] {
        api.me(token).await.is_token_not_valid();
    }
    let refresh = json!({"refresh_token": ada.refresh});
    api.post("/refresh/", None, refresh).await.is_token_not_valid();
    let again = api.log_in("ada").await;
    assert_eq!((sessions(&api, &again.access).await.len(), api.count(&again.access).await), (1, 0));
    assert_eq!(sessions(&api, &bob.access).await.len(), 1);
}
