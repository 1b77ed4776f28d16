//! What is answered, and for how long, when Redis cannot be asked.

use std::time::{Duration, Instant};

use tower_bearer::revocation::{OnUnavailable, RevocationStore, redis::RedisStore};

use crate::{
    proxy::Proxy,
    server::Server,
    service::{BOUND, Outcome, Passes, Revoked, Service, Unavailable, eventually, id, now, token},
};

const MAX_AGE: Duration = Duration::from_secs(2);

const POLICIES: [OnUnavailable; 3] =
    [OnUnavailable::Deny, OnUnavailable::Allow, OnUnavailable::ServeStale(MAX_AGE)];

/// A tick of the coarse clock, and what a busy machine adds to an answer that is on its way.
const LATE: Duration = Duration::from_millis(700);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Killed,
    Stopped,
    Swallowed,
    RestartedEmpty,
    RestartedWithData,
}

struct Fleet {
    server: Server,
    proxy: Proxy,
    service: Service,
}

impl Fleet {
    async fn new(on_unavailable: OnUnavailable) -> Option<Self> {
        let server = Server::start_with(&["--appendonly", "yes", "--appendfsync", "always"])?;
        let proxy = Proxy::to(server.port).await;
        let service = Service::with(&proxy.url(), on_unavailable, BOUND).await;
        service.store.initialise().await.unwrap();
        Some(Self { server, proxy, service })
    }

    fn break_it(&mut self, fault: Fault) {
        match fault {
            Fault::Killed => self.server.kill(),
            Fault::Stopped => self.server.signal("STOP"),
            Fault::Swallowed => self.proxy.swallow(true),
            Fault::RestartedEmpty => {
                self.server.kill();
                self.server.lose_data();
                self.server.restart();
            }
            Fault::RestartedWithData => {
                self.server.kill();
                self.server.restart();
            }
        }
    }

    async fn mend(&mut self, fault: Fault) {
        match fault {
            Fault::Killed => self.server.restart(),
            Fault::Stopped => self.server.signal("CONT"),
            Fault::Swallowed => {
                self.proxy.swallow(false);
                self.proxy.cut();
            }
            Fault::RestartedEmpty => {
                let operator = RedisStore::connect(&self.server.url()).await.unwrap();
                operator.initialise().await.unwrap();
            }
            Fault::RestartedWithData => {}
        }
    }
}

/// What a token gets while Redis is away: by the age of the last answer about it.
fn expected(policy: OnUnavailable, age: Duration) -> &'static [Outcome] {
    let (fresh, stale) = (BOUND, BOUND + MAX_AGE);
    match policy {
        OnUnavailable::Allow => &[Passes],
        _ if age < fresh.saturating_sub(LATE) => &[Passes],
        OnUnavailable::ServeStale(_) if age < stale.saturating_sub(LATE) => &[Passes],
        OnUnavailable::ServeStale(_) if age < stale + LATE => &[Passes, Unavailable],
        _ if age < fresh + LATE => &[Passes, Unavailable],
        _ => &[Unavailable],
    }
}

