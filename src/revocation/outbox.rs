//! The outbox of a durable store: revocations that still have to reach the other processes of a fleet.
//!
//! A durable store (SQL) writes a revocation and its outbox entry in one step. A relay, such as `OutboxRelay` of
//! `tower-bearer-redis`, reads the entries, records them where the fleet looks, and then removes them. A relay in front
//! of another message bus uses the same trait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Revocable, RevocationEntry, RevocationStore, StoreError};
use crate::BoxFuture;

/// A revocation store that keeps an outbox.
///
/// What changes revocation writes an outbox entry in the same step. An entry is removed in the same step in which the
/// store keeps what the fleet has acknowledged ([`Acknowledged`]).
pub trait Outbox: RevocationStore {
    /// Up to `limit` entries of the outbox that are not done, oldest first. Entries that start in the future are among
    /// them: whoever passes them on passes their start on.
    ///
    /// An entry is given again until it is done: whoever passes it on does so at least once.
    fn outbox(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OutboxEntry>, StoreError>>;

    /// Removes entries from the outbox that a fleet has acknowledged, and keeps how far that fleet has come. Unknown
    /// ids are not an error.
    ///
    /// Both happen in one step, and only if the store keeps `acknowledged.generation` and `acknowledged.server` for
    /// `acknowledged.fleet`. Otherwise nothing is removed, and the answer is `false`: the fleet was seeded or has moved
    /// to another server since, and may lack these entries. The count that is kept never becomes lower.
    fn outbox_done<'a>(
        &'a self,
        ids: &'a [i64],
        acknowledged: &'a Acknowledged,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// What the fleet of this name has acknowledged, or `None` if it was never seeded from this store.
    fn acknowledged<'a>(
        &'a self,
        fleet: &'a str,
    ) -> BoxFuture<'a, Result<Option<Acknowledged>, StoreError>>;

    /// Keeps the generation of a seeding that begins, in place of what is kept for its fleet.
    ///
    /// The caller reads [`denials`](Self::denials) afterwards. What left the outbox before this step is among them, and
    /// [`outbox_done`](Self::outbox_done) of an older generation removes nothing from then on.
    fn begin_generation<'a>(
        &'a self,
        new: &'a Acknowledged,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Keeps `server` in place of `kept.server`, but only if the store still keeps exactly `kept`. Returns whether it
    /// did.
    ///
    /// The caller has found everything up to `kept` on `server`. [`outbox_done`](Self::outbox_done) of the server
    /// before removes nothing from then on, because `server` may lack what that one has acknowledged later.
    fn change_server<'a>(
        &'a self,
        kept: &'a Acknowledged,
        server: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Waits for entries that this store object, or a clone of it, has written to the outbox, and
    /// gives each of them to one caller. They stay in the outbox.
    ///
    /// So a relay in this process can publish them at once. It is an optimisation: entries may be left out, such as
    /// those from before the first call and those beyond a limit. The answer is never empty. Dropping the future loses
    /// nothing. By default it waits for ever, and a relay finds entries in the [`outbox`](Self::outbox) only.
    fn new_entries(&self) -> BoxFuture<'_, Vec<OutboxEntry>> {
        Box::pin(std::future::pending())
    }

    /// Up to `limit` denials that are in force or will be, in an order of the store's own, from behind `after`: all of
    /// them when it is called again with the last of each answer until that is empty. Denials that are made meanwhile
    /// may be among them or not; the outbox has them.
    fn denials<'a>(
        &'a self,
        after: Option<&'a Revocable>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<RevocationEntry>, StoreError>>;
}

/// A revocation that other processes are still to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxEntry {
    /// Grows with each entry.
    pub id: i64,
    /// What is revoked.
    pub revocation: RevocationEntry,
}

impl OutboxEntry {
    /// An entry of the outbox.
    #[must_use]
    pub fn new(id: i64, revocation: RevocationEntry) -> Self {
        Self { id, revocation }
    }
}

/// How far the data of a fleet had come when it acknowledged entries of the outbox.
///
/// A relay compares it with what the fleet has now, and so finds out that acknowledged entries were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledged {
    /// The name of the fleet: in Redis, the prefix of its keys.
    pub fleet: String,
    /// Identifies the seeding that the data began with. It is a hash, because the generation itself signs messages.
    pub generation: String,
    /// Identifies the process that holds the data, and changes where the data may have gone back: at a restart and at
    /// a failover. In Redis, its `run_id` and its `master_replid`.
    pub server: String,
    /// How many revocations the fleet had recorded.
    pub count: u64,
    /// A hash over all of them: two histories with the same count have two.
    pub hash: [u8; 8],
}

impl Acknowledged {
    /// What a fleet has acknowledged.
    #[must_use]
    pub fn new(
        fleet: impl Into<String>,
        generation: impl Into<String>,
        server: impl Into<String>,
        count: u64,
        hash: [u8; 8],
    ) -> Self {
        let (fleet, generation, server) = (fleet.into(), generation.into(), server.into());
        Self { fleet, generation, server, count, hash }
    }
}

/// Entries that wait for a relay. More are left to the backlog.
const MOST: usize = 10_000;

/// Hands the entries that a store has written to a relay in the same process: an implementation of
/// [`Outbox::new_entries`].
#[derive(Debug, Default)]
pub struct NewEntries {
    /// `None` until a relay asks for the first time.
    waiting: Mutex<Option<Vec<OutboxEntry>>>,
    arrived: Notify,
}

impl NewEntries {
    /// Call this when the entries are committed.
    pub fn add(&self, entries: Vec<OutboxEntry>) {
        if entries.is_empty() {
            return;
        }
        if let Some(waiting) = &mut *self.waiting() {
            let room = MOST.saturating_sub(waiting.len());
            waiting.extend(entries.into_iter().take(room));
            self.arrived.notify_one();
        }
    }

    /// Waits until there are entries.
    pub async fn take(&self) -> Vec<OutboxEntry> {
        loop {
            let entries = std::mem::take(self.waiting().get_or_insert_default());
            if !entries.is_empty() {
                return entries;
            }
            self.arrived.notified().await;
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Vec<OutboxEntry>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
