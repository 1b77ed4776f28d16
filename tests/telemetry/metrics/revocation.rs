//! Revocation.

use std::time::Duration;

use futures_util::future::join;
use tower_bearer::{
    Authenticator, BoxFuture, RejectionKind, RevocationCache, UnixTime,
    claims::ManualClock,
    revocation::{
        Lookup, MemoryStore, OnUnavailable, Revocable, RevocationEntry, RevocationStore,
        StoreError, Verdict,
    },
    telemetry::Collector,
};

use super::recording::record;
use crate::common::requests::{NOW, authenticator, token, token_with};

/// A store that fails so.
pub(crate) struct Fails(pub(crate) fn() -> StoreError);

impl RevocationStore for Fails {
    fn look_up<'a>(&'a self, _: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        Box::pin(async { Err((self.0)()) })
    }

    fn revoke<'a>(&'a self, _: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

/// A store that takes this long over a question.
struct Slow(Duration);

impl RevocationStore for Slow {
    fn look_up<'a>(&'a self, _: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        Box::pin(async {
            let _ = tokio::time::timeout(self.0, std::future::pending::<()>()).await;
            Ok(Verdict::NotRevoked)
        })
    }

    fn revoke<'a>(&'a self, _: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

fn with(cache: &RevocationCache) -> Authenticator {
    authenticator().with_revocation(cache.clone())
}

fn cache(store: impl RevocationStore) -> RevocationCache {
    RevocationCache::new(store, Duration::from_secs(30))
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
}

#[test]
fn answers_are_counted_by_where_they_came_from_and_questions_are_timed() {
    let recorded = record(async {
        let cache = cache(Slow(Duration::from_millis(250)));
        let authenticator = with(&cache);
        let collector = Collector::new().add_authenticator(&authenticator);
        let token = token();
        let (one, other) =
            join(authenticator.authenticate(&token), authenticator.authenticate(&token)).await;
        assert!(one.is_ok() && other.is_ok());
        for _ in 0..3 {
            authenticator.authenticate(&token).await.unwrap();
        }
        cache.doubt();
        authenticator.authenticate(&token).await.unwrap();
        collector.add_revocation(&cache).collect();
    });
    assert_eq!(
        recorded.all("revocation_checks"),
        [
            (r#"revocation_checks_total{source="cached"}"#, 3.0),
            (r#"revocation_checks_total{source="looked_up"}"#, 2.0),
            (r#"revocation_checks_total{source="shared"}"#, 1.0),
        ]
    );
    let seconds =
        recorded.values(r#"revocation_look_up_seconds{store="store",outcome="not_revoked"}"#);
    assert_eq!(seconds.len(), 2);
    assert!(seconds.iter().all(|seconds| (0.25..0.3).contains(seconds)), "{seconds:?}");
    assert_eq!(recorded.all("revocation_doubts"), [("revocation_doubts_total{}", 1.0)]);
    assert_eq!(recorded.all("revocation_answers"), [("revocation_answers{}", 1.0)]);
    assert_eq!(recorded.all("revocation_in_flight"), [("revocation_in_flight{}", 0.0)]);
    assert_eq!(recorded.counted("revocation_errors"), []);
}

#[test]
fn a_store_failure_is_counted_and_so_is_the_decision_without_it() {
    let cases = [
        (OnUnavailable::Deny, "unavailable"),
        (OnUnavailable::Allow, "allowed"),
        (OnUnavailable::ServeStale(Duration::from_secs(60)), "unavailable"),
    ];
    for (on_unavailable, decision) in cases {
        let recorded = record(async {
            let cache = cache(Fails(|| StoreError::new("no"))).with_on_unavailable(on_unavailable);
            let authenticator = with(&cache);
            let _ = authenticator.authenticate(&token()).await;
            Collector::new().add_authenticator(&authenticator).collect();
        });
        assert_eq!(
            recorded.counted("revocation_errors"),
            [(r#"revocation_errors_total{kind="failed"}"#, 1.0)]
        );
        let unanswered = format!("revocation_unanswered_total{{decision={decision:?}}}");
        assert_eq!(recorded.counted("revocation_unanswered"), [(&*unanswered, 1.0)]);
        let failed =
            recorded.values(r#"revocation_look_up_seconds{store="store",outcome="failed"}"#);
        assert_eq!(failed.len(), 1);
    }
}

#[test]
fn lookups_are_timed_for_each_source() {
    let recorded = record(async {
        let failing = Fails(|| StoreError::new("no"));
        let cache = cache(Slow(Duration::from_millis(250))).with_source("partner", failing);
        let _ = with(&cache).authenticate(&token()).await;
    });
    for of_store in
        [r#"store="store",outcome="not_revoked""#, r#"store="partner",outcome="failed""#]
    {
        let seconds = recorded.values(&format!("revocation_look_up_seconds{{{of_store}}}"));
        assert_eq!(seconds.len(), 1, "{of_store}");
    }
}

#[test]
fn an_abandoned_lookup_is_timed_too() {
    let recorded = record(async {
        let cache = cache(Slow(Duration::from_secs(600)));
        let authenticator = with(&cache);
        let refused = authenticator.authenticate(&token()).await.unwrap_err();
        assert_eq!(refused.kind(), RejectionKind::RevocationUnavailable);
        Collector::new().add_authenticator(&authenticator).collect();
    });
    let [seconds] =
        *recorded.values(r#"revocation_look_up_seconds{store="store",outcome="abandoned"}"#)
    else {
        panic!("{recorded:?}")
    };
    assert!((1.0..1.1).contains(&seconds), "{seconds}");
    assert_eq!(
        recorded.counted("revocation_errors"),
        [(r#"revocation_errors_total{kind="timed_out"}"#, 1.0)]
    );
}

#[test]
fn denials_are_counted_and_a_revocation_of_the_store_is_too() {
    let recorded = record(async {
        let store = MemoryStore::new().with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
        let cache = cache(store.clone());
        let revoked = |id: &str| Revocable::token("https://issuer.example", id);
        cache
            .revoke(&RevocationEntry::new(revoked("here"), UnixTime::from_secs(NOW + 60)))
            .await
            .unwrap();
        store
            .revoke(&RevocationEntry::restored(
                revoked("elsewhere"),
                UnixTime::from_secs(NOW + 600),
            ))
            .await
            .unwrap();
        let authenticator = with(&cache);
        for id in ["here", "elsewhere"] {
            let token = token_with(&format!(r#""exp":{},"jti":"{id}""#, NOW + 60));
            assert!(authenticator.authenticate(&token).await.is_err());
        }
        Collector::new().add_authenticator(&authenticator).collect();
    });
    assert_eq!(recorded.all("revocation_denials"), [("revocation_denials{}", 2.0)]);
    assert_eq!(
        recorded.counted("revocation_checks"),
        [(r#"revocation_checks_total{source="looked_up"}"#, 1.0)]
    );
    assert_eq!(
        recorded.values(r#"revocation_look_up_seconds{store="store",outcome="revoked"}"#).len(),
        1
    );
}
