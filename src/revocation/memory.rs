//! A store that is the memory of one process.

use std::{fmt, future, sync::Arc};

use super::{Revocable, RevocationStore, StoreError, Verdict, denials::Denials};
use crate::{
    BoxFuture,
    claims::{Clock, SystemClock},
};

/// Revocations in memory, for tests and for services of one process; clones share them.
///
/// They are lost when the process ends: tokens that were revoked before are good again until they expire.
/// Nothing but time removes one: those whose `keep_until` has passed are swept out as new ones come, so
/// that at most about as many of them as of the others take up memory.
#[derive(Clone)]
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    denials: Arc<Denials>,
}

impl MemoryStore {
    /// An empty store, on the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self { clock: Arc::new(SystemClock), denials: Arc::new(Denials::new()) }
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
    fn look_up<'a>(&'a self, token: &'a [Revocable]) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        let revoked = token.iter().any(|what| self.denials.refuse_one(what, &*self.clock));
        let verdict = if revoked { Verdict::Revoked } else { Verdict::NotRevoked };
        Box::pin(future::ready(Ok(verdict)))
    }

    fn revoke<'a>(
        &'a self,
        what: &'a Revocable,
        keep_until: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.denials.insert(what, keep_until, &*self.clock);
        Box::pin(future::ready(Ok(())))
    }
}

impl fmt::Debug for MemoryStore {
    /// Shows how many revocations there are, not which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("revocations", &self.denials.len())
            .finish_non_exhaustive()
    }
}
