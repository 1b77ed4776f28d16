//! What clients get, byte for byte, over HTTP and gRPC, and what the service behind the layer sees.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, COOKIE, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{
    BearerLayer, CheckError, ConfigError, Rejection, RejectionKind, RevocationCache, UnixTime,
    claims::{ManualClock, UntypedClaims},
    rejection::{ProblemJson, Responder},
    require::Require,
    revocation::Verdict,
    test_util::{FakeStore, StoreBehavior},
};

use crate::common::requests::{
    Body, NOW, authenticator, body, builder, get, layer, open, send, token, token_for, token_with,
    with_bearer,
};

const REALM: &str = r#"Bearer realm="api""#;
const INVALID_TOKEN: &str = concat!(
    r#"Bearer realm="api", error="invalid_token", "#,
    r#"error_description="Token is invalid or expired""#
);
const INVALID_REQUEST: &str = r#"Bearer realm="api", error="invalid_request""#;

const NOT_AUTHENTICATED: &str =
    r#"{"code":"not_authenticated","detail":"Authentication credentials were not provided."}"#;
const TOKEN_NOT_VALID: &str =
    r#"{"code":"token_not_valid","detail":"Token is invalid or expired"}"#;
const BAD_HEADER: &str = r#"{"code":"bad_authorization_header","detail":"The request must carry exactly one well-formed Bearer credential."}"#;
const PERMISSION_DENIED: &str =
    r#"{"code":"permission_denied","detail":"You do not have permission to perform this action."}"#;
const UNAVAILABLE: &str = r#"{"code":"authentication_unavailable","detail":"Authentication is temporarily unavailable."}"#;

/// Sends the request as it is and as gRPC, and compares all that came back.
async fn assert_answer<S, B>(
    service: &S,
    request: Request<Body>,
    kind: RejectionKind,
    (status, challenge, json): (u16, Option<&str>, &str),
    (grpc_status, grpc_message): (&str, &str),
) where
    S: Service<Request<Body>, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let mut expected = vec![("cache-control", "no-store"), ("content-type", "application/json")];
    if status == 503 {
        expected.push(("retry-after", "5"));
    }
    expected.extend(challenge.map(|challenge| ("www-authenticate", challenge)));

    let outcome = send(service.clone(), request.clone()).await;
    assert_eq!(outcome.rejection, Some(kind));
    assert_eq!(outcome.status, status);
    assert_eq!(outcome.headers(), expected);
    assert_eq!(outcome.body, json);
    assert!(outcome.seen.is_none());

    let mut expected = vec![
        ("cache-control", "no-store"),
        ("content-type", "application/grpc"),
        ("grpc-message", grpc_message),
        ("grpc-status", grpc_status),
    ];
    expected.extend(challenge.map(|challenge| ("www-authenticate", challenge)));

    let mut request = request;
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"));
    let outcome = send(service.clone(), request).await;
    assert_eq!(outcome.rejection, Some(kind));
    assert_eq!(outcome.status, StatusCode::OK);
    assert_eq!(outcome.headers(), expected);
    assert_eq!(outcome.body, "");
    assert!(outcome.seen.is_none());
}

#[tokio::test]
async fn without_a_credential_the_answer_is_401_without_an_error() {
    let service = layer().layer(open());
    let credential = |value: &str| body(get("/").header(AUTHORIZATION, value));
    for request in [
        body(get("/")),
        credential(""),
        credential("Basic dXNlcjpwYXNz"),
        credential("DPoP a.b.c"),
        body(Request::head("/")),
        body(Request::options("/")),
        body(Request::post("/")),
    ] {
        assert_answer(
            &service,
            request,
            RejectionKind::MissingCredential,
            (401, Some(REALM), NOT_AUTHENTICATED),
            ("16", "Authentication credentials were not provided."),
        )
        .await;
    }
}

