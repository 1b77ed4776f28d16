//! Where sessions, private tokens and revocations are kept.
//!
//! A [`TokenStore`] is also the [`RevocationStore`](tower_bearer::revocation::RevocationStore) that the layer asks, so that what is revoked here is refused there
//! by the same rows. The rules that every store keeps, and that the suite `conformance` (feature `test-util`) checks:
//!
//! 1. **Each method is one atomic step**: it happens wholly or not at all, however many processes call, whoever hangs
//!    up, and whenever the machine stops. What was acknowledged is not lost.
//! 2. **What changes revocation writes an outbox entry in the same step**, so that no revocation can be recorded and
//!    then not be told to others. An entry is removed in the same step in which the store keeps what the fleet has
//!    acknowledged ([`Acknowledged`](tower_bearer::revocation::outbox::Acknowledged)).
//! 3. **A denial of a token, session or subject ends the rows that it concerns**: after any of them, refresh tokens
//!    concerned are [`RefreshUse::Revoked`] and private tokens concerned are not listed, and found by no method.
//! 4. **Nothing is issued behind a cut-off**: a row whose `issued_at` is not later than its owner's cut-off is
//!    refused with the cut-off ([`Insertion::CutOff`]), and the issuer comes again with a later date.
//! 5. **Tokens are never stored**, only their ids and the SHA-256 of their claims.
//! 6. **A revoked caller does nothing**: what somebody does with an access token ([`Caller`]) is [`Called::Revoked`] if
//!    the token is denied at the moment of the step, by its id (whenever the entry starts), session, key, or a
//!    cut-off of its subject. The layer's answer may be as old as the bound, and the body as slow as the client likes.
//! 7. **Times are [`UnixTime`]s**, given by the caller. Only [`RevocationStore::look_up`](tower_bearer::revocation::RevocationStore::look_up),
//!    [`outbox`](Outbox::outbox) and [`denials`](Outbox::denials) are given none: a store has a
//!    [`Clock`](tower_bearer::claims::Clock) for them, which
//!    should be the issuer's.

mod caller;
#[cfg(any(test, feature = "test-util"))]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod conformance;
mod list;
mod memory;
mod records;

pub use self::caller::{Called, Caller};
pub use self::list::{ListQuery, Page, PrivateTokenPage, SortBy, fold};
pub use self::memory::MemoryTokenStore;
pub use self::records::{
    Insertion, NewPrivateToken, NewRefreshToken, Owner, PrivateRotation, PrivateToken,
    RefreshRotation, RefreshUse, RotatedPrivateToken, TokenUse,
};
use tower_bearer::{
    BoxFuture, UnixTime,
    revocation::{RevocationEntry, StoreError, outbox::Outbox},
};

/// What a store answers: the future of one step.
pub type Step<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A place for sessions, private tokens, revocations and the outbox. The rules are in the [module](self)'s list.
///
/// An error means that the step was not, or may not have been, taken. With [`StoreError::with_nothing_written`] the
/// store says that it was certainly not taken.
pub trait TokenStore: Outbox {
    /// Begins a session: keeps its first refresh token.
    ///
    /// [`Insertion::CutOff`] where `first.issued_at` is not later than the owner's cut-off; nothing is kept then.
    fn open_session<'a>(&'a self, first: &'a NewRefreshToken) -> Step<'a, Insertion<()>>;

    /// Uses a refresh token once: the first caller puts `rotation.successor` in its place, and no other ever does.
    ///
    /// What the answers mean is said at [`RefreshUse`]; the first that fits, from the top, is given. With
    /// [`RefreshUse::Reused`] the step has denied the session until `rotation.session_expires_by`.
    fn use_refresh<'a>(&'a self, rotation: &'a RefreshRotation) -> Step<'a, RefreshUse>;

