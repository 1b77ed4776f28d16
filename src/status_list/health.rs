//! The state of all status lists of an issuer, for health checks and metrics.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::jwks::FetchError;

/// Counts of all lists of an issuer, also of lists that were removed.
#[derive(Default)]
pub(super) struct Counters {
    modified: AtomicU64,
    not_modified: AtomicU64,
    failures: AtomicU64,
    last_error: Mutex<Option<Arc<FetchError>>>,
}

impl Counters {
    pub(super) fn fetched(&self, is_modified: bool) {
        let counter = if is_modified { &self.modified } else { &self.not_modified };
        counter.fetch_add(1, Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn failed(&self, error: &Arc<FetchError>) {
        self.failures.fetch_add(1, Relaxed);
        let error = Some(Arc::clone(error));
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }
}

/// The state of the [`StatusLists`](super::StatusLists) of an issuer at one moment.
#[derive(Clone, Debug)]
pub struct StatusListsHealth {
    lists: usize,
    unusable: usize,
    oldest: Option<Duration>,
    last_error: Option<Arc<FetchError>>,
    modified: u64,
    not_modified: u64,
    failures: u64,
}

impl StatusListsHealth {
    /// `states` has for each list whether it is used now, and its age.
    pub(super) fn new(
        states: impl Iterator<Item = (bool, Option<Duration>)>,
        counters: &Counters,
    ) -> Self {
        let last_error = counters.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut health = Self {
            lists: 0,
            unusable: 0,
            oldest: None,
            last_error,
            modified: counters.modified.load(Relaxed),
            not_modified: counters.not_modified.load(Relaxed),
            failures: counters.failures.load(Relaxed),
        };
        for (is_usable, age) in states {
            health.lists += 1;
            health.unusable += usize::from(!is_usable);
            health.oldest = health.oldest.max(age);
        }
        health
    }

    /// Lists that tokens have named in the last hour.
    #[must_use]
    pub fn lists(&self) -> usize {
        self.lists
    }

    /// Of these, the lists that are not used now, because no good answer has arrived or it is too old. Their tokens are
    /// answered with 503.
    #[must_use]
    pub fn unusable(&self) -> usize {
        self.unusable
    }

    /// The age of the oldest last good answer, counted from when its request was sent. `None` if there was none.
    #[must_use]
    pub fn oldest(&self) -> Option<Duration> {
        self.oldest
    }

    /// The reason why the last attempt for any list failed, or `None` if it succeeded.
    #[must_use]
    pub fn last_error(&self) -> Option<&FetchError> {
        self.last_error.as_deref()
    }

    /// Attempts that returned a list.
    #[must_use]
    pub fn modified(&self) -> u64 {
        self.modified
    }

    /// Attempts in which the server reported by the `ETag` that the list is unchanged.
    #[must_use]
    pub fn not_modified(&self) -> u64 {
        self.not_modified
    }

    /// Attempts that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }
}
