//! What comes with the connection and not with the call: credentials, addresses, keys.

use std::net::{IpAddr, SocketAddr};

use axum::{body::Body, extract::ConnectInfo};
use http::{Request, StatusCode};
use serde_json::json;
use tower_bearer::rejection::ProblemJson;

use crate::api::{Answer, Api};

const MALFORMED: &str = r#"{"code":"bad_authorization_header","detail":"The request must carry exactly one well-formed Bearer credential."}"#;

#[tokio::test]
async fn credentials_are_answered_as_the_layer_does() {
    let api = Api::new();
    let access = api.log_in("ada").await.access;
    let list = async |headers: &[&str]| {
        let request = Request::get("/api/v1/auth/private_tokens/");
        let request = headers
            .iter()
            .fold(request, |request, header| request.header("authorization", *header));
        api.send(request.body(Body::empty()).unwrap()).await
    };
    list(&[]).await.is_not_authenticated();
    list(&["Basic YTpi"]).await.is_not_authenticated();
    list(&["Bearer x"]).await.is_token_not_valid();
    let good = format!("Bearer {access}");
    let malformed = [("www-authenticate", r#"Bearer realm="api", error="invalid_request""#)];
    for headers in [&["Bearer"][..], &["Bearer a b"], &[&good, &good]] {
        list(headers).await.is(400, &malformed, MALFORMED);
    }
    assert_eq!(list(&[&good]).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_realm_of_the_service_is_in_every_challenge() {
    let api = Api::build(|issuer| issuer, |api| api.with_realm("tokens").unwrap());
    let body = json!({"username": "eve@example.org", "password": "x"});
    let answers = [
        api.post("/login/", None, body).await,
        api.post("/refresh/", None, json!({"refresh_token": "x"})).await,
        api.get("/private_tokens/", "x").await,
    ];
    for answer in answers {
        assert!(answer.header("www-authenticate").unwrap().starts_with(r#"Bearer realm="tokens""#));
    }
}

#[tokio::test]
async fn rejections_after_the_layer_are_written_by_the_responder_of_the_service() {
    let api = Api::build(|issuer| issuer, |api| api.with_responder(ProblemJson));
    let ada = api.log_in("ada").await;
    let replayed = api.post("/refresh/", None, json!({"refresh_token": "x"})).await;
    assert_eq!(replayed.status, StatusCode::UNAUTHORIZED);
    assert!(replayed.header("www-authenticate").unwrap().contains("invalid_token"));
    api.wire.cut();
    let unavailable = api.delete("/private_tokens/1/", &ada.access).await;
    assert_eq!(unavailable.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(unavailable.header("retry-after"), Some("5"));
    for answer in [replayed, unavailable] {
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

/// Failed log-ins at many accounts from one address, until one is throttled.
async fn failures_from(api: &Api, address: &str, forwarded: &str) -> usize {
    for failures in 0.. {
        let body = json!({"username": format!("{failures}{forwarded}@x"), "password": "x"});
        let request = Request::post("/api/v1/auth/login/")
            .header("content-type", "application/json")
            .header("x-forwarded-for", format!("{failures}.0.0.1"))
            .header("x-real-ip", forwarded)
            .extension(ConnectInfo(SocketAddr::new(address.parse().unwrap(), 4711)))
            .body(Body::from(body.to_string()));
        if api.send(request.unwrap()).await.status == StatusCode::TOO_MANY_REQUESTS {
            return failures;
        }
    }
    unreachable!()
}

#[tokio::test]
async fn an_address_is_that_of_the_connection_unless_the_service_knows_better() {
    let api = Api::new();
    assert_eq!(failures_from(&api, "192.0.2.1", "198.51.100.1").await, 20);
    assert_eq!(failures_from(&api, "192.0.2.1", "198.51.100.2").await, 0);
    assert_eq!(failures_from(&api, "192.0.2.2", "198.51.100.1").await, 20);

    let behind_proxy = Api::build(
        |issuer| issuer,
        |api| {
            api.with_peer_address(|request| {
                request.headers.get("x-real-ip")?.to_str().ok()?.parse::<IpAddr>().ok()
            })
        },
    );
    assert_eq!(failures_from(&behind_proxy, "192.0.2.1", "198.51.100.1").await, 20);
    assert_eq!(failures_from(&behind_proxy, "192.0.2.1", "198.51.100.2").await, 20);
}

#[tokio::test]
async fn the_public_keys_may_be_kept_and_are_public_only() {
    let api = Api::new();
    let request = || Request::get("/.well-known/jwks.json").body(Body::empty()).unwrap();
    let answer: Answer = api.send(request()).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    let keys = answer.json()["keys"].clone();
    assert_eq!(keys.as_array().unwrap().len(), 1);
    assert!(keys[0]["d"].is_null() && keys[0]["kid"].is_string(), "{keys}");

    let next = tower_bearer::jws::SigningKey::generate(tower_bearer::Algorithm::ES256).unwrap();
    let before = api.log_in("ada").await.access;
    api.issuer.rotate_key(next);
    let keys = api.send(request()).await.json()["keys"].clone();
    assert_eq!(keys.as_array().unwrap().len(), 2);
    assert_eq!(api.me(&before).await.status, StatusCode::OK);
    assert_eq!(api.me(&api.log_in("ada").await.access).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_store_that_is_gone_is_503_and_the_next_call_works_once_it_is_back() {
    let api = Api::new();
    let ada = api.log_in("ada").await;
    let (id, private) = api.create(&ada.access, "ci").await;
    let one = format!("/private_tokens/{id}/");
    // The layer knows the token, so that the calls come through to the store.
    api.wire.cut();
    for answer in [
        api.post("/refresh/", None, json!({"refresh_token": ada.refresh})).await,
        api.get("/private_tokens/", &ada.access).await,
        api.delete(&one, &ada.access).await,
    ] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
        assert_eq!(answer.json()["code"], "authentication_unavailable");
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    api.wire.mend();
    assert_eq!(api.me(&private).await.status, StatusCode::OK);
    assert_eq!(api.delete(&one, &ada.access).await.status, StatusCode::NO_CONTENT);
}