    /// Keeps a private token of the caller's.
    ///
    /// [`Insertion::CutOff`] where `token.issued_at` is not later than the owner's cut-off; nothing is kept then.
    /// [`Insertion::QuotaReached`] where the owner has `token.quota` good tokens, however many calls there are at once.
    fn create_private<'a>(
        &'a self,
        caller: &'a Caller,
        token: &'a NewPrivateToken,
    ) -> Step<'a, Called<Insertion<PrivateToken>>>;

    /// One page of the caller's private tokens, with the count of all that match, both of one moment.
    ///
    /// Tokens that were revoked, that a rotation has ended by `now`, or that were issued by the owner's cut-off are
    /// left out; expired ones are listed until they are swept. `None` where the page does not exist; the first page
    /// always does.
    fn list_private<'a>(
        &'a self,
        caller: &'a Caller,
        query: &'a ListQuery,
        now: UnixTime,
    ) -> Step<'a, Called<Option<PrivateTokenPage>>>;

    /// Puts a new token with the same name in the place of one that [`list_private`](Self::list_private) would list,
    /// and denies the old one from `rotation.old_dies_at`, its own expiry, or the end that an earlier rotation has set,
    /// whichever is earliest. It is listed until then, and [`RevocationStore::look_up`](tower_bearer::revocation::RevocationStore::look_up) refuses it from then on.
    ///
    /// An old token that has not died yet can be rotated again: whoever lost the answer to the first call comes again.
    /// Of several calls that would have it die at once, one succeeds. What dies at once is denied from the epoch on
    /// ([`RotatedPrivateToken::old_from`]), so that it is dead by every clock.
    ///
    /// [`PrivateRotation::QuotaReached`] where the owner has [`RotatedPrivateToken::most_before`] good tokens.
    fn rotate_private<'a>(
        &'a self,
        caller: &'a Caller,
        rotation: &'a RotatedPrivateToken,
    ) -> Step<'a, Called<PrivateRotation>>;

    /// Denies a private token that [`list_private`](Self::list_private) would list at `now`, from the epoch on, so
    /// that it is dead by every clock. The revocation entry, or `None` where the caller has no such token: somebody else's and one that
    /// was revoked before are alike.
    fn revoke_private<'a>(
        &'a self,
        caller: &'a Caller,
        id: i64,
        now: UnixTime,
    ) -> Step<'a, Called<Option<RevocationEntry>>>;

    /// Denies all that an owner was issued so far: at `now` or before, and also what a clock ahead of the caller's has
    /// dated later. It is kept until `keep_until`, or [`KEEP_AFTER_EXPIRY`](tower_bearer::revocation::KEEP_AFTER_EXPIRY) after the latest `expires_at` among the
    /// owner's rows if that is later: no setting of today outdates tokens of before. Returns the cut-off: `now`, the latest `issued_at` among the owner's rows, or the earlier cut-off,
    /// whichever is latest.
    fn revoke_owner<'a>(
        &'a self,
        owner: &'a Owner,
        now: UnixTime,
        tokens_expire_by: UnixTime,
    ) -> Step<'a, UnixTime>;

    /// Writes several denials in one step, each as [`RevocationStore::revoke`](tower_bearer::revocation::RevocationStore::revoke) would: rows that they concern end, those
    /// of a token at the entry's start. An entry about a subject, a session or a private token
    /// [covers](RevocationEntry::cover_tokens_until) also the latest `expires_at` among the rows that it ends.
    fn deny<'a>(&'a self, denials: &'a [RevocationEntry]) -> Step<'a, ()>;

    /// Deletes up to `limit` rows that are no longer needed: tokens
    /// [`KEEP_AFTER_EXPIRY`](tower_bearer::revocation::KEEP_AFTER_EXPIRY) after their expiry, private tokens also after
    /// the end that a denial or a rotation has set, and revocation entries, outbox entries and known devices when they
    /// are obsolete. Returns how many. Fewer than `limit` means that none is left.
    fn sweep(&self, now: UnixTime, limit: usize) -> Step<'_, usize>;

    /// Notes when private tokens were last used: the latest time wins, and unknown tokens are no error.
    fn touch<'a>(&'a self, uses: &'a [TokenUse]) -> Step<'a, ()>;

    /// Returns the key that all processes on this store share under `name`. Keeps `candidate` if there is none yet.
    fn shared_key<'a>(&'a self, name: &'a str, candidate: &'a [u8; 32]) -> Step<'a, [u8; 32]>;

    /// Keeps `device` until `keep_until`, or until a later time that was noted before. It is the keyed hash of an
    /// account and a network from which that account was logged in to.
    fn note_device<'a>(&'a self, device: &'a [u8; 32], keep_until: UnixTime) -> Step<'a, ()>;

    /// Whether `device` was noted and is kept at `now`. One indexed read.
    fn knows_device<'a>(&'a self, device: &'a [u8; 32], now: UnixTime) -> Step<'a, bool>;
}
