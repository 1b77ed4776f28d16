//! Keeps the keys of a `RemoteJwks` fresh: one task, which alone decides when to fetch.
//!
//! Requests only read the current set. If a key is missing, a request notifies the task and waits for the end of an
//! attempt. This has three effects:
//!
//! 1. Fetches cannot overlap.
//! 2. A dropped request cancels no fetch.
//! 3. No request holds anything that another request waits for.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::Guard;
use futures_util::future::{Either, select};
use tokio::{
    runtime::Handle,
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

use super::{
    FetchError, JwksHealth, schedule,
    source::{FetchedKeys, PreviousAttempt, Source},
    status::{Fetch, Status},
};
use crate::{
    BackgroundTask, KeySet, KeySetHandle, RejectionKind,
    claims::{Clock, Moment},
    config_error::RefusedKeys,
    telemetry,
};

/// The largest number of requests that wait for one source at a time.
const MAX_WAITING: usize = 64;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) source: Source,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) stale_limit: Duration,
    /// How long a request waits for a key.
    pub(super) wait_timeout: Duration,
    /// The longest time between two fetches.
    pub(super) longest_interval: Duration,
    /// Whether a bad signature triggers a fetch too.
    pub(super) refetches_on_bad_signature: bool,
}

pub(super) struct Engine {
    settings: Settings,
    /// The last good answer, of any age. `usable_until` decides whether it may be used.
    keys: KeySetHandle,
    no_keys: Arc<KeySet>,
    /// In seconds since the Unix epoch.
    usable_until: AtomicU64,
    status: watch::Sender<Status>,
    task: BackgroundTask,
    key_is_missing: Notify,
    waiting: Arc<Semaphore>,
}

impl Engine {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            keys: KeySetHandle::new(KeySet::default()),
            no_keys: Arc::default(),
            usable_until: AtomicU64::new(0),
            status: watch::Sender::default(),
            task: BackgroundTask::new("keys from the network"),
            key_is_missing: Notify::new(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        }
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The keys that may be used now: none if they are too old. Only the wall clock decides here, so keys also expire
    /// if the task no longer runs or the machine was suspended. The task adds the decision by the monotonic clock.
    pub(super) fn current(&self, clock: &dyn Clock) -> Guard<Arc<KeySet>> {
        match self.may_be_used(clock) {
            true => self.keys.load(),
            false => Guard::from_inner(Arc::clone(&self.no_keys)),
        }
    }

    pub(super) fn current_number(&self, clock: &dyn Clock) -> u64 {
        if self.may_be_used(clock) { self.keys.number() } else { self.no_keys.number() }
    }

    fn may_be_used(&self, clock: &dyn Clock) -> bool {
        clock.unix_time().as_secs() < self.usable_until.load(Ordering::Acquire)
    }

    pub(super) fn health(&self) -> JwksHealth {
        let (now, stale_limit) = (self.now(), self.settings.stale_limit);
        let is_running = self.task.health().is_running;
        self.status.borrow().health(now, stale_limit, self.keys.snapshot(), is_running)
    }

    pub(super) fn task(&self) -> &BackgroundTask {
        &self.task
    }

    /// Starts the task on the current runtime. Does nothing if the task runs, if it was stopped, or outside a runtime.
    pub(super) fn start(self: &Arc<Self>) {
        let engine = Arc::clone(self);
        self.task.start(async move { engine.run().await });
    }

    /// Returns when there are keys.
    pub(super) async fn ready(self: &Arc<Self>) -> Result<(), FetchError> {
        self.start();
        let mut status = self.status.subscribe();
        let usable = pin!(status.wait_for(|status| self.is_usable(status)));
        select(usable, pin!(self.task.ended())).await;
        if self.is_usable(&self.status.borrow()) { Ok(()) } else { Err(FetchError::Stopped) }
    }

    /// Decides about a token whose key was not in the set with the number `seen`: wait, or reject it at once.
    pub(super) fn ask(
        self: &Arc<Self>,
        kind: RejectionKind,
        seen: u64,
    ) -> Result<Wait, RejectionKind> {
        let now = self.now();
        let (is_worth_it, round) = {
            let status = self.status.borrow();
            let may_fetch = !self.task.is_stopped() && status.may_be_asked(now);
            (status.is_fetching() || may_fetch, status.ended)
        };
        // If a newer set has arrived, the caller searches it before a fetch is considered.
        let is_overtaken = self.current_number(&*self.settings.clock) != seen;
        if !is_worth_it && !is_overtaken {
            return Err(self.verdict(kind, seen));
        }
        match Arc::clone(&self.waiting).try_acquire_owned() {
            Ok(place) => Ok(Wait { engine: Arc::clone(self), round, is_overtaken, place }),
            Err(_) => Err(self.verdict(kind, seen)),
        }
    }

    /// The key is unknown to the issuer only if there were keys to search, and the last attempt did not fail.
    fn verdict(&self, kind: RejectionKind, seen: u64) -> RejectionKind {
        let status = self.status.borrow();
        let had_keys = seen != self.no_keys.number() && self.is_usable(&status);
        if !had_keys || status.has_failed() { RejectionKind::KeysUnavailable } else { kind }
    }

    fn is_usable(&self, status: &Status) -> bool {
        !status.usable_for(self.now(), self.settings.stale_limit).is_zero()
    }

