//! Health checks for load balancers and operators: is the process alive, is this replica ready, which part fails?
//!
//! 1. **Liveness** (`/healthz`) is 200 as long as the process answers. It checks nothing else. A restart does not
//!    repair a database, so an outage must not restart the process.
//! 2. **Readiness** (`/readyz`) has one entry for each part. It is 503 only if this replica lacks something that the
//!    others can have: its keys, or one of its own tasks that has stopped.
//! 3. **A shared part**, such as a database, fails for all replicas at once. It is reported as failing, and the status
//!    stays 200: if all replicas left the load balancer, clients would get no response at all instead of a documented
//!    503. [`HealthChecks::require_shared_parts`] changes that.
//! 4. **Checks run at most once a second**, however many probes there are. Probes at the same time share one run. A
//!    check that takes longer than half a second has failed, so that a probe with a timeout of one second gets its
//!    answer.
//! 5. **Nothing secret is reported.** A failure is a fixed word, such as that of
//!    [`StoreError::kind`](crate::revocation::StoreError::kind). The names of the parts are visible to everyone who can
//!    reach the path, so serve it where clients cannot reach it, or let the proxy hide it.
//!
//! ```
//! use tower_bearer::{BackgroundTask, health::HealthChecks};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! # let relay = BackgroundTask::new("relay");
//! # relay.start(std::future::pending());
//! let checks = HealthChecks::new()
//!     .add_task(&relay)
//!     .add_part("keys", || async { Ok(()) })
//!     .add_shared_part("database", || async { Err("timed_out") });
//!
//! let report = checks.report().await;
//! assert!(report.is_ready() && !report.is_ok());
//! assert_eq!(
//!     serde_json::to_string(&*report).unwrap(),
//!     r#"{"status":"failing","parts":{"relay":{"status":"ok"},"keys":{"status":"ok"},"database":{"status":"failing","error":"timed_out"}}}"#,
//! );
//! # }
//! ```

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{
    FutureExt as _,
    future::{Shared, join_all},
};
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

use crate::{
    BackgroundTask, BoxFuture,
    claims::{Clock, Moment, SystemClock},
};

/// How long a report is used for further probes.
const CACHE_TIME: Duration = Duration::from_secs(1);

/// How long a check may take.
const CHECK_TIMEOUT: Duration = Duration::from_millis(500);

/// The result of the check of one part. An error is a fixed word for the kind of failure.
pub type PartResult = Result<(), &'static str>;

/// The parts of a replica and their checks.
pub struct HealthChecks {
    parts: Vec<Arc<Part>>,
    requires_shared_parts: bool,
    clock: Arc<dyn Clock>,
    last: Mutex<Option<(Moment, Run)>>,
}

struct Part {
    name: &'static str,
    check: Check,
}

enum Check {
    Task(BackgroundTask),
    Own(CheckFunction),
    Shared(CheckFunction),
}

/// A run of all checks, which several probes drive.
type Run = Shared<BoxFuture<'static, Arc<HealthReport>>>;

type CheckFunction = Box<dyn Fn() -> BoxFuture<'static, PartResult> + Send + Sync>;

impl HealthChecks {
    /// Starts without parts.
    #[must_use]
    pub fn new() -> Self {
        Self {
            parts: Vec::new(),
            requires_shared_parts: false,
            clock: Arc::new(SystemClock::default()),
            last: Mutex::default(),
        }
    }

    /// Adds a background task under its [name](BackgroundTask::name). If it does not run, this replica is not ready,
    /// and the error is `not_running`. If it runs and its last attempt failed, it is reported as failing, like a shared
    /// part.
    #[must_use]
    pub fn add_task(self, task: &BackgroundTask) -> Self {
        self.add(task.name(), Check::Task(task.clone()))
    }