#[tokio::test]
async fn every_invalid_token_gets_the_same_answer() {
    let service = layer().layer(open());
    let good = token();
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    for (token, kind) in [
        ("garbage".to_owned(), RejectionKind::MalformedToken),
        ("a.b.c".to_owned(), RejectionKind::MalformedToken),
        (format!("{good}=="), RejectionKind::MalformedToken),
        (format!("{unsigned}.{}", "A".repeat(43)), RejectionKind::BadSignature),
        (token_with(&format!(r#""exp":{}"#, NOW - 60)), RejectionKind::Expired),
        (token_with(r#""jti":"1""#), RejectionKind::MissingClaim),
        ("a".repeat(8 * 1024 + 1), RejectionKind::TokenTooLong),
        ("=".repeat(8 * 1024 + 1), RejectionKind::TokenTooLong),
    ] {
        assert_answer(
            &service,
            with_bearer(&token),
            kind,
            (401, Some(INVALID_TOKEN), TOKEN_NOT_VALID),
            ("16", "Token is invalid or expired"),
        )
        .await;
    }
}

#[tokio::test]
async fn a_rejection_contains_nothing_of_its_request() {
    #[derive(Clone)]
    struct OfRequest;
    let mut request = with_bearer("garbage");
    request.headers_mut().append(COOKIE, HeaderValue::from_static("theme=dark"));
    request.headers_mut().append(COOKIE, HeaderValue::from_static("session=secret"));
    request.extensions_mut().insert(OfRequest);

    let response = layer().layer(open()).oneshot(request).await.unwrap();

    assert!(response.extensions().get::<OfRequest>().is_none());
    assert_eq!(response.extensions().len(), 1);
    let headers: Vec<_> = response.headers().keys().collect();
    assert_eq!(headers, [&CONTENT_TYPE, &CACHE_CONTROL, &WWW_AUTHENTICATE]);
}

#[tokio::test]
async fn a_token_may_be_as_long_as_the_limit() {
    let token = token_with(&format!(r#""exp":{},"pad":"{}""#, NOW + 60, "x".repeat(8 * 1024)));
    let outcome = send(layer().layer(open()), with_bearer(&token)).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::TokenTooLong));

    let authenticator = builder().with_max_token_length(token.len()).build().unwrap();
    let layer = BearerLayer::new(authenticator);
    send(layer.layer(open()), with_bearer(&token)).await.assert_passed();
    let outcome = send(layer.layer(open()), with_bearer(&format!("{token}a"))).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::TokenTooLong));
}

#[tokio::test]
async fn a_malformed_credential_is_a_bad_request() {
    let service = layer().layer(open());
    for value in [&b"Bearer"[..], b"Bearer\ta.b.c", b"Bearer a.b.c, Bearer a.b.c", b"Bearer \xFF"] {
        let value = HeaderValue::from_bytes(value).unwrap();
        assert_answer(
            &service,
            body(get("/").header(AUTHORIZATION, value)),
            RejectionKind::MalformedCredential,
            (400, Some(INVALID_REQUEST), BAD_HEADER),
            ("3", "The request must carry exactly one well-formed Bearer credential."),
        )
        .await;
    }
}

#[tokio::test]
async fn two_credentials_are_a_bad_request_even_if_both_are_good() {
    let bearer = format!("Bearer {}", token());
    assert_answer(
        &layer().layer(open()),
        body(get("/").header(AUTHORIZATION, &bearer).header(AUTHORIZATION, &bearer)),
        RejectionKind::MultipleCredentials,
        (400, Some(INVALID_REQUEST), BAD_HEADER),
        ("3", "The request must carry exactly one well-formed Bearer credential."),
    )
    .await;
}

#[tokio::test]
async fn a_token_without_every_scope_is_forbidden() {
    let layer = layer();
    let service = layer.layer(layer.require_scopes(["orders:read", "orders:write"]).layer(open()));
    send(service.clone(), with_bearer(&token_for("orders:write x orders:read")))
        .await
        .assert_passed();
    for scopes in
        ["orders:read", "orders:write", "orders:readorders:write", "ORDERS:READ orders:write"]
    {
        assert_answer(
            &service,
            with_bearer(&token_for(scopes)),
            RejectionKind::InsufficientScope,
            (
                403,
                Some(concat!(
                    r#"Bearer realm="api", error="insufficient_scope", "#,
                    r#"scope="orders:read orders:write""#
                )),
                PERMISSION_DENIED,
            ),
            ("7", "You do not have permission to perform this action."),
        )
        .await;
    }
}

#[tokio::test]
async fn an_impossible_scope_rejects_everyone_and_keeps_the_header_valid() {
    let layer = layer();
    for scope in ["", "a b", " ", "a\"b", "a\r\nx: y"] {
        let service = layer.layer(layer.require_scopes([scope]).layer(open()));
        assert_answer(
            &service,
            with_bearer(&token_for("a b")),
            RejectionKind::InsufficientScope,
            (403, Some(r#"Bearer realm="api", error="insufficient_scope""#), PERMISSION_DENIED),
            ("7", "You do not have permission to perform this action."),
        )
        .await;
    }
}

#[tokio::test]
async fn an_unsatisfied_requirement_is_forbidden() {
    let layer = layer();
    let is_me = layer.require(|user| user.registered().subject() == Some("me"));
    send(layer.layer(is_me.layer(open())), with_bearer(&token())).await.assert_passed();

    let is_you = layer.require(|user| user.registered().subject() == Some("you"));
    assert_answer(
        &layer.layer(is_you.layer(open())),
        with_bearer(&token()),
        RejectionKind::PermissionDenied,
        (403, Some(r#"Bearer realm="api", error="insufficient_scope""#), PERMISSION_DENIED),
        ("7", "You do not have permission to perform this action."),
    )
    .await;
}

#[tokio::test]
async fn a_cookie_from_another_site_is_forbidden() {
    let service = layer().allow_cookie("session").layer(open());
    let request = |site: &str| {
        let cookie = format!("session={}", token());
        body(Request::post("/").header(COOKIE, cookie).header("sec-fetch-site", site))
    };
    send(service.clone(), request("same-origin")).await.assert_passed();
    assert_answer(
        &service,
        request("cross-site"),
        RejectionKind::CrossSite,
        (403, Some(REALM), PERMISSION_DENIED),
        ("7", "You do not have permission to perform this action."),
    )
    .await;
}

fn layer_over_a_store_that(habit: StoreBehavior) -> BearerLayer {
    let cache = RevocationCache::new(FakeStore::new(habit), std::time::Duration::from_secs(30))
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    BearerLayer::new(authenticator().with_revocation(cache))
}

#[tokio::test]
async fn a_revoked_token_is_a_bad_token() {
    let service =
        layer_over_a_store_that(StoreBehavior::Answers(Verdict::NotRevoked)).layer(open());
    let outcome = send(service, with_bearer(&token())).await;
    outcome.assert_passed();
    assert!(outcome.authenticated().is_some());

    assert_answer(
        &layer_over_a_store_that(StoreBehavior::Answers(Verdict::Revoked)).layer(open()),
        with_bearer(&token()),
        RejectionKind::Revoked,
        (401, Some(INVALID_TOKEN), TOKEN_NOT_VALID),
        ("16", "Token is invalid or expired"),
    )
    .await;
}

#[tokio::test]
async fn a_check_that_is_unavailable_is_503() {
    assert_answer(
        &layer_over_a_store_that(StoreBehavior::Fails).layer(open()),
        with_bearer(&token()),
        RejectionKind::RevocationUnavailable,
        (503, None, UNAVAILABLE),
        ("14", "Authentication is temporarily unavailable."),
    )
    .await;

    let authenticator = builder().add_check(|_| Err(CheckError::Unavailable)).build().unwrap();
    assert_answer(
        &BearerLayer::new(authenticator).layer(open()),
        with_bearer(&token()),
        RejectionKind::CheckUnavailable,
        (503, None, UNAVAILABLE),
        ("14", "Authentication is temporarily unavailable."),
    )
    .await;
}

#[tokio::test]
async fn realm_and_resource_metadata_are_in_the_challenges() {
    let layer = layer()
        .with_realm("shop")
        .unwrap()
        .with_resource_metadata("https://api.example/.well-known/oauth-protected-resource")
        .unwrap();
    let challenge = async |request| {
        let service = layer.layer(layer.require_scopes(["x"]).layer(open()));
        let outcome = send(service, request).await;
        outcome.headers[WWW_AUTHENTICATE].to_str().unwrap().to_owned()
    };
    assert_eq!(
        challenge(body(get("/"))).await,
        r#"Bearer realm="shop", resource_metadata="https://api.example/.well-known/oauth-protected-resource""#
    );
    assert_eq!(
        challenge(with_bearer("a.b.c")).await,
        r#"Bearer realm="shop", error="invalid_token", error_description="Token is invalid or expired", resource_metadata="https://api.example/.well-known/oauth-protected-resource""#
    );
    assert_eq!(
        challenge(with_bearer(&token())).await,
        r#"Bearer realm="shop", error="insufficient_scope", scope="x", resource_metadata="https://api.example/.well-known/oauth-protected-resource""#
    );
}

#[test]
fn a_realm_that_would_break_the_header_is_a_config_error() {
    for realm in ["a\"b", "a\\b", "a\r\nb", "\u{e4}"] {
        let error = layer().with_realm(realm).unwrap_err();
        assert!(matches!(error, ConfigError::InvalidHeaderValue("realm")));
    }
    assert!(layer().with_resource_metadata("").is_err());
}

#[tokio::test]
async fn a_closure_can_be_a_responder_and_headers_are_added() {
    fn teapot(rejection: &Rejection, request: &Parts) -> Response<Bytes> {
        let text = format!("{} {}", request.uri, rejection.answer().code());
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = StatusCode::IM_A_TEAPOT;
        response
    }
    let service = layer().with_responder(teapot).layer(open());
    let outcome = send(service.clone(), body(get("/tea?x"))).await;
    assert_eq!(outcome.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(outcome.body, "/tea?x not_authenticated");
    assert_eq!(outcome.headers(), [("cache-control", "no-store"), ("www-authenticate", REALM)]);
    assert_eq!(outcome.rejection, Some(RejectionKind::MissingCredential));

    let grpc = body(Request::post("/").header(CONTENT_TYPE, "application/grpc"));
    assert_eq!(send(service, grpc).await.headers["grpc-status"], "16");

    let unavailable =
        layer_over_a_store_that(StoreBehavior::Fails).with_responder(teapot).layer(open());
    let outcome = send(unavailable, with_bearer(&token())).await;
    assert_eq!(outcome.headers(), [("cache-control", "no-store"), ("retry-after", "5")]);
}

#[tokio::test]
async fn a_layer_without_grpc_answers_rejects_grpc_with_the_http_status() {
    let layer = layer().with_grpc_answers(false);
    let service = layer.layer(layer.require_scopes(["a"]).layer(open()));
    let grpc = |token: Option<&str>| {
        let request = Request::post("/").header(CONTENT_TYPE, "application/grpc+proto");
        body(token.into_iter().fold(request, |request, token| {
            request.header(AUTHORIZATION, format!("Bearer {token}"))
        }))
    };
    let forbidden = token();
    for (token, status, json) in [
        (None, StatusCode::UNAUTHORIZED, NOT_AUTHENTICATED),
        (Some("a.b.c"), StatusCode::UNAUTHORIZED, TOKEN_NOT_VALID),
        (Some(forbidden.as_str()), StatusCode::FORBIDDEN, PERMISSION_DENIED),
    ] {
        let outcome = send(service.clone(), grpc(token)).await;
        assert_eq!((outcome.status, outcome.body.as_str()), (status, json));
        assert_eq!(outcome.headers[CONTENT_TYPE], "application/json");
        assert!(!outcome.headers.contains_key("grpc-status"));
    }
    send(service, grpc(Some(&token_for("a")))).await.assert_passed();
    let again = layer.with_grpc_answers(true).layer(open());
    assert_eq!(send(again, grpc(None)).await.headers["grpc-status"], "16");
}

#[tokio::test]
async fn a_responder_can_also_write_grpc_answers() {
    struct Own;
    impl Responder for Own {
        fn respond(&self, _: &Rejection, _: &Parts) -> Response<Bytes> {
            Response::new(Bytes::from("own"))
        }

        fn respond_to_grpc(&self, rejection: &Rejection, _: &Parts) -> Option<Response<Bytes>> {
            let response = Response::builder().header("grpc-message", rejection.answer().code());
            response.body(Bytes::new()).ok()
        }
    }
    let service = layer().with_responder(Own).layer(open());
    let grpc = body(Request::post("/").header(CONTENT_TYPE, "application/grpc"));
    let outcome = send(service.clone(), grpc).await;
    assert_eq!(outcome.headers["grpc-message"], "not_authenticated");
    assert_eq!(outcome.headers["www-authenticate"], REALM);
    assert_eq!(send(service, body(get("/"))).await.body, "own");
}

#[tokio::test]
async fn headers_that_a_responder_sets_are_kept() {
    let service = layer_over_a_store_that(StoreBehavior::Fails)
        .with_responder(|_: &Rejection, _: &Parts| {
            Response::builder()
                .header(CACHE_CONTROL, "no-cache")
                .header(RETRY_AFTER, "60")
                .header(WWW_AUTHENTICATE, "Custom")
                .body(Bytes::new())
                .unwrap()
        })
        .layer(open());
    for request in [with_bearer(&token()), body(get("/"))] {
        let outcome = send(service.clone(), request).await;
        assert_eq!(
            outcome.headers(),
            [("cache-control", "no-cache"), ("retry-after", "60"), ("www-authenticate", "Custom")]
        );
    }
}

#[tokio::test]
async fn problem_details_carry_the_code() {
    let outcome =
        send(layer().with_responder(ProblemJson).layer(open()), with_bearer("a.b.c")).await;
    assert_eq!(outcome.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        outcome.headers(),
        [
            ("cache-control", "no-store"),
            ("content-type", "application/problem+json"),
            ("www-authenticate", INVALID_TOKEN),
        ]
    );
    assert_eq!(
        outcome.body,
        r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"Token is invalid or expired","code":"token_not_valid"}"#
    );
}

#[tokio::test]
async fn requirements_reject_with_the_responder_of_their_layer() {
    let layer = layer().with_realm("shop").unwrap().with_responder(ProblemJson);
    let service = layer.layer(layer.require_scopes(["x"]).layer(open()));
    let outcome = send(service, with_bearer(&token())).await;
    assert_eq!(outcome.headers[CONTENT_TYPE], "application/problem+json");
    assert_eq!(
        outcome.headers[WWW_AUTHENTICATE],
        r#"Bearer realm="shop", error="insufficient_scope", scope="x""#
    );
}

#[tokio::test]
async fn requirements_reject_anonymous_requests_like_their_layer() {
    let layer = layer().optional();
    assert_answer(
        &layer.layer(layer.require_scopes([""; 0]).layer(open())),
        body(get("/")),
        RejectionKind::MissingCredential,
        (401, Some(REALM), NOT_AUTHENTICATED),
        ("16", "Authentication credentials were not provided."),
    )
    .await;
}

#[tokio::test]
async fn requirements_without_their_layer_are_500_and_name_the_claims() {
    let service: Require<_, UntypedClaims> = layer().require_scopes(["x"]).layer(open());
    let outcome = send(service.clone(), with_bearer(&token())).await;
    assert_eq!(outcome.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(outcome.body.contains("Authenticated<"), "{}", outcome.body);
    assert!(outcome.body.contains("UntypedClaims"), "{}", outcome.body);
    assert_eq!(outcome.rejection, None);

    let grpc = body(Request::post("/").header(CONTENT_TYPE, "application/grpc"));
    let outcome = send(service, grpc).await;
    assert_eq!(outcome.status, StatusCode::OK);
    assert_eq!(outcome.headers["grpc-status"], "13");
}

#[tokio::test]
async fn a_byte_outside_of_b64token_is_400_at_any_position() {
    let good = token();
    let dots: Vec<_> = good.match_indices('.').map(|(at, _)| at).collect();
    let places =
        [0, dots[0] / 2, dots[0] - 1, dots[0] + 1, dots[1] - 1, dots[1] + 1, good.len() - 1];
    let passed = send(layer().layer(open()), with_bearer(&good)).await;
    passed.assert_passed();
    for place in places {
        for bad in ["!", "\"", "#", "%", ",", ":", "<", "@", "[", "{", "|", " "] {
            let mut token = good.clone();
            token.replace_range(place..=place, bad);
            // A space at the front only separates.
            if token.starts_with(' ') {
                continue;
            }
            let outcome = send(layer().layer(open()), with_bearer(&token)).await;
            let said = (outcome.status.as_u16(), outcome.rejection);
            assert_eq!(said, (400, Some(RejectionKind::MalformedCredential)), "{bad} at {place}");
        }
    }
}
