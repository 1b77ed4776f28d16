//! Revocations that replicas have to confirm.

use std::time::{Duration, Instant};

use tower_bearer::revocation::{RevocationStore, Verdict};
use tower_bearer_redis::RedisStore;

use crate::{
    proxy::Proxy,
    server::Server,
    service::{Revoked, Service, asked, entry, eventually, id, now, token},
};

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_revocation_waits_for_the_configured_number_of_replicas() {
    let master = Server::start();
    let store = RedisStore::builder(&master.url())
        .with_wait(1, Duration::from_millis(300))
        .connect()
        .await
        .unwrap();
    assert!(store.initialise().await.is_err(), "there is no replica");
    assert!(store.is_seeded().await.unwrap(), "on the master");
    assert!(store.revoke(&entry(id("alone"), now() + 600)).await.is_err(), "there is no replica");

    let replica = Server::start();
    replica.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    let revoke = async || store.revoke(&entry(id("a"), now() + 600)).await.is_ok();
    eventually("replicated", revoke).await;

    replica.signal("STOP");
    assert!(
        store.revoke(&entry(id("slow"), now() + 600)).await.is_err(),
        "the replica is too slow"
    );
    assert_eq!(
        store.look_up(&asked([id("slow")])).await.unwrap(),
        Verdict::Revoked,
        "on the master"
    );
    replica.signal("CONT");
    eventually("replicated again", revoke).await;
    assert!(store.revoke(&entry(id("slow"), now() + 600)).await.is_ok());
}

/// As when a replica is lost and many log out.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_unconfirmed_revocation_is_in_force_and_fails_in_time() {
    const WAIT: Duration = Duration::from_millis(300);
    let master = Server::start();
    let builder = RedisStore::builder(&master.url()).with_wait(1, WAIT);
    let store = builder.connect().await.unwrap();
    RedisStore::connect(&master.url()).await.unwrap().initialise().await.unwrap();
    let service = Service::at(&master.url()).await;
    let pushes = service.listen().await;
    let begin = Instant::now();
    let revoke = |number: usize| {
        let store = store.clone();
        tokio::spawn(
            async move { store.revoke(&entry(id(&format!("t{number}")), now() + 600)).await },
        )
    };
    let all: Vec<_> = (0..50).map(revoke).collect();
    for one in all {
        let error = one.await.unwrap().unwrap_err();
        assert!(format!("{error:?}").contains("TooFewReplicas"), "{error:?}");
    }
    let took = begin.elapsed();
    println!("50 revocations without a replica took {took:?}");
    assert!(took < 4 * WAIT, "{took:?}");
    for number in 0..50 {
        assert_eq!(service.ask(&token(&format!("t{number}"))).await, Revoked, "{number}");
    }
    eventually("pushed", async || pushes.stats().received == 50).await;

    // Some give up: the others are answered all the same, by a replica that may take its time.
    let builder = RedisStore::builder(&master.url()).with_wait(1, Duration::from_secs(10));
    let store = builder.connect().await.unwrap();
    let revoke = |number: usize| {
        let store = store.clone();
        tokio::spawn(
            async move { store.revoke(&entry(id(&format!("t{number}")), now() + 600)).await },
        )
    };
    let replica = Server::start();
    replica.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    let is_back = async || store.revoke(&entry(id("b"), now() + 600)).await.is_ok();
    eventually("replicated", is_back).await;
    let all: Vec<_> = (100..200).map(revoke).collect();
    let (abandoned, waited_for): (Vec<_>, Vec<_>) =
        all.into_iter().enumerate().partition(|(number, _)| number % 3 == 0);
    abandoned.iter().for_each(|(_, one)| one.abort());
    for (_, one) in waited_for {
        one.await.unwrap().unwrap();
    }
}

/// The two connections of a store can lead to different servers after a failover.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_server_with_fewer_revocations_does_not_confirm_one() {
    let master = Server::start();
    let (other, replica) = (Server::start(), Server::start());
    replica.command(&["REPLICAOF", "127.0.0.1", &other.port.to_string()]);
    let wire = Proxy::to(master.port).await;
    let builder = RedisStore::builder(&wire.url()).with_wait(1, Duration::from_millis(500));
    let store = builder.connect().await.unwrap();
    RedisStore::connect(&master.url()).await.unwrap().initialise().await.unwrap();
    let revoke = async || store.revoke(&entry(id("a"), now() + 600)).await;
    assert!(format!("{:?}", revoke().await).contains("TooFewReplicas"), "which has none");

    wire.lead_to(other.port);
    // The oldest, which is the one that waits.
    let clients = master.command(&["CLIENT", "LIST"]);
    let oldest = clients.strip_prefix("id=").unwrap().split(' ').next().unwrap();
    master.command(&["CLIENT", "KILL", "ID", oldest]);
    let has_moved = async || format!("{:?}", revoke().await).contains("WentBackwards");
    eventually("refused", has_moved).await;
    assert_eq!(
        store.look_up(&asked([id("a")])).await.unwrap(),
        Verdict::Revoked,
        "where it is in force"
    );
}
