//! What audit events are worth: they are written in order, they delay nothing, and what is lost or left out is counted.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::task::yield_now;
use tower_bearer::{
    Algorithm, BoxFuture, claims::ManualClock, jws::SigningKey, revocation::StoreError,
};

use super::{ISSUER, NOW, any_store::Everybody, builder, log_in, secs};
use crate::{
    ClientInfo, Credentials, TokenIssuer, TokenStore as _,
    audit::{AuditEvent, AuditKind, AuditLog, AuditQuery, AuditSink, QUEUE, REFUSED},
    store::MemoryTokenStore,
};

/// A sink that fails, or never answers, as often as it is told.
#[derive(Clone, Default)]
struct Sink {
    events: Arc<Mutex<Vec<AuditEvent>>>,
    failures: Arc<AtomicU32>,
    hangs: Arc<AtomicU32>,
    /// The sink refuses calls with an event of one of these kinds.
    refuses: Arc<Mutex<Vec<AuditKind>>>,
}

impl Sink {
    fn events(&self) -> Vec<AuditEvent> {
        self.events.lock().unwrap().clone()
    }

    fn kinds(&self) -> Vec<AuditKind> {
        self.events().iter().map(|event| event.kind).collect()
    }
}

/// Whether the number was above zero. Decrements it.
fn take(number: &AtomicU32) -> bool {
    number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

impl AuditSink for Sink {
    fn record<'a>(&'a self, events: &'a [AuditEvent]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            if take(&self.hangs) {
                pending::<()>().await;
            }
            if take(&self.failures) {
                return Err(StoreError::new("the sink is down"));
            }
            let refused = self.refuses.lock().unwrap().clone();
            if events.iter().any(|event| refused.contains(&event.kind)) {
                return Err(StoreError::of_kind(REFUSED, "a bad event"));
            }
            self.events.lock().unwrap().extend_from_slice(events);
            Ok(())
        })
    }
}

fn with_sink() -> (TokenIssuer, ManualClock, Sink) {
    let (clock, sink) = (ManualClock::at(NOW), Sink::default());
    let issuer = builder(&clock).with_audit(sink.clone()).build().unwrap();
    (issuer, clock, sink)
}

/// Lets the writer work until it waits.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

async fn fail_to_log_in(issuer: &TokenIssuer, times: usize) {
    for n in 0..times {
        let credentials = Credentials::new(format!("user{n}"), "wrong");
        issuer.log_in(&credentials, &ClientInfo::new()).await.unwrap_err();
    }
}

