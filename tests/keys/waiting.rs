//! Those who wait for a key, and those who go away.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use http::{Request, header::AUTHORIZATION};
use tokio::{sync::Semaphore, time::Instant};
use tower::{Layer, Service, ServiceExt, limit::GlobalConcurrencyLimitLayer};
use tower_bearer::{
    BoxFuture, RejectionKind,
    dpop::Dpop,
    test_util::{ProofKey, TestProof},
};

use crate::{
    common::requests::{Body, open, send, with_bearer},
    gate::{Gate, Said, UNAVAILABLE, UNKNOWN},
    script::{Habit, Script, settle},
    server::{Answer, Server},
    signer::{ISSUER, Signer, set},
};

#[tokio::test(start_paused = true)]
async fn at_most_64_requests_wait_and_the_others_are_answered_at_once() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let script = Script::serves(&set(&[&a]));
    let keys = script.keys();
    let gate = Gate::new(&keys, script.clock());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    script.clock().reaches(30).await;

    script.turns_to(Habit::Hangs);
    let mut waiting: Vec<BoxFuture<'static, Said>> =
        (0..64).map(|_| gate.begins_to_wait(&b.token())).collect();
    for _ in 0..1_000 {
        assert_eq!(gate.says_at_once(&b.token()), Some(UNKNOWN), "the last attempt was good");
    }
    assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())));

    // One that goes away leaves its place to another.
    drop(waiting.pop());
    waiting.push(gate.begins_to_wait(&b.token()));
    assert_eq!(gate.says_at_once(&b.token()), Some(UNKNOWN));

    let began = Instant::now();
    for said in waiting {
        assert_eq!(said.await, UNAVAILABLE);
    }
    assert_eq!(began.elapsed().as_secs(), 2, "the timeout");
    settle().await;
    assert_eq!(script.asked_at(), [0, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_key_holds_nothing_of_the_service() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let script = Script::serves(&set(&[&a]));
    let gate = Gate::new(&script.keys(), script.clock());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    script.clock().reaches(30).await;

    script.turns_to(Habit::Hangs);
    let permits = Arc::new(Semaphore::new(1));
    let limit = GlobalConcurrencyLimitLayer::with_semaphore(permits.clone());
    let mut service = gate.layer().layer(limit.layer(open()));
    let mut waiting = Box::pin(service.ready().await.unwrap().call(with_bearer(&b.token())));
    assert!(poll(&mut waiting).is_pending());
    assert_eq!(permits.available_permits(), 1);
    // Others get through meanwhile, on the same instance too.
    let good = service.ready().await.unwrap().call(with_bearer(&a.token()));
    assert_eq!(good.await.unwrap().status(), 200);
    assert_eq!(waiting.await.unwrap().status(), 503);
    assert_eq!(permits.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_wait_for_a_key_a_request_waits_for_the_service_too() {
    let a = Signer::new("a");
    let script = Script::serves(&set(&[&a]));
    let gate = Gate::new(&script.keys(), script.clock());
    let permits = Arc::new(Semaphore::new(1));
    let limit = GlobalConcurrencyLimitLayer::with_semaphore(permits.clone());
    let service = gate.layer().layer(limit.layer(open()));
    let mut waiting = Box::pin(service.oneshot(with_bearer(&a.token())));
    assert!(poll(&mut waiting).is_pending());

    let taken = permits.clone().acquire_owned().await.unwrap();
    settle().await;
    assert!(poll(&mut waiting).is_pending(), "the key is there, the service is not");
    drop(taken);
    assert_eq!(waiting.await.unwrap().status(), 200);
    assert_eq!(permits.available_permits(), 1);
}

fn poll<F: Future>(future: &mut Pin<Box<F>>) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_request_beyond_the_64_waiting_ones_gets_503_before_there_are_keys() {
    let script = Script::that(Habit::Hangs);
    let keys = script.keys();
    let gate = Gate::new(&keys, script.clock());
    let a = Signer::new("a");
    let waiting: Vec<_> = (0..64).map(|_| gate.begins_to_wait(&a.token())).collect();
    assert_eq!(gate.says_at_once(&a.token()), Some(UNAVAILABLE));
    drop(waiting);
}

#[tokio::test(start_paused = true)]
async fn all_waiting_requests_are_served_by_one_answer() {
    let a = Signer::new("a");
    let script = Script::serves(&set(&[&a]));
    let gate = Gate::new(&script.keys(), script.clock());
    let waiting: Vec<_> = (0..64).map(|_| gate.begins_to_wait(&a.token())).collect();
    for said in waiting {
        assert_eq!(said.await, Ok(()));
    }
    assert_eq!(script.asked_at(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_arrives_during_a_fetch_waits_for_it() {
    let script = Script::that(Habit::Hangs);
    let keys = script.keys();
    let gate = Gate::new(&keys, script.clock());
    keys.spawn();
    script.clock().reaches(4).await;
    let waiting = gate.begins_to_wait(&Signer::unknown("a"));
    assert_eq!(waiting.await, UNAVAILABLE);
    assert_eq!(script.clock().seconds(), 5, "the end of that fetch, before the timeout");
    assert_eq!(script.asked_at(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_does_not_cancel_the_fetch() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let script = Script::serves(&set(&[&a]));
    let keys = script.keys();
    let gate = Gate::new(&keys, script.clock());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    script.clock().reaches(30).await;

    script.turns_to_serve(&set(&[&a, &b]));
    let first = gate.begins_to_wait(&b.token());
    let second = gate.begins_to_wait(&b.token());
    drop(first);
    assert_eq!(second.await, Ok(()));

    // Even if all go away the answer is there for those who come later.
    script.clock().reaches(60).await;
    let c = Signer::new("c");
    script.turns_to_serve(&set(&[&a, &b, &c]));
    drop(gate.begins_to_wait(&c.token()));
    settle().await;
    assert_eq!(gate.says_at_once(&c.token()), Some(Ok(())));
    assert_eq!(script.asked_at(), [0, 30, 60]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_after_the_wait_timeout_serves_later_requests() {
    let a = Signer::new("a");
    let script = Script::that(Habit::Hangs);
    let keys = script.keys().with_wait_timeout(Duration::from_millis(100));
    let gate = Gate::new(&keys, script.clock());
    let began = Instant::now();
    assert_eq!(gate.says(&a.token()).await, UNAVAILABLE);
    assert_eq!(began.elapsed().as_millis(), 100);

    script.turns_to_serve(&set(&[&a]));
    script.clock().reaches(7).await;
    assert_eq!(script.asked_at()[..1], [0]);
    assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())), "the next attempt, in the background");
}

#[tokio::test]
async fn many_requests_that_go_away_at_any_point_leave_nothing_behind() {
    let a = Signer::new("a");
    let server = Server::start().await;
    server.serves("/keys", Answer::keys(&set(&[&a])));
    let keys = server.keys("/keys");
    let gate = Gate::new(&keys, server.clock.clone());
    for _ in 0..1_000 {
        drop(gate.begins_to_wait(&a.token()));
    }
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    assert_eq!(server.count("/keys"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_key_keeps_its_dpop_proof() {
    let a = Signer::new("a");
    let script = Script::serves(&set(&[&a]));
    let key = ProofKey::new().with_clock(script.clock());
    let cnf = format!(r#","cnf":{{"jkt":"{}"}}"#, key.thumbprint());
    let token = a.token_with(ISSUER, &cnf);
    let good = key.proof("GET", "https://api.example/orders", &token);
    let request = |proof: &TestProof| {
        Request::get("/orders")
            .header(AUTHORIZATION, format!("DPoP {token}"))
            .header("dpop", proof.value())
            .body(Body::default())
            .unwrap()
    };
    let wrong = good.clone().claim("htm", "POST");
    for (proof, expected) in [(&good, None), (&wrong, Some(RejectionKind::WrongProofTarget))] {
        // A layer that has no keys yet.
        let gate = Gate::new(&script.keys(), script.clock());
        let dpop = Dpop::new(["https://api.example"]).unwrap();
        let layer = gate.layer().clone().with_dpop(dpop);
        let mut answer = Box::pin(send(layer.layer(open()), request(proof)));
        assert!(poll(&mut answer).is_pending());
        assert_eq!(answer.await.rejection, expected);
        // The request that waited has used its proof, if the proof was valid.
        let again = send(layer.layer(open()), request(&good)).await.rejection;
        let used = expected.is_none().then_some(RejectionKind::ReplayedProof);
        assert_eq!(again, used);
    }
}
