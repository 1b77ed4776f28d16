//! Counters for operators.

use crate::counters::{Counter, Spread};

/// Counts the actions of a [`RevocationCache`](super::RevocationCache) and its clones since they were created, and the
/// things that they hold now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RevocationStats {
    /// Checks that a cached "not revoked" answered: cache hits.
    pub hits: u64,
    /// Questions sent to the store: cache misses that did not join a lookup.
    pub look_ups: u64,
    /// Checks that joined a lookup in flight.
    pub joined: u64,
    /// Lookups that the store answered with an error or a panic.
    pub failures: u64,
    /// Checks that got no answer before the timeout.
    pub timed_out: u64,
    /// Checks that were answered as unavailable after a failure.
    pub unavailable: u64,
    /// Checks that passed after a failure because of [`OnUnavailable::Allow`](super::OnUnavailable::Allow).
    pub allowed: u64,
    /// Checks that passed after a failure because of [`OnUnavailable::ServeStale`](super::OnUnavailable::ServeStale).
    pub served_stale: u64,
    /// Denials in memory now, including those that start in the future. Denials that are over count until they are
    /// swept.
    pub denials: u64,
    /// Cached "not revoked" answers in memory now, fresh or stale. Approximate.
    pub answers: u64,
    /// Lookups in flight now.
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
    /// The counters, without the things that are held now.
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
