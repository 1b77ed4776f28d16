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
///     test_util::{FakeStore, StoreHabit, TestIssuer},
/// };
///
/// let issuer = TestIssuer::new();
/// let store = FakeStore::that(StoreHabit::Says(Verdict::NotRevoked));
/// let revocation = RevocationCache::new(store.clone(), Duration::ZERO);
/// let authenticator = issuer.authenticator::<UntypedClaims>().with_revocation(revocation);
///
/// let token = issuer.token().issue();
/// assert!(authenticator.authenticate(&token).await.is_ok());
///
/// store.turns_to(StoreHabit::Fails);
/// let refused = authenticator.authenticate(&token).await.unwrap_err();
/// assert_eq!(refused.kind(), RejectionKind::RevocationUnavailable);
/// assert_eq!(store.asked(), 2);
/// # }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
#[derive(Clone)]
pub struct FakeStore(Arc<Mutex<State>>);

/// What a [`FakeStore`] does with a lookup or a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreHabit {
    /// Gives this answer about every token. It accepts revocations and ignores them.
    Says(Verdict),
    /// Fails at once.
    Fails,
    /// Does not answer until [`turns_to`](FakeStore::turns_to) sets another habit. That habit then answers.
    Hangs,
    /// Panics, as the client of a real store might.
    Panics,
}

struct State {
    habit: StoreHabit,
    asked: usize,
    waiting: Vec<Waker>,
}

impl FakeStore {
    /// A store with this habit.
    #[must_use]
    pub fn that(habit: StoreHabit) -> Self {
        Self(Arc::new(Mutex::new(State { habit, asked: 0, waiting: Vec::new() })))
    }

    /// Replaces the habit, also for the calls that wait now.
    pub fn turns_to(&self, habit: StoreHabit) {
        let mut state = self.state();
        state.habit = habit;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The number of lookups so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.state().asked
    }

    fn answer(&self) -> impl Future<Output = Result<Verdict, StoreError>> {
        poll_fn(|cx| {
            let mut state = self.state();
            match state.habit {
                StoreHabit::Says(verdict) => Poll::Ready(Ok(verdict)),
                StoreHabit::Fails => Poll::Ready(Err(StoreError::new("told to fail by a test"))),
                StoreHabit::Hangs => {
                    state.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
                StoreHabit::Panics => {
                    drop(state);
                    panic!("told to panic by a test")
                }
            }
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RevocationStore for FakeStore {
    fn look_up<'a>(&'a self, _: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        self.state().asked += 1;
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
            .field("habit", &state.habit)
            .field("asked", &state.asked)
            .finish_non_exhaustive()
    }
}
