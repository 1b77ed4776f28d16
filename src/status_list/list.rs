//! Keeps one status list fresh: one task fetches it, and requests only read it. The keys from the network work in the
//! same way, and this uses their schedule and their client.

use std::{
    pin::pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::future::{Either, select};
use tokio::{
    runtime::Handle,
    sync::{Notify, watch},
    task::spawn_blocking,
    time::timeout,
};

use super::{
    ACCEPTED, Counters, Lists, Settings,
    statuses::{Statuses, Unreadable},
};
use crate::{
    BackgroundTask, RejectionKind, UnixTime,
    claims::Moment,
    jwks::{Address, Fetch, FetchError, FetchRequest, Status, exchange, schedule},
    revocation::OnUnavailable,
    telemetry,
};

/// A list that no request has used for this time, in seconds, is removed.
const IDLE: u64 = 60 * 60;

/// The use of a list is noted once in this many seconds, so that threads rarely write.
const NOTED_EVERY: u64 = 60;

pub(super) struct StatusList {
    address: Address,
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    lists: Weak<Lists>,
    /// The last good list, of any age. `usable_until` decides whether it may be used.
    statuses: ArcSwapOption<Statuses>,
    /// In seconds since the Unix epoch.
    usable_until: AtomicU64,
    /// When a request last used the list, in seconds since the Unix epoch.
    used_at: AtomicU64,
    status: watch::Sender<Status>,
    is_needed: Notify,
    task: BackgroundTask,
}

/// State that one attempt passes to the next: the `ETag` of the list that is in use.
type Etag = Option<Box<str>>;

/// The result of a successful attempt.
struct FetchedList {
    statuses: Arc<Statuses>,
    is_modified: bool,
    max_age: Option<Duration>,
}

impl StatusList {
    pub(super) fn new(
        address: Address,
        settings: &Arc<Settings>,
        counters: &Arc<Counters>,
        lists: Weak<Lists>,
    ) -> Self {
        Self {
            address,
            counters: Arc::clone(counters),
            lists,
            statuses: ArcSwapOption::empty(),
            usable_until: AtomicU64::new(0),
            used_at: AtomicU64::new(settings.clock.now().as_secs()),
            status: watch::Sender::default(),
            is_needed: Notify::new(),
            task: BackgroundTask::new("status list"),
            settings: Arc::clone(settings),
        }
    }

    /// Whether a token with this index is valid. `None` if the list must not be used now.
    pub(super) fn check(&self, index: u64, now: UnixTime) -> Option<Result<(), RejectionKind>> {
        if now.as_secs() >= self.usable_until.load(Ordering::Acquire) {
            return None;
        }
        self.note_use(now);
        self.statuses.load().as_ref().map(|statuses| statuses.check(index))
    }

    /// The answer for a token whose list cannot be used and cannot be fetched now.
    pub(super) fn without_answer(&self, index: u64) -> Result<(), RejectionKind> {
        match self.settings.on_unavailable {
            // A known status other than valid still counts.
            OnUnavailable::Allow => match self.statuses.load().as_ref() {
                Some(statuses) => statuses.check(index),
                None => Ok(()),
            },
            OnUnavailable::Deny | OnUnavailable::ServeStale(_) => {
                Err(RejectionKind::StatusUnavailable)
            }
        }
    }

    /// The list of this URL that is in use: this one, or the one that has replaced it.
    pub(super) fn current(&self) -> Option<Arc<Self>> {
        self.lists.upgrade()?.find_or_add(&self.address)
    }

    /// Lets a request wait for the end of an attempt, up to the timeout. `None` if no attempt runs and none may begin.
    pub(super) fn ask(self: &Arc<Self>) -> Option<impl Future<Output = ()> + Send + use<>> {
        let (is_worth_it, round) = {
            let status = self.status.borrow();
            let may_fetch = !self.task.is_stopped() && status.may_be_asked(self.now());
            (status.is_fetching() || may_fetch, status.ended)
        };
        let list = is_worth_it.then(|| Arc::clone(self))?;
        Some(async move { list.answer_after(round).await })
    }

    async fn answer_after(self: Arc<Self>, round: u64) {
        self.start();
        if !self.task.health().is_running {
            return;
        }
        self.is_needed.notify_one();
        let mut status = self.status.subscribe();
        let answer = pin!(status.wait_for(|status| status.ended != round));
        // A task that stops before its attempt has begun ends no attempt.
        let ended = pin!(self.task.ended());
        let answered = async { matches!(select(answer, ended).await, Either::Left(_)) };
        // Without a runtime there is no timer: the timeout of the attempt ends the wait.
        if Handle::try_current().is_err() {
            answered.await;
        } else {
            let _ = timeout(self.settings.wait_timeout, answered).await;
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether the list is used now, and how old it is.
    pub(super) fn state(&self) -> (bool, Option<Duration>) {
        let now = self.now();
        let is_usable = now.unix_time.as_secs() < self.usable_until.load(Ordering::Acquire);
        (is_usable, self.status.borrow().age(now))
    }

    pub(super) fn note_use(&self, now: UnixTime) {
        if now.as_secs().saturating_sub(self.used_at.load(Ordering::Relaxed)) >= NOTED_EVERY {
            self.used_at.store(now.as_secs(), Ordering::Relaxed);
        }
    }

    pub(super) fn is_idle(&self, now: UnixTime) -> bool {
        now.as_secs().saturating_sub(self.used_at.load(Ordering::Relaxed)) >= IDLE
    }

    pub(super) fn stop(&self) {
        self.task.stop();
    }

    fn start(self: &Arc<Self>) {
        let list = Arc::clone(self);
        self.task.start(async move { list.run().await });
    }

    async fn run(&self) {
        let _interrupted = FailsInterruptedAttempt(self);
        let mut etag = None;
        loop {
            let now = self.now();
            let (due_in, usable_for) = {
                let status = self.status.borrow();
                let due_in = status.due_in(now, self.settings.longest_interval);
                (due_in, self.usable_for(&status, now))
            };
            if usable_for.is_zero() {
                self.usable_until.store(0, Ordering::Release);
            }
            if due_in.is_zero() {
                if self.lists.upgrade().is_none_or(|lists| lists.remove_idle(self)) {
                    self.usable_until.store(0, Ordering::Release);
                    self.statuses.store(None);
                    return;
                }
                self.attempt(&mut etag).await;
                continue;
            }
            // Tokio's timer only wakes the task. The clock of the settings tells the time.
            let alarm = if usable_for.is_zero() { due_in } else { due_in.min(usable_for) };
            let is_needed = timeout(alarm, self.is_needed.notified()).await.is_ok();
            if is_needed && self.status.borrow().may_be_asked(self.now()) {
                self.attempt(&mut etag).await;
            }
        }
    }

    /// How long the list may still be used: its lifetime and the limit for outages, but not past its `exp`.
    fn usable_for(&self, status: &Status, now: Moment) -> Duration {
        let usable = status.usable_for(now, self.settings.stale_limit());
        let expires_at = self.statuses.load().as_ref().and_then(|statuses| statuses.expires_at);
        let until_expiry =
            expires_at.map(|expires_at| expires_at.saturating_duration_since(now.wall()));
        usable.min(until_expiry.unwrap_or(Duration::MAX))
    }

    async fn attempt(&self, etag: &mut Etag) {
        let sent = self.now();
        self.status.send_modify(|status| status.begin(sent));
        match self.fetch(etag, sent).await {
            Ok(FetchedList { statuses, is_modified, max_age }) => {
                let fetch = Fetch { sent, lifetime: lifetime(&statuses, sent, max_age) };
                self.statuses.store(Some(statuses));
                telemetry::status_list_fetched(is_modified);
                self.counters.fetched(is_modified);
                self.task.succeeded();
                self.status.send_modify(|status| {
                    status.succeed(fetch, is_modified);
                    // Before the requests that wait for this attempt are woken.
                    let usable = sent.unix_time.saturating_add(self.usable_for(status, sent));
                    self.usable_until.store(usable.as_secs(), Ordering::Release);
                });
            }
            Err(error) => {
                *etag = None;
                telemetry::status_list_not_fetched(&error.without_client_text());
                self.fail(error);
            }
        }
    }

    async fn fetch(&self, etag: &mut Etag, sent: Moment) -> Result<FetchedList, FetchError> {
        let request = FetchRequest::new(self.address.as_str(), etag.as_deref(), false)
            .accepting(ACCEPTED)
            .up_to(self.settings.max_size);
        let fetched =
            exchange(&*self.settings.fetcher, request, self.settings.fetch_timeout).await?;
        let current = self.statuses.load_full();
        let Some(document) = fetched.document else {
            let current = current.filter(|_| etag.is_some());
            let statuses = current.ok_or(FetchError::Status(http::StatusCode::NOT_MODIFIED))?;
            if statuses.is_expired(sent.wall()) {
                return Err(FetchError::UnusableStatusList("`exp` in the future"));
            }
            return Ok(FetchedList { statuses, is_modified: false, max_age: fetched.max_age });
        };
        let statuses = self.read(document).await?;
        // Otherwise an old answer could make a revoked token valid again.
        if current.is_some_and(|current| statuses.issued_at < current.issued_at) {
            return Err(FetchError::UnusableStatusList(
                "`iat` not before that of the current list",
            ));
        }
        *etag = fetched.etag;
        Ok(FetchedList {
            statuses: Arc::new(statuses),
            is_modified: true,
            max_age: fetched.max_age,
        })
    }

    /// Verifies and inflates the list. If its key is unknown, the keys are fetched once.
    async fn read(&self, document: Bytes) -> Result<Statuses, FetchError> {
        let first = self.read_with_current_keys(document.clone()).await?;
        let (number, unknown) = match first {
            (_, Ok(statuses)) => return Ok(statuses),
            (number, Err(unreadable)) => (number, unreadable),
        };
        let remote = self.settings.keys.as_ref().and_then(|keys| keys.remote());
        if let (Unreadable::UnknownKey, Some(remote)) = (unknown, remote)
            && let Ok(wait) = remote.ask(RejectionKind::UnknownKey, number)
        {
            wait.until_answered().await;
            let (_, second) = self.read_with_current_keys(document).await?;
            return second.map_err(to_error);
        }
        Err(to_error(unknown))
    }

    /// A large list takes time to inflate, so another thread does it. Also returns the number of the key set.
    async fn read_with_current_keys(
        &self,
        document: Bytes,
    ) -> Result<(u64, Result<Statuses, Unreadable>), FetchError> {
        let clock = &*self.settings.clock;
        let keys = self.settings.keys.as_ref().map(|keys| keys.current(clock));
        let keys = keys.ok_or(FetchError::UnusableStatusList("keys of an issuer"))?;
        let (keys, now) = (arc_swap::Guard::into_inner(keys), clock.now());
        let (uri, max_size) = (self.address.clone(), self.settings.max_size);
        let reading = spawn_blocking(move || {
            let statuses = Statuses::read(&document, uri.as_str(), &keys, now, max_size);
            (keys.number(), statuses)
        });
        reading.await.map_err(|_| FetchError::Panicked)
    }

    fn fail(&self, error: FetchError) {
        let now = self.now();
        self.task.failed(error.kind());
        let error = Arc::new(error);
        self.counters.failed(&error);
        self.status.send_modify(|status| status.fail(error, now));
    }

    fn now(&self) -> Moment {
        Moment::of(&*self.settings.clock)
    }
}

/// How long a list is fresh. Its own claims take precedence over the headers of the response (section 8.2).
fn lifetime(statuses: &Statuses, sent: Moment, max_age: Option<Duration>) -> Duration {
    let until_expiry =
        statuses.expires_at.map(|expires_at| expires_at.saturating_duration_since(sent.wall()));
    schedule::lifetime(statuses.time_to_live.or(until_expiry).or(max_age))
}

fn to_error(unreadable: Unreadable) -> FetchError {
    FetchError::UnusableStatusList(match unreadable {
        Unreadable::UnknownKey => "a signature by a key of the issuer",
        Unreadable::Because(expected) => expected,
    })
}

/// Fails the attempt that the end of the task interrupts, also when the runtime ends. Requests wait for attempts.
struct FailsInterruptedAttempt<'a>(&'a StatusList);

impl Drop for FailsInterruptedAttempt<'_> {
    fn drop(&mut self) {
        if self.0.status.borrow().is_fetching() {
            self.0.fail(FetchError::Stopped);
        }
    }
}
