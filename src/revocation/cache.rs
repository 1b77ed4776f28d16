//! The cache in front of a revocation store, for the authenticator and for code that revokes.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::FutureExt;

use super::{
    RevocationEntry, RevocationStats, RevocationStore, RevokeError, TokenFacts, Unavailable,
    Verdict,
    answers::{Answers, RevocationMemo, Token},
    cached_answer::{CachedAnswer, Sent},
    in_flight::{InFlight, Reply, in_time},
    local::LocalState,
    stats::Counters,
};
use crate::{
    Authenticated, BoxFuture,
    claims::{Clock, Moment, SystemClock},
    telemetry::{self, LookUpTimer, WarningLimit},
};

/// Decides about a request if the store did not answer in time or failed.
///
/// No variant overrides a denial that this process knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// The request is rejected as unavailable: 503, not 401.
    #[default]
    Deny,
    /// The token counts as not revoked, and the check is counted in [`RevocationStats::allowed`]. An attacker who can
    /// block the answers of the store can then use a revoked token.
    Allow,
    /// The cache uses an older "not revoked" about this token if its question was sent at most the bound plus this time
    /// ago. It counts the check in [`RevocationStats::served_stale`]. Without such an answer the request is rejected as
    /// unavailable. While the store is down, the staleness bound grows by this time.
    ServeStale(Duration),
}

/// Remembers the answers of a [`RevocationStore`] and the revocations, by the rules of the [module](super).
///
/// Clones share the denials, the doubts and the counters for ever. They share the cached answers until a `with_*`
/// method is called on one of them. A `with_*` method changes its own clone only, not earlier clones. Give one clone to
/// the [`Authenticator`](crate::Authenticator) and others to the code that revokes.
///
/// While the store fails, every request without a cached answer asks again and waits for the failure, at most the
/// [timeout](Self::with_lookup_timeout). Requests with the same token wait for the same lookup. The cache never pauses
/// its lookups: the first answer ends the outage.
#[derive(Clone)]
pub struct RevocationCache {
    shared: Arc<Shared>,
    asking: Arc<Asking>,
}

/// Common to all clones.
struct Shared {
    local: LocalState,
    counters: Counters,
    warnings: WarningLimit,
}

impl Shared {
    fn doubt(&self) {
        self.local.doubt();
        telemetry::doubted();
    }

    fn tell_of_failure(&self, kind: &'static str, clock: &dyn Clock) {
        telemetry::store_failed(kind, &self.warnings, clock.monotonic());
    }
}

/// The store, the settings of lookups, and the cached answers.
struct Asking {
    settings: Settings,
    answers: Answers,
    in_flight: Arc<InFlight>,
}

#[derive(Clone)]
struct Settings {
    /// `None` if everything is revoked through this cache.
    store: Option<Arc<dyn RevocationStore>>,
    clock: Arc<dyn Clock>,
    bound: Duration,
    on_unavailable: OnUnavailable,
    lookup_timeout: Duration,
    capacity: u64,
}

/// The result of a check that did not wait.
pub(crate) enum Check {
    Done(Reply),
    /// The check waits for the store. Dropping this cancels no other check.
    Pending(BoxFuture<'static, Reply>),
}

impl RevocationCache {
    /// A cache in front of `store`.
    ///
    /// `bound` is the staleness bound: the longest time that a "not revoked" is used, counted from when its question
    /// was sent. A revocation of another process is seen here after `bound` at the latest. With zero the cache
    /// remembers no answer and asks at every request.
    #[must_use]
    pub fn new(store: impl RevocationStore, bound: Duration) -> Self {
        Self::with_store(Some(Arc::new(store)), bound)
    }

    /// For a service of a single process. Everything is revoked through clones of this cache, and there is no store.
    ///
    /// **Revocations are lost when the process ends**: a token that was revoked is then accepted again until it
    /// expires. A second process does not see them. The settings of lookups have no effect.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_bearer::{UnixTime, RevocationCache, revocation::{Revocable, RevocationEntry}};
    ///
    /// let revocation = RevocationCache::in_memory();
    /// let token = Revocable::token("https://issuer.example", "7f3a");
    /// let expires_at = UnixTime::from_secs(4_102_444_800);
    /// revocation.revoke(&RevocationEntry::new(token, expires_at)).await?;
    /// assert_eq!(revocation.stats().denials, 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn in_memory() -> Self {
        Self::with_store(None, Duration::ZERO)
    }

