//! Revocation: what can be revoked, who is asked, and what is remembered of the answers.
//!
//! A [`RevocationStore`] knows what is revoked; a [`RevocationCache`] stands in front of it and keeps a
//! contract:
//!
//! 1. **A revocation made in this process is seen by the very next request**, whatever was cached or is
//!    being asked when it is made, and whether or not the store could be told.
//!    A revocation that starts in the future is seen from the second of its start on, by the wall clock.
//! 2. **A revocation made elsewhere is seen after the bound at the latest**: a request that starts more than
//!    the bound after the store recorded it is refused. "Not revoked" is an answer with a date, and the date
//!    is when the question was *sent*. A bound of zero asks the store at every request.
//! 3. **Denials win and outlive the token.** What is known to be revoked is kept apart from the answers, is
//!    never overwritten by one and never evicted: it is forgotten only when its entry is
//!    [obsolete](RevocationEntry::obsolete_after), which is [`KEEP_AFTER_EXPIRY`] after the last token concerned has
//!    expired.
//! 4. **A store that cannot answer is never a silent pass.** What happens instead is [`OnUnavailable`]: by
//!    default the request is refused as unavailable (503), and no setting ever overrides a known denial.
//! 5. **Doubt makes old answers stale.** After [`RevocationCache::doubt`] no answer to an earlier question is
//!    used as fresh.
//! 6. **Concurrent requests with one token ask once.**
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
//! Dates of denials are wall-clock times, as `exp` is. Ages of answers are measured by the monotonic or the wall
//! clock, whichever says more, to the tick of the [`Clock`](crate::claims::Clock).
//! Look-ups that have to wait, for the store or for another thread that asks the same, are limited in time by the
//! timer of the Tokio runtime that polls them, which has to be enabled (`enable_time`): a runtime without it panics.
//! Outside a runtime nothing limits them but the store.

mod answers;
mod cache;
mod cached_answer;
mod denials;
mod entry;
mod in_flight;
mod local;
mod lookup;
mod memory;
pub mod outbox;
mod pending;
mod revocable;
mod revoke_error;
mod stats;
mod sync;
#[cfg(test)]
mod tests;

use std::{error::Error, sync::Arc};

pub(crate) use self::answers::RevocationMemo;
pub(crate) use self::cache::Check;
pub use self::cache::{OnUnavailable, RevocationCache, WeakRevocationCache};
pub use self::entry::{KEEP_AFTER_EXPIRY, RevocationEntry};
pub use self::lookup::{Lookup, Verdict};
pub(crate) use self::lookup::{TokenFacts, Unavailable};
pub use self::memory::MemoryStore;
pub use self::revocable::{Revocable, RevocableKind};
pub use self::revoke_error::RevokeError;
pub use self::stats::RevocationStats;
use crate::BoxFuture;

/// A place that knows what is revoked.
///
/// A look-up that is sent after [`revoke`](Self::revoke) has returned, from any process, answers
/// [`Verdict::Revoked`]. Where it may be answered by a replica that lags behind, the lag adds to the bound
/// of every [`RevocationCache`] in front of it.
pub trait RevocationStore: Send + Sync + 'static {
    /// Whether any of the [things](Lookup::things) of a token is revoked, asked in one go.
    ///
    /// An entry about a subject counts if its [cut-off](RevocationEntry::cut_off) is at the token's
    /// [`issued_at`](Lookup::issued_at) or later. A store that knows that the token will be revoked answers
    /// [`Verdict::RevokedFrom`]. [`Lookup::verdict`] applies both rules.
    ///
    /// The future may be dropped before it is done. It must not block the thread: no timeout can end that.
    ///
    /// # Errors
    /// When the store cannot answer. It must not guess: the caller's [`OnUnavailable`] decides what an error means.
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>>;

    /// Revokes, and returns when the revocation can no longer be lost.
    ///
    /// The store keeps the entry through its [`obsolete_after`](RevocationEntry::obsolete_after), to which it adds
    /// nothing. It may forget the entry after that date, and need not record one that is obsolete already.
    ///
    /// To revoke the same thing again never weakens: the latest `obsolete_after`, the latest cut-off and the earliest
    /// start hold. They hold together, so that a cut-off of [`UnixTime::MAX`](crate::UnixTime::MAX) holds until the
    /// later date of an entry with an earlier cut-off.
    ///
    /// # Errors
    /// When the revocation was not, or may not have been, recorded.
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

/// A store that could not answer; keeps the store's own error as its source.
#[derive(Debug, thiserror::Error)]
#[error("the revocation store {}", if .source.is_some() { "failed" } else { "did not answer in time" })]
pub struct StoreError {
    /// `None`: it did not answer in time.
    source: Option<Box<dyn Error + Send + Sync>>,
    kind: &'static str,
    nothing_written: bool,
}

impl StoreError {
    /// Wraps the error of a store's client.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::of_kind("failed", source)
    }

    /// As [`new`](Self::new), with a fixed name for the kind of failure, such as `connection_lost`.
    ///
    /// Events and metrics name the kind and never the source, because texts of other crates may quote what they were
    /// sent.
    #[must_use]
    pub fn of_kind(kind: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), kind, nothing_written: false }
    }

    /// The store gave no answer within its timeout.
    #[must_use]
    pub fn timed_out() -> Self {
        Self { source: None, kind: "timed_out", nothing_written: false }
    }

    /// States that the store has certainly written nothing: no transaction was begun, or it was rolled back.
    ///
    /// By default a failed step may have been taken, and the process then distrusts its cached answers. Use this only
    /// if the failure proves the opposite, so that an overloaded store does not cost the process its cache as well.
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

    /// The fixed name of the kind of failure: `failed` for [`new`](Self::new), `timed_out` for
    /// [`timed_out`](Self::timed_out).
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }
}
