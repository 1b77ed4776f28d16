//! The data of revocation: the things that can be revoked, revocation entries, and the question whether a token is
//! revoked. Stores keep the dates as they are: only this module adds the margin after a token's expiry.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use moka::Equivalent;

use crate::{UnixTime, claims::MAX_LEEWAY};

/// One thing by which tokens can be revoked: a token, a subject, a session or a key of an issuer.
///
/// It always includes the issuer: otherwise one tenant could revoke the tokens of another. The issuer has the name of
/// its [`Issuer`](crate::Issuer) policy, whichever spelling the token uses
/// ([`RegisteredClaims::issuer`](crate::claims::RegisteredClaims::issuer)).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Revocable {
    kind: RevocableKind,
    issuer: Arc<str>,
    id: Arc<str>,
}

/// The kinds of things by which tokens can be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RevocableKind {
    /// One token, by its id. The id is `jti`, or the claim that the issuer's policy names, or the SHA-256 of
    /// `header.payload` in hexadecimal.
    Token,
    /// The tokens of a subject, by `sub`, that were issued at the [cut-off](super::RevocationEntry::cut_off) or before.
    Subject,
    /// Every token of a session, by `sid`.
    Session,
    /// Every token that a key verifies. The id is the key's own id ([`Key::key_id`](crate::Key::key_id)) or its
    /// [thumbprint](crate::Key::thumbprint), which every key has.
    ///
    /// The `kid` in a token's header does not count: the client chooses it, and a key without an id verifies tokens
    /// with any `kid`.
    Key,
}

impl Revocable {
    /// A thing of this kind, of this issuer and with this id.
    #[must_use]
    pub fn new(kind: RevocableKind, issuer: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { kind, issuer: issuer.into(), id: id.into() }
    }

    /// One token, by its id.
    #[must_use]
    pub fn token(issuer: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self::new(RevocableKind::Token, issuer, id)
    }

    /// The tokens of a subject.
    #[must_use]
    pub fn subject(issuer: impl Into<Arc<str>>, subject: impl Into<Arc<str>>) -> Self {
        Self::new(RevocableKind::Subject, issuer, subject)
    }

    /// The tokens of a session.
    #[must_use]
    pub fn session(issuer: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self::new(RevocableKind::Session, issuer, id)
    }

    /// The tokens that a key verifies, by its id or thumbprint.
    #[must_use]
    pub fn key(issuer: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self::new(RevocableKind::Key, issuer, id)
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> RevocableKind {
        self.kind
    }

    /// The issuer's name in its policy.
    #[must_use]
    pub fn issuer(&self) -> &Arc<str> {
        &self.issuer
    }

    /// The token's id, the subject, the session's id, or the key's id or thumbprint.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }
}

impl fmt::Debug for Revocable {
    /// Shows only the kind: ids and subjects are claims, and claims must not be in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(..)", self.kind)
    }
}

/// How long a revocation entry is kept after its tokens expired: the longest leeway, plus a minute for a token that was
/// verified a little earlier.
///
/// Only [`RevocationEntry::new`] and [`RevocationEntry::cover_tokens_until`] add it. A store keeps an entry until
/// [`RevocationEntry::obsolete_after`], and adds nothing.
pub const KEEP_AFTER_EXPIRY: Duration = MAX_LEEWAY.saturating_add(Duration::from_secs(60));

/// States which thing is revoked, from when on, and how long the entry is needed.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{UnixTime, revocation::{KEEP_AFTER_EXPIRY, Revocable, RevocationEntry}};
///
/// let now = UnixTime::from_secs(1_900_000_000);
/// let longest_lifetime = Duration::from_secs(3600);
/// let ada = Revocable::subject("https://issuer.example", "ada");
/// let entry = RevocationEntry::new(ada, now + longest_lifetime).with_cut_off(now);
///
/// assert_eq!(entry.cut_off(), now);
/// assert_eq!(entry.obsolete_after(), now + longest_lifetime + KEEP_AFTER_EXPIRY);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationEntry {
    thing: Revocable,
    cut_off: UnixTime,
    starts_at: UnixTime,
    obsolete_after: UnixTime,
}

