//! Log-ins on real databases.

use std::sync::atomic::{AtomicU32, Ordering};

use super::SqlStore;
use crate::issuing::tests::{overtaken, replicas};

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn with_sqlite_nothing_survives_a_revocation() {
    let directory = super::Directory::new();
    let count = AtomicU32::new(0);
    let make = async |clock| {
        let file = format!("{}.db", count.fetch_add(1, Ordering::Relaxed));
        SqlStore::open(&directory.url(&file)).await.unwrap().with_clock(clock)
    };
    overtaken::check(make).await;
    replicas::check(make).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread")]
async fn with_postgres_nothing_survives_a_revocation() {
    let Some(server) = super::server::Server::start() else { return };
    let count = AtomicU32::new(0);
    let make = async |clock| {
        let name = format!("log_ins{}", count.fetch_add(1, Ordering::Relaxed));
        let url = server.database(&name).await;
        SqlStore::open(&url).await.unwrap().with_clock(clock)
    };
    overtaken::check(make).await;
    replicas::check(make).await;
}
