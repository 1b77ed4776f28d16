//! Passes counters and gauges to the recorder when it is scraped: what was counted, and what is held now.

use std::{collections::BTreeMap, fmt, sync::Arc};

use ::metrics::{Key, Label, with_recorder};

#[cfg(feature = "jwks")]
use super::names::label;
use super::{
    Admissions,
    metrics::METADATA,
    names::{self, Metric, MetricKind, value},
};
use crate::{Authenticator, RevocationCache, revocation::RevocationStats, token_cache::TokenCache};
#[cfg(feature = "jwks")]
use crate::{jwks::JwksHealth, status_list::StatusListsHealth};

/// Passes the counts and gauges of all parts of a service to the recorder of `metrics`.
///
/// Make one for each process, with all its parts. Call [`collect`](Self::collect) before each scrape, or every few
/// seconds if metrics are pushed.
///
/// 1. The values of parts of one kind are added up.
/// 2. No part is counted twice: clones of one authenticator or cache are one part.
/// 3. A collector keeps its parts alive.
/// 4. A new collector with new authenticators begins its counts at zero, but a recorder's counter never goes down. So
///    if your service replaces authenticators while it runs, the counters for decisions and token cache do not change
///    until the new counts are higher than the old ones.
///
/// The [module](super) has the table of metrics and an example.
#[derive(Clone, Default)]
#[must_use = "a collector tells nothing until it is asked to"]
pub struct Collector {
    sources: Vec<Arc<dyn MetricSource>>,
}

impl Collector {
    /// Makes a collector without parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the counts of the requests that layers with this authenticator or its clones let through. Also adds its
    /// token cache, its revocation cache, and the health of its issuers' keys and
    /// status lists.
    pub fn add_authenticator<C: Send + Sync + 'static>(
        self,
        authenticator: &Authenticator<C>,
    ) -> Self {
        self.add_source(authenticator.clone())
    }

    /// Adds a cache that does not belong to an authenticator of this collector.
    pub fn add_revocation(self, cache: &RevocationCache) -> Self {
        self.add_source(cache.clone())
    }

    /// Adds a part of another crate or your own part, such as a `TokenIssuer`, `Pushes` or a `DenyList`.
    pub fn add_source(mut self, source: impl MetricSource) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// Passes all values to the installed recorder.
    ///
    /// It iterates over cached entries, as [`RevocationCache::stats`] does. Call it every few seconds, not on every
    /// request.
    pub fn collect(&self) {
        let mut metrics = Metrics::default();
        for source in &self.sources {
            source.report(&mut metrics);
        }
        metrics.tell();
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("sources", &self.sources.len()).finish()
    }
}

/// A part of a service that has its own counters and reports them to a [`Collector`].
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering::Relaxed}};
/// use tower_bearer::telemetry::{Collector, MetricSource, Metrics};
///
/// #[derive(Clone, Default)]
/// struct Listener(Arc<AtomicU64>);
///
/// impl MetricSource for Listener {
///     fn report(&self, metrics: &mut Metrics) {
///         // Clones of one listener count once.
///         if metrics.is_new(&self.0) {
///             metrics.add_counter("my_listener_messages_total", &[], self.0.load(Relaxed));
///         }
///     }
/// }
///
/// Collector::new().add_source(Listener::default()).collect();
/// ```
pub trait MetricSource: Send + Sync + 'static {
    /// Adds the counts since the start, and the values that are held now.
    fn report(&self, metrics: &mut Metrics);
}

impl<C: Send + Sync + 'static> MetricSource for Authenticator<C> {
    fn report(&self, metrics: &mut Metrics) {
        metrics.add_admissions(self.admissions());
        metrics.add_token_cache(self.verifier().token_cache());
        #[cfg(feature = "jwks")]
        for issuer in self.verifier().issuers() {
            if let Some(keys) = issuer.remote_keys()
                && metrics.is_new_at(keys.engine_address(), Some(issuer.own_name()))
            {
                metrics.add_keys(issuer.own_name(), &keys.health());
            }
            if let Some(lists) = issuer.status_lists()
                && metrics.is_new_at(lists.place(), Some(issuer.own_name()))
            {
                metrics.add_status_lists(issuer.own_name(), &lists.health());
            }
        }
        if let Some(cache) = self.revocation() {
            cache.report(metrics);
        }
    }
}

