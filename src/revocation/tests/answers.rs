use moka::Equivalent;

use super::*;
use crate::{
    claims::Moment,
    revocation::{check::AnswerCache, entry::OwnedTokenFacts, local_state::Sent},
};

#[tokio::test]
async fn not_revoked_is_used_for_the_bound_and_no_longer() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    clock.advance(BOUND);
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
    clock.advance(MOMENT);
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

#[tokio::test]
async fn the_bound_counts_from_when_the_question_was_sent() {
    let store = Store::by_hand();
    let (cache, clock) = cache(&store);
    let answer = ask(&cache, &token("a"));
    clock.advance(BOUND - MOMENT);
    store.answers(Ok(Verdict::NotRevoked));
    assert_eq!(answer.await, Ok(Verdict::NotRevoked));
    clock.advance(MOMENT);
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
    clock.advance(MOMENT);
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

#[tokio::test]
async fn a_revocation_elsewhere_is_seen_after_the_bound() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    store.set_behavior(Behavior::Answers(Verdict::Revoked));
    clock.advance(BOUND + MOMENT);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::Revoked));
}

#[tokio::test]
async fn a_bound_of_zero_asks_at_every_request() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let cache =
        RevocationCache::new(store.clone(), Duration::ZERO).with_clock(ManualClock::at(at(NOW)));
    for asked in 1..5 {
        assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
        assert_eq!(store.asked(), asked);
    }
    assert_eq!(cache.stats().answers, 0);
}

#[tokio::test]
async fn a_bound_of_zero_shares_no_lookup() {
    let store = Store::by_hand();
    let cache =
        RevocationCache::new(store.clone(), Duration::ZERO).with_clock(ManualClock::at(at(NOW)));
    let (first, second) = (ask(&cache, &token("a")), ask(&cache, &token("a")));
    assert_eq!(store.asked(), 2);
    store.answers(Ok(Verdict::NotRevoked));
    store.answers(Ok(Verdict::Revoked));
    assert_eq!(second.await, Ok(Verdict::Revoked));
    assert_eq!(first.await, Ok(Verdict::Revoked), "by the denial that the other brought");
    assert_eq!(cache.stats().in_flight, 0);
}

#[tokio::test]
async fn an_endless_bound_asks_once() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let clock = ManualClock::at(at(NOW));
    let cache = RevocationCache::new(store.clone(), Duration::MAX)
        .with_clock(clock.clone())
        .with_on_unavailable(OnUnavailable::ServeStale(Duration::MAX));
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    clock.advance(Duration::from_secs(1 << 40));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
}

#[tokio::test]
async fn without_capacity_every_request_asks() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, _) = cache(&store);
    let cache = cache.with_capacity(0);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    assert_eq!(store.asked(), 2);
}

#[tokio::test]
async fn setting_the_wall_clock_back_does_not_make_an_answer_younger() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    clock.set_unix_time(at(NOW - 1_000_000));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
    clock.advance(BOUND + MOMENT);
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

/// The monotonic clock does not advance while a machine is suspended.
#[tokio::test]
async fn the_bound_holds_across_a_suspension() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    clock.set_unix_time(at(NOW + BOUND.as_secs()));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
    clock.set_unix_time(at(NOW + BOUND.as_secs() + 1));
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

#[tokio::test]
async fn the_revocation_of_another_token_causes_no_lookup() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, _) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    cache.apply(&entry(token("b").itself(), EXPIRES_AT));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
    assert_eq!((store.asked(), cache.stats().hits), (1, 2));
}

#[tokio::test]
async fn searching_the_denials_again_does_not_make_an_answer_younger() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, clock) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    for number in 0..30 {
        clock.advance(Duration::from_secs(1));
        cache.apply(&entry(token(&format!("other {number}")).itself(), EXPIRES_AT));
        assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::NotRevoked)));
    }
    clock.advance(MOMENT);
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

#[tokio::test]
async fn a_failure_is_not_remembered() {
    let store = Store::new(Behavior::Fails);
    let (cache, _) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Err(Unavailable));
    store.set_behavior(Behavior::Answers(Verdict::NotRevoked));
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
}

