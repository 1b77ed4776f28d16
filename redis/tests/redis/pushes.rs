use std::time::{Duration, Instant};

use tower_bearer::{
    RevocationCache,
    revocation::{OnUnavailable, RevocationStore},
};
use tower_bearer_redis::RedisStore;

use crate::{
    proxy::Proxy,
    server::Server,
    service::{HOUR, Passes, Revoked, Service, entry, eventually, every_kind, id, now, token},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_push_is_in_force_long_before_the_bound() {
    let server = Server::start();
    for protocol in ["", "?protocol=resp3"] {
        for kind in 0..4 {
            server.command(&["FLUSHALL"]);
            let url = server.url() + protocol;
            let one = Service::with(&url, OnUnavailable::Deny, HOUR).await;
            let other = Service::with(&url, OnUnavailable::Deny, HOUR).await;
            one.store.initialise().await.unwrap();
            let pushes = other.listen().await;
            assert_eq!(other.ask(&token("a")).await, Passes);
            one.revoke(every_kind("a")[kind].clone()).await;
            let took = eventually("push", async || other.ask(&token("a")).await == Revoked).await;
            assert!(took < Duration::from_secs(5), "{took:?}");
            assert_eq!(pushes.stats().gaps, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_revocation_without_a_push_is_seen_after_the_bound() {
    let server = Server::start();
    let one = Service::at(&server.url()).await;
    let other = Service::at(&server.url()).await;
    one.store.initialise().await.unwrap();
    assert_eq!(other.ask(&token("a")).await, Passes);
    let begin = Instant::now();
    one.revoke(id("a")).await;
    eventually("refused", async || other.ask(&token("a")).await == Revoked).await;
    assert!(begin.elapsed() < crate::service::BOUND + Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn revocations_during_a_disconnection_are_seen_afterwards() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let one = Service::at(&server.url()).await;
    let other = Service::with(&proxy.url(), OnUnavailable::Deny, HOUR).await;
    one.store.initialise().await.unwrap();
    let pushes = other.listen().await;
    assert_eq!(other.ask(&token("a")).await, Passes);

    proxy.swallow(true);
    one.revoke(id("a")).await;
    eventually("noticed", async || !pushes.stats().is_connected).await;
    proxy.swallow(false);
    proxy.cut();
    eventually("back", async || pushes.stats().is_connected).await;
    eventually("refused", async || other.ask(&token("a")).await == Revoked).await;
    assert!(pushes.stats().connections >= 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_gap_in_the_count_marks_cached_answers_as_stale() {
    let server = Server::start();
    let one = Service::at(&server.url()).await;
    let other = Service::with(&server.url(), OnUnavailable::Deny, HOUR).await;
    one.store.initialise().await.unwrap();
    let pushes = other.listen().await;
    one.revoke(id("first")).await;
    eventually("first", async || pushes.stats().received == 1).await;
    assert_eq!(other.ask(&token("a")).await, Passes);
    let asked = || other.revocation.stats().look_ups;

    // Recorded, and its message lost on the way.
    let before = asked();
    server.count_up();
    eventually("doubt without any message", async || pushes.stats().gaps == 1).await;
    assert_eq!(other.ask(&token("a")).await, Passes);
    assert_eq!(asked(), before + 1, "asks again");
    server.count_up();
    one.revoke(id("third")).await;
    eventually("doubt by the next message", async || pushes.stats().gaps == 2).await;
    assert_eq!(pushes.stats().received, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn many_revocations_at_once_arrive_without_a_gap() {
    let server = Server::start();
    let one = RedisStore::connect(&server.url()).await.unwrap();
    let other = Service::with(&server.url(), OnUnavailable::Deny, HOUR).await;
    one.initialise().await.unwrap();
    let pushes = other.listen().await;
    let all: Vec<_> = (0..2_000)
        .map(|number| {
            let one = one.clone();
            let what = id(&format!("t{number}"));
            tokio::spawn(
                async move { one.revoke(&entry(what.clone(), now() + 600)).await.unwrap() },
            )
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    eventually("all", async || pushes.stats().received == 2_000).await;
    assert_eq!(pushes.stats().gaps, 0);
    assert_eq!(other.revocation.stats().denials, 2_000);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn dropping_store_and_cache_closes_all_connections() {
    let server = Server::start();
    let alone = server.info("connected_clients");
    {
        let service = Service::at(&server.url()).await;
        service.store.initialise().await.unwrap();
        let _pushes = service.listen().await;
        assert_eq!(server.info("connected_clients"), alone + 2);
    }
    eventually("closed", async || server.info("connected_clients") == alone).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_cache_in_front_of_another_store_receives_pushes() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    let memory = tower_bearer::revocation::MemoryStore::new();
    let cache = RevocationCache::new(memory, HOUR);
    let authenticator = crate::service::authenticator(&cache);
    let pushes = store.push_to(&cache);
    eventually("pushes", async || pushes.stats().is_connected).await;
    assert_eq!(crate::service::ask(&authenticator, &token("a")).await, Passes);
    store.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    eventually("push", async || crate::service::ask(&authenticator, &token("a")).await == Revoked)
        .await;
}
