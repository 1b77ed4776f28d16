use std::time::Duration;

use tower_bearer::revocation::{RevocationStore, Verdict, redis::RedisStore};

use crate::{
    server::Server,
    service::{Passes, Revoked, Service, Unavailable, eventually, every_kind, id, now, token},
};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_redis_is_unavailable_until_it_is_initialised() {
    let Some(server) = Server::start() else { return };
    let service = Service::at(&server.url()).await;
    assert!(!service.store.is_seeded().await.unwrap());
    assert_eq!(service.ask(&token("a")).await, Unavailable);
    assert!(service.store.initialise().await.unwrap());
    assert!(service.store.is_seeded().await.unwrap());
    assert_eq!(service.ask(&token("a")).await, Passes);
    assert!(!service.store.initialise().await.unwrap(), "was done before");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_seeded_is_refused_and_pushed_revocations_stay() {
    let Some(server) = Server::start() else { return };
    let service = Service::at(&server.url()).await;
    service.revoke(id("before")).await;
    let many = (0..1_234).map(|number| (id(&format!("t{number}")), now() + 600));
    let kinds = every_kind("kinds").map(|what| (what, now() + 600));
    service.store.seed(many.chain(kinds.clone())).await.unwrap();
    for refused in ["before", "t0", "t500", "t1233"] {
        assert_eq!(service.store.look_up(&[id(refused)]).await.unwrap(), Verdict::Revoked);
    }
    assert_eq!(service.store.look_up(&[id("t1234")]).await.unwrap(), Verdict::NotRevoked);
    for kind in kinds {
        assert_eq!(
            service.store.look_up(std::slice::from_ref(&kind.0)).await.unwrap(),
            Verdict::Revoked
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seeding_that_loses_its_data_is_not_a_seeding() {
    let Some(server) = Server::start() else { return };
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let denials = (0..1_500).map(|number| {
        if number == 1_200 {
            server.command(&["FLUSHALL"]);
        }
        (id(&format!("t{number}")), now() + 600)
    });
    assert!(store.seed(denials).await.is_err());
    assert!(!store.is_seeded().await.unwrap());
    store.seed([(id("t0"), now() + 600)]).await.unwrap();
    assert!(store.is_seeded().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_do_not_seed_at_once() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (
        RedisStore::connect(&server.url()).await.unwrap(),
        RedisStore::connect(&server.url()).await.unwrap(),
    );
    let runtime = tokio::runtime::Handle::current();
    let denials = (0..2).map(|number| {
        let (runtime, other) = (runtime.clone(), other.clone());
        let meanwhile = std::thread::spawn(move || runtime.block_on(other.seed([])));
        assert!(meanwhile.join().unwrap().is_err());
        (id(&format!("t{number}")), now() + 600)
    });
    one.seed(denials).await.unwrap();
    other.seed([]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_went_backwards_is_unavailable_for_the_whole_fleet() {
    let Some(server) = Server::start() else { return };
    let (one, other) = (Service::at(&server.url()).await, Service::at(&server.url()).await);
    one.store.initialise().await.unwrap();
    one.revoke(id("kept")).await;
    one.revoke(id("lost")).await;
    assert_eq!(one.ask(&token("a")).await, Passes);

    // As a snapshot from before the last revocation.
    server.command(&["SET", "tower-bearer:count", "1"]);
    server.command(&[
        "EVAL",
        "for _, key in ipairs(redis.call('KEYS', '*:d:*')) do redis.call('DEL', key) end return 1",
        "0",
    ]);
    assert_eq!(one.ask(&token("b")).await, Unavailable);
    assert_eq!(
        other.ask(&token("lost")).await,
        Unavailable,
        "which has never seen the higher count"
    );
    assert!(!other.store.is_seeded().await.unwrap());

    other.store.seed([(id("kept"), now() + 600), (id("lost"), now() + 600)]).await.unwrap();
    eventually("back", async || one.ask(&token("b")).await == Passes).await;
    assert_eq!(other.ask(&token("lost")).await, Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_generation_is_a_new_count() {
    let Some(server) = Server::start() else { return };
    let service = Service::with(&server.url(), Default::default(), Duration::ZERO).await;
    service.store.initialise().await.unwrap();
    service.revoke(id("a")).await;
    service.revoke(id("b")).await;
    server.command(&["FLUSHALL"]);
    assert_eq!(service.ask(&token("c")).await, Unavailable);
    service.store.seed([]).await.unwrap();
    assert_eq!(service.ask(&token("c")).await, Passes);
    assert_eq!(service.ask(&token("a")).await, Revoked, "this process knows");
}
