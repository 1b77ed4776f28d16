//! Tests of a cache over several sources.

use super::*;

const START: u64 = NOW + 10;

/// A cache over two stores, which the tests ask in both orders.
fn cache_over(one: &Store, other: &Store) -> (RevocationCache, ManualClock) {
    let (cache, clock) = cache(one);
    (cache.with_source("other", other.clone()), clock)
}

fn answering(verdict: Verdict) -> Store {
    Store::new(Behavior::Answers(verdict))
}

/// The two stores in both orders.
fn in_both_orders(one: Store, other: Store) -> [(Store, Store); 2] {
    [(one.clone(), other.clone()), (other, one)]
}

#[tokio::test]
async fn one_source_that_revokes_is_enough_whatever_the_others_do() {
    let others = [
        answering(Verdict::NotRevoked),
        answering(Verdict::RevokedFrom(at(START))),
        Store::new(Behavior::Fails),
        Store::new(Behavior::Panics),
        Store::by_hand(),
    ];
    for other in others {
        for (one, other) in in_both_orders(answering(Verdict::Revoked), other) {
            for policy in [OnUnavailable::Deny, OnUnavailable::Allow] {
                let cache = cache_over(&one, &other).0.with_on_unavailable(policy);
                assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::Revoked));
                assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
            }
        }
    }
}

#[tokio::test]
async fn a_token_passes_only_if_every_source_answers() {
    for behavior in [Behavior::Fails, Behavior::Panics] {
        let failing = Store::new(behavior);
        for (one, other) in in_both_orders(answering(Verdict::NotRevoked), failing.clone()) {
            let (cache, _) = cache_over(&one, &other);
            assert_eq!(check(&cache, &token("a")).await, Err(Unavailable));
            assert_eq!((cache.stats().failures, cache.stats().unavailable), (1, 1));
            assert_eq!(cache.stats().answers, 0, "half of an answer is not remembered");
            let cache = cache.with_on_unavailable(OnUnavailable::Allow);
            assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
        }
    }
    let (one, other) = (answering(Verdict::NotRevoked), answering(Verdict::NotRevoked));
    let (cache, _) = cache_over(&one, &other);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
    assert_eq!((one.asked(), other.asked(), cache.stats().look_ups), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn all_sources_are_asked_at_once_and_have_one_timeout() {
    let (one, other) = (Store::by_hand(), Store::by_hand());
    let (cache, _) = cache_over(&one, &other);
    let mut waiting = ask(&cache, &token("a"));
    assert_eq!((one.asked(), other.asked()), (1, 1));
    other.answers(Ok(Verdict::NotRevoked));
    assert!(poll(&mut waiting).is_pending());
    tokio::time::advance(Duration::from_millis(1_001)).await;
    assert_eq!(waiting.await, Err(Unavailable));

    let waiting = ask(&cache, &token("a"));
    one.answers(Ok(Verdict::NotRevoked));
    other.answers(Ok(Verdict::NotRevoked));
    // The first question was dropped, and takes the first answer.
    one.answers(Ok(Verdict::NotRevoked));
    assert_eq!(waiting.await, Ok(Verdict::NotRevoked));
}

#[tokio::test]
async fn the_earliest_start_of_all_sources_counts() {
    let (early, late) = (Verdict::RevokedFrom(at(START)), Verdict::RevokedFrom(at(START + 10)));
    for (one, other) in in_both_orders(answering(early), answering(late)) {
        let (cache, clock) = cache_over(&one, &other);
        assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
        clock.set_unix_time(at(START - 1));
        assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
        clock.set_unix_time(at(START));
        assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    }
}

#[tokio::test]
async fn a_start_is_kept_if_another_source_fails() {
    let start = Behavior::Answers(Verdict::RevokedFrom(at(START)));
    for behaviors in [[start, Behavior::Fails], [Behavior::Fails, start]] {
        let [one, other] = behaviors.map(Store::new);
        let (cache, clock) = cache_over(&one, &other);
        let cache = cache.with_on_unavailable(OnUnavailable::Allow);
        assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
        one.set_behavior(Behavior::Fails);
        other.set_behavior(Behavior::Fails);
        clock.set_unix_time(at(START));
        assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    }
}

#[tokio::test]
async fn a_start_that_passes_while_another_source_is_slow_counts() {
    let slow = Store::by_hand();
    let (cache, clock) = cache_over(&answering(Verdict::RevokedFrom(at(START))), &slow);
    let waiting = ask(&cache, &token("a"));
    clock.set_unix_time(at(START));
    slow.answers(Ok(Verdict::NotRevoked));
    assert_eq!(waiting.await, Ok(Verdict::Revoked));
}

#[tokio::test]
async fn revocations_are_written_to_the_first_store_only() {
    let (one, other) = (answering(Verdict::NotRevoked), answering(Verdict::NotRevoked));
    let (cache, _) = cache_over(&one, &other);
    cache.revoke(&entry(token("a").itself(), EXPIRES_AT)).await.unwrap();
    assert_eq!((one.revoked().len(), other.revoked().len()), (1, 0));

    let source = answering(Verdict::NotRevoked);
    let clock = ManualClock::at(at(NOW));
    let cache = RevocationCache::in_memory().with_source("only", source.clone()).with_clock(clock);
    cache.revoke(&entry(token("a").itself(), EXPIRES_AT)).await.unwrap();
    assert_eq!((source.revoked().len(), source.asked()), (0, 0));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    for asked in 1..3 {
        assert_eq!(
            check(&cache, &Token { session: None, ..token("b") }).await,
            Ok(Verdict::NotRevoked)
        );
        assert_eq!(source.asked(), asked, "the staleness bound is zero");
    }
    source.set_behavior(Behavior::Answers(Verdict::Revoked));
    assert_eq!(check(&cache, &token("b")).await, Ok(Verdict::Revoked));
}

#[tokio::test]
async fn a_source_is_added_to_one_clone() {
    let (one, other) = (answering(Verdict::NotRevoked), answering(Verdict::Revoked));
    let (cache, _) = cache(&one);
    let _over_both = cache.clone().with_source("other", other.clone());
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    assert_eq!(other.asked(), 0);
}
