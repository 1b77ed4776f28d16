use std::{error::Error, time::Duration};

use tower_bearer::revocation::{
    RevocationStore, Verdict,
    redis::{ConnectError, RedisStore},
};

use crate::{
    server::Server,
    service::{Passes, Revoked, Service, Unavailable, eventually, id, now, token},
};

#[tokio::test]
async fn a_server_that_evicts_is_refused_at_start_and_unavailable_later() {
    let Some(server) = Server::start() else { return };
    let service = Service::at(&server.url()).await;
    service.store.initialise().await.unwrap();
    assert_eq!(service.ask(&token("a")).await, Passes);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let refused = RedisStore::connect(&server.url()).await.unwrap_err();
    assert!(matches!(&refused, ConnectError::Evicting(policy) if policy == "allkeys-lru"));
    assert_eq!(
        refused.to_string(),
        "the maxmemory-policy of Redis is allkeys-lru, which forgets revocations: set it to noeviction"
    );
    eventually("unavailable", async || service.ask(&token("new")).await == Unavailable).await;
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    eventually("back", async || service.ask(&token("new")).await == Passes).await;
}

#[tokio::test]
async fn a_replica_is_refused_at_start_and_unavailable_later() {
    let Some(master) = Server::start() else { return };
    let replica = Server::start().unwrap();
    let service = Service::at(&replica.url()).await;
    service.store.initialise().await.unwrap();
    replica.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    let refused = RedisStore::connect(&replica.url()).await;
    assert!(matches!(refused, Err(ConnectError::Replica)), "{refused:?}");
    eventually("unavailable", async || service.ask(&token("a")).await == Unavailable).await;
}

#[tokio::test]
async fn urls_that_cannot_be_used_are_told_without_their_password() {
    for url in
        ["", "http://a", "rediss://user:hunter2@", "rediss:hunter2", "redis://user:hunter2@:x"]
    {
        let error = RedisStore::connect(url).await.unwrap_err();
        assert!(matches!(error, ConnectError::Url), "{url}: {error:?}");
    }
    let builder = RedisStore::builder("redis://user:hunter2@127.0.0.1:1");
    assert!(!format!("{builder:?}").contains("hunter2"));
    let error = builder.connect().await.unwrap_err();
    assert!(matches!(error, ConnectError::Unavailable(_)));
    assert!(error.source().is_some());
    assert!(!format!("{error:?} {error}").contains("hunter2"));
}

#[tokio::test]
async fn an_acl_user_needs_no_more_than_the_docs_say() {
    let Some(server) = Server::start() else { return };
    let granted = "+get +set +mget +del +incr +expire +expireat +xadd +eval +publish +subscribe +info +wait +select +hello";
    let mut command = vec!["ACL", "SETUSER", "service", "on", ">hunter2", "resetchannels"];
    command.extend(["~fleet:*", "&fleet:*"]);
    command.extend(granted.split(' '));
    assert_eq!(server.command(&command), "+OK");
    for protocol in ["", "?protocol=resp3"] {
        let url = format!("redis://service:hunter2@127.0.0.1:{}/0{protocol}", server.port);
        let store = RedisStore::builder(&url).with_prefix("fleet:").connect().await.unwrap();
        store.seed([(id("seeded"), now() + 600)]).await.unwrap();
        let service = Service::over(store, Default::default(), Duration::from_secs(60));
        let pushes = service.listen().await;
        let other = RedisStore::builder(&url).with_prefix("fleet:").connect().await.unwrap();
        assert_eq!(service.ask(&token("a")).await, Passes);
        assert_eq!(service.ask(&token("seeded")).await, Revoked);
        other.revoke(&id("a"), now() + 600).await.unwrap();
        eventually("push", async || service.ask(&token("a")).await == Revoked).await;
        assert_eq!(pushes.stats().gaps, 0);
        server.command(&["FLUSHALL"]);
    }
    let wrong = format!("redis://service:wrong@127.0.0.1:{}", server.port);
    assert!(matches!(RedisStore::connect(&wrong).await, Err(ConnectError::Unavailable(_))));
}

#[tokio::test]
async fn prefixes_keep_fleets_apart() {
    let Some(server) = Server::start() else { return };
    let store = async |prefix: &str| {
        RedisStore::builder(&server.url()).with_prefix(prefix).connect().await.unwrap()
    };
    let (one, other) = (store("one:").await, store("other:").await);
    one.initialise().await.unwrap();
    one.revoke(&id("a"), now() + 600).await.unwrap();
    assert!(other.look_up(&[id("a")]).await.is_err(), "not initialised");
    other.initialise().await.unwrap();
    assert_eq!(other.look_up(&[id("a")]).await.unwrap(), Verdict::NotRevoked);
}

#[tokio::test]
async fn a_revocation_waits_for_as_many_replicas_as_it_was_told_to() {
    let Some(master) = Server::start() else { return };
    let store = RedisStore::builder(&master.url())
        .with_wait(1, Duration::from_millis(300))
        .connect()
        .await
        .unwrap();
    store.initialise().await.unwrap();
    assert!(store.revoke(&id("alone"), now() + 600).await.is_err(), "there is no replica");

    let replica = Server::start().unwrap();
    replica.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    let revoke = async || store.revoke(&id("a"), now() + 600).await.is_ok();
    eventually("replicated", revoke).await;

    replica.signal("STOP");
    assert!(store.revoke(&id("slow"), now() + 600).await.is_err(), "the replica is too slow");
    assert_eq!(store.look_up(&[id("slow")]).await.unwrap(), Verdict::Revoked, "on the master");
    replica.signal("CONT");
    eventually("replicated again", revoke).await;
    assert!(store.revoke(&id("slow"), now() + 600).await.is_ok());
}
