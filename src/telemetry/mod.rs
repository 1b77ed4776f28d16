//! Events for [`tracing`](https://docs.rs/tracing) and metrics for [`metrics`](https://docs.rs/metrics). Operators read
//! them.
//!
//! 1. **Nothing from a request or a token**: no event or metric contains a token, claim, id, e-mail address, secret,
//!    key or question to a store. Errors of stores are named by their kind, because their texts may quote such data.
//!    Keys of a key set that cannot be used are named by their `kid`, which is public.
//! 2. **Labels have few values**: all values are in the table, except the names of issuers, which are configuration. A
//!    request cannot make a new value.
//! 3. **Events that an attacker can cause are at most DEBUG.** The rate of events above DEBUG is limited.
//! 4. **A feature that is off costs nothing.** With `metrics`, each thread counts the requests that are let through in
//!    its own place. The `Collector` passes these counts to the recorder when you call it. Rare events, and events of
//!    requests that are rejected, are passed to the recorder at once.
//! 5. **There are no spans**: the layer runs inside the span of your own request tracing.
//!
//! # Events
//!
//! With the feature `tracing`. The target of all events is `tower_bearer`.
//!
#![doc = include_str!("events.md")]
//!
//! # Metrics
//!
//! With the feature `metrics`. Install a recorder before you make your layers. Call your `Collector` before each
//! scrape: otherwise you see only the metrics that are passed "at once".
//!
#![doc = include_str!("metrics.md")]
#![cfg_attr(
    feature = "metrics",
    doc = r#"
```
# #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
# fn main() -> Result<(), Box<dyn std::error::Error>> {
use tower_bearer::{
    Authenticator, BearerLayer, Issuer, Key, RevocationCache,
    telemetry::{self, Collector},
};

// An exporter's in earnest, such as that of `metrics-exporter-prometheus`.
let recorder = metrics_util::debugging::DebuggingRecorder::new();
let metrics = recorder.snapshotter();
recorder.install()?;
telemetry::describe();

let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?).audience("api://orders");
let authenticator = Authenticator::builder()
    .issuer(issuer)
    .revocation(RevocationCache::in_memory())
    .build()?;
let collector = Collector::new().add_authenticator(&authenticator);
let layer = BearerLayer::new(authenticator);

// At each scrape, before the exporter renders:
collector.collect();
let names = metrics.snapshot().into_vec();
assert!(names.iter().any(|(key, ..)| key.key().name() == "tower_bearer_revocation_denials"));
# let _ = layer;
# Ok(()) }
# #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
```
"#
)]
//! # Dashboard and alerts
//!
//! The folder `operations/` of the repository has a dashboard for Grafana and alert rules for Prometheus, with unit
//! tests. Its `README.md` explains each alert and what to do. A test runs Prometheus and checks that every query returns
//! data.
//!
//! # Caveats
//!
//! * Counters begin at zero with the process. Gauges are as old as the last `collect`.
//! * `tower_bearer_revocation_look_up_seconds` needs buckets from a tenth of a millisecond to the timeout (1 second).
//!   Exporters without configured buckets make a summary of it.
//! * An [`Authenticator`](crate::Authenticator) without a layer does not decide on requests, so its rejections are not
//!   counted. Everything else about it is counted.

#![cfg_attr(
    not(all(feature = "jwks", feature = "metrics", feature = "tracing")),
    allow(
        dead_code,
        unused_variables,
        clippy::unused_self,
        reason = "features that are off leave these unused"
    )
)]

#[cfg(feature = "metrics")]
mod collector;
mod counting;
#[cfg(feature = "tracing")]
mod events;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(any(feature = "tracing", feature = "metrics"))]
mod names;
#[cfg(test)]
mod tests;

#[cfg(feature = "tracing")]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use self::collector::{Collector, MetricSource, Metrics};
pub(crate) use self::counting::{Admissions, Admitted, LookUpTimer, Tally};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use self::metrics::describe;
use crate::{RejectionKind, config_error::RefusedKey};

/// A request was rejected.
pub(crate) fn refused(kind: RejectionKind) {
    #[cfg(feature = "tracing")]
    events::refused(kind);
    #[cfg(feature = "metrics")]
    metrics::refused(kind);
}

/// A revocation store failed at `now` of the monotonic clock.
pub(crate) fn store_failed(
    store: Option<&'static str>,
    kind: &'static str,
    limit: &WarningLimit,
    now: Duration,
) {
    #[cfg(feature = "tracing")]
    events::store_failed(store, kind, limit.allows(now));
}

/// A replay store failed to record a DPoP proof at `now` of the monotonic clock.
pub(crate) fn replay_store_failed(
    kind: &'static str,
    is_allowed: bool,
    limit: &WarningLimit,
    now: Duration,
) {
    #[cfg(feature = "tracing")]
    events::replay_store_failed(kind, limit.allows(now));
    #[cfg(feature = "metrics")]
    metrics::replay_store_failed(is_allowed);
}

/// Earlier answers of a revocation store are now stale.
pub(crate) fn doubted() {
    #[cfg(feature = "tracing")]
    events::doubted();
    #[cfg(feature = "metrics")]
    metrics::doubted();
}

/// A fetch returned keys, or returned that they are unchanged.
#[cfg(feature = "jwks")]
pub(crate) fn keys_fetched(keys: usize, is_modified: bool) {
    #[cfg(feature = "tracing")]
    events::keys_fetched(keys, is_modified);
}

/// A key set document has keys that cannot be used.
pub(crate) fn keys_refused(refused: &[RefusedKey]) {
    #[cfg(feature = "tracing")]
    if !refused.is_empty() {
        events::keys_refused(refused);
    }
}

/// A fetch failed. `error` must contain nothing secret.
#[cfg(feature = "jwks")]
pub(crate) fn keys_not_fetched(error: &str) {
    #[cfg(feature = "tracing")]
    events::keys_not_fetched(error);
}

/// A fetch returned a status list, or returned that it is unchanged.
#[cfg(feature = "jwks")]
pub(crate) fn status_list_fetched(is_modified: bool) {
    #[cfg(feature = "tracing")]
    events::status_list_fetched(is_modified);
}

/// A fetch of a status list failed. `error` must contain nothing secret.
#[cfg(feature = "jwks")]
pub(crate) fn status_list_not_fetched(error: &str) {
    #[cfg(feature = "tracing")]
    events::status_list_not_fetched(error);
}

/// Limits how often the same warning is logged: at once, and then at most once in ten seconds.
#[derive(Default)]
pub(crate) struct WarningLimit {
    /// The second of the last warning plus one. 0 before the first warning.
    #[cfg(feature = "tracing")]
    last: AtomicU64,
}

#[cfg(feature = "tracing")]
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
