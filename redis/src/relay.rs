//! Carries revocations from the outbox of a token store to the fleet.

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

/// Entries of the backlog that are read at once.
const READ: usize = 10_000;

/// Carries what a [`Outbox`] has revoked into Redis, and from there to every process, where the store is the truth.
///
/// 1. **At least once.** The store writes a revocation and its outbox entry in one step; the entry is removed only
///    after Redis has confirmed. Whatever stops in between, the entry is carried again, which changes nothing.
/// 2. **A Redis that is empty, or has lost what it had acknowledged, is seeded from the store**: with every denial
///    that is in force or starts later, before look-ups are answered again. The store keeps what Redis has
///    acknowledged, and the relay compares at every connection. So it notices even if no process is left that
///    remembers.
/// 3. **Run a relay in each process.** It publishes what its own process writes at once. The backlog, which is what
///    other processes have left behind, and the seeding belong to one relay at a time, by a lease in Redis. A relay
///    that loses the lease while it works may repeat one batch of 200 entries. A revocation
///    that starts in the future is carried at once, with its start. Each process compares the start with its own clock.
/// 4. **One store for each prefix, and one Redis for each store.** Two stores that feed one fleet seed it in turn, and
///    each seeding lacks what only the other store knows. Two servers that relays of one store feed under one prefix
///    are seeded in turn, again and again. Each is unavailable meanwhile.
///
/// **Delay.** What its own process writes, through the same store object or a clone of it, a relay publishes at once.
/// That takes three questions, to Redis, Redis and the store. Everything else is in the backlog: what a process has
/// written that has died or runs no relay, what could not be published, and everything of a store that does not
/// implement [`new_entries`](Outbox::new_entries). It waits for at most the [interval](Self::with_interval), and
/// for the entries before it. If the process with the lease dies, the lease first has to expire, after 2 seconds; if it
/// dies while it seeds, that seeding has to expire, after 30 seconds. Where no relay runs, or either side cannot be
/// reached, revocations wait in the outbox.
///
/// The bound of each cache holds beside that only where its look-ups are answered by the token store itself. A cache in
/// front of Redis sees a revocation when it was carried: its bound counts from then.
pub struct OutboxRelay {
    ledger: Ledger,
    interval: Duration,
}

impl OutboxRelay {
    /// From `store`, or a clone of it, to `redis`.
    #[must_use]
    pub fn new(store: impl Outbox, redis: RedisStore) -> Self {
        let ledger = Ledger::new(Arc::new(store), redis);
        Self { ledger, interval: Duration::from_millis(200) }
    }

    /// How long an entry of the backlog waits at most until [`run`](Self::run) carries it. It has no effect on what
    /// this process writes, which is published at once. Default: 200 milliseconds.
    ///
    /// With the lease, a relay looks at the backlog twice in each interval. It carries the entries that were there at
    /// the look before, because newer ones are being published by the process that has written them.
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Carries for as long as it is polled: spawn it in at least one process, better in each.
    ///
    /// Where store or Redis fails, it comes again after the interval, for as long as it takes, and says so by the events and
    /// metrics of [`telemetry`]: meanwhile no process hears of what was revoked, and their bound does not
    /// help.
    pub async fn run(&self) {
        let (begin, warnings) = (Instant::now(), WarningLimit::default());
        // What was not carried is still in the outbox.
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

    /// Carries the entries up to the newest of the look before, if this relay has the lease.
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

    /// Seeds Redis if it has to be, carries all that is in the outbox by now, and tells how much that was.
    ///
    /// It needs no lease. What another relay is carrying at the same time is carried twice.
    ///
    /// # Errors
    /// When either side fails, or another relay is seeding. What was not confirmed is kept for the next call.
    pub async fn carry(&self) -> Result<usize, StoreError> {
        self.ledger.complete(None).await?;
        Ok(self.carry_up_to(i64::MAX, None).await?.0)
    }

    /// Writes every denial of the store into Redis, and then a new generation; see [`RedisStore::seed`].
    ///
    /// Call it only while no relay [runs](Self::run). A relay that runs finds that the store keeps another generation
    /// than Redis has. It removes the generation and ends this seeding, and lookups fail until it has seeded again.
    ///
    /// # Errors
    /// When either side fails, Redis loses its data or the connection meanwhile, or another relay is seeding.
    pub async fn seed(&self) -> Result<(), StoreError> {
        self.ledger.seed().await
    }

    /// Carries entries up to one, and tells how many and which is the newest that it has seen. It stops when another
    /// relay has the lease.
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
