//! All names of events, metrics, and their fields and labels.
//!
//! The tables of the documentation, `events.md` and `metrics.md`, have the same content. Tests compare them.

#![cfg_attr(
    not(feature = "jwks"),
    allow(dead_code, reason = "features that are off leave names unused")
)]

/// Names of events. Their target is [`TARGET`](events::TARGET).
#[cfg(feature = "tracing")]
pub(super) mod events {
    pub(in crate::telemetry) const TARGET: &str = "tower_bearer";

    pub(in crate::telemetry) const REQUEST_REFUSED: &str = "request refused";
    pub(in crate::telemetry) const KEYS_FETCHED: &str = "keys fetched";
    pub(in crate::telemetry) const KEYS_REFUSED: &str = "keys refused";
    pub(in crate::telemetry) const KEYS_NOT_FETCHED: &str = "keys not fetched";
    pub(in crate::telemetry) const STATUS_LIST_FETCHED: &str = "status list fetched";
    pub(in crate::telemetry) const STATUS_LIST_NOT_FETCHED: &str = "status list not fetched";
    pub(in crate::telemetry) const STORE_FAILED: &str = "revocation store failed";
    pub(in crate::telemetry) const DOUBTED: &str = "revocation answers doubted";
    pub(in crate::telemetry) const REPLAY_STORE_FAILED: &str = "replay store failed";

    #[cfg(test)]
    pub(in crate::telemetry) const ALL: &[&str] = &[
        REQUEST_REFUSED,
        KEYS_FETCHED,
        KEYS_REFUSED,
        KEYS_NOT_FETCHED,
        STATUS_LIST_FETCHED,
        STATUS_LIST_NOT_FETCHED,
        STORE_FAILED,
        DOUBTED,
        REPLAY_STORE_FAILED,
    ];
}

#[cfg(feature = "metrics")]
pub(super) use self::metrics::*;

#[cfg(feature = "metrics")]
mod metrics {
    use ::metrics::{Label, Unit};

