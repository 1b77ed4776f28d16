//! What goes on behind the requests.

use std::time::Duration;

use tokio::time::{self, MissedTickBehavior};

use super::TokenIssuer;
use tower_bearer::{
    UnixTime,
    claims::{Clock, Moment},
    revocation::StoreError,
};

const EVERY: Duration = Duration::from_secs(60);

/// Rows that one step deletes: few enough that nobody waits for it.
const BATCH: usize = 500;

/// Steps in one go; what is left waits for the next.
const BATCHES: usize = 200;

/// How long what is over is kept all the same.
const MARGIN: Duration = Duration::from_secs(24 * 60 * 60);

impl TokenIssuer {
    /// Keeps house every minute for as long as it is polled: spawn it once in each process.
    ///
    /// ```no_run
    /// # async fn spawn(issuer: tower_bearer_issuing::TokenIssuer) {
    /// tokio::spawn(async move { issuer.run_maintenance().await });
    /// # }
    /// ```
    ///
    /// Where the store fails, the next round tries again. Nothing else depends on it: without it `last_used_at` stays
    /// empty and rows pile up.
    pub async fn run_maintenance(&self) {
        let mut every = time::interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            // Whoever cares calls `maintain`; here the next round is the answer to a failure.
            let _ = self.maintain().await;
        }
    }

    /// Keeps house once: writes down when private tokens were last used, deletes rows that concern nobody any more, and
    /// forgets retired keys whose time is over. Worth calling before a process ends.
    ///
    /// What is deleted is gone for good, and with it revocations, so that no leap of the wall clock may delete: the time
    /// by which things are over is the wall clock's when the issuer was made and what has passed since by the monotonic
    /// one, or the wall clock's now if that is earlier, less a day. A clock that is more than a day ahead **when the
    /// process starts** is believed; after one that is far behind then, rows stay until a process starts with a better
    /// one.
    ///
    /// # Errors
    /// When the store fails. What was to be written is kept for the next call.
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

/// The latest time that deletions may go by, in an issuer that was made at `start`.
pub(super) fn over_by(start: Moment, clock: &dyn Clock) -> UnixTime {
    let now = Moment::of(clock);
    let passed = now.monotonic.saturating_sub(start.monotonic);
    let steady = start.unix_time.saturating_add(passed);
    UnixTime::from_secs(now.unix_time.min(steady).saturating_sub(MARGIN).as_secs())
}
