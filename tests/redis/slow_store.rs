//! A token store whose steps can be delayed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tower_bearer::{
    BoxFuture, UnixTime,
    issuing::store::{
        Acknowledged, Called, Caller, Insertion, ListQuery, MemoryTokenStore, NewPrivateToken,
        NewRefreshToken, OutboxEntry, Owner, PrivateRotation, PrivateToken, PrivateTokenPage,
        RefreshRotation, RefreshUse, RotatedPrivateToken, Step, TokenStore, TokenUse,
    },
    revocation::{Lookup, Revocable, RevocationEntry, RevocationStore, StoreError, Verdict},
};

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

macro_rules! pass_on {
    ($($step:ident($($name:ident: $type:ty),*) -> $answer:ty;)+) => {
        impl TokenStore for SlowStore {
            $(fn $step<'a>(&'a self, $($name: $type),*) -> Step<'a, $answer> {
                self.store.$step($($name),*)
            })+

            fn outbox_done<'a>(
                &'a self,
                ids: &'a [i64],
                acknowledged: &'a Acknowledged,
            ) -> Step<'a, bool> {
                self.outbox_done.delay(|| self.store.outbox_done(ids, acknowledged))
            }

            fn change_server<'a>(
                &'a self,
                kept: &'a Acknowledged,
                server: &'a str,
            ) -> Step<'a, bool> {
                self.change_server.delay(|| self.store.change_server(kept, server))
            }

            fn outbox(&self, limit: usize) -> Step<'_, Vec<OutboxEntry>> {
                self.store.outbox(limit)
            }

            fn sweep(&self, now: UnixTime, limit: usize) -> Step<'_, usize> {
                self.store.sweep(now, limit)
            }
        }
    };
}

pass_on! {
    open_session(first: &'a NewRefreshToken) -> Insertion<()>;
    use_refresh(rotation: &'a RefreshRotation) -> RefreshUse;
    create_private(caller: &'a Caller, token: &'a NewPrivateToken) -> Called<Insertion<PrivateToken>>;
    list_private(caller: &'a Caller, query: &'a ListQuery, now: UnixTime) -> Called<Option<PrivateTokenPage>>;
    rotate_private(caller: &'a Caller, rotation: &'a RotatedPrivateToken) -> Called<PrivateRotation>;
    revoke_private(caller: &'a Caller, id: i64, now: UnixTime) -> Called<Option<RevocationEntry>>;
    revoke_owner(owner: &'a Owner, now: UnixTime, tokens_expire_by: UnixTime) -> UnixTime;
    deny(denials: &'a [RevocationEntry]) -> ();
    acknowledged(fleet: &'a str) -> Option<Acknowledged>;
    begin_generation(new: &'a Acknowledged) -> ();
    denials(after: Option<&'a Revocable>, limit: usize) -> Vec<RevocationEntry>;
    touch(uses: &'a [TokenUse]) -> ();
    shared_key(name: &'a str, candidate: &'a [u8; 32]) -> [u8; 32];
    note_device(device: &'a [u8; 32], keep_until: UnixTime) -> ();
    knows_device(device: &'a [u8; 32], now: UnixTime) -> bool;
}

impl RevocationStore for SlowStore {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        self.store.look_up(lookup)
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store.revoke(entry)
    }
}
