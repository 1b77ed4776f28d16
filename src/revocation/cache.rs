//! The cache in front of a revocation store, for the authenticator and for code that revokes.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use super::{
    OnUnavailable, RevocationEntry, RevocationStats, RevocationStore, StoreError,
    check::{LookupSettings, ProcessState, RevocationChecker},
    entry::OwnedTokenFacts,
};
use crate::{Authenticated, claims::Clock};

/// Remembers the answers of a [`RevocationStore`] and the revocations, by the rules of the [module](super).
///
/// Clones share the denials, the doubts and the counters for ever. They share the cached answers until a `with_*`
/// method is called on one of them. A `with_*` method changes its own clone only, not earlier clones. Give one clone to
/// the [`Authenticator`](crate::Authenticator) and others to the code that revokes.
///
/// While the store fails, every request without a cached answer asks again and waits for the failure, at most the
/// [timeout](Self::with_lookup_timeout). Requests with the same token wait for the same lookup. The cache never pauses
/// its lookups: the first answer ends the outage.
#[derive(Clone)]
pub struct RevocationCache {
    pub(crate) checker: RevocationChecker,
}

impl RevocationCache {
    /// A cache in front of `store`.
    ///
    /// `bound` is the staleness bound: the longest time that a "not revoked" is used, counted from when its question
    /// was sent. A revocation of another process is seen here after `bound` at the latest. With zero the cache
    /// remembers no answer and asks at every request.
    #[must_use]
    pub fn new(store: impl RevocationStore, bound: Duration) -> Self {
        Self { checker: RevocationChecker::new(Some(Arc::new(store)), bound) }
    }

    /// For a service of a single process. Everything is revoked through clones of this cache, and there is no store,
    /// unless [`with_source`](Self::with_source) adds one.
    ///
    /// **Revocations are lost when the process ends**: a token that was revoked is then accepted again until it
    /// expires. A second process does not see them. Without a source, the settings of lookups have no effect.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_bearer::{UnixTime, RevocationCache, revocation::{Revocable, RevocationEntry}};
    ///
    /// let revocation = RevocationCache::in_memory();
    /// let token = Revocable::token("https://issuer.example", "7f3a");
    /// let expires_at = UnixTime::from_secs(4_102_444_800);
    /// revocation.revoke(&RevocationEntry::new(token, expires_at)).await?;
    /// assert_eq!(revocation.stats().denials, 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn in_memory() -> Self {
        Self { checker: RevocationChecker::new(None, Duration::ZERO) }
    }

    /// Also asks `source`, beside the store of [`new`](Self::new) and the sources that were added before. `name`
    /// distinguishes it in events and metrics.
    ///
    /// All are asked at the same time. A token is rejected as soon as one of them answers that it is revoked, even if
    /// another one fails or is slow. If none does, all of them must answer. If one fails or does not answer in time,
    /// [`OnUnavailable`] decides. The staleness bound and the timeout apply to the answers together. With
    /// [`in_memory`](Self::in_memory) the staleness bound is zero, so the sources are asked at every request.
    ///
    /// [`revoke`](Self::revoke) does not write to a source: it writes to the store of [`new`](Self::new) only.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    /// use tower_bearer::{RevocationCache, revocation::MemoryStore};
    ///
    /// let (ours, partner) = (MemoryStore::new(), MemoryStore::new());
    /// let revocation =
    ///     RevocationCache::new(ours, Duration::from_secs(30)).with_source("partner", partner);
    /// assert!(format!("{revocation:?}").contains(r#"sources: ["store", "partner"]"#));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_source(self, name: &'static str, source: impl RevocationStore) -> Self {
        self.with(|settings| settings.sources.push((name, Arc::new(source))))
    }

    /// Takes the time from `clock`. Use the clock of the [`Authenticator`](crate::Authenticator). Default:
    /// [`SystemClock`](crate::claims::SystemClock).
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.with_shared_clock(Arc::new(clock))
    }

    pub(crate) fn with_shared_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|settings| settings.clock = clock)
    }

    /// Decides about a request if the store could not answer. Default: [`OnUnavailable::Deny`].
    #[must_use]
    pub fn with_on_unavailable(self, on_unavailable: OnUnavailable) -> Self {
        self.with(|settings| settings.on_unavailable = on_unavailable)
    }

    /// The timeout of one lookup. After it the store counts as unavailable. Default: 1 second.
    ///
    /// Has no effect on [`revoke`](Self::revoke). Has no effect on a lookup that is polled outside a Tokio runtime,
    /// because it uses the runtime's timer.
    #[must_use]
    pub fn with_lookup_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.lookup_timeout = timeout)
    }

    /// The number of "not revoked" answers to remember. Answers beyond it are forgotten early and asked for again.
    /// Default: 100 000. With zero the cache remembers none.
    ///
    /// Has no effect on denials. Only time removes them, so they use as much memory as they need.
    #[must_use]
    pub fn with_capacity(self, answers: u64) -> Self {
        self.with(|settings| settings.capacity = answers)
    }

    fn with(self, change: impl FnOnce(&mut LookupSettings)) -> Self {
        Self { checker: self.checker.with(change) }
    }

    /// Revokes, in this process and in the store.
    ///
    /// This does not know the verifier, so it revokes without a check: also a key that was removed, or a thing of an
    /// issuer that is not configured. A misspelt name or id is not an error and matches nothing. For subjects, sessions
    /// and keys prefer [`Authenticator::revoke_subject`](crate::Authenticator::revoke_subject) and its siblings, which
    /// check names and compute dates.
    ///
    /// A second revocation never shortens an earlier one and never lowers a cut-off. The revocation is in force in this
    /// process before the store is asked. This has no timeout. If the future is dropped after it was polled, the store
    /// may or may not know of the revocation.
    ///
    /// # Errors
    /// [`RevokeError::Unavailable`] if the store did not confirm. The revocation **stays in force in this process**.
    /// Other processes may not know of it, and it may be lost when this process ends. Call again until it succeeds.
    ///
    /// [`RevokeError::Expired`] if the entry is [obsolete](RevocationEntry::obsolete_after): it has no effect.
    pub async fn revoke(&self, entry: &RevocationEntry) -> Result<(), RevokeError> {
        self.apply(entry);
        if let Some(store) = &self.checker.lookups.settings.store {
            store.revoke(entry).await?;
        }
        // After the store has the entry: if this clock is wrong, other processes still learn of the revocation.
        if entry.obsolete_after() < self.checker.clock().now() {
            return Err(RevokeError::Expired);
        }
        Ok(())
    }

    /// Revokes one token until it has expired: [`revoke`](Self::revoke) with its own id and `exp`.
    ///
    /// Any verifier may have verified the token: the revocation is kept under the name of the token's issuer.
    ///
    /// # Errors
    /// Like [`revoke`](Self::revoke), also if the token has expired in the meantime.
    pub async fn revoke_token<C>(&self, token: &Authenticated<C>) -> Result<(), RevokeError> {
        self.revoke(&OwnedTokenFacts::of(&token.token().facts()).entry()).await
    }

    /// Puts a revocation of another process in force, which the store has already recorded. For code that listens to
    /// the store's stream of revocations. The very next request sees the revocation, or sees it from its
    /// [start](RevocationEntry::starts_at) on, by the clock of this cache.
    pub fn apply(&self, entry: &RevocationEntry) {
        self.checker.apply(entry);
    }

    /// Marks all cached answers as stale. Call it after a gap in your stream of revocations, such as a reconnect.
    ///
    /// Only [`OnUnavailable::ServeStale`] uses stale answers, up to the same age as without a doubt. Denials stay.
    pub fn doubt(&self) {
        self.checker.state.doubt();
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn place(&self) -> usize {
        Arc::as_ptr(&self.checker.state).addr()
    }

    /// Counters, and the numbers of things in memory. For operators, not for every request: it counts all of them.
    #[must_use]
    pub fn stats(&self) -> RevocationStats {
        self.checker.stats()
    }

    /// A handle that does not keep the cache alive. For a task that listens to the store's stream of revocations.
    #[must_use]
    pub fn downgrade(&self) -> WeakRevocationCache {
        let clock = Arc::clone(&self.checker.lookups.settings.clock);
        WeakRevocationCache { state: Arc::downgrade(&self.checker.state), clock }
    }
}

