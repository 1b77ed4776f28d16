//! The cache of the store's "not revoked" answers.

use std::{
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use foldhash::fast::RandomState;
use moka::{Equivalent, sync::Cache};

use super::{
    Lookup, Revocable, RevocationEntry, TokenFacts,
    cached_answer::{CachedAnswer, Sent},
};
use crate::UnixTime;

/// How long moka keeps an answer beyond its use. The answer's date and the injected clock decide whether it may be
/// used. moka's own clock only frees memory, and must not do so too early.
const SLACK: Duration = Duration::from_secs(60);

/// moka does not accept more than a thousand years.
const KEPT_AT_MOST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The last answer about one token, kept with the token. While it is fresh, no search is needed.
///
/// It is judged by its date and epoch, like every other answer. It stays valid if [`Answers`] has forgotten it.
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
pub(super) struct Answers {
    /// Identifies this cache in the process.
    number: u64,
    remembered: Cache<Token, Arc<CachedAnswer>, RandomState>,
}

impl Answers {
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
    pub(super) fn own(&self, answer: &CachedAnswer) -> bool {
        answer.asked_by() == self.number
    }

    pub(super) fn insert(&self, token: &Token, sent: Sent) {
        let answer = CachedAnswer::new(sent, self.number);
        self.remembered.insert(token.clone(), Arc::new(answer));
    }

    /// The approximate number of answers.
    pub(super) fn len(&self) -> u64 {
        self.remembered.run_pending_tasks();
        self.remembered.entry_count()
    }
}

/// The token of a question.
///
/// Two tokens are equal only if every fact that the store judged is equal. If an issuer gives two tokens one id, the
/// "not revoked" about one must not be used for the other. A "revoked" about one does apply to the other, because a
/// denial matches by the id.
#[derive(Clone)]
pub(super) struct Token {
    issuer: Arc<str>,
    token_id: Arc<str>,
    subject: Option<Arc<str>>,
    issued_at: UnixTime,
    session_id: Option<Arc<str>>,
    key_id: Option<Arc<str>>,
    key_thumbprint: Arc<str>,
    expires_at: UnixTime,
}

impl Token {
    pub(super) fn of(facts: &TokenFacts<'_>) -> Self {
        Self {
            issuer: Arc::clone(facts.issuer),
            token_id: facts.token_id.into(),
            subject: facts.subject.map(Into::into),
            issued_at: facts.issued_at,
            session_id: facts.session_id.map(Into::into),
            key_id: facts.key_id.cloned(),
            key_thumbprint: Arc::clone(facts.key_thumbprint),
            expires_at: facts.expires_at,
        }
    }

    pub(super) fn facts(&self) -> TokenFacts<'_> {
        TokenFacts {
            issuer: &self.issuer,
            token_id: &self.token_id,
            subject: self.subject.as_deref(),
            issued_at: self.issued_at,
            session_id: self.session_id.as_deref(),
            key_id: self.key_id.as_ref(),
            key_thumbprint: &self.key_thumbprint,
            expires_at: self.expires_at,
        }
    }

    /// The revocation entry of the token alone.
    pub(super) fn entry(&self) -> RevocationEntry {
        RevocationEntry::new(self.itself(), self.expires_at)
    }

    fn itself(&self) -> Revocable {
        Revocable::token(Arc::clone(&self.issuer), Arc::clone(&self.token_id))
    }

    /// The question to the store.
    pub(super) fn lookup(&self) -> Lookup {
        let issuer = || Arc::clone(&self.issuer);
        let subject = self.subject.clone().map(|subject| Revocable::subject(issuer(), subject));
        let session = self.session_id.clone().map(|id| Revocable::session(issuer(), id));
        // By default the id of our own keys is their thumbprint: one question is enough.
        let key_id = self.key_id.as_ref().filter(|id| **id != self.key_thumbprint);
        let key = |id: &Arc<str>| Revocable::key(issuer(), Arc::clone(id));
        let keys = [key_id.map(key), Some(key(&self.key_thumbprint))];
        let things = [Some(self.itself()), subject, session].into_iter().chain(keys).flatten();
        Lookup::new(things, self.issued_at)
    }
}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.facts().hash(state);
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.facts().equivalent(other)
    }
}

impl Eq for Token {}

impl Hash for TokenFacts<'_> {
    /// The hash covers the facts that usually differ. [`Equivalent`] compares the others.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.issuer.hash(state);
        self.token_id.hash(state);
        state.write_u64(self.issued_at.as_secs());
    }
}

impl Equivalent<Token> for TokenFacts<'_> {
    fn equivalent(&self, token: &Token) -> bool {
        *self.token_id == *token.token_id
            && self.issued_at == token.issued_at
            && *self.issuer == token.issuer
            && self.subject == token.subject.as_deref()
            && self.session_id == token.session_id.as_deref()
            && self.key_id == token.key_id.as_ref()
            && *self.key_thumbprint == token.key_thumbprint
    }
}
