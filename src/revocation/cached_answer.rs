//! A cached "not revoked", and when it was asked for.

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
    /// Which cache it belongs to, by its number.
    asked_by: u64,
    /// The latest epoch for which it is known that nothing published up to it concerns the token.
    looked: AtomicU64,
}

impl CachedAnswer {
    /// What came of a question that was sent then.
    pub(super) fn new(sent: Sent, asked_by: u64) -> Self {
        Self { sent, asked_by, looked: AtomicU64::new(sent.epoch) }
    }

    pub(super) fn asked_by(&self) -> u64 {
        self.asked_by
    }

    /// The epoch up to which nothing published concerns the token.
    ///
    /// Relaxed will do: the number is itself the whole message (see [`LocalState`](super::local::LocalState)).
    pub(super) fn looked(&self) -> u64 {
        self.looked.load(Ordering::Relaxed)
    }

    /// Nothing that was published up to `epoch` concerns the token. When it was sent stays as it is.
    pub(super) fn look(&self, epoch: u64) {
        self.looked.fetch_max(epoch, Ordering::Relaxed);
    }
}
