use std::time::Duration;

use tower_bearer::revocation::{RevocationStore, Verdict};
use tower_bearer_redis::RedisStore;

use crate::{
    proxy::Proxy,
    server::Server,
    service::{Passes, Service, Unavailable, asked, entry, eventually, every_kind, id, now, token},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_empty_redis_is_unavailable_until_it_is_initialised() {
    let server = Server::start();
    let service = Service::at(&server.url()).await;
    assert!(!service.store.is_seeded().await.unwrap());
    assert_eq!(service.ask(&token("a")).await, Unavailable);
    assert!(service.store.initialise().await.unwrap());
    assert!(service.store.is_seeded().await.unwrap());
    assert_eq!(service.ask(&token("a")).await, Passes);
    assert!(!service.store.initialise().await.unwrap(), "was done before");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn seeded_entries_reject_and_pushed_revocations_stay() {
    let server = Server::start();
    let service = Service::at(&server.url()).await;
    assert!(
        service.store.revoke(&entry(id("before"), now() + 600)).await.is_err(),
        "no generation yet"
    );
    let many = (0..1_234).map(|number| entry(id(&format!("t{number}")), now() + 600));
    let kinds = every_kind("kinds").map(|what| entry(what, now() + 600));
    service.store.seed(many.chain(kinds.clone())).await.unwrap();
    for refused in ["before", "t0", "t500", "t1233"] {
        assert_eq!(service.store.look_up(&asked([id(refused)])).await.unwrap(), Verdict::Revoked);
    }
    assert_eq!(service.store.look_up(&asked([id("t1234")])).await.unwrap(), Verdict::NotRevoked);
    for kind in kinds {
        assert_eq!(
            service.store.look_up(&asked([kind.thing().clone()])).await.unwrap(),
            Verdict::Revoked
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_seeding_that_loses_its_data_fails() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let denials = (0..1_500).map(|number| {
        if number == 1_200 {
            server.command(&["FLUSHALL"]);
        }
        entry(id(&format!("t{number}")), now() + 600)
    });
    assert!(store.seed(denials).await.is_err());
    assert!(!store.is_seeded().await.unwrap());
    store.seed([entry(id("t0"), now() + 600)]).await.unwrap();
    assert!(store.is_seeded().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_seeding_that_loses_batches_fails() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let mut backup = None;
    let denials = (0..1_500).map(|number| {
        // As a failover to a replica that has the beginning of it, or the first batch, and not the second.
        match number {
            700 => backup = Some(server.backup()),
            1_200 => server.restore(backup.as_ref().unwrap()),
            _ => {}
        }
        entry(id(&format!("t{number}")), now() + 600)
    });
    assert!(store.seed(denials).await.is_err());
    assert!(store.look_up(&asked([id("t0")])).await.is_err());
    assert!(!store.is_seeded().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn two_processes_cannot_seed_at_the_same_time() {
    let server = Server::start();
    let (one, other) = (
        RedisStore::connect(&server.url()).await.unwrap(),
        RedisStore::connect(&server.url()).await.unwrap(),
    );
    let runtime = tokio::runtime::Handle::current();
    let denials = (0..2).map(|number| {
        let (runtime, other) = (runtime.clone(), other.clone());
        let meanwhile = std::thread::spawn(move || runtime.block_on(other.seed([])));
        assert!(meanwhile.join().unwrap().is_err());
        entry(id(&format!("t{number}")), now() + 600)
    });
    one.seed(denials).await.unwrap();
    other.seed([]).await.unwrap();
}

/// Without a generation nobody would notice that it is lost again.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_revocation_in_an_emptied_redis_is_an_error_and_is_kept() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    store.revoke(&entry(id("before"), now() + 600)).await.unwrap();
    server.command(&["FLUSHALL"]);
    let error = store.revoke(&entry(id("emptied"), now() + 600)).await.unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(reason.starts_with("Redis has no generation"), "{reason}");
    store.seed([entry(id("before"), now() + 600)]).await.unwrap();
    for name in ["before", "emptied"] {
        assert_eq!(store.look_up(&asked([id(name)])).await.unwrap(), Verdict::Revoked, "{name}");
    }
    store.revoke(&entry(id("emptied"), now() + 600)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn initialise_fails_while_redis_is_being_seeded() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let denials = (0..1_500).map(|number| {
        if number == 700 {
            let runtime = tokio::runtime::Handle::current();
            let other = store.clone();
            let outcome = std::thread::spawn(move || {
                runtime.block_on(async { (other.initialise().await, other.is_seeded().await) })
            });
            let (initialised, is_seeded) = outcome.join().unwrap();
            assert!(initialised.is_err());
            assert!(!is_seeded.unwrap());
        }
        entry(id(&format!("t{number}")), now() + 600)
    });
    store.seed(denials).await.unwrap();
    assert_eq!(store.look_up(&asked([id("t1499")])).await.unwrap(), Verdict::Revoked);
    assert!(!store.initialise().await.unwrap());
}

/// The server behind the next connection need not have what others have recorded since it began.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_seeding_whose_connection_is_replaced_fails() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = RedisStore::connect(&proxy.url()).await.unwrap();
    let denials = (0..1_500).map(|number| {
        if number == 1_200 {
            let (runtime, other) = (tokio::runtime::Handle::current(), store.clone());
            proxy.cut();
            let is_back = async move || {
                eventually("another connection", async || other.is_seeded().await.is_ok()).await;
            };
            while proxy.accepted() < 2 {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::spawn(move || runtime.block_on(is_back())).join().unwrap();
        }
        entry(id(&format!("t{number}")), now() + 600)
    });
    assert!(store.seed(denials).await.is_err());
    assert!(!store.is_seeded().await.unwrap());
}
