//! Records entries of a token store in Redis, and makes sure that Redis still has what it has acknowledged.
//!
//! # Why nothing is lost for good
//!
//! For each fleet the store keeps a generation, a server, and how far Redis had come with them ([`Acknowledged`]).
//!
//! 1. **Entries leave the outbox in the transaction that raises the kept mark.** They leave it only while the kept
//!    generation and the kept server are those that have acknowledged them.
//! 2. **Before a relay records anything, it compares.** Redis must have the kept generation, and the kept mark must be
//!    its latest or be in its stream. If not, Redis has lost acknowledged entries, and the relay seeds. If the stream
//!    does not reach back that far, the relay cannot know, and seeds.
//! 3. **A comparison is valid for one connection and one generation.** The relay records over the same connection only,
//!    so on the same server. If the connection breaks, or Redis answers with another generation, the entries stay in
//!    the outbox and the relay compares again. With the lease, it also checks again and again whether the store still
//!    keeps that generation. If the relay finds the kept mark on a different server than the kept one, it makes the
//!    store keep that server instead. It does so only if the store has kept nothing else meanwhile; otherwise it
//!    compares again. From then on a relay of the old server, however slow, cannot remove an entry, because the new
//!    server may lack that entry.
//! 4. **A seeding first replaces the kept generation, and then reads the store.** The entries that left the outbox
//!    before are among the entries that it reads. From then on a relay of an older generation, however slow, cannot
//!    remove an entry. So a seeding that stops in the middle is noticed, too: Redis does not have the generation that
//!    the store keeps.
//! 5. **Redis may be ahead of the store.** A relay that stops between the two sides has recorded an entry that is still
//!    in the outbox. The entry is recorded again, and the mark in Redis counts up from the kept one.
//!
//! The store may keep nothing for a fleet whose Redis has a generation, because an older version of this crate or
//! [`RedisStore::initialise`] has set it up. The relay then seeds once. Lookups are answered meanwhile, unless the
//! lease expires during the seeding: the next relay then finds that the generations differ. If the generations differ,
//! lookups fail until the seeding has finished.
//!
//! A server is one process and its replication history. A restart ends it. A failover ends it too, even one that leads
//! back to the same process. But the relay cannot notice if the data of a running process is replaced, as `FLUSHALL`
//! and `RESTORE` do. To restore a backup, restart Redis with it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    RedisStore,
    error::Failure,
    generation::Seeding,
    lease::Lease,
    mark::Mark,
    names::{hex, sha256},
};
use tower_bearer::revocation::{
    Revocable, StoreError,
    outbox::{Acknowledged, Outbox, OutboxEntry},
};

/// How many entries one step records. The number is small, so that other clients do not wait long for Redis.
pub(super) const BATCH: usize = 200;

/// How often a relay compares again at once, because the store has kept another value meanwhile.
const COMPARISONS: usize = 5;

/// A token store, and the fleet that it feeds.
pub(super) struct Ledger {
    pub(super) store: Arc<dyn Outbox>,
    pub(super) redis: RedisStore,
    /// The last comparison that found Redis complete.
    basis: Mutex<Option<Basis>>,
}

/// Redis was complete over this connection, with this generation.
#[derive(Clone)]
struct Basis {
    link: u64,
    generation: Arc<str>,
    /// The server behind the connection, as the store keeps it.
    server: Arc<str>,
}

/// Whether an earlier comparison over this connection and with this generation is enough, or the store must be asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It is enough: `outbox_done` checks whether the store still keeps that generation and that server.
    IsEnough,
    /// The store must be asked, because a relay that seeds another server replaces the generation.
    MayBeOver,
}

/// The result of comparing Redis with what the store keeps as acknowledged.
enum Compared {
    Complete(Basis),
    /// Redis has no generation, or it has one and lacks entries that it had acknowledged under it.
    NotSeeded,
    /// The store keeps nothing for this fleet.
    Unknown,
    /// Redis has this generation, and the store keeps a different one.
    Differs {
        link: u64,
        generation: Arc<str>,
    },
}

impl Ledger {
    pub(super) fn new(store: Arc<dyn Outbox>, redis: RedisStore) -> Self {
        Self { store, redis, basis: Mutex::default() }
    }

    /// Records up to [`BATCH`] entries in Redis and removes them from the outbox.
    pub(super) async fn publish(&self, entries: &[OutboxEntry]) -> Result<(), StoreError> {
        let Compared::Complete(basis) = self.compare(Known::IsEnough).await? else {
            // The entries stay in the outbox until Redis is seeded.
            return Err(Failure::NotSeeded.into());
        };
        let denials: Vec<_> = entries.iter().map(|entry| entry.revocation.clone()).collect();
        let mark = self.redis.record(basis.link, &denials).await?;
        if mark.generation != basis.generation {
            return Err(Failure::Overtaken.into());
        }
        let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
        if !self.store.outbox_done(&ids, &self.acknowledged(&basis, &mark)).await? {
            // Another relay has found a different server, or is seeding one, or has seeded one.
            *self.basis() = None;
            return Err(Failure::Overtaken.into());
        }
        Ok(())
    }

