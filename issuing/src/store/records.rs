//! The records that go into a token store and come out of it.

use std::{fmt, sync::Arc, time::Duration};

use crate::{claims::ACCESS_LIFETIME, scopes::ScopeSet};
use tower_bearer::{UnixTime, revocation::RevocationEntry};

/// The owner of tokens: a subject of an issuer. The issuer is part of it, so that two issuers on one store cannot reach
/// each other's tokens.
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

/// A refresh token, as the store keeps it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewRefreshToken {
    /// The owner of the token.
    pub owner: Owner,
    /// `jti`, unique within the issuer.
    pub token_id: Arc<str>,
    /// `sid`. All refresh tokens of a session have the same.
    pub session_id: Arc<str>,
    /// `iat`.
    pub issued_at: UnixTime,
    /// `exp`.
    pub expires_at: UnixTime,
    /// SHA-256 of the claims as they are signed.
    pub hash: [u8; 32],
    /// `jti` of the access token that is issued together with it. So the store can revoke that token. `None` for rows
    /// of earlier versions.
    pub access_token_id: Option<Arc<str>>,
    /// The RFC 7638 thumbprint of the key that the session is bound to. `None` if it is not bound.
    pub key_thumbprint: Option<Arc<str>>,
}

impl NewRefreshToken {
    /// A refresh token of a session, without an access token and without a key.
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
            access_token_id: None,
            key_thumbprint: None,
        }
    }

    /// Sets the `jti` of the access token that is issued together with it. Default: none.
    #[must_use]
    pub fn with_access_token_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.access_token_id = Some(id.into());
        self
    }

    /// Sets the thumbprint of the key that the session is bound to. Default: none. A refresh needs the same.
    #[must_use]
    pub fn with_key_thumbprint(mut self, thumbprint: Option<Arc<str>>) -> Self {
        self.key_thumbprint = thumbprint;
        self
    }

    /// The latest `exp` of the two tokens that are issued together: this refresh token, and an access token. After
    /// this time a session has no valid token, unless it was refreshed.
    #[must_use]
    pub fn session_expires_at(&self) -> UnixTime {
        self.expires_at.max(self.issued_at + ACCESS_LIFETIME)
    }
}

/// A session that begins.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewSession {
    /// Its first refresh token.
    pub first: NewRefreshToken,
    /// The name that the client gave itself, at most 200 characters.
    pub user_agent: Option<Arc<str>>,
}

impl NewSession {
    /// A session of an unknown client.
    #[must_use]
    pub fn new(first: NewRefreshToken) -> Self {
        Self { first, user_agent: None }
    }

    /// Sets the name that the client gave itself. Default: unknown.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: Option<&str>) -> Self {
        self.user_agent = user_agent.map(Into::into);
        self
    }
}

/// A session of an unknown client.
impl From<NewRefreshToken> for NewSession {
    fn from(first: NewRefreshToken) -> Self {
        Self::new(first)
    }
}

/// A session, as its owner may see it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// Its number. It is unique within the store and never used again.
    pub id: i64,
    /// The time of the log-in.
    pub created_at: UnixTime,
    /// `iat` of its latest refresh token: the time of the log-in, or of the latest refresh.
    pub last_used_at: UnixTime,
    /// The latest `exp` of its tokens ([`NewRefreshToken::session_expires_at`]).
    pub expires_at: UnixTime,
    /// The name that the client gave itself at the log-in. `None` if it is unknown.
    pub user_agent: Option<Arc<str>>,
    /// Whether this is the session of the access token that lists it.
    pub is_current: bool,
}

impl Session {
    /// A session of an unknown client. It is not the caller's.
    #[must_use]
    pub fn new(
        id: i64,
        created_at: UnixTime,
        last_used_at: UnixTime,
        expires_at: UnixTime,
    ) -> Self {
        Self { id, created_at, last_used_at, expires_at, user_agent: None, is_current: false }
    }
}

