use std::{pin::pin, task::Wake, thread};

use super::*;

#[tokio::test]
async fn concurrent_requests_with_one_token_ask_once() {
    let store = Store::by_hand();
    let (cache, _) = cache(&store);
    let waiting: Vec<_> = (0..100).map(|_| ask(&cache, &token("a"))).collect();
    assert_eq!(store.asked(), 1);
    store.answers(Ok(Verdict::NotRevoked));
    for answer in waiting {
        assert_eq!(answer.await, Ok(Verdict::NotRevoked));
    }
    assert_eq!((store.asked(), cache.stats().in_flight), (1, 0));
}

#[tokio::test]
async fn requests_with_different_tokens_ask_separately() {
    let store = Store::by_hand();
    let (cache, _) = cache(&store);
    let (first, second) = (ask(&cache, &token("a")), ask(&cache, &token("b")));
    store.answers(Ok(Verdict::NotRevoked));
    store.answers(Ok(Verdict::Revoked));
    assert_eq!((first.await, second.await), (Ok(Verdict::NotRevoked), Ok(Verdict::Revoked)));
    assert_eq!(store.asked(), 2);
}

#[tokio::test]
async fn a_lookup_is_joined_for_the_bound_and_no_longer() {
    let store = Store::by_hand();
    let (cache, clock) = cache(&store);
    let cache = cache.with_lookup_timeout(BOUND * 2);
    let first = ask(&cache, &token("a"));
    clock.advance(BOUND);
    let joined = ask(&cache, &token("a"));
    assert_eq!(store.asked(), 1);
    clock.advance(MOMENT);
    let late = ask(&cache, &token("a"));
    assert_eq!(store.asked(), 2);

    // The old lookup ends, and its successor stays joinable.
    store.answers(Ok(Verdict::NotRevoked));
    assert_eq!((first.await, joined.await), (Ok(Verdict::NotRevoked), Ok(Verdict::NotRevoked)));
    assert_eq!(cache.stats().in_flight, 1);
    let later = ask(&cache, &token("a"));
    assert_eq!(store.asked(), 2);
    store.answers(Ok(Verdict::Revoked));
    assert_eq!((late.await, later.await), (Ok(Verdict::Revoked), Ok(Verdict::Revoked)));
    assert_eq!(cache.stats().in_flight, 0);
}

#[tokio::test]
async fn a_lookup_sent_before_a_doubt_is_not_joined_after_it() {
    let store = Store::by_hand();
    let (cache, _) = cache(&store);
    let before = ask(&cache, &token("a"));
    cache.doubt();
    let after = ask(&cache, &token("a"));
    assert_eq!(store.asked(), 2);
    store.answers(Ok(Verdict::NotRevoked));
    store.answers(Ok(Verdict::Revoked));
    assert_eq!(after.await, Ok(Verdict::Revoked));
    drop(before);
}

#[test]
fn outside_a_runtime_a_lookup_has_no_timeout() {
    let store = Store::by_hand();
    let (cache, _) = cache(&store);
    let cache = cache.with_lookup_timeout(MOMENT);
    let waiting = [ask(&cache, &token("a")), ask(&cache, &token("a"))];
    let waiting = waiting.map(|answer| thread::spawn(|| wait_for(answer)));
    assert_eq!(store.asked(), 1);
    store.answers(Ok(Verdict::NotRevoked));
    for thread in waiting {
        assert_eq!(thread.join().unwrap(), Ok(Verdict::NotRevoked));
    }
}

/// Drives a future on a thread that has no runtime.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[tokio::test]
async fn dropping_the_first_request_does_not_cancel_the_others() {
    let store = Store::by_hand();
    let (cache, _) = cache(&store);
    let asker = ask(&cache, &token("a"));
    let other = tokio::spawn(ask(&cache, &token("a")));
    tokio::task::yield_now().await;
    drop(asker);
    store.answers(Ok(Verdict::NotRevoked));
    assert_eq!(other.await.unwrap(), Ok(Verdict::NotRevoked));
    assert_eq!(store.asked(), 1);
}

#[tokio::test]
async fn a_request_that_was_never_polled_does_not_delay_others() {
    let store = Store::new(Behavior::Answers(Verdict::NotRevoked));
    let (cache, _) = cache(&store);
    let RevocationCheck::Pending(idle) =
        cache.checker.check(&token("a").facts(), &RevocationMemo::new(true))
    else {
        panic!("no lookup was needed")
    };
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
    drop(idle);
}

#[tokio::test]
async fn after_all_waiters_are_dropped_the_next_request_asks_again() {
    let store = Store::by_hand();
    let (cache, _) = cache(&store);
    let polled = ask(&cache, &token("a"));
    let RevocationCheck::Pending(unpolled) =
        cache.checker.check(&token("a").facts(), &RevocationMemo::new(true))
    else {
        panic!("no lookup was needed")
    };
    assert_eq!(cache.stats().in_flight, 1);
    drop(polled);
    assert_eq!(cache.stats().in_flight, 1, "the other still waits");
    drop(unpolled);
    assert_eq!(cache.stats().in_flight, 0);

    let afresh = ask(&cache, &token("a"));
    assert_eq!(store.asked(), 2);
    store.script(|script| script.waiting.pop_front());
    store.answers(Ok(Verdict::Revoked));
    assert_eq!(afresh.await, Ok(Verdict::Revoked));
}

#[tokio::test]
async fn a_panic_of_the_store_is_503_for_its_waiters_and_no_one_later() {
    let store = Store::new(Behavior::Panics);
    let (cache, _) = cache(&store);
    let RevocationCheck::Pending(first) =
        cache.checker.check(&token("a").facts(), &RevocationMemo::new(true))
    else {
        panic!("no lookup was needed")
    };
    let RevocationCheck::Pending(second) =
        cache.checker.check(&token("a").facts(), &RevocationMemo::new(true))
    else {
        panic!("no lookup was needed")
    };
    assert_eq!((first.await, second.await), (Err(Unavailable), Err(Unavailable)));
    let stats = cache.stats();
    assert_eq!((stats.in_flight, stats.failures, stats.look_ups), (0, 1, 1));
    store.set_behavior(Behavior::Answers(Verdict::NotRevoked));
    assert_eq!(check(&cache, &token("a")).await, Ok(Verdict::NotRevoked));
}

#[test]
fn a_store_that_answers_at_once_needs_no_runtime() {
    let (cache, _) = cache(&Store::new(Behavior::Answers(Verdict::NotRevoked)));
    let RevocationCheck::Pending(mut answer) =
        cache.checker.check(&token("a").facts(), &RevocationMemo::new(true))
    else {
        panic!("no lookup was needed")
    };
    assert_eq!(poll(&mut answer), Poll::Ready(Ok(Verdict::NotRevoked)));
}
