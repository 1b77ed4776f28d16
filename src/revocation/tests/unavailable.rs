use super::*;

const MAX_AGE: Duration = Duration::from_secs(100);

fn cache_with(store: &Store, on_unavailable: OnUnavailable) -> (RevocationCache, ManualClock) {
    let (cache, clock) = cache(store);
    (cache.with_on_unavailable(on_unavailable), clock)
}

#[tokio::test]
async fn a_store_that_fails_is_unavailable_by_default() {
    let store = Store::new(Behavior::Fails);
    let (cache, _) = cache(&store);
    for asked in 1..4 {
        assert_eq!(check(&cache, &token("a")).await, Err(Unavailable));
        assert_eq!(store.asked(), asked);
    }
    let stats = cache.stats();
    assert_eq!((stats.failures, stats.timed_out, stats.unavailable), (3, 0, 3));
    assert_eq!((stats.allowed, stats.served_stale), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_unavailable_after_the_timeout() {
    let (cache, _) = cache(&Store::by_hand());
    for (cache, timeout) in [
        (cache.clone(), Duration::from_secs(1)),
        (cache.with_lookup_timeout(Duration::from_millis(50)), Duration::from_millis(50)),
    ] {
        let mut answer = ask(&cache, &token("a"));
        tokio::time::advance(timeout - Duration::from_millis(1)).await;
        assert!(poll(&mut answer).is_pending());
        tokio::time::advance(Duration::from_millis(2)).await;
        assert_eq!(poll(&mut answer), Poll::Ready(Err(Unavailable)));
        assert_eq!(cache.stats().in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn each_waiting_request_has_its_own_timeout() {
    let store = Store::by_hand();
    let (cache, clock) = cache(&store);
    let first = ask(&cache, &token("a"));
    tokio::time::advance(Duration::from_millis(900)).await;
    clock.advance(Duration::from_millis(900));
    let mut late = ask(&cache, &token("a"));
    assert_eq!(first.await, Err(Unavailable));
    assert!(poll(&mut late).is_pending());
    store.answers(Ok(Verdict::NotRevoked));
    assert_eq!(late.await, Ok(Verdict::NotRevoked));
    let stats = cache.stats();
    assert_eq!((stats.look_ups, stats.timed_out, stats.unavailable), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lookup_whose_waiters_timed_out_is_not_joined() {
    let store = Store::by_hand();
    let (cache, clock) = cache(&store);
    let _first = ask(&cache, &token("a"));
    clock.advance(Duration::from_secs(1));
    let _second = ask(&cache, &token("a"));
    assert_eq!(store.asked(), 2);
}

/// The request that started a lookup may have stopped polling, and its runtime may be gone.
#[test]
fn a_timeout_runs_in_the_runtime_of_the_waiting_request() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let (cache, _) = cache(&Store::by_hand());
    let (elsewhere, here) = (runtime(), runtime());
    let mut first = {
        let _entered = elsewhere.enter();
        ask(&cache, &token("a"))
    };
    assert_eq!(here.block_on(async { ask(&cache, &token("a")).await }), Err(Unavailable));
    elsewhere.block_on(async { assert!(poll(&mut first).is_pending()) });
    drop(elsewhere);
    assert_eq!(here.block_on(async { ask(&cache, &token("a")).await }), Err(Unavailable));
}

#[tokio::test]
async fn the_first_answer_after_an_outage_ends_it() {
    let store = Store::new(Behavior::Fails);
    let (cache, _) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Err(Unavailable));
    store.set_behavior(Behavior::Answers(Verdict::NotRevoked));
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    store.set_behavior(Behavior::Fails);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked), "remembered");
}

#[tokio::test]
async fn allow_lets_requests_pass_counts_them_and_asks_each_time() {
    let store = Store::new(Behavior::Fails);
    let (cache, _) = cache_with(&store, OnUnavailable::Allow);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    let stats = cache.stats();
    assert_eq!((stats.allowed, stats.unavailable, stats.answers), (2, 0, 0));
    assert_eq!(store.asked(), 2);
}

#[tokio::test]
async fn no_setting_overrides_a_known_denial() {
    for on_unavailable in
        [OnUnavailable::Deny, OnUnavailable::Allow, OnUnavailable::ServeStale(MAX_AGE)]
    {
        let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
        let (cache, clock) = cache_with(&store, on_unavailable);
        assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
        store.set_behavior(Behavior::Fails);
        cache.apply(&entry(token("a").itself(), EXPIRES_AT));
        assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::Revoked));
        clock.advance(BOUND + MOMENT);
        assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::Revoked));
    }
}

