//! Requests through the layer: whom it trusts, a service behind it, and what came of a request.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::convert::Infallible;

use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, StatusCode,
    header::AUTHORIZATION,
    request::{self, Parts},
};
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceExt, service_fn};
use tower_bearer::{
    Authenticated, Authenticator, AuthenticatorBuilder, BearerLayer, Issuer, Key, Rejection,
    RejectionKind, UnixTime,
    claims::{ManualClock, UntypedClaims},
};

use super::tokens::{SECRET, sign_hs256};

/// The time at which the tests take place, in seconds since the Unix epoch.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) type Body = Full<Bytes>;

pub(crate) fn issuer() -> Issuer {
    Issuer::new("https://issuer.example", Key::hs256(SECRET).unwrap()).audience("api://orders")
}

/// Trusts [`issuer`], at [`NOW`].
pub(crate) fn builder() -> AuthenticatorBuilder<UntypedClaims> {
    Authenticator::builder()
        .claims()
        .issuer(issuer())
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
}

pub(crate) fn authenticator() -> Authenticator {
    builder().build().unwrap()
}

pub(crate) fn layer() -> BearerLayer {
    BearerLayer::new(authenticator())
}

/// A token that [`issuer`] signed and that is good for a minute.
pub(crate) fn token() -> String {
    token_with(&format!(r#""exp":{}"#, NOW + 60))
}

/// One with these members beside `iss`, `aud` and `sub`; `exp` is among them or missing.
pub(crate) fn token_with(members: &str) -> String {
    sign_hs256(
        r#"{"alg":"HS256"}"#,
        &format!(r#"{{"iss":"https://issuer.example","aud":"api://orders","sub":"me",{members}}}"#),
    )
}

/// A good one with these scopes.
pub(crate) fn token_for(scopes: &str) -> String {
    token_with(&format!(r#""exp":{},"scope":"{scopes}""#, NOW + 60))
}

pub(crate) fn get(uri: &str) -> request::Builder {
    Request::get(uri)
}

pub(crate) fn with_bearer(token: &str) -> Request<Body> {
    body(get("/").header(AUTHORIZATION, format!("Bearer {token}")))
}

pub(crate) fn body(request: request::Builder) -> Request<Body> {
    request.body(Body::default()).unwrap()
}

/// A service that answers `200` to everything.
pub(crate) fn open()
-> impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(|request: Request<Body>| async move {
        let mut response = Response::new(Body::from("from the service behind the layer"));
        response.extensions_mut().insert(Seen(request.into_parts().0));
        Ok(response)
    })
}

#[derive(Clone)]
struct Seen(Parts);

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// Why it was refused, from the response's extensions.
    pub(crate) rejection: Option<RejectionKind>,
    /// The request as [`open`] saw it, where it came so far.
    pub(crate) seen: Option<Parts>,
}

impl Outcome {
    /// All headers, sorted.
    pub(crate) fn headers(&self) -> Vec<(&str, &str)> {
        let mut headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        headers.sort_unstable();
        headers
    }

    /// The service behind the layer answered, and the layer changed nothing about it.
    #[track_caller]
    pub(crate) fn assert_passed(&self) {
        assert_eq!(self.status, StatusCode::OK);
        assert_eq!(self.rejection, None);
        assert_eq!(self.body, "from the service behind the layer");
        assert!(self.headers.is_empty());
    }

    /// The token that the service behind the layer saw.
    pub(crate) fn authenticated(&self) -> Option<&Authenticated> {
        self.seen.as_ref()?.extensions.get()
    }
}

pub(crate) async fn send<S, ReqB, B>(service: S, request: Request<ReqB>) -> Outcome
where
    S: Service<Request<ReqB>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let (parts, body) = service.oneshot(request).await.unwrap().into_parts();
    Outcome {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
        rejection: parts.extensions.get().map(Rejection::kind),
        seen: parts.extensions.get().map(|Seen(parts)| parts.clone()),
    }
}
