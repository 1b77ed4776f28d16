//! What gets through the layer, and what the service behind it sees of the request.

use std::convert::Infallible;

use bytes::Bytes;
use http::{
    HeaderName, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CACHE_CONTROL, COOKIE, ORIGIN,
        WWW_AUTHENTICATE,
    },
    request::Parts,
};
use http_body_util::StreamBody;
use tower::{Layer, service_fn};
use tower_bearer::{Authenticated, BearerLayer, Rejection, RejectionKind};

use crate::common::requests::{Body, body, builder, get, layer, open, send, token, with_bearer};

#[tokio::test]
async fn a_valid_token_reaches_the_service_with_its_claims() {
    let outcome = send(layer().layer(open()), with_bearer(&token())).await;
    outcome.assert_passed();
    let token = outcome.authenticated().unwrap();
    assert_eq!(token.registered().subject(), Some("me"));
    assert_eq!(token.claims().get("aud").unwrap(), "api://orders");
}

#[tokio::test]
async fn an_optional_layer_lets_requests_without_a_credential_through() {
    let service = layer().optional().layer(open());
    for request in [body(get("/")), body(get("/").header(AUTHORIZATION, "Basic dXNlcjpwYXNz"))] {
        let outcome = send(service.clone(), request).await;
        outcome.assert_passed();
        assert!(outcome.authenticated().is_none());
    }
    let outcome = send(service.clone(), with_bearer(&token())).await;
    outcome.assert_passed();
    assert!(outcome.authenticated().is_some());
    for (value, kind) in [
        ("Bearer a.b.c", RejectionKind::MalformedToken),
        ("Bearer", RejectionKind::MalformedCredential),
    ] {
        let outcome = send(service.clone(), body(get("/").header(AUTHORIZATION, value))).await;
        assert_eq!(outcome.rejection, Some(kind));
    }
}

#[tokio::test]
async fn only_a_preflight_request_passes_where_preflights_are_allowed() {
    let preflight = |method: Method| {
        Request::builder()
            .method(method)
            .uri("/p?access_token=a.b.c")
            .header(ORIGIN, "https://app.example")
            .header(ACCESS_CONTROL_REQUEST_METHOD, "DELETE")
    };
    let allowing = layer().allow_cors_preflight().allow_query("access_token");
    let service = allowing.layer(allowing.require_scopes(["x"]).layer(open()));
    let outcome = send(service.clone(), body(preflight(Method::OPTIONS))).await;
    outcome.assert_passed();
    assert!(outcome.authenticated().is_none());
    assert_eq!(outcome.seen.unwrap().uri, "/p");

    for request in [
        body(preflight(Method::GET)),
        body(Request::options("/").header(ORIGIN, "https://app.example")),
        body(Request::options("/").header(ACCESS_CONTROL_REQUEST_METHOD, "DELETE")),
    ] {
        assert_ne!(send(service.clone(), request).await.rejection, None);
    }
    let outcome = send(layer().layer(open()), body(preflight(Method::OPTIONS))).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::MissingCredential));
}

#[tokio::test]
async fn a_request_with_content_is_not_a_preflight() {
    let layer = layer().allow_cors_preflight();
    let preflight = || {
        Request::options("/")
            .header("origin", "https://x.example")
            .header("access-control-request-method", "POST")
    };
    send(layer.layer(open()), body(preflight())).await.assert_passed();
    send(layer.layer(open()), body(preflight().header("content-length", "0")))
        .await
        .assert_passed();
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("content-type", "text/plain"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
    ] {
        let outcome = send(layer.layer(open()), body(preflight().header(name, value))).await;
        assert_eq!(outcome.rejection, Some(RejectionKind::MissingCredential), "{name}: {value}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_report_its_end_is_not_a_preflight() {
    let service = layer().allow_cors_preflight().layer(service_fn(async |_: Request<_>| {
        Ok::<_, Infallible>(Response::new(Body::default()))
    }));
    let empty = tokio_stream::empty::<Result<http_body::Frame<Bytes>, Infallible>>();
    let preflight = Request::options("/")
        .header(ORIGIN, "https://app.example")
        .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .body(StreamBody::new(empty))
        .unwrap();
    let outcome = send(service, preflight).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::MissingCredential));
}

