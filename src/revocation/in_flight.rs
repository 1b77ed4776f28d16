//! Look-ups that are under way, shared by the requests that wait for them.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use futures_util::{
    FutureExt,
    future::{Shared, WeakShared},
};
use tokio::runtime::Handle;

use super::{Unavailable, Verdict, answers::Token, cached_answer::Sent};
use crate::BoxFuture;

/// What came of asking the store.
pub(super) type Reply = Result<Verdict, Unavailable>;

/// A look-up that any number of requests wait for. Whichever is polled drives it, so none depends on
/// another's being there; it is dropped with the last.
pub(super) type SharedReply = Shared<BoxFuture<'static, Reply>>;

/// At most one joinable look-up for each token.
///
/// Holds look-ups weakly: only those who wait keep one alive.
#[derive(Default)]
pub(super) struct InFlight(Mutex<Flights>);

#[derive(Default)]
struct Flights {
    started: u64,
    by_token: HashMap<Arc<Token>, Flight>,
}

struct Flight {
    number: u64,
    sent: Sent,
    look_up: WeakShared<BoxFuture<'static, Reply>>,
}

impl InFlight {
    /// The look-up of `token` that is under way, if `may_join` allows it by when it was sent; otherwise
    /// `look_up`, which is then the one that others may join. Tells whether it is another's.
    pub(super) fn join_or_start(
        self: &Arc<Self>,
        token: &Arc<Token>,
        sent: Sent,
        may_join: impl FnOnce(Sent) -> bool,
        look_up: impl Future<Output = Reply> + Send + 'static,
    ) -> (SharedReply, bool) {
        let mut flights = self.flights();
        // Asked before the upgrade: a look-up that was upgraded but not handed out would, if it were the
        // last of its kind, be dropped here, and its `Landing` would wait for the lock that we hold.
        if let Some(flight) = flights.by_token.get(token)
            && may_join(flight.sent)
            && let Some(look_up) = flight.look_up.upgrade()
        {
            return (look_up, true);
        }

        flights.started = flights.started.wrapping_add(1);
        let number = flights.started;
        let landing = Landing { of: Arc::clone(self), token: Arc::clone(token), number };
        let look_up = async move {
            let _landing = landing;
            look_up.await
        }
        .boxed()
        .shared();
        if let Some(weak) = look_up.downgrade() {
            flights.by_token.insert(Arc::clone(token), Flight { number, sent, look_up: weak });
        }
        (look_up, false)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.flights().by_token.len()
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lives inside the look-up, and takes it off the map however it ends: answered, dropped or panicked.
struct Landing {
    of: Arc<InFlight>,
    token: Arc<Token>,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut flights = self.of.flights();
        // One that was too old to join has been replaced: its successor stays.
        if flights.by_token.get(&self.token).is_some_and(|flight| flight.number == self.number) {
            flights.by_token.remove(&self.token);
        }
    }
}

/// The reply, or `None` if it takes too long.
///
/// Each of those who wait for a look-up has a timer of its own, in the runtime that polls it: one that was made by
/// another would stand still with that runtime. A reply that is there at once needs no timer. Where there is no runtime
/// there is none either, and the wait is as long as the store's: the caller has chosen how to poll, and bounds it.
pub(super) async fn in_time(timeout: Duration, mut reply: SharedReply) -> Option<Reply> {
    if let Poll::Ready(reply) = poll_fn(|cx| Poll::Ready(reply.poll_unpin(cx))).await {
        return Some(reply);
    }
    if Handle::try_current().is_err() {
        return Some(reply.await);
    }
    tokio::time::timeout(timeout, reply).await.ok()
}