/// The use of a refresh token.
#[derive(Clone)]
#[non_exhaustive]
pub struct RefreshRotation {
    /// `jti` of the token that is used. It has the same owner and session as the successor.
    pub used: Arc<str>,
    /// SHA-256 of the claims of the used token.
    pub used_hash: [u8; 32],
    /// The token that follows it. It is not issued earlier than the used token.
    pub successor: NewRefreshToken,
    /// How long after the first use a repeat gets the same successor. In whole seconds.
    pub reuse_grace: Duration,
    /// The latest `exp` of any token of the session. If the token was used before, the session is revoked until then.
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

    /// Sets how long after the first use a repeat gets the same successor, in whole seconds. Default: zero.
    #[must_use]
    pub fn with_reuse_grace(mut self, grace: Duration) -> Self {
        self.reuse_grace = grace;
        self
    }
}

/// The outcome of the use of a refresh token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefreshUse {
    /// No token of this owner and session has this id and hash.
    Unknown,
    /// The token is bound to another key than the successor, or only one of the two is bound. Nothing has changed.
    OtherKey,
    /// Its session was revoked, or the token was revoked, or it was issued at the owner's cut-off or before.
    Revoked,
    /// The token was unused. The store now keeps the successor in its place.
    Rotated,
    /// The token was used at most `reuse_grace` before `now`. This is the successor that was stored then, which is
    /// unused itself.
    Repeated(NewRefreshToken),
    /// The token was used before. The session is now revoked.
    Reused,
}

/// A private token, as the store keeps it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewPrivateToken {
    /// The owner of the token.
    pub owner: Owner,
    /// `jti`, unique within the issuer.
    pub token_id: Arc<str>,
    /// `sid`. No other token has the same.
    pub session_id: Arc<str>,
    /// The name that the owner gave it.
    pub name: Arc<str>,
    /// `iat`.
    pub issued_at: UnixTime,
    /// `exp`.
    pub expires_at: UnixTime,
    /// SHA-256 of the claims as they are signed.
    pub hash: [u8; 32],
    /// The scopes of the token. They never change.
    pub scopes: ScopeSet,
    /// The RFC 7638 thumbprint of the key that the token is bound to. `None` if it is not bound. It never changes.
    pub key_thumbprint: Option<Arc<str>>,
    /// How many valid private tokens the owner may have at once. It is not stored.
    pub quota: u64,
}

impl NewPrivateToken {
    /// A private token without scopes, key and quota. In a [`RotatedPrivateToken`] the name has no effect: the
    /// successor gets the name of the old token.
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
            scopes: ScopeSet::default(),
            key_thumbprint: None,
            quota: u64::MAX,
        }
    }

    /// Sets the scopes of the token. Default: none.
    #[must_use]
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sets the thumbprint of the key that the token is bound to. Default: none.
    #[must_use]
    pub fn with_key_thumbprint(mut self, thumbprint: Option<Arc<str>>) -> Self {
        self.key_thumbprint = thumbprint;
        self
    }

    /// Sets how many private tokens the owner may have after the step. If there would be more, the token is not stored.
    /// Default: any number.
    ///
    /// Only tokens that are valid at the time of the step count: not expired, not revoked, and issued after the owner's
    /// cut-off. A rotation with an overlap may exceed the quota, up to twice the quota. A rotation without an overlap
    /// is always allowed, because it does not change the number.
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
    /// Its number. It is unique within the store and never used again.
    pub id: i64,
    /// The name that the owner gave it.
    pub name: Arc<str>,
    /// `exp`.
    pub expires_at: UnixTime,
    /// `iat`.
    pub created_at: UnixTime,
    /// When it was last used, with a precision of a few minutes.
    pub last_used_at: Option<UnixTime>,
    /// Its scopes. Tokens of earlier versions have none.
    pub scopes: ScopeSet,
    /// The RFC 7638 thumbprint of the key that it is bound to. `None` if it is not bound.
    pub key_thumbprint: Option<Arc<str>>,
}

