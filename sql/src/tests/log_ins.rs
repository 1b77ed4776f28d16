//! Log-ins on real databases.

use std::sync::atomic::{AtomicU32, Ordering};

use super::{
    SqlStore,
    any_store::{account_changes, deleted_account, overtaken, replicas, revocation_table},
};

mod sqlite {
    use super::{
        super::Directory, AtomicU32, Ordering, SqlStore, account_changes, deleted_account,
        overtaken, replicas, revocation_table,
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_survives_a_revocation() {
        let (directory, count) = (Directory::new(), AtomicU32::new(0));
        overtaken::check(async |clock| open(&directory, &count).await.with_clock(clock)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn known_devices_are_shared() {
        let (directory, count) = (Directory::new(), AtomicU32::new(0));
        replicas::check(async |clock| open(&directory, &count).await.with_clock(clock)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_changed_account_ends_its_tokens() {
        let (directory, count) = (Directory::new(), AtomicU32::new(0));
        account_changes::check(async |clock| open(&directory, &count).await.with_clock(clock))
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_deleted_account_leaves_nothing() {
        let (directory, count) = (Directory::new(), AtomicU32::new(0));
        deleted_account::check(async |clock| open(&directory, &count).await.with_clock(clock))
            .await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_table_of_revocations_is_right() {
        let (directory, count) = (Directory::new(), AtomicU32::new(0));
        revocation_table::check(async |clock| open(&directory, &count).await.with_clock(clock))
            .await;
    }

    async fn open(directory: &Directory, count: &AtomicU32) -> SqlStore {
        let file = format!("{}.db", count.fetch_add(1, Ordering::Relaxed));
        SqlStore::open(&directory.url(&file)).await.unwrap()
    }
}

mod postgres {
    use super::{
        super::server::Postgres, AtomicU32, Ordering, SqlStore, account_changes, deleted_account,
        overtaken, replicas, revocation_table,
    };

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs postgres"]
    async fn nothing_survives_a_revocation() {
        let server = Postgres::start();
        let count = AtomicU32::new(0);
        overtaken::check(async |clock| open(&server, &count).await.with_clock(clock)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs postgres"]
    async fn known_devices_are_shared() {
        let server = Postgres::start();
        let count = AtomicU32::new(0);
        replicas::check(async |clock| open(&server, &count).await.with_clock(clock)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs postgres"]
    async fn a_changed_account_ends_its_tokens() {
        let server = Postgres::start();
        let count = AtomicU32::new(0);
        account_changes::check(async |clock| open(&server, &count).await.with_clock(clock)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs postgres"]
    async fn a_deleted_account_leaves_nothing() {
        let server = Postgres::start();
        let count = AtomicU32::new(0);
        deleted_account::check(async |clock| open(&server, &count).await.with_clock(clock)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs postgres"]
    async fn the_table_of_revocations_is_right() {
        let server = Postgres::start();
        let count = AtomicU32::new(0);
        revocation_table::check(async |clock| open(&server, &count).await.with_clock(clock)).await;
    }

    async fn open(server: &Postgres, count: &AtomicU32) -> SqlStore {
        let name = format!("log_ins{}", count.fetch_add(1, Ordering::Relaxed));
        SqlStore::open(&server.database(&name).await).await.unwrap()
    }
}
