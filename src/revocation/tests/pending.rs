//! Tests of revocation entries that start in the future.

use super::*;

const START: u64 = NOW + 10;

fn set(clock: &ManualClock, second: u64) {
    clock.set_unix_time(at(second));
}

#[tokio::test]
async fn a_token_is_rejected_from_the_second_in_which_its_revocation_starts() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    cache.apply(&entry(token("a").itself(), EXPIRES_AT).with_start(at(START)));
    set(&clock, START - 1);
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
    set(&clock, START);
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    assert_eq!(store.asked(), 1);
    assert_eq!(check(&cache, &token("b")).await, Ok(Verdict::NotRevoked));
}

#[tokio::test]
async fn a_start_that_the_store_returns_needs_no_second_lookup() {
    let store = Store::new(Behavior::Answers(Verdict::RevokedFrom(at(START))));
    let (cache, clock) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    set(&clock, START - 1);
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
    set(&clock, START);
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    assert_eq!(store.asked(), 1);
}

#[tokio::test]
async fn a_start_that_passes_while_the_store_is_asked_counts() {
    let store = Store::by_hand();
    let (cache, clock) = cache(&store);
    let (one, other) = (ask(&cache, &token("a")), ask(&cache, &token("a")));
    set(&clock, START);
    store.answers(Ok(Verdict::RevokedFrom(at(START))));
    assert_eq!((one.await, other.await), (Ok(Verdict::Revoked), Ok(Verdict::Revoked)));

    let waiting = ask(&cache, &token("b"));
    cache.apply(&entry(token("b").itself(), EXPIRES_AT).with_start(at(START + 5)));
    set(&clock, START + 5);
    store.answers(Ok(Verdict::NotRevoked));
    assert_eq!(waiting.await, Ok(Verdict::Revoked));
}

#[tokio::test]
async fn a_start_counts_while_the_store_fails_whatever_the_policy() {
    for policy in [OnUnavailable::Allow, OnUnavailable::ServeStale(Duration::from_secs(3600))] {
        let store = Store::new(Behavior::Answers(Verdict::RevokedFrom(at(NOW + 3_000))));
        let (cache, clock) = cache(&store);
        let cache = cache.with_on_unavailable(policy);
        assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
        store.set_behavior(Behavior::Fails);
        set(&clock, NOW + 2_999);
        assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked), "{policy:?}");
        set(&clock, NOW + 3_000);
        assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::Revoked), "{policy:?}");
    }
}

#[tokio::test]
async fn a_revocation_that_has_started_does_not_end_when_the_clock_is_set_back() {
    let (cache, clock) = cache(&Store::new(Behavior::Answers(Verdict::NotRevoked)));
    cache.apply(&entry(token("a").itself(), EXPIRES_AT).with_start(at(START)));
    set(&clock, START);
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    set(&clock, NOW);
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
}

#[tokio::test]
async fn an_earlier_start_wins_and_a_later_one_changes_nothing() {
    let (cache, clock) = cache(&Store::new(Behavior::Answers(Verdict::NotRevoked)));
    for starts_at in [START + 50, START, START + 90] {
        cache.apply(&entry(token("a").itself(), EXPIRES_AT).with_start(at(starts_at)));
    }
    set(&clock, START);
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    cache.apply(&entry(token("b").itself(), EXPIRES_AT));
    cache.apply(&entry(token("b").itself(), EXPIRES_AT).with_start(at(START + 50)));
    assert_eq!(local_verdict(&cache, &token("b")), Some(Ok(Verdict::Revoked)));
}

#[tokio::test]
async fn only_an_entry_about_a_token_can_have_a_start() {
    for what in &token("a").each_kind()[1..] {
        let (cache, _) = cache(&Store::new(Behavior::Answers(Verdict::NotRevoked)));
        cache.apply(&entry(what.clone(), EXPIRES_AT).with_start(at(START)));
        assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)), "{what:?}");
    }
}

#[tokio::test]
async fn entries_that_wait_for_their_start_are_counted_once() {
    let (cache, clock) = cache(&Store::new(Behavior::Answers(Verdict::NotRevoked)));
    for number in 0..1_000 {
        let what = token(&number.to_string()).itself();
        cache.apply(&entry(what.clone(), EXPIRES_AT).with_start(at(START + number % 10)));
        cache.apply(&entry(what, EXPIRES_AT).with_start(at(START + number % 10)));
    }
    assert_eq!(cache.stats().denials, 1_000);
    set(&clock, START + 9);
    assert_eq!(local_verdict(&cache, &token("999")), Some(Ok(Verdict::Revoked)));
    assert_eq!(cache.stats().denials, 1_000);
    // A start after the last second of the entry has no effect.
    cache.apply(&entry(token("never").itself(), EXPIRES_AT).with_start(at(EXPIRES_AT + 361)));
    assert_eq!(cache.stats().denials, 1_000);
}
