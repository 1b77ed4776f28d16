use std::{error::Error, time::Duration};

use tower_bearer::revocation::outbox::Outbox;
use tower_bearer::revocation::{RevocationStore, Verdict};
use tower_bearer_issuing::store::MemoryTokenStore;
use tower_bearer_redis::{ConnectError, DenyList, OutboxRelay, RedisStore};

use crate::{
    server::Server,
    service::{Passes, Revoked, Service, Unavailable, asked, entry, eventually, id, now, token},
};

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_replica_is_rejected_at_start_and_unavailable_later() {
    let master = Server::start();
    let replica = Server::start();
    let service = Service::at(&replica.url()).await;
    service.store.initialise().await.unwrap();
    replica.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    let refused = RedisStore::connect(&replica.url()).await;
    assert!(matches!(refused, Err(ConnectError::Replica)), "{refused:?}");
    eventually("unavailable", async || service.ask(&token("a")).await == Unavailable).await;
}

#[tokio::test]
async fn errors_about_urls_do_not_contain_the_password() {
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

/// A server answers a command that it does not know with its arguments.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn no_error_contains_what_was_sent_to_the_server() {
    for (renamed, url) in [
        ("HELLO", "redis://service:hunter2@127.0.0.1:PORT/0?protocol=resp3"),
        ("AUTH", "redis://service:hunter2@127.0.0.1:PORT"),
        ("AUTH", "redis://:hunter2@127.0.0.1:PORT"),
    ] {
        let server = Server::start_with(&["--rename-command", renamed, ""]);
        let url = url.replace("PORT", &server.port.to_string());
        for builder in
            [RedisStore::builder(&url), RedisStore::builder(&url).allow_unreachable_at_start()]
        {
            let error = builder.connect().await.unwrap_err();
            assert!(chain(&error).contains("Redis answered with an error"), "{error:?}");
            assert!(!chain(&error).contains("hunter2"), "{error:?}");
        }
    }
    let server = Server::start_with(&["--rename-command", "EVAL", ""]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let error = store.revoke(&entry(id("hunter2"), now() + 600)).await.unwrap_err();
    assert!(chain(&error).contains("ERR"), "{error:?}");
    assert!(!chain(&error).contains("hunter2"), "{error:?}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_error_of_a_missing_password_has_the_code_of_redis() {
    let server = Server::start();
    server.command(&["CONFIG", "SET", "requirepass", "hunter2"]);
    let error = RedisStore::connect(&server.url()).await.unwrap_err();
    let said = chain(&error);
    assert!(said.contains("NOAUTH (Extension)") && !said.contains("no code"), "{said}");

    let wrong = server.url().replace("redis://", "redis://:wrong@");
    let said = chain(&RedisStore::connect(&wrong).await.unwrap_err());
    assert!(said.contains("AuthenticationFailed") && !said.contains("no code"), "{said}");
    assert!(!said.contains("wrong"), "{said}");

    let right = server.url().replace("redis://", "redis://:hunter2@");
    RedisStore::connect(&right).await.unwrap();
}

/// Everything that an error and its causes can be made to say.
fn chain(error: &dyn Error) -> String {
    let (mut text, mut cause) = (format!("{error:?}"), Some(error));
    while let Some(error) = cause {
        text += &format!(" {error}");
        cause = error.source();
    }
    text
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn timeouts_out_of_range_are_rejected_and_long_ones_work() {
    let server = Server::start();
    let builder = || RedisStore::builder(&server.url());
    for refused in [
        builder().with_wait(1, Duration::MAX),
        builder().with_wait(1, Duration::from_micros(999)),
        builder().with_wait(0, Duration::from_secs(1)),
        builder().with_command_timeout(Duration::ZERO),
        builder().with_connect_timeout(Duration::ZERO),
    ] {
        let refused = refused.connect().await;
        assert!(matches!(refused, Err(ConnectError::OutOfRange(_))), "{refused:?}");
    }
    let long = builder().with_command_timeout(Duration::MAX).with_connect_timeout(Duration::MAX);
    let store = long.with_wait(1, Duration::from_secs(3_600)).connect().await.unwrap();
    builder().connect().await.unwrap().initialise().await.unwrap();
    let list = DenyList::follow(&store, Duration::from_secs(60));
    eventually("follows", async || list.stats().is_current).await;

    let never = DenyList::follow(&store, Duration::ZERO);
    let before = server.info("total_commands_processed");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let commands = server.info("total_commands_processed") - before;
    assert!(commands < 150, "{commands}");
    assert!(!never.stats().is_current);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_documented_rights_of_the_acl_user_are_enough() {
    let server = Server::start();
    let granted = "+get +set +mget +del +expireat +xadd +xrange +eval +publish +subscribe +info +time +wait +select +hello";
    let for_a_deny_list = "+xread +scan";
    let mut command = vec!["ACL", "SETUSER", "service", "on", ">hunter2", "resetchannels"];
    command.extend(["~fleet:*", "&fleet:*"]);
    command.extend(granted.split(' ').chain(for_a_deny_list.split(' ')));
    assert_eq!(server.command(&command), "+OK");
    for protocol in ["", "?protocol=resp3"] {
        let url = format!("redis://service:hunter2@127.0.0.1:{}/0{protocol}", server.port);
        let store = RedisStore::builder(&url).with_prefix("fleet:").connect().await.unwrap();
        store.seed([entry(id("seeded"), now() + 600)]).await.unwrap();
        let service = Service::over(store, Default::default(), Duration::from_secs(60));
        let pushes = service.listen().await;
        let other = RedisStore::builder(&url).with_prefix("fleet:").connect().await.unwrap();
        assert_eq!(service.ask(&token("a")).await, Passes);
        assert_eq!(service.ask(&token("seeded")).await, Revoked);
        other.revoke(&entry(id("a"), now() + 600)).await.unwrap();
        eventually("push", async || service.ask(&token("a")).await == Revoked).await;
        assert_eq!((pushes.stats().gaps, pushes.stats().unreadable), (0, 0));
        let list = DenyList::follow(&other, Duration::from_secs(2));
        eventually("follows", async || list.stats().is_current).await;
        other.revoke(&entry(id("b"), now() + 600)).await.unwrap();
        let is_refused =
            async || list.look_up(&asked([id("b")])).await.is_ok_and(|it| it == Verdict::Revoked);
        eventually("followed", is_refused).await;
        drop(other.replay_store());
        let has_begun = async || server.command(&["EXISTS", "fleet:replays-since"]) == ":1";
        eventually("used proofs are recorded", has_begun).await;
        server.command(&["FLUSHALL"]);
        assert!(other.initialise().await.unwrap());
        let truth = MemoryTokenStore::new();
        for begin in ["with a generation", "with another", "without one"] {
            truth.revoke(&entry(id(begin), now() + 600)).await.unwrap();
            let relay = OutboxRelay::new(truth.clone(), other.clone());
            assert_eq!(relay.carry().await.unwrap(), 1, "{begin}");
            server.command(&["DEL", "fleet:generation"]);
            if begin == "with a generation" {
                assert!(other.initialise().await.unwrap());
            }
        }
        let relay = OutboxRelay::new(truth.clone(), other.clone());
        let relay = relay.spawn();
        truth.revoke(&entry(id("c"), now() + 600)).await.unwrap();
        eventually("carried", async || truth.outbox(1).await.unwrap().is_empty()).await;
        assert_eq!(other.look_up(&asked([id("c")])).await.unwrap(), Verdict::Revoked);
        assert_eq!(server.command(&["EXISTS", "fleet:relay"]), ":1");
        relay.stop();
        server.command(&["FLUSHALL"]);
    }
    let wrong = format!("redis://service:wrong@127.0.0.1:{}", server.port);
    assert!(matches!(RedisStore::connect(&wrong).await, Err(ConnectError::Unavailable(_))));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn prefixes_keep_fleets_apart() {
    let server = Server::start();
    let store = async |prefix: &str| {
        RedisStore::builder(&server.url()).with_prefix(prefix).connect().await.unwrap()
    };
    let (one, other) = (store("one:").await, store("other:").await);
    one.initialise().await.unwrap();
    one.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    assert!(other.look_up(&asked([id("a")])).await.is_err(), "not initialised");
    other.initialise().await.unwrap();
    assert_eq!(other.look_up(&asked([id("a")])).await.unwrap(), Verdict::NotRevoked);
}
