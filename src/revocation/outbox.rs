//! The outbox of a durable store: revocations that the other processes of a fleet do not have yet.
//!
//! For authors of stores and relays. A durable store (SQL) writes a revocation and its outbox entry in one step. A
//! relay, such as `OutboxRelay` of `tower-bearer-redis`, reads the entries, records them where the fleet finds them,
//! and then removes them. A relay for another message bus uses the same trait.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Revocable, RevocationEntry, RevocationStore, StoreError};
use crate::BoxFuture;

/// A revocation store that keeps an outbox.
///
/// Every step that changes a revocation also writes an outbox entry. Every step that removes an entry also stores the
/// state that the fleet has acknowledged ([`Acknowledged`]).
pub trait Outbox: RevocationStore {
    /// Up to `limit` entries of the outbox that are not done, oldest first. This includes entries that start in the
    /// future: the relay must pass on their start too.
    ///
    /// The store returns an entry again until it is done, so a relay passes on each entry at least once.
    fn outbox(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OutboxEntry>, StoreError>>;

    /// Removes entries that a fleet has acknowledged, and stores the state of that fleet. Unknown ids are not an error.
    ///
    /// Both happen in one step, and only if the store keeps `acknowledged.generation` and `acknowledged.server` for
    /// `acknowledged.fleet`. Otherwise it removes nothing and returns `false`: the fleet was seeded or has moved to
    /// another server in the meantime, and may lack these entries. The stored count never decreases.
    fn outbox_done<'a>(
        &'a self,
        ids: &'a [i64],
        acknowledged: &'a Acknowledged,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The state that the fleet of this name has acknowledged, or `None` if it was never seeded from this store.
    fn acknowledged<'a>(
        &'a self,
        fleet: &'a str,
    ) -> BoxFuture<'a, Result<Option<Acknowledged>, StoreError>>;

    /// Stores the generation of a seeding that begins. It replaces the stored state of its fleet.
    ///
    /// The caller reads [`denials`](Self::denials) afterwards. Entries that left the outbox before this step are among
    /// them. From then on, [`outbox_done`](Self::outbox_done) of an older generation removes nothing.
    fn begin_generation<'a>(
        &'a self,
        new: &'a Acknowledged,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Replaces `kept.server` by `server`, but only if the store still keeps exactly `kept`. Returns whether it did.
    ///
    /// The caller has found everything up to `kept` on `server`. From then on, [`outbox_done`](Self::outbox_done) of
    /// the earlier server removes nothing, because `server` may lack entries that the earlier server acknowledged
    /// later.
    fn change_server<'a>(
        &'a self,
        kept: &'a Acknowledged,
        server: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Waits for entries that this store object, or a clone of it, has written to the outbox, and gives each of them to
    /// one caller. The entries stay in the outbox.
    ///
    /// So a relay in this process can publish them at once. This is an optimisation. The store may leave out entries,
    /// for example those from before the first call and those beyond a limit. The answer is never empty. Dropping the
    /// future loses nothing. Default: waits for ever, and a relay finds entries only in the [`outbox`](Self::outbox).
    fn new_entries(&self) -> BoxFuture<'_, Vec<OutboxEntry>> {
        Box::pin(std::future::pending())
    }

    /// Up to `limit` denials after `after` that are in force or will be, in an order that the store chooses.
    ///
    /// To read all of them, call this again with the last denial of each answer, until an answer is empty. Denials that
    /// are made in the meantime may or may not be included: the outbox has them.
    fn denials<'a>(
        &'a self,
        after: Option<&'a Revocable>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<RevocationEntry>, StoreError>>;
}

/// A revocation that the other processes do not have yet.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxEntry {
    /// Grows with each entry.
    pub id: i64,
    /// The revocation.
    pub revocation: RevocationEntry,
}

impl OutboxEntry {
    /// An entry of the outbox.
    #[must_use]
    pub fn new(id: i64, revocation: RevocationEntry) -> Self {
        Self { id, revocation }
    }
}

/// The state of a fleet's data when the fleet acknowledged entries of the outbox.
///
/// A relay compares it with the fleet's data now. So it detects that acknowledged entries were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Acknowledged {
    /// The name of the fleet: in Redis, the prefix of its keys.
    pub fleet: String,
    /// Identifies the seeding with which the data began. It is a hash, because the generation itself signs messages.
    pub generation: String,
    /// Identifies the process that holds the data. It changes when the data may have gone back in time: at a restart
    /// and at a failover. In Redis it is the `run_id` and the `master_replid`.
    pub server: String,
    /// The number of revocations that the fleet had recorded.
    pub count: u64,
    /// A hash over all of them: two histories with the same count have different hashes.
    pub hash: [u8; 8],
}

impl Acknowledged {
    /// The state that a fleet has acknowledged.
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

/// The largest number of entries that wait for a relay. The relay reads further entries from the backlog.
const MOST: usize = 10_000;

/// Passes the entries that a store has written to a relay in the same process: an implementation of
/// [`Outbox::new_entries`].
#[derive(Debug, Default)]
pub struct NewEntries {
    /// `None` until a relay asks for the first time.
    waiting: Mutex<Option<Vec<OutboxEntry>>>,
    arrived: Notify,
}

impl NewEntries {
    /// Call this after the entries are committed.
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