    fn with_store(store: Option<Arc<dyn RevocationStore>>, bound: Duration) -> Self {
        let settings = Settings {
            store,
            clock: Arc::new(SystemClock),
            bound,
            on_unavailable: OnUnavailable::default(),
            lookup_timeout: Duration::from_secs(1),
            capacity: 100_000,
        };
        let shared = Shared {
            local: LocalState::new(),
            counters: Counters::default(),
            warnings: WarningLimit::default(),
        };
        Self { shared: Arc::new(shared), asking: Arc::new(Asking::new(settings)) }
    }

    /// Takes the time from `clock`. Use the clock of the [`Authenticator`](crate::Authenticator). Default:
    /// [`SystemClock`].
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.with_shared_clock(Arc::new(clock))
    }

    pub(crate) fn with_shared_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|settings| settings.clock = clock)
    }

    /// Decides about a request if the store could not answer. Default: [`OnUnavailable::Deny`].
    #[must_use]
    pub fn with_on_unavailable(self, on_unavailable: OnUnavailable) -> Self {
        self.with(|settings| settings.on_unavailable = on_unavailable)
    }

    /// The timeout of one lookup. After it the store counts as unavailable. Default: 1 second.
    ///
    /// Has no effect on [`revoke`](Self::revoke). Has no effect on a lookup that is polled outside a Tokio runtime,
    /// because it uses the runtime's timer.
    #[must_use]
    pub fn with_lookup_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.lookup_timeout = timeout)
    }

    /// The number of "not revoked" answers to remember. Answers beyond it are forgotten early and asked for again.
    /// Default: 100 000. With zero the cache remembers none.
    ///
    /// Has no effect on denials. Only time removes them, so they use as much memory as they need.
    #[must_use]
    pub fn with_capacity(self, answers: u64) -> Self {
        self.with(|settings| settings.capacity = answers)
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.asking.settings.clone();
        change(&mut settings);
        self.asking = Arc::new(Asking::new(settings));
        self
    }

    /// Revokes, in this process and in the store.
    ///
    /// This does not know the verifier, so it revokes without a check: also a key that was removed, or a thing of an
    /// issuer that is not configured. A misspelt name or id is not an error and matches nothing. For subjects, sessions
    /// and keys prefer [`Authenticator::revoke_subject`](crate::Authenticator::revoke_subject) and its siblings, which
    /// check names and compute dates.
    ///
    /// A second revocation never shortens an earlier one and never lowers a cut-off. The revocation is in force in this
    /// process before the store is asked. This has no timeout. If the future is dropped after it was polled, the store
    /// may or may not know of the revocation.
    ///
    /// # Errors
    /// [`RevokeError::Unavailable`] if the store did not confirm. The revocation **stays in force in this process**.
    /// Other processes may not know of it, and it may be lost when this process ends. Call again until it succeeds.
    ///
    /// [`RevokeError::Expired`] if the entry is [obsolete](RevocationEntry::obsolete_after): it has no effect.
    pub async fn revoke(&self, entry: &RevocationEntry) -> Result<(), RevokeError> {
        self.apply(entry);
        if let Some(store) = &self.asking.settings.store {
            store.revoke(entry).await?;
        }
        // After the store has the entry: if this clock is wrong, other processes still learn of the revocation.
        if entry.obsolete_after() < self.clock().now() {
            return Err(RevokeError::Expired);
        }
        Ok(())
    }

    /// Revokes one token until it has expired: [`revoke`](Self::revoke) with its own id and `exp`.
    ///
    /// Any verifier may have verified the token: the revocation is kept under the name of the token's issuer.
    ///
    /// # Errors
    /// Like [`revoke`](Self::revoke), also if the token has expired in the meantime.
    pub async fn revoke_token<C>(&self, token: &Authenticated<C>) -> Result<(), RevokeError> {
        self.revoke(&Token::of(&token.token().facts()).entry()).await
    }

    /// Puts a revocation of another process in force, which the store has already recorded. For code that listens to
    /// the store's stream of revocations. The very next request sees the revocation, or sees it from its
    /// [start](RevocationEntry::starts_at) on, by the clock of this cache.
    pub fn apply(&self, entry: &RevocationEntry) {
        self.shared.local.apply(entry, self.clock());
    }

    /// Marks all cached answers as stale. Call it after a gap in your stream of revocations, such as a reconnect.
    ///
    /// Only [`OnUnavailable::ServeStale`] uses stale answers, up to the same age as without a doubt. Denials stay.
    pub fn doubt(&self) {
        self.shared.doubt();
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn place(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    /// Counters, and the numbers of things in memory. For operators, not for every request: it counts all of them.
    #[must_use]
    pub fn stats(&self) -> RevocationStats {
        RevocationStats {
            denials: self.shared.local.denials() as u64,
            answers: self.asking.answers.len(),
            in_flight: self.asking.in_flight.len() as u64,
            ..self.shared.counters.read()
        }
    }

    /// A handle that does not keep the cache alive. For a task that listens to the store's stream of revocations.
    #[must_use]
    pub fn downgrade(&self) -> WeakRevocationCache {
        let clock = Arc::clone(&self.asking.settings.clock);
        WeakRevocationCache { shared: Arc::downgrade(&self.shared), clock }
    }

    /// Checks whether a token is revoked: at once if this process knows, otherwise with a lookup.
    ///
    /// The epoch is loaded before any search. The proof at [`LocalState`] depends on this.
    pub(crate) fn check(&self, token: &TokenFacts<'_>, memo: &RevocationMemo) -> Check {
        let (local, counters) = (&self.shared.local, &self.shared.counters);
        if self.asking.settings.store.is_none() {
            return Check::Done(Ok(match local.refuse(token, self.clock()) {
                true => Verdict::Revoked,
                false => Verdict::NotRevoked,
            }));
        }
        local.start_due(self.clock());
        let now = Sent { epoch: local.epoch(), at: Moment::of(self.clock()) };

        let is_fresh = |answer: &CachedAnswer| self.asking.is_fresh(answer.sent, now);
        let kept = memo.load();
        let kept = kept.as_ref().and_then(|kept| kept.as_ref());
        let carried = kept.filter(|answer| self.asking.answers.own(answer));
        // A doubted answer of the token must not hide a newer answer.
        let good = carried.filter(|answer| is_fresh(answer) && local.is_trusted(answer.sent.epoch));
        let remembered = match good {
            Some(_) => None,
            None => self.asking.answers.get(token).filter(|answer| is_fresh(answer)),
        };
        if let Some(answer) = &remembered {
            memo.keep(answer);
        }
        let answer = good.or(remembered.as_ref()).map(|answer| &**answer);
        match local.judge(now.epoch, answer, token, self.clock()) {
            None => Check::Pending(self.ask(token, now, carried.cloned())),
            Some(verdict) => {
                if verdict == Verdict::NotRevoked {
                    counters.hits.add_one();
                }
                Check::Done(Ok(verdict))
            }
        }
    }

    /// Sends a lookup, or joins one in flight.
    fn ask(
        &self,
        token: &TokenFacts<'_>,
        now: Sent,
        carried: Option<Arc<CachedAnswer>>,
    ) -> BoxFuture<'static, Reply> {
        let token = Arc::new(Token::of(token));
        // A request does not join a lookup whose timeout is over: that would give the lookup more time than allowed.
        let timeout = self.asking.settings.lookup_timeout;
        let may_join = |sent: Sent| {
            self.asking.is_fresh(sent, now)
                && now.at.age_of(sent.at) < timeout
                && self.shared.local.is_trusted(sent.epoch)
        };
        let look_up = self.clone().look_up(Arc::clone(&token), now);
        let (reply, joined) = self.asking.in_flight.join_or_start(&token, now, may_join, look_up);
        let counters = &self.shared.counters;
        if joined { &counters.joined } else { &counters.look_ups }.add_one();

        let cache = self.clone();
        Box::pin(async move {
            let reply = in_time(timeout, reply).await.unwrap_or_else(|| {
                cache.shared.counters.timed_out.add_one();
                cache.shared.tell_of_failure("timed_out", cache.clock());
                Err(Unavailable)
            });
            cache.conclude(&token, reply, carried)
        })
    }

    /// One lookup, shared by all requests that wait for it.
    async fn look_up(self, token: Arc<Token>, sent: Sent) -> Reply {
        let reply = self.asking.put_question(&token, &self.shared).await;
        match reply {
            Ok(Verdict::Revoked) => self.apply(&token.entry()),
            Ok(Verdict::RevokedFrom(starts_at)) => {
                // The requests that wait for the reply find the entry if it starts in the meantime.
                self.apply(&token.entry().with_start(starts_at));
                self.asking.remember(&token, sent);
                return Ok(Verdict::NotRevoked);
            }
            Ok(Verdict::NotRevoked) => self.asking.remember(&token, sent),
            Err(Unavailable) => {}
        }
        reply
    }

    /// Decides about one request that waited for the store's reply.
    ///
    /// Each request searches the denials itself, at its turn: a revocation may be newer than the question, or the store
    /// may not know what this process knows.
    fn conclude(&self, token: &Token, reply: Reply, carried: Option<Arc<CachedAnswer>>) -> Reply {
        if self.shared.local.refuse(&token.facts(), self.clock()) {
            return Ok(Verdict::Revoked);
        }
        if reply.is_ok() {
            return reply;
        }
        let counters = &self.shared.counters;
        let (answer, counter) = match self.asking.settings.on_unavailable {
            OnUnavailable::Allow => (Ok(Verdict::NotRevoked), &counters.allowed),
            OnUnavailable::ServeStale(_) if self.asking.has_usable_stale(token, carried) => {
                (Ok(Verdict::NotRevoked), &counters.served_stale)
            }
            OnUnavailable::ServeStale(_) | OnUnavailable::Deny => {
                (Err(Unavailable), &counters.unavailable)
            }
        };
        counter.add_one();
        answer
    }

    fn clock(&self) -> &dyn Clock {
        &*self.asking.settings.clock
    }
}

