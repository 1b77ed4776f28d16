//! Counts instructions with callgrind. The numbers are the same on a busy machine and on an idle one.
//!
//! Each bench counts one whole request, from the call of the service to the response. It includes the service behind
//! the layer if the request reaches it. It does not count making the request and dropping the response. Earlier
//! requests have filled everything that is filled only once.

#![allow(
    missing_docs,
    clippy::exit,
    reason = "the code of the macros has no docs and ends the process"
)]

use std::{convert::Infallible, hint::black_box};

use futures_util::FutureExt;
use gungraun::prelude::*;
use http::{HeaderValue, Request};
use tower::{Layer, Service};
use tower_bearer::{Algorithm, BearerAuth, BearerLayer};

mod common;

use common::{
    Body, Claims, Inner, Repeats, authenticator, bad_credentials, credential, inner, request,
    revocation, token,
};

type Protected = BearerAuth<Inner, Claims>;

/// The layer with revocation.
fn layer(algorithm: Algorithm, repeats: Repeats) -> BearerLayer<Claims> {
    BearerLayer::new(authenticator(algorithm, repeats).with_revocation(revocation()))
}

/// A service that has handled this credential before, and one more request with it.
fn warm<S, B>(mut service: S, credential: Option<&HeaderValue>, status: u16) -> (S, Request<Body>)
where
    S: Service<Request<Body>, Response = http::Response<B>, Error = Infallible>,
{
    for _ in 0..3 {
        assert_eq!(common::call(&mut service, request(credential)).status(), status);
    }
    (service, request(credential))
}

fn good(algorithm: Algorithm) -> HeaderValue {
    credential(&token(algorithm))
}

fn unprotected() -> (Inner, Request<Body>) {
    warm(inner(), Some(&good(Algorithm::HS256)), 200)
}

fn accepted(algorithm: Algorithm, repeats: Repeats) -> (Protected, Request<Body>) {
    warm(layer(algorithm, repeats).layer(inner()), Some(&good(algorithm)), 200)
}

fn refused(case: usize) -> (Protected, Request<Body>) {
    let service = layer(Algorithm::HS256, Repeats::CACHED).layer(inner());
    let (service, _) = warm(service, Some(&good(Algorithm::HS256)), 200);
    warm(service, bad_credentials()[case].1.as_ref(), 401)
}

/// The result of a request to a service: `None` if it had to wait.
type Answer<S> =
    Option<Result<<S as Service<Request<Body>>>::Response, <S as Service<Request<Body>>>::Error>>;

/// Sends one request. Also returns the service, so that dropping it is not counted.
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
#[bench::cold_hs256(accepted(Algorithm::HS256, Repeats::Cold))]
#[bench::cold_rs256(accepted(Algorithm::RS256, Repeats::Cold))]
#[bench::cold_es256(accepted(Algorithm::ES256, Repeats::Cold))]
#[bench::cached_hs256(accepted(Algorithm::HS256, Repeats::CACHED))]
#[bench::cached_rs256(accepted(Algorithm::RS256, Repeats::CACHED))]
#[bench::cached_es256(accepted(Algorithm::ES256, Repeats::CACHED))]
fn accept((service, request): (Protected, Request<Body>)) -> (Protected, Answer<Protected>) {
    call(service, request)
}

#[library_benchmark]
#[bench::no_header(refused(0))]
#[bench::random_bytes_500(refused(1))]
#[bench::alg_none(refused(2))]
#[bench::bad_hs256_signature(refused(3))]
#[bench::one_byte_over_the_limit(refused(4))]
fn refuse((service, request): (Protected, Request<Body>)) -> (Protected, Answer<Protected>) {
    call(service, request)
}

library_benchmark_group!(name = requests, benchmarks = [inner_alone, accept, refuse]);

main!(library_benchmark_groups = requests);
