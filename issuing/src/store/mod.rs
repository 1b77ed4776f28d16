//! Stores sessions, private tokens and revocations.
//!
//! A [`TokenStore`] is also the [`RevocationStore`](tower_bearer::revocation::RevocationStore) of the layer. So the
//! layer rejects a revoked token because of the same rows in which the issuer revoked it. Every store keeps these
//! rules, and the suite `conformance` (feature `test-util`) checks them:
//!
//! 1. **Each method is one atomic step**: it happens completely or not at all. This holds however many processes call,
//!    if a client hangs up, and if the machine stops at any time. An acknowledged step is not lost.
//! 2. **A step that changes revocation also writes an outbox entry**, so that every recorded revocation reaches the
//!    other processes. An entry is removed in the same step in which the store keeps what the fleet has acknowledged
//!    ([`Acknowledged`](tower_bearer::revocation::outbox::Acknowledged)).
//! 3. **A revocation of a token, session or subject ends the rows that it concerns**: from then on, these refresh
//!    tokens are [`RefreshUse::Revoked`], and these private tokens and sessions are not listed, and no method finds
//!    them.
//! 4. **Nothing is issued at or before a cut-off**: a row whose `issued_at` is not later than its owner's cut-off is
//!    rejected with the cut-off ([`Insertion::CutOff`]). Then the issuer tries again with a later date.
//! 5. **Tokens are never stored**, only their ids and the SHA-256 of their claims.
//! 6. **A revoked caller changes nothing**: a step on behalf of an access token, or of a private token that may manage
//!    others ([`Caller`]), returns
//!    [`Called::Revoked`] if the token is revoked at the moment of the step, by its id (also if the entry starts
//!    later), session, key, or a cut-off of its subject. The step must check this again, because the layer's answer may
//!    be as old as the staleness bound, and a slow client can delay the body for any time.
//! 7. **Times are [`UnixTime`]s** that the caller passes. Only
//!    [`RevocationStore::look_up`](tower_bearer::revocation::RevocationStore::look_up), [`outbox`](Outbox::outbox) and
//!    [`denials`](Outbox::denials) get no time. For these a store has a [`Clock`](tower_bearer::claims::Clock), which
//!    should be the issuer's.

#[cfg(any(test, feature = "test-util"))]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod conformance;
mod devices;
pub(crate) mod keys;
mod list;
mod memory;
mod records;
mod session_list;

use std::{fmt, sync::Arc};

pub use self::devices::{DEVICE_KEY, device_account};
pub use self::keys::{KeyChange, KeyDecision, KeyOutcome, KeyRecord, KeyStore, signing_key};
pub use self::list::{ListQuery, Page, PrivateTokenPage, SortBy, fold};
pub use self::memory::MemoryTokenStore;
pub use self::records::{
    Insertion, NewPrivateToken, NewRefreshToken, NewSession, Owner, PrivateRotation, PrivateToken,
    RefreshRotation, RefreshUse, RotatedPrivateToken, Session, TokenUse,
};
pub use self::session_list::{SessionPage, SessionQuery, SessionSortBy};
use crate::audit::AuditEvent;
pub use crate::lost_scopes::LostScopes;
use tower_bearer::{
    BoxFuture, UnixTime,
    revocation::{Lookup, Revocable, RevocationEntry, StoreError, outbox::Outbox},
};

/// The answer of a store: the future of one step.
pub type Step<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// The subject of a private token that was revoked, and the revocation entry of the token.
pub type RevokedPrivateToken = (Arc<str>, RevocationEntry);

/// Stores sessions, private tokens, revocations and the outbox. The rules are in the list of the [module](self).
///
/// An error means that the step was not, or may not have been, taken. With [`StoreError::with_nothing_written`] the
/// store reports that the step was certainly not taken.
pub trait TokenStore: Outbox {
    /// Begins a session: stores it and its first refresh token.
    ///
    /// [`Insertion::CutOff`] if `new.first.issued_at` is not later than the owner's cut-off. Nothing is stored then.
    fn open_session<'a>(&'a self, new: &'a NewSession) -> Step<'a, Insertion<()>>;

