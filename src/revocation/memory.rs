//! A store that is the memory of one process.

use std::{fmt, future, sync::Arc};

use super::{Lookup, RevocationEntry, RevocationStore, StoreError, Verdict, local::LocalState};
use crate::{
    BoxFuture,
    claims::{Clock, SystemClock},
};

/// Revocations in memory, for tests; clones share them. A service of one process needs no store: see
/// [`RevocationCache::in_memory`](super::RevocationCache::in_memory).
///
/// They are lost when the process ends: tokens that were revoked before are good again until they expire.
/// Nothing but time removes one: [obsolete](RevocationEntry::obsolete_after) ones are swept out as new ones come, so
/// that at most about as many of them as of the others take up memory.
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    local: Arc<LocalState>,
}

impl MemoryStore {
    /// An empty store, on the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self { clock: Arc::new(SystemClock), local: Arc::new(LocalState::new()) }
    }

    /// Tells by `clock` which revocations have had their time. Default: [`SystemClock`].
    ///
    /// Clones made before keep their clock, and share the revocations.
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
    /// Shows how many revocations there are, not which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("revocations", &self.local.denials())
            .finish_non_exhaustive()
    }
}
