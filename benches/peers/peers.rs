//! Compares this crate with others, in one process, with the same tokens.
//!
//! Before the measurement, every peer must accept the valid token and reject four invalid ones.

#[cfg(not(any(feature = "openssl", feature = "boring")))]
compile_error!("choose one of the features `openssl` and `boring`");

mod fixture;
mod libraries;
mod services;

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderValue, StatusCode};
use tower_bearer::Algorithm;

use fixture::{ALGORITHMS, bad_tokens, good_token, unsigned_token, with_bad_signature};
use services::{Handle, bare, request, services};

/// From token text to owned claims, next to the signature check alone.
fn verify(c: &mut Criterion) {
    for algorithm in ALGORITHMS {
        let token = good_token(algorithm);
        let mut group = c.benchmark_group(format!("verify/{algorithm}"));

        let raw = libraries::raw(algorithm, &token);
        assert!(raw());
        assert!(!libraries::raw(algorithm, &with_bad_signature(&token))());
        group.bench_function("raw", |b| b.iter(&raw));

        for (name, verify) in libraries::libraries(algorithm) {
            assert!(verify(&token), "{name} refuses {algorithm}");
            for (what, bad) in bad_tokens(algorithm) {
                assert!(!verify(&bad), "{name} accepts a bad {what} with {algorithm}");
            }
            group.bench_function(name, |b| b.iter(|| verify(black_box(&token))));
        }
        group.finish();
    }
}

/// A whole request with a valid token, next to the service that all of them guard.
fn middleware(c: &mut Criterion) {
    for algorithm in ALGORITHMS {
        let good = bearer(&good_token(algorithm));
        let mut group = c.benchmark_group(format!("middleware/{algorithm}"));
        let inner = ("inner", bare());
        for (name, mut handle) in std::iter::once(inner).chain(services(algorithm)) {
            assert_eq!(handle(request(Some(&good))), StatusCode::OK, "{name}: {algorithm}");
            if name != "inner" {
                assert_refuses(name, algorithm, &mut handle);
            }
            group.bench_function(name, |b| {
                b.iter(|| handle(request(Some(&good))));
            });
        }
        group.finish();
    }
}

/// The cost of a rejection, next to the service that the request never reaches.
fn refusals(c: &mut Criterion) {
    let algorithm = Algorithm::HS256;
    let random: String = (0..500_u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 26))
        .collect();
    let cases = [
        ("no_header", None),
        ("500_random_bytes", Some(random)),
        ("alg_none", Some(unsigned_token())),
        ("bad_signature", Some(with_bad_signature(&good_token(algorithm)))),
        ("8_KiB_of_garbage", Some("a".repeat(8 * 1024 + 1))),
    ];
    for (case, token) in cases {
        let credential = token.map(|token| bearer(&token));
        let mut group = c.benchmark_group(format!("refusals/{case}"));
        let inner = ("inner", bare());
        for (name, mut handle) in std::iter::once(inner).chain(services(algorithm)) {
            let status = handle(request(credential.as_ref()));
            assert_eq!(status == StatusCode::OK, name == "inner", "{name}: {case}");
            group.bench_function(name, |b| {
                b.iter(|| handle(request(credential.as_ref())));
            });
        }
        group.finish();
    }
}

fn assert_refuses(name: &str, algorithm: Algorithm, handle: &mut Handle) {
    for (what, bad) in bad_tokens(algorithm) {
        let status = handle(request(Some(&bearer(&bad))));
        assert_ne!(status, StatusCode::OK, "{name} accepts a bad {what} with {algorithm}");
    }
    assert_ne!(handle(request(None)), StatusCode::OK, "{name} accepts anyone");
}

fn bearer(token: &str) -> HeaderValue {
    HeaderValue::try_from(format!("Bearer {token}")).expect("printable")
}

criterion_group!(benches, verify, middleware, refusals);
criterion_main!(benches);
