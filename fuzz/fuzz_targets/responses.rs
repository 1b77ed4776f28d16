//! Checks rejections for any text that the operator and the client can put into them. Each is one of the documented
//! answers. Its challenge contains the values that were set. No part of the token is in it.

#![no_main]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use arbitrary::Arbitrary;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use libfuzzer_sys::fuzz_target;
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::{
    Authenticator, BearerLayer, CheckError, Rejection, UnixTime, claims::ManualClock,
    rejection::ProblemJson,
};
use tower_bearer_fuzz::{
    NOW, block_on,
    http_wire::{Answer, Refusal},
    signer::Signer,
    trusted,
};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    realm: Option<&'a str>,
    metadata: Option<&'a str>,
    scopes: Vec<&'a str>,
    granted: &'a str,
    is_problem: bool,
    is_post: bool,
    content_type: Option<ContentType<'a>>,
    headers: Vec<(Name, &'a [u8])>,
    credential: Credential<'a>,
    check: Check,
}

#[derive(Debug, Arbitrary)]
enum ContentType<'a> {
    Grpc,
    GrpcProto,
    GrpcWeb,
    Json,
    Other(&'a [u8]),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Name {
    Accept,
    Te,
    Origin,
    Range,
    IfNoneMatch,
    Cookie,
}

#[derive(Debug, Arbitrary)]
enum Credential<'a> {
    Good,
    None,
    Twice,
    Bad(&'a [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Arbitrary)]
enum Check {
    Passes,
    Refuses,
    CannotTell,
}

fuzz_target!(|input: Input<'_>| check(&input));

fn check(input: &Input<'_>) {
    let is_quotable = |text: &str| {
        text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\')
    };
    let mut layer = BearerLayer::new(authenticator(input.check));
    if let Some(realm) = input.realm {
        let named = layer.with_realm(realm);
        assert_eq!(named.is_ok(), is_quotable(realm));
        let Ok(named) = named else { return };
        layer = named;
    }
    if let Some(metadata) = input.metadata {
        let named = layer.with_resource_metadata(metadata);
        assert_eq!(named.is_ok(), is_quotable(metadata) && !metadata.is_empty());
        let Ok(named) = named else { return };
        layer = named;
    }
    if input.is_problem {
        layer = layer.with_responder(ProblemJson);
    }

    let (token, request) = request(input);
    let expected = expected(input, request.headers());
    let is_grpc = is_grpc(&request);
    let open = service_fn(async |_: Request<String>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"open"))))
    });
    let inner = layer.require_scopes(&input.scopes).layer(open);
    let response = block_on(layer.layer(inner).oneshot(request)).unwrap();
    let rejection = response.extensions().get::<Rejection>().cloned();
    let answer = Answer::of(response);

    let Some(refusal) = expected else {
        assert_eq!((answer.status, &answer.body[..]), (StatusCode::OK, &b"open"[..]));
        assert!(answer.headers.is_empty() && rejection.is_none());
        return;
    };
    assert_eq!(rejection.unwrap().answer().code(), refusal.code());
    match (is_grpc, input.is_problem) {
        (true, _) => answer.is_grpc_refusal(refusal),
        (false, false) => answer.is_refusal(refusal),
        (false, true) => is_problem(&answer, refusal),
    }
    is_challenge(input, &answer, refusal);
    is_without(&answer, &token);
}

fn authenticator(check: Check) -> Authenticator {
    let answer = AtomicU8::new(check as u8);
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let builder =
        trusted::builder(clock).add_check(move |_| match answer.load(Ordering::Relaxed) {
            answer if answer == Check::Passes as u8 => Ok(()),
            answer if answer == Check::Refuses as u8 => Err(CheckError::Rejected),
            _ => Err(CheckError::Unavailable),
        });
    builder.build().unwrap()
}