impl MetricSource for RevocationCache {
    fn report(&self, metrics: &mut Metrics) {
        if metrics.is_new_at(self.place(), None) {
            metrics.add_revocation(&self.stats());
        }
    }
}

/// The reports of all parts, added up.
#[derive(Debug, Default)]
pub struct Metrics {
    /// The parts that were added, by their addresses. Keys are also identified by their issuer, because several issuers
    /// may share them.
    seen: Vec<(usize, Option<Arc<str>>)>,
    values: BTreeMap<(&'static str, Vec<Label>), (MetricKind, u64)>,
}

impl Metrics {
    /// Whether no other part that shares `part` has reported yet. Report only if this is `true`, so that clones count
    /// once.
    pub fn is_new<T: ?Sized>(&mut self, part: &Arc<T>) -> bool {
        self.is_new_at(Arc::as_ptr(part).cast::<()>().addr(), None)
    }

    /// Adds to a counter. The values of several parts of one kind are added up.
    pub fn add_counter(
        &mut self,
        name: &'static str,
        labels: &[(&'static str, &'static str)],
        value: u64,
    ) {
        self.merge_named(name, MetricKind::Counter, labels, value, u64::saturating_add);
    }

    /// Adds to a gauge. The values of several parts of one kind are added up.
    pub fn add_gauge(
        &mut self,
        name: &'static str,
        labels: &[(&'static str, &'static str)],
        value: u64,
    ) {
        self.merge_named(name, MetricKind::Gauge, labels, value, u64::saturating_add);
    }

    /// Sets a gauge to the smallest value that a part of this kind reports: for example, 1 while all of them are well.
    pub fn min_gauge(
        &mut self,
        name: &'static str,
        labels: &[(&'static str, &'static str)],
        value: u64,
    ) {
        self.merge_named(name, MetricKind::Gauge, labels, value, u64::min);
    }

    fn merge_named(
        &mut self,
        name: &'static str,
        kind: MetricKind,
        labels: &[(&'static str, &'static str)],
        value: u64,
        both: fn(u64, u64) -> u64,
    ) {
        let labels = labels.iter().map(|(label, value)| Label::from_static_parts(label, value));
        self.merge_into((name, labels.collect()), kind, value, both);
    }

    fn is_new_at(&mut self, place: usize, issuer: Option<&Arc<str>>) -> bool {
        let part = (place, issuer.cloned());
        let is_new = !self.seen.contains(&part);
        if is_new {
            self.seen.push(part);
        }
        is_new
    }

    fn add_admissions(&mut self, admissions: &Admissions) {
        let counts = admissions.counts();
        if !self.is_new(counts) {
            return;
        }
        for (reason, count) in [
            (value::TOKEN, counts.token.read()),
            (value::ANONYMOUS, counts.anonymous.read()),
            (value::PREFLIGHT, counts.preflight.read()),
        ] {
            self.add(&names::DECISIONS, &[value::ALLOWED, reason], count);
        }
    }

    fn add_token_cache<C>(&mut self, cache: &TokenCache<C>) {
        let Some(usage) = cache.usage() else { return };
        if !self.is_new_at(std::ptr::from_ref(cache).addr(), None) {
            return;
        }
        self.add(&names::CACHE_LOOK_UPS, &[value::HIT], usage.hits);
        self.add(&names::CACHE_LOOK_UPS, &[value::MISS], usage.misses);
        self.add(&names::CACHE_BYTES, &[], usage.bytes);
        self.add(&names::CACHE_ENTRIES, &[], usage.entries);
    }

