//! A service that starts before its Redis.

use std::error::Error;

use tower_bearer_redis::{ConnectError, DenyList, RedisStore};

use crate::{
    server::Server,
    service::{HOUR, Passes, Revoked, Service, Unavailable, entry, eventually, id, now, token},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_unreachable_redis_fails_the_start_unless_allowed() {
    let server = Server::absent();
    let refused = RedisStore::connect(&server.url()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Unavailable(_)), "{refused:?}");
    let builder = RedisStore::builder(&server.url()).allow_unreachable_at_start();
    builder.connect().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn lookups_fail_until_redis_is_reachable_and_miss_nothing() {
    let mut server = Server::absent();
    let builder = RedisStore::builder(&server.url()).allow_unreachable_at_start();
    let store = builder.connect().await.unwrap();
    let list = DenyList::follow(&store, HOUR);
    let service = Service::over(store, Default::default(), HOUR);
    let pushes = service.store.push_to(&service.revocation);
    for name in ["a", "b"] {
        assert_eq!(service.ask(&token(name)).await, Unavailable);
    }
    let error = service.store.is_seeded().await.unwrap_err();
    let reason = error.source().unwrap().source().unwrap();
    assert!(reason.to_string().starts_with("cannot connect to Redis"), "{reason}");
    assert!(service.revocation.revoke(&entry(id("here"), now() + 600)).await.is_err());
    assert_eq!(service.ask(&token("here")).await, Revoked, "in this process");

    server.restart();
    assert_eq!(service.ask(&token("a")).await, Unavailable, "it is empty");
    let other = RedisStore::connect(&server.url()).await.unwrap();
    other.seed([entry(id("a"), now() + 600)]).await.unwrap();
    eventually("refused", async || service.ask(&token("a")).await == Revoked).await;
    eventually("passes", async || service.ask(&token("b")).await == Passes).await;
    eventually("listens", async || pushes.stats().is_connected).await;
    eventually("follows", async || list.stats().is_current).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_stopped_redis_counts_as_unreachable_at_start() {
    let server = Server::start();
    let connect =
        async |url: &str| RedisStore::builder(url).allow_unreachable_at_start().connect().await;
    server.signal("STOP");
    let early = Service::over(connect(&server.url()).await.unwrap(), Default::default(), HOUR);
    assert_eq!(early.ask(&token("a")).await, Unavailable);
    server.signal("CONT");
    eventually("connected", async || early.store.is_seeded().await.is_ok()).await;

    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert!(matches!(connect(&server.url()).await, Err(ConnectError::Evicting(_))));
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let with_password = server.url().replace("redis://", "redis://nobody:hunter2@");
    let error = connect(&with_password).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unavailable(_)), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));

    let replica = Server::start();
    replica.command(&["REPLICAOF", "127.0.0.1", &server.port.to_string()]);
    assert!(matches!(connect(&replica.url()).await, Err(ConnectError::Replica)));
    assert!(matches!(connect("http://127.0.0.1").await, Err(ConnectError::Url)));
}

/// It is judged when it is met, and every time anew.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn wrong_settings_are_unavailable_until_they_are_corrected() {
    let server = Server::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    server.signal("STOP");
    let builder = RedisStore::builder(&server.url()).allow_unreachable_at_start();
    let service = Service::over(builder.connect().await.unwrap(), Default::default(), HOUR);
    server.signal("CONT");
    let evicts = async || {
        let error = service.store.is_seeded().await.unwrap_err();
        let reason = error.source().and_then(Error::source).map(ToString::to_string);
        reason.is_some_and(|reason| reason.starts_with("Redis evicts revocations"))
    };
    eventually("told why", evicts).await;
    assert_eq!(service.ask(&token("a")).await, Unavailable);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    eventually("connected", async || service.store.is_seeded().await.is_ok()).await;
    service.store.initialise().await.unwrap();
    assert_eq!(service.ask(&token("a")).await, Passes);
}
