//! Lookups in flight, shared by the requests that wait for them.

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

use super::{Unavailable, Verdict, entry::OwnedTokenFacts, local_state::Sent};
use crate::BoxFuture;

/// The result of a lookup.
pub(super) type Reply = Result<Verdict, Unavailable>;

/// A lookup that any number of requests wait for. Each request that polls it drives it, so no request depends on
/// another. It is dropped with the last request.
pub(super) type SharedReply = Shared<BoxFuture<'static, Reply>>;

/// At most one joinable lookup for each token.
///
/// Holds lookups weakly: only the requests that wait keep a lookup alive.
#[derive(Default)]
pub(super) struct InFlight(Mutex<Flights>);

#[derive(Default)]
struct Flights {
    started: u64,
    by_token: HashMap<Arc<OwnedTokenFacts>, Flight>,
}

struct Flight {
    number: u64,
    sent: Sent,
    look_up: WeakShared<BoxFuture<'static, Reply>>,
}

impl InFlight {
    /// Returns the lookup of `token` that is in flight, if `may_join` accepts the time at which it was sent. Otherwise
    /// returns `look_up`, which others may then join. The `bool` is true for a joined lookup.
    pub(super) fn join_or_start(
        self: &Arc<Self>,
        token: &Arc<OwnedTokenFacts>,
        sent: Sent,
        may_join: impl FnOnce(Sent) -> bool,
        look_up: impl Future<Output = Reply> + Send + 'static,
    ) -> (SharedReply, bool) {
        let mut flights = self.flights();
        // `may_join` is called before the upgrade. Otherwise an upgraded lookup that is not returned could be the last
        // reference. It would be dropped here, and its `RemoveOnDrop` would wait for the lock that we hold.
        if let Some(flight) = flights.by_token.get(token)
            && may_join(flight.sent)
            && let Some(look_up) = flight.look_up.upgrade()
        {
            return (look_up, true);
        }

        flights.started = flights.started.wrapping_add(1);
        let number = flights.started;
        let remove_on_drop =
            RemoveOnDrop { of: Arc::clone(self), token: Arc::clone(token), number };
        let look_up = async move {
            let _remove_on_drop = remove_on_drop;
            look_up.await
        }
        .boxed()
        .shared();
        if let Some(weak) = look_up.downgrade() {
            flights.by_token.insert(Arc::clone(token), Flight { number, sent, look_up: weak });
        }
        (look_up, false)
    }

    /// The number of lookups in flight.
    pub(super) fn len(&self) -> usize {
        self.flights().by_token.len()
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lives inside the lookup, and removes it from the map when it ends: answered, dropped or panicked.
struct RemoveOnDrop {
    of: Arc<InFlight>,
    token: Arc<OwnedTokenFacts>,
    number: u64,
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        let mut flights = self.of.flights();
        // A lookup that was too old to join has been replaced. Its successor stays.
        if flights.by_token.get(&self.token).is_some_and(|flight| flight.number == self.number) {
            flights.by_token.remove(&self.token);
        }
    }
}

/// The reply, or `None` after the timeout.
///
/// Each waiting request has its own timer, in the runtime that polls it: a timer of another runtime would stop together
/// with that runtime. A reply that is ready at once needs no timer. Outside a runtime there is no timer, and only the
/// store limits the wait: the caller has chosen how to poll, and limits the wait itself.
pub(super) async fn in_time(timeout: Duration, mut reply: SharedReply) -> Option<Reply> {
    if let Poll::Ready(reply) = poll_fn(|cx| Poll::Ready(reply.poll_unpin(cx))).await {
        return Some(reply);
    }
    if Handle::try_current().is_err() {
        return Some(reply.await);
    }
    tokio::time::timeout(timeout, reply).await.ok()
}