impl PrivateToken {
    /// A token that was not used yet, without scopes and key.
    #[must_use]
    pub fn new(
        id: i64,
        name: impl Into<Arc<str>>,
        created_at: UnixTime,
        expires_at: UnixTime,
    ) -> Self {
        let (name, scopes) = (name.into(), ScopeSet::default());
        Self { id, name, expires_at, created_at, last_used_at: None, scopes, key_thumbprint: None }
    }

    /// Sets the scopes. Default: none.
    #[must_use]
    pub fn with_scopes(mut self, scopes: ScopeSet) -> Self {
        self.scopes = scopes;
        self
    }

    /// Sets the thumbprint of the key that it is bound to. Default: none.
    #[must_use]
    pub fn with_key_thumbprint(mut self, thumbprint: Option<Arc<str>>) -> Self {
        self.key_thumbprint = thumbprint;
        self
    }
}

/// The rotation of a private token.
#[derive(Clone)]
#[non_exhaustive]
pub struct RotatedPrivateToken {
    /// The number of the old token. It has the same owner as the successor.
    pub id: i64,
    /// The token that follows it. It gets the name of the old token.
    pub successor: NewPrivateToken,
    /// The first second at which the old token is rejected. If this is `now` or earlier, the old token ends at once.
    pub old_dies_at: UnixTime,
    /// The time of the rotation.
    pub now: UnixTime,
}

impl RotatedPrivateToken {
    /// The rotation of the token `id` at `now`. The old token ends at `old_dies_at`.
    #[must_use]
    pub fn new(id: i64, successor: NewPrivateToken, old_dies_at: UnixTime, now: UnixTime) -> Self {
        Self { id, successor, old_dies_at, now }
    }

    /// The time from which the old token is revoked, if it does not end earlier. It is `old_dies_at`, or the epoch if
    /// `old_dies_at` is not later than `now`. So a token that ends at once is revoked by every clock.
    #[must_use]
    pub fn old_from(&self) -> UnixTime {
        if self.old_dies_at <= self.now { UnixTime::EPOCH } else { self.old_dies_at }
    }

    /// The number of valid tokens at which this rotation is rejected. `None` if the rotation does not change their
    /// number. For stores.
    #[must_use]
    pub fn most_before(&self) -> Option<u64> {
        (self.old_from() > UnixTime::EPOCH).then(|| self.successor.quota.saturating_mul(2))
    }
}

/// The outcome of the rotation of a private token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrivateRotation {
    /// The owner does not have this token, or no longer has it, or it was rotated before and has ended.
    NotFound,
    /// The successor's `issued_at` is not later than this cut-off of the owner. Nothing has changed.
    CutOff(UnixTime),
    /// The overlap would exceed twice the successor's quota. Nothing has changed.
    QuotaReached,
    /// The token was rotated.
    Rotated {
        /// The new token.
        new: PrivateToken,
        /// The revocation entry of the old token.
        old: RevocationEntry,
    },
}

/// The outcome of an insertion.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Insertion<T> {
    /// The row was stored.
    Done(T),
    /// The row's `issued_at` is not later than this cut-off of its owner. Nothing is stored.
    CutOff(UnixTime),
    /// The owner already has as many private tokens as [`NewPrivateToken::quota`] allows. Nothing is stored. Only
    /// [`TokenStore::create_private`](super::TokenStore::create_private) answers this.
    QuotaReached,
}

/// A use of a private token.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenUse {
    /// The issuer's name.
    pub issuer: Arc<str>,
    /// `jti`.
    pub token_id: Arc<str>,
    /// The time of the use.
    pub at: UnixTime,
}

impl TokenUse {
    /// A use of a token of an issuer.
    #[must_use]
    pub fn new(issuer: impl Into<Arc<str>>, token_id: impl Into<Arc<str>>, at: UnixTime) -> Self {
        Self { issuer: issuer.into(), token_id: token_id.into(), at }
    }
}

/// Implements `Debug` without content. Ids, subjects and names are claims or personal data, which must not be in a log.
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
    "NewSession" NewSession,
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

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for RefreshUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::OtherKey => "OtherKey",
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
