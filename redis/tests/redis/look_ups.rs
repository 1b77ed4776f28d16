use std::time::Duration;

use tower_bearer::UnixTime;
use tower_bearer::revocation::{Lookup, OnUnavailable, Revocable, RevocationStore, Verdict};
use tower_bearer_redis::RedisStore;

use crate::{
    server::Server,
    service::{Passes, Revoked, Service, asked, entry, every_kind, id, issuer, now, token},
};

/// Asks at every request.
const NONE: Duration = Duration::ZERO;

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_revocation_is_seen_by_the_next_lookup_elsewhere() {
    let server = Server::start();
    for protocol in ["", "?protocol=resp3"] {
        for kind in 0..4 {
            server.command(&["FLUSHALL"]);
            let url = server.url() + protocol;
            let one = Service::with(&url, OnUnavailable::Deny, NONE).await;
            let other = Service::with(&url, OnUnavailable::Deny, NONE).await;
            assert!(one.store.initialise().await.unwrap());
            let token = token("a");
            assert_eq!(other.ask(&token).await, Passes);
            one.revoke(every_kind("a")[kind].clone()).await;
            assert_eq!(other.ask(&token).await, Revoked, "{kind} {protocol}");
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_cut_off_rejects_only_older_tokens_and_never_decreases() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    let cut_off = now() - 100;
    let subject = || Revocable::subject(issuer(), "alice");
    let revoked_until =
        |cut_off| entry(subject(), now() + 600).with_cut_off(UnixTime::from_secs(cut_off));
    let look_up = async |issued_at| {
        let lookup = Lookup::new([subject()], UnixTime::from_secs(issued_at));
        store.look_up(&lookup).await.unwrap()
    };
    for earlier in [0, 50, 99] {
        store.revoke(&revoked_until(cut_off - earlier)).await.unwrap();
        assert_eq!(look_up(cut_off).await, Verdict::Revoked);
        assert_eq!(look_up(cut_off + 1).await, Verdict::NotRevoked);
    }
    store.revoke(&revoked_until(cut_off + 1)).await.unwrap();
    assert_eq!(look_up(cut_off + 1).await, Verdict::Revoked);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn an_entry_is_kept_until_its_latest_end_and_no_longer() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    let later = now() + 100;
    for keep_until in [later, now() + 2, 0] {
        store.revoke(&entry(id("a"), keep_until)).await.unwrap();
    }
    let key = server.command(&["EVAL", "return redis.call('KEYS', '*:d:*')[1]", "0"]);
    let left: u64 = server.command(&["TTL", &key])[1..].parse().unwrap();
    assert!((95..=101).contains(&left), "{left}");
    assert_eq!(store.look_up(&asked([id("a")])).await.unwrap(), Verdict::Revoked);

    store.revoke(&entry(id("b"), u64::MAX)).await.unwrap();
    assert_eq!(store.look_up(&asked([id("b")])).await.unwrap(), Verdict::Revoked);
    store.revoke(&entry(id("over"), now() - 1)).await.unwrap();
    assert_eq!(store.look_up(&asked([id("over")])).await.unwrap(), Verdict::NotRevoked);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_lookup_is_one_command() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    let calls = || {
        let info = server.command(&["INFO", "commandstats"]);
        let line = info.lines().find_map(|line| line.strip_prefix("cmdstat_mget:calls="));
        line.map_or(0, |line| line.split(',').next().unwrap().parse::<u64>().unwrap())
    };
    // `initialise` reads keys with it.
    let (before, reads) = (calls(), server.calls("get"));
    for _ in 0..10 {
        store.look_up(&asked(every_kind("a"))).await.unwrap();
    }
    assert_eq!(calls(), before + 10);
    assert_eq!(server.calls("get"), reads);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn neither_ids_nor_subjects_are_kept_in_clear() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    for what in every_kind("a-secret-id") {
        store.revoke(&entry(what.clone(), now() + 600)).await.unwrap();
    }
    let script = "local all = '' for _, key in ipairs(redis.call('KEYS', '*')) do
        all = all .. key .. redis.call('DUMP', key) end return all";
    let everything = server.command(&["EVAL", script, "0"]);
    assert!(everything.contains("tower-bearer:d:"));
    for clear in ["secret-id", "alice", "s1\"", "issuer.example"] {
        assert!(!everything.contains(clear), "{clear}");
    }
    assert!(!format!("{store:?}").contains("127.0.0.1"));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn foreign_values_under_our_keys_make_lookups_fail() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    store.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    let key = server.command(&["EVAL", "return redis.call('KEYS', '*:d:*')[1]", "0"]);
    server.command(&["SET", &key, "yes"]);
    assert!(store.look_up(&asked([id("a")])).await.is_err());
    assert!(store.look_up(&asked([id("b")])).await.is_ok());
    server.command(&["SET", "tower-bearer:count", "many"]);
    assert!(store.look_up(&asked([id("b")])).await.is_err());
}
