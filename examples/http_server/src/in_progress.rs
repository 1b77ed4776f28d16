//! Counts the requests of one connection that are in progress, and notices when there was none for too long.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
};
use hyper::body::{Frame, SizeHint};
use tokio::{sync::watch, time::timeout};

/// The requests of one connection.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<watch::Sender<Count>>);

#[derive(Clone, Copy, Default)]
struct Count {
    in_progress: usize,
    /// How many have begun. A short request changes it, even if it begins and ends between two looks.
    begun: u64,
}

/// A request that is in progress until this is dropped.
pub(crate) struct InProgress(Requests);

impl Requests {
    pub(crate) fn begin(&self) -> InProgress {
        self.0.send_modify(|count| {
            count.in_progress = count.in_progress.saturating_add(1);
            count.begun = count.begun.saturating_add(1);
        });
        InProgress(self.clone())
    }

    /// Returns when no request has begun within `first`, or when none was in progress for `idle` after that.
    pub(crate) async fn quiet(&self, first: Duration, idle: Duration) {
        let mut counts = self.0.subscribe();
        let (mut limit, mut seen) = (first, 0);
        loop {
            let begins = timeout(limit, counts.wait_for(|count| count.begun > seen));
            if begins.await.is_err() {
                return;
            }
            let Ok(count) = counts.wait_for(|count| count.in_progress == 0).await else { return };
            (limit, seen) = (idle, count.begun);
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| count.in_progress = count.in_progress.saturating_sub(1));
    }
}

/// A response body. Its request is in progress until the body was sent or dropped.
pub(crate) struct Sending {
    body: Body,
    _request: InProgress,
}

impl Sending {
    pub(crate) fn new(body: Body, request: InProgress) -> Self {
        Self { body, _request: request }
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the clock of Tokio is paused")]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    const FIRST: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(75);

    #[tokio::test(start_paused = true)]
    async fn without_a_request_the_first_limit_holds() {
        let begin = Instant::now();
        Requests::default().quiet(FIRST, IDLE).await;
        assert_eq!(begin.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn the_idle_limit_counts_from_the_end_of_the_last_request() {
        let (begin, requests) = (Instant::now(), Requests::default());
        let work = async {
            sleep(Duration::from_secs(9)).await;
            // Two overlap. The second ends after 300 seconds.
            let first = requests.begin();
            let second = requests.begin();
            drop(first);
            sleep(Duration::from_secs(291)).await;
            drop(second);
            // This one is too short to be seen while it is in progress.
            sleep(Duration::from_secs(74)).await;
            drop(requests.begin());
        };
        tokio::join!(requests.quiet(FIRST, IDLE), work);
        assert_eq!(begin.elapsed().as_secs(), 9 + 291 + 74 + 75);
    }
}
