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
//!    never overwritten by one and never evicted: it is forgotten only when the last token concerned has
//!    been expired for [`MAX_LEEWAY`](crate::claims::MAX_LEEWAY) and a minute.
//! 4. **A store that cannot answer is never a silent pass.** What happens instead is [`OnUnavailable`]: by
//!    default the request is refused as unavailable (503), and no setting ever overrides a known denial.
//! 5. **Doubt makes old answers stale.** After [`RevocationCache::doubt`] no answer to an earlier question is
//!    used as fresh.
//! 6. **Concurrent requests with one token ask once.**
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use tower_bearer::revocation::{MemoryStore, Revocable, RevocationCache};
//!
//! let revocation = RevocationCache::new(MemoryStore::new(), Duration::from_secs(30));
//!
//! // A clone goes to the `Authenticator`, this one to the log-out handler.
//! let token = Revocable::Token { issuer: "https://issuer.example".into(), id: "7f3a".into() };
//! let expires_at = 4_102_444_800;
//! revocation.revoke(token, expires_at).await?;
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
mod dated;
mod denials;
mod in_flight;
mod known;
mod memory;
pub mod outbox;
mod pending;
mod revocable;
mod revoke_error;
mod stats;
mod sync;
#[cfg(test)]
mod tests;

use std::{error::Error, sync::Arc, time::Duration};

pub(crate) use self::answers::RevocationMemo;
pub(crate) use self::cache::{Answer, Check};
pub use self::cache::{OnUnavailable, RevocationCache, WeakRevocationCache};
pub use self::memory::MemoryStore;
pub use self::revocable::Revocable;
pub(crate) use self::revocable::TokenFacts;
pub use self::revoke_error::RevokeError;
pub use self::stats::RevocationStats;
use crate::{BoxFuture, claims::MAX_LEEWAY};

/// How long an entry is kept after the last token that it concerns has expired: the longest leeway, and a minute because
/// a token may have been verified a little earlier.
pub const RETENTION_MARGIN: Duration = MAX_LEEWAY.saturating_add(Duration::from_secs(60));

/// What a store answers about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one of what was asked about is revoked.
    Revoked,
    /// None is.
    NotRevoked,
    /// The token itself is revoked from this Unix second on, and nothing else of it is revoked now.
    ///
    /// The second may have passed. A [`RevocationCache`] remembers it, and compares it with its own clock at every
    /// request. Only a [`Revocable::Token`] can have such a start.
    RevokedFrom(u64),
}

/// A place that knows what is revoked.
///
/// A look-up that is sent after [`revoke`](Self::revoke) has returned, from any process, answers
/// [`Verdict::Revoked`]. Where it may be answered by a replica that lags behind, the lag adds to the bound
/// of every [`RevocationCache`] in front of it.
pub trait RevocationStore: Send + Sync + 'static {
    /// Whether any of `token` is revoked: all that one token can be revoked by, asked in one go.
    ///
    /// A [`Revocable::Subject`] is revoked if a cut-off of that subject is at its `issued_at` or later. A store that
    /// knows that the token will be revoked answers [`Verdict::RevokedFrom`].
    ///
    /// The future may be dropped before it is done. It must not block the thread: no time limit can end
    /// that.
    ///
    /// # Errors
    /// When the store cannot answer. It must not guess: what an error means is the caller's
    /// [`OnUnavailable`].
    fn look_up<'a>(&'a self, token: &'a [Revocable]) -> BoxFuture<'a, Result<Verdict, StoreError>>;

    /// Revokes, and returns when the revocation can no longer be lost.
    ///
    /// `keep_until` is in seconds since the Unix epoch: the store may forget the revocation after it, and
    /// need not record one whose time has already passed. To revoke again never weakens: the later
    /// `keep_until` and, for a [`Revocable::Subject`], the later cut-off hold: together, so that a cut-off of
    /// `u64::MAX` holds until the later date of a lesser one.
    ///
    /// # Errors
    /// When the revocation was not, or may not have been, recorded.
    fn revoke<'a>(
        &'a self,
        what: &'a Revocable,
        keep_until: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

impl<T: RevocationStore + ?Sized> RevocationStore for Arc<T> {
    fn look_up<'a>(&'a self, token: &'a [Revocable]) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        (**self).look_up(token)
    }

    fn revoke<'a>(
        &'a self,
        what: &'a Revocable,
        keep_until: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        (**self).revoke(what, keep_until)
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

    /// The store gave no answer within its time box.
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
