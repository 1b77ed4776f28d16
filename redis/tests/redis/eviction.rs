//! A Redis that forgets when its memory is short.

use std::error::Error;

use tower_bearer::revocation::{RevocationStore, Verdict};
use tower_bearer_redis::{ConnectError, RedisStore};

use crate::{
    server::Server,
    service::{Passes, Service, Unavailable, asked, entry, eventually, id, now, token},
};

#[tokio::test]
#[ignore = "needs redis-server"]
async fn an_evicting_server_is_rejected_and_unavailable_until_seeded() {
    let server = Server::start();
    let service = Service::at(&server.url()).await;
    service.store.initialise().await.unwrap();
    assert_eq!(service.ask(&token("a")).await, Passes);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let refused = RedisStore::connect(&server.url()).await.unwrap_err();
    assert!(matches!(&refused, ConnectError::Evicting(policy) if policy == "allkeys-lru"));
    assert_eq!(
        refused.to_string(),
        "Redis evicts revocations: expected maxmemory-policy noeviction, got allkeys-lru; set it, and seed Redis again"
    );
    eventually("unavailable", async || service.ask(&token("new")).await == Unavailable).await;
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    eventually("connected", async || service.store.is_seeded().await.is_ok()).await;
    assert!(!service.store.is_seeded().await.unwrap());
    assert_eq!(service.ask(&token("new")).await, Unavailable);
    service.store.initialise().await.unwrap();
    assert_eq!(service.ask(&token("new")).await, Passes);
}

/// The denials have a date of expiry and the generation has none: `volatile-lru`, which several providers set, takes what is
/// guarded and leaves the guard.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn evicted_keys_stay_a_loss_after_the_policy_is_corrected() {
    const COUNT: usize = 2_000;
    let server = Server::start();
    let service = Service::at(&server.url()).await;
    let denials = || (0..COUNT).map(|number| entry(id(&format!("t{number}")), now() + 600));
    service.store.seed(denials()).await.unwrap();
    assert_eq!(service.store.look_up(&asked([id("t0")])).await.unwrap(), Verdict::Revoked);
    evict(&server).await;
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);

    eventually("told", async || !server.has_a_generation()).await;
    for number in 0..COUNT {
        let verdict = service.store.look_up(&asked([id(&format!("t{number}"))])).await;
        assert!(!matches!(verdict, Ok(Verdict::NotRevoked)), "{number}");
    }
    let refused = RedisStore::connect(&server.url()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Evicted), "{refused:?}");
    assert!(refused.to_string().contains("CONFIG RESETSTAT") && refused.source().is_none());

    server.command(&["CONFIG", "RESETSTAT"]);
    eventually("connected", async || service.store.is_seeded().await.is_ok()).await;
    assert!(service.store.look_up(&asked([id("t0")])).await.is_err(), "not seeded");
    service.store.seed(denials()).await.unwrap();
    for number in 0..COUNT {
        let what = [id(&format!("t{number}"))];
        assert_eq!(service.store.look_up(&asked(what)).await.unwrap(), Verdict::Revoked);
    }
}

/// Nobody was there to see the policy.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_first_process_notices_keys_evicted_before_its_start() {
    let server = Server::start();
    {
        let store = RedisStore::connect(&server.url()).await.unwrap();
        let denials = (0..2_000).map(|number| entry(id(&format!("t{number}")), now() + 600));
        store.seed(denials).await.unwrap();
    }
    eventually("gone", async || server.info("connected_clients") == 1).await;
    evict(&server).await;
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let refused = RedisStore::connect(&server.url()).await;
    assert!(matches!(refused, Err(ConnectError::Evicted)), "{refused:?}");
    server.command(&["CONFIG", "RESETSTAT"]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    assert!(!store.is_seeded().await.unwrap());
}

async fn evict(server: &Server) {
    server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    let memory = server.info("used_memory") - 100_000;
    server.command(&["CONFIG", "SET", "maxmemory", &memory.to_string()]);
    eventually("evicted", async || {
        server.command(&["SET", "somebody-elses", "x"]);
        server.info("evicted_keys") > 200
    })
    .await;
}
