//! Tests with real processes and real servers, in real time.

#![allow(clippy::print_stdout, reason = "a child reports to its parent")]
#![allow(clippy::disallowed_methods, reason = "processes start, work and end in their own time")]

#[path = "../../../issuing/src/tests/any_store/mod.rs"]
mod any_store;
mod audit_rows;
mod connections;
mod crash;
mod followers;
mod log_ins;
mod many;
mod older;
mod opening;
mod plans;
mod processes;
mod replays;
mod server;
mod sessions;
mod stored_texts;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::SqlStore;
use tower_bearer::{
    UnixTime,
    revocation::{Lookup, Revocable, RevocationEntry},
};
use tower_bearer_issuing::store::{
    Called, Caller, Insertion, ListQuery, NewPrivateToken, NewRefreshToken, Owner, PrivateToken,
    RefreshRotation, TokenStore, conformance,
};

const NOW: UnixTime = UnixTime::from_secs(2_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const ISSUER: &str = "https://issuer.example";

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A revocation that is kept through this date.
fn entry(thing: Revocable, obsolete_after: UnixTime) -> RevocationEntry {
    RevocationEntry::restored(thing, obsolete_after)
}

/// The lookup of a token that was issued now.
fn lookup_of(thing: Revocable) -> Lookup {
    Lookup::new([thing], NOW)
}

fn owner() -> Owner {
    Owner::new(ISSUER, "ada")
}

/// The owner's access token. No test here revokes it.
fn caller() -> Caller {
    Caller::new(owner(), "caller", "session of the caller", NOW + HOUR)
}

fn refresh(session: &str, token_id: &str) -> NewRefreshToken {
    NewRefreshToken::new(owner(), token_id, session, NOW, NOW + HOUR, [7; 32])
}

fn rotation(session: &str, used: &str, next: &str) -> RefreshRotation {
    RefreshRotation::new(used, [7; 32], refresh(session, next), NOW, NOW + HOUR)
}

fn private(token_id: &str) -> NewPrivateToken {
    let session = format!("session of {token_id}");
    NewPrivateToken::new(owner(), token_id, session, token_id, [NOW, NOW + HOUR], [7; 32])
}

fn token(id: &str) -> Revocable {
    Revocable::token(ISSUER, id)
}

fn session(id: &str) -> Revocable {
    Revocable::session(ISSUER, id)
}

async fn create(store: &SqlStore, token_id: &str) -> PrivateToken {
    match store.create_private(&caller(), &private(token_id)).await.unwrap() {
        Called::Done(Insertion::Done(token)) => token,
        _ => panic!("behind a cut-off"),
    }
}

async fn listed(store: &SqlStore) -> Vec<PrivateToken> {
    let all = ListQuery::new().with_page_size(1_000_000);
    store.list_private(&caller(), &all, NOW).await.unwrap().done().unwrap().unwrap().tokens
}

/// A directory for one test, removed when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("bearer-sql-{}-{number}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn url(&self, file: &str) -> String {
        format!("sqlite:{}", self.0.join(file).display())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_in_memory_keeps_every_rule() {
    let open = async |clock| SqlStore::open("sqlite::memory:").await.unwrap().with_clock(clock);
    conformance::check(open).await;
    conformance::check_accounts(open).await;
    conformance::check_keys(open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_audit_events() {
    conformance::check_audit(async |clock| {
        SqlStore::open("sqlite::memory:").await.unwrap().with_clock(clock)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn postgres_keeps_audit_events() {
    let server = server::Postgres::start();
    let count = AtomicU32::new(0);
    conformance::check_audit(async |clock| {
        let name = format!("audit{}", count.fetch_add(1, Ordering::Relaxed));
        let url = server.database(&name).await;
        SqlStore::open(&url).await.unwrap().with_clock(clock)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_in_a_file_keeps_every_rule() {
    let directory = Directory::new();
    let count = AtomicU32::new(0);
    let open = async |clock| {
        let file = format!("{}.db", count.fetch_add(1, Ordering::Relaxed));
        SqlStore::open(&directory.url(&file)).await.unwrap().with_clock(clock)
    };
    conformance::check(&open).await;
    conformance::check_accounts(&open).await;
    conformance::check_keys(&open).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn postgres_keeps_every_rule() {
    let server = server::Postgres::start();
    let count = AtomicU32::new(0);
    let open = async |clock| {
        let name = format!("rule{}", count.fetch_add(1, Ordering::Relaxed));
        let url = server.database(&name).await;
        SqlStore::open(&url).await.unwrap().with_clock(clock)
    };
    conformance::check(&open).await;
    conformance::check_accounts(&open).await;
    conformance::check_keys(&open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_on_sqlite_share_keys() {
    let directory = Directory::new();
    any_store::keys::check(async |number, clock| {
        let url = directory.url(&format!("{number}.db"));
        SqlStore::open(&url).await.unwrap().with_clock(clock)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn replicas_on_postgres_share_keys() {
    let server = server::Postgres::start();
    let mut urls = Vec::new();
    for number in 0..10 {
        urls.push(server.database(&format!("keys{number}")).await);
    }
    any_store::keys::check(async |number, clock| {
        SqlStore::open(&urls[number]).await.unwrap().with_clock(clock)
    })
    .await;
}
