//! Counts and times for the recorder. Without the feature `metrics`, this module does nothing.

#[cfg(feature = "metrics")]
use std::sync::Arc;

#[cfg(feature = "metrics")]
use tokio::time::Instant;

#[cfg(feature = "metrics")]
use super::metrics;
#[cfg(feature = "metrics")]
use crate::counters::Spread;
use crate::revocation::{Unavailable, Verdict};

/// A counter for the hot path. Without the feature `metrics` it is empty.
#[derive(Default)]
pub(crate) struct Tally {
    #[cfg(feature = "metrics")]
    count: Spread,
}

impl Tally {
    #[inline]
    pub(crate) fn add_one(&self) {
        #[cfg(feature = "metrics")]
        self.count.add_one();
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn read(&self) -> u64 {
        self.count.read()
    }
}

/// Why a request was let through.
#[derive(Clone, Copy)]
pub(crate) enum Admitted {
    Token,
    /// Without a credential, at an optional layer.
    Anonymous,
    /// A CORS preflight.
    Preflight,
}

/// How many requests were let through. Clones share the counts.
#[derive(Clone, Default)]
pub(crate) struct Admissions {
    #[cfg(feature = "metrics")]
    counts: Arc<AdmissionCounts>,
}

#[cfg(feature = "metrics")]
#[derive(Default)]
pub(super) struct AdmissionCounts {
    pub(super) token: Spread,
    pub(super) anonymous: Spread,
    pub(super) preflight: Spread,
}

impl Admissions {
    #[inline]
    pub(crate) fn count(&self, admitted: Admitted) {
        #[cfg(feature = "metrics")]
        match admitted {
            Admitted::Token => self.counts.token.add_one(),
            Admitted::Anonymous => self.counts.anonymous.add_one(),
            Admitted::Preflight => self.counts.preflight.add_one(),
        }
    }

    #[cfg(feature = "metrics")]
    pub(super) fn counts(&self) -> &Arc<AdmissionCounts> {
        &self.counts
    }
}

/// Measures the time of one question to a revocation store. If it is dropped before `end`, the question was abandoned.
///
/// It does not use the injected clock, which may be too coarse. No decision depends on this time.
pub(crate) struct LookUpTimer {
    #[cfg(feature = "metrics")]
    store: &'static str,
    #[cfg(feature = "metrics")]
    began: Option<Instant>,
}

impl LookUpTimer {
    #[cfg_attr(not(feature = "metrics"), expect(unused_variables, reason = "nothing is recorded"))]
    pub(crate) fn start(store: &'static str) -> Self {
        Self {
            #[cfg(feature = "metrics")]
            store,
            #[cfg(feature = "metrics")]
            began: Some(Instant::now()),
        }
    }

    #[cfg_attr(not(feature = "metrics"), expect(unused_mut, reason = "nothing is taken"))]
    pub(crate) fn end(mut self, outcome: Result<Verdict, Unavailable>) {
        #[cfg(feature = "metrics")]
        if let Some(began) = self.began.take() {
            metrics::looked_up(self.store, Some(outcome), began.elapsed());
        }
    }
}

#[cfg(feature = "metrics")]
impl Drop for LookUpTimer {
    fn drop(&mut self) {
        if let Some(began) = self.began.take() {
            metrics::looked_up(self.store, None, began.elapsed());
        }
    }
}