    /// Uses a refresh token once. The first call puts `rotation.successor` in its place. No later call does.
    ///
    /// The key of the used token and of the successor must be the same, or both must have none
    /// ([`NewRefreshToken::key_thumbprint`]).
    ///
    /// [`RefreshUse`] explains the answers. The store gives the first answer that applies, from the top of that list.
    /// With [`RefreshUse::Rotated`] the session is now last used at `successor.issued_at`. If a version of the store
    /// without a list of sessions has begun the session, the session is on the list from now on.
    ///
    /// With [`RefreshUse::Reused`] the step has revoked the session until `rotation.session_expires_by`.
    fn use_refresh<'a>(&'a self, rotation: &'a RefreshRotation) -> Step<'a, RefreshUse>;

    /// Stores a private token of the caller.
    ///
    /// [`Insertion::CutOff`] if `token.issued_at` is not later than the owner's cut-off. Nothing is stored then.
    /// [`Insertion::QuotaReached`] if the owner has `token.quota` valid tokens. This must hold for any number of
    /// concurrent calls.
    fn create_private<'a>(
        &'a self,
        caller: &'a Caller,
        token: &'a NewPrivateToken,
    ) -> Step<'a, Called<Insertion<PrivateToken>>>;

    /// One page of the caller's private tokens, with the count of all matching tokens. Both are from the same moment.
    ///
    /// Left out are tokens that were revoked, that a rotation has ended by `now`, or that were issued at the owner's
    /// cut-off or before. Expired tokens are listed until they are swept. `None` if the page does not exist. The first
    /// page always exists.
    fn list_private<'a>(
        &'a self,
        caller: &'a Caller,
        query: &'a ListQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>>;

    /// Finds a token that [`list_private`](Self::list_private) would list. `None` if the caller has no such token.
    fn find_private<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateToken>>>;

    /// Like [`list_private`](Self::list_private), but lists the tokens of another subject of the caller's issuer. The
    /// issuer has checked that the caller may see them.
    fn list_private_of<'a>(
        &'a self,
        caller: &'a Caller,
        subject: &'a str,
        query: &'a ListQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>>;

    /// Puts a new token with the same name in the place of a token that [`list_private`](Self::list_private) would
    /// list. Revokes the old token from the earliest of these times: `rotation.old_dies_at`, its own expiry, or the end
    /// that an earlier rotation has set. The old token is listed until then, and
    /// [`RevocationStore::look_up`](tower_bearer::revocation::RevocationStore::look_up) answers "revoked" from then on.
    ///
    /// An old token that has not ended yet can be rotated again, so a client that lost the answer can repeat the call.
    /// Of several calls that end the token at once, one succeeds. A token that ends at once is revoked from the epoch
    /// on ([`RotatedPrivateToken::old_from`]), so that it is revoked by every clock.
    ///
    /// [`PrivateRotation::QuotaReached`] if the owner has [`RotatedPrivateToken::most_before`] valid tokens.
    fn rotate_private<'a>(
        &'a self,
        caller: &'a Caller,
        rotation: &'a RotatedPrivateToken,
    ) -> Step<'a, Called<PrivateRotation>>;

    /// Revokes a private token that [`list_private`](Self::list_private) would list at `now`. The revocation starts at
    /// the epoch, so that the token is revoked by every clock. Returns the revocation entry. Returns `None` if the
    /// caller has no such token. This does not distinguish another owner's token from a token that was revoked before.
    fn revoke_private<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<RevocationEntry>>>;

    /// Like [`revoke_private`](Self::revoke_private), but revokes a token of any subject of the caller's issuer, and
    /// also returns that subject. The issuer has checked that the caller may do that.
    fn revoke_private_of_any<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<RevokedPrivateToken>>>;

    /// One page of the caller's sessions, with the count of all. Both are from the same moment. The caller's own
    /// session is marked ([`Session::is_current`]).
    ///
    /// Left out are sessions that were revoked, whose latest refresh token was issued at the owner's cut-off or before,
    /// or that have expired at `now`. `None` if the page does not exist. The first page always exists.
    fn list_sessions<'a>(
        &'a self,
        caller: &'a Caller,
        query: &'a SessionQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<SessionPage>>>;

    /// Revokes a session that [`list_sessions`](Self::list_sessions) would list at `now`, also the caller's own, until
    /// `tokens_expire_by`. Returns the revocation entry. Returns `None` if the caller has no such session. This does
    /// not distinguish another owner's session from a session that has ended.
    fn revoke_session<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> Step<'a, Called<Option<RevocationEntry>>>;

    /// Revokes all tokens that were issued to an owner so far: at `now` or before, and also tokens that a clock ahead
    /// of the caller's has dated later.
    ///
    /// The entry is kept until [`KEEP_AFTER_EXPIRY`](tower_bearer::revocation::KEEP_AFTER_EXPIRY) after
    /// `tokens_expire_by`, or after the latest `expires_at` among the owner's rows if that is later. So the entry
    /// outlives tokens that were issued under earlier settings.
    ///
    /// Returns the cut-off. It is the latest of `now`, the latest `issued_at` among the owner's rows, and the earlier
    /// cut-off.
    fn revoke_owner<'a>(
        &'a self,
        owner: &'a Owner,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> Step<'a, UnixTime>;

    /// Revokes like [`revoke_owner`](Self::revoke_owner), and deletes every row with data of the owner:
    /// sessions with their user agents, refresh tokens, private tokens, and known devices that were noted with the
    /// owner's [`device_account`]. A store that keeps audit events deletes those of the owner too. Revocation entries
    /// stay, because they are needed until the owner's tokens have expired: the entry of the owner has the subject.
    ///
    /// `event` is the audit event that the account was deleted. A store that is an audit sink keeps it in the step that
    /// deletes, unless it has such an event of the owner already. Other stores ignore it.
    ///
    /// The deletion can take long, so a store may revoke in an earlier step. The step that deletes revokes again if a
    /// token was issued in between, because that token loses its row. If only the deletion fails, the error must not
    /// state that nothing was written.
    ///
    /// Returns the cut-off.
    fn delete_personal_data<'a>(
        &'a self,
        owner: &'a Owner,
        now: UnixTime,
        tokens_expire_by: UnixTime,
        event: Option<&'a AuditEvent>,
    ) -> Step<'a, UnixTime>;

    /// The subject of the tokens with this session id, for the audit log: of refresh tokens and of private tokens, also
    /// of those that have ended. `None` if the store has no row of such a token.
    fn subject_of_session<'a>(
        &'a self,
        issuer: &'a str,
        session_id: &'a str,
    ) -> Step<'a, Option<Arc<str>>>;

    /// Writes several revocation entries in one step, each like
    /// [`RevocationStore::revoke`](tower_bearer::revocation::RevocationStore::revoke). The rows that they concern end.
    /// The row of a revoked token ends at the start of the entry. An entry about a subject, a session or a private
    /// token [covers](RevocationEntry::cover_tokens_until) also the latest `expires_at` among the rows that it ends.
    fn deny<'a>(&'a self, denials: &'a [RevocationEntry]) -> Step<'a, ()>;

    /// Deletes up to `limit` rows that are no longer needed. Tokens are no longer needed
    /// [`KEEP_AFTER_EXPIRY`](tower_bearer::revocation::KEEP_AFTER_EXPIRY) after their expiry. For private tokens this
    /// also applies to the end that a revocation or a rotation has set. The same margin applies to sessions. Revocation
    /// entries, outbox entries and known devices are deleted when they are obsolete. Returns how many rows were
    /// deleted. Fewer than `limit` means that none is left.
    fn sweep(&self, now: UnixTime, limit: usize) -> Step<'_, usize>;

    /// Records when private tokens were last used. The latest time wins. Unknown tokens are not an error.
    fn touch<'a>(&'a self, uses: &'a [TokenUse]) -> Step<'a, ()>;

    /// Returns the key that all processes on this store share under `name`. Stores `candidate` if there is no key yet.
    fn shared_key<'a>(&'a self, name: &'a str, candidate: &'a [u8; 32]) -> Step<'a, [u8; 32]>;

    /// Keeps `device` until `keep_until`, or until a later time that was recorded before. A device is the keyed hash of
    /// an account and a network from which that account logged in. `account` is the [`device_account`] of its owner.
    /// The latest one is kept.
    fn note_device<'a>(
        &'a self,
        device: &'a [u8; 32],
        account: &'a [u8; 32],
        keep_until: UnixTime,
    ) -> Step<'a, ()>;

    /// Whether `device` was recorded and is kept at `now`. This is one indexed read.
    fn knows_device<'a>(&'a self, device: &'a [u8; 32], now: UnixTime) -> Step<'a, bool>;
}