impl RevocationEntry {
    /// An entry that starts at once.
    ///
    /// `tokens_expire_by` is the latest `exp` of the tokens that the entry affects. For a token it is the token's own
    /// `exp`. For a subject, session or key it is the time of the revocation plus the longest lifetime of an issued
    /// token. The entry is kept for [`KEEP_AFTER_EXPIRY`] after it.
    #[must_use]
    pub fn new(thing: Revocable, tokens_expire_by: UnixTime) -> Self {
        Self::restored(thing, tokens_expire_by + KEEP_AFTER_EXPIRY)
    }

    /// An entry from a store, with its stored [`obsolete_after`](Self::obsolete_after). It starts at once and has no
    /// cut-off, unless [`with_start`](Self::with_start) and [`with_cut_off`](Self::with_cut_off) restore them.
    #[must_use]
    pub fn restored(thing: Revocable, obsolete_after: UnixTime) -> Self {
        Self { thing, cut_off: UnixTime::MAX, starts_at: UnixTime::EPOCH, obsolete_after }
    }

    /// Revokes only the tokens of a subject that were issued at `cut_off` or before. Default: all of them.
    ///
    /// Has no effect on an entry about a token, session or key. Any cut-off revokes a token without `iat`.
    ///
    /// `iat` is a time by the issuer's clock. If that clock is ahead, a cut-off of the current second misses the newest
    /// tokens. [`Authenticator::revoke_subject`](crate::Authenticator::revoke_subject) adds the leeway.
    #[must_use]
    pub fn with_cut_off(mut self, cut_off: UnixTime) -> Self {
        if self.thing.kind() == RevocableKind::Subject {
            self.cut_off = cut_off;
        }
        self
    }

    /// Revokes from `starts_at` on. Default: at once.
    ///
    /// Requests before `starts_at` pass. Requests at `starts_at` or later are rejected. Each process uses its own
    /// clock. Has no effect on an entry about a subject, session or key.
    #[must_use]
    pub fn with_start(mut self, starts_at: UnixTime) -> Self {
        if self.thing.kind() == RevocableKind::Token {
            self.starts_at = starts_at;
        }
        self
    }

    /// Keeps the entry also for tokens with an `exp` of up to `tokens_expire_by`. It never shortens the time.
    pub fn cover_tokens_until(&mut self, tokens_expire_by: UnixTime) {
        self.obsolete_after = self.obsolete_after.max(tokens_expire_by + KEEP_AFTER_EXPIRY);
    }

    /// The thing that is revoked.
    #[must_use]
    pub fn thing(&self) -> &Revocable {
        &self.thing
    }

    /// Tokens that were issued at this second or before are revoked. [`UnixTime::MAX`] if the time of issue does not
    /// matter.
    #[must_use]
    pub fn cut_off(&self) -> UnixTime {
        self.cut_off
    }

    /// The first second at which the tokens are revoked. [`UnixTime::EPOCH`] if the entry starts at once, by every
    /// clock.
    #[must_use]
    pub fn starts_at(&self) -> UnixTime {
        self.starts_at
    }

    /// The date after which an affected token cannot be valid, whatever the leeway of the policy. A store must keep the
    /// entry through this date, and may forget it afterwards.
    #[must_use]
    pub fn obsolete_after(&self) -> UnixTime {
        self.obsolete_after
    }
}

/// The question to a [`RevocationStore`](super::RevocationStore): whether one token is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    things: Vec<Revocable>,
    issued_at: UnixTime,
}

impl Lookup {
    /// A question about the token with these `things`, issued at `issued_at`.
    #[must_use]
    pub fn new(things: impl IntoIterator<Item = Revocable>, issued_at: UnixTime) -> Self {
        Self { things: things.into_iter().collect(), issued_at }
    }

    /// Everything by which the token can be revoked. The [`RevocationCache`](super::RevocationCache) passes at most
    /// five things.
    #[must_use]
    pub fn things(&self) -> &[Revocable] {
        &self.things
    }