    /// Adds a part that only this replica may lack, such as its keys. If the check fails, this replica is not ready.
    ///
    /// If a part of this name exists, this replaces it.
    #[must_use]
    pub fn add_part<F>(
        self,
        name: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = PartResult> + Send + 'static,
    {
        self.add(name, Check::Own(Box::new(move || Box::pin(check()))))
    }

    /// Adds a part that all replicas share, such as a database. If the check fails, it is reported as failing, and this
    /// replica stays ready.
    ///
    /// If a part of this name exists, this replaces it.
    #[must_use]
    pub fn add_shared_part<F>(
        self,
        name: &'static str,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = PartResult> + Send + 'static,
    {
        self.add(name, Check::Shared(Box::new(move || Box::pin(check()))))
    }

    /// Makes a replica not ready while a shared part fails, or the last attempt of a task failed. Default: it stays
    /// ready. All replicas then leave the load balancer together. Use it if there is something better behind the load
    /// balancer, such as a second site.
    #[must_use]
    pub fn require_shared_parts(mut self) -> Self {
        self.requires_shared_parts = true;
        self
    }

    /// Sets the clock that measures the age of a report. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Checks all parts, or returns the report of a run that began less than a second ago.
    ///
    /// Call it on a Tokio runtime, because the checks have a timeout.
    pub async fn report(&self) -> Arc<HealthReport> {
        self.current_run().await
    }

    /// A router with `/healthz` and `/readyz`, which answer JSON. Merge it into the router of your service, outside of
    /// the layer: probes have no token.
    #[cfg(feature = "axum")]
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> axum::Router<S> {
        use axum::routing::get;

        let checks = Arc::new(self);
        axum::Router::new()
            .route("/healthz", get(async || response(StatusCode::OK, r#"{"status":"ok"}"#.into())))
            .route("/readyz", get(async move || checks.report().await.to_response()))
    }

    fn add(mut self, name: &'static str, check: Check) -> Self {
        self.parts.retain(|part| part.name != name);
        self.parts.push(Arc::new(Part { name, check }));
        self.last = Mutex::default();
        self
    }

    /// The run that answers a probe. If its probe goes away, other probes continue it.
    fn current_run(&self) -> Run {
        let now = Moment::of(&*self.clock);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((begin, run)) = &*last
            && now.age_of(*begin) < CACHE_TIME
        {
            return run.clone();
        }
        let (parts, requires_shared_parts) = (self.parts.clone(), self.requires_shared_parts);
        let run = async move {
            let parts = join_all(parts.iter().map(|part| part.check())).await;
            let is_ready = parts.iter().all(|part| match part.failure {
                None => true,
                Some(Failure { is_own, .. }) => !is_own && !requires_shared_parts,
            });
            Arc::new(HealthReport { is_ready, parts })
        };
        let run = run.boxed().shared();
        *last = Some((now, run.clone()));
        run
    }
}

impl Default for HealthChecks {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HealthChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.parts.iter().map(|part| part.name).collect::<Vec<_>>();
        f.debug_struct("HealthChecks")
            .field("parts", &names)
            .field("requires_shared_parts", &self.requires_shared_parts)
            .finish_non_exhaustive()
    }
}

impl Part {
    async fn check(&self) -> PartHealth {
        let failure = match &self.check {
            Check::Task(task) => of_task(task),
            Check::Own(check) => {
                in_time(check).await.err().map(|kind| Failure { kind, is_own: true })
            }
            Check::Shared(check) => {
                in_time(check).await.err().map(|kind| Failure { kind, is_own: false })
            }
        };
        PartHealth { name: self.name, failure }
    }
}

fn of_task(task: &BackgroundTask) -> Option<Failure> {
    let health = task.health();
    if !health.is_running {
        return Some(Failure { kind: "not_running", is_own: true });
    }
    let kind = health.last_error.unwrap_or("failed");
    (!health.is_ok()).then_some(Failure { kind, is_own: false })
}

async fn in_time(check: &CheckFunction) -> PartResult {
    tokio::time::timeout(CHECK_TIMEOUT, check()).await.unwrap_or(Err("timed_out"))
}

/// The state of all parts at one moment.
#[derive(Clone, Debug)]
pub struct HealthReport {
    is_ready: bool,
    parts: Vec<PartHealth>,
}

#[derive(Clone, Debug)]
struct PartHealth {
    name: &'static str,
    failure: Option<Failure>,
}

#[derive(Clone, Copy, Debug)]
struct Failure {
    kind: &'static str,
    /// Whether this replica alone may have it.
    is_own: bool,
}

impl HealthReport {
    /// Whether this replica should get requests.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Whether no part fails.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.parts.iter().all(|part| part.failure.is_none())
    }

    /// The name of each part, and the kind of its failure.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, PartResult)> {
        self.parts.iter().map(|part| (part.name, part.failure.map_or(Ok(()), |it| Err(it.kind))))
    }

    /// The response to a probe: 200 or 503 with this report as JSON, which caches must not store.
    #[must_use]
    pub fn to_response(&self) -> Response<String> {
        let status = match self.is_ready {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        };
        // Fixed names and words are always JSON.
        response(status, serde_json::to_string(self).unwrap_or_default())
    }
}

/// An object with `status` (`ok`, `failing`, or `not_ready`) and `parts`. The entry of a part has `status` (`ok` or
/// `failing`) and, if it fails, `error`.
impl Serialize for HealthReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = match (self.is_ready, self.is_ok()) {
            (false, _) => "not_ready",
            (true, false) => "failing",
            (true, true) => "ok",
        };
        let mut report = serializer.serialize_struct("HealthReport", 2)?;
        report.serialize_field("status", status)?;
        report.serialize_field("parts", &Parts(&self.parts))?;
        report.end()
    }
}