/// A handle that does not keep its cache alive, from [`RevocationCache::downgrade`]. For a task that applies the
/// revocations of other processes and ends when the last clone of the cache is dropped.
#[derive(Clone)]
pub struct WeakRevocationCache {
    shared: Weak<Shared>,
    clock: Arc<dyn Clock>,
}

impl WeakRevocationCache {
    /// Like [`RevocationCache::apply`]. Returns whether the cache still exists.
    pub fn apply(&self, entry: &RevocationEntry) -> bool {
        let Some(shared) = self.shared.upgrade() else { return false };
        shared.local.apply(entry, &*self.clock);
        true
    }

    /// Like [`RevocationCache::doubt`]. Returns whether the cache still exists.
    pub fn doubt(&self) -> bool {
        self.shared.upgrade().map(|shared| shared.doubt()).is_some()
    }

    /// Whether a clone of the cache still exists.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.shared.strong_count() > 0
    }
}

impl fmt::Debug for WeakRevocationCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakRevocationCache").field("is_alive", &self.is_alive()).finish()
    }
}

impl Asking {
    fn new(settings: Settings) -> Self {
        let answers = Answers::new(settings.capacity, settings.usable());
        Self { settings, answers, in_flight: Arc::default() }
    }

    /// Whether a question sent at `sent` is recent enough for a request at `now`.
    fn is_fresh(&self, sent: Sent, now: Sent) -> bool {
        let bound = self.settings.bound;
        // With a bound of zero nothing is shared, even if the clock does not advance.
        !bound.is_zero() && now.at.age_of(sent.at) <= bound
    }

