//! Checks whether a token is revoked, with the cached answers of the store, or with a lookup. Every request passes here.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use foldhash::fast::RandomState;
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use moka::sync::Cache;

use super::{
    Lookup, RevocationEntry, RevocationStats, RevocationStore, TokenFacts, Unavailable, Verdict,
    entry::OwnedTokenFacts,
    in_flight::{InFlight, Reply, in_time},
    local_state::{CachedAnswer, LocalState, Sent},
    stats::Counters,
};
use crate::{
    BoxFuture,
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

/// The revocations that this process knows, the store, and its cached answers. The state of a
/// [`RevocationCache`](super::RevocationCache).
#[derive(Clone)]
pub(crate) struct RevocationChecker {
    pub(super) state: Arc<ProcessState>,
    pub(super) lookups: Arc<Lookups>,
}

/// Common to all clones.
pub(super) struct ProcessState {
    pub(super) local: LocalState,
    counters: Counters,
    warnings: WarningLimit,
}

impl ProcessState {
    pub(super) fn doubt(&self) {
        self.local.doubt();
        telemetry::doubted();
    }

    /// `store` is `None` if it is not known which store is slow.
    fn report_failure(&self, store: Option<&'static str>, kind: &'static str, clock: &dyn Clock) {
        telemetry::store_failed(store, kind, &self.warnings, clock.monotonic());
    }
}

/// The store, the settings of lookups, and the cached answers.
pub(super) struct Lookups {
    pub(super) settings: LookupSettings,
    answers: AnswerCache,
    in_flight: Arc<InFlight>,
}

#[derive(Clone)]
pub(super) struct LookupSettings {
    /// Revocations are written to this store. `None` if they stay in this process.
    pub(super) store: Option<Arc<dyn RevocationStore>>,
    /// Every store that is asked, with its name. The first is `store`, if there is one.
    pub(super) sources: Vec<Source>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) bound: Duration,
    pub(super) on_unavailable: OnUnavailable,
    pub(super) lookup_timeout: Duration,
    pub(super) capacity: u64,
}

