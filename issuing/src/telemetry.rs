//! Counts log-ins and refreshes, under the rules of [`tower_bearer::telemetry`].
//!
//! This needs the feature `metrics`. Log-ins and refreshes are counted without further setup. Add the
//! [`TokenIssuer`](crate::TokenIssuer) to the `Collector` of `tower-bearer` for the metrics of its authenticators.
//!
#![doc = include_str!("telemetry/metrics.md")]
#![cfg_attr(
    not(feature = "metrics"),
    allow(unused_variables, reason = "without the feature nothing is counted")
)]

#[cfg(feature = "metrics")]
use metrics::{Unit::Count, counter, describe_counter};

use crate::LoginError;

#[cfg(feature = "metrics")]
const LOG_INS: &str = "tower_bearer_log_ins_total";
#[cfg(feature = "metrics")]
const REFRESHES: &str = "tower_bearer_refreshes_total";

/// Describes the metrics of this crate to the recorder. Call it once, after a recorder was installed. Metrics are
/// recorded without this call, too.
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub fn describe() {
    describe_counter!(LOG_INS, Count, "attempts to log in");
    describe_counter!(REFRESHES, Count, "refresh tokens that were presented");
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
            RefreshOutcome::Unavailable => "unavailable",
        };
        counter!(REFRESHES, "outcome" => outcome).increment(1);
    }
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
        });
        let described: Vec<_> = recorder.snapshotter().snapshot().into_vec();
        let described: Vec<_> = described
            .iter()
            .map(|(key, _, text, _)| (key.key().name(), text.as_deref().unwrap()))
            .collect();
        let rows = include_str!("telemetry/metrics.md").lines().skip(2);
        let rows: Vec<Vec<_>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
        let documented = rows.iter().map(|cells| (cells[1].trim_matches('`'), cells[6]));
        assert!(documented.clone().count() == 2 && described.len() == 2);
        for ((name, text), (documented, meaning)) in described.iter().zip(documented) {
            assert_eq!(*name, documented);
            assert!(meaning.starts_with(text), "{name}: {text}");
        }
    }
}