/// The parts as a map, in the order in which they were added.
struct Parts<'a>(&'a [PartHealth]);

#[derive(Serialize)]
struct Entry {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl Serialize for Parts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|part| {
            let error = part.failure.map(|failure| failure.kind);
            (part.name, Entry { status: if error.is_some() { "failing" } else { "ok" }, error })
        }))
    }
}

fn response(status: StatusCode, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::atomic::{AtomicU32, Ordering::Relaxed},
    };

    use super::*;
    use crate::{UnixTime, claims::ManualClock};

    fn errors(report: &HealthReport) -> Vec<(&'static str, &'static str)> {
        report.parts().filter_map(|(name, result)| Some((name, result.err()?))).collect()
    }

    #[tokio::test]
    async fn only_a_part_of_this_replica_makes_it_not_ready() {
        let shared = || HealthChecks::new().add_shared_part("redis", || async { Err("refused") });
        let report = shared().report().await;
        assert!(report.is_ready() && !report.is_ok());
        assert_eq!(errors(&report), [("redis", "refused")]);
        assert_eq!(report.to_response().status(), 200);

        let report = shared().add_part("keys", || async { Err("missing") }).report().await;
        assert!(!report.is_ready());
        assert_eq!(report.to_response().status(), 503);

        assert!(!shared().require_shared_parts().report().await.is_ready());
    }

    #[tokio::test]
    async fn a_task_that_stopped_is_not_ready_and_one_that_fails_is_reported() {
        let task = BackgroundTask::new("relay");
        let checks = || HealthChecks::new().add_task(&task);
        assert_eq!(errors(&*checks().report().await), [("relay", "not_running")]);
        assert!(!checks().report().await.is_ready());

        task.start(pending());
        assert!(checks().report().await.is_ok());
        task.failed("timed_out");
        let report = checks().report().await;
        assert_eq!((report.is_ready(), errors(&report)), (true, vec![("relay", "timed_out")]));
        assert!(!checks().require_shared_parts().report().await.is_ready());

        task.shutdown().await;
        assert!(!checks().report().await.is_ready());
    }

    #[tokio::test]
    async fn a_flood_of_probes_is_one_check_in_a_second() {
        let (clock, runs) = (ManualClock::at(UnixTime::from_secs(1)), Arc::new(AtomicU32::new(0)));
        let counter = Arc::clone(&runs);
        let checks =
            HealthChecks::new().with_clock(clock.clone()).add_shared_part("db", move || {
                counter.fetch_add(1, Relaxed);
                async {
                    tokio::task::yield_now().await;
                    Ok(())
                }
            });
        join_all((0..100).map(|_| checks.report())).await;
        // Probes that go away before they are answered cause no further checks.
        for _ in 0..100 {
            assert!(checks.report().now_or_never().is_some());
        }
        clock.advance(Duration::from_millis(999));
        checks.report().await;
        assert_eq!(runs.load(Relaxed), 1);
        clock.advance(Duration::from_millis(1));
        for _ in 0..100 {
            let _ = checks.report().now_or_never();
        }
        checks.report().await;
        assert_eq!(runs.load(Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_has_failed_after_half_a_second() {
        let begin = tokio::time::Instant::now();
        let checks = HealthChecks::new().add_part("keys", pending);
        assert_eq!(errors(&*checks.report().await), [("keys", "timed_out")]);
        assert_eq!(begin.elapsed(), Duration::from_millis(500));
    }

    #[tokio::test]
    async fn a_part_replaces_another_of_its_name() {
        let checks = HealthChecks::new()
            .add_part("keys", || async { Err("missing") })
            .add_part("keys", || async { Ok(()) });
        assert_eq!(checks.report().await.parts().count(), 1);
        assert!(checks.report().await.is_ok());
        let response = checks.report().await.to_response();
        assert_eq!(response.body(), r#"{"status":"ok","parts":{"keys":{"status":"ok"}}}"#);
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    }
}
