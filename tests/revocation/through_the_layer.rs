//! Revocation as a client sees it, through the layer: what is refused, from when on, and what happens while nobody
//! can tell.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use http::StatusCode;
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{
    Authenticator, BearerLayer, RejectionKind, RevocationCache, UnixTime,
    claims::{MAX_LEEWAY, ManualClock},
    revocation::{
        MemoryStore, OnUnavailable, Revocable, RevocationEntry, RevocationStore, Verdict,
    },
    test_util::{FakeStore, StoreBehavior},
};

use crate::common::requests::{NOW, issuer, open, send, token_with, with_bearer};

const BOUND: Duration = Duration::from_secs(30);

const NOT_REVOKED: StoreBehavior = StoreBehavior::Answers(Verdict::NotRevoked);

/// A layer with a revocation cache in front of `store`, all on one clock.
struct Guard {
    clock: ManualClock,
    revocation: RevocationCache,
    layer: BearerLayer,
}

impl Guard {
    fn new(store: impl RevocationStore, on_unavailable: OnUnavailable) -> Self {
        let clock = ManualClock::at(UnixTime::from_secs(NOW));
        let revocation = RevocationCache::new(store, BOUND)
            .with_clock(clock.clone())
            .with_on_unavailable(on_unavailable);
        let authenticator = Authenticator::builder()
            .issuer(issuer().with_leeway(MAX_LEEWAY))
            .with_clock(clock.clone())
            .build()
            .unwrap();
        let layer = BearerLayer::new(authenticator.with_revocation(revocation.clone()));
        Self { clock, revocation, layer }
    }

    /// In force here, whatever comes of telling the store.
    fn revoke_here(&self, id: &str) {
        let _ = self
            .revocation
            .revoke(&RevocationEntry::new(by_id(id), UnixTime::from_secs(NOW + 3_600)))
            .now_or_never();
    }

    async fn status(&self, token: &str) -> (StatusCode, Option<RejectionKind>) {
        let outcome = send(self.layer.layer(open()), with_bearer(token)).await;
        (outcome.status, outcome.rejection)
    }
}

const PASSED: (StatusCode, Option<RejectionKind>) = (StatusCode::OK, None);
const REVOKED: (StatusCode, Option<RejectionKind>) =
    (StatusCode::UNAUTHORIZED, Some(RejectionKind::Revoked));
const EXPIRED: (StatusCode, Option<RejectionKind>) =
    (StatusCode::UNAUTHORIZED, Some(RejectionKind::Expired));
const UNAVAILABLE: (StatusCode, Option<RejectionKind>) =
    (StatusCode::SERVICE_UNAVAILABLE, Some(RejectionKind::RevocationUnavailable));

