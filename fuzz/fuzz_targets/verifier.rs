//! Compares the decision on a token with three others: the second implementation of the policy, jsonwebtoken with its
//! strictest options, and this crate with and without the token cache.
//!
//! 1. This crate accepts the same tokens as the policy.
//! 2. If this crate accepts a token, jsonwebtoken accepts it with the same claims. The exceptions
//!    are listed in `tests/tokens/differential.rs`.
//! 3. A token that is sent again gets the same answer, with and without the token cache.
//! 4. No changed text of a token is accepted, before and after the token is in the cache.

#![no_main]

use arbitrary::Arbitrary;
use http::{HeaderValue, Request, Response, StatusCode, header::AUTHORIZATION};
use jsonwebtoken::Validation;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use std::{convert::Infallible, sync::LazyLock};
use tower::{Layer, ServiceExt, service_fn};
use tower_bearer::{
    Authenticator, BearerLayer, Issuer, RejectionKind, UnixTime, claims::ManualClock,
};
use tower_bearer_fuzz::{
    AUDIENCE, ISSUER, block_on,
    mutation::{ALWAYS, Mutation},
    policy::judge,
    signer::Signer,
    token::Token,
    trusted,
};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    token: Token<'a>,
    mutations: Vec<Mutation<'a>>,
}

type Decision = Result<Map<String, Value>, RejectionKind>;

static TRUSTED: LazyLock<Issuer> = LazyLock::new(|| trusted::issuer(trusted::keys()));

fuzz_target!(|input: Input<'_>| {
    // The system time, because jsonwebtoken always uses it.
    let now = jsonwebtoken::get_current_timestamp();
    let texts = input.token.render(now);
    let token = &*texts.token;
    let plain = authenticator(now, 0);
    let caching = authenticator(now, 64 * 1024);

    let ours = decide(&plain, token);
    for again in [&caching, &caching, &plain] {
        assert_eq!(decide(again, token), ours, "sent again");
    }

    let policy = judge(token, now);
    assert_eq!(ours.is_ok(), policy.is_ok(), "{ours:?}, but the policy gives {policy:?}");

    let theirs = theirs(input.token.signer, token);
    let without_ignored = match (&ours, &theirs, &texts.without_ignored) {
        (Ok(_), None, Some(token)) => self::theirs(input.token.signer, token),
        _ => None,
    };
    // Compare only within the same second. Otherwise the two have used different times.
    if jsonwebtoken::get_current_timestamp() == now {
        match (&ours, theirs.or(without_ignored)) {
            (Ok(ours), Some(theirs)) => assert_eq!(*ours, theirs),
            (Ok(_), None) => assert!(texts.has_fractions, "only we accept {token}"),
            (Err(_), Some(_)) => {
                let rule = policy.expect_err("both reject");
                // jsonwebtoken accepts an array that contains the issuer's name (`tests/tokens/differential.rs`). The
                // policy calls that "iss array".
                assert!(!matches!(rule, "signature" | "compact" | "alg" | "iss"), "{rule}");
            }
            (Err(_), None) => {}
        }
    }

    if ours.is_ok() {
        let changes = ALWAYS.iter().chain(input.mutations.iter().take(16));
        for mutation in changes {
            let changed = mutation.of(token);
            if changed != token.as_bytes() {
                check_is_rejected(&plain, &caching, &changed, token, mutation);
            }
        }
        assert_eq!(decide(&caching, token), ours, "after the changed texts");
    }
});

fn authenticator(now: u64, cache: u64) -> Authenticator {
    let builder = Authenticator::builder()
        .issuer(TRUSTED.clone())
        .with_clock(ManualClock::at(UnixTime::from_secs(now)))
        .with_token_cache_capacity(cache)
        .cache_hmac_tokens();
    builder.build().unwrap()
}

fn decide(authenticator: &Authenticator, token: &str) -> Decision {
    block_on(authenticator.authenticate(token))
        .map(|user| user.claims().as_map().clone())
        .map_err(|rejection| rejection.kind())
}

fn theirs(signer: Signer, token: &str) -> Option<Map<String, Value>> {
    let mut strictest = Validation::new(signer.theirs());
    strictest.leeway = 30;
    strictest.validate_nbf = true;
    strictest.set_audience(&[AUDIENCE]);
    strictest.set_issuer(&[ISSUER]);
    strictest.set_required_spec_claims(&["exp", "iss", "aud"]);
    jsonwebtoken::decode(token, signer.their_key(), &strictest).ok().map(|token| token.claims)
}

/// Checks the text directly without the cache, and in a request with the cache. Bytes that are not UTF-8 can occur only
/// in a request.
fn check_is_rejected(
    plain: &Authenticator,
    caching: &Authenticator,
    bytes: &[u8],
    token: &str,
    mutation: &Mutation<'_>,
) {
    if let Ok(text) = str::from_utf8(bytes) {
        assert!(decide(plain, text).is_err(), "{mutation:?} of {token}");
    }
    let Ok(header) = HeaderValue::from_bytes(&[b"Bearer ", bytes].concat()) else { return };
    // There may be several spaces before a token (RFC 9110 section 11.4).
    if bytes.trim_ascii_start() == token.as_bytes() {
        return;
    }
    let open = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(())));
    let service = BearerLayer::new(caching.clone()).layer(open);
    let request = Request::get("/").header(AUTHORIZATION, header).body(String::new()).unwrap();
    let status = block_on(service.oneshot(request)).unwrap().status();
    assert!(
        matches!(status, StatusCode::UNAUTHORIZED | StatusCode::BAD_REQUEST),
        "{status} for {mutation:?} of {token}"
    );
}
