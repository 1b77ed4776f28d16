//! What operators are told: events by [`tracing`](https://docs.rs/tracing), metrics by
//! [`metrics`](https://docs.rs/metrics).
//!
//! 1. **Nothing of a request or a token**: no token, claim, id, e-mail address, secret or key is in any event or metric,
//!    nor what a store was asked. Errors of stores are named by their kind, because their texts may quote. Keys of a
//!    key set that cannot be used are named by their `kid`, which is public.
//! 2. **Labels have few values**: all are in the table, but for the names of issuers, which are configuration. No request
//!    can make a new one.
//! 3. **What an attacker can bring about is DEBUG** at most; what is above has a pace of its own.
//! 4. **A feature that is off costs nothing.** With `metrics`, a request that is let through counts in a place of its
//!    thread, and what was counted is told to the recorder when the `Collector` is asked. What is rarer, or has to be
//!    answered anyway, is told at once.
//! 5. **There are no spans**: the layer decides in the midst of the span of whoever traces requests.
//!
//! # Events
//!
//! With the feature `tracing`; their target is `tower_bearer`.
//!
#![doc = include_str!("events.md")]
//!
//! # Metrics
//!
//! With the feature `metrics`. A service has a recorder, which it installs before it makes its layers, and asks its
//! `Collector` before each scrape: without that only what is told "at once" is seen.
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
//! # Caveats
//!
//! * Counters begin with the process, and gauges are as old as the last `collect`.
//! * `tower_bearer_revocation_look_up_seconds` needs buckets from a tenth of a millisecond to the timeout (1 second);
//!   exporters that are told none make a summary of it.
//! * An [`Authenticator`](crate::Authenticator) that is used without a layer decides on no requests, and its refusals are
//!   not counted; all else about it is.

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
mod pace;
#[cfg(test)]
mod tests;

use std::time::Duration;

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use self::collector::{Collector, MetricSource, Metrics};
#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use self::metrics::describe;
pub(crate) use self::{
    counting::{Admissions, Admitted, LookUpTimer, Tally},
    pace::Pace,
};
#[cfg(feature = "jwks")]
use crate::jwks::FetchError;
use crate::{RejectionKind, jws::RefusedKey};

/// A request was refused.
pub(crate) fn refused(kind: RejectionKind) {
    #[cfg(feature = "tracing")]
    events::refused(kind);
    #[cfg(feature = "metrics")]
    metrics::refused(kind);
}

/// A revocation store failed at `now` of the monotonic clock.
pub(crate) fn store_failed(kind: &'static str, pace: &Pace, now: Duration) {
    #[cfg(feature = "tracing")]
    events::store_failed(kind, pace.lets_through(now));
}

/// Earlier answers of a revocation store are no longer trusted.
pub(crate) fn doubted() {
    #[cfg(feature = "tracing")]
    events::doubted();
    #[cfg(feature = "metrics")]
    metrics::doubted();
}

/// An attempt brought keys, or found them unchanged.
#[cfg(feature = "jwks")]
pub(crate) fn keys_fetched(keys: usize, is_modified: bool) {
    #[cfg(feature = "tracing")]
    events::keys_fetched(keys, is_modified);
}

/// A document has keys that cannot be used.
pub(crate) fn keys_refused(refused: &[RefusedKey]) {
    #[cfg(feature = "tracing")]
    if !refused.is_empty() {
        events::keys_refused(refused);
    }
}

/// An attempt did not.
#[cfg(feature = "jwks")]
pub(crate) fn keys_not_fetched(error: &FetchError) {
    #[cfg(feature = "tracing")]
    events::keys_not_fetched(error);
}