    async fn run(&self) {
        let _interrupted = FailsInterruptedAttempt(self);
        let mut previous = PreviousAttempt::default();
        loop {
            let now = self.now();
            let (due_in, usable_for) = {
                let status = self.status.borrow();
                let due_in = status.due_in(now, self.settings.longest_interval);
                (due_in, status.usable_for(now, self.settings.stale_limit))
            };
            if usable_for.is_zero() {
                self.usable_until.store(0, Ordering::Release);
            }
            if due_in.is_zero() {
                self.attempt(&mut previous).await;
                continue;
            }
            // Tokio's timer only wakes the task. The clock of the settings tells the time.
            let alarm = if usable_for.is_zero() { due_in } else { due_in.min(usable_for) };
            let is_missing = timeout(alarm, self.key_is_missing.notified()).await.is_ok();
            if is_missing && self.status.borrow().may_be_asked(self.now()) {
                self.attempt(&mut previous).await;
            }
        }
    }

    async fn attempt(&self, previous: &mut PreviousAttempt) {
        let sent = self.now();
        self.status.send_modify(|status| status.begin(sent));
        match self.settings.source.fetch_keys(previous, sent).await {
            Ok(FetchedKeys { keys, max_age }) => {
                let fetch = Fetch { sent, lifetime: schedule::lifetime(max_age) };
                let is_modified = keys.is_some();
                if let Some(keys) = keys {
                    let refused = RefusedKeys(keys.refused()).to_string();
                    if refused != RefusedKeys(self.keys.load().refused()).to_string() {
                        telemetry::keys_refused(keys.refused());
                    }
                    self.keys.replace(keys);
                }
                let usable = fetch.usable(self.settings.stale_limit);
                let usable_until = sent.unix_time.saturating_add(usable).as_secs();
                self.usable_until.store(usable_until, Ordering::Release);
                telemetry::keys_fetched(self.keys.load().len(), is_modified);
                self.task.succeeded();
                self.status.send_modify(|status| status.succeed(fetch, is_modified));
            }
            Err(error) => {
                telemetry::keys_not_fetched(&error.without_client_text());
                self.fail(error);
            }
        }
    }

    fn fail(&self, error: FetchError) {
        let now = self.now();
        self.task.failed(error.kind());
        self.status.send_modify(|status| status.fail(Arc::new(error), now));
    }

    fn now(&self) -> Moment {
        Moment::of(&*self.settings.clock)
    }
}

/// Fails the attempt that the end of the task interrupts, also when the runtime ends. Requests wait for attempts.
struct FailsInterruptedAttempt<'a>(&'a Engine);

impl Drop for FailsInterruptedAttempt<'_> {
    fn drop(&mut self) {
        if self.0.status.borrow().is_fetching() {
            self.0.fail(FetchError::Stopped);
        }
    }
}

/// A permit of a request that waits for keys.
pub(crate) struct Wait {
    engine: Arc<Engine>,
    /// The number of attempts that had ended when the wait began.
    round: u64,
    is_overtaken: bool,
    place: OwnedSemaphorePermit,
}

/// The result of a wait, for a token whose key is still unknown.
pub(crate) struct Waited {
    engine: Arc<Engine>,
    is_answered: bool,
}

impl Wait {
    /// Returns after an attempt has ended since the wait began, or after the timeout.
    pub(crate) async fn until_answered(self) -> Waited {
        let Self { engine, round, is_overtaken, place } = self;
        let is_answered = is_overtaken || engine.answer_after(round).await;
        drop(place);
        Waited { engine, is_answered }
    }
}

impl Engine {
    /// Whether an attempt later than `round` ends before the timeout.
    async fn answer_after(self: &Arc<Self>, round: u64) -> bool {
        self.start();
        if !self.task.health().is_running {
            return false;
        }
        self.key_is_missing.notify_one();
        let mut status = self.status.subscribe();
        let answer = pin!(status.wait_for(|status| status.ended != round));
        // A task that stops before its attempt has begun ends no attempt.
        let ended = pin!(self.task.ended());
        let answered = async { matches!(select(answer, ended).await, Either::Left((Ok(_), _))) };
        // Without a runtime there is no timer: the timeout of the attempt ends the wait.
        if Handle::try_current().is_err() {
            return answered.await;
        }
        timeout(self.settings.wait_timeout, answered).await.unwrap_or(false)
    }
}

impl Waited {
    /// `seen` is the number of the set in which the key was searched after the wait.
    pub(crate) fn verdict(&self, kind: RejectionKind, seen: u64) -> RejectionKind {
        if self.is_answered {
            self.engine.verdict(kind, seen)
        } else {
            RejectionKind::KeysUnavailable
        }
    }
}

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::{
        BoxFuture,
        claims::ManualClock,
        jwks::{FetchJwks, FetchRequest, Fetched, RemoteJwks},
    };

    struct Server;

    impl FetchJwks for Server {
        fn fetch<'a>(&'a self, _: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
            let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
            Box::pin(async move { Ok(Fetched::document(format!("{{\"keys\":[{key}]}}"))) })
        }
    }

    #[tokio::test]
    async fn a_request_that_missed_a_new_set_searches_it_without_waiting() {
        let clock = ManualClock::at(crate::UnixTime::from_secs(1_700_000_000));
        let keys = RemoteJwks::new("https://issuer.example/keys").unwrap();
        let keys = keys.with_fetcher(Server).with_clock(clock.clone());
        let before = keys.current(&clock).number();
        keys.ready().await.unwrap();

        let wait = keys.ask(RejectionKind::UnknownKey, before).ok().unwrap();
        assert!(wait.until_answered().now_or_never().is_some());
        let now = keys.current(&clock).number();
        assert_eq!(keys.ask(RejectionKind::UnknownKey, now).err(), Some(RejectionKind::UnknownKey));
        assert_eq!(keys.health().attempts(), 1);
    }
}
