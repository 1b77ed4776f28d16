//! What the crate adds to the cryptography and to the service it guards.
//!
//! Every group has its own floor in the same run (`raw/*`, `inner`): compare within a run, quote ratios.

use std::{convert::Infallible, hint::black_box, time::Duration};

use aws_lc_rs::{hmac, signature as sig};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::{Empty, Full};
use jsonwebtoken as peer;
use serde::Deserialize;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_bearer::{
    Algorithm, Authenticator, BearerLayer, Issuer, Key, RevocationCache, Verifier,
    claims::ManualClock, revocation::MemoryStore,
};

#[path = "../tests/common/tokens.rs"]
mod tokens;

const NOW: u64 = 1_800_000_000;
const ALGORITHMS: [Algorithm; 6] = [
    Algorithm::HS256,
    Algorithm::RS256,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

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

fn key(algorithm: Algorithm) -> Key {
    match algorithm {
        Algorithm::HS256 => Key::hs256(tokens::SECRET),
        Algorithm::RS256 | Algorithm::PS256 => {
            Key::from_pem(algorithm, tokens::fixture("rsa2048.public.pem"))
        }
        Algorithm::ES256 => Key::from_pem(algorithm, tokens::fixture("p256.public.pem")),
        Algorithm::ES384 => Key::from_pem(algorithm, tokens::fixture("p384.public.pem")),
        _ => Key::from_pem(algorithm, tokens::fixture("ed25519.public.pem")),
    }
    .expect("the test keys are good")
}

/// A typical access token: seven claims, a `kid` in the header.
fn token(algorithm: Algorithm) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":"2026-11-key-1"}}"#);
    let claims = format!(
        r#"{{"iss":"https://issuer.example","sub":"248289761001","aud":"api://orders","jti":"0b8f1f3e-6a5f-4a53-9b3e-0f6f1b8f7a11","scope":"openid profile orders:read","iat":{NOW},"exp":{}}}"#,
        NOW + 3_600
    );
    let (algorithm, key) = match algorithm {
        Algorithm::HS256 => {
            (peer::Algorithm::HS256, peer::EncodingKey::from_secret(tokens::SECRET))
        }
        Algorithm::RS256 => (peer::Algorithm::RS256, tokens::rsa_key()),
        Algorithm::PS256 => (peer::Algorithm::PS256, tokens::rsa_key()),
        Algorithm::ES256 => (peer::Algorithm::ES256, tokens::p256_key()),
        Algorithm::ES384 => (peer::Algorithm::ES384, tokens::p384_key()),
        _ => (peer::Algorithm::EdDSA, tokens::ed25519_key()),
    };
    tokens::sign(algorithm, &key, &header, &claims)
}

/// What an authenticator does with tokens that it has seen.
#[derive(Clone, Copy)]
enum Repeats {
    /// Verifies them again.
    Cold,
    /// Remembers them, HMAC too.
    Remembered,
}

fn authenticator(algorithm: Algorithm, repeats: Repeats) -> Authenticator<Claims> {
    let issuer = Issuer::new("https://issuer.example", key(algorithm).with_key_id("2026-11-key-1"))
        .audience("api://orders");
    let verifier = Verifier::builder().issuer(issuer).with_clock(ManualClock::at(NOW));
    let verifier = match repeats {
        Repeats::Cold => verifier.with_token_cache_capacity(0),
        Repeats::Remembered => verifier.cache_hmac_tokens(),
    };
    let verifier = verifier.build().expect("the policy is good");
    Authenticator::new(verifier)
}

fn revocation() -> RevocationCache {
    RevocationCache::new(MemoryStore::new(), Duration::from_secs(3_600))
}

/// The signature check alone, on decoded bytes and with a key that is parsed and held.
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

/// Verification without a service around it, beside its cryptography.
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

type Body = Empty<Bytes>;

async fn inner(request: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    black_box(request.extensions().len());
    Ok(Response::new(Full::from("ok")))
}

fn request(credential: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri("/orders").header("accept", "*/*");
    if let Some(credential) = credential {
        request = request.header(AUTHORIZATION, credential);
    }
    request.body(Empty::new()).expect("a good request")
}

/// One whole request through a service that is always ready.
fn call<S>(service: &mut S, request: Request<Body>) -> S::Response
where
    S: Service<Request<Body>, Error = Infallible>,
{
    let ready = service.ready().now_or_never().expect("always ready");
    let response = ready.unwrap_or_else(|never| match never {}).call(request);
    match response.now_or_never().expect("nothing to wait for") {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The layer around a trivial service, beside that service alone; with and without a revocation look-up that
/// the cache answers.
fn whole_layer(c: &mut Criterion) {
    let mut group = c.benchmark_group("whole_layer");
    let mut bare = service_fn(inner);
    group.bench_function("inner", |b| {
        let credential = format!("Bearer {}", token(Algorithm::HS256));
        b.iter_batched(
            || request(Some(&credential)),
            |request| call(&mut bare, request),
            criterion::BatchSize::SmallInput,
        );
    });
    for algorithm in ALGORITHMS {
        let credential = format!("Bearer {}", token(algorithm));
        let around = |authenticator| BearerLayer::new(authenticator).layer(service_fn(inner));
        let cold = || authenticator(algorithm, Repeats::Cold);
        let remembered = authenticator(algorithm, Repeats::Remembered);
        for (name, mut service) in [
            ("cold", around(cold())),
            ("cold_with_revocation_hit", around(cold().with_revocation(revocation()))),
            ("repeat_with_revocation", around(remembered.with_revocation(revocation()))),
        ] {
            // The first request fills the caches; an in-memory store never makes it wait.
            let first = call(&mut service, request(Some(&credential)));
            assert_eq!(first.status(), 200);
            group.bench_function(BenchmarkId::new(name, algorithm), |b| {
                b.iter_batched(
                    || request(Some(&credential)),
                    |request| call(&mut service, request),
                    criterion::BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

/// What is turned away, beside the inner service that it never reaches.
fn refusals(c: &mut Criterion) {
    let mut group = c.benchmark_group("refusals");
    let good = token(Algorithm::HS256);
    let (unsigned, signature) = good.rsplit_once('.').expect("a compact token");
    // Another first character is another signature, of the same length and as well encoded.
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let bad_signature = format!("{unsigned}.{other}{}", &signature[1..]);
    let (_, claims) = unsigned.split_once('.').expect("a compact token");
    let none = format!("{}.{claims}.", tokens::base64url(r#"{"alg":"none"}"#));
    let random: String = (0..500_u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 26))
        .collect();
    let cases = [
        ("no_header", None, 401),
        ("500_random_bytes", Some(random), 401),
        ("alg_none", Some(none), 401),
        ("bad_hs256_signature", Some(bad_signature), 401),
        ("one_byte_over_the_limit", Some("a".repeat(8 * 1024 + 1)), 401),
    ];
    let mut bare = service_fn(inner);
    group.bench_function("inner", |b| {
        b.iter_batched(
            || request(None),
            |request| call(&mut bare, request),
            criterion::BatchSize::SmallInput,
        );
    });
    for (name, token, status) in cases {
        let mut service = BearerLayer::new(authenticator(Algorithm::HS256, Repeats::Cold))
            .layer(service_fn(inner));
        let credential = token.map(|token| format!("Bearer {token}"));
        assert_eq!(call(&mut service, request(credential.as_deref())).status(), status, "{name}");
        group.bench_function(name, |b| {
            b.iter_batched(
                || request(credential.as_deref()),
                |request| call(&mut service, request),
                criterion::BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, cold_verification, whole_layer, refusals);
criterion_main!(benches);
