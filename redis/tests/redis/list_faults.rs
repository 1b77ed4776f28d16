//! What a process with the whole deny-list answers, and for how long, when Redis cannot be relied on.

use std::time::{Duration, Instant};

use tower_bearer::{RevocationCache, revocation::RevocationStore};
use tower_bearer_redis::{DenyList, RedisStore};

use crate::{
    proxy::Proxy,
    server::Server,
    service::{
        Outcome, Passes, Revoked, Unavailable, ask, authenticator, entry, eventually, now,
        one_of_every_kind, token,
    },
};

const BOUND: Duration = Duration::from_secs(2);

/// What a busy machine adds.
const LATE: Duration = Duration::from_millis(900);

/// A tick of the coarse clock.
const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    Stopped,
    Swallowed,
    RestartedEmpty,
    RestartedWithData,
}

/// What a good token gets, by the time since the fault.
fn expected(fault: Fault, since: Duration) -> &'static [Outcome] {
    match fault {
        Fault::RestartedWithData => &[Passes],
        // Noticed when it is asked again, and not only at the bound.
        Fault::RestartedEmpty if since < BOUND => &[Passes, Unavailable],
        // What is held was brought up to date up to a quarter of the bound before.
        _ if since < (BOUND - BOUND / 4).saturating_sub(LATE) => &[Passes],
        _ if since < BOUND + TICK => &[Passes, Unavailable],
        _ => &[Unavailable],
    }
}

async fn is_current_within_the_bound_or_unavailable(fault: Fault) {
    let options = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = Server::start_with(&options);
    let wire = Proxy::to(server.port).await;
    let elsewhere = RedisStore::connect(&server.url()).await.unwrap();
    elsewhere.initialise().await.unwrap();
    let store = RedisStore::connect(&wire.url()).await.unwrap();
    let list = DenyList::follow(&store, BOUND);
    let cache = RevocationCache::new(list.clone(), Duration::ZERO);
    let authenticator = authenticator(&cache);
    eventually("current", async || list.stats().is_current).await;
    for (token, _) in one_of_every_kind() {
        assert_eq!(ask(&authenticator, &token).await, Passes);
    }
    let revoke = async || {
        for (_, what) in one_of_every_kind() {
            elsewhere.revoke(&entry(what.clone(), now() + 600)).await.unwrap();
        }
    };
    if fault != Fault::Swallowed {
        revoke().await;
    }
    let broken = Instant::now();
    match fault {
        Fault::Killed => server.kill(),
        Fault::Stopped => server.signal("STOP"),
        Fault::Swallowed => {
            wire.swallow(true);
            revoke().await;
        }
        Fault::RestartedEmpty => {
            server.kill();
            server.lose_data();
            server.restart();
        }
        Fault::RestartedWithData => {
            server.kill();
            server.restart();
        }
    }
    let revoked = Instant::now();
    let (attempts, mut last) = (wire.accepted(), None);
    while broken.elapsed() < BOUND + 2 * LATE {
        let before = broken.elapsed();
        let outcome = ask(&authenticator, &token(&format!("new {before:?}"))).await;
        let allowed = [expected(fault, before), expected(fault, broken.elapsed())].concat();
        assert!(allowed.contains(&outcome), "{fault:?} {before:?}: {outcome:?}");
        if last != Some(outcome) {
            println!("{fault:?}, deny-list: {outcome:?} from {before:?} on");
            last = Some(outcome);
        }
        for (token, what) in one_of_every_kind() {
            let started = revoked.elapsed();
            let outcome = ask(&authenticator, &token).await;
            let may_pass = started <= BOUND + TICK;
            assert!(outcome != Passes || may_pass, "{fault:?} {started:?} {what:?}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(last, Some(if fault == Fault::RestartedWithData { Passes } else { Unavailable }));
    let (attempts, seconds) = (wire.accepted() - attempts, broken.elapsed().as_secs() + 1);
    // Of the store and of the list.
    assert!(attempts as u64 <= 16 + 6 * seconds, "{attempts}");

    match fault {
        Fault::Killed => server.restart(),
        Fault::Stopped => server.signal("CONT"),
        Fault::Swallowed => {
            wire.swallow(false);
            wire.cut();
        }
        Fault::RestartedEmpty => {
            let revoked = one_of_every_kind().map(|(_, what)| entry(what, now() + 600));
            RedisStore::connect(&server.url()).await.unwrap().seed(revoked).await.unwrap();
        }
        Fault::RestartedWithData => {}
    }
    let is_back = async || ask(&authenticator, &token("new")).await == Passes;
    let took = eventually("recovered without a restart", is_back).await;
    println!("{fault:?}, deny-list: recovered after {took:?}, {attempts} attempts to connect");
    for (token, _) in one_of_every_kind() {
        assert_eq!(ask(&authenticator, &token).await, Revoked);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_list_of_a_killed_redis_answers_until_the_bound() {
    is_current_within_the_bound_or_unavailable(Fault::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_list_of_a_stopped_redis_answers_until_the_bound() {
    is_current_within_the_bound_or_unavailable(Fault::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_list_behind_a_silent_network_answers_until_the_bound() {
    is_current_within_the_bound_or_unavailable(Fault::Swallowed).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_list_of_a_redis_that_lost_its_data_is_unavailable_until_seeded() {
    is_current_within_the_bound_or_unavailable(Fault::RestartedEmpty).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_list_of_a_redis_that_kept_its_data_stays_complete() {
    is_current_within_the_bound_or_unavailable(Fault::RestartedWithData).await;
}