#[tokio::test]
async fn no_setting_overrides_a_denial_that_came_while_the_store_was_failing() {
    for on_unavailable in
        [OnUnavailable::Deny, OnUnavailable::Allow, OnUnavailable::ServeStale(MAX_AGE)]
    {
        let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
        let (cache, clock) = cache_with(&store, on_unavailable);
        assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
        clock.advance(BOUND + MOMENT);
        store.script(|script| script.always = None);
        let answer = ask(&cache, &token("a"));
        cache.apply(&entry(token("a").itself(), EXPIRES_AT));
        store.answers(Err(StoreError::new("down")));
        assert_eq!(answer.await, Ok(Verdict::Revoked));
    }
}

#[tokio::test]
async fn a_stale_answer_is_served_up_to_its_age_while_the_store_fails() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache_with(&store, OnUnavailable::ServeStale(MAX_AGE));
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    store.set_behavior(Behavior::Fails);
    clock.advance(BOUND + MAX_AGE);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    assert_eq!(store.asked(), 2, "the store is asked before a stale answer is used");
    clock.advance(MOMENT);
    assert_eq!(check(&cache, &token("a")).await, Err(Unavailable));
    assert_eq!(check(&cache, &token("b")).await, Err(Unavailable), "nothing to serve");
    let stats = cache.stats();
    assert_eq!((stats.served_stale, stats.unavailable), (1, 2));
}

#[tokio::test]
async fn a_stale_answer_is_not_served_while_the_store_answers() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache_with(&store, OnUnavailable::ServeStale(MAX_AGE));
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    store.set_behavior(Behavior::Answers(Verdict::Revoked));
    clock.advance(BOUND + MOMENT);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::Revoked));
    assert_eq!(cache.stats().served_stale, 0);
}

#[tokio::test]
async fn the_age_of_a_stale_answer_is_checked_when_the_store_has_failed() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache_with(&store, OnUnavailable::ServeStale(MAX_AGE));
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    store.script(|script| script.always = None);
    clock.advance(BOUND + MAX_AGE);
    let answer = ask(&cache, &token("a"));
    clock.advance(MOMENT);
    store.answers(Err(StoreError::new("down")));
    assert_eq!(answer.await, Err(Unavailable));
}

#[tokio::test]
async fn a_doubted_answer_can_be_served_stale_within_the_same_age() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache_with(&store, OnUnavailable::ServeStale(MAX_AGE));
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    store.set_behavior(Behavior::Fails);
    cache.doubt();
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    assert_eq!((store.asked(), cache.stats().served_stale), (2, 1));
    clock.advance(BOUND + MAX_AGE + MOMENT);
    assert_eq!(check(&cache, &token("a")).await, Err(Unavailable));
}

#[tokio::test]
async fn a_doubted_answer_is_not_served_by_default() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, _) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    store.set_behavior(Behavior::Fails);
    cache.doubt();
    assert_eq!(check(&cache, &token("a")).await, Err(Unavailable));
}

#[tokio::test]
async fn a_bound_of_zero_can_serve_stale_answers() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let cache = RevocationCache::new(store.clone(), Duration::ZERO)
        .with_clock(ManualClock::at(at(NOW)))
        .with_on_unavailable(OnUnavailable::ServeStale(MAX_AGE));
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    assert_eq!(local_verdict(&cache, &token("a")), None);
    store.set_behavior(Behavior::Fails);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    assert_eq!(cache.stats().served_stale, 1);
}
