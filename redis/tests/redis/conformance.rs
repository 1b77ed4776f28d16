//! The rules of every revocation store, kept by Redis and by the deny-list.

use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use tower_bearer::{
    BoxFuture,
    revocation::{Lookup, RevocationEntry, RevocationStore, StoreError, Verdict},
    test_util::revocation_conformance::check,
};
use tower_bearer_redis::{DenyList, RedisStore};

use crate::{
    server::Server,
    service::{asked, entry, eventually, id, now},
};

/// A store under a prefix of its own.
async fn empty(server: &Server) -> RedisStore {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let prefix = format!("rule{}:", COUNT.fetch_add(1, SeqCst));
    let store = RedisStore::builder(&server.url()).with_prefix(&prefix).connect().await.unwrap();
    store.initialise().await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn redis_keeps_every_rule_of_a_revocation_store() {
    let server = Server::start();
    check(async |_| empty(&server).await).await;
}

/// A deny-list whose revocations return when the list has them.
struct Followed {
    list: DenyList,
    revoked: AtomicU32,
}

impl RevocationStore for Followed {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        self.list.look_up(lookup)
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.list.revoke(entry).await?;
            // The stream is in order: what was revoked before this is there, too.
            let last = id(&format!("last {}", self.revoked.fetch_add(1, SeqCst)));
            self.list.revoke(&self::entry(last.clone(), now() + 600)).await?;
            let lookup = asked([last]);
            while self.list.look_up(&lookup).await.ok() != Some(Verdict::Revoked) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            Ok(())
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_deny_list_keeps_every_rule_of_a_revocation_store() {
    let server = Server::start();
    check(async |clock| {
        let list = DenyList::follow(&empty(&server).await, Duration::from_secs(24 * 3_600));
        let list = list.with_clock(clock);
        eventually("the list is read", async || list.stats().is_current).await;
        Followed { list, revoked: AtomicU32::new(0) }
    })
    .await;
}
