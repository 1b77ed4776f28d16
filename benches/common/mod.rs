//! Shared by the benches: one token shape, one policy, one service behind the layer.

#![allow(dead_code, reason = "each bench uses a part")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    time::Duration,
};

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Uri,
    header::{ACCEPT, AUTHORIZATION},
};
use http_body_util::{Empty, Full};
use jsonwebtoken as peer;
use serde::Deserialize;
use tower::{Service, service_fn, util::ServiceFn};
use tower_bearer::{
    Algorithm, Authenticator, AuthenticatorBuilder, Issuer, Key, RevocationCache,
    revocation::MemoryStore,
};

#[path = "../../tests/common/tokens.rs"]
pub(crate) mod tokens;

/// The tokens are valid from this time, for a long time: the benches use the system's clock, as services do.
const ISSUED_AT: u64 = 1_750_000_000;
const EXPIRES_AT: u64 = 4_000_000_000;
const KEY_ID: &str = "2026-11-key-1";

/// Owned claims of five strings, as a handler would use them.
#[derive(Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: String,
    pub(crate) jti: String,
    pub(crate) scope: String,
    pub(crate) exp: u64,
    pub(crate) iat: u64,
}

pub(crate) type Body = Empty<Bytes>;
pub(crate) type Outcome = Result<Response<Full<Bytes>>, Infallible>;
pub(crate) type Inner = ServiceFn<fn(Request<Body>) -> Ready<Outcome>>;

/// The service behind the layer. It reads the extensions and answers.
pub(crate) fn inner() -> Inner {
    service_fn(|request| {
        black_box(request.extensions().len());
        ready(Ok(Response::new(Full::from("ok"))))
    })
}

fn key(algorithm: Algorithm) -> Key {
    let pem = |name| Key::from_pem(algorithm, tokens::fixture(name));
    match algorithm {
        Algorithm::HS256 => Key::hs256(tokens::SECRET),
        Algorithm::RS256 | Algorithm::PS256 => pem("rsa2048.public.pem"),
        Algorithm::ES256 => pem("p256.public.pem"),
        Algorithm::ES384 => pem("p384.public.pem"),
        _ => pem("ed25519.public.pem"),
    }
    .expect("the test keys are good")
}

/// Trusts one issuer with one key.
pub(crate) fn builder(algorithm: Algorithm) -> AuthenticatorBuilder<Claims> {
    let issuer = Issuer::new("https://issuer.example", key(algorithm).with_key_id(KEY_ID))
        .audience("api://orders");
    Authenticator::builder().claims().issuer(issuer)
}

/// How an authenticator handles a token that it has verified before.
#[derive(Clone, Copy)]
pub(crate) enum Repeats {
    /// Verifies it again.
    Cold,
    /// Caches it, in a cache of this many bytes. HMAC tokens are cached too.
    Cached(u64),
}

impl Repeats {
    pub(crate) const CACHED: Self = Self::Cached(16 << 20);
}

pub(crate) fn authenticator(algorithm: Algorithm, repeats: Repeats) -> Authenticator<Claims> {
    let builder = builder(algorithm);
    let builder = match repeats {
        Repeats::Cold => builder.with_token_cache_capacity(0),
        Repeats::Cached(bytes) => builder.with_token_cache_capacity(bytes).cache_hmac_tokens(),
    };
    builder.build().expect("the policy is good")
}

/// The staleness bound is longer than the run of a bench.
pub(crate) fn revocation() -> RevocationCache {
    RevocationCache::new(MemoryStore::new(), Duration::from_secs(3_600))
}

fn header(algorithm: Algorithm) -> String {
    format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":"{KEY_ID}"}}"#)
}

fn claims(number: usize) -> String {
    format!(
        r#"{{"iss":"https://issuer.example","sub":"248289761001","aud":"api://orders","jti":"0b8f1f3e-6a5f-4a53-9b3e-{number:012x}","scope":"openid profile orders:read","iat":{ISSUED_AT},"exp":{EXPIRES_AT}}}"#
    )
}

/// A typical access token: seven claims, a `kid` in the header.
pub(crate) fn token(algorithm: Algorithm) -> String {
    numbered_tokens(algorithm, 0, 1).remove(0)
}

