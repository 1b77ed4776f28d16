//! A revocation that starts in the future: its start goes wherever the revocation goes.

use std::time::Duration;

use tower_bearer::revocation::outbox::Outbox;
use tower_bearer::{
    RevocationCache, UnixTime,
    claims::ManualClock,
    revocation::{Revocable, RevocationStore, Verdict},
};
use tower_bearer_issuing::store::{MemoryTokenStore, TokenStore};
use tower_bearer_redis::{DenyList, OutboxRelay, RedisStore};

use crate::{
    server::Server,
    service::{
        HOUR, Passes, Revoked, ask, asked, authenticator, entry, eventually, id, now, token,
    },
};

/// A token store that revokes `name` from that second on.
async fn revoking(name: &str, start: u64) -> MemoryTokenStore {
    let truth = MemoryTokenStore::new();
    let later = entry(id(name), start + 3_600).with_start(UnixTime::from_secs(start));
    truth.deny(&[later]).await.unwrap();
    truth
}

async fn says(store: &impl RevocationStore, what: Revocable) -> Verdict {
    store.look_up(&asked([what])).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_start_is_pushed_looked_up_listed_and_seeded() {
    let mut server = Server::start();
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    redis.initialise().await.unwrap();
    let start = now() + 600;
    let truth = revoking("a", start).await;
    let relay = OutboxRelay::new(truth.clone(), redis.clone());
    relay.carry().await.unwrap();
    assert!(truth.outbox(10).await.unwrap().is_empty(), "it does not wait for its start");

    let list = DenyList::follow(&redis, HOUR);
    eventually("the list is read", async || list.stats().is_current).await;
    assert_eq!(says(&redis, id("a")).await, Verdict::RevokedFrom(UnixTime::from_secs(start)));
    assert_eq!(says(&list, id("a")).await, Verdict::RevokedFrom(UnixTime::from_secs(start)));

    server.kill();
    server.lose_data();
    server.restart();
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    OutboxRelay::new(truth.clone(), redis.clone()).carry().await.unwrap();
    assert_eq!(
        says(&redis, id("a")).await,
        Verdict::RevokedFrom(UnixTime::from_secs(start)),
        "seeded"
    );

    truth.revoke(&entry(id("a"), start + 3_600)).await.unwrap();
    OutboxRelay::new(truth, redis.clone()).carry().await.unwrap();
    assert_eq!(says(&redis, id("a")).await, Verdict::Revoked, "the earlier start holds");
    // It is unavailable until it has read the seeded Redis.
    let listed = async || list.look_up(&asked([id("a")])).await.ok();
    eventually("the list follows", async || listed().await == Some(Verdict::Revoked)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_later_start_does_not_weaken_a_revocation() {
    let server = Server::start();
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    redis.initialise().await.unwrap();
    redis.revoke(&entry(id("a"), now() + 3_600)).await.unwrap();
    let truth = revoking("a", now() + 600).await;
    OutboxRelay::new(truth, redis.clone()).seed().await.unwrap();
    assert_eq!(says(&redis, id("a")).await, Verdict::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn every_process_rejects_from_the_start_of_an_entry() {
    let server = Server::start();
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    redis.initialise().await.unwrap();
    let start = now() + 600;

    // One process hears of it by a push, after it has asked about the token; another asks later.
    let clock = ManualClock::at(UnixTime::from_secs(now()));
    let process = || RevocationCache::new(redis.clone(), HOUR).with_clock(clock.clone());
    let (pushed, asking) = (process(), process());
    let pushes = redis.push_to(&pushed);
    eventually("pushes", async || pushes.stats().is_connected).await;
    assert_eq!(ask(&authenticator(&pushed), &token("a")).await, Passes);
    let truth = revoking("a", start).await;
    OutboxRelay::new(truth, redis.clone()).carry().await.unwrap();
    eventually("the push", async || pushed.stats().denials == 1).await;

    for cache in [&pushed, &asking] {
        clock.set_unix_time(UnixTime::from_secs(start - 1));
        assert_eq!(ask(&authenticator(cache), &token("a")).await, Passes);
        let questions = cache.stats().look_ups;
        clock.advance(Duration::from_secs(1));
        assert_eq!(ask(&authenticator(cache), &token("a")).await, Revoked);
        assert_eq!(cache.stats().look_ups, questions, "without another question");
    }
}
