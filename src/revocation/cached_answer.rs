//! A cached "not revoked", with the time of its question.

use super::sync::{AtomicU64, Ordering};
use crate::claims::Moment;

/// When a question was sent to the store.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    /// Read before sending.
    pub(super) at: Moment,
    /// The epoch, read before sending.
    pub(super) epoch: u64,
}

/// The store's "not revoked" about one token.
pub(crate) struct CachedAnswer {
    pub(super) sent: Sent,
    /// The number of the cache that it belongs to.
    asked_by: u64,
    /// Nothing that was published up to this epoch concerns the token. The largest epoch for which this is known.
    looked: AtomicU64,
}

impl CachedAnswer {
    /// The answer to a question sent at `sent`.
    pub(super) fn new(sent: Sent, asked_by: u64) -> Self {
        Self { sent, asked_by, looked: AtomicU64::new(sent.epoch) }
    }

    pub(super) fn asked_by(&self) -> u64 {
        self.asked_by
    }

    /// The epoch up to which nothing that was published concerns the token.
    ///
    /// Relaxed is enough: the number is the whole message (see [`LocalState`](super::local::LocalState)).
    pub(super) fn looked(&self) -> u64 {
        self.looked.load(Ordering::Relaxed)
    }

    /// Records that nothing that was published up to `epoch` concerns the token. The time of the question does not
    /// change.
    pub(super) fn look(&self, epoch: u64) {
        self.looked.fetch_max(epoch, Ordering::Relaxed);
    }
}
