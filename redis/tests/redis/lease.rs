//! Which relay does what.

use std::time::Duration;

use tower_bearer::{
    BackgroundTask,
    revocation::{RevocationStore, Verdict, outbox::Outbox},
};
use tower_bearer_issuing::store::{MemoryTokenStore, TokenStore};
use tower_bearer_redis::{OutboxRelay, RedisStore};
use tower_bearer_sql::SqlStore;

use crate::{
    proxy::Proxy,
    server::Server,
    service::{HOUR, asked, entry, eventually, id, now},
    truth::Database,
};

async fn run(url: &str, truth: &(impl TokenStore + Clone), interval: Duration) -> BackgroundTask {
    let redis = RedisStore::connect(url).await.unwrap();
    let relay = OutboxRelay::new(truth.clone(), redis).with_interval(interval);
    relay.spawn()
}

async fn seeded(server: &Server) {
    eventually("seeded", async || server.has_a_generation()).await;
}

fn count(server: &Server) -> u64 {
    let count = server.command(&["GET", "tower-bearer:count"]);
    count.split(' ').next().unwrap().parse().unwrap()
}

fn owner(server: &Server) -> String {
    server.command(&["GET", "tower-bearer:relay"])
}

/// With an interval in which the backlog is looked at once.
async fn new_entries_are_published(truth: impl TokenStore + Clone) {
    let server = Server::start();
    let relay = run(&server.url(), &truth, HOUR).await;
    seeded(&server).await;
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    for number in 0..3 {
        let name = format!("t{number}");
        truth.revoke(&entry(id(&name), now() + 600)).await.unwrap();
        let is_there = async || {
            redis.look_up(&asked([id(&name)])).await.is_ok_and(|it| it == Verdict::Revoked)
        };
        eventually("published", is_there).await;
    }
    eventually("removed", async || truth.outbox(1).await.unwrap().is_empty()).await;
    assert_eq!(count(&server), 3, "each once");
    relay.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn entries_written_to_memory_are_published_at_once() {
    new_entries_are_published(MemoryTokenStore::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn entries_written_to_sqlite_are_published_at_once() {
    new_entries_are_published(Database::new("new").open().await).await;
}

/// The lease is another's, who does nothing with it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_relay_without_the_lease_publishes_entries_of_its_process() {
    let server = Server::start();
    let database = Database::new("standby");
    let (truth, elsewhere) = (database.open().await, database.open().await);
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    OutboxRelay::new(truth.clone(), redis.clone()).carry().await.unwrap();
    server.command(&["SET", "tower-bearer:relay", "another"]);
    let relay = run(&server.url(), &truth, Duration::from_millis(1)).await;
    let polls = server.calls("eval");
    eventually("it stands by", async || server.calls("eval") > polls + 10).await;

    elsewhere.revoke(&entry(id("elsewhere"), now() + 600)).await.unwrap();
    truth.revoke(&entry(id("here"), now() + 600)).await.unwrap();
    eventually("published", async || count_or_zero(&server) == 1).await;
    assert_eq!(redis.look_up(&asked([id("here")])).await.unwrap(), Verdict::Revoked);
    let polls = server.calls("eval");
    eventually("it stands by", async || server.calls("eval") > polls + 10).await;
    assert_eq!(redis.look_up(&asked([id("elsewhere")])).await.unwrap(), Verdict::NotRevoked);

    server.command(&["DEL", "tower-bearer:relay"]);
    eventually("carried", async || truth.outbox(1).await.unwrap().is_empty()).await;
    assert_eq!(redis.look_up(&asked([id("elsewhere")])).await.unwrap(), Verdict::Revoked);
    relay.stop();
}

fn count_or_zero(server: &Server) -> u64 {
    if server.command(&["EXISTS", "tower-bearer:count"]) == ":1" { count(server) } else { 0 }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn entries_that_could_not_be_published_join_the_backlog() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let truth = MemoryTokenStore::new();
    let relay = run(&proxy.url(), &truth, Duration::from_millis(5)).await;
    seeded(&server).await;
    proxy.swallow(true);
    truth.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    let accepted = proxy.accepted();
    eventually("it is given up", async || proxy.accepted() > accepted).await;
    assert_eq!(truth.outbox(1).await.unwrap().len(), 1);
    proxy.swallow(false);
    proxy.cut();
    eventually("carried", async || truth.outbox(1).await.unwrap().is_empty()).await;
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    assert_eq!(redis.look_up(&asked([id("a")])).await.unwrap(), Verdict::Revoked);
    relay.stop();
}

/// Once, and one batch more for each time that a relay was held up for longer than the lease: at most two here.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn twenty_relays_copy_a_backlog_about_once() {
    let server = Server::start();
    let truth = MemoryTokenStore::new();
    let denials = (0..2_000).map(|number| entry(id(&format!("t{number}")), now() + 600));
    truth.deny(&denials.collect::<Vec<_>>()).await.unwrap();
    let mut relays = Vec::new();
    for _ in 0..20 {
        relays.push(run(&server.url(), &truth, Duration::from_millis(200)).await);
    }
    eventually("carried", async || truth.outbox(1).await.unwrap().is_empty()).await;
    let recorded = count(&server);
    println!("20 relays recorded 2000 entries {recorded} times");
    assert!((2_000..=2_400).contains(&recorded), "{recorded}");
    let length = server.command(&["XLEN", "tower-bearer:changes"]);
    assert_eq!(length, format!(":{recorded}"));
    relays.iter().for_each(BackgroundTask::stop);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn another_relay_takes_over_when_the_lease_has_expired() {
    let server = Server::start();
    let database = Database::new("expired");
    let interval = Duration::from_millis(20);
    let first = run(&server.url(), &database.open().await, interval).await;
    eventually("it has the lease", async || owner(&server).len() == 32).await;
    let before = owner(&server);
    let second = run(&server.url(), &database.open().await, interval).await;
    let looks = server.calls("eval");
    eventually("it stands by", async || server.calls("eval") > looks + 10).await;
    assert_eq!(owner(&server), before);

    first.shutdown().await;
    let elsewhere: SqlStore = database.open().await;
    elsewhere.revoke(&entry(id("a"), now() + 600)).await.unwrap();
    eventually("carried", async || elsewhere.outbox(1).await.unwrap().is_empty()).await;
    assert_ne!(owner(&server), before);
    second.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_relay_that_cannot_read_its_store_gives_up_the_lease() {
    let server = Server::start();
    let database = Database::new("broken");
    let relay = run(&server.url(), &database.open().await, Duration::from_millis(200)).await;
    eventually("it has the lease", async || owner(&server).len() == 32).await;
    break_database(&database, "ALTER TABLE bearer_outbox RENAME TO gone").await;
    let is_free = async || server.command(&["EXISTS", "tower-bearer:relay"]) == ":0";
    eventually("given up", is_free).await;
    relay.stop();
}

/// So that another relay need not wait until it expires.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_seeding_whose_store_fails_is_abandoned() {
    let server = Server::start();
    let database = Database::new("abandoned");
    let truth = database.open().await;
    break_database(&database, "ALTER TABLE bearer_denials RENAME TO gone").await;
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    let relay = OutboxRelay::new(truth, redis.clone());
    assert!(relay.carry().await.is_err());
    assert_eq!(server.command(&["EXISTS", "tower-bearer:seeding"]), ":0");
    assert!(!redis.is_seeded().await.unwrap());
    break_database(&database, "ALTER TABLE gone RENAME TO bearer_denials").await;
    relay.carry().await.unwrap();
    assert!(redis.is_seeded().await.unwrap());
}

/// Or mends it.
async fn break_database(database: &Database, sql: &'static str) {
    let mut connection =
        <sqlx::SqliteConnection as sqlx::Connection>::connect(&database.url()).await.unwrap();
    sqlx::query(sql).execute(&mut connection).await.unwrap();
}
