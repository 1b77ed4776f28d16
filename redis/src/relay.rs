//! Copies revocations from the outbox of a token store to Redis, and so to the fleet.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    RedisStore,
    lease::Lease,
    ledger::{BATCH, Ledger},
    pauses::{jittered, wait},
};
use crate::telemetry::{self, WarningLimit};
use tower_bearer::revocation::{StoreError, outbox::Outbox};

/// How many entries of the backlog are read at once.
const READ: usize = 10_000;

/// Copies the revocations of an [`Outbox`] into Redis, and from there to every process. Use it if that store is the
/// source of truth.
///
/// 1. **At least once.** The store writes a revocation and its outbox entry in one step. The relay removes the entry
///    only after Redis has confirmed it. If a process stops in between, the entry is copied again, which changes
///    nothing.
/// 2. **The relay seeds a Redis that is empty or has lost acknowledged entries.** It writes every revocation entry of
///    the store that is in force or starts later, before lookups are answered again. The store keeps what Redis has
///    acknowledged, and the relay compares at every connection. So the relay notices a loss even if no process is left
///    that remembers.
/// 3. **Run a relay in each process.** A relay publishes the entries of its own process at once. The backlog is the
///    entries that other processes have left behind. Only one relay at a time copies the backlog and seeds Redis; a
///    lease in Redis decides which. A relay that loses the lease while it works may repeat one batch of 200 entries. A
///    revocation that starts in the future is copied at once, with its start. Each process compares the start with its
///    own clock.
/// 4. **One store for each prefix, and one Redis for each store.** If two stores feed one fleet, they seed it in turn,
///    and each seeding lacks the entries that only the other store has. If relays of one store feed two servers under
///    one prefix, both servers are seeded in turn, again and again. Each server is unavailable meanwhile.
///
/// **Delay.** A relay publishes at once what its own process writes through the same store object or a clone of it.
/// That takes three round trips: to Redis, to Redis again and to the store. All other entries are in the backlog. These
/// are the entries of a process that has died or runs no relay, entries that could not be published, and all entries of
/// a store that does not implement [`new_entries`](Outbox::new_entries). An entry of the backlog waits for at most the
/// [interval](Self::with_interval), and for the entries before it. If the process with the lease dies, the lease first
/// has to expire, after 2 seconds. If it dies while it seeds, that seeding has to expire, after 30 seconds. If no relay
/// runs, or either side cannot be reached, revocations wait in the outbox.
///
/// The staleness bound of a cache counts from the revocation only if the token store itself answers its lookups. A
/// cache in front of Redis sees a revocation only after the relay has copied it. Its staleness bound counts from then.
pub struct OutboxRelay {
    ledger: Ledger,
    interval: Duration,
}

impl OutboxRelay {
    /// Copies from `store`, or a clone of it, to `redis`.
    #[must_use]
    pub fn new(store: impl Outbox, redis: RedisStore) -> Self {
        let ledger = Ledger::new(Arc::new(store), redis);
        Self { ledger, interval: Duration::from_millis(200) }
    }

    /// Sets how long an entry of the backlog waits at most until [`run`](Self::run) copies it. Has no effect on the
    /// entries that this process writes, which are published at once. Default: 200 milliseconds.
    ///
    /// A relay with the lease looks at the backlog twice in each interval. It copies the entries that it found the time
    /// before. It leaves newer entries alone, because the process that has written them is publishing them.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Copies revocations for as long as the future is polled. Spawn it in at least one process, better in each.
    ///
    /// If the store or Redis fails, the relay tries again within the interval, as often as necessary. It reports the
    /// failure by the events and metrics of [`telemetry`]. Until it succeeds, no process learns of new revocations, and
    /// the staleness bound of their caches does not help.
    pub async fn run(&self) {
        let (begin, warnings) = (Instant::now(), WarningLimit::default());
        // The entries that were not copied are still in the outbox.
        let note = |error: &StoreError| {
            telemetry::not_carried(error.kind(), &warnings, begin.elapsed());
        };
        tokio::join!(self.publish_new_entries(&note), self.carry_backlog(&note));
    }

    async fn publish_new_entries(&self, note: &(impl Fn(&StoreError) + Sync)) {
        loop {
            let entries = self.ledger.store.new_entries().await;
            for batch in entries.chunks(BATCH) {
                if let Err(error) = self.ledger.publish(batch).await {
                    note(&error);
                    break;
                }
            }
        }
    }

    async fn carry_backlog(&self, note: &(impl Fn(&StoreError) + Sync)) {
        let (mut lease, mut newest) = (None, i64::MIN);
        loop {
            if let Err(error) = self.look_at_the_backlog(&mut lease, &mut newest).await {
                note(&error);
                if let Some(lease) = &lease {
                    // Another relay may still reach the store.
                    lease.give_up(&self.ledger.redis).await;
                }
            }
            // Twice in each interval.
            wait(jittered((self.interval / 2).max(Duration::from_millis(1)))).await;
        }
    }

    /// Copies the entries up to the newest one that the last call found, if this relay has the lease.
    async fn look_at_the_backlog(
        &self,
        lease: &mut Option<Lease>,
        newest: &mut i64,
    ) -> Result<(), StoreError> {
        let lease = match lease {
            Some(lease) => lease,
            none => none.insert(Lease::new()?),
        };
        if lease.hold(&self.ledger.redis).await? {
            self.ledger.complete(Some(lease)).await?;
            (_, *newest) = self.carry_up_to(*newest, Some(lease)).await?;
        }
        Ok(())
    }

    /// Seeds Redis if necessary, copies all entries that are in the outbox by now, and returns how many it has copied.
    ///
    /// It needs no lease. Entries that another relay copies at the same time are copied twice.
    ///
    /// # Errors
    /// If either side fails, or another relay is seeding. Entries that Redis did not confirm stay in the outbox for the
    /// next call.
    pub async fn carry(&self) -> Result<usize, StoreError> {
        self.ledger.complete(None).await?;
        Ok(self.carry_up_to(i64::MAX, None).await?.0)
    }

    /// Writes every revocation entry of the store into Redis, and then a new generation; see [`RedisStore::seed`].
    ///
    /// Call it only while no relay [runs](Self::run). A relay that runs finds that the store keeps a different
    /// generation than Redis has. It removes the generation and ends this seeding, and lookups fail until it has seeded
    /// again.
    ///
    /// # Errors
    /// If either side fails, Redis loses its data or the connection meanwhile, or another relay is seeding.
    pub async fn seed(&self) -> Result<(), StoreError> {
        self.ledger.seed().await
    }

    /// Copies the entries up to `last`. Returns how many it has copied, and the newest entry that it has seen. It stops
    /// if another relay has the lease.
    async fn carry_up_to(
        &self,
        last: i64,
        lease: Option<&Lease>,
    ) -> Result<(usize, i64), StoreError> {
        let Ledger { store, redis, .. } = &self.ledger;
        let mut carried = 0;
        loop {
            let entries = store.outbox(READ).await?;
            let newest = entries.last().map_or(last, |entry| entry.id);
            let due = entries.partition_point(|entry| entry.id <= last);
            let due = entries.get(..due).unwrap_or_default();
            if due.is_empty() {
                return Ok((carried, newest));
            }
            for batch in due.chunks(BATCH) {
                if let Some(lease) = lease
                    && !lease.hold(redis).await?
                {
                    return Ok((carried, last));
                }
                self.ledger.publish(batch).await?;
                carried += batch.len();
            }
        }
    }
}

impl fmt::Debug for OutboxRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxRelay")
            .field("redis", &self.ledger.redis)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
