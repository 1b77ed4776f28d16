//! The store of a resource server: revocation entries and their outbox, through the public API and without the feature
//! `issuing`. With that feature, the same must hold.

#![allow(clippy::disallowed_methods, reason = "a server starts in its own time")]

#[path = "../src/tests/server.rs"]
#[allow(dead_code, reason = "other tests also kill the server")]
mod server;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tower_bearer::{
    UnixTime,
    claims::ManualClock,
    revocation::{
        KEEP_AFTER_EXPIRY, Lookup, Revocable, RevocationEntry, RevocationStore, Verdict,
        outbox::{Acknowledged, Outbox},
    },
    test_util::revocation_conformance,
};
use tower_bearer_sql::SqlStore;

const ISSUER: &str = "https://issuer.example";
const NOW: UnixTime = UnixTime::from_secs(2_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn sqlite_is_a_revocation_store() {
    revocation_conformance::check(async |clock| {
        SqlStore::open("sqlite::memory:").await.unwrap().with_clock(clock)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn postgres_is_a_revocation_store() {
    let server = server::Postgres::start();
    let count = AtomicU32::new(0);
    revocation_conformance::check(async |clock| {
        let name = format!("revocation{}", count.fetch_add(1, Ordering::Relaxed));
        let url = server.database(&name).await;
        SqlStore::open(&url).await.unwrap().with_clock(clock)
    })
    .await;
}

#[tokio::test]
async fn sqlite_stores_the_revocations_of_a_resource_server() {
    let path = std::env::temp_dir().join(format!("bearer-revocations-{}.db", std::process::id()));
    let files = ["", "-wal", "-shm"].map(|end| format!("{}{end}", path.display()));
    for file in &files {
        let _ = std::fs::remove_file(file);
    }
    stores_the_revocations_of_a_resource_server(&format!("sqlite:{}", path.display())).await;
    for file in &files {
        let _ = std::fs::remove_file(file);
    }
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn postgres_stores_the_revocations_of_a_resource_server() {
    let server = server::Postgres::start();
    stores_the_revocations_of_a_resource_server(&server.database("revocations").await).await;
}

fn token(number: u32) -> Revocable {
    Revocable::token(ISSUER, format!("token {number}"))
}

/// Two processes, one of which opens the database again later.
async fn stores_the_revocations_of_a_resource_server(url: &str) {
    let open = async |now| SqlStore::open(url).await.unwrap().with_clock(ManualClock::at(now));
    let (one, other) = (open(NOW).await, open(NOW).await);
    for number in 0..3 {
        let entry = RevocationEntry::new(token(number), NOW + HOUR * (number + 1));
        one.revoke(&entry).await.unwrap();
    }
    assert_eq!(verdicts(&other).await, [Verdict::Revoked; 3]);
    drop((one, other));

    let store = open(NOW).await;
    assert_eq!(verdicts(&store).await, [Verdict::Revoked; 3]);
    relays_its_outbox(&store).await;
    deletes_what_is_obsolete(&store).await;
}

async fn verdicts(store: &SqlStore) -> [Verdict; 3] {
    let mut verdicts = [Verdict::NotRevoked; 3];
    for (number, verdict) in (0..).zip(&mut verdicts) {
        *verdict = store.look_up(&Lookup::new([token(number)], NOW)).await.unwrap();
    }
    verdicts
}

async fn relays_its_outbox(store: &SqlStore) {
    let entries = store.outbox(10).await.unwrap();
    let things: Vec<_> = entries.iter().map(|entry| entry.revocation.thing().clone()).collect();
    assert_eq!(things, [token(0), token(1), token(2)]);
    let acknowledged = Acknowledged::new("fleet:", "generation", "server", 1, [1; 8]);
    assert!(!store.outbox_done(&[entries[0].id], &acknowledged).await.unwrap(), "not seeded yet");
    store.begin_generation(&acknowledged).await.unwrap();
    assert!(store.outbox_done(&[entries[0].id], &acknowledged).await.unwrap());
    assert_eq!(store.outbox(10).await.unwrap(), entries[1..]);
    assert_eq!(store.acknowledged("fleet:").await.unwrap(), Some(acknowledged));
    assert_eq!(store.denials(None, 10).await.unwrap().len(), 3);
}

async fn deletes_what_is_obsolete(store: &SqlStore) {
    // The last second in which all are kept.
    let kept = NOW + HOUR + KEEP_AFTER_EXPIRY;
    assert_eq!(store.delete_obsolete(kept, 100).await.unwrap(), 0);
    let obsolete = kept + Duration::from_secs(1);
    assert_eq!(store.delete_obsolete(obsolete, 100).await.unwrap(), 1);
    assert_eq!(store.denials(None, 10).await.unwrap().len(), 2);
    assert_eq!(store.outbox(10).await.unwrap().len(), 2, "its outbox entry was acknowledged");
    // Two revocation entries and their two outbox entries, at most three at once.
    let all = NOW + HOUR * 4;
    assert_eq!(store.delete_obsolete(all, 3).await.unwrap(), 3);
    assert_eq!(store.delete_obsolete(all, 3).await.unwrap(), 1);
    assert!(store.denials(None, 10).await.unwrap().is_empty());
    assert!(store.outbox(10).await.unwrap().is_empty());
}
