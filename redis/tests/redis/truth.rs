//! The database remembers what Redis has acknowledged, so a loss is noticed although every process is new.

use std::{path::PathBuf, time::Duration};

use tokio::task::JoinHandle;
use tower_bearer::{
    BackgroundTask,
    revocation::{
        RevocationStore, StoreError, Verdict,
        outbox::{Acknowledged, Outbox},
    },
};
use tower_bearer_issuing::store::{MemoryTokenStore, TokenStore};
use tower_bearer_redis::{DenyList, OutboxRelay, RedisStore};
use tower_bearer_sql::SqlStore;

use crate::{
    postgres,
    proxy::Proxy,
    server::{Server, free_port},
    service::{HOUR, asked, entry, eventually, id, now},
    slow_store::SlowStore,
};

/// An SQLite file, by its directory.
pub(crate) struct Database(PathBuf);

impl Database {
    pub(crate) fn new(of: &str) -> Self {
        let name = format!("bearer-redis-truth-{of}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.0.join("store.db").display())
    }

    pub(crate) async fn open(&self) -> SqlStore {
        SqlStore::open(&self.url()).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A new process: a relay that carries, and nothing that it could remember.
async fn carry(truth: &(impl TokenStore + Clone), server: &Server) -> RedisStore {
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    OutboxRelay::new(truth.clone(), redis.clone()).carry().await.unwrap();
    assert!(truth.outbox(10).await.unwrap().is_empty());
    redis
}

async fn revoke(truth: &impl Outbox, name: &str) {
    truth.revoke(&entry(id(name), now() + 600)).await.unwrap();
}

async fn is_revoked(redis: &RedisStore, name: &str) -> bool {
    redis.look_up(&asked([id(name)])).await.unwrap() == Verdict::Revoked
}

fn generation(server: &Server) -> String {
    server.command(&["GET", "tower-bearer:generation"])
}

/// Redis acknowledges `kept`, is dumped, acknowledges `lost`, and every process ends.
async fn dumped_before_the_last(truth: &(impl TokenStore + Clone), server: &Server) -> Vec<u8> {
    revoke(truth, "kept").await;
    carry(truth, server).await;
    revoke(truth, "also kept").await;
    carry(truth, server).await;
    let dump = server.dump();
    revoke(truth, "lost").await;
    carry(truth, server).await;
    eventually("all let go", async || server.info("connected_clients") == 1).await;
    dump
}

async fn an_older_dump_is_repaired(truth: impl TokenStore + Clone, server: &mut Server) {
    let dump = dumped_before_the_last(&truth, server).await;
    server.restart_from(&dump);
    let redis = carry(&truth, server).await;
    let list = DenyList::follow(&redis, HOUR);
    eventually("the list is read", async || list.stats().is_current).await;
    for name in ["kept", "also kept", "lost"] {
        assert!(is_revoked(&redis, name).await, "{name}");
        assert_eq!(list.look_up(&asked([id(name)])).await.unwrap(), Verdict::Revoked, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_restarted_from_an_older_dump_is_seeded_from_memory() {
    let mut server = Server::start();
    an_older_dump_is_repaired(MemoryTokenStore::new(), &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server and postgres"]
async fn a_redis_restarted_from_an_older_dump_is_seeded_from_postgresql() {
    let mut server = Server::start();
    let postgres = postgres::Postgres::start();
    let url = postgres.database("truth").await;
    an_older_dump_is_repaired(SqlStore::open(&url).await.unwrap(), &mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_restarted_from_an_older_dump_is_seeded_from_sqlite() {
    let mut server = Server::start();
    let database = Database::new("dump");
    let dump = dumped_before_the_last(&database.open().await, &server).await;
    server.restart_from(&dump);
    let redis = carry(&database.open().await, &server).await;
    assert!(is_revoked(&redis, "lost").await);

    server.kill();
    server.lose_data();
    server.restart();
    let redis = carry(&database.open().await, &server).await;
    assert!(is_revoked(&redis, "lost").await, "an empty one");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_loss_is_noticed_after_other_processes_have_recorded_more() {
    for others in 1..4 {
        let mut server = Server::start();
        let truth = MemoryTokenStore::new();
        let dump = dumped_before_the_last(&truth, &server).await;
        server.restart_from(&dump);
        let other = RedisStore::connect(&server.url()).await.unwrap();
        for number in 0..others {
            other.revoke(&entry(id(&format!("t{number}")), now() + 600)).await.unwrap();
        }
        let redis = carry(&truth, &server).await;
        assert!(is_revoked(&redis, "lost").await, "{others}");
        assert!(is_revoked(&redis, "t0").await, "what they have recorded stays");
    }
}

/// A relay that has compared before, and a connection that it gets later.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_relay_compares_again_over_each_connection() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let truth = MemoryTokenStore::new();
    revoke(&truth, "kept").await;
    let redis = RedisStore::connect(&proxy.url()).await.unwrap();
    let relay = OutboxRelay::new(truth.clone(), redis.clone());
    relay.carry().await.unwrap();
    let backup = server.backup();
    // Cut off, it does not see what another process records and Redis loses.
    proxy.swallow(true);
    revoke(&truth, "lost").await;
    carry(&truth, &server).await;
    server.restore(&backup);
    proxy.swallow(false);
    proxy.cut();
    eventually("carried", async || relay.carry().await.is_ok()).await;
    assert!(is_revoked(&redis, "lost").await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_is_ahead_of_the_store_is_not_seeded() {
    let server = Server::start();
    let truth = MemoryTokenStore::new();
    for name in ["a", "b"] {
        // At first nothing was acknowledged since the seeding.
        let redis = carry(&truth, &server).await;
        let before = generation(&server);
        redis.revoke(&entry(id("ahead"), now() + 600)).await.unwrap();
        revoke(&truth, name).await;
        carry(&truth, &server).await;
        assert_eq!(generation(&server), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_relay_seeds_if_the_stream_was_trimmed_too_far() {
    let server = Server::start();
    let truth = MemoryTokenStore::new();
    revoke(&truth, "a").await;
    carry(&truth, &server).await;
    revoke(&truth, "b").await;
    let redis = carry(&truth, &server).await;
    let before = generation(&server);
    server.command(&["XTRIM", "tower-bearer:changes", "MAXLEN", "0"]);
    carry(&truth, &server).await;
    assert_eq!(generation(&server), before, "the mark is the latest");

    redis.revoke(&entry(id("more"), now() + 600)).await.unwrap();
    server.command(&["XTRIM", "tower-bearer:changes", "MAXLEN", "0"]);
    let redis = carry(&truth, &server).await;
    assert_ne!(generation(&server), before);
    for name in ["a", "b", "more"] {
        assert!(is_revoked(&redis, name).await, "{name}");
    }
}

/// Empties the outbox as if a fleet had acknowledged it.
async fn acknowledge_all(truth: &impl Outbox, fleet: &str) {
    let mark = Acknowledged::new(fleet, "generation", "server", 1, [0; 8]);
    truth.begin_generation(&mark).await.unwrap();
    let ids: Vec<i64> = truth.outbox(10).await.unwrap().iter().map(|entry| entry.id).collect();
    assert!(truth.outbox_done(&ids, &mark).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_that_the_database_does_not_know_is_seeded_once() {
    let server = Server::start();
    let truth = MemoryTokenStore::new();
    RedisStore::connect(&server.url()).await.unwrap().initialise().await.unwrap();
    revoke(&truth, "a").await;
    acknowledge_all(&truth, "another fleet:").await;
    let redis = carry(&truth, &server).await;
    assert!(is_revoked(&redis, "a").await);
    let before = generation(&server);
    carry(&truth, &server).await;
    assert_eq!(generation(&server), before);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_relay_repairs_a_loss_that_initialise_has_hidden() {
    let server = Server::start();
    let truth = MemoryTokenStore::new();
    revoke(&truth, "a").await;
    carry(&truth, &server).await;
    server.command(&["FLUSHALL"]);
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    assert!(redis.initialise().await.unwrap());
    assert!(!is_revoked(&redis, "a").await, "so far");
    assert!(is_revoked(&carry(&truth, &server).await, "a").await);
}

/// Two servers: the old one still answers a process that has not noticed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_relay_of_an_older_generation_does_not_empty_the_outbox() {
    let (old, new) = (Server::start(), Server::start());
    let truth = MemoryTokenStore::new();
    let slow = RedisStore::connect(&old.url()).await.unwrap();
    // It looks at the backlog once.
    let relay = OutboxRelay::new(truth.clone(), slow.clone()).with_interval(HOUR);
    let relay = relay.spawn();
    eventually("seeded", async || old.has_a_generation()).await;
    revoke(&truth, "first").await;
    eventually("published", async || truth.outbox(1).await.unwrap().is_empty()).await;

    carry(&truth, &new).await;
    revoke(&truth, "a").await;
    eventually("recorded", async || is_revoked(&slow, "a").await).await;
    let redis = carry(&truth, &new).await;
    assert!(is_revoked(&redis, "first").await);
    assert!(is_revoked(&redis, "a").await);
    relay.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_server_that_returns_after_its_replacement_is_seeded() {
    let (one, other) = (Server::start(), Server::start());
    let truth = MemoryTokenStore::new();
    let redis = RedisStore::connect(&one.url()).await.unwrap();
    let relay = OutboxRelay::new(truth.clone(), redis.clone());
    for name in ["a", "b"] {
        revoke(&truth, name).await;
        relay.carry().await.unwrap();
    }
    revoke(&truth, "c").await;
    carry(&truth, &other).await;
    // Over the connection of before, with the generation of before.
    relay.carry().await.unwrap();
    assert!(is_revoked(&redis, "c").await);
}

/// Redis has acknowledged two entries of the store, and the store knows it.
async fn acknowledged_two(truth: &MemoryTokenStore, server: &Server) {
    for name in ["kept", "also kept"] {
        revoke(truth, name).await;
        carry(truth, server).await;
    }
    assert_eq!(kept(truth).await.count, 2);
}

async fn kept(truth: &MemoryTokenStore) -> Acknowledged {
    truth.acknowledged("tower-bearer:").await.unwrap().unwrap()
}

/// A relay that has recorded `lost` in Redis and waits for the store to remove it. It sees nothing more of Redis.
async fn recorded_but_not_removed(
    store: &SlowStore,
    server: &Server,
) -> JoinHandle<Result<usize, StoreError>> {
    let proxy = Proxy::to(server.port).await;
    revoke(store, "lost").await;
    let redis = RedisStore::connect(&proxy.url()).await.unwrap();
    let relay = OutboxRelay::new(store.clone(), redis);
    let carrying = tokio::spawn(async move { relay.carry().await });
    eventually("recorded", async || store.outbox_done.arrived() == 1).await;
    proxy.lead_to(free_port());
    proxy.cut();
    carrying
}

/// A relay that compares, and publishes what its own process writes from now on.
async fn run_without_backlog(truth: &MemoryTokenStore, server: &Server) -> BackgroundTask {
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    let relay = OutboxRelay::new(truth.clone(), redis).with_interval(HOUR);
    relay.spawn()
}

/// Another relay brings the kept mark to where the mark of `lost` is.
async fn others_are_published(truth: &MemoryTokenStore, server: &Server) {
    let relay = run_without_backlog(truth, server).await;
    let is_published = async || {
        revoke(truth, "other").await;
        kept(truth).await.count > 2
    };
    eventually("published", is_published).await;
    relay.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_entry_that_only_the_redis_before_a_restart_had_is_not_removed() {
    let mut server = Server::start();
    let truth = MemoryTokenStore::new();
    acknowledged_two(&truth, &server).await;
    let (dump, slow) = (server.dump(), SlowStore::on(&truth));
    let gate = slow.outbox_done.close().await;
    let carrying = recorded_but_not_removed(&slow, &server).await;

    server.restart_from(&dump);
    others_are_published(&truth, &server).await;
    drop(gate);
    let _ = carrying.await.unwrap();
    assert!(is_revoked(&carry(&truth, &server).await, "lost").await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_entry_removed_during_a_comparison_repeats_the_comparison() {
    let mut server = Server::start();
    let truth = MemoryTokenStore::new();
    acknowledged_two(&truth, &server).await;
    let (dump, slow) = (server.dump(), SlowStore::on(&truth));
    let gate = slow.outbox_done.close().await;
    let carrying = recorded_but_not_removed(&slow, &server).await;

    server.restart_from(&dump);
    let comparison = slow.change_server.close().await;
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    let relay = OutboxRelay::new(slow.clone(), redis.clone());
    let comparing = tokio::spawn(async move { relay.carry().await });
    eventually("found complete", async || slow.change_server.arrived() == 1).await;
    drop(gate);
    carrying.await.unwrap().unwrap();
    assert!(truth.outbox(10).await.unwrap().is_empty());
    drop(comparison);
    comparing.await.unwrap().unwrap();
    assert!(is_revoked(&redis, "lost").await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_server_that_was_a_replica_for_a_while_is_another_server() {
    let options = ["--repl-diskless-sync-delay", "0"];
    let one = Server::start_with(&options);
    let (two, truth) = (Server::start_with(&options), MemoryTokenStore::new());
    acknowledged_two(&truth, &one).await;
    let follow = async |replica: &Server, master: &Server| {
        replica.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
        let is_up = async || replica.info_text("master_link_status").as_deref() == Some("up");
        eventually("replicated", is_up).await;
    };
    follow(&two, &one).await;
    two.command(&["REPLICAOF", "NO", "ONE"]);
    let slow = SlowStore::on(&truth);
    let gate = slow.outbox_done.close().await;
    let carrying = recorded_but_not_removed(&slow, &one).await;

    let before = kept(&truth).await.server;
    let relay = run_without_backlog(&truth, &two).await;
    eventually("moved", async || kept(&truth).await.server != before).await;
    relay.stop();
    follow(&one, &two).await;
    one.command(&["REPLICAOF", "NO", "ONE"]);
    others_are_published(&truth, &one).await;
    drop(gate);
    let _ = carrying.await.unwrap();
    assert!(is_revoked(&carry(&truth, &one).await, "lost").await);
}

/// One that stops in the middle has replaced what the store keeps.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_next_relay_repeats_an_interrupted_seeding() {
    let server = Server::start();
    let truth = MemoryTokenStore::new();
    revoke(&truth, "a").await;
    let denials = (0..500).map(|number| entry(id(&format!("t{number}")), now() + 600));
    truth.deny(&denials.collect::<Vec<_>>()).await.unwrap();
    acknowledge_all(&truth, "another fleet:").await;
    for is_initialised in [false, true] {
        let proxy = Proxy::to(server.port).await;
        let redis = RedisStore::connect(&proxy.url()).await.unwrap();
        if is_initialised {
            redis.initialise().await.unwrap();
        }
        proxy.swallow_answers_to("tower-bearer:d:");
        assert!(OutboxRelay::new(truth.clone(), redis).seed().await.is_err());
        server.command(&["DEL", "tower-bearer:seeding"]);
        let redis = carry(&truth, &server).await;
        for name in ["a", "t0", "t250", "t499"] {
            assert!(is_revoked(&redis, name).await, "{name}");
        }
        server.command(&["FLUSHALL"]);
    }
}

/// Neither its own seeding, nor what others do meanwhile.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn many_relays_repair_one_loss_together() {
    let mut server = Server::start();
    let database = Database::new("many");
    let dump = dumped_before_the_last(&database.open().await, &server).await;
    server.restart_from(&dump);
    let mut relays = Vec::new();
    for number in 0..5 {
        let (truth, redis) =
            (database.open().await, RedisStore::connect(&server.url()).await.unwrap());
        let relay = OutboxRelay::new(truth.clone(), redis).with_interval(Duration::from_millis(5));
        relays.push(relay.spawn());
        revoke(&truth, &format!("t{number}")).await;
    }
    let truth = database.open().await;
    eventually("carried", async || truth.outbox(1).await.unwrap().is_empty()).await;
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    let is_in_force = async || {
        let answer = redis.look_up(&asked([id("lost")])).await;
        answer.is_ok_and(|verdict| verdict == Verdict::Revoked)
    };
    eventually("repaired", is_in_force).await;
    for number in 0..5 {
        assert!(is_revoked(&redis, &format!("t{number}")).await);
    }
    relays.iter().for_each(BackgroundTask::stop);
}
