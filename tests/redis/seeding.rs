use tower_bearer::revocation::{RevocationStore, Verdict, redis::RedisStore};

use crate::{
    server::Server,
    service::{Passes, Service, Unavailable, every_kind, id, now, token},
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
    assert!(service.store.revoke(&id("before"), now() + 600).await.is_err(), "no generation yet");
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
async fn a_seeding_that_loses_batches_is_not_a_seeding() {
    let Some(server) = Server::start() else { return };
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let mut backup = None;
    let denials = (0..1_500).map(|number| {
        // As a failover to a replica that has the beginning of it, or the first batch, and not the second.
        match number {
            700 => backup = Some(server.backup()),
            1_200 => server.restore(backup.as_ref().unwrap()),
            _ => {}
        }
        (id(&format!("t{number}")), now() + 600)
    });
    assert!(store.seed(denials).await.is_err());
    assert!(store.look_up(&[id("t0")]).await.is_err());
    assert!(!store.is_seeded().await.unwrap());
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
