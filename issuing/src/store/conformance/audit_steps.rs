//! The rules of an audit log.

use std::{net::IpAddr, sync::Arc};

use super::{Bench, ISSUER, NOW, answered, side_by_side};
use crate::{
    audit::{AuditEvent, AuditKind, AuditLog, AuditPage, AuditQuery, AuditSink},
    store::{Owner, TokenStore},
};

/// Stands for the trait bounds of a store that is also an audit log.
pub(super) trait Log: TokenStore + AuditSink + AuditLog {}
impl<S: TokenStore + AuditSink + AuditLog> Log for S {}

fn about(subject: &str, kind: AuditKind) -> AuditEvent {
    let mut event = AuditEvent::new(kind, ISSUER, NOW);
    event.subject = Some(subject.into());
    event
}

impl<S: Log> Bench<S> {
    async fn record(&self, events: &[AuditEvent]) {
        answered(self.store.record(events).await);
    }

    async fn audit_page(&self, query: &AuditQuery) -> AuditPage {
        answered(AuditLog::list(&*self.store, query).await)
    }

    /// The events about a subject, the newest first.
    async fn events(&self, subject: &str) -> Vec<AuditEvent> {
        let query = AuditQuery::new(ISSUER).with_subject(subject).with_limit(1000);
        self.audit_page(&query).await.records.into_iter().map(|record| record.event).collect()
    }
}

pub(super) async fn an_event_comes_back_as_it_was<S: Log>(bench: Bench<S>) {
    let mut full = about("a \0 ' \" \u{1F600}", AuditKind::TokenRotated);
    full.actor = Some("an \0 operator \"".into());
    full.session_id = Some("a session \\".into());
    full.token_id = Some("p.a token".into());
    full.private_token_id = Some(i64::MAX);
    full.new_private_token_id = Some(-1);
    full.key = Some("a key".into());
    full.count = 1 << 60;
    let mut all = vec![full];
    for address in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
        let mut event = AuditEvent::new(AuditKind::LoginFailed, ISSUER, NOW);
        event.address = address.parse::<IpAddr>().ok();
        event.keep_until = NOW;
        all.push(event);
    }
    all.extend(AuditKind::ALL.iter().map(|kind| about(kind.as_str(), *kind)));
    bench.record(&all).await;
    let page = bench.audit_page(&AuditQuery::new(ISSUER).with_limit(1000)).await;
    let mut found: Vec<AuditEvent> = page.records.into_iter().map(|record| record.event).collect();
    found.reverse();
    assert!(found == all, "{found:?}");
    assert_eq!(page.next, None);
    bench.record(&[]).await;
}

pub(super) async fn pages_of_events_add_up_and_new_events_do_not_shift_them<S: Log>(
    bench: Bench<S>,
) {
    let numbered = |number: u64| {
        let mut event = about("ada", AuditKind::Refreshed);
        event.count = number;
        event
    };
    let all: Vec<AuditEvent> = (1..=10).map(numbered).collect();
    bench.record(&all).await;
    for query in [AuditQuery::new(ISSUER), AuditQuery::new(ISSUER).with_subject("ada")] {
        let mut query = query.with_limit(4);
        let mut counts = Vec::new();
        loop {
            let page = bench.audit_page(&query).await;
            assert!(
                page.records.iter().all(|record| Some(record.id) < query.before.or(Some(i64::MAX)))
            );
            counts.extend(page.records.iter().map(|record| record.event.count));
            bench.record(&[numbered(99)]).await;
            let Some(next) = page.next else { break };
            query = query.with_before(next);
        }
        counts.retain(|count| *count != 99);
        assert!(counts.iter().rev().copied().eq(1..=10), "{counts:?}");
    }
    let one = bench.audit_page(&AuditQuery::new(ISSUER).with_limit(0)).await;
    assert_eq!(one.records.len(), 1, "a limit of 0 means 1");
}

pub(super) async fn events_of_others_are_not_listed<S: Log>(bench: Bench<S>) {
    let other = AuditEvent::new(AuditKind::AllRevoked, "https://other.example", NOW);
    let mut of_other = other.clone();
    of_other.subject = Some("ada".into());
    bench
        .record(&[
            about("ada", AuditKind::AllRevoked),
            of_other,
            other,
            about("bob", AuditKind::AllRevoked),
            AuditEvent::new(AuditKind::AllRevoked, ISSUER, NOW),
        ])
        .await;
    assert_eq!(bench.events("ada").await, [about("ada", AuditKind::AllRevoked)]);
    assert_eq!(bench.audit_page(&AuditQuery::new(ISSUER)).await.records.len(), 3);
}

