//! What goes into a store and comes out of it.

use std::{fmt, sync::Arc, time::Duration};

use tower_bearer::{UnixTime, revocation::RevocationEntry};

/// Whose tokens: a subject of an issuer. Without the issuer, two issuers on one store could reach each other's.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Owner {
    /// The issuer's name.
    pub issuer: Arc<str>,
    /// `sub` of the tokens.
    pub subject: Arc<str>,
}

impl Owner {
    /// A subject of an issuer.
    #[must_use]
    pub fn new(issuer: impl Into<Arc<str>>, subject: impl Into<Arc<str>>) -> Self {
        Self { issuer: issuer.into(), subject: subject.into() }
    }
}

/// A refresh token, as it is stored.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewRefreshToken {
    /// Whose it is.
    pub owner: Owner,
    /// `jti`, unique within the issuer.
    pub token_id: Arc<str>,
    /// `sid`: the session, which is the family of refresh tokens.
    pub session_id: Arc<str>,
    /// `iat`.
    pub issued_at: UnixTime,
    /// `exp`.
    pub expires_at: UnixTime,
    /// SHA-256 of the claims as they are signed.
    pub hash: [u8; 32],
}

impl NewRefreshToken {
    /// A refresh token of a session.
    #[must_use]
    pub fn new(
        owner: Owner,
        token_id: impl Into<Arc<str>>,
        session_id: impl Into<Arc<str>>,
        issued_at: UnixTime,
        expires_at: UnixTime,
        hash: [u8; 32],
    ) -> Self {
        Self {
            owner,
            token_id: token_id.into(),
            session_id: session_id.into(),
            issued_at,
            expires_at,
            hash,
        }
    }
}

/// The use of a refresh token.
#[derive(Clone)]
#[non_exhaustive]
pub struct RefreshRotation {
    /// `jti` of the token that is used; its owner and session are the successor's.
    pub used: Arc<str>,
    /// SHA-256 of its claims.
    pub used_hash: [u8; 32],
    /// What is to follow it; issued no earlier than the token that is used.
    pub successor: NewRefreshToken,
    /// For how long after its first use a repeat is answered with the same successor; in whole seconds.
    pub reuse_grace: Duration,
    /// The latest `exp` of any token of the session: if the token was used before, the session is revoked until then.
    pub session_expires_by: UnixTime,
    /// The time of the use.
    pub now: UnixTime,
}

impl RefreshRotation {
    /// The use of the token `used` at `now`, without grace.
    #[must_use]
    pub fn new(
        used: impl Into<Arc<str>>,
        used_hash: [u8; 32],
        successor: NewRefreshToken,
        now: UnixTime,
        session_expires_by: UnixTime,
    ) -> Self {
        let used = used.into();
        Self { used, used_hash, successor, reuse_grace: Duration::ZERO, session_expires_by, now }
    }

    /// Answers a repeat within this time, in whole seconds, with the same successor. Default: zero.
    #[must_use]
    pub fn with_reuse_grace(mut self, grace: Duration) -> Self {
        self.reuse_grace = grace;
        self
    }
}

/// What became of the use of a refresh token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefreshUse {
    /// No token of this owner and session has this id and hash.
    Unknown,
    /// Its session was denied, or it was issued at the owner's cut-off or before.
    Revoked,
    /// It was unused: the successor is now kept in its place.
    Rotated,
    /// It was used at most `reuse_grace` before `now`, and this is the successor that was kept then, which
    /// itself is unused.
    Repeated(NewRefreshToken),
    /// It was used before. The session is now denied.
    Reused,
}

/// A private token, as it is stored.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewPrivateToken {
    /// Whose it is.
    pub owner: Owner,
    /// `jti`, unique within the issuer.
    pub token_id: Arc<str>,
    /// `sid`, which it shares with no other token.
    pub session_id: Arc<str>,
    /// What its owner calls it.
    pub name: Arc<str>,
    /// `iat`.
    pub issued_at: UnixTime,
    /// `exp`.
    pub expires_at: UnixTime,
    /// SHA-256 of the claims as they are signed.
    pub hash: [u8; 32],
    /// How many private tokens its owner may have that are good at once. It is not stored.
    pub quota: u64,
}

impl NewPrivateToken {
    /// A private token without a quota; [`RotatedPrivateToken`] takes the name from the old one, whatever is given
    /// here.
    #[must_use]
    pub fn new(
        owner: Owner,
        token_id: impl Into<Arc<str>>,
        session_id: impl Into<Arc<str>>,
        name: impl Into<Arc<str>>,
        [issued_at, expires_at]: [UnixTime; 2],
        hash: [u8; 32],
    ) -> Self {
        Self {
            owner,
            token_id: token_id.into(),
            session_id: session_id.into(),
            name: name.into(),
            issued_at,
            expires_at,
            hash,
            quota: u64::MAX,
        }
    }

    /// Is kept only if its owner has at most this many private tokens afterwards. Default: any number.
    ///
    /// Only tokens count that are good at the time of the step: not expired, not revoked, and issued after the owner's
    /// cut-off. A rotation with an overlap may exceed the quota, up to twice the quota. A rotation without an overlap
    /// is never refused, because it does not change the number.
    #[must_use]
    pub fn with_quota(mut self, quota: u64) -> Self {
        self.quota = quota;
        self
    }
}