/// The access token with which an owner calls, or a private token that may manage others. Earlier checks of this token
/// may be outdated by the time of the step. So the step checks the revocation entries of that moment again.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// The owner of the token.
    pub owner: Owner,
    /// `jti`.
    pub token_id: Arc<str>,
    /// `sid`.
    pub session_id: Arc<str>,
    /// `iat`.
    pub issued_at: UnixTime,
    /// The configured id of the key that verified it, if the key has one.
    pub key_id: Option<Arc<str>>,
    /// The [thumbprint](tower_bearer::Key::thumbprint) of that key.
    pub key_thumbprint: Option<Arc<str>>,
}

impl Caller {
    /// A token of an owner, in a session.
    #[must_use]
    pub fn new(
        owner: Owner,
        token_id: impl Into<Arc<str>>,
        session_id: impl Into<Arc<str>>,
        issued_at: UnixTime,
    ) -> Self {
        let (token_id, session_id) = (token_id.into(), session_id.into());
        Self { owner, token_id, session_id, issued_at, key_id: None, key_thumbprint: None }
    }

    /// Sets the id of the key that verified the token. By default no key id is looked up.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<Arc<str>>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    /// Sets the thumbprint of the key that verified the token. By default no thumbprint is looked up.
    #[must_use]
    pub fn with_key_thumbprint(mut self, thumbprint: impl Into<Arc<str>>) -> Self {
        self.key_thumbprint = Some(thumbprint.into());
        self
    }

