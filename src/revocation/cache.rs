//! The cache in front of a store, and the rules by which it answers.

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
    telemetry::{self, LookUpTimer, Pace},
};

/// What a request gets when the store was asked and could not answer in time.
///
/// None of these overrides a denial that this process knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// The request is refused as unavailable: 503, not 401.
    #[default]
    Deny,
    /// The token is taken for not revoked, and counted in [`RevocationStats::allowed`]. Whoever can keep
    /// the store from answering can then use a revoked token.
    Allow,
    /// An older "not revoked" about this token is used while its question was sent at most the bound and
    /// this long ago, and counted in [`RevocationStats::served_stale`]; without one the request is refused
    /// as unavailable. The bound of the contract grows by this much while the store is down.
    ServeStale(Duration),
}

/// Remembers what a [`RevocationStore`] answered, and what was revoked, under the contract that the
/// [module](super) states.
///
/// Clones share the denials, the doubts and the counters for ever, and the cached answers until a `with_*` method is
/// called on one of them. Settings belong to a clone: `with_*` leaves
/// clones made before as they are. So one clone goes to the
/// [`Authenticator`](crate::Authenticator) and others to whoever revokes.
///
/// While the store fails, every request whose answer is not remembered asks again and waits for its failure,
/// at most the [timeout](Self::with_lookup_timeout); requests with the same token wait for the same question.
/// There is no pause in which the store is not asked: the first answer after an outage ends it.
#[derive(Clone)]
pub struct RevocationCache {
    shared: Arc<Shared>,
    asking: Arc<Asking>,
}

/// Common to all clones.
struct Shared {
    local: LocalState,
    counters: Counters,
    warnings: Pace,
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

/// The store, how it is asked, and what it answered.
struct Asking {
    settings: Settings,
    answers: Answers,
    in_flight: Arc<InFlight>,
}

#[derive(Clone)]
struct Settings {
    /// `None`: everything is revoked through this cache.
    store: Option<Arc<dyn RevocationStore>>,
    clock: Arc<dyn Clock>,
    bound: Duration,
    on_unavailable: OnUnavailable,
    lookup_timeout: Duration,
    capacity: u64,
}

/// How far a check came without waiting.
pub(crate) enum Check {
    Done(Reply),
    /// The store is being asked; dropping this cancels no other check.
    Pending(BoxFuture<'static, Reply>),
}

impl RevocationCache {
    /// A cache in front of `store`.
    ///
    /// `bound` is the longest time that a "not revoked" is used, counted from when its question was sent:
    /// what is revoked elsewhere is refused here after `bound` at the latest. Zero remembers no answer and
    /// asks at every request.
    #[must_use]
    pub fn new(store: impl RevocationStore, bound: Duration) -> Self {
        Self::with_store(Some(Arc::new(store)), bound)
    }

    /// For a service of a single process: everything is revoked through clones of this cache, and no store is asked.
    ///
    /// **Revocations are lost when the process ends**: a token that was revoked before is accepted again until it
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
            warnings: Pace::default(),
        };
        Self { shared: Arc::new(shared), asking: Arc::new(Asking::new(settings)) }
    }

