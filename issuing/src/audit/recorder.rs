//! Takes the events of an issuer: samples those that clients can cause at will, logs them, and queues them for the
//! sink.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    AuditEvent, AuditKind, AuditSink,
    queue::{Queue, Stamp},
};
use crate::{
    rate::{Counter, Counters, Limit},
    telemetry,
};
use tower_bearer::{BackgroundTask, claims::Clock, revocation::StoreError};

/// The limit on each kind that anyone can cause, for one process.
const BY_PROCESS: Limit = Limit { at_once: 30, interval_ms: 5_000 };

/// The limit on each kind that a client with tokens can cause often, for one subject or operator.
const BY_SUBJECT: Limit = Limit { at_once: 30, interval_ms: 60_000 };

/// Where a call comes from. Handles of an issuer carry it.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    pub(crate) address: Option<IpAddr>,
    pub(crate) actor: Option<Arc<str>>,
}

pub(crate) struct Recorder {
    stamp: Stamp,
    /// `None` without a sink.
    queue: Option<Arc<Queue>>,
    writer: BackgroundTask,
    sampled: HashMap<AuditKind, Sampled>,
    by_subject: Counters,
    place: RandomState,
}

/// A kind that is sampled.
struct Sampled {
    scope: Scope,
    /// How many events were left out since the last report.
    omitted: AtomicU64,
}

enum Scope {
    Process(Counter),
    Subject,
}

impl Recorder {
    pub(crate) fn new(
        issuer: Arc<str>,
        clock: Arc<dyn Clock>,
        retention: Duration,
        sink: Option<Arc<dyn AuditSink>>,
    ) -> Self {
        let stamp = || Stamp { issuer: Arc::clone(&issuer), clock: Arc::clone(&clock), retention };
        let sampled = AuditKind::ALL.iter().filter_map(|kind| Some((*kind, Sampled::new(*kind)?)));
        let recorder = Self {
            stamp: stamp(),
            queue: sink.map(|sink| Arc::new(Queue::new(stamp(), sink))),
            writer: BackgroundTask::new("writer of audit events"),
            sampled: sampled.collect(),
            by_subject: Counters::new(),
            place: RandomState::new(),
        };
        recorder.start();
        recorder
    }

    /// Records an event. Never waits.
    pub(crate) fn record(
        &self,
        kind: AuditKind,
        origin: &Origin,
        fill: impl FnOnce(&mut AuditEvent),
    ) {
        let event = self.event(kind, origin, fill);
        if self.admits(&event) {
            self.pass_on(event);
        }
    }

    /// An event that a store keeps in the step that the event describes. `None` without a sink, because no events are
    /// kept then.
    pub(crate) fn event_for_store(
        &self,
        kind: AuditKind,
        origin: &Origin,
        fill: impl FnOnce(&mut AuditEvent),
    ) -> Option<AuditEvent> {
        self.queue.as_ref().map(|_| self.event(kind, origin, fill))
    }

    fn event(
        &self,
        kind: AuditKind,
        origin: &Origin,
        fill: impl FnOnce(&mut AuditEvent),
    ) -> AuditEvent {
        let mut event = self.stamp.event(kind);
        event.address = origin.address;
        event.actor.clone_from(&origin.actor);
        fill(&mut event);
        if kind == AuditKind::AccountDeleted {
            // It stays when everything else about the person is deleted.
            event.address = None;
        }
        event
    }

    /// Records how many events were left out.
    pub(crate) fn report_omitted(&self) {
        for (kind, sampled) in &self.sampled {
            let omitted = sampled.omitted.swap(0, Ordering::Relaxed);
            if omitted > 0 {
                let mut event = self.stamp.event(*kind);
                event.count = omitted;
                self.pass_on(event);
            }
        }
    }

    /// Writes the events that wait now. Returns how many events the sink has refused.
    pub(crate) async fn flush(&self) -> Result<usize, StoreError> {
        match &self.queue {
            Some(queue) => queue.flush().await,
            None => Ok(0),
        }
    }

    pub(crate) fn writer(&self) -> &BackgroundTask {
        &self.writer
    }

    fn admits(&self, event: &AuditEvent) -> bool {
        let Some(sampled) = self.sampled.get(&event.kind) else { return true };
        let now = u64::try_from(self.stamp.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        let charged = match &sampled.scope {
            Scope::Process(counter) => counter.charge(&BY_PROCESS, now),
            Scope::Subject => {
                let place = self.place.hash_one((event.kind, &event.subject, &event.actor));
                self.by_subject.of(place).charge(&BY_SUBJECT, now)
            }
        };
        if charged.is_err() {
            sampled.omitted.fetch_add(1, Ordering::Relaxed);
            telemetry::audit_omitted();
        }
        charged.is_ok()
    }

    fn pass_on(&self, event: AuditEvent) {
        telemetry::audited(&event);
        if let Some(queue) = &self.queue {
            queue.push(event);
            self.start();
        }
    }

    /// Starts the writer, if it does not run and there is a runtime.
    fn start(&self) {
        if let Some(queue) = &self.queue
            && !self.writer.health().is_running
        {
            self.writer.start(Arc::clone(queue).run(self.writer.clone()));
        }
    }
}

/// The writer writes what waits, and ends.
impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.close();
        }
    }
}

impl Sampled {
    /// `None` if every event of this kind is recorded.
    fn new(kind: AuditKind) -> Option<Self> {
        let scope = match kind {
            AuditKind::LoginFailed | AuditKind::LoginThrottled | AuditKind::RefreshThrottled => {
                Scope::Process(Counter::default())
            }
            AuditKind::Refreshed
            | AuditKind::TokenRevokedByHolder
            | AuditKind::OperatorRejected => Scope::Subject,
            _ => return None,
        };
        Some(Self { scope, omitted: AtomicU64::new(0) })
    }
}
