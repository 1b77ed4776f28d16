use std::time::Duration;

use futures_util::FutureExt;
use tower_bearer::revocation::outbox::Outbox;
use tower_bearer::{
    BackgroundTask,
    claims::SystemClock,
    revocation::{RevocationStore, Verdict},
};
use tower_bearer_issuing::store::{MemoryTokenStore, TokenStore};
use tower_bearer_redis::{OutboxRelay, RedisStore};

use crate::{
    proxy::Proxy,
    server::Server,
    service::{
        Passes, Revoked, Service, Unavailable, asked, entry, eventually, every_kind, id, now, token,
    },
};

fn truth() -> MemoryTokenStore {
    MemoryTokenStore::new().with_clock(SystemClock::default())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn entries_reach_the_fleet_and_leave_the_outbox() {
    let server = Server::start();
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
        truth.revoke(&entry(every_kind(&name)[kind].clone(), now() + 600)).await.unwrap();
        assert_eq!(relay.carry().await.unwrap(), 1);
        eventually("push", async || fleet.ask(&token(&name)).await == Revoked).await;
    }
    assert_eq!(pushes.stats().gaps, 0);
    assert!(truth.outbox(10).await.unwrap().is_empty());
    assert_eq!(relay.carry().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_empty_redis_is_seeded_with_everything_that_is_revoked() {
    let mut server = Server::start();
    let truth = truth();
    let fleet = Service::with(&server.url(), Default::default(), Duration::ZERO).await;
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    let relay = OutboxRelay::new(truth.clone(), redis);
    for batch in 0..3 {
        let denials: Vec<_> =
            (0..400).map(|number| entry(id(&format!("t{batch}.{number}")), now() + 600)).collect();
        truth.deny(&denials).await.unwrap();
        relay.carry().await.unwrap();
    }
    assert_eq!(fleet.ask(&token("t0.0")).await, Revoked);
    server.kill();
    server.lose_data();
    server.restart();
    let other = Service::with(&server.url(), Default::default(), Duration::ZERO).await;
    assert_eq!(other.ask(&token("t0.0")).await, Unavailable);
    relay.spawn();
    eventually("seeded", async || other.ask(&token("a")).await == Passes).await;
    for batch in 0..3 {
        for number in [0, 199, 200, 399] {
            let name = format!("t{batch}.{number}");
            assert_eq!(other.ask(&token(&name)).await, Revoked, "{name}");
        }
    }
}

/// At each await that there is, the relay is dropped, or goes on with a wire that swallows from then on.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_relay_that_stops_at_any_await_loses_nothing() {
    let server = Server::start();
    for is_dropped in [true, false] {
        for begin in [Begin::Empty, Begin::Initialised, Begin::Seeded] {
            let mut stop_at = 0;
            while !stopped_at(stop_at, begin, is_dropped, &server).await {
                stop_at += 1;
                assert!(stop_at < 200, "it never comes to an end");
            }
            println!("stopped at each of {stop_at} awaits");
            assert!(stop_at > 1);
        }
    }
}

/// What Redis is before it is carried to.
#[derive(Clone, Copy, PartialEq)]
enum Begin {
    Empty,
    Initialised,
    Seeded,
}

/// Whether it came to its end before that.
async fn stopped_at(stop_at: usize, begin: Begin, is_dropped: bool, server: &Server) -> bool {
    server.command(&["FLUSHALL"]);
    let proxy = Proxy::to(server.port).await;
    let truth = truth();
    let redis = RedisStore::connect(&proxy.url()).await.unwrap();
    if begin == Begin::Initialised {
        redis.initialise().await.unwrap();
    }
    let relay = OutboxRelay::new(truth.clone(), redis);
    if begin == Begin::Seeded {
        relay.carry().await.unwrap();
    }
    truth.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    let mut polls = 0;
    let mut carrying = Box::pin(relay.carry());
    let carried = std::future::poll_fn(|cx| {
        if polls == stop_at {
            return std::task::Poll::Ready(None);
        }
        polls += 1;
        carrying.poll_unpin(cx).map(Some)
    })
    .await;
    if carried.is_none() && !is_dropped {
        proxy.swallow(true);
        // An answer that was on its way may still bring it to its end.
        let _ = carrying.await;
    }

    // Whoever comes next, over another wire, when the time of a seeding that was begun is over.
    server.command(&["DEL", "tower-bearer:seeding"]);
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    OutboxRelay::new(truth.clone(), redis.clone()).carry().await.unwrap();
    assert_eq!(redis.look_up(&asked([id("a")])).await.unwrap(), Verdict::Revoked, "{stop_at}");
    assert!(truth.outbox(10).await.unwrap().is_empty());
    carried.is_some()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn entries_stay_in_the_outbox_while_redis_is_unreachable() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let truth = truth();
    let redis = RedisStore::connect(&proxy.url()).await.unwrap();
    let relay = OutboxRelay::new(truth.clone(), redis);
    relay.carry().await.unwrap();
    proxy.swallow(true);
    truth.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    assert!(relay.carry().await.is_err());
    assert_eq!(truth.outbox(10).await.unwrap().len(), 1);
    proxy.swallow(false);
    proxy.cut();
    eventually("carried", async || relay.carry().await.is_ok()).await;
    assert!(truth.outbox(10).await.unwrap().is_empty());
    let other = RedisStore::connect(&server.url()).await.unwrap();
    assert_eq!(other.look_up(&asked([id("a")])).await.unwrap(), Verdict::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn several_relays_copy_at_the_same_time() {
    let server = Server::start();
    let truth = truth();
    let mut relays = Vec::new();
    for _ in 0..4 {
        let redis = RedisStore::connect(&server.url()).await.unwrap();
        let relay = OutboxRelay::new(truth.clone(), redis).with_interval(Duration::from_millis(1));
        relays.push(relay.spawn());
    }
    for number in 0..500 {
        truth.revoke(&entry(id(&format!("t{number}")), now() + 600)).await.unwrap();
    }
    eventually("carried", async || truth.outbox(1).await.unwrap().is_empty()).await;
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    for number in 0..500 {
        let what = [id(&format!("t{number}"))];
        assert_eq!(redis.look_up(&asked(what)).await.unwrap(), Verdict::Revoked, "{number}");
    }
    relays.iter().for_each(BackgroundTask::stop);
}
