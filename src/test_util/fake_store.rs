//! A revocation store whose answers a test chooses.

use std::{
    fmt,
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

use crate::{
    BoxFuture,
    revocation::{Lookup, RevocationEntry, RevocationStore, StoreError, Verdict},
};

/// A revocation store that a test controls. Clones are the same store.
///
/// It does not record revocations, so it may answer "not revoked" about a revoked token. For a real store in tests use
/// [`MemoryStore`](crate::revocation::MemoryStore).
///
/// The requests see it through a [`RevocationCache`](crate::RevocationCache). The cache uses a "not revoked" for as
/// long as the staleness bound, or for no time if the bound is zero. It keeps a "revoked" for ever.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use std::time::Duration;
///
/// use tower_bearer::{
///     RejectionKind, RevocationCache,
///     claims::UntypedClaims,
///     revocation::Verdict,
///     test_util::{FakeStore, StoreBehavior, TestIssuer},
/// };
///
/// let issuer = TestIssuer::new();
/// let store = FakeStore::new(StoreBehavior::Answers(Verdict::NotRevoked));
/// let revocation = RevocationCache::new(store.clone(), Duration::ZERO);
/// let authenticator = issuer.authenticator::<UntypedClaims>().with_revocation(revocation);
///
/// let token = issuer.token().issue();
/// assert!(authenticator.authenticate(&token).await.is_ok());
///
/// store.set_behavior(StoreBehavior::Fails);
/// let rejected = authenticator.authenticate(&token).await.unwrap_err();
/// assert_eq!(rejected.kind(), RejectionKind::RevocationUnavailable);
/// assert_eq!(store.lookups(), 2);
/// # }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
#[derive(Clone)]
pub struct FakeStore(Arc<Mutex<FakeStoreState>>);

/// How a [`FakeStore`] reacts to a lookup or a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreBehavior {
    /// Gives this answer about every token. The store accepts revocations and ignores them.
    Answers(Verdict),
    /// Fails at once.
    Fails,
    /// Does not answer until [`set_behavior`](FakeStore::set_behavior) sets another behavior. That behavior then answers.
    Hangs,
    /// Panics, as the client of a real store might.
    Panics,
}

struct FakeStoreState {
    behavior: StoreBehavior,
    lookups: usize,
    waiting: Vec<Waker>,
}

impl FakeStore {
    /// A store with this behavior.
    #[must_use]
    pub fn new(behavior: StoreBehavior) -> Self {
        Self(Arc::new(Mutex::new(FakeStoreState { behavior, lookups: 0, waiting: Vec::new() })))
    }

    /// Replaces the behavior, also for the calls that wait now.
    pub fn set_behavior(&self, behavior: StoreBehavior) {
        let mut state = self.state();
        state.behavior = behavior;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The number of lookups so far.
    #[must_use]
    pub fn lookups(&self) -> usize {
        self.state().lookups
    }

    fn answer(&self) -> impl Future<Output = Result<Verdict, StoreError>> {
        poll_fn(|cx| {
            let mut state = self.state();
            match state.behavior {
                StoreBehavior::Answers(verdict) => Poll::Ready(Ok(verdict)),
                StoreBehavior::Fails => {
                    Poll::Ready(Err(StoreError::new("the test set `StoreBehavior::Fails`")))
                }
                StoreBehavior::Hangs => {
                    state.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
                StoreBehavior::Panics => {
                    drop(state);
                    panic!("the test set `StoreBehavior::Panics`")
                }
            }
        })
    }

    fn state(&self) -> MutexGuard<'_, FakeStoreState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RevocationStore for FakeStore {
    fn look_up<'a>(&'a self, _: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        self.state().lookups += 1;
        Box::pin(self.answer())
    }

    fn revoke<'a>(&'a self, _: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { self.answer().await.map(drop) })
    }
}

impl fmt::Debug for FakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("FakeStore")
            .field("behavior", &state.behavior)
            .field("lookups", &state.lookups)
            .finish_non_exhaustive()
    }
}