/// Tokens with different `jti`, numbered from `first`.
pub(crate) fn numbered_tokens(algorithm: Algorithm, first: usize, count: usize) -> Vec<String> {
    let header = header(algorithm);
    if algorithm == Algorithm::HS256 {
        // The fastest available signer, because there are up to a million tokens.
        let secret = hmac::Key::new(hmac::HMAC_SHA256, tokens::SECRET);
        let header = tokens::base64url(header);
        let sign = |number| {
            let input = format!("{header}.{}", tokens::base64url(claims(number)));
            let signature = tokens::base64url(hmac::sign(&secret, input.as_bytes()));
            format!("{input}.{signature}")
        };
        return (first..first + count).map(sign).collect();
    }
    let (algorithm, key) = match algorithm {
        Algorithm::RS256 => (peer::Algorithm::RS256, tokens::rsa_key()),
        Algorithm::PS256 => (peer::Algorithm::PS256, tokens::rsa_key()),
        Algorithm::ES256 => (peer::Algorithm::ES256, tokens::p256_key()),
        Algorithm::ES384 => (peer::Algorithm::ES384, tokens::p384_key()),
        _ => (peer::Algorithm::EdDSA, tokens::ed25519_key()),
    };
    let sign = |number| tokens::sign(algorithm, &key, &header, &claims(number));
    (first..first + count).map(sign).collect()
}

/// A token that is bound to what this member of `cnf` names.
pub(crate) fn bound_token(member: &str, thumbprint: &str) -> String {
    let claims =
        claims(0).replace(r#","exp""#, &format!(r#","cnf":{{"{member}":"{thumbprint}"}},"exp""#));
    tokens::sign(peer::Algorithm::ES256, &tokens::p256_key(), &header(Algorithm::ES256), &claims)
}

pub(crate) fn credential(token: &str) -> HeaderValue {
    HeaderValue::try_from(format!("Bearer {token}")).expect("printable")
}

/// A request as a server makes it from the bytes that it has read: two headers whose bytes are already in memory.
pub(crate) fn request(credential: Option<&HeaderValue>) -> Request<Body> {
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = Uri::from_static("/orders");
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(credential) = credential {
        request.headers_mut().insert(AUTHORIZATION, credential.clone());
    }
    request
}

/// One request for each kind of rejection with 401.
pub(crate) fn bad_credentials() -> [(&'static str, Option<HeaderValue>); 5] {
    let good = token(Algorithm::HS256);
    let (unsigned, signature) = good.rsplit_once('.').expect("a compact token");
    // A different first character is a different signature of the same length, in correct base64url.
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let bad_signature = format!("{unsigned}.{other}{}", &signature[1..]);
    let (_, claims) = unsigned.split_once('.').expect("a compact token");
    let none = format!("{}.{claims}.", tokens::base64url(r#"{"alg":"none"}"#));
    let letter = |n: u32| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 24) as u8 % 26);
    let random: String = (0..500).map(letter).collect();
    let case = |name, token: String| (name, Some(credential(&token)));
    [
        ("no_header", None),
        case("500_random_bytes", random),
        case("alg_none", none),
        case("bad_hs256_signature", bad_signature),
        case("one_byte_over_the_limit", "a".repeat(8 * 1024 + 1)),
    ]
}

/// Xorshift: sufficiently random, and the same numbers in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// A number below `bound`. The probability of each number is in inverse proportion to its rank (Zipf's law).
    pub(crate) fn zipf(&mut self, bound: usize) -> usize {
        let share = self.below(1 << 24) as f64 / f64::from(1 << 24);
        let rank = (bound as f64 + 1.0).powf(share) as usize;
        rank.clamp(1, bound) - 1
    }
}

/// The response of a service that is always ready.
pub(crate) fn call<S>(service: &mut S, request: Request<Body>) -> S::Response
where
    S: Service<Request<Body>, Error = Infallible>,
{
    use futures_util::FutureExt as _;

    let response = service.call(request).now_or_never().expect("nothing to wait for");
    response.unwrap_or_else(|never| match never {})
}
