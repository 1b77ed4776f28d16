//! What links begin with.

use axum::body::Body;
use http::{Method, Request};

use crate::api::{Api, Call};

const LIST: &str = "/private_tokens/?page_size=1";

async fn two_tokens(api: &Api) -> String {
    let access = api.log_in("ada").await.access;
    api.create(&access, "a").await;
    api.create(&access, "b").await;
    access
}

#[tokio::test]
async fn the_configured_url_wins_over_every_header() {
    for (url, prefix) in [
        ("https://tokens.example.org", "https://tokens.example.org/api/v1/auth"),
        ("https://example.org/service/", "https://example.org/service/api/v1/auth"),
    ] {
        let api = Api::build(|issuer| issuer, |api| api.with_public_url(url).unwrap());
        let access = two_tokens(&api).await;
        for host in ["api.example.org", "evil.example", "\"<x>"] {
            let call = Call::new(Method::GET, LIST).token(Some(&access)).host(host);
            let next = format!("{prefix}/private_tokens/?page=2&page_size=1");
            assert_eq!(api.call(call).await.json()["next"], next);
        }
    }
}

#[tokio::test]
async fn a_host_that_is_none_is_not_repeated() {
    let api = Api::new();
    let access = two_tokens(&api).await;
    for host in ["", "a b", "a/b", "user@a", "a?b", "a#b", "a\"b", "<a>", "a:b", "::1", "a,b"] {
        let call = Call::new(Method::GET, LIST).token(Some(&access)).host(host);
        api.call(call).await.is(400, &[], r#"{"detail":"Invalid Host header."}"#);
    }
    let call = Call::new(Method::GET, LIST).token(Some(&access)).host("[::1]:3000");
    let next = "http://[::1]:3000/api/v1/auth/private_tokens/?page=2&page_size=1";
    assert_eq!(api.call(call).await.json()["next"], next);
}

#[tokio::test]
async fn forwarded_headers_are_not_looked_at() {
    let api = Api::new();
    let access = two_tokens(&api).await;
    let request = Request::get(format!("/api/v1/auth{LIST}"))
        .header("host", "api.example.org")
        .header("authorization", format!("Bearer {access}"))
        .header("forwarded", "host=evil.example;proto=https")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-prefix", "/evil")
        .body(Body::empty());
    let next = "http://api.example.org/api/v1/auth/private_tokens/?page=2&page_size=1";
    assert_eq!(api.send(request.unwrap()).await.json()["next"], next);
}

#[tokio::test]
async fn two_hosts_are_none_and_that_of_http2_is_in_the_target() {
    let api = Api::new();
    let access = two_tokens(&api).await;
    let request = |uri: &str, hosts: &[&str]| {
        let request = Request::get(uri).header("authorization", format!("Bearer {access}"));
        let request = hosts.iter().fold(request, |request, host| request.header("host", *host));
        request.body(Body::empty()).unwrap()
    };
    let path = format!("/api/v1/auth{LIST}");
    for hosts in [&[][..], &["a", "b"]] {
        assert_eq!(api.send(request(&path, hosts)).await.status, 400);
    }
    let answer = api.send(request(&format!("https://two.example{path}"), &[])).await;
    let next = "http://two.example/api/v1/auth/private_tokens/?page=2&page_size=1";
    assert_eq!(answer.json()["next"], next);
}
