//! Events and metrics of this crate, under the rules of [`tower_bearer::telemetry`].
//!
//! # Events
//!
//! They need the feature `tracing`. Their target is `tower_bearer`.
//!
#![doc = include_str!("telemetry/events.md")]
//!
//! # Metrics
//!
//! They need the feature `metrics`. Add [`Pushes`](crate::Pushes) and [`DenyList`](crate::DenyList) to the `Collector`
//! of `tower-bearer`. Relays need not be added.
//!
#![doc = include_str!("telemetry/metrics.md")]
#![cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    allow(dead_code, unused_variables, reason = "features that are off leave these unused")
)]

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

#[cfg(feature = "tracing")]
use tracing::{debug, info, warn};

#[cfg(feature = "tracing")]
const TARGET: &str = "tower_bearer";

#[cfg(feature = "tracing")]
mod events {
    pub(super) const NOT_CARRIED: &str = "revocations not carried";
    pub(super) const REDIS_CONNECTED: &str = "redis connected";
    pub(super) const REDIS_LOST: &str = "redis connection lost";
    pub(super) const PUSHES_CONNECTED: &str = "revocation pushes connected";
    pub(super) const PUSHES_LOST: &str = "revocation pushes lost";
    pub(super) const PUSHES_MISSED: &str = "revocation pushes missed";

    #[cfg(test)]
    pub(super) const ALL: [&str; 6] =
        [NOT_CARRIED, REDIS_CONNECTED, REDIS_LOST, PUSHES_CONNECTED, PUSHES_LOST, PUSHES_MISSED];
}

/// Limits how often a relay warns: once in ten seconds.
#[derive(Default)]
pub(crate) struct WarningLimit {
    /// One more than the second of the last warning; 0 before the first.
    last: AtomicU64,
}

impl WarningLimit {
    const SECONDS: u64 = 10;