    /// Seeds Redis unless it has everything that it had acknowledged.
    pub(super) async fn complete(&self, lease: Option<&Lease>) -> Result<(), StoreError> {
        let only_if_missing = match self.compare(Known::MayBeOver).await? {
            Compared::Complete(_) => return Ok(()),
            Compared::NotSeeded => true,
            Compared::Unknown => false,
            Compared::Differs { link, generation } => {
                self.redis.forsake(link, &Mark::never(&generation)).await?;
                true
            }
        };
        match self.redis.begin_seeding(only_if_missing).await? {
            Some(seeding) => self.go_on_seeding(seeding, lease).await,
            None => Ok(()),
        }
    }

    /// Seeds Redis, even if its data is complete.
    pub(super) async fn seed(&self) -> Result<(), StoreError> {
        let seeding = self.redis.begin_seeding(false).await?.ok_or(Failure::SeedInterrupted)?;
        self.go_on_seeding(seeding, None).await
    }

    async fn compare(&self, known: Known) -> Result<Compared, StoreError> {
        for _ in 0..COMPARISONS {
            if let Some(compared) = self.compare_once(known).await? {
                return Ok(compared);
            }
        }
        Err(Failure::Overtaken.into())
    }

    /// Returns `None` if the store has kept another value meanwhile.
    async fn compare_once(&self, known: Known) -> Result<Option<Compared>, StoreError> {
        let link = self.redis.0.link.current().await?;
        let mark = match self.redis.mark_over(link).await {
            Ok(mark) => mark,
            Err(Failure::NotSeeded | Failure::WentBackwards) => {
                return Ok(Some(Compared::NotSeeded));
            }
            Err(failure) => return Err(failure.into()),
        };
        let generation = mark.generation;
        let basis = self.basis_over(link, &generation);
        if let (Some(basis), Known::IsEnough) = (&basis, known) {
            return Ok(Some(Compared::Complete(basis.clone())));
        }
        let Some(kept) = self.store.acknowledged(&self.redis.0.space.prefix).await? else {
            return Ok(Some(Compared::Unknown));
        };
        if kept.generation != fingerprint(&generation) {
            return Ok(Some(Compared::Differs { link, generation }));
        }
        if let Some(basis) = basis {
            return Ok(Some(Compared::Complete(basis)));
        }
        let server = self.redis.server_over(link).await?;
        let tip = u64::from_be_bytes(kept.hash);
        let mark = Mark { generation: Arc::clone(&generation), count: kept.count, tip };
        if !self.redis.still_has(link, mark).await? {
            return Ok(Some(Compared::NotSeeded));
        }
        if kept.server != server && !self.store.change_server(&kept, &server).await? {
            return Ok(None);
        }
        let basis = Basis { link, generation, server: server.into() };
        *self.basis() = Some(basis.clone());
        Ok(Some(Compared::Complete(basis)))
    }

    async fn go_on_seeding(
        &self,
        mut seeding: Seeding,
        lease: Option<&Lease>,
    ) -> Result<(), StoreError> {
        if let Err(error) = self.write_denials(&mut seeding, lease).await {
            // This lets another relay seed before the seeding expires.
            let _ = self.redis.abandon_seeding(&seeding).await;
            return Err(error);
        }
        Ok(self.redis.finish_seeding(seeding).await?)
    }

    async fn write_denials(
        &self,
        seeding: &mut Seeding,
        lease: Option<&Lease>,
    ) -> Result<(), StoreError> {
        // This comes before the entries are read, so that every entry that leaves the outbox is among them.
        let generation = fingerprint(&seeding.token);
        let server = self.redis.server_over(seeding.link).await?;
        let new = Acknowledged::new(&*self.redis.0.space.prefix, generation, server, 0, [0; 8]);
        self.store.begin_generation(&new).await?;
        let mut after: Option<Revocable> = None;
        loop {
            let denials = self.store.denials(after.as_ref(), BATCH).await?;
            let Some(last) = denials.last() else { return Ok(()) };
            after = Some(last.thing().clone());
            self.redis.seed_batch(seeding, &denials).await?;
            if let Some(lease) = lease {
                // The seeding continues without the lease, because no other relay can seed meanwhile.
                lease.hold(&self.redis).await?;
            }
        }
    }

    fn acknowledged(&self, basis: &Basis, mark: &Mark) -> Acknowledged {
        let (prefix, generation) = (&*self.redis.0.space.prefix, fingerprint(&mark.generation));
        Acknowledged::new(prefix, generation, &*basis.server, mark.count, mark.tip.to_be_bytes())
    }

    fn basis_over(&self, link: u64, generation: &Arc<str>) -> Option<Basis> {
        let basis = self.basis().clone();
        basis.filter(|basis| basis.link == link && basis.generation == *generation)
    }

    fn basis(&self) -> MutexGuard<'_, Option<Basis>> {
        self.basis.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a hash that identifies a generation. A reader of the hash cannot sign messages with it.
fn fingerprint(generation: &str) -> String {
    hex(&sha256(generation.as_bytes()))
}
