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

/// The [kind](StoreError::kind) of the error of a sink that works, and will never accept one of these events, because
/// of its content.
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

/// A batch that the sink is done with.
struct Written {
    /// How many events have left the queue.
    count: usize,
    /// How many of them the sink has refused.
    refused: usize,
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
        telemetry::audit_lost(event.count);
        if is_first {
            telemetry::audit_queue_full();
        }
    }

    /// Lets [`run`](Self::run) end once all events are written, or the sink fails.
    pub(super) fn close(&self) {
        self.waiting().is_closed = true;
        self.changed.notify_one();
    }

    /// Writes events as they come. It can be dropped at any time: an event leaves the queue only after the sink has
    /// accepted or refused it.
    #[expect(
        clippy::disallowed_methods,
        reason = "after a failure the writer waits before it tries again"
    )]
    pub(super) async fn run(self: Arc<Self>, report: BackgroundTask) {
        let mut pause = PAUSE;
        loop {
            match self.write_batch().await {
                Ok(Written { count: 0, .. }) if self.waiting().is_closed => return,
                Ok(Written { count: 0, .. }) => self.changed.notified().await,
                Ok(Written { refused, .. }) => {
                    match refused {
                        0 => report.succeeded(),
                        _ => report.failed(REFUSED),
                    }
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

    /// Writes the events that wait now, and how many were lost. Returns how many events the sink has refused.
    pub(super) async fn flush(&self) -> Result<usize, StoreError> {
        let mut left = self.waiting().events.len();
        let mut refused = 0;
        while left > 0 {
            match self.write_batch().await? {
                Written { count: 0, .. } => break,
                written => {
                    left = left.saturating_sub(written.count);
                    refused += written.refused;
                }
            }
        }
        let is_loss = |event: &AuditEvent| event.kind == AuditKind::EventsLost;
        if self.waiting().events.front().is_some_and(is_loss) {
            refused += self.write_batch().await?.refused;
        }
        Ok(refused)
    }

    /// Gives the oldest events to the sink.
    async fn write_batch(&self) -> Result<Written, StoreError> {
        let _writing = self.writing.lock().await;
        let batch: Vec<AuditEvent> = self.waiting().events.iter().take(BATCH).cloned().collect();
        if batch.is_empty() {
            return Ok(Written { count: 0, refused: 0 });
        }
        let refused = match self.give(&batch).await {
            Ok(()) => {
                self.remove_oldest(batch.len());
                self.note_lost();
                0
            }
            Err(error) if error.kind() == REFUSED => self.write_one_by_one(&batch).await?,
            Err(error) => return Err(error),
        };
        Ok(Written { count: batch.len(), refused })
    }

    async fn give(&self, events: &[AuditEvent]) -> Result<(), StoreError> {
        match timeout(TIMEOUT, self.sink.record(events)).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(StoreError::timed_out()),
        }
        telemetry::audit_written(events.len());
        Ok(())
    }

    /// Gives each of the oldest events to the sink alone. An event that is refused is lost, so that it does not block
    /// those behind it. Returns how many were refused.
    async fn write_one_by_one(&self, batch: &[AuditEvent]) -> Result<usize, StoreError> {
        let mut refused = 0;
        for event in batch {
            let outcome = self.give(std::slice::from_ref(event)).await;
            let is_refused = outcome.as_ref().is_err_and(|error| error.kind() == REFUSED);
            if !is_refused {
                outcome?;
            }
            self.remove_oldest(1);
            if is_refused {
                refused += 1;
                self.waiting().lose(event.count);
                telemetry::audit_lost(event.count);
            }
        }
        telemetry::audit_refused(refused);
        // A sink that refuses everything refuses the number of lost events, too. Then the number waits until the sink
        // accepts an event.
        if batch.iter().any(|event| event.kind != AuditKind::EventsLost) {
            self.note_lost();
        }
        Ok(refused)
    }

    /// Removes events with which the sink is done.
    fn remove_oldest(&self, count: usize) {
        let mut waiting = self.waiting();
        let count = count.min(waiting.events.len());
        waiting.events.drain(..count);
    }

    /// Adds an event with the number of lost events. An event was removed before, so there is room.
    fn note_lost(&self) {
        let mut waiting = self.waiting();
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
