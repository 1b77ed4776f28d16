//! Counters for operators.

use crate::counters::{Counter, Spread};

/// What a [`RevocationCache`](super::RevocationCache) and its clones have done since they were made, and
/// what they hold now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevocationStats {
    /// Checks that a remembered "not revoked" answered.
    pub hits: u64,
    /// Questions sent to the store.
    pub look_ups: u64,
    /// Checks that joined a question already under way.
    pub joined: u64,
    /// Questions that the store answered with an error or a panic.
    pub failures: u64,
    /// Checks that got no answer in time.
    pub timed_out: u64,
    /// Checks answered "unavailable" after a failure.
    pub unavailable: u64,
    /// Checks let through after a failure by [`OnUnavailable::Allow`](super::OnUnavailable::Allow).
    pub allowed: u64,
    /// Checks let through after a failure by
    /// [`OnUnavailable::ServeStale`](super::OnUnavailable::ServeStale).
    pub served_stale: u64,
    /// Denials in memory now. Those whose time is over are counted until they are swept out.
    pub denials: u64,
    /// Remembered "not revoked" in memory now, fresh or stale; approximately.
    pub answers: u64,
    /// Questions under way now.
    pub in_flight: u64,
}

/// The counters behind [`RevocationStats`].
#[derive(Default)]
pub(super) struct Counters {
    pub(super) hits: Spread,
    pub(super) look_ups: Counter,
    pub(super) joined: Counter,
    pub(super) failures: Counter,
    pub(super) timed_out: Counter,
    pub(super) unavailable: Counter,
    pub(super) allowed: Counter,
    pub(super) served_stale: Counter,
}

impl Counters {
    /// The counts, without what is held now.
    pub(super) fn read(&self) -> RevocationStats {
        RevocationStats {
            hits: self.hits.read(),
            look_ups: self.look_ups.read(),
            joined: self.joined.read(),
            failures: self.failures.read(),
            timed_out: self.timed_out.read(),
            unavailable: self.unavailable.read(),
            allowed: self.allowed.read(),
            served_stale: self.served_stale.read(),
            ..RevocationStats::default()
        }
    }
}
