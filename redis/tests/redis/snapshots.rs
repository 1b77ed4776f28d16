//! Snapshots that a deny-list takes, and when it takes another.

use std::time::{Duration, Instant};

use tower_bearer::{
    UnixTime,
    revocation::{RevocationStore, Verdict},
};
use tower_bearer_redis::{DenyList, RedisStore};

use crate::{
    deny_list::follow,
    proxy::Proxy,
    server::Server,
    service::{Revoked, asked, entry, eventually, id, now, token},
};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_stream_that_was_trimmed_leads_to_a_new_snapshot() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let elsewhere = RedisStore::connect(&server.url()).await.unwrap();
    elsewhere.initialise().await.unwrap();
    for trim in
        [&["XTRIM", "tower-bearer:changes", "MAXLEN", "1"][..], &["DEL", "tower-bearer:changes"]]
    {
        let follower = follow(&proxy.url()).await;
        follower.is_current().await;
        proxy.swallow(true);
        for name in ["a", "b", "c"] {
            elsewhere.revoke(&entry(id(name), now() + 600)).await.unwrap();
        }
        server.command(trim);
        eventually("noticed", async || !follower.list.stats().is_current).await;
        proxy.swallow(false);
        proxy.cut();
        follower.is_current().await;
        for name in ["a", "b", "c"] {
            assert_eq!(follower.ask(&token(name)).await, Revoked);
        }
        assert_eq!(follower.list.stats().snapshots, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn revocations_during_a_snapshot_are_not_missed() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.seed((0..20_000).map(|n| entry(id(&format!("s{n}")), now() + 600))).await.unwrap();
    let writer = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0..1_000 {
                store.revoke(&entry(id(&format!("t{number}")), now() + 600)).await.unwrap();
            }
        }
    });
    let mut followers = Vec::new();
    let mut overlaps = false;
    for _ in 0..4 {
        let (scans, recorded) = (server.calls("scan"), server.calls("eval"));
        followers.push(follow(&server.url()).await);
        eventually("scans", async || server.calls("scan") > scans + 2).await;
        overlaps |= server.calls("eval") > recorded && !writer.is_finished();
    }
    assert!(overlaps, "a snapshot was taken while somebody revoked");
    writer.await.unwrap();
    for follower in followers {
        eventually("all", async || follower.list.stats().denials == 21_000).await;
        for number in 0..1_000 {
            let what = [id(&format!("t{number}"))];
            assert_eq!(follower.list.look_up(&asked(what)).await.unwrap(), Verdict::Revoked);
        }
    }
}