/// A store that is asked, and its name in events and metrics.
pub(super) type Source = (&'static str, Arc<dyn RevocationStore>);

/// The name of the store that revocations are written to.
const MAIN: &str = "store";

/// The result of a check that did not wait.
pub(crate) enum RevocationCheck {
    Done(Reply),
    /// The check waits for the store. Dropping this cancels no other check.
    Pending(BoxFuture<'static, Reply>),
}

impl RevocationChecker {
    pub(super) fn new(store: Option<Arc<dyn RevocationStore>>, bound: Duration) -> Self {
        let settings = LookupSettings {
            sources: store.iter().map(|store| (MAIN, Arc::clone(store))).collect(),
            store,
            clock: Arc::new(SystemClock),
            bound,
            on_unavailable: OnUnavailable::default(),
            lookup_timeout: Duration::from_secs(1),
            capacity: 100_000,
        };
        let state = ProcessState {
            local: LocalState::new(),
            counters: Counters::default(),
            warnings: WarningLimit::default(),
        };
        Self { state: Arc::new(state), lookups: Arc::new(Lookups::new(settings)) }
    }

    /// The same with other settings, and without cached answers.
    pub(super) fn with(mut self, change: impl FnOnce(&mut LookupSettings)) -> Self {
        let mut settings = self.lookups.settings.clone();
        change(&mut settings);
        self.lookups = Arc::new(Lookups::new(settings));
        self
    }

    /// Puts a revocation in force in this process.
    pub(super) fn apply(&self, entry: &RevocationEntry) {
        self.state.local.apply(entry, self.clock());
    }

    pub(super) fn stats(&self) -> RevocationStats {
        RevocationStats {
            denials: self.state.local.denials() as u64,
            answers: self.lookups.answers.len(),
            in_flight: self.lookups.in_flight.len() as u64,
            ..self.state.counters.read()
        }
    }

    /// Checks whether a token is revoked: at once if this process knows, otherwise with a lookup.
    ///
    /// The epoch is loaded before any search. The proof at [`LocalState`] depends on this.
    pub(crate) fn check(&self, token: &TokenFacts<'_>, memo: &RevocationMemo) -> RevocationCheck {
        let (local, counters) = (&self.state.local, &self.state.counters);
        if self.lookups.settings.sources.is_empty() {
            return RevocationCheck::Done(Ok(match local.denies(token, self.clock()) {
                true => Verdict::Revoked,
                false => Verdict::NotRevoked,
            }));
        }
        local.start_due(self.clock());
        let now = Sent { epoch: local.epoch(), at: Moment::of(self.clock()) };

        let is_fresh = |answer: &CachedAnswer| self.lookups.is_fresh(answer.sent, now);
        let kept = memo.load();
        let kept = kept.as_ref().and_then(|kept| kept.as_ref());
        let carried = kept.filter(|answer| self.lookups.answers.owns(answer));
        // A doubted answer of the token must not hide a newer answer.
        let good = carried.filter(|answer| is_fresh(answer) && local.is_trusted(answer.sent.epoch));
        let remembered = match good {
            Some(_) => None,
            None => self.lookups.answers.get(token).filter(|answer| is_fresh(answer)),
        };
        if let Some(answer) = &remembered {
            memo.keep(answer);
        }
        let answer = good.or(remembered.as_ref()).map(|answer| &**answer);
        match local.decide(now.epoch, answer, token, self.clock()) {
            None => RevocationCheck::Pending(self.ask(token, now, carried.cloned())),
            Some(verdict) => {
                if verdict == Verdict::NotRevoked {
                    counters.hits.add_one();
                }
                RevocationCheck::Done(Ok(verdict))
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
        let token = Arc::new(OwnedTokenFacts::of(token));
        // A request does not join a lookup whose timeout is over: that would give the lookup more time than allowed.
        let timeout = self.lookups.settings.lookup_timeout;
        let may_join = |sent: Sent| {
            self.lookups.is_fresh(sent, now)
                && now.at.age_of(sent.at) < timeout
                && self.state.local.is_trusted(sent.epoch)
        };
        let look_up = self.clone().look_up(Arc::clone(&token), now);
        let (reply, joined) = self.lookups.in_flight.join_or_start(&token, now, may_join, look_up);
        let counters = &self.state.counters;
        if joined { &counters.joined } else { &counters.look_ups }.add_one();

        let cache = self.clone();
        Box::pin(async move {
            let reply = in_time(timeout, reply).await.unwrap_or_else(|| {
                cache.state.counters.timed_out.add_one();
                let store = cache.lookups.settings.only_source();
                cache.state.report_failure(store, "timed_out", cache.clock());
                Err(Unavailable)
            });
            cache.conclude(&token, reply, carried)
        })
    }

    /// One lookup, shared by all requests that wait for it.
    async fn look_up(self, token: Arc<OwnedTokenFacts>, sent: Sent) -> Reply {
        let reply = self.lookups.ask_stores(&token, &self.state).await;
        match reply {
            Ok(Verdict::Revoked) => self.apply(&token.entry()),
            Ok(Verdict::RevokedFrom(starts_at)) => {
                // The requests that wait for the reply find the entry if it starts in the meantime.
                self.apply(&token.entry().with_start(starts_at));
                self.lookups.remember(&token, sent);
                return Ok(Verdict::NotRevoked);
            }
            Ok(Verdict::NotRevoked) => self.lookups.remember(&token, sent),
            Err(Unavailable) => {}
        }
        reply
    }

    /// Decides about one request that waited for the store's reply.
    ///
    /// Each request searches the denials itself, at its turn: a revocation may be newer than the question, or the store
    /// may not know what this process knows.
    fn conclude(
        &self,
        token: &OwnedTokenFacts,
        reply: Reply,
        carried: Option<Arc<CachedAnswer>>,
    ) -> Reply {
        if self.state.local.denies(&token.facts(), self.clock()) {
            return Ok(Verdict::Revoked);
        }
        if reply.is_ok() {
            return reply;
        }
        let counters = &self.state.counters;
        let (answer, counter) = match self.lookups.settings.on_unavailable {
            OnUnavailable::Allow => (Ok(Verdict::NotRevoked), &counters.allowed),
            OnUnavailable::ServeStale(_) if self.lookups.has_usable_stale(token, carried) => {
                (Ok(Verdict::NotRevoked), &counters.served_stale)
            }
            OnUnavailable::ServeStale(_) | OnUnavailable::Deny => {
                (Err(Unavailable), &counters.unavailable)
            }
        };
        counter.add_one();
        answer
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.lookups.settings.clock
    }
}

impl Lookups {
    fn new(settings: LookupSettings) -> Self {
        let answers = AnswerCache::new(settings.capacity, settings.usable());
        Self { settings, answers, in_flight: Arc::default() }
    }

    /// Whether a question sent at `sent` is recent enough for a request at `now`.
    fn is_fresh(&self, sent: Sent, now: Sent) -> bool {
        let bound = self.settings.bound;
        // With a bound of zero nothing is shared, even if the clock does not advance.
        !bound.is_zero() && now.at.age_of(sent.at) <= bound
    }

    /// Whether an answer, the token's own or a remembered one, is young enough for [`OnUnavailable::ServeStale`].
    fn has_usable_stale(
        &self,
        token: &OwnedTokenFacts,
        carried: Option<Arc<CachedAnswer>>,
    ) -> bool {
        let now = Moment::of(&*self.settings.clock);
        let remembered = self.answers.get(&token.facts());
        carried
            .into_iter()
            .chain(remembered)
            .any(|answer| now.age_of(answer.sent.at) <= self.settings.usable())
    }

    fn remember(&self, token: &OwnedTokenFacts, sent: Sent) {
        if !self.settings.usable().is_zero() {
            self.answers.insert(token, sent);
        }
    }

    /// Asks all stores at the same time.
    ///
    /// The first "revoked" decides, also if another store fails or has not answered yet. Otherwise every store must
    /// answer.
    async fn ask_stores(&self, token: &OwnedTokenFacts, state: &ProcessState) -> Reply {
        let lookup = token.lookup();
        let ask = |source| self.ask(source, &lookup, state);
        if let [source] = &*self.settings.sources {
            return ask(source).await;
        }
        let mut questions: FuturesUnordered<_> = self.settings.sources.iter().map(ask).collect();
        let mut has_failed = false;
        let mut start = None;
        while let Some(reply) = questions.next().await {
            match reply {
                Ok(Verdict::Revoked) => return reply,
                Ok(Verdict::RevokedFrom(date)) => start = start.into_iter().chain([date]).min(),
                Ok(Verdict::NotRevoked) => {}
                Err(Unavailable) => has_failed = true,
            }
        }
        if !has_failed {
            return Ok(start.map_or(Verdict::NotRevoked, Verdict::RevokedFrom));
        }
        if let Some(start) = start {
            state.local.apply(&token.entry().with_start(start), &*self.settings.clock);
        }
        Err(Unavailable)
    }

    /// The verdict of one store now. A start in it is in the future.
    async fn ask(&self, (name, store): &Source, lookup: &Lookup, state: &ProcessState) -> Reply {
        let clock = &*self.settings.clock;
        let timer = LookUpTimer::start(name);
        // A panic of the store counts as a failure, and the panic hook has reported it. Without this, the panic would
        // reach every request that waits for this lookup.
        let question = AssertUnwindSafe(async { store.look_up(lookup).await });
        let kind = match question.catch_unwind().await {
            Ok(Ok(verdict)) => {
                let verdict = match verdict {
                    Verdict::RevokedFrom(start) => Verdict::starting_at(Some(start), clock.now()),
                    verdict => verdict,
                };
                timer.end(Ok(verdict));
                return Ok(verdict);
            }
            Ok(Err(error)) => error.kind(),
            Err(_) => "panicked",
        };
        timer.end(Err(Unavailable));
        state.counters.failures.add_one();
        state.report_failure(Some(name), kind, clock);
        Err(Unavailable)
    }
}

impl LookupSettings {
    /// The name of the store, if only one is asked.
    fn only_source(&self) -> Option<&'static str> {
        match *self.sources {
            [(name, _)] => Some(name),
            _ => None,
        }
    }

    /// The longest time that an answer is useful.
    fn usable(&self) -> Duration {
        match self.on_unavailable {
            OnUnavailable::ServeStale(max_age) => self.bound.saturating_add(max_age),
            OnUnavailable::Deny | OnUnavailable::Allow => self.bound,
        }
    }
}

/// How long moka keeps an answer beyond its use. The answer's date and the injected clock decide whether it may be
/// used. moka's own clock only frees memory, and must not do so too early.
const SLACK: Duration = Duration::from_secs(60);

/// moka does not accept more than a thousand years.
const KEPT_AT_MOST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The last answer about one token, kept with the token. While it is fresh, no search is needed.
///
/// It is judged by its date and epoch, like every other answer. It stays valid if [`AnswerCache`] has forgotten it.
pub(crate) struct RevocationMemo(Option<ArcSwapOption<CachedAnswer>>);

impl RevocationMemo {
    /// `is_kept` is true for a token that will be seen again. A token that is forgotten after its request keeps no
    /// answer.
    pub(crate) fn new(is_kept: bool) -> Self {
        Self(is_kept.then(ArcSwapOption::empty))
    }

    pub(super) fn load(&self) -> Option<Guard<Option<Arc<CachedAnswer>>>> {
        self.0.as_ref().map(ArcSwapOption::load)
    }

    pub(super) fn keep(&self, answer: &Arc<CachedAnswer>) {
        if let Some(kept) = &self.0 {
            kept.store(Some(Arc::clone(answer)));
        }
    }
}

/// A bounded cache of answers. A lost answer costs one lookup, nothing else.
pub(super) struct AnswerCache {
    /// Identifies this cache in the process.
    number: u64,
    remembered: Cache<OwnedTokenFacts, Arc<CachedAnswer>, RandomState>,
}

impl AnswerCache {
    /// Remembers up to `capacity` answers, each for `usable`.
    pub(super) fn new(capacity: u64, usable: Duration) -> Self {
        let kept = usable.saturating_add(SLACK).min(KEPT_AT_MOST);
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            remembered: Cache::builder()
                .max_capacity(capacity)
                .time_to_live(kept)
                .build_with_hasher(RandomState::default()),
        }
    }

    pub(super) fn get(&self, token: &TokenFacts<'_>) -> Option<Arc<CachedAnswer>> {
        self.remembered.get(token)
    }

    /// Whether the answer belongs to this cache.
    pub(super) fn owns(&self, answer: &CachedAnswer) -> bool {
        answer.asked_by() == self.number
    }

    pub(super) fn insert(&self, token: &OwnedTokenFacts, sent: Sent) {
        let answer = CachedAnswer::new(sent, self.number);
        self.remembered.insert(token.clone(), Arc::new(answer));
    }

    /// The approximate number of answers.
    pub(super) fn len(&self) -> u64 {
        self.remembered.run_pending_tasks();
        self.remembered.entry_count()
    }
}