    /// Whether an answer, the token's own or a remembered one, is young enough for [`OnUnavailable::ServeStale`].
    fn has_usable_stale(&self, token: &Token, carried: Option<Arc<CachedAnswer>>) -> bool {
        let now = Moment::of(&*self.settings.clock);
        let remembered = self.answers.get(&token.facts());
        carried
            .into_iter()
            .chain(remembered)
            .any(|answer| now.age_of(answer.sent.at) <= self.settings.usable())
    }

    fn remember(&self, token: &Token, sent: Sent) {
        if !self.settings.usable().is_zero() {
            self.answers.insert(token, sent);
        }
    }

    /// The store's verdict now. A start in it is in the future.
    async fn put_question(&self, token: &Token, shared: &Shared) -> Reply {
        let Some(store) = &self.settings.store else { return Ok(Verdict::NotRevoked) };
        let lookup = token.lookup();
        let timer = LookUpTimer::start();
        // A panic of the store counts as a failure, and the panic hook has reported it. Without this, the panic would
        // reach every request that waits for this lookup.
        let question = AssertUnwindSafe(async { store.look_up(&lookup).await });
        let kind = match question.catch_unwind().await {
            Ok(Ok(verdict)) => {
                let verdict = match verdict {
                    Verdict::RevokedFrom(start) => {
                        Verdict::starting_at(Some(start), self.settings.clock.now())
                    }
                    verdict => verdict,
                };
                timer.end(Ok(verdict));
                return Ok(verdict);
            }
            Ok(Err(error)) => error.kind(),
            Err(_) => "panicked",
        };
        timer.end(Err(Unavailable));
        shared.counters.failures.add_one();
        shared.tell_of_failure(kind, &*self.settings.clock);
        Err(Unavailable)
    }
}

impl Settings {
    /// The longest time that an answer is useful.
    fn usable(&self) -> Duration {
        match self.on_unavailable {
            OnUnavailable::ServeStale(max_age) => self.bound.saturating_add(max_age),
            OnUnavailable::Deny | OnUnavailable::Allow => self.bound,
        }
    }
}

impl fmt::Debug for RevocationCache {
    /// Shows the settings, not the cached answers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { bound, on_unavailable, lookup_timeout, capacity, .. } =
            &self.asking.settings;
        f.debug_struct("RevocationCache")
            .field("bound", bound)
            .field("on_unavailable", on_unavailable)
            .field("lookup_timeout", lookup_timeout)
            .field("capacity", capacity)
            .finish_non_exhaustive()
    }
}
