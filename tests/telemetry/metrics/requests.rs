//! Decisions and the token cache.

use std::time::Duration;

use http::{Method, header};
use tower::Layer;
use tower_bearer::{
    Algorithm, Authenticator, BearerLayer, Issuer, Key, RejectionKind, RevocationCache, UnixTime,
    claims::ManualClock,
    revocation::{MemoryStore, StoreError},
    telemetry::Collector,
};

use super::{recording::record, revocation::Fails};
use crate::common::{
    requests::{NOW, authenticator, body, builder, get, open, send, token, token_for, with_bearer},
    tokens::{fixture, p256_key, sign},
};

#[test]
fn each_decision_is_counted_once_by_outcome_and_reason() {
    let recorded = record(async {
        let authenticator = authenticator();
        let collector = Collector::new().add_authenticator(&authenticator);
        let strict = BearerLayer::new(authenticator);
        let lax = strict.clone().optional().allow_cors_preflight();
        let preflight = || {
            let request =
                get("/").method(Method::OPTIONS).header(header::ORIGIN, "https://a.example");
            body(request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET"))
        };
        for _ in 0..3 {
            send(strict.layer(open()), with_bearer(&token())).await.assert_passed();
        }
        send(strict.layer(open()), with_bearer("a.b")).await;
        send(strict.layer(open()), body(get("/"))).await;
        send(lax.layer(open()), with_bearer("a.b")).await;
        send(lax.layer(open()), with_bearer(&token())).await.assert_passed();
        send(lax.layer(open()), body(get("/"))).await.assert_passed();
        send(lax.layer(open()), preflight()).await.assert_passed();
        let scoped = strict.require_scopes(["admin"]);
        send(strict.layer(scoped.layer(open())), with_bearer(&token_for("admin"))).await;
        send(strict.layer(scoped.layer(open())), with_bearer(&token_for("user"))).await;
        collector.collect();
        collector.collect();
    });
    assert_eq!(
        recorded.counted("decisions"),
        [
            (r#"decisions_total{decision="allowed",reason="anonymous"}"#, 1.0),
            (r#"decisions_total{decision="allowed",reason="preflight"}"#, 1.0),
            (r#"decisions_total{decision="allowed",reason="token"}"#, 6.0),
            (r#"decisions_total{decision="rejected",reason="insufficient_scope"}"#, 1.0),
            (r#"decisions_total{decision="rejected",reason="malformed_token"}"#, 2.0),
            (r#"decisions_total{decision="rejected",reason="missing_credential"}"#, 1.0),
        ]
    );
}

#[test]
fn a_request_that_had_to_wait_is_counted_like_others() {
    let recorded = record(async {
        let authenticator = builder().add_async_check(async |_| Ok(())).build().unwrap();
        let collector = Collector::new().add_authenticator(&authenticator);
        let waiting = BearerLayer::new(authenticator.clone());
        send(waiting.layer(open()), with_bearer(&token())).await.assert_passed();
        let store = Fails(|| StoreError::new("no"));
        let cache = RevocationCache::new(store, Duration::ZERO);
        let failing = BearerLayer::new(authenticator.with_revocation(cache));
        let refused = send(failing.layer(open()), with_bearer(&token())).await;
        assert_eq!(refused.rejection, Some(RejectionKind::RevocationUnavailable));
        collector.collect();
    });
    assert_eq!(
        recorded.counted("decisions"),
        [
            (r#"decisions_total{decision="allowed",reason="token"}"#, 1.0),
            (r#"decisions_total{decision="unavailable",reason="revocation_unavailable"}"#, 1.0),
        ]
    );
}

/// A good token of a key whose tokens are remembered.
fn remembered(id: &str) -> String {
    let claims = format!(
        r#"{{"iss":"https://issuer.example","aud":"api://orders","jti":"{id}","exp":{}}}"#,
        NOW + 60
    );
    sign(jsonwebtoken::Algorithm::ES256, &p256_key(), r#"{"alg":"ES256"}"#, &claims)
}

fn remembering() -> Authenticator {
    let key = Key::from_pem(Algorithm::ES256, fixture("p256.public.pem")).unwrap();
    let issuer = Issuer::new("https://issuer.example", key).audience("api://orders");
    let authenticator = Authenticator::builder().issuer(issuer);
    authenticator.with_clock(ManualClock::at(UnixTime::from_secs(NOW))).build().unwrap()
}

#[test]
fn cached_tokens_are_hits_and_invalid_tokens_are_not_counted() {
    let (one, other) = (remembered("one"), remembered("other"));
    let recorded = record(async {
        let authenticator = remembering();
        for token in [&one, &one, &one, &other, "a.b.c", &one[..one.len() - 4]] {
            let _ = authenticator.authenticate(token).await;
        }
        // Another cache, over the same authenticator.
        let again = authenticator
            .clone()
            .with_revocation(RevocationCache::new(MemoryStore::new(), Duration::ZERO));
        again.authenticate(&other).await.unwrap();
        let collector =
            Collector::new().add_authenticator(&authenticator).add_authenticator(&again);
        collector.collect();
    });
    assert_eq!(
        recorded.all("token_cache_total"),
        [
            (r#"token_cache_total{outcome="hit"}"#, 3.0),
            (r#"token_cache_total{outcome="miss"}"#, 2.0),
        ]
    );
    assert_eq!(recorded.all("token_cache_entries"), [("token_cache_entries{}", 2.0)]);
    let [(_, bytes)] = *recorded.all("token_cache_bytes") else { panic!("{recorded:?}") };
    assert!(bytes > (one.len() + other.len()) as f64);
}

#[test]
fn parts_of_one_kind_are_added_up_and_clones_are_one_part() {
    let recorded = record(async {
        let (one, other) = (remembering(), remembering());
        for (authenticator, id) in [(&one, "one"), (&other, "other")] {
            let layer = BearerLayer::new(authenticator.clone());
            send(layer.layer(open()), with_bearer(&remembered(id))).await.assert_passed();
        }
        let collector = Collector::new().add_authenticator(&one).add_authenticator(&other);
        collector.add_authenticator(&one.clone()).collect();
    });
    assert_eq!(recorded.all("token_cache_entries"), [("token_cache_entries{}", 2.0)]);
    assert_eq!(
        recorded.counted("decisions"),
        [(r#"decisions_total{decision="allowed",reason="token"}"#, 2.0)]
    );
}

#[test]
fn without_a_token_cache_there_are_no_metrics_of_it() {
    let recorded = record(async {
        let authenticator = builder().with_token_cache_capacity(0).build().unwrap();
        Collector::new().add_authenticator(&authenticator).collect();
    });
    assert_eq!(recorded.all("token_cache"), []);
}