/// A handle that does not keep its cache alive, from [`RevocationCache::downgrade`]. For a task that applies the
/// revocations of other processes and ends when the last clone of the cache is dropped.
#[derive(Clone)]
pub struct WeakRevocationCache {
    state: Weak<ProcessState>,
    clock: Arc<dyn Clock>,
}

impl WeakRevocationCache {
    /// Like [`RevocationCache::apply`]. Returns whether the cache still exists.
    pub fn apply(&self, entry: &RevocationEntry) -> bool {
        let Some(state) = self.state.upgrade() else { return false };
        state.local.apply(entry, &*self.clock);
        true
    }

    /// Like [`RevocationCache::doubt`]. Returns whether the cache still exists.
    pub fn doubt(&self) -> bool {
        self.state.upgrade().map(|state| state.doubt()).is_some()
    }

    /// Whether a clone of the cache still exists.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.state.strong_count() > 0
    }
}

impl fmt::Debug for WeakRevocationCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakRevocationCache").field("is_alive", &self.is_alive()).finish()
    }
}

impl fmt::Debug for RevocationCache {
    /// Shows the settings, not the cached answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LookupSettings { sources, bound, on_unavailable, lookup_timeout, capacity, .. } =
            &self.checker.lookups.settings;
        let sources: Vec<_> = sources.iter().map(|(name, _)| name).collect();
        f.debug_struct("RevocationCache")
            .field("sources", &sources)
            .field("bound", bound)
            .field("on_unavailable", on_unavailable)
            .field("lookup_timeout", lookup_timeout)
            .field("capacity", capacity)
            .finish_non_exhaustive()
    }
}

/// The reason why a revocation failed or has no effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// The [`Authenticator`](crate::Authenticator) has no [`RevocationCache`], so it never
    /// looks up a revocation.
    #[error("the authenticator has no revocation cache: call `Authenticator::with_revocation`")]
    NoRevocation,
    /// The verifier has no issuer of this name.
    #[error("not an issuer of the verifier: expected one of {known:?}")]
    UnknownIssuer {
        /// The names of the issuers that it has.
        known: Vec<Arc<str>>,
    },
    /// The issuer has no key with this id or thumbprint now.
    #[error("not an id or thumbprint of the issuer's keys: expected one of {known:?}")]
    UnknownKey {
        /// The ids and thumbprints of the keys that it has, both of which are public. For HMAC secrets only the ids:
        /// see [`Key::thumbprint`](crate::Key::thumbprint).
        known: Vec<Arc<str>>,
    },
    /// Every token that the revocation could match has expired. Check that the entry has the latest `exp` of the
    /// tokens, and that the clock is right.
    #[error("the revocation matches no token: expected a date of expiry that is not in the past")]
    Expired,
    /// The store did not confirm. The revocation **is in force in this process**. Call again until it succeeds.
    #[error(
        "the store did not confirm the revocation: it is in force in this process only, so call again"
    )]
    Unavailable(#[from] StoreError),
}