async fn is_answered_by_policy(fault: Fault) {
    for policy in POLICIES {
        let Some(mut fleet) = Fleet::new(policy).await else { return };
        let (known, revoked) = (token("known"), token("revoked"));
        fleet.service.revoke(id("revoked")).await;
        let asked = Instant::now();
        assert_eq!(fleet.service.ask(&known).await, Passes);

        fleet.break_it(fault);
        let mut last = None;
        while asked.elapsed() < BOUND + MAX_AGE + 2 * LATE {
            let before = asked.elapsed();
            let outcome = fleet.service.ask(&known).await;
            let allowed = [expected(policy, before), expected(policy, asked.elapsed())].concat();
            assert!(allowed.contains(&outcome), "{fault:?} {policy:?} {before:?}: {outcome:?}");
            if last != Some(outcome) {
                println!("{fault:?}, {policy:?}: {outcome:?} from {before:?} on");
                last = Some(outcome);
            }
            assert_eq!(fleet.service.ask(&revoked).await, Revoked, "a known denial stays");
            let never_asked = token(&format!("new {before:?}"));
            let outcome = fleet.service.ask(&never_asked).await;
            let allowed = if policy == OnUnavailable::Allow { Passes } else { Unavailable };
            assert_eq!(
                outcome, allowed,
                "{fault:?} {policy:?}: a token that was never asked about"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }

        fleet.mend(fault).await;
        let asks = async || {
            let before = fleet.service.revocation.stats();
            let outcome = fleet.service.ask(&token(&format!("after {:?}", asked.elapsed()))).await;
            let after = fleet.service.revocation.stats();
            outcome == Passes && after.failures == before.failures
        };
        let took = eventually("recovered without a restart", asks).await;
        println!("{fault:?}, {policy:?}: recovered after {took:?}");
        assert!(took < Duration::from_secs(8), "{took:?}");
        assert_eq!(fleet.service.ask(&revoked).await, Revoked);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_killed_is_answered_for_by_policy() {
    is_answered_by_policy(Fault::Killed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_stands_still_is_answered_for_by_policy() {
    is_answered_by_policy(Fault::Stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wire_that_swallows_is_answered_for_by_policy() {
    is_answered_by_policy(Fault::Swallowed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_empty_is_answered_for_by_policy() {
    is_answered_by_policy(Fault::RestartedEmpty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_with_its_data_is_asked_as_before() {
    let Some(mut fleet) = Fleet::new(OnUnavailable::Deny).await else { return };
    let elsewhere = RedisStore::connect(&fleet.server.url()).await.unwrap();
    elsewhere.revoke(&id("elsewhere"), now() + 600).await.unwrap();
    fleet.break_it(Fault::RestartedWithData);
    let back = async || fleet.service.ask(&token("a")).await == Passes;
    let took = eventually("recovered", back).await;
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_eq!(fleet.service.ask(&token("elsewhere")).await, Revoked);
}

/// Somebody revokes a token whose "not revoked" was just asked for, behind a wire that swallows.
#[tokio::test(flavor = "multi_thread")]
async fn no_revoked_token_passes_after_the_bound_whatever_happens_to_the_wire() {
    for (policy, bound) in
        [(OnUnavailable::Deny, BOUND), (OnUnavailable::ServeStale(MAX_AGE), BOUND + MAX_AGE)]
    {
        for listens in [false, true] {
            let Some(fleet) = Fleet::new(policy).await else { return };
            if listens {
                fleet.service.listen().await;
            }
            let elsewhere = RedisStore::connect(&fleet.server.url()).await.unwrap();
            assert_eq!(fleet.service.ask(&token("a")).await, Passes);
            fleet.proxy.swallow(true);
            elsewhere.revoke(&id("a"), now() + 600).await.unwrap();
            let revoked = Instant::now();
            while revoked.elapsed() < bound + LATE {
                let started = revoked.elapsed();
                let outcome = fleet.service.ask(&token("a")).await;
                // A tick of the coarse clock.
                if started > bound + Duration::from_millis(10) {
                    assert_ne!(outcome, Passes, "{policy:?} {started:?}");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            fleet.proxy.swallow(false);
            fleet.proxy.cut();
            eventually("refused", async || fleet.service.ask(&token("a")).await == Revoked).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_fleet_and_one_that_comes_back_ask_little() {
    const PROCESSES: usize = 20;
    let Some(mut server) = Server::start_with(&["--appendonly", "yes"]) else { return };
    RedisStore::connect(&server.url()).await.unwrap().initialise().await.unwrap();
    let mut fleet = Vec::new();
    for _ in 0..PROCESSES {
        let service = Service::at(&server.url()).await;
        let pushes = service.listen().await;
        fleet.push((service, pushes));
    }
    let seconds = 3;
    let before = server.info("total_commands_processed");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let each = (server.info("total_commands_processed") - before) as f64
        / (seconds * PROCESSES as u64) as f64;
    println!("an idle process sends {each:.1} commands a second");
    assert!(each < 6.0, "{each}");

    server.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    server.restart();
    let begin = Instant::now();
    let is_back = async || {
        let mut outcomes = Vec::new();
        for (service, pushes) in &fleet {
            outcomes.push(service.ask(&token("a")).await == Passes && pushes.stats().is_connected);
        }
        outcomes.into_iter().all(|is_back| is_back)
    };
    eventually("the fleet is back", is_back).await;
    let commands = server.info("total_commands_processed") as f64 / PROCESSES as f64;
    let connections = server.info("total_connections_received") as f64 / PROCESSES as f64;
    let took = begin.elapsed();
    println!("back after {took:?}: {commands:.1} commands and {connections:.1} connections each");
    assert!(connections < 4.0, "{connections}");
    assert!(commands < 40.0 * (1.0 + took.as_secs_f64()), "{commands}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_tried_less_and_less_often_however_many_ask() {
    let Some(mut server) = Server::start() else { return };
    let proxy = Proxy::to(server.port).await;
    let service = Service::at(&proxy.url()).await;
    service.store.initialise().await.unwrap();
    let _pushes = service.listen().await;
    server.kill();
    let before = proxy.accepted();
    let begin = Instant::now();
    let mut asked = 0;
    let mut slowest = Duration::ZERO;
    while begin.elapsed() < Duration::from_secs(4) {
        let one = Instant::now();
        let outcome = service.ask(&token(&format!("t{asked}"))).await;
        assert_eq!(outcome, Unavailable);
        slowest = slowest.max(one.elapsed());
        asked += 1;
    }
    let attempts = proxy.accepted() - before;
    println!("{asked} requests, {attempts} attempts to connect, slowest refusal {slowest:?}");
    assert!(asked > 100, "refusals do not wait: {asked}");
    assert!(attempts <= 24, "{attempts}");
}