    fn add_revocation(&mut self, stats: &RevocationStats) {
        for (source, count) in [
            (value::CACHED, stats.hits),
            (value::LOOKED_UP, stats.look_ups),
            (value::SHARED, stats.joined),
        ] {
            self.add(&names::REVOCATION_CHECKS, &[source], count);
        }
        self.add(&names::STORE_ERRORS, &[value::FAILED], stats.failures);
        self.add(&names::STORE_ERRORS, &[value::TIMED_OUT], stats.timed_out);
        for (decision, count) in [
            (value::UNAVAILABLE, stats.unavailable),
            (value::ALLOWED, stats.allowed),
            (value::SERVED_STALE, stats.served_stale),
        ] {
            self.add(&names::UNANSWERED, &[decision], count);
        }
        self.add(&names::DENIALS, &[], stats.denials);
        self.add(&names::ANSWERS, &[], stats.answers);
        self.add(&names::IN_FLIGHT, &[], stats.in_flight);
    }

    /// If an issuer has keys from two sources, the worse values of both are reported.
    #[cfg(feature = "jwks")]
    fn add_keys(&mut self, issuer: &Arc<str>, health: &JwksHealth) {
        let labels = || vec![Label::new(label::ISSUER, Arc::clone(issuer))];
        if let Some(age) = health.age() {
            self.merge(&names::KEYS_AGE, labels(), age.as_secs(), u64::max);
        }
        self.merge(&names::KEYS_USABLE, labels(), health.is_usable().into(), u64::min);
        let refused = health.keys().refused().len() as u64;
        self.merge(&names::KEYS_REFUSED, labels(), refused, u64::max);
        for (outcome, count) in [
            (value::CHANGED, health.modified()),
            (value::UNCHANGED, health.not_modified()),
            (value::FAILED, health.failures()),
        ] {
            let mut labels = labels();
            labels.push(Label::from_static_parts(label::OUTCOME, outcome));
            self.merge(&names::KEYS_FETCHES, labels, count, u64::saturating_add);
        }
    }

    #[cfg(feature = "jwks")]
    fn add_status_lists(&mut self, issuer: &Arc<str>, health: &StatusListsHealth) {
        let labels = || vec![Label::new(label::ISSUER, Arc::clone(issuer))];
        let (lists, unusable) = (health.lists() as u64, health.unusable() as u64);
        self.merge(&names::STATUS_LISTS, labels(), lists, u64::saturating_add);
        self.merge(&names::STATUS_LISTS_UNUSABLE, labels(), unusable, u64::saturating_add);
        if let Some(age) = health.oldest() {
            self.merge(&names::STATUS_LISTS_AGE, labels(), age.as_secs(), u64::max);
        }
        for (outcome, count) in [
            (value::CHANGED, health.modified()),
            (value::UNCHANGED, health.not_modified()),
            (value::FAILED, health.failures()),
        ] {
            let mut labels = labels();
            labels.push(Label::from_static_parts(label::OUTCOME, outcome));
            self.merge(&names::STATUS_LISTS_FETCHES, labels, count, u64::saturating_add);
        }
    }

    fn add(&mut self, metric: &'static Metric, values: &[&'static str], value: u64) {
        self.merge(metric, metric.with(values), value, u64::saturating_add);
    }

    fn merge(
        &mut self,
        metric: &'static Metric,
        labels: Vec<Label>,
        value: u64,
        both: fn(u64, u64) -> u64,
    ) {
        self.merge_into((metric.name, labels), metric.kind, value, both);
    }

    fn merge_into(
        &mut self,
        key: (&'static str, Vec<Label>),
        kind: MetricKind,
        value: u64,
        both: fn(u64, u64) -> u64,
    ) {
        self.values
            .entry(key)
            .and_modify(|(_, total)| *total = both(*total, value))
            .or_insert((kind, value));
    }

    fn tell(self) {
        with_recorder(|recorder| {
            for ((name, labels), (kind, total)) in self.values {
                let key = Key::from_parts(name, labels);
                match kind {
                    MetricKind::Counter => {
                        recorder.register_counter(&key, &METADATA).absolute(total)
                    }
                    // Values above 2^53 are rounded. Real values are far lower.
                    MetricKind::Gauge | MetricKind::Histogram => {
                        recorder.register_gauge(&key, &METADATA).set(total as f64);
                    }
                }
            }
        });
    }
}