#[tokio::test]
async fn events_are_written_at_once_and_in_order() {
    let (issuer, clock, sink) = with_sink();
    let (tokens, access) = log_in(&issuer, "ada").await;
    clock.advance(secs(1));
    issuer.revoke_all(&access).await.unwrap();
    issuer.refresh(&tokens.refresh_token).await.unwrap_err();
    settle().await;
    assert_eq!(sink.kinds(), [AuditKind::LoginSucceeded, AuditKind::AllRevoked]);
    let events = sink.events();
    assert_eq!(events[1].at, NOW + secs(1));
    assert_eq!(events[1].keep_until, NOW + secs(1) + 180 * super::DAY);
    assert_eq!(events[1].subject.as_deref(), Some("ada"));
    assert!(issuer.audit_writer().health().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_gets_the_same_events_again() {
    let (issuer, _, sink) = with_sink();
    sink.failures.store(3, Ordering::Relaxed);
    let (_, access) = log_in(&issuer, "ada").await;
    issuer.revoke_all(&access).await.unwrap();
    settle().await;
    assert!(sink.kinds().is_empty());
    assert!(!issuer.audit_writer().health().is_ok());
    // The pauses are 1, 2 and 4 seconds.
    tokio::time::advance(Duration::from_secs(7)).await;
    settle().await;
    tokio::time::advance(Duration::from_secs(7)).await;
    settle().await;
    tokio::time::advance(Duration::from_secs(7)).await;
    settle().await;
    assert_eq!(sink.kinds(), [AuditKind::LoginSucceeded, AuditKind::AllRevoked]);
    assert!(issuer.audit_writer().health().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_never_answers_delays_no_request() {
    let (issuer, _, sink) = with_sink();
    sink.hangs.store(u32::MAX, Ordering::Relaxed);
    let (tokens, _) = log_in(&issuer, "ada").await;
    settle().await;
    let credentials = Credentials::new("bob", "right");
    assert!(issuer.log_in(&credentials, &ClientInfo::new()).now_or_never().unwrap().is_ok());
    issuer.refresh(&tokens.refresh_token).await.unwrap();
    // The flush gives up.
    let error = issuer.maintain().await.unwrap_err();
    assert_eq!(error.kind(), StoreError::timed_out().kind());
    sink.hangs.store(0, Ordering::Relaxed);
    issuer.maintain().await.unwrap();
    assert_eq!(sink.kinds().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn events_beyond_the_queue_are_lost_and_their_number_is_recorded() {
    let (issuer, _, sink) = with_sink();
    sink.failures.store(1, Ordering::Relaxed);
    for _ in 0..QUEUE + 7 {
        issuer.record(AuditKind::OperatorRead, |_| {});
    }
    issuer.maintain().await.unwrap_err();
    assert!(sink.kinds().is_empty());
    issuer.maintain().await.unwrap();
    issuer.maintain().await.unwrap();
    let (events, kinds) = (sink.events(), sink.kinds());
    assert_eq!(kinds[..QUEUE], [AuditKind::OperatorRead; QUEUE]);
    assert_eq!(kinds[QUEUE..], [AuditKind::EventsLost]);
    assert_eq!(events[QUEUE].count, 7);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_sink_refuses_does_not_block_others() {
    let (issuer, _, sink) = with_sink();
    *sink.refuses.lock().unwrap() = vec![AuditKind::AllRevoked];
    let (_, access) = log_in(&issuer, "ada").await;
    issuer.revoke_all(&access).await.unwrap();
    log_in(&issuer, "ada").await;
    issuer.maintain().await.unwrap();
    issuer.maintain().await.unwrap();
    let mut kinds = sink.kinds();
    kinds.sort_unstable_by_key(|kind| *kind == AuditKind::EventsLost);
    let accepted = [AuditKind::LoginSucceeded, AuditKind::LoginSucceeded, AuditKind::EventsLost];
    assert_eq!(kinds, accepted);
    let lost = sink.events().into_iter().find(|event| event.kind == AuditKind::EventsLost);
    assert_eq!(lost.map(|event| event.count), Some(1));
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_refused_events_do_not_block_the_writer() {
    let (issuer, _, sink) = with_sink();
    *sink.refuses.lock().unwrap() = vec![AuditKind::AllRevoked];
    for _ in 0..250 {
        issuer.record(AuditKind::AllRevoked, |_| {});
    }
    issuer.record(AuditKind::OperatorRead, |_| {});
    for _ in 0..100 {
        settle().await;
    }
    let of_kind = |kind| sink.events().into_iter().filter(move |event| event.kind == kind);
    assert_eq!(of_kind(AuditKind::EventsLost).map(|event| event.count).sum::<u64>(), 250);
    assert_eq!(of_kind(AuditKind::OperatorRead).count(), 1);
    assert_eq!(sink.events().len(), 4, "one event for each batch has the number of those lost");
    settle().await;
    assert!(issuer.audit_writer().health().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_refuses_everything_keeps_nothing_busy() {
    let (issuer, _, sink) = with_sink();
    *sink.refuses.lock().unwrap() = AuditKind::ALL.to_vec();
    issuer.record(AuditKind::AllRevoked, |_| {});
    issuer.record(AuditKind::OperatorRead, |_| {});
    settle().await;
    issuer.flush_audit().await.unwrap();
    assert_eq!(issuer.audit_writer().health().last_error, Some(REFUSED));
    sink.refuses.lock().unwrap().clear();
    settle().await;
    assert_eq!(sink.kinds(), [], "nothing waits");
    issuer.record(AuditKind::OperatorRead, |_| {});
    settle().await;
    assert_eq!(sink.kinds(), [AuditKind::OperatorRead, AuditKind::EventsLost]);
    assert_eq!(sink.events()[1].count, 2);
    assert!(issuer.audit_writer().health().is_ok());
}

#[tokio::test]
async fn a_flush_writes_the_events_and_deletes_no_rows() {
    let clock = ManualClock::at(NOW);
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let key = SigningKey::generate(Algorithm::ES256).unwrap();
    let issuer = TokenIssuer::builder(ISSUER, "api", key, store.clone(), Everybody)
        .with_audit(store.clone())
        .with_clock(clock.clone())
        .build()
        .unwrap();
    issuer.audit_writer().shutdown().await;
    let _ = log_in(&issuer, "ada").await;
    clock.advance(10 * super::DAY);
    issuer.flush_audit().await.unwrap();
    let page = AuditLog::list(&store, &AuditQuery::new(ISSUER)).await.unwrap();
    assert_eq!(page.records.len(), 1);
    assert_eq!(store.sweep(NOW + 9 * super::DAY, 100).await.unwrap(), 2, "token and session");
}

#[tokio::test]
async fn a_flush_reports_refused_events_and_writes_their_number() {
    let (issuer, _, sink) = with_sink();
    issuer.audit_writer().shutdown().await;
    *sink.refuses.lock().unwrap() = vec![AuditKind::AllRevoked];
    issuer.record(AuditKind::AllRevoked, |_| {});
    assert_eq!(issuer.flush_audit().await.unwrap_err().kind(), REFUSED);
    assert_eq!(sink.kinds(), [AuditKind::EventsLost]);
    issuer.flush_audit().await.unwrap();
}

#[tokio::test]
async fn what_anyone_can_cause_is_sampled_and_the_rest_is_counted() {
    let (issuer, clock, sink) = with_sink();
    fail_to_log_in(&issuer, 1000).await;
    issuer.maintain().await.unwrap();
    let failed = |events: &[AuditEvent]| {
        let of_kind = events.iter().filter(|event| event.kind == AuditKind::LoginFailed);
        of_kind.map(|event| event.count).collect::<Vec<_>>()
    };
    let counts = failed(&sink.events());
    assert_eq!(counts.len(), 31);
    assert_eq!(counts.iter().sum::<u64>(), 1000);
    let summary = sink.events().into_iter().find(|event| event.count > 1).unwrap();
    assert_eq!((summary.subject, summary.address), (None, None));
    // There is room for twelve in the next minute.
    clock.advance(secs(60));
    fail_to_log_in(&issuer, 100).await;
    issuer.maintain().await.unwrap();
    let counts = failed(&sink.events());
    assert_eq!((counts.len(), counts.iter().sum::<u64>()), (31 + 13, 1100));
    // Nothing is left to report.
    issuer.maintain().await.unwrap();
    assert_eq!(failed(&sink.events()).len(), 44);
}

#[tokio::test]
async fn a_busy_subject_does_not_hide_the_events_of_others() {
    let (issuer, _, sink) = with_sink();
    for (subject, times) in [("ada", 100), ("bob", 3)] {
        let (mut tokens, _) = log_in(&issuer, subject).await;
        for _ in 0..times {
            tokens = issuer.refresh(&tokens.refresh_token).await.unwrap();
        }
    }
    issuer.maintain().await.unwrap();
    let refreshed = |subject: Option<&str>| {
        let events = sink.events().into_iter();
        let of_kind = events.filter(|event| event.kind == AuditKind::Refreshed);
        of_kind
            .filter(|event| event.subject.as_deref() == subject)
            .map(|event| event.count)
            .collect::<Vec<_>>()
    };
    assert_eq!(refreshed(Some("ada")), [1; 30]);
    assert_eq!(refreshed(Some("bob")), [1; 3]);
    assert_eq!(refreshed(None), [70]);
}

#[tokio::test]
async fn the_last_clone_of_an_issuer_leaves_its_events_to_the_writer() {
    let (issuer, _, sink) = with_sink();
    let _ = log_in(&issuer, "ada").await;
    drop(issuer);
    settle().await;
    assert_eq!(sink.kinds(), [AuditKind::LoginSucceeded]);
}

#[tokio::test]
async fn a_flush_that_is_dropped_loses_nothing() {
    let (issuer, _, sink) = with_sink();
    sink.hangs.store(1, Ordering::Relaxed);
    let _ = log_in(&issuer, "ada").await;
    issuer.audit_writer().shutdown().await;
    assert!(issuer.maintain().now_or_never().is_none());
    issuer.maintain().await.unwrap();
    assert_eq!(sink.kinds(), [AuditKind::LoginSucceeded]);
}

#[test]
fn events_outside_a_runtime_wait_for_one() {
    let clock = ManualClock::at(NOW);
    let store = MemoryTokenStore::new().with_clock(clock.clone());
    let key = || SigningKey::generate(Algorithm::ES256).unwrap();
    let issuer = TokenIssuer::builder(ISSUER, "api", key(), store.clone(), Everybody)
        .with_audit(store.clone())
        .with_clock(clock)
        .build()
        .unwrap();
    issuer.rotate_key(key());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let page = runtime.block_on(async {
        issuer.maintain().await.unwrap();
        AuditLog::list(&store, &AuditQuery::new(ISSUER)).await.unwrap()
    });
    let kinds: Vec<_> = page.records.iter().map(|record| record.event.kind).collect();
    assert_eq!(kinds, [AuditKind::KeyRetired, AuditKind::KeyAdded]);
}