/// What the layer makes of a response that has `Cache-Control` or not.
async fn cache_control(
    layer: &BearerLayer,
    own: Option<&'static str>,
    request: Request<Body>,
) -> (StatusCode, Vec<String>) {
    let service = layer.layer(service_fn(move |_: Request<Body>| async move {
        let response = own
            .into_iter()
            .fold(Response::builder(), |response, own| response.header(CACHE_CONTROL, own));
        Ok::<_, Infallible>(response.body(Body::default()).unwrap())
    }));
    let outcome = send(service, request).await;
    let lines = outcome.headers.get_all(CACHE_CONTROL).iter();
    (outcome.status, lines.map(|line| line.to_str().unwrap().to_owned()).collect())
}

#[tokio::test]
async fn a_response_to_a_token_is_private_unless_the_service_decides() {
    let custom = HeaderName::from_static("x-token");
    // One token is decided on in `call`, the other in the future.
    let waiting = builder().add_async_check(async |_| {
        tokio::task::yield_now().await;
        Ok(())
    });
    let waiting = BearerLayer::new(waiting.build().unwrap());
    for layer in [layer(), waiting] {
        let own_header = layer.clone().credential_header(custom.clone());
        for (layer, request) in [
            (layer.clone(), with_bearer(&token())),
            (
                layer.clone().allow_cookie("session"),
                body(get("/").header(COOKIE, format!("session={}", token()))),
            ),
            (own_header, body(get("/").header(&custom, token()))),
            (
                layer.clone().allow_query("access_token"),
                body(get(&format!("/?access_token={}", token()))),
            ),
        ] {
            let private = layer.clone().with_private_responses();
            let answered = |lines: &[&str]| {
                (StatusCode::OK, lines.iter().copied().map(str::to_owned).collect::<Vec<_>>())
            };
            let found = cache_control(&layer, None, request.clone()).await;
            assert_eq!(found, answered(&[]), "by default nothing is set");
            let found = cache_control(&private, None, request.clone()).await;
            assert_eq!(found, answered(&["private"]));
            for own in ["public, max-age=60", "no-store", ""] {
                let found = cache_control(&private, Some(own), request.clone()).await;
                assert_eq!(found, answered(&[own]));
            }
        }
    }
}

#[tokio::test]
async fn only_a_response_to_a_token_is_private() {
    let private = layer().optional().allow_cors_preflight().with_private_responses();
    let preflight = Request::options("/")
        .header(ORIGIN, "https://app.example")
        .header(ACCESS_CONTROL_REQUEST_METHOD, "DELETE");
    for request in [body(get("/")), body(preflight)] {
        let found = cache_control(&private, None, request).await;
        assert_eq!(found, (StatusCode::OK, vec![]));
    }
    let refused = cache_control(&private, None, with_bearer("a.b.c")).await;
    assert_eq!(refused, (StatusCode::UNAUTHORIZED, vec!["no-store".to_owned()]));
}

#[tokio::test]
async fn a_preflight_mark_does_not_let_another_request_pass() {
    let layer = layer().optional().allow_cors_preflight();
    let service = layer.layer(layer.require_scopes(["x"]).layer(open()));
    let outcome = send(service, body(Request::options("/"))).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::MissingCredential));
}

#[tokio::test]
async fn values_of_an_outer_layer_are_removed_from_the_extensions() {
    let other_header = || layer().credential_header(HeaderName::from_static("x-token"));
    let twice = layer().layer(other_header().layer(open()));
    let outcome = send(twice, with_bearer(&token())).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::MissingCredential));

    let optional_inside = layer().layer(other_header().optional().layer(open()));
    let outcome = send(optional_inside, with_bearer(&token())).await;
    outcome.assert_passed();
    assert!(outcome.authenticated().is_none());

    // The mark of an anonymous request goes too, or a good token would come with both.
    let marked_outside = layer().optional().allow_cors_preflight();
    let strict = layer().require_scopes(["x"]);
    let service = marked_outside.layer(layer().layer(strict.layer(open())));
    let preflight = Request::options("/")
        .header(ORIGIN, "https://app.example")
        .header(ACCESS_CONTROL_REQUEST_METHOD, "DELETE");
    let outcome = send(service, body(preflight)).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::MissingCredential));
}