    fn allows(&self, now: Duration) -> bool {
        let now = now.as_secs().saturating_add(1);
        let last = self.last.load(Ordering::Relaxed);
        let is_due = last == 0 || now >= last.saturating_add(Self::SECONDS);
        is_due
            && self.last.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// A relay could not copy revocations. `now` is the time since the relay began.
pub(crate) fn not_carried(kind: &'static str, limit: &WarningLimit, now: Duration) {
    #[cfg(feature = "tracing")]
    if limit.allows(now) {
        warn!(target: TARGET, kind, "{}", events::NOT_CARRIED);
    } else {
        debug!(target: TARGET, kind, "{}", events::NOT_CARRIED);
    }
    #[cfg(feature = "metrics")]
    metrics::counter!(names::RELAY_ERRORS).increment(1);
}

/// There is a connection to Redis again, after there was none.
pub(crate) fn redis_connected() {
    #[cfg(feature = "tracing")]
    info!(target: TARGET, "{}", events::REDIS_CONNECTED);
}

/// A connection to Redis was given up, or could not be made.
pub(crate) fn redis_lost(kind: &'static str) {
    #[cfg(feature = "tracing")]
    warn!(target: TARGET, kind, "{}", events::REDIS_LOST);
}

/// Revocations of other processes arrive from now on.
pub(crate) fn pushes_connected() {
    #[cfg(feature = "tracing")]
    info!(target: TARGET, "{}", events::PUSHES_CONNECTED);
}

/// Revocations of other processes no longer arrive.
pub(crate) fn pushes_lost() {
    #[cfg(feature = "tracing")]
    warn!(target: TARGET, "{}", events::PUSHES_LOST);
}

/// Revocations of other processes may have been missed. The level is DEBUG, because every client that may publish can
/// cause this event.
pub(crate) fn pushes_missed() {
    #[cfg(feature = "tracing")]
    debug!(target: TARGET, "{}", events::PUSHES_MISSED);
}

#[cfg(feature = "metrics")]
pub(crate) mod names {
    pub(crate) const PUSHES_CONNECTED: &str = "tower_bearer_revocation_pushes_connected";
    pub(crate) const PUSHES: &str = "tower_bearer_revocation_pushes_total";
    pub(crate) const PUSH_CONNECTIONS: &str = "tower_bearer_revocation_push_connections_total";
    pub(crate) const PUSH_GAPS: &str = "tower_bearer_revocation_push_gaps_total";
    pub(crate) const PUSHES_UNREADABLE: &str = "tower_bearer_revocation_pushes_unreadable_total";
    pub(crate) const RELAY_ERRORS: &str = "tower_bearer_revocation_relay_errors_total";
    pub(crate) const DENY_LIST_ENTRIES: &str = "tower_bearer_deny_list_entries";
    pub(crate) const DENY_LIST_CURRENT: &str = "tower_bearer_deny_list_current";
    pub(crate) const DENY_LIST_SNAPSHOTS: &str = "tower_bearer_deny_list_snapshots_total";
}

/// Describes the metrics of this crate to the recorder. Call it once, after the recorder was installed. Metrics are
/// recorded without this call, too.
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub fn describe() {
    use metrics::{Unit::Count, describe_counter, describe_gauge};

    describe_gauge!(
        names::PUSHES_CONNECTED,
        Count,
        "subscriptions to revocations of other processes that are connected"
    );
    describe_counter!(names::PUSHES, Count, "revocations of other processes that arrived");
    describe_counter!(names::PUSH_CONNECTIONS, Count, "connections that were made for pushes");
    describe_counter!(names::PUSH_GAPS, Count, "how often pushes may have been missed");
    describe_counter!(
        names::PUSHES_UNREADABLE,
        Count,
        "messages on the channel that are not valid or not signed"
    );
    describe_counter!(names::RELAY_ERRORS, Count, "how often a relay could not copy revocations");
    describe_gauge!(names::DENY_LIST_ENTRIES, Count, "revocations in deny-lists");
    describe_gauge!(names::DENY_LIST_CURRENT, Count, "1 if all deny-lists can answer, otherwise 0");
    describe_counter!(names::DENY_LIST_SNAPSHOTS, Count, "snapshots that deny-lists have read");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_logged_at_once_and_then_once_in_ten_seconds() {
        let limit = WarningLimit::default();
        let at = |seconds| limit.allows(Duration::from_secs(seconds));
        assert_eq!(
            [at(0), at(0), at(9), at(10), at(11), at(19), at(20)].map(u8::from),
            [1, 0, 0, 1, 0, 0, 1]
        );
    }

    #[cfg(any(feature = "tracing", feature = "metrics"))]
    fn rows(table: &str) -> Vec<Vec<&str>> {
        table
            .lines()
            .skip(2)
            .map(|line| line.trim().trim_matches('|').split('|').map(str::trim).collect())
            .collect()
    }

    #[cfg(feature = "tracing")]
    #[test]
    fn the_table_of_events_has_exactly_the_events() {
        let rows = rows(include_str!("telemetry/events.md"));
        let names: Vec<_> = rows.iter().map(|cells| cells[0].trim_matches('`')).collect();
        assert_eq!(names, events::ALL);
    }

    #[cfg(feature = "metrics")]
    #[test]
    fn the_table_of_metrics_has_exactly_the_metrics() {
        use metrics_util::debugging::DebuggingRecorder;

        let recorder = DebuggingRecorder::new();
        metrics::with_local_recorder(&recorder, || {
            describe();
            // Only metrics with a value are in a snapshot.
            for cells in rows(include_str!("telemetry/metrics.md")) {
                let name = cells[0].trim_matches('`').to_owned();
                match cells[1] {
                    "counter" => metrics::counter!(name).increment(1),
                    _ => metrics::gauge!(name).set(1.0),
                }
            }
        });
        let snapshot = recorder.snapshotter().snapshot().into_vec();
        let rows = rows(include_str!("telemetry/metrics.md"));
        assert_eq!((snapshot.len(), rows.len()), (9, 9));
        for (key, unit, text, _) in snapshot {
            let name = key.key().name();
            let cells = rows.iter().find(|cells| cells[0].trim_matches('`') == name).unwrap();
            let text = text.unwrap_or_else(|| panic!("{name} has no description"));
            assert!(cells[5].starts_with(&*text), "{name}: {text}");
            assert_eq!(unit, Some(metrics::Unit::Count), "{name}");
        }
    }
}
