//! Beginning without a server, and ending.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake},
    thread,
    time::Duration,
};

use tower_bearer::{
    Issuer, UnixTime,
    claims::ManualClock,
    jwks::{FetchError, RemoteJwks},
};

use crate::{
    common::requests::NOW,
    gate::{Gate, UNAVAILABLE, UNKNOWN},
    script::{Habit, Script, TokioClock, settle},
    server::{Answer, Server},
    signer::{AUDIENCE, ISSUER, Signer, set},
};

#[tokio::test]
async fn a_service_starts_without_its_key_server_and_recovers() {
    let a = Signer::new("a");
    let server = Server::start().await;
    let address = server.origin.replace("http://localhost", "127.0.0.1");
    let keys = server.keys("/keys");
    drop(server);
    settle().await;

    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let keys = keys.with_clock(clock.clone());
    let gate = Gate::new(&keys, clock.clone());
    assert_eq!(gate.says(&a.token()).await, UNAVAILABLE);
    assert_eq!(
        gate.says_at_once(&a.token()),
        Some(UNAVAILABLE),
        "nobody waits for a known failure"
    );
    let health = keys.health();
    assert!(matches!(health.last_error(), Some(FetchError::Client(_))), "{health:?}");

    let server = Server::start_on(&address, None).await;
    server.serves("/keys", Answer::keys(&set(&[&a])));
    clock.advance(Duration::from_secs(30));
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    assert_eq!(server.count("/keys"), 1);
}

#[tokio::test]
async fn a_token_that_names_no_key_waits_for_the_first_keys_too() {
    let a = Signer::new("a");
    let server = Server::start().await;
    server.serves("/keys", Answer::keys(&set(&[&a])));
    let gate = Gate::new(&server.keys("/keys"), server.clock.clone());
    assert_eq!(gate.says(&a.token_without_key_id()).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_before_the_first_token_unless_it_is_asked_for() {
    let a = Signer::new("a");
    let script = Script::serves(&set(&[&a]));
    let keys = script.keys();
    let gate = Gate::new(&keys, script.clock());
    script.clock().reaches(1_000).await;
    assert!(script.asked_at().is_empty() && !keys.health().is_running());
    keys.spawn();
    keys.spawn();
    settle().await;
    assert_eq!(script.asked_at(), [1_000]);
    assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())), "even the first token need not wait");
}

