use std::time::{Duration, Instant};

use tower_bearer::{
    RevocationCache, UnixTime,
    claims::ManualClock,
    revocation::{Revocable, RevocationStore, Verdict},
};
use tower_bearer_redis::{DenyList, RedisStore};

use crate::{
    proxy::Proxy,
    server::Server,
    service::{
        Passes, Revoked, Unavailable, ask, asked, authenticator, entry, eventually, every_kind, id,
        issuer, now, token, token_issued_at,
    },
};

const BOUND: Duration = Duration::from_secs(2);

pub(crate) struct Follower {
    pub(crate) list: DenyList,
    authenticator: tower_bearer::Authenticator,
}

pub(crate) async fn follow(url: &str) -> Follower {
    let store = RedisStore::connect(url).await.unwrap();
    let list = DenyList::follow(&store, BOUND);
    let cache = RevocationCache::new(list.clone(), Duration::ZERO);
    Follower { list, authenticator: authenticator(&cache) }
}

impl Follower {
    pub(crate) async fn ask(&self, token: &str) -> crate::service::Outcome {
        ask(&self.authenticator, token).await
    }

    pub(crate) async fn is_current(&self) {
        eventually("current", async || self.list.stats().is_current).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn it_is_unavailable_until_the_first_snapshot_and_then_knows_all() {
    let server = Server::start();
    let follower = follow(&server.url()).await;
    assert_eq!(follower.ask(&token("a")).await, Unavailable, "not seeded");
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let many = (0..5_000).map(|number| entry(id(&format!("t{number}")), now() + 600));
    store.seed(many).await.unwrap();
    follower.is_current().await;
    assert_eq!(follower.list.stats().denials, 5_000);
    for number in 0..5_000 {
        let what = [id(&format!("t{number}"))];
        assert_eq!(follower.list.look_up(&asked(what)).await.unwrap(), Verdict::Revoked);
    }
    assert_eq!(follower.ask(&token("a")).await, Passes);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn it_follows_revocations_of_every_kind() {
    let server = Server::start();
    for protocol in ["", "?protocol=resp3"] {
        for kind in 0..4 {
            server.command(&["FLUSHALL"]);
            let url = server.url() + protocol;
            let store = RedisStore::connect(&url).await.unwrap();
            store.initialise().await.unwrap();
            let follower = follow(&url).await;
            follower.is_current().await;
            assert_eq!(follower.ask(&token("a")).await, Passes);
            store.revoke(&entry(every_kind("a")[kind].clone(), now() + 600)).await.unwrap();
            let refused = async || follower.ask(&token("a")).await == Revoked;
            let took = eventually("refused", refused).await;
            assert!(took < BOUND, "{took:?}");
            assert_eq!(follower.list.stats().snapshots, 1, "{kind} {protocol}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_cut_off_does_not_reject_tokens_issued_after_it() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    let cut_off = now() - 100;
    let alice = |until| {
        let subject = Revocable::subject(issuer(), "alice");
        entry(subject, until).with_cut_off(UnixTime::from_secs(cut_off))
    };
    store.revoke(&alice(now() + 600)).await.unwrap();
    // From a snapshot, and from the stream.
    for _ in 0..2 {
        let follower = follow(&server.url()).await;
        follower.is_current().await;
        assert_eq!(follower.ask(&token_issued_at("a", cut_off)).await, Revoked);
        assert_eq!(follower.ask(&token_issued_at("b", cut_off + 1)).await, Passes);
        store.revoke(&alice(now() + 700)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_lookup_of_a_deny_list_sends_no_command() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    let follower = follow(&server.url()).await;
    follower.is_current().await;
    let before = server.info("total_commands_processed");
    let begin = Instant::now();
    for number in 0..2_000 {
        assert_eq!(follower.ask(&token(&format!("t{number}"))).await, Passes);
    }
    let commands = server.info("total_commands_processed") - before;
    let seconds = begin.elapsed().as_secs_f64();
    println!("{commands} commands in {seconds:.1} s for 2000 unknown tokens");
    assert!((commands as f64) < 20.0 * (1.0 + seconds), "{commands}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_cut_connection_is_unavailable_after_the_bound_and_continues() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let elsewhere = RedisStore::connect(&server.url()).await.unwrap();
    elsewhere.initialise().await.unwrap();
    let follower = follow(&proxy.url()).await;
    follower.is_current().await;

    proxy.swallow(true);
    elsewhere.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    let revoked = Instant::now();
    let mut last = None;
    while revoked.elapsed() < BOUND + Duration::from_secs(1) {
        let started = revoked.elapsed();
        let outcome = follower.ask(&token("a")).await;
        if started > BOUND + Duration::from_millis(10) {
            assert_ne!(outcome, Passes, "{started:?}");
        }
        if last != Some(outcome) {
            println!("{outcome:?} from {started:?} on");
            last = Some(outcome);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(last, Some(Unavailable));
    proxy.swallow(false);
    proxy.cut();
    eventually("refused", async || follower.ask(&token("a")).await == Revoked).await;
    assert_eq!(follower.ask(&token("b")).await, Passes);
    assert_eq!(follower.list.stats().snapshots, 1, "the stream was enough");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_lost_its_data_is_unavailable_at_once_until_it_is_seeded() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    store.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    let follower = follow(&server.url()).await;
    follower.is_current().await;
    server.command(&["FLUSHALL"]);
    let begin = Instant::now();
    eventually("noticed", async || follower.ask(&token("b")).await == Unavailable).await;
    assert!(begin.elapsed() < BOUND);
    store.seed([entry(id("c"), now() + 600)]).await.unwrap();
    follower.is_current().await;
    assert_eq!(follower.ask(&token("c")).await, Revoked);
    assert_eq!(follower.ask(&token("b")).await, Passes);
    assert_eq!(follower.list.stats().snapshots, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_age_of_a_deny_list_is_measured_by_its_clock() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    let clock = ManualClock::at(UnixTime::from_secs(now()));
    let list = DenyList::follow(&store, BOUND).with_clock(clock.clone());
    eventually("current", async || list.stats().is_current).await;
    server.signal("STOP");
    assert!(list.stats().is_current);
    clock.advance(BOUND + Duration::from_secs(1));
    assert!(!list.stats().is_current);
    assert!(list.look_up(&asked([id("a")])).await.is_err());
    server.signal("CONT");
    eventually("current again", async || list.stats().is_current).await;
    assert_eq!(list.look_up(&asked([id("a")])).await.unwrap(), Verdict::NotRevoked);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn dropping_the_deny_list_closes_its_connection() {
    let server = Server::start();
    let alone = server.info("connected_clients");
    {
        let store = RedisStore::connect(&server.url()).await.unwrap();
        store.initialise().await.unwrap();
        let follower = follow(&server.url()).await;
        follower.is_current().await;
    }
    eventually("closed", async || server.info("connected_clients") == alone).await;
}