    /// The lookup that checks whether the token is revoked. It asks about at most five things.
    #[must_use]
    pub fn lookup(&self) -> Lookup {
        let Owner { issuer, subject } = &self.owner;
        let issuer = || Arc::clone(issuer);
        let key_id = self.key_id.iter().filter(|id| Some(*id) != self.key_thumbprint.as_ref());
        let keys = key_id.chain(&self.key_thumbprint);
        let things = [
            Revocable::token(issuer(), Arc::clone(&self.token_id)),
            Revocable::session(issuer(), Arc::clone(&self.session_id)),
            Revocable::subject(issuer(), Arc::clone(subject)),
        ];
        let keys = keys.map(|id| Revocable::key(issuer(), Arc::clone(id)));
        Lookup::new(things.into_iter().chain(keys), self.issued_at)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

/// The outcome of a step on behalf of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Called<T> {
    /// The caller's token is revoked: by its id, session, key, or a cut-off of its subject. Nothing was done.
    Revoked,
    /// The step's outcome.
    Done(T),
}

impl<T> Called<T> {
    /// The outcome of the step. `None` if the caller was revoked.
    #[must_use]
    pub fn done(self) -> Option<T> {
        match self {
            Self::Revoked => None,
            Self::Done(outcome) => Some(outcome),
        }
    }
}