pub(super) async fn the_events_of_a_deleted_account_are_deleted<S: Log>(bench: Bench<S>) {
    let of_other = AuditEvent {
        issuer: Arc::from("https://other.example"),
        ..about("ada", AuditKind::LoginSucceeded)
    };
    bench
        .record(&[
            about("ada", AuditKind::LoginSucceeded),
            about("bob", AuditKind::LoginSucceeded),
            of_other,
        ])
        .await;
    let deleted = about("ada", AuditKind::AccountDeleted);
    bench
        .record(&[
            about("ada", AuditKind::Refreshed),
            deleted.clone(),
            about("ada", AuditKind::Refreshed),
        ])
        .await;
    assert_eq!(bench.events("ada").await, std::slice::from_ref(&deleted));
    // Another process had these events in its queue.
    bench.record(&[about("ada", AuditKind::Refreshed), about("bob", AuditKind::Refreshed)]).await;
    assert_eq!(bench.events("ada").await, [deleted]);
    assert_eq!(bench.events("bob").await.len(), 2);
    let others = bench.audit_page(&AuditQuery::new("https://other.example")).await;
    assert_eq!(others.records.len(), 1);
}

pub(super) async fn an_event_is_swept_after_its_time_and_no_other<S: Log>(bench: Bench<S>) {
    let kept_until = |seconds| {
        let mut event = about("ada", AuditKind::Refreshed);
        event.keep_until = NOW + super::secs(seconds);
        event
    };
    bench.record(&[kept_until(2), kept_until(0), kept_until(1)]).await;
    assert_eq!(answered(bench.store.sweep(NOW + super::secs(2), 1).await), 1);
    assert_eq!(answered(bench.store.sweep(NOW + super::secs(2), 10).await), 1);
    assert_eq!(bench.events("ada").await, [kept_until(2)]);
}

pub(super) async fn many_processes_record_at_once<S: Log>(bench: Bench<S>) {
    side_by_side(&bench.store, |store, _| async move {
        let events: Vec<AuditEvent> = (0..30).map(|_| about("ada", AuditKind::Refreshed)).collect();
        store.record(&events).await
    })
    .await;
    assert_eq!(bench.events("ada").await.len(), 16 * 30);
}

pub(super) async fn the_event_of_a_deletion_is_kept_in_the_same_step<S: Log>(bench: Bench<S>) {
    bench.record(&[about("ada", AuditKind::LoginSucceeded)]).await;
    let mut deleted = about("ada", AuditKind::AccountDeleted);
    deleted.actor = Some("an operator".into());
    let delete = async |event: Option<&AuditEvent>| {
        let done = bench.store.delete_personal_data(&super::ada(), NOW, NOW, event).await;
        answered(done);
    };
    delete(Some(&deleted)).await;
    assert_eq!(bench.events("ada").await, std::slice::from_ref(&deleted));
    // The issuer also gives it to its sink. A second deletion changes nothing.
    bench.record(&[deleted.clone(), deleted.clone()]).await;
    delete(Some(&about("ada", AuditKind::AccountDeleted))).await;
    delete(None).await;
    assert_eq!(bench.events("ada").await, [deleted]);
    delete(None).await;
    let unknown = Owner::new(ISSUER, "nobody");
    answered(bench.store.delete_personal_data(&unknown, NOW, NOW, None).await);
    assert_eq!(bench.audit_page(&AuditQuery::new(ISSUER)).await.records.len(), 1);
}

pub(super) async fn the_acts_of_operators_stay_without_a_deleted_subject<S: Log>(bench: Bench<S>) {
    let mut by_operator = about("ada", AuditKind::OperatorRead);
    by_operator.actor = Some("root".into());
    by_operator.address = Some(IpAddr::from([192, 0, 2, 1]));
    by_operator.session_id = Some("a session".into());
    by_operator.token_id = Some("a token".into());
    by_operator.private_token_id = Some(7);
    by_operator.new_private_token_id = Some(8);
    let deleted = about("ada", AuditKind::AccountDeleted);
    let by_ada = about("ada", AuditKind::Refreshed);
    let before: Vec<AuditEvent> = (0..250).map(|_| by_operator.clone()).collect();
    bench.record(&before).await;
    bench.record(&[by_operator.clone(), by_ada.clone(), deleted.clone()]).await;
    bench.record(&[by_ada, by_operator.clone()]).await;
    assert_eq!(bench.events("ada").await, std::slice::from_ref(&deleted));
    let mut left = AuditEvent::new(AuditKind::OperatorRead, ISSUER, NOW);
    (left.actor, left.address) = (by_operator.actor, by_operator.address);
    let page = bench.audit_page(&AuditQuery::new(ISSUER).with_limit(1000)).await;
    let mut found = page.records.into_iter().map(|record| record.event);
    assert_eq!(found.next(), Some(left.clone()));
    assert_eq!(found.next(), Some(deleted));
    assert!(found.clone().count() == 251 && found.all(|event| event == left));
}
