//! A store that does as it is told.

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

/// A revocation store under a test's thumb; clones are the same store.
///
/// It never learns of a revocation, so that it lies about revoked tokens: a real one for tests is
/// [`MemoryStore`](crate::revocation::MemoryStore).
///
/// A [`RevocationCache`](crate::RevocationCache) stands between it and the requests: "not revoked" is used for as long
/// as the bound says, none at a bound of zero, and "revoked" is for ever.
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

/// What a [`FakeStore`] does when it is asked, or told of a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreHabit {
    /// This about every token. Revocations are taken, and ignored.
    Says(Verdict),
    /// Fails at once.
    Fails,
    /// Is silent until it [turns](FakeStore::turns_to) to something else, which is then its answer.
    Hangs,
    /// Panics, as the client of a store might.
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

    /// Does so from now on, towards those who are waiting, too.
    pub fn turns_to(&self, habit: StoreHabit) {
        let mut state = self.state();
        state.habit = habit;
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// How many look-ups there have been.
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