#[tokio::test]
async fn tokens_that_share_an_id_do_not_share_an_answer() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, _) = cache(&store);
    let base = token("a");
    assert_eq!(check(&cache, &base).await, Ok(Verdict::NotRevoked));
    for other in [
        Token { issuer: "https://other.example".into(), ..base.clone() },
        Token { subject: Some("bob".into()), ..base.clone() },
        Token { subject: None, ..base.clone() },
        Token { issued_at: 0, ..base.clone() },
        Token { session: Some("other".into()), ..base.clone() },
        Token { key: None, ..base.clone() },
    ] {
        // Equality decides, also if the hashes happen to be equal.
        assert!(!Equivalent::equivalent(&other.facts(), &OwnedTokenFacts::of(&base.facts())));
        assert_eq!(local_verdict(&cache, &other), None);
        assert_eq!(check(&cache, &other).await, Ok(Verdict::NotRevoked));
        assert_eq!(local_verdict(&cache, &other), Some(Ok(Verdict::NotRevoked)));
    }
    assert_eq!(local_verdict(&cache, &base), Some(Ok(Verdict::NotRevoked)));
}

#[test]
fn an_answer_belongs_to_the_cache_that_asked() {
    let memories = [(); 3].map(|()| AnswerCache::new(10, BOUND));
    let sent = Sent { at: Moment::of(&ManualClock::at(at(NOW))), epoch: 0 };
    for (one, memory) in memories.iter().enumerate() {
        memory.insert(&OwnedTokenFacts::of(&token("a").facts()), sent);
        let answer = memory.get(&token("a").facts()).unwrap();
        for (other, memory) in memories.iter().enumerate() {
            assert_eq!(memory.owns(&answer), one == other);
        }
    }
}

#[tokio::test]
async fn the_store_is_asked_about_every_fact_at_once() {
    struct Curious(Mutex<Vec<Revocable>>);
    fn things<const N: usize>(named: [Named; N]) -> [Revocable; N] {
        named.map(|named| named.thing)
    }
    impl RevocationStore for Curious {
        fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Told> {
            assert_eq!(lookup.issued_at(), at(NOW - 10));
            self.0.lock().unwrap().extend_from_slice(lookup.things());
            Box::pin(async { Ok(Verdict::NotRevoked) })
        }
        fn revoke<'a>(&'a self, _: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async { Ok(()) })
        }
    }
    let store = Arc::new(Curious(Mutex::default()));
    let cache = RevocationCache::new(store.clone(), BOUND);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    assert_eq!(*store.0.lock().unwrap(), things(token("a").each_kind()));
    let bare = Token { subject: None, session: None, key: None, ..token("b") };
    assert_eq!(check(&cache, &bare).await, Ok(Verdict::NotRevoked));
    let [.., thumbprint] = token("b").each_kind();
    assert_eq!(store.0.lock().unwrap()[5..], things([bare.itself(), thumbprint.clone()]));
    let same = Token { key: Some(bare.thumbprint.clone()), ..bare.clone() };
    let same = Token { id: "c".into(), ..same };
    assert_eq!(check(&cache, &same).await, Ok(Verdict::NotRevoked));
    assert_eq!(
        store.0.lock().unwrap()[7..],
        things([same.itself(), thumbprint]),
        "one name, asked once"
    );
}

#[tokio::test]
async fn doubt_makes_answers_stale_and_leaves_denials() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, _) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    cache.apply(&entry(token("b").itself(), EXPIRES_AT));
    cache.doubt();
    assert_eq!(local_verdict(&cache, &token("b")), Some(Ok(Verdict::Revoked)));
    assert_eq!(local_verdict(&cache, &token("a")), None);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    assert_eq!(
        local_verdict(&cache, &token("a")),
        Some(Ok(Verdict::NotRevoked)),
        "asked after the doubt"
    );
    cache.doubt();
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

#[tokio::test]
async fn a_revocation_after_a_doubt_does_not_restore_trust() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, _) = cache(&store);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    cache.doubt();
    cache.apply(&entry(token("b").itself(), EXPIRES_AT));
    assert_eq!(local_verdict(&cache, &token("a")), None);
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

#[tokio::test]
async fn the_counters_count_each_outcome() {
    let store = Store::by_hand();
    let (cache, _) = cache(&store);
    let (first, second) = (ask(&cache, &token("a")), ask(&cache, &token("a")));
    let stats = cache.stats();
    assert_eq!((stats.look_ups, stats.joined, stats.in_flight), (1, 1, 1));
    store.answers(Ok(Verdict::NotRevoked));
    assert_eq!((first.await, second.await), (Ok(Verdict::NotRevoked), Ok(Verdict::NotRevoked)));
    local_verdict(&cache, &token("a"));
    cache.apply(&entry(token("b").itself(), EXPIRES_AT));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.answers, stats.denials, stats.in_flight), (1, 1, 1, 0));
}
