//! Passes the metrics to the recorder that must not wait for a `collect`.

use std::{sync::LazyLock, time::Duration};

use ::metrics::{Key, Level, Metadata, with_recorder};

use super::names::{self, Metric, MetricKind, value};
use crate::{
    RejectionKind,
    rejection::Answer,
    revocation::{Unavailable, Verdict},
};

pub(super) static METADATA: Metadata<'static> =
    Metadata::new("tower_bearer", Level::INFO, Some(module_path!()));

/// Passes the descriptions and units of this crate's metrics to the recorder. Call it once, after a recorder is
/// installed. Without this call, metrics are still recorded.
pub fn describe() {
    with_recorder(|recorder| {
        for &&Metric { name, kind, unit, text, .. } in names::ALL {
            let (name, unit, text) = (name.into(), Some(unit), text.into());
            match kind {
                MetricKind::Counter => recorder.describe_counter(name, unit, text),
                MetricKind::Gauge => recorder.describe_gauge(name, unit, text),
                MetricKind::Histogram => recorder.describe_histogram(name, unit, text),
            }
        }
    });
}

pub(super) fn refused(kind: RejectionKind) {
    /// One key for each kind, by its number. They are made once, so that a rejection does not allocate.
    static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
        let key = |kind: &RejectionKind| {
            let decision = match kind.answer() {
                Answer::Unavailable => value::UNAVAILABLE,
                Answer::NotAuthenticated
                | Answer::TokenNotValid
                | Answer::DpopProofNotValid
                | Answer::InvalidRequest
                | Answer::PermissionDenied
                | Answer::InsufficientUserAuthentication => value::REJECTED,
            };
            key(&names::DECISIONS, &[decision, kind.as_str()])
        };
        RejectionKind::ALL.iter().map(key).collect()
    });
    if let Some(key) = KEYS.get(kind as usize) {
        count(key);
    }
}

/// `None`: the lookup was abandoned, because no request waited for the answer.
pub(super) fn looked_up(
    store: &'static str,
    outcome: Option<Result<Verdict, Unavailable>>,
    took: Duration,
) {
    let outcome = match outcome {
        Some(Ok(Verdict::Revoked)) => value::REVOKED,
        Some(Ok(Verdict::NotRevoked | Verdict::RevokedFrom(_))) => value::NOT_REVOKED,
        Some(Err(Unavailable)) => value::FAILED,
        None => value::ABANDONED,
    };
    let key = key(&names::LOOK_UP_SECONDS, &[store, outcome]);
    with_recorder(|recorder| recorder.register_histogram(&key, &METADATA)).record(took);
}

pub(super) fn replay_store_failed(is_allowed: bool) {
    let decision = if is_allowed { value::ALLOWED } else { value::UNAVAILABLE };
    count(&key(&names::REPLAY_ERRORS, &[decision]));
}

pub(super) fn doubted() {
    count(&key(&names::DOUBTS, &[]));
}

fn count(key: &Key) {
    with_recorder(|recorder| recorder.register_counter(key, &METADATA)).increment(1);
}

fn key(metric: &'static Metric, values: &[&'static str]) -> Key {
    Key::from_parts(metric.name, metric.with(values))
}
