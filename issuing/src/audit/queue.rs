//! Holds audit events until the sink has them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{AuditEvent, AuditKind, AuditSink};
use crate::telemetry;
use tower_bearer::{BackgroundTask, UnixTime, claims::Clock, revocation::StoreError};

/// How many events wait for the sink at most. Further events are lost.
pub const QUEUE: usize = 10_000;

/// The [kind](StoreError::kind) of the error of a sink that answers, and does not accept these events.
pub const REFUSED: &str = "refused";

/// How many events the sink gets at once.
const BATCH: usize = 100;

/// How long one call of the sink may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The pause after a failure. It doubles with each further failure, up to the maximum.
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Makes the events of an issuer.
pub(super) struct Stamp {
    pub(super) issuer: Arc<str>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) retention: Duration,
}

impl Stamp {
    pub(super) fn event(&self, kind: AuditKind) -> AuditEvent {
        let now: UnixTime = self.clock.now();
        let mut event = AuditEvent::new(kind, Arc::clone(&self.issuer), now);
        event.keep_until = now + self.retention;
        event
    }
}

/// Events that wait for the sink.
pub(super) struct Queue {
    pub(super) stamp: Stamp,
    sink: Arc<dyn AuditSink>,
    waiting: Mutex<Waiting>,
    /// Held while the sink is called, so that events reach it once and in order.
    writing: tokio::sync::Mutex<()>,
    /// Notified if there is something to do.
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<AuditEvent>,
    /// How many events were lost since the sink last accepted events.
    lost: u64,
    /// No more events will come.
    is_closed: bool,
}

impl Waiting {
    /// Counts lost events. Returns whether they are the first since the sink last accepted events.
    fn lose(&mut self, count: u64) -> bool {
        let is_first = self.lost == 0;
        self.lost = self.lost.saturating_add(count);
        is_first
    }
}

impl Queue {
    pub(super) fn new(stamp: Stamp, sink: Arc<dyn AuditSink>) -> Self {
        Self {
            stamp,
            sink,
            waiting: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Adds an event. Loses it if the queue is full. Never waits.
    pub(super) fn push(&self, event: AuditEvent) {
        let mut waiting = self.waiting();
        if waiting.events.len() < QUEUE {
            waiting.events.push_back(event);
            drop(waiting);
            self.changed.notify_one();
            return;
        }
        let is_first = waiting.lose(event.count);
        drop(waiting);
        telemetry::audit_lost(event.count, is_first);
    }

    /// Lets [`run`](Self::run) end once all events are written, or the sink fails.
    pub(super) fn close(&self) {
        self.waiting().is_closed = true;
        self.changed.notify_one();
    }

    /// Writes events as they come. It can be dropped at any time: an event leaves the queue only after the sink has
    /// accepted it.
    #[expect(
        clippy::disallowed_methods,
        reason = "after a failure the writer waits before it tries again"
    )]
    pub(super) async fn run(self: Arc<Self>, report: BackgroundTask) {
        let mut pause = PAUSE;
        loop {
            match self.write_batch().await {
                Ok(0) if self.waiting().is_closed => return,
                Ok(0) => self.changed.notified().await,
                Ok(_) => {
                    report.succeeded();
                    pause = PAUSE;
                }
                Err(error) => {
                    report.failed(error.kind());
                    telemetry::audit_failed(error.kind());
                    if self.waiting().is_closed {
                        return;
                    }
                    sleep(pause).await;
                    pause = (2 * pause).min(MAX_PAUSE);
                }
            }
        }
    }

    /// Writes the events that wait now.
    pub(super) async fn flush(&self) -> Result<(), StoreError> {
        let mut left = self.waiting().events.len();
        while left > 0 {
            match self.write_batch().await? {
                0 => break,
                written => left = left.saturating_sub(written),
            }
        }
        Ok(())
    }

    /// Gives the oldest events to the sink. Returns how many the sink has accepted.
    async fn write_batch(&self) -> Result<usize, StoreError> {
        let _writing = self.writing.lock().await;
        let batch: Vec<AuditEvent> = self.waiting().events.iter().take(BATCH).cloned().collect();
        if batch.is_empty() {
            return Ok(0);
        }
        match self.give(&batch).await {
            Err(error) if error.kind() == REFUSED && batch.len() > 1 => {
                self.write_one_by_one(&batch, error).await?;
            }
            outcome => {
                outcome?;
                self.forget(0, batch.len());
            }
        }
        Ok(batch.len())
    }

    async fn give(&self, events: &[AuditEvent]) -> Result<(), StoreError> {
        match timeout(TIMEOUT, self.sink.record(events)).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(StoreError::timed_out()),
        }
        telemetry::audit_written(events.len());
        Ok(())
    }

    /// Gives each of the oldest events to the sink alone. An event that is refused while others are accepted is lost,
    /// so that it does not block them. If the sink refuses all, the reason is probably not in the events, and they
    /// wait.
    async fn write_one_by_one(
        &self,
        batch: &[AuditEvent],
        error: StoreError,
    ) -> Result<(), StoreError> {
        let mut refused = 0;
        for event in batch {
            match self.give(std::slice::from_ref(event)).await {
                Ok(()) => self.forget(refused, 1),
                Err(error) if error.kind() == REFUSED => refused += 1,
                Err(error) => return Err(error),
            }
        }
        if refused == batch.len() {
            return Err(error);
        }
        if refused > 0 {
            self.lose_oldest(refused);
        }
        Ok(())
    }

    fn lose_oldest(&self, count: usize) {
        let mut waiting = self.waiting();
        let count = count.min(waiting.events.len());
        let lost =
            waiting.events.drain(..count).map(|event| event.count).fold(0, u64::saturating_add);
        let is_first = waiting.lose(lost);
        self.note_lost(&mut waiting);
        drop(waiting);
        telemetry::audit_lost(lost, is_first);
    }

    /// Removes events that the sink has accepted: this many after the oldest `skipped`.
    fn forget(&self, skipped: usize, count: usize) {
        let mut waiting = self.waiting();
        let end = (skipped + count).min(waiting.events.len());
        waiting.events.drain(skipped.min(end)..end);
        self.note_lost(&mut waiting);
    }

    /// Adds an event with the number of lost events. The sink works, so there is room now.
    fn note_lost(&self, waiting: &mut Waiting) {
        if waiting.lost > 0 {
            let mut event = self.stamp.event(AuditKind::EventsLost);
            event.count = std::mem::take(&mut waiting.lost);
            waiting.events.push_back(event);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
