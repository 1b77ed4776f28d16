//! Revocation entries that start in the future.

use super::*;

const START: u64 = NOW + 10;

fn at(clock: &ManualClock, second: u64) {
    clock.set_unix_time(second);
}

#[tokio::test]
async fn a_token_is_rejected_from_the_second_in_which_its_revocation_starts() {
    let store = Store::that(Habit::Says(Verdict::NotRevoked));
    let (cache, clock) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Answer::NotRevoked);
    cache.apply_from(token("a").itself(), START, EXPIRES_AT);
    at(&clock, START - 1);
    assert_eq!(known(&cache, &token("a")), Some(Answer::NotRevoked));
    at(&clock, START);
    assert_eq!(known(&cache, &token("a")), Some(Answer::Revoked));
    assert_eq!(store.asked(), 1);
    assert_eq!(check(&cache, &token("b")).await, Answer::NotRevoked);
}

#[tokio::test]
async fn a_start_that_the_store_names_needs_no_second_question() {
    let store = Store::that(Habit::Says(Verdict::RevokedFrom(START)));
    let (cache, clock) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Answer::NotRevoked);
    at(&clock, START - 1);
    assert_eq!(known(&cache, &token("a")), Some(Answer::NotRevoked));
    at(&clock, START);
    assert_eq!(known(&cache, &token("a")), Some(Answer::Revoked));
    assert_eq!(store.asked(), 1);
}

#[tokio::test]
async fn a_start_that_passes_while_the_store_is_asked_counts() {
    let store = Store::by_hand();
    let (cache, clock) = cache(&store);
    let (one, other) = (ask(&cache, &token("a")), ask(&cache, &token("a")));
    at(&clock, START);
    store.answers(Ok(Verdict::RevokedFrom(START)));
    assert_eq!((one.await, other.await), (Answer::Revoked, Answer::Revoked));

    let waiting = ask(&cache, &token("b"));
    cache.apply_from(token("b").itself(), START + 5, EXPIRES_AT);
    at(&clock, START + 5);
    store.answers(Ok(Verdict::NotRevoked));
    assert_eq!(waiting.await, Answer::Revoked);
}

#[tokio::test]
async fn a_start_counts_while_the_store_fails_whatever_the_policy() {
    for policy in [OnUnavailable::Allow, OnUnavailable::ServeStale(Duration::from_secs(3600))] {
        let store = Store::that(Habit::Says(Verdict::RevokedFrom(NOW + 3_000)));
        let (cache, clock) = cache(&store);
        let cache = cache.with_on_unavailable(policy);
        assert_eq!(check(&cache, &token("a")).await, Answer::NotRevoked);
        store.turns_to(Habit::Fails);
        at(&clock, NOW + 2_999);
        assert_eq!(check(&cache, &token("a")).await, Answer::NotRevoked, "{policy:?}");
        at(&clock, NOW + 3_000);
        assert_eq!(check(&cache, &token("a")).await, Answer::Revoked, "{policy:?}");
    }
}

#[tokio::test]
async fn a_revocation_that_has_started_does_not_end_when_the_clock_is_set_back() {
    let (cache, clock) = cache(&Store::that(Habit::Says(Verdict::NotRevoked)));
    cache.apply_from(token("a").itself(), START, EXPIRES_AT);
    at(&clock, START);
    assert_eq!(known(&cache, &token("a")), Some(Answer::Revoked));
    at(&clock, NOW);
    assert_eq!(known(&cache, &token("a")), Some(Answer::Revoked));
}

#[tokio::test]
async fn an_earlier_start_wins_and_a_later_one_changes_nothing() {
    let (cache, clock) = cache(&Store::that(Habit::Says(Verdict::NotRevoked)));
    for starts_at in [START + 50, START, START + 90] {
        cache.apply_from(token("a").itself(), starts_at, EXPIRES_AT);
    }
    at(&clock, START);
    assert_eq!(known(&cache, &token("a")), Some(Answer::Revoked));
    cache.apply(token("b").itself(), EXPIRES_AT);
    cache.apply_from(token("b").itself(), START + 50, EXPIRES_AT);
    assert_eq!(known(&cache, &token("b")), Some(Answer::Revoked));
}

#[tokio::test]
async fn only_a_token_is_revoked_from_a_time_on() {
    for what in &token("a").each_kind()[1..] {
        let (cache, _) = cache(&Store::that(Habit::Says(Verdict::NotRevoked)));
        cache.apply_from(what.clone(), START, EXPIRES_AT);
        assert_eq!(known(&cache, &token("a")), Some(Answer::Revoked), "{what:?}");
    }
}

#[tokio::test]
async fn entries_that_wait_for_their_start_are_counted_and_leave_with_it() {
    let (cache, clock) = cache(&Store::that(Habit::Says(Verdict::NotRevoked)));
    for number in 0..1_000 {
        let what = token(&number.to_string()).itself();
        cache.apply_from(what.clone(), START + number % 10, EXPIRES_AT);
        cache.apply_from(what, START + number % 10, EXPIRES_AT);
    }
    assert_eq!(cache.stats().denials, 1_000);
    at(&clock, START + 9);
    assert_eq!(known(&cache, &token("999")), Some(Answer::Revoked));
    assert_eq!(cache.stats().denials, 1_000);
    // A start after the last second for which it is kept has no effect.
    cache.apply_from(token("never").itself(), EXPIRES_AT + 361, EXPIRES_AT);
    assert_eq!(cache.stats().denials, 1_000);
}
