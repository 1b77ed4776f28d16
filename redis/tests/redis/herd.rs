//! How much Redis is asked, and how often it is called, by a fleet that has lost it.

use std::time::{Duration, Instant};

use tower_bearer_redis::RedisStore;

use crate::{
    proxy::Proxy,
    server::Server,
    service::{Passes, Service, Unavailable, eventually, token},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_idle_or_reconnecting_fleet_sends_few_commands() {
    const PROCESSES: usize = 20;
    let mut server = Server::start_with(&["--appendonly", "yes"]);
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
    assert!(each < 8.0, "{each}");

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
#[ignore = "needs redis-server"]
async fn reconnects_back_off_however_many_requests_there_are() {
    let mut server = Server::start();
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