/// `FLUSHALL`, a failover and eviction look alike to whoever reads keys one after another.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_snapshot_during_a_loss_of_data_is_discarded() {
    const COUNT: usize = 100_000;
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.seed((0..COUNT).map(|n| entry(id(&format!("s{n}")), now() + 600))).await.unwrap();
    let list = DenyList::follow(&store, Duration::from_secs(4));
    while server.calls("scan") < 10 {
        tokio::task::yield_now().await;
    }
    server.command(&["FLUSHALL"]);
    assert!(server.calls("scan") < COUNT as u64 / 1_000, "the snapshot is not complete");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        for n in (0..COUNT).step_by(200) {
            let verdict = list.look_up(&asked([id(&format!("s{n}"))])).await;
            assert!(!matches!(verdict, Ok(Verdict::NotRevoked)), "{n} {:?}", list.stats());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// As a backup of a part of the data leaves it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_damaged_stream_costs_snapshots_and_no_revocation() {
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.seed((0..1_000).map(|n| entry(id(&format!("s{n}")), now() + 600))).await.unwrap();
    let list = DenyList::follow(&store, Duration::from_secs(4));
    eventually("current", async || list.stats().is_current).await;
    server.command(&["XADD", "tower-bearer:changes", "99999999-0", "n", "x", "d", "y"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let snapshots = list.stats().snapshots;
    println!("{snapshots} snapshots in 2 s");
    assert!(snapshots < 8, "{snapshots}");

    store.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    assert_eq!(store.look_up(&asked([id("a")])).await.unwrap(), Verdict::Revoked);
    let is_refused =
        async || list.look_up(&asked([id("a")])).await.is_ok_and(|it| it == Verdict::Revoked);
    eventually("refused", is_refused).await;
    let snapshots = list.stats().snapshots;
    for number in 0..10 {
        store.revoke(&entry(id(&format!("t{number}")), now() + 600)).await.unwrap();
    }
    eventually("all", async || list.stats().denials == 1_011).await;
    assert!(list.stats().snapshots <= snapshots + 1, "the stream is in order again");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_longer_prefix_does_not_change_the_list_of_a_shorter_one() {
    let server = Server::start();
    let store = async |prefix: &str| {
        RedisStore::builder(&server.url()).with_prefix(prefix).connect().await.unwrap()
    };
    let (one, other) = (store("x:").await, store("x:d:").await);
    one.initialise().await.unwrap();
    one.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    other.initialise().await.unwrap();
    other.revoke(&entry(id("b"), now() + 600)).await.unwrap();
    let list = DenyList::follow(&one, Duration::from_secs(2));
    eventually("current", async || list.stats().is_current).await;
    assert_eq!(list.look_up(&asked([id("a")])).await.unwrap(), Verdict::Revoked);
    assert_eq!(list.look_up(&asked([id("b")])).await.unwrap(), Verdict::NotRevoked);
}

/// Returns a list that has read everything, and whether it has read key by key.
async fn started(server: &Server, denials: u64) -> (DenyList, bool) {
    let scans = server.calls("scan");
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let list = DenyList::follow(&store, Duration::from_secs(4));
    eventually("current", async || list.stats().is_current).await;
    assert_eq!(list.stats().denials, denials);
    (list, scans < server.calls("scan"))
}

async fn is_revoked(list: &DenyList, name: &str) -> bool {
    list.look_up(&asked([id(name)])).await.unwrap() == Verdict::Revoked
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_packed_snapshot_saves_later_processes_to_read_key_by_key() {
    const COUNT: u64 = 100_000;
    let server = Server::start();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let pending = entry(id("later"), now() + 900).with_start(UnixTime::from_secs(now() + 600));
    let all = (0..COUNT - 1).map(|n| entry(id(&format!("s{n}")), now() + 900));
    store.seed(all.chain([pending])).await.unwrap();
    let name = || server.command(&["GET", "tower-bearer:snapshot"]);
    let (first, has_scanned) = started(&server, COUNT).await;
    assert!(has_scanned);
    eventually("packed", async || name().contains(' ')).await;

    store.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    let (second, has_scanned) = started(&server, COUNT + 1).await;
    assert!(!has_scanned);
    for list in [&first, &second] {
        eventually("revoked", async || is_revoked(list, "a").await).await;
        assert!(is_revoked(list, "s0").await && is_revoked(list, "s99998").await);
        let verdict = list.look_up(&asked([id("later")])).await.unwrap();
        assert!(matches!(verdict, Verdict::RevokedFrom(_)));
    }

    let packed = name();
    let position = |count: &str, hash: &str| {
        let mut parts: Vec<_> = packed.split(' ').collect();
        (parts[1], parts[2]) = (count, hash);
        server.command(&["SET", "tower-bearer:snapshot", &parts.join(" ")]);
    };
    position("1", "0123456789abcdef");
    assert!(started(&server, COUNT + 1).await.1, "of another history");
    position("2", "0123456789abcdef");
    assert!(started(&server, COUNT + 1).await.1, "of the future");
    server.command(&["SET", "tower-bearer:snapshot", "unreadable"]);
    assert!(started(&server, COUNT + 1).await.1);

    server.command(&["SET", "tower-bearer:snapshot", &packed]);
    assert!(!started(&server, COUNT + 1).await.1);
    let id = packed.split(' ').nth(3).unwrap();
    let part = |number: u8| format!("tower-bearer:snapshot:{id}:{number}");
    server.command(&["SET", "tower-bearer:snapshot", &packed]);
    server.command(&["SET", &part(3), ""]);
    assert!(started(&server, COUNT + 1).await.1, "entries are missing");
    server.command(&["DEL", &part(3)]);
    assert!(started(&server, COUNT + 1).await.1, "a part is missing");
    server.command(&["SET", "tower-bearer:snapshot", &packed]);
    server.command(&["DEL", "tower-bearer:changes"]);
    assert!(started(&server, COUNT + 1).await.1, "the stream does not reach back to it");
}
