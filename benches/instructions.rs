//! Instructions, counted by callgrind: the same figures on a busy machine as on an idle one.
//!
//! One whole request each, from the call of the service to the response, with the service behind the layer included
//! where the request gets there. Making the request and dropping the response are not counted, and requests before it
//! have filled whatever is filled once.

#![allow(
    missing_docs,
    clippy::exit,
    reason = "what the macros make has no docs and ends the process"
)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use gungraun::prelude::*;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::{Empty, Full};
use serde::Deserialize;
use tower::{Layer, Service, service_fn, util::ServiceFn};
use tower_bearer::{
    Algorithm, Authenticator, BearerAuth, BearerLayer, Issuer, Key, RevocationCache, Verifier,
    claims::ManualClock, revocation::MemoryStore,
};

#[path = "../tests/common/tokens.rs"]
mod tokens;

const NOW: u64 = 1_800_000_000;

/// Owned claims of five strings, as a handler would want them.
#[derive(Deserialize)]
#[allow(dead_code, reason = "what is read is not used")]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    jti: String,
    scope: String,
    exp: u64,
    iat: u64,
}

type Body = Empty<Bytes>;
type Outcome = Result<Response<Full<Bytes>>, Infallible>;
type Inner = ServiceFn<fn(Request<Body>) -> Ready<Outcome>>;
type Protected = BearerAuth<Inner, Claims>;

fn inner() -> Inner {
    service_fn(|request| {
        black_box(request.extensions().len());
        ready(Ok(Response::new(Full::from("ok"))))
    })
}

#[derive(Clone, Copy)]
enum Cache {
    Off,
    On,
}

/// The layer with revocation on.
fn layer(algorithm: Algorithm, cache: Cache) -> BearerLayer<Claims> {
    let key = match algorithm {
        Algorithm::HS256 => Key::hs256(tokens::SECRET),
        Algorithm::RS256 => Key::from_pem(algorithm, tokens::fixture("rsa2048.public.pem")),
        _ => Key::from_pem(algorithm, tokens::fixture("p256.public.pem")),
    };
    let key = key.expect("the test keys are good").with_key_id("2026-11-key-1");
    let issuer = Issuer::new("https://issuer.example", key).audience("api://orders");
    let verifier = Verifier::builder().issuer(issuer).with_clock(ManualClock::at(NOW));
    let verifier = match cache {
        Cache::Off => verifier.with_token_cache_capacity(0),
        Cache::On => verifier.cache_hmac_tokens(),
    };
    let revocation = RevocationCache::new(MemoryStore::new(), Duration::from_secs(3_600))
        .with_clock(ManualClock::at(NOW));
    let verifier = verifier.build().expect("the policy is good");
    BearerLayer::new(Authenticator::new(verifier).with_revocation(revocation))
}

fn token(algorithm: Algorithm) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":"2026-11-key-1"}}"#);
    let claims = format!(
        r#"{{"iss":"https://issuer.example","sub":"248289761001","aud":"api://orders","jti":"0b8f1f3e-6a5f-4a53-9b3e-0f6f1b8f7a11","scope":"openid profile orders:read","iat":{NOW},"exp":{}}}"#,
        NOW + 3_600
    );
    match algorithm {
        Algorithm::HS256 => tokens::sign_hs256(&header, &claims),
        Algorithm::RS256 => {
            tokens::sign(jsonwebtoken::Algorithm::RS256, &tokens::rsa_key(), &header, &claims)
        }
        _ => tokens::sign(jsonwebtoken::Algorithm::ES256, &tokens::p256_key(), &header, &claims),
    }
}

fn request(token: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri("/orders").header("accept", "*/*");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Empty::new()).expect("a good request")
}

/// A service that has seen this token before, and one more request with it.
fn warm<S, B>(mut service: S, token: Option<&str>, status: u16) -> (S, Request<Body>)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    for _ in 0..3 {
        let outcome = service.call(request(token)).now_or_never().expect("nothing to wait for");
        assert_eq!(outcome.unwrap_or_else(|never| match never {}).status(), status);
    }
    (service, request(token))
}

fn unprotected() -> (Inner, Request<Body>) {
    warm(inner(), Some(&token(Algorithm::HS256)), 200)
}

fn accepted(algorithm: Algorithm, cache: Cache) -> (Protected, Request<Body>) {
    warm(layer(algorithm, cache).layer(inner()), Some(&token(algorithm)), 200)
}

fn refused(token: Option<String>) -> (Protected, Request<Body>) {
    let service = layer(Algorithm::HS256, Cache::On).layer(inner());
    warm(service, token.as_deref(), 401)
}

fn alg_none() -> Option<String> {
    let good = token(Algorithm::HS256);
    let claims = good.split('.').nth(1).expect("a compact token");
    Some(format!("{}.{claims}.", tokens::base64url(r#"{"alg":"none"}"#)))
}

fn bad_signature() -> Option<String> {
    let good = token(Algorithm::HS256);
    let (unsigned, _) = good.rsplit_once('.').expect("a compact token");
    Some(format!("{unsigned}.{}", "A".repeat(43)))
}

/// Of a service, what a request got from it: `None` if it had to wait.
type Answer<S> =
    Option<Result<<S as Service<Request<Body>>>::Response, <S as Service<Request<Body>>>::Error>>;

/// One request; the service comes back too, so that dropping it is not counted.
fn call<S: Service<Request<Body>>>(mut service: S, request: Request<Body>) -> (S, Answer<S>) {
    let answer = service.call(black_box(request)).now_or_never();
    (service, answer)
}

#[library_benchmark]
#[bench::hs256_token(unprotected())]
fn inner_alone((service, request): (Inner, Request<Body>)) -> (Inner, Answer<Inner>) {
    call(service, request)
}

#[library_benchmark]
#[bench::cold_hs256(accepted(Algorithm::HS256, Cache::Off))]
#[bench::cold_rs256(accepted(Algorithm::RS256, Cache::Off))]
#[bench::cold_es256(accepted(Algorithm::ES256, Cache::Off))]
#[bench::cached_hs256(accepted(Algorithm::HS256, Cache::On))]
#[bench::cached_rs256(accepted(Algorithm::RS256, Cache::On))]
#[bench::cached_es256(accepted(Algorithm::ES256, Cache::On))]
fn accept((service, request): (Protected, Request<Body>)) -> (Protected, Answer<Protected>) {
    call(service, request)
}

#[library_benchmark]
#[bench::no_header(refused(None))]
#[bench::letters_500(refused(Some("a".repeat(500))))]
#[bench::alg_none(refused(alg_none()))]
#[bench::bad_hs256_signature(refused(bad_signature()))]
#[bench::one_byte_over_the_limit(refused(Some("a".repeat(8 * 1024 + 1))))]
fn refuse((service, request): (Protected, Request<Body>)) -> (Protected, Answer<Protected>) {
    call(service, request)
}

library_benchmark_group!(name = requests, benchmarks = [inner_alone, accept, refuse]);

main!(library_benchmark_groups = requests);
