//! Background tasks: they stop, they report their health, and a stopped task never makes a decision more permissive.

use std::time::Duration;

use tower_bearer::{
    RevocationCache, TaskHealth, UnixTime,
    claims::ManualClock,
    revocation::{RevocationStore, Verdict, outbox::Outbox},
};
use tower_bearer_issuing::store::MemoryTokenStore;
use tower_bearer_redis::{DenyList, OutboxRelay, RedisStore};

use crate::{
    server::Server,
    service::{
        HOUR, Passes, Revoked, Service, Unavailable, ask, asked, authenticator, entry, eventually,
        id, now, token,
    },
    slow_store::SlowStore,
};

const BOUND: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_stopped_store_gives_its_connections_up_and_every_lookup_fails() {
    let server = Server::start();
    let alone = server.info("connected_clients");
    let wait = Duration::from_secs(1);
    let store = RedisStore::builder(&server.url()).with_wait(1, wait).connect().await.unwrap();
    let other = RedisStore::connect(&server.url()).await.unwrap();
    other.initialise().await.unwrap();
    assert_eq!(store.look_up(&asked([id("a")])).await.unwrap(), Verdict::NotRevoked);
    assert!(store.task().health().is_ok());

    // Both connections of the store are closed. The other store keeps its own.
    store.task().shutdown().await;
    assert!(!store.task().health().is_running);
    eventually("closed", async || server.info("connected_clients") == alone + 1).await;
    let error = store.look_up(&asked([id("a")])).await.unwrap_err();
    assert_eq!(error.kind(), "stopped");
    assert_eq!(store.revoke(&entry(id("a"), now() + 600)).await.unwrap_err().kind(), "stopped");
    assert_eq!(other.look_up(&asked([id("a")])).await.unwrap(), Verdict::NotRevoked);
    let service = Service::over(store, Default::default(), Duration::ZERO);
    assert_eq!(service.ask(&token("a")).await, Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn health_shows_a_killed_redis_and_its_return() {
    let mut server = Server::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let truth = MemoryTokenStore::new();
    // The relay has its own connection, so that each task is measured by itself.
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    let relay = OutboxRelay::new(truth, redis).with_interval(Duration::from_millis(20)).spawn();
    eventually("seeded", async || server.has_a_generation()).await;
    let cache = RevocationCache::new(store.clone(), HOUR);
    let pushes = store.push_to(&cache);
    let list = DenyList::follow(&store, BOUND);
    let tasks = [store.task(), pushes.task(), list.task(), relay];
    eventually("connected", async || pushes.stats().is_connected).await;
    eventually("current", async || list.stats().is_current).await;
    let health = || tasks.each_ref().map(|task| task.health());
    eventually("all are ok", async || health().iter().all(TaskHealth::is_ok)).await;

    server.kill();
    let is_failing =
        |health: &TaskHealth| health.is_running && !health.is_ok() && health.last_error.is_some();
    eventually("all fail", async || health().iter().all(is_failing)).await;
    server.restart();
    eventually("all are ok again", async || health().iter().all(TaskHealth::is_ok)).await;
    for task in tasks {
        task.shutdown().await;
        assert!(!task.health().is_running, "{}", task.name());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn health_shows_at_once_that_redis_was_unreachable_at_start() {
    let mut server = Server::absent();
    let builder = RedisStore::builder(&server.url()).with_wait(1, Duration::from_secs(1));
    let store = builder.allow_unreachable_at_start().connect().await.unwrap();
    let health = store.task().health();
    assert!(health.is_running && !health.is_ok());
    assert_eq!(health.last_error, Some("dial"));
    server.restart();
    eventually("ok", async || store.task().health().is_ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn stopped_pushes_end_and_the_bound_of_the_cache_holds() {
    let server = Server::start();
    let service = Service::at(&server.url()).await;
    service.store.initialise().await.unwrap();
    let other = RedisStore::connect(&server.url()).await.unwrap();
    let connections = server.info("connected_clients");
    let pushes = service.listen().await;
    assert_eq!(service.ask(&token("a")).await, Passes);

    pushes.task().shutdown().await;
    assert!(!pushes.task().health().is_running && !pushes.stats().is_connected);
    eventually("closed", async || server.info("connected_clients") == connections).await;
    other.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    eventually("the bound", async || service.ask(&token("a")).await == Revoked).await;
    assert_eq!(pushes.stats().received, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_stopped_deny_list_is_unavailable_after_its_bound() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    let clock = ManualClock::at(UnixTime::from_secs(now()));
    let list = DenyList::follow(&store, BOUND).with_clock(clock.clone());
    let authenticator = authenticator(&RevocationCache::new(list.clone(), Duration::ZERO));
    eventually("current", async || list.stats().is_current).await;
    list.task().shutdown().await;
    assert!(!list.task().health().is_running);
    assert_eq!(ask(&authenticator, &token("a")).await, Passes);

    // This process does not see the revocation, so it must not answer "not revoked" after the bound.
    store.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    clock.advance(BOUND + Duration::from_secs(1));
    assert!(!list.stats().is_current);
    let error = list.look_up(&asked([id("a")])).await.unwrap_err();
    assert_eq!(error.kind(), "out_of_date");
    assert_eq!(ask(&authenticator, &token("a")).await, Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_stopped_relay_leaves_entries_and_a_new_one_publishes_them() {
    let server = Server::start();
    let truth = MemoryTokenStore::new();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let spawn = || {
        let relay = OutboxRelay::new(truth.clone(), store.clone());
        relay.with_interval(Duration::from_millis(5)).spawn()
    };
    let relay = spawn();
    eventually("seeded", async || server.has_a_generation()).await;
    relay.shutdown().await;
    assert!(!relay.health().is_running);
    truth.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    assert_eq!(truth.outbox(10).await.unwrap().len(), 1);
    assert_eq!(store.look_up(&asked([id("a")])).await.unwrap(), Verdict::NotRevoked);

    // Dropping the handle does not stop the new relay.
    drop(spawn());
    eventually("published", async || truth.outbox(10).await.unwrap().is_empty()).await;
    assert_eq!(store.look_up(&asked([id("a")])).await.unwrap(), Verdict::Revoked);
}

/// The relay is dropped after Redis has the entry and before the outbox has lost it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_relay_stopped_between_both_sides_publishes_at_least_once() {
    let server = Server::start();
    let truth = SlowStore::on(&MemoryTokenStore::new());
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let relay = OutboxRelay::new(truth.clone(), store.clone()).spawn();
    eventually("seeded", async || server.has_a_generation()).await;
    let gate = truth.outbox_done.close().await;
    truth.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    eventually("recorded", async || truth.outbox_done.arrived() > 0).await;
    assert_eq!(store.look_up(&asked([id("a")])).await.unwrap(), Verdict::Revoked);
    relay.shutdown().await;
    drop(gate);
    assert_eq!(truth.outbox(10).await.unwrap().len(), 1);

    let relay = OutboxRelay::new(truth.clone(), store.clone()).spawn();
    eventually("published", async || truth.outbox(10).await.unwrap().is_empty()).await;
    assert_eq!(store.look_up(&asked([id("a")])).await.unwrap(), Verdict::Revoked);
    relay.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn tasks_stop_with_the_last_clone_of_their_component() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    let cache = RevocationCache::new(store.clone(), HOUR);
    let pushes = store.push_to(&cache);
    let list = DenyList::follow(&store, BOUND);
    let tasks = [store.task(), pushes.task(), list.task()];
    let is_running = |index: usize| tasks[index].health().is_running;

    drop(list.clone());
    drop(pushes);
    eventually("current", async || list.stats().is_current).await;
    assert!((0..3).all(is_running));
    drop(list);
    eventually("the list has stopped", async || !is_running(2)).await;
    assert!(is_running(0) && is_running(1));
    drop(cache);
    eventually("the pushes have stopped", async || !is_running(1)).await;
    assert!(is_running(0));
    drop(store);
    eventually("the store has stopped", async || !is_running(0)).await;
}
