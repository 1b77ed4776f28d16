use http::StatusCode;
use serde_json::json;

use crate::api::{Api, Tokens};

const NO_ACCOUNT: &str =
    r#"{"detail":"No active account found with the given credentials","code":"no_active_account"}"#;

#[tokio::test]
async fn a_login_answers_the_account_and_its_tokens_in_the_documented_order() {
    let api = Api::new();
    for path in ["/login/", "/login"] {
        for name in ["username", "email"] {
            let body = json!({name: "ada@example.org", "password": "right", "unknown": [1]});
            let answer = api.post(path, None, body).await;
            let Tokens { access, refresh } = Tokens::of(&answer);
            let expected = format!(
                r#"{{"id":7,"email":"ada@example.org","username":"ada@example.org","company_id":3,"token_access":"{access}","access_token":"{access}","refresh_token":"{refresh}","is_verified":true,"profile":{{"first_name":"Ada"}}}}"#
            );
            answer.is(200, &[], &expected);
            assert_eq!(api.me(&access).await.body, "7");
        }
    }
}

#[tokio::test]
async fn wrong_password_and_unknown_user_are_one_answer() {
    let api = Api::new();
    let wrong = json!({"username": "ada@example.org", "password": "wrong"});
    let unknown = json!({"username": "eve@example.org", "password": "right"});
    for body in [wrong, unknown] {
        let answer = api.post("/login/", None, body).await;
        answer.is(401, &[("www-authenticate", r#"Bearer realm="api""#)], NO_ACCOUNT);
    }
}

#[tokio::test]
async fn white_space_is_cut_off_names_and_kept_in_passwords() {
    let api = Api::new();
    let body = json!({"username": " ada@example.org\n", "password": " right "});
    assert_eq!(api.post("/login/", None, body).await.status, StatusCode::OK);
    let body = json!({"username": "ada@example.org", "password": " right"});
    assert_eq!(api.post("/login/", None, body).await.status, StatusCode::UNAUTHORIZED);
    let body = json!({"username": "ada@example.org", "password": "  "});
    assert_eq!(api.post("/login/", None, body).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn too_many_failures_are_throttled_until_the_time_that_is_named() {
    let api = Api::new();
    let wrong = json!({"username": "ada@example.org", "password": "wrong"});
    let right = json!({"username": "ada@example.org", "password": "right"});
    for _ in 0..5 {
        assert_eq!(api.post("/login/", None, wrong.clone()).await.status, StatusCode::UNAUTHORIZED);
    }
    let answer = api.post("/login/", None, right.clone()).await;
    let throttled = r#"{"detail":"Request was throttled. Expected available in 10 seconds."}"#;
    answer.is(429, &[("retry-after", "10")], throttled);

    api.advance(9);
    let answer = api.post("/login/", None, right.clone()).await;
    let throttled = r#"{"detail":"Request was throttled. Expected available in 1 second."}"#;
    answer.is(429, &[("retry-after", "1")], throttled);

    api.advance(1);
    assert_eq!(api.post("/login/", None, right).await.status, StatusCode::OK);
}

#[tokio::test]
async fn too_many_passwords_at_once_and_a_store_that_is_gone_are_503() {
    const UNAVAILABLE: &str = r#"{"code":"authentication_unavailable","detail":"Authentication is temporarily unavailable."}"#;
    let api = Api::new();
    let busy = json!({"username": "ada@example.org", "password": "busy"});
    api.post("/login/", None, busy).await.is(503, &[("retry-after", "5")], UNAVAILABLE);
    api.wire.cut();
    let right = json!({"username": "ada@example.org", "password": "right"});
    api.post("/login/", None, right).await.is(503, &[("retry-after", "5")], UNAVAILABLE);
}
