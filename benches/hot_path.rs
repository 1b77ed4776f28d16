//! Measures the cost of the crate in addition to the cryptography and to the guarded service.
//!
//! Every group has its own floor in the same run (`raw/*`, `inner`). Compare within a run, and quote ratios.

use std::hint::black_box;

use aws_lc_rs::{hmac, signature as sig};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::HeaderValue;
use tower::Layer;
use tower_bearer::{Algorithm, BearerLayer};

mod common;

use common::{
    Random, Repeats, authenticator, bad_credentials, call, credential, inner, numbered_tokens,
    request, revocation, token, tokens,
};

const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::HS256,
    Algorithm::RS256,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Only the signature check, on decoded bytes and with a parsed key.
fn raw_verification(algorithm: Algorithm, token: &str) -> impl Fn() -> bool + use<> {
    let (signing_input, signature) = token.rsplit_once('.').expect("a compact token");
    let signing_input = signing_input.as_bytes().to_vec();
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, tokens::SECRET);
    let der = |name: &str| {
        let pem = tokens::fixture(name);
        let text: String = std::str::from_utf8(&pem)
            .expect("PEM is text")
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
    };
    let parsed = |verification: &'static dyn sig::VerificationAlgorithm, name: &str| {
        Some(sig::ParsedPublicKey::new(verification, der(name)).expect("the test keys are good"))
    };
    let public_key = match algorithm {
        Algorithm::RS256 => parsed(&sig::RSA_PKCS1_2048_8192_SHA256, "rsa2048.public.pem"),
        Algorithm::PS256 => parsed(&sig::RSA_PSS_2048_8192_SHA256, "rsa2048.public.pem"),
        Algorithm::ES256 => parsed(&sig::ECDSA_P256_SHA256_FIXED, "p256.public.pem"),
        Algorithm::ES384 => parsed(&sig::ECDSA_P384_SHA384_FIXED, "p384.public.pem"),
        Algorithm::EdDSA => parsed(&sig::ED25519, "ed25519.public.pem"),
        _ => None,
    };
    move || match &public_key {
        Some(key) => key.verify_sig(&signing_input, &signature).is_ok(),
        None => hmac::verify(&hmac_key, &signing_input, &signature).is_ok(),
    }
}

/// Verification without a service, next to its cryptography.
fn cold_verification(c: &mut Criterion) {
    let mut group = c.benchmark_group("cold_verification");
    for algorithm in ALGORITHMS {
        let token = token(algorithm);
        let raw = raw_verification(algorithm, &token);
        assert!(raw());
        group.bench_function(BenchmarkId::new("raw", algorithm), |b| b.iter(&raw));
        let authenticator = authenticator(algorithm, Repeats::Cold);
        let verify = || {
            let outcome = authenticator.authenticate(black_box(&token)).now_or_never();
            outcome.expect("nothing to wait for").expect("a good token")
        };
        group.bench_function(BenchmarkId::new("verifier", algorithm), |b| b.iter(verify));
    }
    group.finish();
}

/// The layer around a trivial service, next to that service alone. With and without a revocation lookup that the cache
/// answers. The measurement includes making the request and dropping the response, as on a server.
fn whole_layer(c: &mut Criterion) {
    let mut group = c.benchmark_group("whole_layer");
    let mut bare = inner();
    let good = credential(&token(Algorithm::HS256));
    group.bench_function("inner", |b| b.iter(|| call(&mut bare, request(Some(&good)))));
    for algorithm in ALGORITHMS {
        let credential = credential(&token(algorithm));
        let around = |authenticator| BearerLayer::new(authenticator).layer(inner());
        let cold = || authenticator(algorithm, Repeats::Cold);
        let remembered = authenticator(algorithm, Repeats::CACHED);
        for (name, mut service) in [
            ("cold", around(cold())),
            ("cold_with_revocation_hit", around(cold().with_revocation(revocation()))),
            ("repeat_with_revocation", around(remembered.with_revocation(revocation()))),
        ] {
            // The first request fills the caches. It never waits, because the store is in memory.
            let first = call(&mut service, request(Some(&credential)));
            assert_eq!(first.status(), 200);
            group.bench_function(BenchmarkId::new(name, algorithm), |b| {
                b.iter(|| call(&mut service, request(Some(&credential))));
            });
        }
    }
    group.finish();
}

/// A thousand tokens. Some occur far more often than others (Zipf's law).
fn many_users(c: &mut Criterion) {
    let mut group = c.benchmark_group("1000_tokens_zipf");
    for algorithm in [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256] {
        let tokens = numbered_tokens(algorithm, 0, 1_000);
        let credentials: Vec<_> = tokens.iter().map(|token| credential(token)).collect();
        let mut random = Random(1);
        let order: Vec<_> = (0..1 << 14).map(|_| random.zipf(credentials.len())).collect();
        let mut turns = order.iter().cycle();
        let mut next = || &credentials[*turns.next().expect("the iterator is endless")];

        let mut bare = inner();
        group.bench_function(BenchmarkId::new("inner", algorithm), |b| {
            b.iter(|| call(&mut bare, request(Some(next()))));
        });
        let remembered = authenticator(algorithm, Repeats::CACHED).with_revocation(revocation());
        let mut service = BearerLayer::new(remembered).layer(inner());
        for credential in &credentials {
            assert_eq!(call(&mut service, request(Some(credential))).status(), 200);
        }
        group.bench_function(BenchmarkId::new("repeat_with_revocation", algorithm), |b| {
            b.iter(|| call(&mut service, request(Some(next()))));
        });
    }
    group.finish();
}

/// Tokens that are not cached when they arrive, with the cache off and with a cache that then stores them.
fn first_sight(c: &mut Criterion) {
    let mut group = c.benchmark_group("first_sight");
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        // Far more tokens than the cache can hold. So each is evicted before it occurs again.
        let tokens = numbered_tokens(algorithm, 0, 500);
        let small_cache = Repeats::Cached(64 << 10);
        for (name, repeats) in [("cache_off", Repeats::Cold), ("cache_on", small_cache)] {
            let authenticator = authenticator(algorithm, repeats);
            let mut turns = tokens.iter().cycle();
            group.bench_function(BenchmarkId::new(name, algorithm), |b| {
                b.iter(|| {
                    let token = turns.next().expect("the iterator is endless");
                    let outcome = authenticator.authenticate(black_box(token)).now_or_never();
                    outcome.expect("nothing to wait for").expect("a good token")
                });
            });
        }
    }
    group.finish();
}

/// Rejected requests, next to the inner service that they never reach.
fn refusals(c: &mut Criterion) {
    let mut group = c.benchmark_group("refusals");
    let mut bare = inner();
    group.bench_function("inner", |b| b.iter(|| call(&mut bare, request(None))));
    let good = credential(&token(Algorithm::HS256));
    for (name, credential) in bad_credentials() {
        let credential: Option<HeaderValue> = credential;
        let authenticator = authenticator(Algorithm::HS256, Repeats::Cold);
        let mut service = BearerLayer::new(authenticator).layer(inner());
        // A service has verified valid tokens before, and knows their header.
        assert_eq!(call(&mut service, request(Some(&good))).status(), 200);
        assert_eq!(call(&mut service, request(credential.as_ref())).status(), 401, "{name}");
        group.bench_function(name, |b| {
            b.iter(|| call(&mut service, request(credential.as_ref())));
        });
    }
    group.finish();
}

criterion_group!(benches, cold_verification, whole_layer, many_users, first_sight, refusals);
criterion_main!(benches);