/// A private token, as its owner may see it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrivateToken {
    /// Its number, unique within the store and never given again.
    pub id: i64,
    /// What its owner calls it.
    pub name: Arc<str>,
    /// `exp`.
    pub expires_at: UnixTime,
    /// `iat`.
    pub created_at: UnixTime,
    /// When it was last used, within a few minutes.
    pub last_used_at: Option<UnixTime>,
}

impl PrivateToken {
    /// A token that was not used yet.
    #[must_use]
    pub fn new(
        id: i64,
        name: impl Into<Arc<str>>,
        created_at: UnixTime,
        expires_at: UnixTime,
    ) -> Self {
        Self { id, name: name.into(), expires_at, created_at, last_used_at: None }
    }
}

/// The rotation of a private token.
#[derive(Clone)]
#[non_exhaustive]
pub struct RotatedPrivateToken {
    /// The number of the old token; its owner is the successor's.
    pub id: i64,
    /// What follows it, under the old one's name.
    pub successor: NewPrivateToken,
    /// The first second at which the old one is refused; `now` or before: at once.
    pub old_dies_at: UnixTime,
    /// The time of the rotation.
    pub now: UnixTime,
}

impl RotatedPrivateToken {
    /// The rotation of the token `id` at `now`; the old token dies at `old_dies_at`.
    #[must_use]
    pub fn new(id: i64, successor: NewPrivateToken, old_dies_at: UnixTime, now: UnixTime) -> Self {
        Self { id, successor, old_dies_at, now }
    }

    /// From when on the old token is denied, if it has no earlier end: `old_dies_at`, or the epoch where that is not
    /// later than `now`. What dies at once is dead by every clock.
    #[must_use]
    pub fn old_from(&self) -> UnixTime {
        if self.old_dies_at <= self.now { UnixTime::EPOCH } else { self.old_dies_at }
    }

    /// The number of good tokens at which this rotation is refused, or `None` if it does not change their number. For
    /// stores.
    #[must_use]
    pub fn most_before(&self) -> Option<u64> {
        (self.old_from() > UnixTime::EPOCH).then(|| self.successor.quota.saturating_mul(2))
    }
}

/// What became of the rotation of a private token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrivateRotation {
    /// The owner has no such token, or not any more, or it was rotated before.
    NotFound,
    /// The successor's `issued_at` is not later than this cut-off of the owner; nothing has changed.
    CutOff(UnixTime),
    /// The overlap would exceed twice the successor's quota; nothing has changed.
    QuotaReached,
    /// Done.
    Rotated {
        /// The new token.
        new: PrivateToken,
        /// The denial of the old one.
        old: RevocationEntry,
    },
}

/// What became of a new row.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Insertion<T> {
    /// It is kept.
    Done(T),
    /// Its `issued_at` is not later than this cut-off of its owner; nothing is kept.
    CutOff(UnixTime),
    /// Its owner has as many private tokens as [`NewPrivateToken::quota`] allows; nothing is kept. Only
    /// [`TokenStore::create_private`](super::TokenStore::create_private) answers this.
    QuotaReached,
}

/// The use of a private token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenUse {
    /// The issuer's name.
    pub issuer: Arc<str>,
    /// `jti`.
    pub token_id: Arc<str>,
    /// When.
    pub at: UnixTime,
}

impl TokenUse {
    /// A use of a token of an issuer.
    #[must_use]
    pub fn new(issuer: impl Into<Arc<str>>, token_id: impl Into<Arc<str>>, at: UnixTime) -> Self {
        Self { issuer: issuer.into(), token_id: token_id.into(), at }
    }
}

/// Ids, subjects and names are claims or personal data: neither belongs into a log.
macro_rules! debug_without_content {
    ($($name:literal $type:ty),+ $(,)?) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).finish_non_exhaustive()
            }
        }
    )+};
}

debug_without_content! {
    "Owner" Owner,
    "NewRefreshToken" NewRefreshToken,
    "RefreshRotation" RefreshRotation,
    "NewPrivateToken" NewPrivateToken,
    "RotatedPrivateToken" RotatedPrivateToken,
    "TokenUse" TokenUse,
}

impl fmt::Debug for PrivateToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for RefreshUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::Revoked => "Revoked",
            Self::Rotated => "Rotated",
            Self::Repeated(_) => "Repeated(..)",
            Self::Reused => "Reused",
        })
    }
}

impl fmt::Debug for PrivateRotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("NotFound"),
            Self::CutOff(cut_off) => f.debug_tuple("CutOff").field(cut_off).finish(),
            Self::QuotaReached => f.write_str("QuotaReached"),
            Self::Rotated { new, old } => {
                f.debug_struct("Rotated").field("new", new).field("old", old).finish()
            }
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Insertion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(row) => f.debug_tuple("Done").field(row).finish(),
            Self::CutOff(cut_off) => f.debug_tuple("CutOff").field(cut_off).finish(),
            Self::QuotaReached => f.write_str("QuotaReached"),
        }
    }
}
