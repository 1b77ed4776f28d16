//! A process that is killed between its database and Redis.

use std::{path::PathBuf, time::Duration};

use tower_bearer::revocation::outbox::Outbox;
use tower_bearer::revocation::{RevocationStore, Verdict};
use tower_bearer_redis::{OutboxRelay, RedisStore};
use tower_bearer_sql::SqlStore;

use crate::{
    process::Process,
    proxy::Proxy,
    server::Server,
    service::{asked, entry, eventually, every_kind, id, now},
};

/// An SQLite file, by its directory.
struct Database(PathBuf);

impl Database {
    fn new(of: &str) -> Self {
        let name = format!("bearer-redis-killed-{of}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.0.join("store.db").display())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `revoke ID` writes a denial of every kind that ID stands for into the database and says so; `storm` writes one after
/// another and says each. A relay runs beside it.
#[test]
#[ignore = "is started by the tests that kill it"]
fn a_process_with_a_relay() {
    let (Ok(redis), Ok(database)) = (std::env::var("FLEET_URL"), std::env::var("FLEET_DATABASE"))
    else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let truth = SqlStore::open(&database).await.unwrap();
        let redis = RedisStore::connect(&redis).await.unwrap();
        let relay = OutboxRelay::new(truth.clone(), redis).with_interval(Duration::from_millis(5));
        relay.carry().await.unwrap();
        println!("fleet: ready");
        relay.spawn();
        for line in std::io::stdin().lines() {
            let line = line.unwrap();
            if let Some(name) = line.strip_prefix("revoke ") {
                for what in every_kind(name) {
                    truth.revoke(&entry(what.clone(), now() + 600)).await.unwrap();
                }
                println!("fleet: revoked");
            }
            for number in 0_u64.. {
                if line != "storm" {
                    break;
                }
                truth.revoke(&entry(id(&format!("t{number}")), now() + 600)).await.unwrap();
                println!("fleet: t{number}");
            }
        }
    });
}

fn start(redis: &str, database: &Database) -> Process {
    let database = database.url();
    let settings = [("FLEET_URL", redis.as_ref()), ("FLEET_DATABASE", database.as_ref())];
    let process = Process::start("killed::a_process_with_a_relay", &settings);
    assert_eq!(process.line(), "ready");
    process
}

/// What the next process makes of what the last has left.
async fn next_process(redis: &RedisStore, database: &Database) -> usize {
    let truth = SqlStore::open(&database.url()).await.unwrap();
    let carried = OutboxRelay::new(truth.clone(), redis.clone()).carry().await.unwrap();
    assert!(truth.outbox(10).await.unwrap().is_empty());
    carried
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn the_next_process_copies_entries_left_in_the_database() {
    let server = Server::start();
    let (wire, database) = (Proxy::to(server.port).await, Database::new("before"));
    let mut process = start(&wire.url(), &database);
    wire.swallow(true);
    process.say("revoke a");
    assert_eq!(process.line(), "revoked");
    process.kill();

    let redis = RedisStore::connect(&server.url()).await.unwrap();
    for what in every_kind("a") {
        assert_eq!(
            redis.look_up(&asked([what])).await.unwrap(),
            Verdict::NotRevoked,
            "it was not told"
        );
    }
    assert_eq!(next_process(&redis, &database).await, 4);
    for what in every_kind("a") {
        assert_eq!(redis.look_up(&asked([what])).await.unwrap(), Verdict::Revoked);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn an_entry_that_is_still_in_the_outbox_is_copied_again() {
    let server = Server::start();
    let (wire, database) = (Proxy::to(server.port).await, Database::new("between"));
    let mut process = start(&wire.url(), &database);
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    wire.swallow_answers_to("tower-bearer:d:");
    process.say("revoke a");
    assert_eq!(process.line(), "revoked");
    let is_recorded = async || redis.look_up(&asked([id("a")])).await.unwrap() == Verdict::Revoked;
    eventually("recorded", is_recorded).await;
    process.kill();

    let truth = SqlStore::open(&database.url()).await.unwrap();
    assert!(!truth.outbox(10).await.unwrap().is_empty(), "it was not done");
    let carried = next_process(&redis, &database).await;
    assert!(carried >= 1, "{carried}");
    for what in every_kind("a") {
        assert_eq!(redis.look_up(&asked([what])).await.unwrap(), Verdict::Revoked);
    }
}

/// At a moment that nobody has chosen, in the middle of writing, carrying and ticking off.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_killed_process_loses_no_acknowledged_revocation() {
    let server = Server::start();
    let redis = RedisStore::connect(&server.url()).await.unwrap();
    let (mut acknowledged, mut left) = (0, 0);
    for round in 0..12 {
        server.command(&["FLUSHALL"]);
        let database = Database::new(&format!("storm{round}"));
        let mut process = start(&server.url(), &database);
        process.say("storm");
        assert_eq!(process.line(), "t0");
        tokio::time::sleep(Duration::from_millis(20 + 11 * round)).await;
        let names = process.last_words();
        left += next_process(&redis, &database).await;
        acknowledged += names.len() + 1;
        for name in names.iter().map(String::as_str).chain(["t0"]) {
            let verdict = redis.look_up(&asked([id(name)])).await.unwrap();
            assert_eq!(verdict, Verdict::Revoked, "{name} of round {round}");
        }
    }
    println!("{acknowledged} acknowledged, {left} of them left in outboxes");
    assert!(left > 0, "none was killed in the middle");
}