#[tokio::test]
async fn the_service_sees_the_credential_marked_as_sensitive() {
    let outcome = send(layer().layer(open()), with_bearer(&token())).await;
    let seen = outcome.seen.unwrap();
    assert_eq!(seen.headers[AUTHORIZATION], format!("Bearer {}", token()));
    assert!(seen.headers[AUTHORIZATION].is_sensitive());
    assert!(!format!("{:?}", seen.headers).contains(&token()));
}

#[tokio::test]
async fn the_service_does_not_see_a_credential_that_is_stripped() {
    let layer = layer().strip_credential().allow_cookie("session");
    let outcome = send(layer.layer(open()), with_bearer(&token())).await;
    assert!(outcome.authenticated().is_some());
    assert!(outcome.seen.unwrap().headers.is_empty());

    let cookie = format!("a=1; session={}; b=2", token());
    let outcome = send(layer.layer(open()), body(get("/").header(COOKIE, cookie))).await;
    assert!(outcome.authenticated().is_some());
    assert_eq!(outcome.seen.unwrap().headers[COOKIE], "a=1; b=2");
}

#[tokio::test]
async fn the_service_does_not_see_a_query_token() {
    let service = layer().allow_query("access_token").layer(open());
    for (before, after) in
        [("/p?a=%20&access_token={}&b", "/p?a=%20&b"), ("/p?access_token={}", "/p")]
    {
        let outcome = send(service.clone(), body(get(&before.replace("{}", &token())))).await;
        outcome.assert_passed();
        assert!(outcome.authenticated().is_some());
        assert_eq!(outcome.seen.unwrap().uri, after);
    }
}

#[tokio::test]
async fn a_responder_sees_no_query_token_and_a_sensitive_header() {
    let service = layer()
        .allow_query("access_token")
        .with_responder(|_: &Rejection, request: &Parts| {
            Response::new(format!("{request:?}").into())
        })
        .layer(open());
    for request in [
        body(get("/p?access_token=a.secret.c")),
        body(get("/p?access_token=a.secret.c&access_token=a.secret.c")),
        with_bearer("a.secret.c"),
        body(
            get("/")
                .header(AUTHORIZATION, "Bearer a.secret.c")
                .header(AUTHORIZATION, "Bearer secret"),
        ),
    ] {
        let outcome = send(service.clone(), request).await;
        assert!(outcome.rejection.is_some());
        assert!(!outcome.body.contains("secret"), "{}", outcome.body);
    }
}

#[tokio::test]
async fn a_configured_header_is_the_only_place_of_the_token() {
    let name = HeaderName::from_static("cf-access-jwt-assertion");
    let service = layer().credential_header(name.clone()).layer(open());
    let outcome = send(service.clone(), body(get("/").header(&name, token()))).await;
    assert!(outcome.authenticated().is_some());
    assert!(outcome.seen.unwrap().headers[&name].is_sensitive());
    let outcome = send(service, with_bearer(&token())).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::MissingCredential));

    let restored = layer().credential_header(name).credential_header(AUTHORIZATION).layer(open());
    send(restored, with_bearer(&token())).await.assert_passed();
}

#[tokio::test]
async fn a_setting_changes_only_one_clone_of_a_layer() {
    let strict = layer();
    let lenient = strict.clone().optional().with_realm("other").unwrap();
    send(lenient.layer(open()), body(get("/"))).await.assert_passed();
    let outcome = send(strict.layer(open()), body(get("/"))).await;
    assert_eq!(outcome.headers[WWW_AUTHENTICATE], r#"Bearer realm="api""#);
}

#[tokio::test]
async fn debug_output_contains_no_part_of_a_token() {
    let layer = layer();
    let service = layer.layer(());
    let outcome = send(layer.layer(open()), with_bearer(&token())).await;
    let user: &Authenticated = outcome.authenticated().unwrap();
    let text = format!("{layer:?} {service:?} {:?} {user:?}", layer.require(|_| true));
    assert!(!text.contains("a secret of the tests") && !text.contains("\"me\""), "{text}");
}
