//! The cache in front of a store, and the rules by which it answers.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::FutureExt;

use super::{
    Revocable, RevocationStats, RevocationStore, RevokeError, TokenFacts, Verdict,
    answers::{Answers, RevocationMemo, Token},
    dated::{DatedAnswer, Sent},
    in_flight::{InFlight, Reply, in_time},
    known::{Judgement, Known, keep_until},
    stats::Counters,
};
use crate::{
    Authenticated, BoxFuture,
    claims::{Clock, Moment, SystemClock},
    telemetry::{self, LookUpOutcome, LookUpTimer, Pace},
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
/// Clones share what is known: the denials, the doubts and the counters, for ever, and the remembered
/// answers until a `with_*` method is called on one of them. Settings belong to a clone: `with_*` leaves
/// clones made before as they are. So one clone goes to the
/// [`Authenticator`](crate::Authenticator) and others to whoever revokes.
///
/// While the store fails, every request whose answer is not remembered asks again and waits for its failure,
/// at most the [time box](Self::with_time_box); requests with the same token wait for the same question.
/// There is no pause in which the store is not asked: the first answer after an outage ends it.
#[derive(Clone)]
pub struct RevocationCache {
    known: Arc<Shared>,
    asking: Arc<Asking>,
}

/// Common to all clones.
struct Shared {
    known: Known,
    counters: Counters,
    warnings: Pace,
}

impl Shared {
    fn doubt(&self) {
        self.known.doubt();
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
    store: Arc<dyn RevocationStore>,
    clock: Arc<dyn Clock>,
    bound: Duration,
    on_unavailable: OnUnavailable,
    time_box: Duration,
    capacity: u64,
}

/// Whether a token is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    NotRevoked,
    Revoked,
    /// Nobody can tell now.
    Unavailable,
}

/// How far a check came without waiting.
pub(crate) enum Check {
    Known(Answer),
    /// The store is being asked; dropping this cancels nobody else's check.
    Pending(BoxFuture<'static, Answer>),
}

impl RevocationCache {
    /// A cache in front of `store`.
    ///
    /// `bound` is the longest time that a "not revoked" is used, counted from when its question was sent:
    /// what is revoked elsewhere is refused here after `bound` at the latest. Zero remembers no answer and
    /// asks at every request.
    #[must_use]
    pub fn new(store: impl RevocationStore, bound: Duration) -> Self {
        let settings = Settings {
            store: Arc::new(store),
            clock: Arc::new(SystemClock),
            bound,
            on_unavailable: OnUnavailable::default(),
            time_box: Duration::from_secs(1),
            capacity: 100_000,
        };
        let known = Shared {
            known: Known::new(),
            counters: Counters::default(),
            warnings: Pace::default(),
        };
        Self { known: Arc::new(known), asking: Arc::new(Asking::new(settings)) }
    }

    /// Takes the time from `clock`, which should be the [`Verifier`](crate::Verifier)'s. Default:
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
    pub fn with_time_box(self, time_box: Duration) -> Self {
        self.with(|settings| settings.time_box = time_box)
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
    /// `expires_at`, in seconds since the Unix epoch, is the latest `exp` of any token concerned: a token's
    /// own, or for a subject, session or key the time of revocation and the longest lifetime that is
    /// issued. The revocation is kept until [`MAX_LEEWAY`](crate::claims::MAX_LEEWAY) and a minute after it,
    /// here and in the store. Revoking again never shortens an earlier revocation nor lowers a cut-off.
    ///
    /// The revocation is in force in this process before the store is asked. The store may take its time:
    /// there is no time box here. Dropping the future once it was polled leaves it open whether the store
    /// knows.
    ///
    /// # Errors
    /// [`RevokeError::Unavailable`] when the store did not confirm. The revocation **stays in force in this process**;
    /// other processes may not know of it, and it may be lost when this one ends. Call again until it succeeds.
    ///
    /// [`RevokeError::Expired`] if the time until which the revocation is kept has passed: it has no effect.
    pub async fn revoke(&self, what: Revocable, expires_at: u64) -> Result<(), RevokeError> {
        let keep_until = keep_until(expires_at);
        self.deny(&what, expires_at);
        self.asking.settings.store.revoke(&what, keep_until).await?;
        // Told last: where this clock is wrong, others still learn of the revocation.
        if keep_until < self.clock().unix_time().as_secs() {
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
        let token = Token::of(&token.token().facts());
        self.revoke(token.itself(), token.expires_at()).await
    }

    /// Puts a revocation in force that was made elsewhere and that the store knows already: for whoever
    /// listens to the store's stream of revocations.
    ///
    /// `expires_at` is as for [`revoke`](Self::revoke). The very next request sees it.
    pub fn apply(&self, what: Revocable, expires_at: u64) {
        self.deny(&what, expires_at);
    }

    /// As [`apply`](Self::apply), for a token that is revoked from the Unix second `starts_at` on. Requests before it
    /// pass, requests from it on are rejected, by the clock of this cache. For anything but a [`Revocable::Token`] it
    /// applies at once.
    pub fn apply_from(&self, what: Revocable, starts_at: u64, expires_at: u64) {
        self.deny_from(&what, starts_at, expires_at);
    }

    /// Makes every "not revoked" stale whose question was sent before now: for whoever listens to the
    /// store's stream of revocations and may have missed some, after a gap or a reconnection.
    ///
    /// Stale answers are used by [`OnUnavailable::ServeStale`] only, up to the age that they would have been
    /// used to anyway. Denials stay.
    pub fn doubt(&self) {
        self.known.doubt();
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn place(&self) -> usize {
        Arc::as_ptr(&self.known).addr()
    }

    /// Counters, and how much is held now. For operators, not for every request: it counts through.
    #[must_use]
    pub fn stats(&self) -> RevocationStats {
        RevocationStats {
            denials: self.known.known.denials() as u64,
            answers: self.asking.answers.len(),
            in_flight: self.asking.in_flight.len() as u64,
            ..self.known.counters.read()
        }
    }

    /// A handle that does not keep the cache alive: for a task that listens to the store's stream of revocations.
    #[must_use]
    pub fn downgrade(&self) -> WeakRevocationCache {
        let clock = Arc::clone(&self.asking.settings.clock);
        WeakRevocationCache { known: Arc::downgrade(&self.known), clock }
    }

    fn deny(&self, what: &Revocable, expires_at: u64) {
        self.known.known.deny(what, keep_until(expires_at), self.clock());
    }

    fn deny_from(&self, what: &Revocable, starts_at: u64, expires_at: u64) {
        self.known.known.deny_from(
            what,
            starts_of(what, starts_at),
            keep_until(expires_at),
            self.clock(),
        );
    }

    /// Whether a token is revoked: at once where that is known, else by asking the store.
    ///
    /// The epoch is loaded before anything is looked for: that is part of the argument of [`Known`].
    pub(crate) fn check(&self, token: &TokenFacts<'_>, memo: &RevocationMemo) -> Check {
        let (known, counters) = (&self.known.known, &self.known.counters);
        known.start_due(self.clock());
        let now = Sent { epoch: known.epoch(), at: Moment::of(self.clock()) };

        let is_fresh = |answer: &DatedAnswer| self.asking.is_fresh(answer.sent, now);
        let kept = memo.load();
        let kept = kept.as_ref().and_then(|kept| kept.as_ref());
        let carried = kept.filter(|answer| self.asking.answers.own(answer));
        // One that is doubted must not hide the one that has come since.
        let good = carried.filter(|answer| is_fresh(answer) && known.is_trusted(answer.sent.epoch));
        let remembered = match good {
            Some(_) => None,
            None => self.asking.answers.get(token).filter(|answer| is_fresh(answer)),
        };
        if let Some(answer) = &remembered {
            memo.keep(answer);
        }
        let answer = good.or(remembered.as_ref()).map(|answer| &**answer);
        match known.judge(now.epoch, answer, token, self.clock()) {
            Judgement::Revoked => Check::Known(Answer::Revoked),
            Judgement::NotRevoked => {
                counters.hits.add_one();
                Check::Known(Answer::NotRevoked)
            }
            Judgement::Open => Check::Pending(self.ask(token, now, carried.cloned())),
        }
    }

    /// Asks the store, or waits with those who are asking already.
    fn ask(
        &self,
        token: &TokenFacts<'_>,
        now: Sent,
        carried: Option<Arc<DatedAnswer>>,
    ) -> BoxFuture<'static, Answer> {
        let token = Arc::new(Token::of(token));
        // Joining a question that others are about to give up would be giving it more than its time.
        let time_box = self.asking.settings.time_box;
        let may_join = |sent: Sent| {
            self.asking.is_fresh(sent, now)
                && now.at.age_of(sent.at) < time_box
                && self.known.known.is_trusted(sent.epoch)
        };
        let look_up = self.clone().look_up(Arc::clone(&token), now);
        let (reply, joined) = self.asking.in_flight.join_or_start(&token, now, may_join, look_up);
        let counters = &self.known.counters;
        if joined { &counters.joined } else { &counters.look_ups }.add_one();

        let cache = self.clone();
        Box::pin(async move {
            let reply = in_time(time_box, reply).await.unwrap_or_else(|| {
                cache.known.counters.timed_out.add_one();
                cache.known.tell_of_failure("timed_out", cache.clock());
                Reply::Failed
            });
            cache.conclude(&token, reply, carried)
        })
    }

    /// One question to the store, on behalf of all who wait for it.
    async fn look_up(self, token: Arc<Token>, sent: Sent) -> Reply {
        let (reply, starts_at) = self.asking.put_question(&token, &self.known).await;
        if let Some(starts_at) = starts_at {
            self.deny_from(&token.itself(), starts_at, token.expires_at());
        }
        match reply {
            Reply::NotRevoked => self.asking.remember(&token, sent),
            Reply::Revoked => self.deny(&token.itself(), token.expires_at()),
            Reply::Failed => {}
        }
        reply
    }

    /// What the store's reply means to one of those who waited for it.
    ///
    /// Each looks at the denials for itself, when it is its turn: a revocation may have come since the
    /// question was sent, or the store may not know what this process knows.
    fn conclude(&self, token: &Token, reply: Reply, carried: Option<Arc<DatedAnswer>>) -> Answer {
        if reply == Reply::Revoked || self.known.known.refuse(&token.facts(), self.clock()) {
            return Answer::Revoked;
        }
        if reply == Reply::NotRevoked {
            return Answer::NotRevoked;
        }
        let counters = &self.known.counters;
        let (answer, counter) = match self.asking.settings.on_unavailable {
            OnUnavailable::Allow => (Answer::NotRevoked, &counters.allowed),
            OnUnavailable::ServeStale(_) if self.asking.has_usable_stale(token, carried) => {
                (Answer::NotRevoked, &counters.served_stale)
            }
            OnUnavailable::ServeStale(_) | OnUnavailable::Deny => {
                (Answer::Unavailable, &counters.unavailable)
            }
        };
        counter.add_one();
        answer
    }

    fn clock(&self) -> &dyn Clock {
        &*self.asking.settings.clock
    }
}

/// Only a token is revoked from a time on.
fn starts_of(what: &Revocable, starts_at: u64) -> u64 {
    if matches!(what, Revocable::Token { .. }) { starts_at } else { 0 }
}

/// A cache without keeping it alive, from [`RevocationCache::downgrade`]: for a task that applies the revocations of other
/// processes, and ends when the last clone of the cache is gone.
#[derive(Clone)]
pub struct WeakRevocationCache {
    known: Weak<Shared>,
    clock: Arc<dyn Clock>,
}

impl WeakRevocationCache {
    /// As [`RevocationCache::apply_from`]. Returns whether the cache is still there.
    pub fn apply_from(&self, what: &Revocable, starts_at: u64, expires_at: u64) -> bool {
        let Some(shared) = self.known.upgrade() else { return false };
        let (starts_at, keep_until) = (starts_of(what, starts_at), keep_until(expires_at));
        shared.known.deny_from(what, starts_at, keep_until, &*self.clock);
        true
    }

    /// As [`RevocationCache::doubt`]. Returns whether the cache is still there.
    pub fn doubt(&self) -> bool {
        self.known.upgrade().map(|shared| shared.doubt()).is_some()
    }

    /// Whether a clone of the cache is still there.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.known.strong_count() > 0
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
    fn has_usable_stale(&self, token: &Token, carried: Option<Arc<DatedAnswer>>) -> bool {
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

    /// The reply, and the second at which the token itself will be revoked, if the store knows one.
    async fn put_question(&self, token: &Token, known: &Shared) -> (Reply, Option<u64>) {
        let revocables = token.revocables();
        let timer = LookUpTimer::start();
        // A panic of the store is a failure like others, and the hook has reported it. Let through, it would
        // take down every request that waits for this question.
        let question = AssertUnwindSafe(async { self.settings.store.look_up(&revocables).await });
        let kind = match question.catch_unwind().await {
            Ok(Ok(Verdict::NotRevoked)) => {
                timer.end(LookUpOutcome::NotRevoked);
                return (Reply::NotRevoked, None);
            }
            Ok(Ok(Verdict::RevokedFrom(starts_at))) => {
                // Those who wait for the reply find the denial if it starts meanwhile.
                let (outcome, reply) = match self.settings.clock.unix_time().as_secs() {
                    now if now < starts_at => (LookUpOutcome::NotRevoked, Reply::NotRevoked),
                    _ => (LookUpOutcome::Revoked, Reply::Revoked),
                };
                timer.end(outcome);
                return (reply, Some(starts_at));
            }
            Ok(Ok(Verdict::Revoked)) => {
                timer.end(LookUpOutcome::Revoked);
                return (Reply::Revoked, None);
            }
            Ok(Err(error)) => error.kind(),
            Err(_) => "panicked",
        };
        timer.end(LookUpOutcome::Failed);
        known.counters.failures.add_one();
        known.tell_of_failure(kind, &*self.settings.clock);
        (Reply::Failed, None)
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
        let Settings { bound, on_unavailable, time_box, capacity, .. } = &self.asking.settings;
        f.debug_struct("RevocationCache")
            .field("bound", bound)
            .field("on_unavailable", on_unavailable)
            .field("time_box", time_box)
            .field("capacity", capacity)
            .finish_non_exhaustive()
    }
}
