//! The state of an engine, for the engine and for health checks.

use std::{fmt, sync::Arc, time::Duration};

use super::{FetchError, schedule};
use crate::{KeySet, claims::Moment};

/// The history of the engine's task. Only the task changes it.
#[derive(Clone, Default)]
pub(crate) struct Status {
    /// Attempts that began.
    pub(crate) begun: u64,
    /// Attempts that ended.
    pub(crate) ended: u64,
    failures: u64,
    not_modified: u64,
    failures_in_a_row: u32,
    /// When the last attempt began.
    last_attempt: Option<Moment>,
    /// When the last failure was known, and how long after it the next attempt is due.
    failed: Option<(Moment, Duration)>,
    last_error: Option<Arc<FetchError>>,
    fetched: Option<Fetch>,
}

/// The last good answer.
#[derive(Clone, Copy)]
pub(crate) struct Fetch {
    /// When the question was sent.
    pub(crate) sent: Moment,
    pub(crate) lifetime: Duration,
}

impl Status {
    pub(crate) fn begin(&mut self, now: Moment) {
        self.begun += 1;
        self.last_attempt = Some(now);
    }

    pub(crate) fn succeed(&mut self, fetch: Fetch, is_modified: bool) {
        self.ended = self.begun;
        self.not_modified += u64::from(!is_modified);
        self.failures_in_a_row = 0;
        self.failed = None;
        self.last_error = None;
        self.fetched = Some(fetch);
    }

    pub(crate) fn fail(&mut self, error: Arc<FetchError>, now: Moment) {
        self.ended = self.begun;
        self.failures += 1;
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        self.failed = Some((now, schedule::pause(self.failures_in_a_row)));
        self.last_error = Some(error);
    }

    pub(crate) fn is_fetching(&self) -> bool {
        self.begun != self.ended
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.last_error.is_some()
    }

    /// Whether an unknown key may trigger an attempt.
    pub(crate) fn may_be_asked(&self, now: Moment) -> bool {
        self.last_attempt.is_none_or(|attempt| now.age_of(attempt) >= schedule::COOL_DOWN)
    }

    /// The age of the last good answer.
    pub(crate) fn age(&self, now: Moment) -> Option<Duration> {
        self.fetched.map(|fetch| now.age_of(fetch.sent))
    }

    /// The time until the next attempt that no request triggers.
    pub(crate) fn due_in(&self, now: Moment, longest_interval: Duration) -> Duration {
        let refresh = || {
            let Fetch { sent, lifetime } = self.fetched?;
            Some((sent, schedule::refresh_after(lifetime, longest_interval)))
        };
        self.failed
            .or_else(refresh)
            .map_or(Duration::ZERO, |(since, wait)| wait.saturating_sub(now.age_of(since)))
    }

    /// How long the keys may still be used.
    pub(crate) fn usable_for(&self, now: Moment, stale_limit: Duration) -> Duration {
        self.fetched.map_or(Duration::ZERO, |fetch| {
            fetch.usable(stale_limit).saturating_sub(now.age_of(fetch.sent))
        })
    }

    pub(crate) fn health(
        &self,
        now: Moment,
        stale_limit: Duration,
        keys: Arc<KeySet>,
        is_running: bool,
    ) -> JwksHealth {
        JwksHealth {
            keys,
            age: self.age(now),
            is_fresh: self.fetched.is_some_and(|fetch| now.age_of(fetch.sent) < fetch.lifetime),
            is_usable: !self.usable_for(now, stale_limit).is_zero(),
            is_running,
            last_error: self.last_error.clone(),
            attempts: self.begun,
            failures: self.failures,
            not_modified: self.not_modified,
            #[cfg(feature = "metrics")]
            modified: self.ended.saturating_sub(self.failures).saturating_sub(self.not_modified),
        }
    }
}

impl Fetch {
    /// How long the keys may be used, counted from when the question was sent.
    pub(crate) fn usable(self, stale_limit: Duration) -> Duration {
        self.lifetime.saturating_add(stale_limit)
    }
}

/// The state of a [`RemoteJwks`](super::RemoteJwks) at one moment.
#[derive(Clone)]
pub struct JwksHealth {
    keys: Arc<KeySet>,
    age: Option<Duration>,
    is_fresh: bool,
    is_usable: bool,
    is_running: bool,
    last_error: Option<Arc<FetchError>>,
    attempts: u64,
    failures: u64,
    not_modified: u64,
    #[cfg(feature = "metrics")]
    modified: u64,
}

impl JwksHealth {
    /// The age of the last good answer, counted from when the question was sent. `None` before the first good answer.
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.age
    }

    /// Whether the keys are younger than the lifetime that the server gave them.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Whether the keys are used. If not, tokens are answered with 503: no keys have arrived yet, or they are older
    /// than the [limit](super::RemoteJwks::with_stale_limit) allows.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.is_usable
    }

    /// Whether the background task is running.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// The reason why the last attempt failed, or `None` if it succeeded. If no key of the document is usable,
    /// [`FetchError::Unusable`] holds [`ConfigError::NoUsableKey`](crate::ConfigError::NoUsableKey), which names each
    /// key with its reason.
    #[must_use]
    pub fn last_error(&self) -> Option<&FetchError> {
        self.last_error.as_deref()
    }

    /// The ids of the last fetched keys, in their order. Keys without an id are left out. The id of an RSA key without
    /// `alg` occurs once for each of its [algorithms](super::RemoteJwks::with_rsa_algorithms).
    pub fn key_ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(|key| key.key_id())
    }

    /// The last fetched keys, with the keys of the document that were [left out](KeySet::refused).
    #[must_use]
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// Attempts that began. With discovery, an attempt may take up to three exchanges.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.attempts
    }

    /// Attempts that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Attempts that returned keys.
    #[cfg(feature = "metrics")]
    pub(crate) fn modified(&self) -> u64 {
        self.modified
    }

    /// Attempts in which the server reported by the `ETag` that the keys are unchanged.
    #[must_use]
    pub fn not_modified(&self) -> u64 {
        self.not_modified
    }
}

impl fmt::Debug for JwksHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwksHealth")
            .field("keys", &self.keys)
            .field("age", &self.age)
            .field("is_fresh", &self.is_fresh)
            .field("is_usable", &self.is_usable)
            .field("is_running", &self.is_running)
            .field("last_error", &self.last_error)
            .field("attempts", &self.attempts)
            .field("failures", &self.failures)
            .field("not_modified", &self.not_modified)
            .finish()
    }
}
