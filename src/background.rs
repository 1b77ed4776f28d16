//! Starts background tasks, stops them and reports their health: one way for every component.

use std::{fmt, future::Future, pin::pin, sync::Arc};

use futures_util::future::select;
use tokio::{runtime::Handle, sync::watch};

/// The background task of a component: of keys from the network, of a connection to a store, of an issuer.
///
/// 1. **Start.** The component starts its task itself, on the Tokio runtime of the caller. It gives out this handle.
/// 2. **Stop.** [`shutdown`](Self::shutdown) stops the task and returns when it has ended. A stopped task never starts
///    again. The task also stops when the last clone of its component is dropped. Dropping this handle changes nothing.
/// 3. **Health.** [`health`](Self::health) says whether the task runs, and whether its last attempt failed.
///
/// Without its task, a component behaves as in an outage: keys are used until they are too old, cached answers until the
/// bound, and lookups of a stopped store fail. By default the layer then answers 503. So stop the tasks only at the end
/// of the process, after the server has stopped.
///
/// Components outside this crate can use the same type:
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::BackgroundTask;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let task = BackgroundTask::new("import of revocations");
/// assert!(!task.health().is_running);
///
/// let report = task.clone();
/// task.start(async move {
///     loop {
///         // One round of the work comes here. It failed this time.
///         report.failed("timeout");
///         tokio::time::sleep(Duration::from_secs(60)).await;
///     }
/// });
/// tokio::task::yield_now().await;
/// assert!(task.health().is_running && !task.health().is_ok());
/// assert_eq!(task.health().last_error, Some("timeout"));
///
/// task.shutdown().await;
/// assert!(!task.health().is_running);
/// # }
/// ```
#[derive(Clone)]
pub struct BackgroundTask(Arc<Inner>);

struct Inner {
    name: &'static str,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Default)]
struct State {
    is_stopped: bool,
    health: TaskHealth,
}

/// The health of a [`BackgroundTask`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskHealth {
    /// Whether the task runs. `false` before it starts, after it was stopped, and if it panicked.
    pub is_running: bool,
    /// How many attempts have failed since the last success.
    pub failures_in_a_row: u64,
    /// The kind of the last failure. `None` if the last attempt succeeded, or if there was none.
    pub last_error: Option<&'static str>,
}

impl TaskHealth {
    /// Whether the task runs and its last attempt did not fail.
    #[must_use]
    pub const fn is_ok(&self) -> bool {
        self.is_running && self.failures_in_a_row == 0
    }
}

impl BackgroundTask {
    /// A task that has not started. `name` is for messages to operators, for example `"relay"`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self(Arc::new(Inner { name, state: watch::Sender::default() }))
    }

    /// Runs `work` on the current Tokio runtime until it ends or is [stopped](Self::stop). A stop drops `work` where it
    /// waits, so `work` must not lose anything if it is dropped at an `await`.
    ///
    /// Returns whether this call has started the task. It has not if the task runs already or was stopped, and outside a
    /// runtime.
    pub fn start(&self, work: impl Future<Output = ()> + Send + 'static) -> bool {
        let Ok(runtime) = Handle::try_current() else { return false };
        let starts = self.0.state.send_if_modified(|state| {
            let starts = !state.health.is_running && !state.is_stopped;
            state.health.is_running |= starts;
            starts
        });
        if starts {
            let running = Running(self.clone());
            runtime.spawn(async move {
                let mut state = running.0.0.state.subscribe();
                let stopped = pin!(state.wait_for(|state| state.is_stopped));
                select(stopped, pin!(work)).await;
            });
        }
        starts
    }

    /// The name that [`new`](Self::new) was given.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// The current state, for health checks.
    #[must_use]
    pub fn health(&self) -> TaskHealth {
        self.0.state.borrow().health
    }

    /// Whether the task was stopped. It never starts again.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.state.borrow().is_stopped
    }

    /// Stops the task for ever, and returns when it has ended. For a component with clones this holds for all of them.
    pub async fn shutdown(&self) {
        self.stop();
        self.ended().await;
    }

    /// Returns when the task does not run: it has ended, or it was not started.
    pub(crate) async fn ended(&self) {
        // `self` owns the sender, so it still exists.
        let _ = self.0.state.subscribe().wait_for(|state| !state.health.is_running).await;
    }

    /// Stops the task for ever, and does not wait until it has ended. A component calls it when it is dropped.
    pub fn stop(&self) {
        self.0.state.send_modify(|state| state.is_stopped = true);
    }

    /// Reports that an attempt has succeeded.
    pub fn succeeded(&self) {
        self.0.state.send_if_modified(|state| {
            let is_changed = state.health.failures_in_a_row != 0;
            (state.health.failures_in_a_row, state.health.last_error) = (0, None);
            is_changed
        });
    }

    /// Reports that an attempt has failed. `kind` is the kind of the failure. It must not contain anything secret.
    pub fn failed(&self, kind: &'static str) {
        self.0.state.send_modify(|state| {
            state.health.failures_in_a_row = state.health.failures_in_a_row.saturating_add(1);
            state.health.last_error = Some(kind);
        });
    }
}

impl fmt::Debug for BackgroundTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackgroundTask")
            .field("name", &self.0.name)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

/// Marks the task as ended when it is dropped, even if the task panics or its runtime ends.
struct Running(BackgroundTask);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.0.state.send_modify(|state| state.health.is_running = false);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::yield_now;

    use super::*;

    #[test]
    fn a_task_does_not_start_outside_a_runtime() {
        let task = BackgroundTask::new("test");
        assert!(!task.start(pending()));
        assert_eq!(task.health(), TaskHealth::default());
    }

    #[tokio::test]
    async fn a_task_starts_once_and_never_after_a_stop() {
        let task = BackgroundTask::new("test");
        assert!(task.start(pending()));
        assert!(!task.start(pending()));
        assert!(task.health().is_ok());
        task.shutdown().await;
        assert!(!task.health().is_running && task.is_stopped());
        assert!(!task.start(pending()));
    }

    #[tokio::test]
    async fn a_stop_drops_the_work_where_it_waits() {
        let (task, work) = (BackgroundTask::new("test"), Arc::new(()));
        let held = Arc::clone(&work);
        task.start(async move {
            pending::<()>().await;
            drop(held);
        });
        yield_now().await;
        assert_eq!(Arc::strong_count(&work), 2);
        task.shutdown().await;
        yield_now().await;
        assert_eq!(Arc::strong_count(&work), 1);
    }

    #[tokio::test]
    async fn work_that_ends_or_panics_is_not_running() {
        for panics in [false, true] {
            let task = BackgroundTask::new("test");
            task.start(async move { assert!(!panics, "this panic is part of the test") });
            yield_now().await;
            assert!(!task.health().is_running);
            // Work that has ended can be started again.
            assert!(task.start(pending()));
        }
    }

    #[tokio::test]
    async fn a_success_resets_the_failures() {
        let task = BackgroundTask::new("test");
        task.start(pending());
        task.failed("timeout");
        task.failed("refused");
        let health = task.health();
        assert_eq!((health.failures_in_a_row, health.last_error), (2, Some("refused")));
        assert!(!health.is_ok());
        task.succeeded();
        assert!(task.health().is_ok());
        assert_eq!(task.health().last_error, None);
    }
}