    /// Takes the time from `clock`, which should be the [`Authenticator`](crate::Authenticator)'s. Default:
    /// [`SystemClock`].
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.with_shared_clock(Arc::new(clock))
    }

    pub(crate) fn with_shared_clock(self, clock: Arc<dyn Clock>) -> Self {
        self.with(|settings| settings.clock = clock)
    }

    /// What happens when the store was asked and could not answer. Default: [`OnUnavailable::Deny`].
    #[must_use]
    pub fn with_on_unavailable(self, on_unavailable: OnUnavailable) -> Self {
        self.with(|settings| settings.on_unavailable = on_unavailable)
    }

    /// How long the store may take over one look-up before it counts as unavailable. Default: 1 second.
    ///
    /// Has no effect on [`revoke`](Self::revoke), nor where a look-up is polled outside a Tokio runtime, whose timer
    /// it takes.
    #[must_use]
    pub fn with_lookup_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.lookup_timeout = timeout)
    }

    /// How many "not revoked" answers are remembered; more than that are forgotten early and asked for
    /// again. Default: 100 000. Zero remembers none.
    ///
    /// Has no effect on denials, which only time removes: they take up what memory they need.
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

    /// Revokes, here and in the store.
    ///
    /// This knows no verifier, so it revokes unconditionally: also a key that was removed, or something of an issuer
    /// that is not configured. A misspelt name or id is not an error and matches nothing. For subjects, sessions and
    /// keys prefer [`Authenticator::revoke_subject`](crate::Authenticator::revoke_subject) and its siblings, which
    /// check names and compute dates.
    ///
    /// Revoking again never shortens an earlier revocation nor lowers a cut-off.
    ///
    /// The revocation is in force in this process before the store is asked. The store may take its time:
    /// there is no timeout here. Dropping the future once it was polled leaves it open whether the store
    /// knows.
    ///
    /// # Errors
    /// [`RevokeError::Unavailable`] when the store did not confirm. The revocation **stays in force in this process**;
    /// other processes may not know of it, and it may be lost when this one ends. Call again until it succeeds.
    ///
    /// [`RevokeError::Expired`] if the entry is [obsolete](RevocationEntry::obsolete_after): it has no effect.
    pub async fn revoke(&self, entry: &RevocationEntry) -> Result<(), RevokeError> {
        self.apply(entry);
        if let Some(store) = &self.asking.settings.store {
            store.revoke(entry).await?;
        }
        // After the store was told: where this clock is wrong, others still learn of the revocation.
        if entry.obsolete_after() < self.clock().now() {
            return Err(RevokeError::Expired);
        }
        Ok(())
    }

    /// Revokes one token, until it has expired: [`revoke`](Self::revoke) with its own id and `exp`.
    ///
    /// Any verifier may have verified the token: the revocation is kept under the name of the token's issuer.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke): also for a token that has expired since.
    pub async fn revoke_token<C>(&self, token: &Authenticated<C>) -> Result<(), RevokeError> {
        self.revoke(&Token::of(&token.token().facts()).entry()).await
    }

    /// Puts a revocation in force that was made elsewhere and that the store has recorded already: for code that
    /// listens to the store's stream of revocations. The very next request sees it, or sees it from its
    /// [start](RevocationEntry::starts_at) on, by the clock of this cache.
    pub fn apply(&self, entry: &RevocationEntry) {
        self.shared.local.apply(entry, self.clock());
    }

    /// Marks all cached answers as stale. Call it after a gap in your stream of revocations, such as a reconnect.
    ///
    /// Stale answers are used by [`OnUnavailable::ServeStale`] only, up to the age that they would have been
    /// used to anyway. Denials stay.
    pub fn doubt(&self) {
        self.shared.doubt();
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn place(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    /// Counters, and how much is held now. For operators, not for every request: it counts through.
    #[must_use]
    pub fn stats(&self) -> RevocationStats {
        RevocationStats {
            denials: self.shared.local.denials() as u64,
            answers: self.asking.answers.len(),
            in_flight: self.asking.in_flight.len() as u64,
            ..self.shared.counters.read()
        }
    }

    /// A handle that does not keep the cache alive: for a task that listens to the store's stream of revocations.
    #[must_use]
    pub fn downgrade(&self) -> WeakRevocationCache {
        let clock = Arc::clone(&self.asking.settings.clock);
        WeakRevocationCache { shared: Arc::downgrade(&self.shared), clock }
    }

    /// Whether a token is revoked: at once if this process can tell, else by asking the store.
    ///
    /// The epoch is loaded before anything is looked for: that is part of the argument of [`LocalState`].
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
        // One that is doubted must not hide the one that has come since.
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

    /// Asks the store, or waits with those who are asking already.
    fn ask(
        &self,
        token: &TokenFacts<'_>,
        now: Sent,
        carried: Option<Arc<CachedAnswer>>,
    ) -> BoxFuture<'static, Reply> {
        let token = Arc::new(Token::of(token));
        // Joining a question that others are about to give up would be giving it more than its time.
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

    /// One question to the store, on behalf of all who wait for it.
    async fn look_up(self, token: Arc<Token>, sent: Sent) -> Reply {
        let reply = self.asking.put_question(&token, &self.shared).await;
        match reply {
            Ok(Verdict::Revoked) => self.apply(&token.entry()),
            Ok(Verdict::RevokedFrom(starts_at)) => {
                // Those who wait for the reply find the entry if it starts meanwhile.
                self.apply(&token.entry().with_start(starts_at));
                self.asking.remember(&token, sent);
                return Ok(Verdict::NotRevoked);
            }
            Ok(Verdict::NotRevoked) => self.asking.remember(&token, sent),
            Err(Unavailable) => {}
        }
        reply
    }

    /// What the store's reply means to one of those who waited for it.
    ///
    /// Each looks at the denials for itself, when it is its turn: a revocation may have come since the
    /// question was sent, or the store may not know what this process knows.
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

/// A handle that does not keep its cache alive, from [`RevocationCache::downgrade`]: for a task that applies the
/// revocations of other processes, and ends when the last clone of the cache is gone.
#[derive(Clone)]
pub struct WeakRevocationCache {
    shared: Weak<Shared>,
    clock: Arc<dyn Clock>,
}

impl WeakRevocationCache {
    /// As [`RevocationCache::apply`]. Returns whether the cache is still there.
    pub fn apply(&self, entry: &RevocationEntry) -> bool {
        let Some(shared) = self.shared.upgrade() else { return false };
        shared.local.apply(entry, &*self.clock);
        true
    }

    /// As [`RevocationCache::doubt`]. Returns whether the cache is still there.
    pub fn doubt(&self) -> bool {
        self.shared.upgrade().map(|shared| shared.doubt()).is_some()
    }

    /// Whether a clone of the cache is still there.
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

    /// Whether a question that was sent then is recent enough for a request that comes now.
    fn is_fresh(&self, sent: Sent, now: Sent) -> bool {
        let bound = self.settings.bound;
        // A bound of zero shares nothing, even where the clock stands still.
        !bound.is_zero() && now.at.age_of(sent.at) <= bound
    }

    /// Whether an answer, the token's own or a remembered one, is young enough to be used in want of a better.
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

    /// The store's verdict at this moment: a start that it names is in the future.
    async fn put_question(&self, token: &Token, shared: &Shared) -> Reply {
        let Some(store) = &self.settings.store else { return Ok(Verdict::NotRevoked) };
        let lookup = token.lookup();
        let timer = LookUpTimer::start();
        // A panic of the store is a failure like others, and the hook has reported it. Let through, it would
        // take down every request that waits for this question.
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
    /// How long an answer can be of any use.
    fn usable(&self) -> Duration {
        match self.on_unavailable {
            OnUnavailable::ServeStale(max_age) => self.bound.saturating_add(max_age),
            OnUnavailable::Deny | OnUnavailable::Allow => self.bound,
        }
    }
}

impl fmt::Debug for RevocationCache {
    /// Shows settings, not what is remembered.
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