fn named(id: &str) -> String {
    token_with(&format!(r#""exp":{},"iat":{},"jti":"{id}","sid":"s-{id}""#, NOW + 3_600, NOW - 5))
}

fn by_id(id: &str) -> Revocable {
    Revocable::token("https://issuer.example", id)
}

#[tokio::test]
async fn each_kind_of_revocation_rejects_its_tokens_and_no_others() {
    let name: Arc<str> = "https://issuer.example".into();
    for what in
        [by_id("a"), Revocable::session(name.clone(), "s-a"), Revocable::subject(name, "me")]
    {
        let guard = Guard::new(MemoryStore::new(), OnUnavailable::Deny);
        let later = token_with(&format!(r#""exp":{},"iat":{},"jti":"b""#, NOW + 3_600, NOW - 4));
        assert_eq!(guard.status(&named("a")).await, PASSED);
        let entry = RevocationEntry::new(what.clone(), UnixTime::from_secs(NOW + 3_600));
        let entry = entry.with_cut_off(UnixTime::from_secs(NOW - 5));
        guard.revocation.revoke(&entry).await.unwrap();
        assert_eq!(guard.status(&named("a")).await, REVOKED, "{what:?}");
        assert_eq!(guard.status(&later).await, PASSED, "{what:?}");
    }
}

#[tokio::test]
async fn the_same_ids_of_another_issuer_revoke_nothing() {
    let guard = Guard::new(MemoryStore::new(), OnUnavailable::Deny);
    let other = Revocable::token("https://other.example", "a");
    guard
        .revocation
        .revoke(&RevocationEntry::new(other, UnixTime::from_secs(NOW + 3_600)))
        .await
        .unwrap();
    assert_eq!(guard.status(&named("a")).await, PASSED);
}

#[tokio::test]
async fn a_revoked_token_is_rejected_to_the_last_second_of_its_leeway() {
    let guard = Guard::new(MemoryStore::new(), OnUnavailable::Deny);
    guard
        .revocation
        .revoke(&RevocationEntry::new(by_id("revoked"), UnixTime::from_secs(NOW + 3_600)))
        .await
        .unwrap();
    guard.clock.set_unix_time(UnixTime::from_secs(NOW + 3_600 + MAX_LEEWAY.as_secs() - 1));
    assert_eq!(guard.status(&named("revoked")).await, REVOKED);
    assert_eq!(guard.status(&named("its twin")).await, PASSED);
    guard.clock.advance(Duration::from_secs(1));
    assert_eq!(guard.status(&named("revoked")).await, EXPIRED);
    assert_eq!(guard.status(&named("its twin")).await, EXPIRED);
}

#[tokio::test]
async fn a_local_revocation_wins_over_a_store_that_lies() {
    let guard = Guard::new(FakeStore::new(NOT_REVOKED), OnUnavailable::Allow);
    assert_eq!(guard.status(&named("a")).await, PASSED);
    guard
        .revocation
        .revoke(&RevocationEntry::new(by_id("a"), UnixTime::from_secs(NOW + 3_600)))
        .await
        .unwrap();
    for _ in 0..3 {
        assert_eq!(guard.status(&named("a")).await, REVOKED);
        guard.clock.advance(BOUND * 2);
    }
}

#[tokio::test]
async fn a_revocation_during_a_lookup_of_the_store_is_seen() {
    let store = FakeStore::new(StoreBehavior::Hangs);
    let guard = Arc::new(Guard::new(store.clone(), OnUnavailable::Allow));
    let waiting = tokio::spawn({
        let guard = Arc::clone(&guard);
        async move { guard.status(&named("a")).await }
    });
    while store.lookups() == 0 {
        tokio::task::yield_now().await;
    }
    guard.revoke_here("a");
    assert_eq!(
        guard.status(&named("a")).await,
        REVOKED,
        "the next request, while the store is asked"
    );
    store.set_behavior(NOT_REVOKED);
    assert_eq!(waiting.await.unwrap(), REVOKED, "the request that was waiting");
    assert_eq!(guard.status(&named("a")).await, REVOKED, "the request after the stale answer");
    assert_eq!(store.lookups(), 1);
}

#[tokio::test]
async fn a_revocation_of_another_process_is_seen_after_the_bound() {
    let store = FakeStore::new(NOT_REVOKED);
    let guard = Guard::new(store.clone(), OnUnavailable::Deny);
    assert_eq!(guard.status(&named("a")).await, PASSED);
    store.set_behavior(StoreBehavior::Answers(Verdict::Revoked));
    guard.clock.advance(BOUND);
    assert_eq!(guard.status(&named("a")).await, PASSED, "within the bound");
    guard.clock.advance(Duration::from_nanos(1));
    assert_eq!(guard.status(&named("a")).await, REVOKED);
    store.set_behavior(NOT_REVOKED);
    guard.clock.advance(BOUND * 2);
    assert_eq!(guard.status(&named("a")).await, REVOKED, "a denial is not taken back");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_or_hangs_is_503_by_default_and_known_answers_stay() {
    for habit in [StoreBehavior::Fails, StoreBehavior::Hangs] {
        let store = FakeStore::new(NOT_REVOKED);
        let guard = Guard::new(store.clone(), OnUnavailable::Deny);
        assert_eq!(guard.status(&named("known")).await, PASSED);
        guard
            .revocation
            .revoke(&RevocationEntry::new(by_id("revoked"), UnixTime::from_secs(NOW + 3_600)))
            .await
            .unwrap();
        store.set_behavior(habit);
        assert_eq!(guard.status(&named("new")).await, UNAVAILABLE);
        assert_eq!(guard.status(&named("known")).await, PASSED, "its answer is fresh");
        assert_eq!(guard.status(&named("revoked")).await, REVOKED);
        guard.clock.advance(BOUND * 2);
        assert_eq!(guard.status(&named("known")).await, UNAVAILABLE);
        store.set_behavior(NOT_REVOKED);
        assert_eq!(guard.status(&named("new")).await, PASSED, "the first answer ends the outage");
    }
}

#[tokio::test(start_paused = true)]
async fn allow_lets_unknown_tokens_pass_but_never_a_known_denial() {
    for habit in [StoreBehavior::Fails, StoreBehavior::Hangs] {
        let guard = Guard::new(FakeStore::new(habit), OnUnavailable::Allow);
        guard.revoke_here("revoked");
        assert_eq!(guard.status(&named("new")).await, PASSED);
        assert_eq!(guard.status(&named("revoked")).await, REVOKED);
        assert_eq!(guard.revocation.stats().allowed, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn serve_stale_never_overrides_a_known_denial() {
    let minute = Duration::from_secs(60);
    for habit in [StoreBehavior::Fails, StoreBehavior::Hangs] {
        let store = FakeStore::new(NOT_REVOKED);
        let guard = Guard::new(store.clone(), OnUnavailable::ServeStale(minute));
        for id in ["known", "revoked"] {
            assert_eq!(guard.status(&named(id)).await, PASSED);
        }
        store.set_behavior(habit);
        guard.clock.advance(BOUND + minute);
        guard.revoke_here("revoked");
        assert_eq!(guard.status(&named("known")).await, PASSED);
        assert_eq!(guard.revocation.stats().served_stale, 1);
        assert_eq!(guard.status(&named("new")).await, UNAVAILABLE);
        assert_eq!(guard.status(&named("revoked")).await, REVOKED);
        guard.clock.advance(Duration::from_nanos(1));
        assert_eq!(guard.status(&named("known")).await, UNAVAILABLE);
    }
}

#[tokio::test]
async fn recheck_of_a_stream_sees_a_revocation() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let revocation = RevocationCache::new(MemoryStore::new(), BOUND).with_clock(clock.clone());
    let authenticator =
        Authenticator::builder().issuer(issuer()).with_clock(clock).build().unwrap();
    let authenticator = authenticator.with_revocation(revocation.clone());
    let user = authenticator.authenticate(&named("a")).await.unwrap();
    assert_eq!(authenticator.recheck(&user).await, Ok(()));
    revocation.revoke_token(&user).await.unwrap();
    let kind = authenticator.recheck(&user).await.unwrap_err().kind();
    assert_eq!(kind, RejectionKind::Revoked);
}

/// Requests hammer on the layer from four tasks on two threads while tokens are revoked one by one; the store is
/// slow to answer and never learns of a revocation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_the_next_request_sees_every_local_revocation() {
    const TOKENS: usize = 300;

    let store = FakeStore::new(NOT_REVOKED);
    let guard = Arc::new(Guard::new(store.clone(), OnUnavailable::Allow));
    let current = Arc::new(Mutex::new(named("0")));
    let stop = Arc::new(AtomicBool::new(false));
    let requests = Arc::new(AtomicUsize::new(0));
    let hammers: Vec<_> = (0..4)
        .map(|_| {
            let (guard, current) = (Arc::clone(&guard), Arc::clone(&current));
            let (stop, requests) = (Arc::clone(&stop), Arc::clone(&requests));
            tokio::spawn(async move {
                let mut service = guard.layer.layer(open());
                while !stop.load(Ordering::Relaxed) {
                    let token = current.lock().unwrap().clone();
                    let ready = service.ready().await.unwrap();
                    ready.call(with_bearer(&token)).await.unwrap();
                    requests.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for number in 0..TOKENS {
        let id = number.to_string();
        let token = named(&id);
        current.lock().unwrap().clone_from(&token);
        let busy = requests.load(Ordering::Relaxed) + 4;
        while requests.load(Ordering::Relaxed) < busy {
            tokio::task::yield_now().await;
        }
        guard
            .revocation
            .revoke(&RevocationEntry::new(by_id(&id), UnixTime::from_secs(NOW + 3_600)))
            .await
            .unwrap();
        assert_eq!(guard.status(&token).await, REVOKED, "token {number}");
    }
    stop.store(true, Ordering::Relaxed);
    for hammer in hammers {
        hammer.await.unwrap();
    }
    assert!(store.lookups() >= TOKENS, "every token was asked about before it was revoked");
}