fn request(input: &Input<'_>) -> (Arc<str>, Request<String>) {
    let granted = serde_json::to_string(input.granted).unwrap();
    let claims = format!(
        r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":{},"scope":{granted}}}"#,
        NOW + 60
    );
    let token = Signer::Hs256.sign(br#"{"alg":"HS256"}"#, claims.as_bytes());
    let mut request = Request::new(String::new());
    if input.is_post {
        *request.method_mut() = Method::POST;
    }
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    let headers = request.headers_mut();
    match input.credential {
        Credential::None => {}
        Credential::Good => _ = headers.insert(header::AUTHORIZATION, bearer),
        Credential::Twice => {
            headers.append(header::AUTHORIZATION, bearer.clone());
            headers.append(header::AUTHORIZATION, bearer);
        }
        Credential::Bad(bytes) => {
            if let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ~", bytes].concat()) {
                headers.insert(header::AUTHORIZATION, value);
            }
        }
    }
    let content_type = input.content_type.as_ref().map(|content_type| match content_type {
        ContentType::Grpc => &b"application/grpc"[..],
        ContentType::GrpcProto => b"application/GRPC+proto",
        ContentType::GrpcWeb => b"application/grpc-web+proto",
        ContentType::Json => b"application/json",
        ContentType::Other(bytes) => bytes,
    });
    let named = input.headers.iter().map(|(name, value)| (name.header(), *value));
    let content_type = content_type.map(|value| (header::CONTENT_TYPE, value));
    for (name, value) in named.chain(content_type) {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    (token.into(), request)
}

impl Name {
    fn header(self) -> HeaderName {
        match self {
            Self::Accept => header::ACCEPT,
            Self::Te => header::TE,
            Self::Origin => header::ORIGIN,
            Self::Range => header::RANGE,
            Self::IfNoneMatch => header::IF_NONE_MATCH,
            Self::Cookie => header::COOKIE,
        }
    }
}

/// The expected rejection of a request, or `None` if it passes.
fn expected(input: &Input<'_>, headers: &http::HeaderMap) -> Option<Refusal> {
    let Some(credential) = headers.get(header::AUTHORIZATION) else {
        return Some(Refusal::NotAuthenticated);
    };
    match input.credential {
        Credential::Twice => return Some(Refusal::InvalidRequest),
        Credential::Bad(_) => {
            // A b64token may contain `~`, and a JWT may not. So this is a b64token, or not a credential (RFC 6750
            // section 2.1).
            let text = credential.as_bytes().strip_prefix(b"Bearer ").unwrap();
            let unpadded = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
            let is_b64token = text[..unpadded]
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte));
            let is_read = text.len() <= 8192;
            let is_no_credential = is_read && !is_b64token;
            return Some(match is_no_credential {
                true => Refusal::InvalidRequest,
                false => Refusal::TokenNotValid,
            });
        }
        Credential::Good | Credential::None => {}
    }
    if credential.len() > "Bearer ".len() + 8192 {
        return Some(Refusal::TokenNotValid);
    }
    match input.check {
        Check::Refuses => return Some(Refusal::TokenNotValid),
        Check::CannotTell => return Some(Refusal::Unavailable),
        Check::Passes => {}
    }
    let granted: Vec<&str> = input.granted.split(' ').filter(|scope| !scope.is_empty()).collect();
    let has_all = input.scopes.iter().all(|scope| granted.contains(scope));
    (!has_all).then_some(Refusal::PermissionDenied)
}

fn is_grpc(request: &Request<String>) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let text = content_type.map(|value| value.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    let is_grpc = match text.strip_prefix(b"application/grpc") {
        Some(rest) => rest.is_empty() || rest[0] == b'+' || rest[0] == b';',
        None => false,
    };
    request.method() == Method::POST && is_grpc
}

/// RFC 9457.
fn is_problem(answer: &Answer, refusal: Refusal) {
    assert_eq!(answer.status.as_u16(), refusal.status());
    assert_eq!(answer.header(header::CONTENT_TYPE), Some("application/problem+json"));
    answer.is_not_kept();
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["status"], refusal.status());
    assert_eq!(body["code"], refusal.code());
    assert_eq!(body["detail"], refusal.detail());
    assert_eq!(answer.header(header::RETRY_AFTER).is_some(), refusal == Refusal::Unavailable);
}

fn is_challenge(input: &Input<'_>, answer: &Answer, refusal: Refusal) {
    let challenge = answer.challenge();
    assert_eq!(challenge.is_some(), refusal != Refusal::Unavailable);
    let Some(mut challenge) = challenge else { return };
    assert_eq!(challenge.remove("realm").as_deref(), Some(input.realm.unwrap_or("api")));
    assert_eq!(challenge.remove("error").as_deref(), refusal.error());
    let description = challenge.remove("error_description");
    assert_eq!(description.is_some(), refusal == Refusal::TokenNotValid);
    let metadata = input.metadata.filter(|_| matches!(refusal.status(), 401 | 403));
    assert_eq!(challenge.remove("resource_metadata").as_deref(), metadata);
    let scope = challenge.remove("scope");
    if let Some(scope) = scope {
        assert_eq!(refusal, Refusal::PermissionDenied);
        assert!(scope.split(' ').all(|scope| input.scopes.contains(&scope)));
    }
    assert!(challenge.is_empty(), "{challenge:?}");
}

fn is_without(answer: &Answer, token: &str) {
    let shown = format!("{answer:?}");
    let (_, signature) = token.rsplit_once('.').unwrap();
    assert!(!shown.contains(signature), "a part of the token is in {shown}");
}
