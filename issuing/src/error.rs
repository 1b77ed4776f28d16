//! Why a call to the issuer did not succeed.

use std::time::Duration;

use tower_bearer::revocation::StoreError;

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Wrong password, unknown user, inactive user: 401.
    #[error("no active account has these credentials")]
    NoActiveAccount,
    /// Too many failures, or far too many log-ins: 429, and the password was not looked at.
    #[error("too many attempts: try again in {} s", retry_after.as_secs())]
    Throttled {
        /// When to come again, in whole seconds.
        retry_after: Duration,
    },
    /// More passwords are being checked than fit into memory: 503.
    #[error("too many passwords are being checked: try again later")]
    Busy,
    /// Accounts, store or keys could not be asked: 503.
    #[error("logging in is not available")]
    Unavailable(#[from] StoreError),
}

/// Why a refresh token gave no new tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// It is no valid refresh token of this issuer, it was used or revoked, or its subject has no active account any
    /// more: 401.
    #[error("not a valid refresh token of this issuer")]
    NotValid,
    /// Too many refreshes of one session at once: 429. The token was not used.
    #[error("too many refreshes of one session: try again in {} s", retry_after.as_secs())]
    Throttled {
        /// When to come again, in whole seconds.
        retry_after: Duration,
    },
    /// Store or accounts could not be asked: 503. The token may have been used.
    #[error("refreshing is not available")]
    Unavailable(#[from] StoreError),
}

/// Why nobody was logged out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogOutError {
    /// The Bearer token is no access token of this issuer, or has expired: 401.
    #[error("not a valid access token of this issuer")]
    NotAccess,
    /// It is no refresh token of this issuer: 400. One that has expired or was revoked will do.
    #[error("not a refresh token of this issuer")]
    NotRefresh,
    /// The two tokens are not of one subject: 400.
    #[error("the access token and the refresh token belong to different subjects")]
    OtherSubject,
    /// The store could not be asked: 503. In this process the tokens are refused.
    #[error("logging out is not available")]
    Unavailable(#[from] StoreError),
}

/// Why a call about private tokens did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateTokenError {
    /// The Bearer token is no access token of this issuer, or has expired or was revoked: 401.
    #[error("not a valid access token of this issuer")]
    NotAccess,
    /// The name is blank: 400.
    #[error("a blank name: expected 1 to 255 characters")]
    BlankName,
    /// The name is longer than 255 characters: 400.
    #[error("a name that is too long: expected 1 to 255 characters")]
    NameTooLong,
    /// The name has a NUL, which not every store can keep: 400.
    #[error("a name with a NUL: expected none")]
    NulInName,
    /// The expiry is not in the future: 400.
    #[error("an expiry that is not in the future")]
    ExpiryPast,
    /// The expiry is further away than the operator allows: 400.
    #[error("an expiry that is too far away: expected at most {} s from now", maximum.as_secs())]
    ExpiryTooFar {
        /// The longest lifetime.
        maximum: Duration,
    },
    /// The caller has as many private tokens as the operator allows: 400. For a rotation with an overlap: twice as
    /// many.
    #[error("too many private tokens: expected at most {maximum} that are valid at once")]
    TooMany {
        /// The operator's setting.
        maximum: u32,
    },
    /// The caller has no such private token: 404.
    #[error("no such private token of this subject")]
    NotFound,
    /// The list has no such page: 404.
    #[error("the list has no such page")]
    InvalidPage,
    /// The store could not be asked: 503.
    #[error("private tokens are not available")]
    Unavailable(#[from] StoreError),
}

/// Why a subject's tokens were not all revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeAllError {
    /// The Bearer token is no access token of this issuer, or has expired: 401.
    #[error("not a valid access token of this issuer")]
    NotAccess,
    /// The store could not be asked: 503. In this process the tokens are refused.
    #[error("revoking is not available")]
    Unavailable(#[from] StoreError),
}
