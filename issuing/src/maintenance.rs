//! Background work of an issuer: writes last uses and deletes old rows and keys.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    time::{self, MissedTickBehavior},
};

use super::{
    TokenIssuer,
    audit::{Origin, REFUSED},
    binding::ClientKey,
};
use tower_bearer::{
    BackgroundTask, UnixTime,
    claims::{Clock, Moment},
    revocation::StoreError,
};

const EVERY: Duration = Duration::from_secs(60);

/// How many rows one step deletes. The number is small, so that requests do not wait for it.
const BATCH: usize = 500;

/// How many steps one call makes. The next call deletes the rest.
const BATCHES: usize = 200;

/// How much longer than needed rows are kept. This is not the margin of revocation entries, `KEEP_AFTER_EXPIRY`.
const KEEP_ROWS_LONGER: Duration = Duration::from_secs(24 * 60 * 60);

impl TokenIssuer {
    /// Starts the background task of this issuer, and gives its handle. The task calls [`maintain`](Self::maintain) at
    /// once and then every minute. Call it in each process, on a Tokio runtime. All clones of an issuer share one task,
    /// so further calls return the same handle and start nothing.
    ///
    /// The task stops when the last clone of the issuer is dropped, or by [`BackgroundTask::shutdown`]. A task that was
    /// shut down never starts again. If a round fails, [`BackgroundTask::health`] reports it and the next round tries
    /// again. Call `maintain` at the end of the process, after the shutdown, to write the last uses.
    ///
    /// ```no_run
    /// # async fn run(issuer: tower_bearer_issuing::TokenIssuer) -> Result<(), tower_bearer::revocation::StoreError> {
    /// let maintenance = issuer.spawn_maintenance();
    /// // The service runs here.
    /// maintenance.shutdown().await;
    /// issuer.maintain().await
    /// # }
    /// ```
    ///
    /// Nothing else depends on this task. Without it, `last_used_at` stays empty and old rows are not deleted.
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    pub fn spawn_maintenance(&self) -> BackgroundTask {
        assert!(
            Handle::try_current().is_ok(),
            "spawn_maintenance needs a Tokio runtime: call it inside one"
        );
        let task = self.maintenance().clone();
        let (parts, report) = (Arc::downgrade(&self.0), task.clone());
        task.start(async move {
            let mut every = time::interval(EVERY);
            every.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                every.tick().await;
                // Between the rounds the task does not keep the issuer alive.
                let Some(parts) = parts.upgrade() else { return };
                let issuer = Self(parts, Origin::default(), ClientKey::default());
                match issuer.maintain().await {
                    Ok(()) => report.succeeded(),
                    Err(error) => report.failed(error.kind()),
                }
            }
        });
        task
    }

    /// Does the maintenance once: writes when private tokens were last used, deletes rows that are no longer needed,
    /// forgets retired keys that are no longer needed, and writes the audit events that wait. Call it also before a
    /// process ends.
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
    /// If the store or the audit sink fails. Last uses and events that were not written are kept for the next call.
    /// This also holds if the future is dropped before it ends.
    pub async fn maintain(&self) -> Result<(), StoreError> {
        let kept_up = self.keep_up().await;
        self.audit().report_omitted();
        kept_up.and(self.audit().flush().await.map(drop))
    }

    /// Writes the audit events that wait, and does nothing else. Call it at the end of a short command, whose clock
    /// must not decide which rows are deleted. A service calls [`maintain`](Self::maintain).
    ///
    /// # Errors
    /// If the audit sink fails: then the events are kept for the next call. Also if it [refuses](REFUSED) events, which
    /// are lost then.
    pub async fn flush_audit(&self) -> Result<(), StoreError> {
        match self.audit().flush().await? {
            0 => Ok(()),
            _ => Err(StoreError::of_kind(REFUSED, "the audit sink has refused events")),
        }
    }

    async fn keep_up(&self) -> Result<(), StoreError> {
        let (now, over) = (self.now(), self.over_by());
        self.keys().forget_expired(over);
        let mut uses = self.last_used().take();
        while let Some(batch) = uses.next_batch(BATCH) {
            self.store().touch(batch).await?;
            uses.mark_written(BATCH);
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
    UnixTime::from_secs(now.unix_time.min(steady).saturating_sub(KEEP_ROWS_LONGER).as_secs())
}
