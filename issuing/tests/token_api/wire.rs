//! In front of a memory store: a wire that can be cut.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::RwLock;
use tower_bearer::{
    BoxFuture,
    revocation::{
        Revocable, RevocationStore, StoreError, Verdict,
        outbox::{Acknowledged, Denial, Outbox, OutboxEntry},
    },
};
use tower_bearer_issuing::{
    ListQuery, PrivateToken, PrivateTokenPage, TokenStore,
    store::{
        Called, Caller, Insertion, MemoryTokenStore, NewPrivateToken, NewRefreshToken, Owner,
        PrivateRotation, RefreshRotation, RefreshUse, RotatedPrivateToken, Step, TokenUse,
    },
};

#[derive(Clone)]
pub(crate) struct Wire {
    store: Arc<MemoryTokenStore>,
    is_cut: Arc<AtomicBool>,
    /// Who has it to write holds up lists, refreshes, or revocations of private tokens.
    pub(crate) lists: Arc<RwLock<()>>,
    pub(crate) refreshes: Arc<RwLock<()>>,
    pub(crate) revocations: Arc<RwLock<()>>,
    arrived: Arc<AtomicUsize>,
}

impl Wire {
    pub(crate) fn new(store: MemoryTokenStore) -> Self {
        Self {
            store: Arc::new(store),
            is_cut: Arc::default(),
            lists: Arc::default(),
            refreshes: Arc::default(),
            revocations: Arc::default(),
            arrived: Arc::default(),
        }
    }

    /// How many lists, refreshes and revocations of private tokens have reached the store.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(SeqCst)
    }

    fn held<'a, T: Send + 'a>(&'a self, by: &'a RwLock<()>, step: Step<'a, T>) -> Step<'a, T> {
        self.arrived.fetch_add(1, SeqCst);
        let step = self.through(step);
        Box::pin(async move {
            let _ = by.read().await;
            step.await
        })
    }

    pub(crate) fn cut(&self) {
        self.is_cut.store(true, SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.is_cut.store(false, SeqCst);
    }

    fn through<'a, T: Send + 'a>(&'a self, step: Step<'a, T>) -> Step<'a, T> {
        if self.is_cut.load(SeqCst) {
            return Box::pin(std::future::ready(Err(StoreError::new("connection reset"))));
        }
        step
    }
}

impl RevocationStore for Wire {
    fn look_up<'a>(&'a self, token: &'a [Revocable]) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        self.through(self.store.look_up(token))
    }

    fn revoke<'a>(
        &'a self,
        what: &'a Revocable,
        keep_until: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.through(self.store.revoke(what, keep_until))
    }
}

impl TokenStore for Wire {
    fn open_session<'a>(&'a self, first: &'a NewRefreshToken) -> Step<'a, Insertion<()>> {
        self.through(self.store.open_session(first))
    }

    fn use_refresh<'a>(&'a self, rotation: &'a RefreshRotation) -> Step<'a, RefreshUse> {
        self.held(&self.refreshes, self.store.use_refresh(rotation))
    }

    fn create_private<'a>(
        &'a self,
        caller: &'a Caller,
        token: &'a NewPrivateToken,
    ) -> Step<'a, Called<Insertion<PrivateToken>>> {
        self.through(self.store.create_private(caller, token))
    }

    fn list_private<'a>(
        &'a self,
        caller: &'a Caller,
        query: &'a ListQuery,
        now: u64,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>> {
        self.held(&self.lists, self.store.list_private(caller, query, now))
    }

    fn rotate_private<'a>(
        &'a self,
        caller: &'a Caller,
        rotation: &'a RotatedPrivateToken,
    ) -> Step<'a, Called<PrivateRotation>> {
        self.through(self.store.rotate_private(caller, rotation))
    }

    fn revoke_private<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: u64,
    ) -> Step<'a, Called<Option<Denial>>> {
        self.held(&self.revocations, self.store.revoke_private(caller, id, now))
    }

    fn revoke_owner<'a>(&'a self, owner: &'a Owner, now: u64, keep_until: u64) -> Step<'a, u64> {
        self.through(self.store.revoke_owner(owner, now, keep_until))
    }

    fn deny<'a>(&'a self, denials: &'a [Denial]) -> Step<'a, ()> {
        self.through(self.store.deny(denials))
    }

    fn sweep(&self, now: u64, limit: usize) -> Step<'_, usize> {
        self.through(self.store.sweep(now, limit))
    }

    fn touch<'a>(&'a self, uses: &'a [TokenUse]) -> Step<'a, ()> {
        self.through(self.store.touch(uses))
    }

    fn shared_key<'a>(&'a self, name: &'a str, candidate: &'a [u8; 32]) -> Step<'a, [u8; 32]> {
        self.through(self.store.shared_key(name, candidate))
    }

    fn note_device<'a>(&'a self, device: &'a [u8; 32], keep_until: u64) -> Step<'a, ()> {
        self.through(self.store.note_device(device, keep_until))
    }

    fn knows_device<'a>(&'a self, device: &'a [u8; 32], now: u64) -> Step<'a, bool> {
        self.through(self.store.knows_device(device, now))
    }
}

impl Outbox for Wire {
    fn outbox(&self, limit: usize) -> Step<'_, Vec<OutboxEntry>> {
        self.through(self.store.outbox(limit))
    }

    fn denials<'a>(&'a self, after: Option<&'a Revocable>, limit: usize) -> Step<'a, Vec<Denial>> {
        self.through(self.store.denials(after, limit))
    }

    fn outbox_done<'a>(&'a self, ids: &'a [i64], acknowledged: &'a Acknowledged) -> Step<'a, bool> {
        self.through(self.store.outbox_done(ids, acknowledged))
    }

    fn acknowledged<'a>(&'a self, fleet: &'a str) -> Step<'a, Option<Acknowledged>> {
        self.through(self.store.acknowledged(fleet))
    }

    fn begin_generation<'a>(&'a self, new: &'a Acknowledged) -> Step<'a, ()> {
        self.through(self.store.begin_generation(new))
    }

    fn change_server<'a>(&'a self, kept: &'a Acknowledged, server: &'a str) -> Step<'a, bool> {
        self.through(self.store.change_server(kept, server))
    }
}