    /// A metric, with the text of its description.
    pub(in crate::telemetry) struct Metric {
        pub(in crate::telemetry) name: &'static str,
        pub(in crate::telemetry) kind: MetricKind,
        pub(in crate::telemetry) unit: Unit,
        pub(in crate::telemetry) labels: &'static [&'static str],
        pub(in crate::telemetry) text: &'static str,
    }

    impl Metric {
        /// The labels of the metric, with these values.
        pub(in crate::telemetry) fn with(&self, values: &[&'static str]) -> Vec<Label> {
            debug_assert_eq!(self.labels.len(), values.len());
            let labels = self.labels.iter().zip(values);
            labels.map(|(label, value)| Label::from_static_parts(label, value)).collect()
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(in crate::telemetry) enum MetricKind {
        Counter,
        Gauge,
        Histogram,
    }

    macro_rules! metrics {
        ($($id:ident: $kind:ident, $unit:ident, $name:literal, [$($label:ident),*], $text:literal;)*) => {
            $(pub(in crate::telemetry) static $id: Metric = Metric {
                name: $name,
                kind: MetricKind::$kind,
                unit: Unit::$unit,
                labels: &[$(label::$label),*],
                text: $text,
            };)*

            pub(in crate::telemetry) static ALL: &[&Metric] = &[$(&$id),*];
        };
    }

    metrics! {
        DECISIONS: Counter, Count, "tower_bearer_decisions_total", [DECISION, REASON],
            "decisions on requests";
        CACHE_LOOK_UPS: Counter, Count, "tower_bearer_token_cache_total", [OUTCOME],
            "valid tokens that were in the token cache, or are added to it";
        CACHE_BYTES: Gauge, Bytes, "tower_bearer_token_cache_bytes", [],
            "memory of the token cache";
        CACHE_ENTRIES: Gauge, Count, "tower_bearer_token_cache_entries", [],
            "tokens in the token cache";
        REVOCATION_CHECKS: Counter, Count, "tower_bearer_revocation_checks_total", [SOURCE],
            "revocation checks by the source of their answer";
        LOOK_UP_SECONDS: Histogram, Seconds, "tower_bearer_revocation_look_up_seconds", [STORE, OUTCOME],
            "time of one lookup in a revocation store";
        STORE_ERRORS: Counter, Count, "tower_bearer_revocation_errors_total", [KIND],
            "lookups that the revocation store failed to answer and checks that waited too long";
        UNANSWERED: Counter, Count, "tower_bearer_revocation_unanswered_total", [DECISION],
            "checks without an answer by the decision that was taken";
        DOUBTS: Counter, Count, "tower_bearer_revocation_doubts_total", [],
            "how often cached answers of the revocation store were marked as stale";
        REPLAY_ERRORS: Counter, Count, "tower_bearer_dpop_replay_errors_total", [DECISION],
            "DPoP proofs that the replay store failed to record by the decision that was taken";
        DENIALS: Gauge, Count, "tower_bearer_revocation_denials", [],
            "revocation entries in memory";
        ANSWERS: Gauge, Count, "tower_bearer_revocation_answers", [],
            "cached answers of the revocation store";
        IN_FLIGHT: Gauge, Count, "tower_bearer_revocation_in_flight", [],
            "lookups that are running";
        KEYS_AGE: Gauge, Seconds, "tower_bearer_keys_age_seconds", [ISSUER],
            "time since the keys of an issuer were last fetched successfully";
        KEYS_USABLE: Gauge, Count, "tower_bearer_keys_usable", [ISSUER],
            "1 if an issuer has keys that may be used, otherwise 0";
        KEYS_REFUSED: Gauge, Count, "tower_bearer_keys_refused", [ISSUER],
            "keys in the key set of an issuer that cannot be used";
        KEYS_FETCHES: Counter, Count, "tower_bearer_keys_fetches_total", [ISSUER, OUTCOME],
            "attempts to fetch the keys of an issuer";
        STATUS_LISTS: Gauge, Count, "tower_bearer_status_lists", [ISSUER],
            "status lists of an issuer that are in use";
        STATUS_LISTS_UNUSABLE: Gauge, Count, "tower_bearer_status_lists_unusable", [ISSUER],
            "status lists of an issuer that may not be used now";
        STATUS_LISTS_AGE: Gauge, Seconds, "tower_bearer_status_lists_age_seconds", [ISSUER],
            "time since the oldest status list of an issuer was last fetched successfully";
        STATUS_LISTS_FETCHES: Counter, Count, "tower_bearer_status_lists_fetches_total", [ISSUER, OUTCOME],
            "attempts to fetch the status lists of an issuer";
    }

    /// Names of labels. Each has few values, and the table has all of them. The exceptions are [`ISSUER`](label::ISSUER)
    /// and [`STORE`](label::STORE): their values are names from the configuration.
    pub(in crate::telemetry) mod label {
        pub(in crate::telemetry) const DECISION: &str = "decision";
        pub(in crate::telemetry) const REASON: &str = "reason";
        pub(in crate::telemetry) const OUTCOME: &str = "outcome";
        pub(in crate::telemetry) const SOURCE: &str = "source";
        pub(in crate::telemetry) const STORE: &str = "store";
        pub(in crate::telemetry) const KIND: &str = "kind";
        pub(in crate::telemetry) const ISSUER: &str = "issuer";
    }

    /// Values of labels, in addition to the names of [`RejectionKind`](crate::RejectionKind).
    pub(in crate::telemetry) mod value {
        pub(in crate::telemetry) const ALLOWED: &str = "allowed";
        pub(in crate::telemetry) const REJECTED: &str = "rejected";
        pub(in crate::telemetry) const UNAVAILABLE: &str = "unavailable";
        pub(in crate::telemetry) const SERVED_STALE: &str = "served_stale";

        pub(in crate::telemetry) const TOKEN: &str = "token";
        pub(in crate::telemetry) const ANONYMOUS: &str = "anonymous";
        pub(in crate::telemetry) const PREFLIGHT: &str = "preflight";

        pub(in crate::telemetry) const HIT: &str = "hit";
        pub(in crate::telemetry) const MISS: &str = "miss";

        pub(in crate::telemetry) const CACHED: &str = "cached";
        pub(in crate::telemetry) const LOOKED_UP: &str = "looked_up";
        pub(in crate::telemetry) const SHARED: &str = "shared";

        pub(in crate::telemetry) const REVOKED: &str = "revoked";
        pub(in crate::telemetry) const NOT_REVOKED: &str = "not_revoked";
        pub(in crate::telemetry) const FAILED: &str = "failed";
        pub(in crate::telemetry) const ABANDONED: &str = "abandoned";
        pub(in crate::telemetry) const TIMED_OUT: &str = "timed_out";

        pub(in crate::telemetry) const CHANGED: &str = "changed";
        pub(in crate::telemetry) const UNCHANGED: &str = "unchanged";
    }
}
