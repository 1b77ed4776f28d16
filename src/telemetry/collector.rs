//! What the recorder is told when it is scraped: what was counted since, and what is held now.

use std::{collections::BTreeMap, fmt, sync::Arc};

use ::metrics::{Key, Label, with_recorder};

#[cfg(feature = "jwks")]
use super::names::label;
use super::{
    Admissions,
    metrics::METADATA,
    names::{self, Kind, Metric, value},
};
#[cfg(feature = "issuing")]
use crate::issuing::TokenIssuer;
#[cfg(feature = "jwks")]
use crate::jwks::JwksHealth;
#[cfg(feature = "redis")]
use crate::revocation::redis::{DenyList, DenyListStats, PushStats, Pushes};
use crate::{Authenticator, RevocationCache, revocation::RevocationStats, token_cache::TokenCache};

/// Tells the recorder of `metrics` what the parts of a service have counted and what they hold.
///
/// Make one for each process, with all its parts, and call [`collect`](Self::collect) before each scrape, or every few
/// seconds where metrics are pushed. Parts of one kind are added up, and none twice: clones of one authenticator or cache
/// are one part. A collector keeps its parts alive, and a new one begins its counts at zero, below which a recorder does
/// not go: a service that builds authenticators anew while it runs has decisions and token cache counted by none of them
/// for long.
///
/// The [module](super) has the table of metrics and an example.
#[derive(Clone, Default)]
#[must_use = "a collector tells nothing until it is asked to"]
pub struct Collector {
    parts: Vec<Arc<dyn Part>>,
}

impl Collector {
    /// A collector without parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what layers made of this authenticator or its clones let through, its token cache, its revocation cache, and
    /// the health of its issuers' keys.
    pub fn add_authenticator<C: Send + Sync + 'static>(
        self,
        authenticator: &Authenticator<C>,
    ) -> Self {
        self.add(authenticator.clone())
    }

    /// Adds a cache that belongs to no authenticator here.
    pub fn add_revocation(self, cache: &RevocationCache) -> Self {
        self.add(cache.clone())
    }

    /// Adds the authenticators of an issuer, which are behind its layers and its router.
    #[cfg(feature = "issuing")]
    #[cfg_attr(docsrs, doc(cfg(feature = "issuing")))]
    pub fn add_token_issuer(self, issuer: &TokenIssuer) -> Self {
        self.add_authenticator(&issuer.authenticator())
            .add_authenticator(issuer.access_authenticator())
    }

    /// Adds pushes of revocations.
    #[cfg(feature = "redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
    pub fn add_pushes(self, pushes: &Pushes) -> Self {
        self.add(pushes.clone())
    }

    /// Adds a deny-list.
    #[cfg(feature = "redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
    pub fn add_deny_list(self, deny_list: &DenyList) -> Self {
        self.add(deny_list.clone())
    }

    fn add(mut self, part: impl Part + 'static) -> Self {
        self.parts.push(Arc::new(part));
        self
    }

    /// Tells the recorder that is installed.
    ///
    /// It counts through what is held, as [`RevocationCache::stats`] does: for every few seconds, not for every request.
    pub fn collect(&self) {
        let mut totals = Totals::default();
        for part in &self.parts {
            part.add_to(&mut totals);
        }
        totals.tell();
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collector").field("parts", &self.parts.len()).finish()
    }
}

trait Part: Send + Sync {
    fn add_to(&self, totals: &mut Totals);
}

impl<C: Send + Sync + 'static> Part for Authenticator<C> {
    fn add_to(&self, totals: &mut Totals) {
        totals.add_admissions(self.admissions());
        totals.add_token_cache(self.verifier().token_cache());
        #[cfg(feature = "jwks")]
        for issuer in self.verifier().issuers() {
            if let Some(keys) = issuer.remote_keys()
                && totals.is_new(keys.place(), Some(issuer.own_name()))
            {
                totals.add_keys(issuer.own_name(), &keys.health());
            }
        }
        if let Some(cache) = self.revocation() {
            cache.add_to(totals);
        }
    }
}

impl Part for RevocationCache {
    fn add_to(&self, totals: &mut Totals) {
        if totals.is_new(self.place(), None) {
            totals.add_revocation(&self.stats());
        }
    }
}

#[cfg(feature = "redis")]
impl Part for Pushes {
    fn add_to(&self, totals: &mut Totals) {
        if totals.is_new(self.place(), None) {
            totals.add_pushes(&self.stats());
        }
    }
}

#[cfg(feature = "redis")]
impl Part for DenyList {
    fn add_to(&self, totals: &mut Totals) {
        if totals.is_new(self.place(), None) {
            totals.add_deny_list(&self.stats());
        }
    }
}

/// What the parts come to.
#[derive(Default)]
struct Totals {
    /// The parts that have been added up, by where they are; keys by their issuer, too, because several may share them.
    seen: Vec<(usize, Option<Arc<str>>)>,
    values: BTreeMap<(&'static str, Vec<Label>), (&'static Metric, u64)>,
}

impl Totals {
    fn is_new(&mut self, place: usize, issuer: Option<&Arc<str>>) -> bool {
        let part = (place, issuer.cloned());
        let is_new = !self.seen.contains(&part);
        if is_new {
            self.seen.push(part);
        }
        is_new
    }

    fn add_admissions(&mut self, admissions: &Admissions) {
        let counts = admissions.counts();
        if !self.is_new(Arc::as_ptr(counts).addr(), None) {
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
        if !self.is_new(std::ptr::from_ref(cache).addr(), None) {
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

    /// An issuer with keys of two places is as well off as with the worse.
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

    #[cfg(feature = "redis")]
    fn add_pushes(&mut self, stats: &PushStats) {
        self.add(&names::PUSHES_CONNECTED, &[], stats.is_connected.into());
        self.add(&names::PUSHES, &[], stats.received);
        self.add(&names::PUSH_CONNECTIONS, &[], stats.connections);
        self.add(&names::PUSH_GAPS, &[], stats.gaps);
        self.add(&names::PUSHES_UNREADABLE, &[], stats.unreadable);
    }

    #[cfg(feature = "redis")]
    fn add_deny_list(&mut self, stats: &DenyListStats) {
        self.add(&names::DENY_LIST_ENTRIES, &[], stats.denials);
        self.merge(&names::DENY_LIST_CURRENT, Vec::new(), stats.is_current.into(), u64::min);
        self.add(&names::DENY_LIST_SNAPSHOTS, &[], stats.snapshots);
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
        self.values
            .entry((metric.name, labels))
            .and_modify(|(_, total)| *total = both(*total, value))
            .or_insert((metric, value));
    }

    fn tell(self) {
        with_recorder(|recorder| {
            for ((name, labels), (metric, total)) in self.values {
                let key = Key::from_parts(name, labels);
                match metric.kind {
                    Kind::Counter => recorder.register_counter(&key, &METADATA).absolute(total),
                    // Beyond 2^53 they are rounded, and nobody holds so much.
                    Kind::Gauge | Kind::Histogram => {
                        recorder.register_gauge(&key, &METADATA).set(total as f64);
                    }
                }
            }
        });
    }
}
