//! A revocation store in the memory of one process, for tests.

use std::{fmt, future, sync::Arc};

use super::{
    Lookup, RevocationEntry, RevocationStore, StoreError, Verdict, local_state::LocalState,
};
use crate::{
    BoxFuture,
    claims::{Clock, SystemClock},
};

/// Revocations in memory, for tests. Clones share them. A service of one process does not need a store: see
/// [`RevocationCache::in_memory`](super::RevocationCache::in_memory).
///
/// They are lost when the process ends: revoked tokens are then accepted again until they expire. Only time removes a
/// revocation. [Obsolete](RevocationEntry::obsolete_after) ones are swept when new ones arrive, so at most about half
/// of the revocations in memory are obsolete.
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    local: Arc<LocalState>,
}

impl MemoryStore {
    /// An empty store with the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self { clock: Arc::new(SystemClock), local: Arc::new(LocalState::new()) }
    }

    /// Reads the time from `clock`, which decides when a revocation starts and when it is obsolete. Default:
    /// [`SystemClock`].
    ///
    /// Earlier clones keep their clock, and share the revocations.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl RevocationStore for MemoryStore {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        Box::pin(future::ready(Ok(self.local.look_up(lookup, &*self.clock))))
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        self.local.apply(entry, &*self.clock);
        Box::pin(future::ready(Ok(())))
    }
}

impl fmt::Debug for MemoryStore {
    /// Shows the number of revocations, not their content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("revocations", &self.local.denials())
            .finish_non_exhaustive()
    }
}