#[tokio::test(start_paused = true)]
async fn ready_waits_for_keys_however_long_it_takes() {
    let script = Script::that(Habit::Fails);
    let keys = script.keys();
    let waiting = keys.clone();
    let ready = tokio::spawn(async move { waiting.ready().await });
    script.clock().reaches(10_000).await;
    assert!(!ready.is_finished());
    script.turns_to_serve(&set(&[&Signer::new("a")]));
    ready.await.unwrap().unwrap();
    assert!(keys.health().is_usable() && script.clock().seconds() <= 10_060);
    keys.ready().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_task_and_keys_last_until_they_are_too_old() {
    let a = Signer::new("a");
    let script = Script::serves(&set(&[&a]));
    let keys = script.keys();
    let gate = Gate::new(&keys, script.clock());
    keys.ready().await.unwrap();
    keys.task().shutdown().await;
    assert!(!keys.health().is_running());
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);

    keys.spawn();
    assert!(matches!(keys.ready().await, Ok(())), "there are keys");
    script.clock().reaches(4_199).await;
    assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())));
    assert_eq!(gate.says_at_once(&Signer::unknown("b")), Some(UNKNOWN));
    script.clock().reaches(4_200).await;
    assert_eq!(gate.says_at_once(&a.token()), Some(UNAVAILABLE));
    assert!(matches!(keys.ready().await, Err(FetchError::Stopped)));
    assert_eq!(script.asked_at(), [0]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_a_fetch_and_the_requests_that_wait_for_it() {
    let script = Script::that(Habit::Hangs);
    let keys = script.keys();
    let gate = Gate::new(&keys, script.clock());
    let waiting = gate.begins_to_wait(&Signer::unknown("a"));
    settle().await;
    let waiting_for_keys = keys.clone();
    let ready = tokio::spawn(async move { waiting_for_keys.ready().await });
    settle().await;
    keys.task().shutdown().await;
    assert_eq!(waiting.await, UNAVAILABLE);
    assert!(matches!(ready.await.unwrap(), Err(FetchError::Stopped)));
    assert!(matches!(keys.health().last_error(), Some(FetchError::Stopped)));
    assert_eq!(keys.task().health().last_error, Some("stopped"));
    assert_eq!(script.clock().seconds(), 0, "no request waited for a timeout");
}

#[tokio::test(start_paused = true)]
async fn a_stop_before_the_first_attempt_releases_the_requests_that_wait() {
    let script = Script::that(Habit::Hangs);
    let keys = script.keys();
    let gate = Gate::new(&keys, script.clock());
    let token = Signer::unknown("a");
    // The first poll starts the task. The task itself has not run yet when it is stopped.
    let mut waiting = pin!(gate.says(&token));
    let first = waiting.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
    assert!(first.is_pending());
    keys.task().stop();
    assert_eq!(waiting.await, UNAVAILABLE);
    assert_eq!(script.clock().seconds(), 0, "no request waited for a timeout");
    assert!(script.asked_at().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_task_reports_each_failure_and_the_next_success() {
    let script = Script::that(Habit::Fails);
    let keys = script.keys();
    let task = keys.task();
    assert!(!task.health().is_running && !task.health().is_ok());
    keys.spawn();
    script.clock().reaches(10).await;
    let health = task.health();
    assert!(health.is_running && !health.is_ok() && health.failures_in_a_row >= 2);
    assert_eq!(health.last_error, Some("client"));

    script.turns_to_serve(&set(&[&Signer::new("a")]));
    keys.ready().await.unwrap();
    assert!(task.health().is_ok());
    assert_eq!(task.health().last_error, None);

    // A clone with other settings has its own task.
    let other = keys.clone().with_stale_limit(Duration::ZERO);
    task.shutdown().await;
    keys.spawn();
    assert!(task.is_stopped() && !keys.task().health().is_running);
    other.spawn();
    assert!(other.task().health().is_running);
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_takes_the_task_with_it() {
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let script = Script::that(Habit::Hangs);
    let keys = script.keys();
    let gate = Gate::new(&keys, script.clock());
    keys.spawn();
    settle().await;
    assert_eq!(tasks(), 1);
    drop(keys);
    settle().await;
    assert_eq!(tasks(), 1, "the verifier has one");
    drop(gate);
    settle().await;
    assert_eq!(tasks(), 0);
}

#[test]
fn a_task_whose_runtime_ended_is_started_again_on_another() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap()
    };
    let a = Signer::new("a");
    let one = runtime();
    let (script, keys, gate) = one.block_on(async {
        let script = Script::serves(&set(&[&a]));
        let keys = script.keys();
        let gate = Gate::new(&keys, script.clock());
        assert_eq!(gate.says(&a.token()).await, Ok(()));
        (script, keys, gate)
    });
    assert!(keys.health().is_running());
    drop(one);
    assert!(!keys.health().is_running());
    assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())), "keys are still good");

    runtime().block_on(async {
        script.clock().reaches(31).await;
        assert_eq!(gate.says(&Signer::unknown("b")).await, UNKNOWN);
        assert!(keys.health().is_running());
        script.clock().reaches(1_000).await;
        assert!(keys.health().is_fresh());
    });
    assert!(script.asked_at().len() >= 3);
}

#[test]
fn without_a_runtime_tokens_are_answered_and_nothing_panics() {
    let keys = RemoteJwks::new("http://localhost:9/keys").unwrap();
    let gate = Gate::new(&keys, ManualClock::at(UnixTime::from_secs(NOW)));
    keys.spawn();
    let said = futures_util::FutureExt::now_or_never(gate.says(&Signer::unknown("a")));
    assert_eq!(said, Some(UNAVAILABLE));
    let ready = futures_util::FutureExt::now_or_never(keys.ready()).unwrap();
    assert!(matches!(ready, Err(FetchError::Stopped)));
}

#[test]
fn a_request_outside_the_runtime_of_the_task_waits_for_its_answer() {
    let a = Signer::new("a");
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let script = Script::serves(&set(&[&a]));
    let keys = script.keys().with_clock(clock.clone());
    let gate = Gate::new(&keys, clock.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(keys.ready()).unwrap();
    clock.advance(Duration::from_secs(31));

    assert_eq!(wait_for(gate.says(&Signer::unknown("b"))), UNKNOWN);
    assert_eq!(script.asked_at().len(), 2);
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
async fn settings_belong_to_an_engine_of_their_own() {
    let clock = TokioClock::new();
    let script = Script::serves(&set(&[&Signer::new("a")]));
    let one = script.keys();
    one.ready().await.unwrap();
    let other = one.clone().with_wait_timeout(Duration::from_secs(1));
    assert!(one.health().is_usable() && !other.health().is_usable());
    let issuer = Issuer::new(ISSUER, other).audience(AUDIENCE);
    let said = Gate::of([issuer], clock).says(&Signer::unknown("b")).await;
    assert_eq!(said, UNKNOWN);
    assert_eq!(script.asked_at().len(), 2);
}
