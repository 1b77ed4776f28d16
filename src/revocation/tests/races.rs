use std::{
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
};

use super::*;

#[tokio::test]
async fn a_revocation_during_a_lookup_wins() {
    for kind in 0..5 {
        let store = Store::by_hand();
        let (cache, _) = cache(&store);
        let answer = ask(&cache, &token("a"));
        cache.revoke(&entry(token("a").each_kind()[kind].clone(), EXPIRES_AT)).await.unwrap();
        assert_eq!(
            local_verdict(&cache, &token("a")),
            Some(Ok(Verdict::Revoked)),
            "does not join the look-up"
        );
        store.answers(Ok(Verdict::NotRevoked));
        assert_eq!(answer.await, Ok(Verdict::Revoked));
        assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
    }
}

#[tokio::test]
async fn a_revocation_between_the_reply_and_a_waiter_wins() {
    let store = Store::by_hand();
    let (cache, _) = cache(&store);
    let (first, second) = (ask(&cache, &token("a")), ask(&cache, &token("a")));
    store.answers(Ok(Verdict::NotRevoked));
    assert_eq!(first.await, Ok(Verdict::NotRevoked));
    cache.revoke(&entry(token("a").itself(), EXPIRES_AT)).await.unwrap();
    assert_eq!(second.await, Ok(Verdict::Revoked));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
}

#[tokio::test]
async fn a_late_reply_does_not_restore_a_revoked_token() {
    let store = Store::by_hand();
    let (cache, clock) = cache(&store);
    let early = ask(&cache, &token("a"));
    clock.advance(BOUND + MOMENT);
    let late = ask(&cache, &token("a"));
    store.script(|script| script.waiting.rotate_left(1));
    store.answers(Ok(Verdict::Revoked));
    assert_eq!(late.await, Ok(Verdict::Revoked));
    store.answers(Ok(Verdict::NotRevoked));
    assert_eq!(early.await, Ok(Verdict::Revoked));
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
}

#[tokio::test]
async fn a_doubt_during_a_lookup_makes_its_answer_stale() {
    let store = Store::by_hand();
    let (cache, _) = cache(&store);
    let answer = ask(&cache, &token("a"));
    cache.doubt();
    store.answers(Ok(Verdict::NotRevoked));
    assert_eq!(answer.await, Ok(Verdict::NotRevoked), "the store was asked for this very request");
    assert_eq!(local_verdict(&cache, &token("a")), None);
}

/// A reader searches the denials, then a revocation is published, then the reader raises its answer's epoch.
#[tokio::test]
async fn a_revocation_during_a_search_is_seen_by_the_next_check() {
    /// Runs an interruption at the second reading of the wall clock. The first reading is at the beginning of a check.
    struct Interrupting(ManualClock, Interruption);
    type Interruption = Arc<Mutex<Vec<Box<dyn FnOnce() + Send>>>>;
    impl Clock for Interrupting {
        fn unix_time(&self) -> Duration {
            let interruption = self.1.lock().unwrap().pop();
            interruption.into_iter().for_each(|run| run());
            self.0.unix_time()
        }
        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }
    }

    let interruption = Interruption::default();
    let time = ManualClock::at(at(NOW));
    let clock = Interrupting(time.clone(), interruption.clone());
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let cache = RevocationCache::new(store, BOUND).with_clock(clock);
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));

    // A denial of the subject that is over. It makes the reader look at the clock after it has searched for the token.
    cache.apply(&entry(token("a").subject_until(NOW), NOW - 1_000));
    time.advance(MOMENT);
    let revoker = cache.clone();
    *interruption.lock().unwrap() = vec![
        Box::new(move || revoker.apply(&entry(token("a").itself(), EXPIRES_AT))),
        Box::new(|| ()),
    ];
    assert_eq!(
        local_verdict(&cache, &token("a")),
        Some(Ok(Verdict::NotRevoked)),
        "ran beside the revocation"
    );
    assert!(interruption.lock().unwrap().is_empty());
    assert_eq!(local_verdict(&cache, &token("a")), Some(Ok(Verdict::Revoked)));
}

/// Threads check one token after another while it is looked up, answered and finally revoked. A check that starts after
/// `revoke` has returned must be rejected.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_check_that_starts_after_a_revocation_passes() {
    /// Always answers "not revoked". Sometimes it first lets other tasks run.
    struct Slow;
    impl RevocationStore for Slow {
        fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Told> {
            let yields = lookup.things()[0].id().len() % 3 * 3;
            Box::pin(async move {
                for _ in 0..yields {
                    tokio::task::yield_now().await;
                }
                Ok(Verdict::NotRevoked)
            })
        }
        fn revoke<'a>(&'a self, _: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
            Box::pin(async { Ok(()) })
        }
    }

    let cache = RevocationCache::new(Slow, Duration::from_micros(20));
    for round in 0_usize..300 {
        let token = token(&"x".repeat(round + 1));
        let revoked = Arc::new(AtomicBool::new(false));
        let checkers: Vec<_> = (0..4)
            .map(|_| {
                let (cache, token, revoked) = (cache.clone(), token.clone(), revoked.clone());
                tokio::spawn(async move {
                    for _ in 0..60 {
                        let started_after = revoked.load(SeqCst);
                        let answer = check(&cache, &token).await;
                        assert!(!started_after || answer == Ok(Verdict::Revoked), "{answer:?}");
                    }
                })
            })
            .collect();
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        let what = token.each_kind()[0].clone();
        cache.revoke(&entry(what, u64::MAX)).await.unwrap();
        revoked.store(true, SeqCst);
        assert_eq!(local_verdict(&cache, &token), Some(Ok(Verdict::Revoked)));
        for checker in checkers {
            checker.await.unwrap();
        }
    }
    assert_eq!(cache.stats().in_flight, 0);
}

/// The path without the store. Readers raise the epoch of fresh answers again and again, while other tokens and finally
/// this token are revoked.
#[test]
fn no_cached_answer_outlasts_a_revocation_in_any_interleaving() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, _) = cache(&store);
    for round in 0..200 {
        let token = token(&format!("token {round}"));
        assert_eq!(runtime.block_on(check(&cache, &token)), Ok(Verdict::NotRevoked));
        let revoked = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    // The second pass checks again after the revocation.
                    for _ in 0..2 {
                        while !revoked.load(SeqCst) {
                            assert!(local_verdict(&cache, &token).is_some(), "the answer is fresh");
                        }
                        assert_eq!(local_verdict(&cache, &token), Some(Ok(Verdict::Revoked)));
                    }
                });
            }
            for number in 0..20 {
                let other = format!("other {round} {number}");
                cache.apply(&entry(Revocable::token("other", other), u64::MAX));
            }
            cache.apply(&entry(token.itself(), u64::MAX));
            revoked.store(true, SeqCst);
        });
    }
    assert_eq!(store.asked(), 200);
}
