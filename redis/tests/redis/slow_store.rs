//! A token store whose steps can be delayed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tower_bearer::{
    BoxFuture,
    revocation::{
        Lookup, Revocable, RevocationEntry, RevocationStore, StoreError, Verdict,
        outbox::{Acknowledged, Outbox, OutboxEntry},
    },
};
use tower_bearer_issuing::store::{MemoryTokenStore, Step};

#[derive(Clone)]
pub(crate) struct SlowStore {
    store: MemoryTokenStore,
    pub(crate) outbox_done: Gate,
    pub(crate) change_server: Gate,
}

/// Delays one kind of step while it is closed.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    lock: Arc<RwLock<()>>,
    arrived: Arc<AtomicUsize>,
}

impl Gate {
    /// Closed until the guard is dropped.
    pub(crate) async fn close(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.lock).write_owned().await
    }

    /// How many steps have come to this gate.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(SeqCst)
    }

    fn delay<'a, T: Send + 'a>(
        &'a self,
        step: impl FnOnce() -> Step<'a, T> + Send + 'a,
    ) -> Step<'a, T> {
        self.arrived.fetch_add(1, SeqCst);
        Box::pin(async move {
            let _open = self.lock.read().await;
            step().await
        })
    }
}

impl SlowStore {
    pub(crate) fn on(store: &MemoryTokenStore) -> Self {
        Self { store: store.clone(), outbox_done: Gate::default(), change_server: Gate::default() }
    }
}

impl Outbox for SlowStore {
    fn outbox(&self, limit: usize) -> Step<'_, Vec<OutboxEntry>> {
        self.store.outbox(limit)
    }

    fn outbox_done<'a>(&'a self, ids: &'a [i64], acknowledged: &'a Acknowledged) -> Step<'a, bool> {
        self.outbox_done.delay(|| self.store.outbox_done(ids, acknowledged))
    }

    fn acknowledged<'a>(&'a self, fleet: &'a str) -> Step<'a, Option<Acknowledged>> {
        self.store.acknowledged(fleet)
    }

    fn begin_generation<'a>(&'a self, new: &'a Acknowledged) -> Step<'a, ()> {
        self.store.begin_generation(new)
    }

    fn change_server<'a>(&'a self, kept: &'a Acknowledged, server: &'a str) -> Step<'a, bool> {
        self.change_server.delay(|| self.store.change_server(kept, server))
    }

    fn denials<'a>(
        &'a self,
        after: Option<&'a Revocable>,
        limit: usize,
    ) -> Step<'a, Vec<RevocationEntry>> {
        self.store.denials(after, limit)
    }
}

impl RevocationStore for SlowStore {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        self.store.look_up(lookup)
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.revoke(entry)
    }
}
