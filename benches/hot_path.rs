//! Measures the cost of the crate in addition to the cryptography and to the guarded service.
//!
//! Every group has its own floor in the same run (`raw/*`, `inner`). Compare within a run, and quote ratios.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aws_lc_rs::{hmac, signature as sig};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::HeaderValue;
use tower::Layer;
use tower_bearer::{
    Algorithm, BearerLayer,
    client_certificate::{CertificateSource, ClientCertificate},
    dpop::Dpop,
    test_util::ProofKey,
};

mod common;

use common::{
    Random, Repeats, authenticator, bad_credentials, bound_token, call, credential, inner,
    numbered_tokens, request, revocation, token, tokens,
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

/// A DPoP request whose token is in the cache, next to the signature check of its proof. Each request has a new proof:
/// otherwise it would be a replay.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn dpop(c: &mut Criterion) {
    const PROOFS: usize = 4_096;

    let mut group = c.benchmark_group("dpop");
    let key = ProofKey::new();
    let token = bound_token("jkt", &key.thumbprint());
    let credential = HeaderValue::try_from(format!("DPoP {token}")).expect("a header value");
    let with_proof = |proof: &HeaderValue| {
        let mut request = request(Some(&credential));
        request.headers_mut().insert("dpop", proof.clone());
        request
    };
    let url = format!("https://api.example{}", request(None).uri().path());
    let proofs = (0..PROOFS).map(|_| key.proof("GET", &url, &token).issue());
    let raw: Vec<_> = proofs.map(|proof| raw_proof_verification(&proof)).collect();
    assert!(raw.iter().all(|verifies| verifies()));
    // With one signature over and over, the processor would predict every branch.
    let mut next = raw.iter().cycle();
    group.bench_function("raw/ES256", |b| {
        b.iter(|| next.next().is_some_and(|verifies| verifies()));
    });
    let mut bare = inner();
    let any = key.proof("GET", &url, &token).value();
    group.bench_function("inner", |b| b.iter(|| call(&mut bare, with_proof(&any))));
    let remembered = authenticator(Algorithm::ES256, Repeats::CACHED).with_revocation(revocation());
    let layer = BearerLayer::new(remembered);
    group.bench_function("cached_token", |b| {
        b.iter_custom(|count| {
            let mut took = Duration::ZERO;
            let mut left = count;
            while left > 0 {
                let now = left.min(PROOFS as u64);
                let proofs: Vec<_> =
                    (0..now).map(|_| key.proof("GET", &url, &token).value()).collect();
                let dpop = Dpop::new(["https://api.example"]).expect("a URL");
                let mut service = layer.clone().with_dpop(dpop).layer(inner());
                // The first proof fills the caches.
                let first = key.proof("GET", &url, &token).value();
                assert_eq!(call(&mut service, with_proof(&first)).status(), 200);
                let begin = Instant::now();
                for proof in &proofs {
                    black_box(call(&mut service, with_proof(proof)));
                }
                took += begin.elapsed();
                left -= now;
            }
            took
        });
    });
    group.finish();
}

/// A request whose token is in the cache and bound to the client certificate, next to one with an unbound token.
fn client_certificate(c: &mut Criterion) {
    let mut group = c.benchmark_group("client_certificate");
    let certificate = ClientCertificate::from_der(&[7; 800]);
    let unbound = token(Algorithm::ES256);
    let bound = bound_token("x5t#S256", &certificate.thumbprint().to_string());
    let remembered = authenticator(Algorithm::ES256, Repeats::CACHED).with_revocation(revocation());
    let layer =
        BearerLayer::new(remembered).with_client_certificates(CertificateSource::extension());
    let mut service = layer.layer(inner());
    for (name, token) in [("cached_token", unbound), ("cached_bound_token", bound)] {
        let credential = credential(&token);
        let with_certificate = || {
            let mut request = request(Some(&credential));
            request.extensions_mut().insert(certificate);
            request
        };
        assert_eq!(call(&mut service, with_certificate()).status(), 200);
        group.bench_function(name, |b| b.iter(|| call(&mut service, with_certificate())));
    }
    group.finish();
}

/// The check of the signature of a proof, with the key in its header.
fn raw_proof_verification(proof: &str) -> impl Fn() -> bool + use<> {
    let parts: Vec<&str> = proof.split('.').collect();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let header: serde_json::Value =
        serde_json::from_slice(&decode(parts[0])).expect("a header is JSON");
    let coordinate = |name: &str| decode(header["jwk"][name].as_str().expect("a coordinate"));
    let point = [&[4], &*coordinate("x"), &*coordinate("y")].concat();
    let key = sig::ParsedPublicKey::new(&sig::ECDSA_P256_SHA256_FIXED, point).expect("a key");
    let (signed, signature) = (format!("{}.{}", parts[0], parts[1]), decode(parts[2]));
    move || key.verify_sig(signed.as_bytes(), &signature).is_ok()
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

criterion_group!(
    benches,
    cold_verification,
    whole_layer,
    dpop,
    client_certificate,
    many_users,
    first_sight,
    refusals
);
criterion_main!(benches);
