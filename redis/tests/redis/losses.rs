//! What Redis had acknowledged and has no more.

use std::time::Duration;

use tower_bearer::revocation::{RevocationStore, Verdict};
use tower_bearer_redis::RedisStore;

use crate::{
    proxy::Proxy,
    server::Server,
    service::{
        HOUR, Passes, Revoked, Service, Unavailable, asked, entry, eventually, id, now, token,
    },
};

/// Asks at every request.
const NONE: Duration = Duration::ZERO;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn data_that_went_backwards_is_unavailable_for_the_whole_fleet() {
    let server = Server::start();
    let (one, other) = (Service::at(&server.url()).await, Service::at(&server.url()).await);
    one.store.initialise().await.unwrap();
    one.revoke(id("kept")).await;
    let backup = server.backup();
    one.revoke(id("lost")).await;
    assert_eq!(one.ask(&token("a")).await, Passes);

    server.restore(&backup);
    assert_eq!(one.ask(&token("b")).await, Unavailable);
    assert_eq!(
        other.ask(&token("lost")).await,
        Unavailable,
        "which has never seen the higher count"
    );
    assert!(!other.store.is_seeded().await.unwrap());

    other
        .store
        .seed([entry(id("kept"), now() + 600), entry(id("lost"), now() + 600)])
        .await
        .unwrap();
    eventually("back", async || one.ask(&token("b")).await == Passes).await;
    assert_eq!(other.ask(&token("lost")).await, Revoked);
}

/// Without a look-up in between.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_process_notices_the_loss_of_its_own_revocation() {
    let server = Server::start();
    let (one, other) = (Service::at(&server.url()).await, Service::at(&server.url()).await);
    one.store.initialise().await.unwrap();
    let backup = server.backup();
    one.store.revoke(&entry(id("lost"), now() + 600)).await.unwrap();
    server.restore(&backup);
    assert!(one.store.look_up(&asked([id("x")])).await.is_err(), "the process that revoked");
    assert_eq!(other.ask(&token("lost")).await, Unavailable);
}

/// Nobody asks and nobody listens: the heartbeat looks.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_idle_process_notices_a_loss_and_the_fleet_is_unavailable() {
    let server = Server::start();
    let idle = RedisStore::connect(&server.url()).await.unwrap();
    idle.initialise().await.unwrap();
    let backup = server.backup();
    let elsewhere = RedisStore::connect(&server.url()).await.unwrap();
    elsewhere.revoke(&entry(id("lost"), now() + 600)).await.unwrap();
    drop(elsewhere);
    eventually("let go", async || server.info("connected_clients") == 2).await;
    let (looked, beats) = (server.calls("xrange"), 2);
    eventually("heartbeats", async || server.calls("xrange") > looked + beats).await;

    server.restore(&backup);
    eventually("told", async || !server.has_a_generation()).await;
    let new = Service::with(&server.url(), Default::default(), NONE).await;
    assert_eq!(new.ask(&token("lost")).await, Unavailable);
    drop(idle);
}

/// It could not be told when it was noticed, and the count went on before it could.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_loss_that_could_not_be_recorded_in_redis_is_remembered() {
    let server = Server::start();
    let one = Service::with(&server.url(), Default::default(), NONE).await;
    one.store.initialise().await.unwrap();
    let backup = server.backup();
    one.revoke(id("lost")).await;
    server.restore(&backup);
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(one.ask(&token("a")).await, Unavailable);

    let other = Service::with(&server.url(), Default::default(), NONE).await;
    server.command(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    for further in ["b", "c"] {
        let _ = other.store.revoke(&entry(id(further), now() + 600)).await;
    }
    assert_eq!(one.ask(&token("a")).await, Unavailable);
    assert!(!server.has_a_generation());
    assert_eq!(other.ask(&token("lost")).await, Unavailable);
}

/// As many others were revoked before anybody asked.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_loss_is_noticed_after_the_count_has_caught_up_or_passed() {
    for others in [1, 2] {
        let server = Server::start();
        let proxy = Proxy::to(server.port).await;
        let one = Service::with(&proxy.url(), Default::default(), NONE).await;
        one.store.initialise().await.unwrap();
        one.revoke(id("kept")).await;
        let backup = server.backup();
        one.revoke(id("lost")).await;
        proxy.swallow(true);

        server.restore(&backup);
        let new = RedisStore::connect(&server.url()).await.unwrap();
        for number in 0..others {
            new.revoke(&entry(id(&format!("t{number}")), now() + 600)).await.unwrap();
        }
        assert_eq!(new.look_up(&asked([id("lost")])).await.unwrap(), Verdict::NotRevoked, "so far");
        proxy.swallow(false);
        proxy.cut();
        let is_noticed = async || {
            assert_ne!(one.ask(&token("x")).await, Passes, "{others}");
            new.look_up(&asked([id("lost")])).await.is_err()
        };
        eventually("noticed", is_noticed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_replaced_generation_is_not_accepted_after_a_restore() {
    let server = Server::start();
    let service = Service::with(&server.url(), Default::default(), NONE).await;
    service.store.initialise().await.unwrap();
    assert_eq!(service.ask(&token("x")).await, Passes);
    let backup = server.backup();
    server.command(&["FLUSHALL"]);
    service.store.seed([]).await.unwrap();
    let elsewhere = RedisStore::connect(&server.url()).await.unwrap();
    elsewhere.revoke(&entry(id("lost"), now() + 600)).await.unwrap();

    server.restore(&backup);
    assert_eq!(service.ask(&token("lost")).await, Unavailable);
    let new = Service::with(&server.url(), Default::default(), NONE).await;
    assert_eq!(new.ask(&token("lost")).await, Unavailable, "the fleet was told");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_count_of_a_new_generation_is_compared_afresh() {
    let server = Server::start();
    let service = Service::with(&server.url(), Default::default(), NONE).await;
    service.store.initialise().await.unwrap();
    service.revoke(id("a")).await;
    service.revoke(id("b")).await;
    server.command(&["FLUSHALL"]);
    assert_eq!(service.ask(&token("c")).await, Unavailable);
    service.store.seed([]).await.unwrap();
    assert_eq!(service.ask(&token("c")).await, Passes);
    assert_eq!(service.ask(&token("a")).await, Revoked, "this process knows");
}

/// Of real servers: the replica has not got the last revocation, the process that made it goes on.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_failover_that_loses_the_last_revocation_is_noticed() {
    let (mut master, replica) = (Server::start(), Server::start());
    let name = Proxy::to(master.port).await;
    let service = Service::with(&name.url(), Default::default(), NONE).await;
    service.store.initialise().await.unwrap();
    service.revoke(id("kept")).await;
    let replication = Proxy::to(master.port).await;
    let port = replication.url().rsplit(':').next().unwrap().to_owned();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]);
    let has_it = async || replica.command(&["GET", "tower-bearer:count"]).starts_with("1 ");
    eventually("replicated", has_it).await;

    replication.swallow(true);
    let revoker = Service::with(&name.url(), Default::default(), NONE).await;
    revoker.revoke(id("lost")).await;
    name.lead_to(replica.port);
    master.kill();
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    eventually("told", async || !replica.has_a_generation()).await;
    let new = Service::with(&name.url(), Default::default(), HOUR).await;
    assert_eq!(new.ask(&token("lost")).await, Unavailable);
    assert_eq!(revoker.ask(&token("lost")).await, Revoked, "which knows");
}
