//! Background work of an issuer: writes last uses and deletes old rows and keys.

use std::time::Duration;

use tokio::time::{self, MissedTickBehavior};

use super::TokenIssuer;
use tower_bearer::{
    UnixTime,
    claims::{Clock, Moment},
    revocation::StoreError,
};

const EVERY: Duration = Duration::from_secs(60);

/// How many rows one step deletes. The number is small, so that requests do not wait for it.
const BATCH: usize = 500;

/// How many steps one call makes. The next call deletes the rest.
const BATCHES: usize = 200;

/// How much longer than needed rows are kept.
const MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

impl TokenIssuer {
    /// Calls [`maintain`](Self::maintain) every minute for as long as it is polled. Spawn it once in each process.
    ///
    /// ```no_run
    /// # async fn spawn(issuer: tower_bearer_issuing::TokenIssuer) {
    /// tokio::spawn(async move { issuer.run_maintenance().await });
    /// # }
    /// ```
    ///
    /// If the store fails, the next round tries again. Nothing else depends on this task. Without it, `last_used_at`
    /// stays empty and old rows are not deleted.
    pub async fn run_maintenance(&self) {
        let mut every = time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            // The next round tries again. To see the error, call `maintain`.
            let _ = self.maintain().await;
        }
    }

    /// Does the maintenance once: writes when private tokens were last used, deletes rows that are no longer needed,
    /// and forgets retired keys that are no longer needed. Call it also before a process ends.
    ///
    /// Deleted rows are lost for good, and revocations are among them. So a jump of the wall clock must not delete
    /// rows. The reference time is the earlier of these two, less one day:
    ///
    /// 1. the wall clock when the issuer was built, plus the time that has passed since then by the monotonic clock
    /// 2. the wall clock now
    ///
    /// If the wall clock is more than a day ahead **when the process starts**, the issuer believes it. If it is far
    /// behind at that moment, rows stay until a process starts with a better clock.
    ///
    /// # Errors
    /// If the store fails. Last uses that were not written are kept for the next call.
    pub async fn maintain(&self) -> Result<(), StoreError> {
        let (now, over) = (self.now(), self.over_by());
        self.keys().forget_expired(over);
        let uses = self.last_used().take();
        for (done, batch) in uses.chunks(BATCH).enumerate() {
            if let Err(error) = self.store().touch(batch).await {
                self.last_used().put_back(uses.get(done * BATCH..).unwrap_or_default().to_vec());
                return Err(error);
            }
        }
        self.last_used().forget(now);
        for _ in 0..BATCHES {
            if self.store().sweep(over, BATCH).await? < BATCH {
                break;
            }
        }
        Ok(())
    }
}

/// The latest time by which rows may be deleted, for an issuer that was built at `start`.
pub(super) fn over_by(start: Moment, clock: &dyn Clock) -> UnixTime {
    let now = Moment::of(clock);
    let passed = now.monotonic.saturating_sub(start.monotonic);
    let steady = start.unix_time.saturating_add(passed);
    UnixTime::from_secs(now.unix_time.min(steady).saturating_sub(MARGIN).as_secs())
}
