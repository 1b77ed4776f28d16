use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tower_bearer::{
    claims::SystemClock,
    issuing::store::{Denial, MemoryTokenStore, TokenStore},
    revocation::{
        RevocationStore, Verdict,
        redis::{OutboxRelay, RedisStore},
    },
};

use crate::{
    proxy::Proxy,
    server::Server,
    service::{Passes, Revoked, Service, Unavailable, eventually, every_kind, id, now, token},
};

fn truth() -> MemoryTokenStore {
    MemoryTokenStore::new().with_clock(SystemClock::default())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_truth_revokes_reaches_the_fleet_and_leaves_the_outbox() {
    let Some(server) = Server::start() else { return };
    let truth = truth();
    let fleet = Service::with(&server.url(), Default::default(), Duration::from_secs(3_600)).await;
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    let relay = OutboxRelay::new(truth.clone(), redis);
    assert_eq!(relay.carry().await.unwrap(), 0, "seeds");
    let pushes = fleet.listen().await;
    for kind in 0..4 {
        let name = format!("t{kind}");
        let asked = fleet.ask(&token(&name)).await;
        assert!(kind > 1 || asked == Passes);
        truth.revoke(&every_kind(&name)[kind], now() + 600).await.unwrap();
        assert_eq!(relay.carry().await.unwrap(), 1);
        eventually("push", async || fleet.ask(&token(&name)).await == Revoked).await;
    }
    assert_eq!(pushes.stats().gaps, 0);
    assert!(truth.outbox(10).await.unwrap().is_empty());
    assert_eq!(relay.carry().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_redis_is_seeded_with_everything_that_is_revoked() {
    let Some(mut server) = Server::start() else { return };
    let truth = truth();
    let fleet = Service::with(&server.url(), Default::default(), Duration::ZERO).await;
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    let relay = Arc::new(OutboxRelay::new(truth.clone(), redis));
    for batch in 0..3 {
        let denials: Vec<_> = (0..400)
            .map(|number| Denial::new(id(&format!("t{batch}.{number}")), now() + 600))
            .collect();
        truth.deny(&denials).await.unwrap();
        relay.carry().await.unwrap();
    }
    assert_eq!(fleet.ask(&token("t0.0")).await, Revoked);
    server.kill();
    server.lose_data();
    server.restart();
    let other = Service::with(&server.url(), Default::default(), Duration::ZERO).await;
    assert_eq!(other.ask(&token("t0.0")).await, Unavailable);
    tokio::spawn(async move { relay.run().await });
    eventually("seeded", async || other.ask(&token("a")).await == Passes).await;
    for batch in 0..3 {
        for number in [0, 199, 200, 399] {
            let name = format!("t{batch}.{number}");
            assert_eq!(other.ask(&token(&name)).await, Revoked, "{name}");
        }
    }
}

/// Dropped at its n-th await, for every n that there is.
#[tokio::test]
async fn wherever_it_stops_nothing_is_lost() {
    let Some(server) = Server::start() else { return };
    let mut finished = false;
    for stop_at in 0..200 {
        server.command(&["FLUSHALL"]);
        let truth = truth();
        let redis = RedisStore::connect(&server.url()).await.unwrap();
        truth.revoke(&id("seeded"), now() + 600).await.unwrap();
        truth.revoke(&id("carried"), now() + 600).await.unwrap();
        let polls = AtomicUsize::new(0);
        {
            let relay = OutboxRelay::new(truth.clone(), redis.clone());
            let mut carrying = Box::pin(relay.carry());
            let polled = std::future::poll_fn(|cx| {
                if polls.fetch_add(1, SeqCst) == stop_at {
                    return std::task::Poll::Ready(None);
                }
                carrying.poll_unpin(cx).map(Some)
            });
            if let Some(carried) = polled.await {
                carried.unwrap();
                finished = true;
            }
        }
        // What was asked of Redis before the stop may still be on its way: another relay comes when the seeding of the
        // first is over.
        server.command(&["DEL", "tower-bearer:seeding"]);
        let relay = OutboxRelay::new(truth.clone(), redis.clone());
        relay.carry().await.unwrap();
        for name in ["seeded", "carried"] {
            assert_eq!(redis.look_up(&[id(name)]).await.unwrap(), Verdict::Revoked, "{stop_at}");
        }
        assert!(truth.outbox(10).await.unwrap().is_empty());
        if finished {
            return;
        }
    }
    panic!("it never came to an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_waits_for_a_redis_that_is_away() {
    let Some(server) = Server::start() else { return };
    let proxy = Proxy::to(server.port).await;
    let truth = truth();
    let redis = RedisStore::connect(&proxy.url()).await.unwrap();
    let relay = OutboxRelay::new(truth.clone(), redis);
    relay.carry().await.unwrap();
    proxy.swallow(true);
    truth.revoke(&id("a"), now() + 600).await.unwrap();
    assert!(relay.carry().await.is_err());
    assert_eq!(truth.outbox(10).await.unwrap().len(), 1);
    proxy.swallow(false);
    proxy.cut();
    eventually("carried", async || relay.carry().await.is_ok()).await;
    assert!(truth.outbox(10).await.unwrap().is_empty());
    let other = RedisStore::connect(&server.url()).await.unwrap();
    assert_eq!(other.look_up(&[id("a")]).await.unwrap(), Verdict::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_relays_carry_beside_each_other() {
    let Some(server) = Server::start() else { return };
    let truth = truth();
    let mut relays = Vec::new();
    for _ in 0..4 {
        let redis = RedisStore::connect(&server.url()).await.unwrap();
        let relay = OutboxRelay::new(truth.clone(), redis).with_interval(Duration::from_millis(1));
        relays.push(tokio::spawn(async move { relay.run().await }));
    }
    for number in 0..500 {
        truth.revoke(&id(&format!("t{number}")), now() + 600).await.unwrap();
    }
    eventually("carried", async || truth.outbox(1).await.unwrap().is_empty()).await;
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    for number in 0..500 {
        let what = [id(&format!("t{number}"))];
        assert_eq!(redis.look_up(&what).await.unwrap(), Verdict::Revoked, "{number}");
    }
    relays.iter().for_each(tokio::task::JoinHandle::abort);
}