    /// The `iat` of the token. A cut-off at this second or later revokes it. It is [`UnixTime::EPOCH`] for a token
    /// without `iat`, so that any cut-off revokes it.
    #[must_use]
    pub fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// Whether an entry is about this token. Ignores the start of the entry.
    #[must_use]
    pub fn is_matched_by(&self, entry: &RevocationEntry) -> bool {
        self.issued_at <= entry.cut_off() && self.things.contains(entry.thing())
    }

    /// The verdict on this token at `now` by these entries, for stores. Entries about other things are ignored. The
    /// entry that starts first decides.
    #[must_use]
    pub fn verdict<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a RevocationEntry>,
        now: UnixTime,
    ) -> Verdict {
        let matching = entries.into_iter().filter(|entry| self.is_matched_by(entry));
        Verdict::starting_at(matching.map(RevocationEntry::starts_at).min(), now)
    }
}

/// Whether a token is revoked: the answer of a store, of the cache and of the authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one of the things in the lookup is revoked.
    Revoked,
    /// None of the things is revoked.
    NotRevoked,
    /// The token itself is revoked from this date on. Nothing else of it is revoked now.
    ///
    /// The date may be in the past. A [`RevocationCache`](super::RevocationCache) remembers it, and compares it with
    /// its own clock at every request. Only a token can have such a start.
    RevokedFrom(UnixTime),
}

impl Verdict {
    /// The verdict at `now` on a token whose earliest matching entry starts at `start`. `start` is `None` if no entry
    /// matches.
    #[must_use]
    pub fn starting_at(start: Option<UnixTime>, now: UnixTime) -> Self {
        match start {
            None => Self::NotRevoked,
            Some(start) if start <= now => Self::Revoked,
            Some(start) => Self::RevokedFrom(start),
        }
    }
}

/// There is no verdict: the store failed or did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable;

/// Everything by which one verified token can be revoked, borrowed from it.
#[derive(Clone, Copy)]
pub(crate) struct TokenFacts<'a> {
    pub(crate) issuer: &'a Arc<str>,
    pub(crate) token_id: &'a str,
    pub(crate) subject: Option<&'a str>,
    /// The epoch if the token has no `iat`.
    pub(crate) issued_at: UnixTime,
    pub(crate) session_id: Option<&'a str>,
    pub(crate) key_id: Option<&'a Arc<str>>,
    pub(crate) key_thumbprint: &'a Arc<str>,
    pub(crate) expires_at: UnixTime,
}

/// The token of a question.
///
/// Two tokens are equal only if every fact that the store judged is equal. If an issuer gives two tokens one id, the
/// "not revoked" about one must not be used for the other. A "revoked" about one does apply to the other, because a
/// denial matches by the id.
#[derive(Clone)]
pub(super) struct OwnedTokenFacts {
    issuer: Arc<str>,
    token_id: Arc<str>,
    subject: Option<Arc<str>>,
    issued_at: UnixTime,
    session_id: Option<Arc<str>>,
    key_id: Option<Arc<str>>,
    key_thumbprint: Arc<str>,
    expires_at: UnixTime,
}

impl OwnedTokenFacts {
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

impl Hash for OwnedTokenFacts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.facts().hash(state);
    }
}

impl PartialEq for OwnedTokenFacts {
    fn eq(&self, other: &Self) -> bool {
        self.facts().equivalent(other)
    }
}

impl Eq for OwnedTokenFacts {}

impl Hash for TokenFacts<'_> {
    /// The hash covers the facts that usually differ. [`Equivalent`] compares the others.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.issuer.hash(state);
        self.token_id.hash(state);
        state.write_u64(self.issued_at.as_secs());
    }
}

impl Equivalent<OwnedTokenFacts> for TokenFacts<'_> {
    fn equivalent(&self, token: &OwnedTokenFacts) -> bool {
        *self.token_id == *token.token_id
            && self.issued_at == token.issued_at
            && *self.issuer == token.issuer
            && self.subject == token.subject.as_deref()
            && self.session_id == token.session_id.as_deref()
            && self.key_id == token.key_id.as_ref()
            && *self.key_thumbprint == token.key_thumbprint
    }
}
