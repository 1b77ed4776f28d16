//! In front of a memory store: a wire that can be cut.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use tokio::sync::RwLock;
use tower_bearer::{
    BoxFuture, UnixTime,
    revocation::{
        Lookup, Revocable, RevocationEntry, RevocationStore, StoreError, Verdict,
        outbox::{Acknowledged, Outbox, OutboxEntry},
    },
};
use tower_bearer_issuing::{
    ListQuery, PrivateToken, PrivateTokenPage, SessionPage, SessionQuery, TokenStore,
    audit::AuditEvent,
    store::{
        Called, Caller, Insertion, MemoryTokenStore, NewPrivateToken, NewSession, Owner,
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
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        self.through(self.store.look_up(lookup))
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        self.through(self.store.revoke(entry))
    }
}

impl TokenStore for Wire {
    fn open_session<'a>(&'a self, new: &'a NewSession) -> Step<'a, Insertion<()>> {
        self.through(self.store.open_session(new))
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
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>> {
        self.held(&self.lists, self.store.list_private(caller, query, now))
    }

    fn find_private<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateToken>>> {
        self.through(self.store.find_private(caller, id, now))
    }

    fn list_private_of<'a>(
        &'a self,
        caller: &'a Caller,
        subject: &'a str,
        query: &'a ListQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>> {
        self.held(&self.lists, self.store.list_private_of(caller, subject, query, now))
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
        now: UnixTime,
    ) -> Step<'a, Called<Option<RevocationEntry>>> {
        self.held(&self.revocations, self.store.revoke_private(caller, id, now))
    }

    fn revoke_private_of_any<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<(Arc<str>, RevocationEntry)>>> {
        self.held(&self.revocations, self.store.revoke_private_of_any(caller, id, now))
    }

    fn list_sessions<'a>(
        &'a self,
        caller: &'a Caller,
        query: &'a SessionQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<SessionPage>>> {
        self.held(&self.lists, self.store.list_sessions(caller, query, now))
    }

    fn revoke_session<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> Step<'a, Called<Option<RevocationEntry>>> {
        let step = self.store.revoke_session(caller, id, now, tokens_expire_by);
        self.held(&self.revocations, step)
    }

    fn revoke_owner<'a>(
        &'a self,
        owner: &'a Owner,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> Step<'a, UnixTime> {
        self.through(self.store.revoke_owner(owner, now, tokens_expire_by))
    }

    fn delete_personal_data<'a>(
        &'a self,
        owner: &'a Owner,
        now: UnixTime,
        tokens_expire_by: UnixTime,
        event: Option<&'a AuditEvent>,
    ) -> Step<'a, UnixTime> {
        self.through(self.store.delete_personal_data(owner, now, tokens_expire_by, event))
    }

    fn subject_of_session<'a>(
        &'a self,
        issuer: &'a str,
        session_id: &'a str,
    ) -> Step<'a, Option<Arc<str>>> {
        self.through(self.store.subject_of_session(issuer, session_id))
    }

    fn deny<'a>(&'a self, denials: &'a [RevocationEntry]) -> Step<'a, ()> {
        if self.is_cut.load(SeqCst) {
            // The step is not taken, unlike the other steps of a cut wire.
            return Box::pin(std::future::ready(Err(StoreError::new("connection refused"))));
        }
        self.store.deny(denials)
    }

    fn sweep(&self, now: UnixTime, limit: usize) -> Step<'_, usize> {
        self.through(self.store.sweep(now, limit))
    }

    fn touch<'a>(&'a self, uses: &'a [TokenUse]) -> Step<'a, ()> {
        self.through(self.store.touch(uses))
    }

    fn shared_key<'a>(&'a self, name: &'a str, candidate: &'a [u8; 32]) -> Step<'a, [u8; 32]> {
        self.through(self.store.shared_key(name, candidate))
    }

    fn note_device<'a>(
        &'a self,
        device: &'a [u8; 32],
        account: &'a [u8; 32],
        keep_until: UnixTime,
    ) -> Step<'a, ()> {
        self.through(self.store.note_device(device, account, keep_until))
    }

    fn knows_device<'a>(&'a self, device: &'a [u8; 32], now: UnixTime) -> Step<'a, bool> {
        self.through(self.store.knows_device(device, now))
    }
}

impl Outbox for Wire {
    fn outbox(&self, limit: usize) -> Step<'_, Vec<OutboxEntry>> {
        self.through(self.store.outbox(limit))
    }

    fn denials<'a>(
        &'a self,
        after: Option<&'a Revocable>,
        limit: usize,
    ) -> Step<'a, Vec<RevocationEntry>> {
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
