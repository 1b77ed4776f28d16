use http::StatusCode;
use serde_json::{Value, json};

use crate::api::Api;

const INVALID_PAGE: &str = r#"{"detail":"Invalid page."}"#;

#[tokio::test]
async fn a_new_token_is_shown_once_and_listed_without_itself() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    for (path, id) in [("/private_tokens/", 1), ("/private_tokens", 2)] {
        let body =
            json!({"name": " ci \u{e9}\"<", "expiration_time": "2027-02-01T09:30:00.999+01:30"});
        let answer = api.post(path, Some(&ada.access), body).await;
        let data = answer.json()["data"].as_str().unwrap().to_owned();
        let expected = format!(
            r#"{{"id":{id},"name":"ci é\"<","expiration_time":"2027-02-01T08:00:00Z","data":"{data}"}}"#
        );
        answer.is(201, &[], &expected);
        assert_eq!(api.me(&data).await.body, "7");
    }
    let listed = |id: i64, used: &str| {
        format!(
            r#"{{"id":{id},"name":"ci é\"<","expiration_time":"2027-02-01T08:00:00Z","created_at":"2027-01-15T08:00:00Z","last_used_at":{used}}}"#
        )
    };
    let page = |used: &str| {
        let results = format!("{},{}", listed(1, used), listed(2, used));
        format!(r#"{{"count":2,"next":null,"previous":null,"results":[{results}]}}"#)
    };
    api.get("/private_tokens/", &ada.access).await.is(200, &[], &page("null"));
    api.issuer.maintain().await.unwrap();
    let used = page(r#""2027-01-15T08:00:00Z""#);
    api.get("/private_tokens", &ada.access).await.is(200, &[], &used);
}

#[tokio::test]
async fn more_than_the_maximum_is_400_and_nothing_is_kept() {
    let api = Api::build(|builder| builder.with_max_private_tokens(2), |api| api);
    let ada = api.log_in("ada").await;
    let expiration_time = "2027-01-16T08:00:00Z";
    let full =
        r#"{"non_field_errors":["No more than 2 private tokens are allowed. Revoke one first."]}"#;
    let (first, _) = api.create(&ada.access, "a").await;
    api.create(&ada.access, "b").await;
    let new = json!({"name": "c", "expiration_time": expiration_time});
    let answer = api.post("/private_tokens/", Some(&ada.access), new).await;
    answer.is(400, &[], full);
    assert_eq!(api.count(&ada.access).await, 2);

    let rotate = async |overlap: u64| {
        let body = json!({"expiration_time": expiration_time, "overlap_seconds": overlap});
        api.post(&format!("/private_tokens/{first}/rotate/"), Some(&ada.access), body).await
    };
    assert_eq!(rotate(60).await.status, StatusCode::CREATED);
    assert_eq!(rotate(60).await.status, StatusCode::CREATED);
    rotate(60).await.is(400, &[], full);
    assert_eq!(rotate(0).await.status, StatusCode::CREATED);
    assert_eq!(api.count(&ada.access).await, 4);
}

#[tokio::test]
async fn a_list_of_nothing_is_a_page() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let empty = r#"{"count":0,"next":null,"previous":null,"results":[]}"#;
    for query in ["", "?page=1", "?page=last", "?page=", "?q=x", "?ordering=x&unknown=1"] {
        api.get(&format!("/private_tokens/{query}"), &ada.access).await.is(200, &[], empty);
    }
}

#[tokio::test]
async fn links_are_absolute_and_keep_the_other_parameters() {
    let (api, access) = five_tokens().await;
    let page = async |query: &str| {
        let answer = api.get(&format!("/private_tokens/{query}"), &access).await;
        assert_eq!(answer.status, StatusCode::OK);
        let body = answer.json();
        (names(&body), body["next"].clone(), body["previous"].clone())
    };
    let url =
        |query: &str| json!(format!("http://api.example.org/api/v1/auth/private_tokens/{query}"));

    let first = page("?ordering=-name&page_size=2&x=%C3%A9+%26").await;
    let next = url("?ordering=-name&page=2&page_size=2&x=%C3%A9+%26");
    assert_eq!(first, (vec!["e".into(), "d".into()], next, Value::Null));
    let second = page("?ordering=-name&page=2&page_size=2&x=%C3%A9+%26").await;
    let next = url("?ordering=-name&page=3&page_size=2&x=%C3%A9+%26");
    let previous = url("?ordering=-name&page_size=2&x=%C3%A9+%26");
    assert_eq!(second, (vec!["c".into(), "a".into()], next, previous));
    let last = page("?page=last&page_size=2").await;
    assert_eq!(last, (vec!["e".into()], Value::Null, url("?page=2&page_size=2")));
}

#[tokio::test]
async fn pages_that_do_not_exist_are_not_found() {
    let (api, access) = five_tokens().await;
    for page in ["0", "4", "-1", "x", "1.5", "99999999999999999999999", "%FF", "first"] {
        let path = format!("/private_tokens/?page_size=2&page={page}");
        api.get(&path, &access).await.is(404, &[], INVALID_PAGE);
    }
}

#[tokio::test]
async fn a_list_is_ordered_and_searched() {
    let (api, access) = five_tokens().await;
    for (query, expected) in [
        ("", "a,B,c,d,e"),
        ("?ordering=-id", "e,d,c,B,a"),
        ("?ordering=name", "B,a,c,d,e"),
        ("?ordering=expiration_time,-name", "e,d,c,a,B"),
        ("?ordering=-created_at", "a,B,c,d,e"),
        ("?ordering=password,-name", "e,d,c,a,B"),
        ("?q=b", "B"),
        ("?q=B", "B"),
        ("?q=%25", ""),
        ("?q=_", ""),
        ("?q=", "a,B,c,d,e"),
        ("?page_size=x", "a,B,c,d,e"),
        ("?page_size=0", "a,B,c,d,e"),
        ("?page_size=100000", "a,B,c,d,e"),
    ] {
        let answer = api.get(&format!("/private_tokens/{query}"), &access).await;
        assert_eq!(names(&answer.json()).join(","), expected, "{query}");
    }
    let nul = r#"{"q":["Null characters are not allowed."]}"#;
    api.get("/private_tokens/?q=a%00", &access).await.is(400, &[], nul);
}

#[tokio::test]
async fn expired_tokens_are_listed_until_they_are_swept() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    api.create(&ada.access, "ci").await;
    api.advance(24 * 3600);
    let ada = api.log_in("ada").await;
    assert_eq!(api.count(&ada.access).await, 1);
    // A day is left to clocks that are ahead.
    api.advance(24 * 3600 + 600);
    api.issuer.maintain().await.unwrap();
    let ada = api.log_in("ada").await;
    assert_eq!(api.count(&ada.access).await, 0);
}

async fn five_tokens() -> (Api, String) {
    let api = Api::new();
    let access = api.log_in("ada").await.access;
    for name in ["a", "B", "c", "d", "e"] {
        api.create(&access, name).await;
    }
    (api, access)
}

fn names(page: &Value) -> Vec<String> {
    let results = page["results"].as_array().unwrap();
    results.iter().map(|token| token["name"].as_str().unwrap().to_owned()).collect()
}
