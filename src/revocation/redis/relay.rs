//! From the outbox of a token store to the fleet.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    RedisStore,
    error::Failure,
    generation::Seeding,
    pauses::{jittered, wait},
};
use crate::{
    issuing::store::TokenStore,
    revocation::{Revocable, StoreError},
    telemetry::{self, Pace},
};

/// Entries in one step: few enough that nobody else waits long for Redis.
const BATCH: usize = 200;

/// Carries what a [`TokenStore`] has revoked into Redis, and from there to every process, where the store is the truth.
///
/// 1. **At least once.** The store writes a revocation and its outbox entry in one step; the entry is removed only
///    after Redis has confirmed. Whatever stops in between, the entry is carried again, which changes nothing.
/// 2. **An empty Redis is seeded from the store**: with every denial in force, before look-ups are answered again.
/// 3. **Any number of relays may run**, in as many processes. What is carried twice is told twice. Their clocks should
///    agree: a denial that comes into force at a time, as that of a rotated token, is carried by the clock of one, and a
///    seeding in that very moment by one whose clock is behind leaves it out.
///
/// **Delay.** What the relay adds is the wait until it looks again, at most the [interval](Self::with_interval), which is
/// 200 milliseconds by default, and then three questions, to Redis, the store and Redis, for each 200 entries that are
/// in line. With relays in several processes the first to look carries. Where none runs, or either side cannot be
/// reached, revocations wait in the outbox.
///
/// The bound of each cache holds beside that only where its look-ups are answered by the token store itself. A cache in
/// front of Redis sees a revocation when it was carried: its bound counts from then.
pub struct OutboxRelay {
    store: Arc<dyn TokenStore>,
    redis: RedisStore,
    interval: Duration,
}

impl OutboxRelay {
    /// From `store`, or a clone of it, to `redis`.
    #[must_use]
    pub fn new(store: impl TokenStore, redis: RedisStore) -> Self {
        Self { store: Arc::new(store), redis, interval: Duration::from_millis(200) }
    }

    /// How long [`run`](Self::run) waits before it looks again. Default: 200 milliseconds.
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
        let (begin, warnings) = (Instant::now(), Pace::default());
        loop {
            // What was not carried is still there.
            if let Err(error) = self.carry().await {
                telemetry::not_carried(error.kind(), &warnings, begin.elapsed());
            }
            wait(jittered(self.interval.max(Duration::from_millis(1)))).await;
        }
    }

    /// Seeds Redis if it has to be, carries all that is in the outbox by now, and tells how much that was.
    ///
    /// # Errors
    /// When either side fails, or another relay is seeding. What was not confirmed is kept for the next call.
    pub async fn carry(&self) -> Result<usize, StoreError> {
        if !self.redis.is_seeded().await?
            && let Some(seeding) = self.redis.begin_first_seeding().await?
        {
            self.go_on_seeding(seeding).await?;
        }
        let mut carried = 0;
        loop {
            let entries = self.store.outbox(BATCH).await?;
            if entries.is_empty() {
                return Ok(carried);
            }
            let denials: Vec<(Revocable, u64)> = entries
                .iter()
                .map(|entry| (entry.denial.what.clone(), entry.denial.keep_until))
                .collect();
            if !self.redis.record(&denials).await? {
                // It has been lost since: the entries stay until it is seeded, and are carried then.
                return Err(Failure::NotSeeded.into());
            }
            let ids: Vec<i64> = entries.iter().map(|entry| entry.id).collect();
            self.store.outbox_done(&ids).await?;
            carried += entries.len();
        }
    }

    /// Writes every denial of the store into Redis, and then a new generation; see [`RedisStore::seed`].
    ///
    /// # Errors
    /// When either side fails, Redis loses its data meanwhile, or another relay is seeding.
    pub async fn seed(&self) -> Result<(), StoreError> {
        let seeding = self.redis.begin_seeding().await?;
        self.go_on_seeding(seeding).await
    }

    async fn go_on_seeding(&self, mut seeding: Seeding) -> Result<(), StoreError> {
        let mut after: Option<Revocable> = None;
        loop {
            let denials = self.store.denials(after.as_ref(), BATCH).await?;
            let Some(last) = denials.last() else { break };
            after = Some(last.what.clone());
            let batch: Vec<(Revocable, u64)> =
                denials.into_iter().map(|denial| (denial.what, denial.keep_until)).collect();
            self.redis.seed_batch(&mut seeding, &batch).await?;
        }
        self.redis.finish_seeding(seeding).await.map_err(Failure::into)
    }
}

impl fmt::Debug for OutboxRelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxRelay")
            .field("redis", &self.redis)
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}
