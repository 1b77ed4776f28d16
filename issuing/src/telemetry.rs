//! Counts log-ins, refreshes and audit events, and logs events, under the rules of [`tower_bearer::telemetry`]. Audit
//! events are the exception: they contain subjects, ids and addresses ([`audit`](crate::audit)).
//!
//! # Events
//!
//! With the feature `tracing`. The target is `tower_bearer`, and `tower_bearer::audit` for audit events.
//!
#![doc = include_str!("telemetry/events.md")]
//!
//! # Metrics
//!
//! With the feature `metrics`, without further setup. Add the [`TokenIssuer`](crate::TokenIssuer) to the `Collector` of
//! `tower-bearer` for the metrics of its authenticators.
//!
#![doc = include_str!("telemetry/metrics.md")]
#![cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    allow(unused_variables, reason = "features that are off leave these unused")
)]

#[cfg(feature = "metrics")]
use metrics::{Unit::Count, counter, describe_counter};

use crate::{LoginError, audit::AuditEvent};

#[cfg(feature = "metrics")]
const LOG_INS: &str = "tower_bearer_log_ins_total";
#[cfg(feature = "metrics")]
const REFRESHES: &str = "tower_bearer_refreshes_total";
#[cfg(feature = "metrics")]
const AUDIT_EVENTS: &str = "tower_bearer_audit_events_total";

#[cfg(feature = "tracing")]
const TARGET: &str = "tower_bearer";
#[cfg(feature = "tracing")]
const AUDIT_TARGET: &str = "tower_bearer::audit";

/// Describes the metrics of this crate to the recorder. Call it once, after a recorder was installed. Metrics are
/// recorded without this call, too.
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub fn describe() {
    describe_counter!(LOG_INS, Count, "attempts to log in");
    describe_counter!(REFRESHES, Count, "refresh tokens that were presented");
    describe_counter!(AUDIT_EVENTS, Count, "audit events by what became of them");
}

/// Counts an attempt to log in.
pub(crate) fn log_in_tried<T>(outcome: &Result<T, LoginError>) {
    #[cfg(feature = "metrics")]
    {
        let outcome = match outcome {
            Ok(_) => "succeeded",
            Err(LoginError::NoActiveAccount) => "no_active_account",
            Err(LoginError::Throttled { .. }) => "throttled",
            Err(LoginError::Busy) => "busy",
            Err(LoginError::InvalidProof(_)) => "invalid_proof",
            Err(LoginError::Unavailable(_)) => "unavailable",
        };
        counter!(LOG_INS, "outcome" => outcome).increment(1);
    }
}

/// The outcome of a refresh.
#[derive(Clone, Copy)]
pub(crate) enum RefreshOutcome {
    Succeeded,
    Reused,
    NotValid,
    Throttled,
    InvalidProof,
    Unavailable,
}

/// Counts a presented refresh token.
pub(crate) fn refreshed(outcome: RefreshOutcome) {
    #[cfg(feature = "metrics")]
    {
        let outcome = match outcome {
            RefreshOutcome::Succeeded => "succeeded",
            RefreshOutcome::Reused => "reused",
            RefreshOutcome::NotValid => "not_valid",
            RefreshOutcome::Throttled => "throttled",
            RefreshOutcome::InvalidProof => "invalid_proof",
            RefreshOutcome::Unavailable => "unavailable",
        };
        counter!(REFRESHES, "outcome" => outcome).increment(1);
    }
}

/// Logs an audit event. This is the only output that names a subject.
pub(crate) fn audited(event: &AuditEvent) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        target: AUDIT_TARGET,
        issuer = &*event.issuer,
        subject = event.subject.as_deref(),
        actor = event.actor.as_deref(),
        address = event.address.map(tracing::field::display),
        session_id = event.session_id.as_deref(),
        token_id = event.token_id.as_deref(),
        private_token_id = event.private_token_id,
        new_private_token_id = event.new_private_token_id,
        key = event.key.as_deref(),
        count = event.count,
        "{}",
        event.kind.as_str()
    );
}

/// A sink has accepted audit events.
pub(crate) fn audit_written(count: usize) {
    count_audit("written", u64::try_from(count).unwrap_or(u64::MAX));
}

/// An audit event was left out, because clients cause too many of its kind.
pub(crate) fn audit_omitted() {
    count_audit("omitted", 1);
}

/// Audit events were lost.
pub(crate) fn audit_lost(count: u64) {
    count_audit("lost", count);
}

/// The queue of audit events is full. Call this once until the sink accepts events again.
pub(crate) fn audit_queue_full() {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, "audit events lost");
}

/// A sink has refused this number of audit events, which are lost.
pub(crate) fn audit_refused(count: usize) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, count, "audit events refused");
}

/// A sink has not accepted audit events.
pub(crate) fn audit_failed(kind: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, kind, "audit sink failed");
}

fn count_audit(outcome: &'static str, count: u64) {
    #[cfg(feature = "metrics")]
    counter!(AUDIT_EVENTS, "outcome" => outcome).increment(count);
}

#[cfg(all(test, feature = "metrics"))]
mod tests {
    use metrics_util::debugging::DebuggingRecorder;

    use super::*;

    #[test]
    fn the_table_of_metrics_has_every_description_and_no_other() {
        let recorder = DebuggingRecorder::new();
        metrics::with_local_recorder(&recorder, || {
            describe();
            log_in_tried(&Ok(()));
            refreshed(RefreshOutcome::Succeeded);
            audit_omitted();
        });
        let described: Vec<_> = recorder.snapshotter().snapshot().into_vec();
        let described: Vec<_> = described
            .iter()
            .map(|(key, _, text, _)| (key.key().name(), text.as_deref().unwrap()))
            .collect();
        let rows = include_str!("telemetry/metrics.md").lines().skip(2);
        let rows: Vec<Vec<_>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
        let documented = rows.iter().map(|cells| (cells[1].trim_matches('`'), cells[6]));
        assert!(documented.clone().count() == 3 && described.len() == 3);
        for ((name, text), (documented, meaning)) in described.iter().zip(documented) {
            assert_eq!(*name, documented);
            assert!(meaning.starts_with(text), "{name}: {text}");
        }
    }
}
