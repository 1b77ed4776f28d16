//! Checks whether a token is revoked, for the [`Authenticator`](crate::Authenticator), and revokes tokens, for your
//! code.
//!
//! A [`RevocationStore`] knows what is revoked. A [`RevocationCache`] in front of it keeps these rules:
//!
//! 1. **The very next request sees a revocation that this process made.** Cached answers and lookups in flight cannot
//!    hide it, and it does not matter whether the store recorded it. A revocation that starts in the future is seen
//!    from the second of its start on, by the wall clock.
//! 2. **A request sees a revocation that another process made after the staleness bound at the latest.** The cache
//!    rejects a request that starts more than the bound after the store recorded the revocation. The age of a "not
//!    revoked" counts from when its question was *sent*. With a bound of zero the cache asks the store at every
//!    request.
//! 3. **Denials win and outlive the token.** The cache keeps denials apart from the answers. An answer never overwrites
//!    a denial, and a denial is never evicted. The cache forgets a denial only when its entry is
//!    [obsolete](RevocationEntry::obsolete_after). That is [`KEEP_AFTER_EXPIRY`] after the last affected token has
//!    expired.
//! 4. **The cache fails closed.** If the store cannot answer, [`OnUnavailable`] decides. By default the request is
//!    rejected as unavailable (503). No setting overrides a known denial.
//! 5. **Doubt makes old answers stale.** After [`RevocationCache::doubt`], an answer to an earlier question is not used
//!    as fresh.
//! 6. **Concurrent requests with one token share one lookup.**
//! 7. **Any of several sources can reject.** With [`RevocationCache::with_source`] a token is rejected as soon as one
//!    source answers that it is revoked. It passes only if every source has answered.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use tower_bearer::{
//!     UnixTime,
//!     revocation::{MemoryStore, Revocable, RevocationCache, RevocationEntry},
//! };
//!
//! let revocation = RevocationCache::new(MemoryStore::new(), Duration::from_secs(30));
//!
//! // A clone goes to the `Authenticator`, this one to the log-out handler.
//! let token = Revocable::token("https://issuer.example", "7f3a");
//! let expires_at = UnixTime::from_secs(4_102_444_800);
//! revocation.revoke(&RevocationEntry::new(token, expires_at)).await?;
//!
//! assert_eq!(revocation.stats().denials, 1);
//! # Ok(()) }
//! ```
//!
//! Dates of denials are wall-clock times, as `exp` is. The age of an answer is the larger of the ages by the monotonic
//! clock and by the wall clock, to the tick of the [`Clock`](crate::claims::Clock).
//!
//! A lookup waits for the store, or for another thread that sends the same lookup. The timer of the Tokio runtime that
//! polls the lookup limits this wait. The runtime must have it enabled (`enable_time`): a runtime without it panics.
//! Outside a runtime only the store limits the wait.

mod cache;
mod check;
mod entry;
mod in_flight;
mod local_state;
mod memory_store;
pub mod outbox;
mod stats;
mod sync;
#[cfg(test)]
mod tests;

use std::{error::Error, sync::Arc};

pub use self::cache::{RevocationCache, RevokeError, WeakRevocationCache};
pub use self::check::OnUnavailable;
pub(crate) use self::check::{RevocationCheck, RevocationMemo};
pub use self::entry::{
    KEEP_AFTER_EXPIRY, Lookup, Revocable, RevocableKind, RevocationEntry, Verdict,
};
pub(crate) use self::entry::{TokenFacts, Unavailable};
pub use self::memory_store::MemoryStore;
pub use self::stats::RevocationStats;
use crate::BoxFuture;

/// A store of revocations.
///
/// A lookup that any process sends after [`revoke`](Self::revoke) has returned answers [`Verdict::Revoked`]. If a
/// replica that lags behind may answer it, its lag adds to the bound of every [`RevocationCache`] in front of the
/// store.
///
/// To write your own store, see [`guide::revocation_store`](crate::guide::revocation_store). The feature `test-util` has
/// a conformance suite for it, `test_util::revocation_conformance`.
pub trait RevocationStore: Send + Sync + 'static {
    /// Checks in one step whether any of the [things](Lookup::things) of a token is revoked.
    ///
    /// An entry about a subject counts if its [cut-off](RevocationEntry::cut_off) is at the token's
    /// [`issued_at`](Lookup::issued_at) or later. A store answers [`Verdict::RevokedFrom`] if it knows that the token
    /// will be revoked later. [`Lookup::verdict`] applies both rules.
    ///
    /// The caller may drop the future before it is done. The future must not block the thread: a timeout cannot end
    /// that.
    ///
    /// # Errors
    /// If the store cannot answer. The store must not guess: the caller's [`OnUnavailable`] decides what an error
    /// means.
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>>;

    /// Revokes, and returns when the revocation can no longer be lost.
    ///
    /// The store keeps the entry through its [`obsolete_after`](RevocationEntry::obsolete_after), and adds nothing to
    /// that date. After it the store may forget the entry. The store need not record an entry that is already obsolete.
    ///
    /// A second revocation of the same thing never weakens the first. The latest `obsolete_after`, the latest cut-off
    /// and the earliest start are kept, and they apply together. Example: a cut-off of
    /// [`UnixTime::MAX`](crate::UnixTime::MAX) applies until the later date of an entry with an earlier cut-off.
    ///
    /// # Errors
    /// If the revocation was not recorded, or may not have been.
    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl<T: RevocationStore + ?Sized> RevocationStore for Arc<T> {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        (**self).look_up(lookup)
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        (**self).revoke(entry)
    }
}

/// The store could not answer. Keeps the store's own error as its source.
#[derive(Debug, thiserror::Error)]
#[error("the revocation store {}", if .source.is_some() { "failed" } else { "did not answer in time" })]
pub struct StoreError {
    /// `None` if the store did not answer in time.
    source: Option<Box<dyn Error + Send + Sync>>,
    kind: &'static str,
    nothing_written: bool,
}

impl StoreError {
    /// Wraps the error of a store's client.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::of_kind("failed", source)
    }

    /// Like [`new`](Self::new), with a fixed name for the kind of failure, such as `connection_lost`.
    ///
    /// Events and metrics contain the kind and never the source, because the error texts of other crates may quote the
    /// data that they were sent.
    #[must_use]
    pub fn of_kind(kind: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), kind, nothing_written: false }
    }

    /// The store did not answer within its timeout.
    #[must_use]
    pub fn timed_out() -> Self {
        Self { source: None, kind: "timed_out", nothing_written: false }
    }

    /// States that the store has certainly written nothing: it did not begin a transaction, or it rolled the
    /// transaction back.
    ///
    /// Default: the failed step may have been written, so the process stops trusting its cached answers. Use this only
    /// if the failure proves that nothing was written. Then an overloaded store does not also cost the process its
    /// cache.
    #[must_use]
    pub fn with_nothing_written(mut self) -> Self {
        self.nothing_written = true;
        self
    }

    /// Whether the store has certainly written nothing.
    #[must_use]
    pub fn is_nothing_written(&self) -> bool {
        self.nothing_written
    }

    /// The fixed name of the kind of failure. It is `failed` for [`new`](Self::new) and `timed_out` for
    /// [`timed_out`](Self::timed_out).
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}
