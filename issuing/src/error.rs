//! Why a call to the issuer did not succeed.

use std::{error::Error, fmt, time::Duration};

use tower_bearer::revocation::StoreError;

/// Why nobody was logged in.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoginError {
    /// Wrong password, unknown user, inactive user: 401.
    NoActiveAccount,
    /// Too many failures, or far too many log-ins: 429, and the password was not looked at.
    Throttled {
        /// When to come again, in whole seconds.
        retry_after: Duration,
    },
    /// More passwords are being checked than fit into memory: 503.
    Busy,
    /// Accounts, store or keys could not be asked: 503.
    Unavailable(StoreError),
}

/// Why a refresh token gave no new tokens.
#[derive(Debug)]
#[non_exhaustive]
pub enum RefreshError {
    /// It is no valid refresh token of this issuer, it was used or revoked, or its subject has no active account any
    /// more: 401.
    NotValid,
    /// Too many refreshes of one session at once: 429. The token was not used.
    Throttled {
        /// When to come again, in whole seconds.
        retry_after: Duration,
    },
    /// Store or accounts could not be asked: 503. The token may have been used.
    Unavailable(StoreError),
}

/// Why nobody was logged out.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogOutError {
    /// The Bearer token is no access token of this issuer, or has expired: 401.
    NotAccess,
    /// It is no refresh token of this issuer: 400. One that has expired or was revoked will do.
    NotRefresh,
    /// The two tokens are not of one subject: 400.
    OtherSubject,
    /// The store could not be asked: 503. In this process the tokens are refused.
    Unavailable(StoreError),
}

/// Why a call about private tokens did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum PrivateTokenError {
    /// The Bearer token is no access token of this issuer, or has expired or was revoked: 401.
    NotAccess,
    /// The name is blank: 400.
    BlankName,
    /// The name is longer than 255 characters: 400.
    NameTooLong,
    /// The name has a NUL, which not every store can keep: 400.
    NulInName,
    /// The expiry is not in the future: 400.
    ExpiryPast,
    /// The expiry is further away than the operator allows: 400.
    ExpiryTooFar {
        /// The longest lifetime.
        maximum: Duration,
    },
    /// The caller has as many private tokens as the operator allows: 400. For a rotation with an overlap: twice as
    /// many.
    TooMany {
        /// The operator's setting.
        maximum: u32,
    },
    /// The caller has no such private token: 404.
    NotFound,
    /// The list has no such page: 404.
    InvalidPage,
    /// The store could not be asked: 503.
    Unavailable(StoreError),
}

/// Why a subject's tokens were not all revoked.
#[derive(Debug)]
#[non_exhaustive]
pub enum RevokeAllError {
    /// The Bearer token is no access token of this issuer, or has expired: 401.
    NotAccess,
    /// The store could not be asked: 503. In this process the tokens are refused.
    Unavailable(StoreError),
}

macro_rules! errors {
    ($($error:ident { $($variant:pat => $text:literal),+ $(,)? })+) => {$(
        impl fmt::Display for $error {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($variant => $text),+ })
            }
        }

        impl Error for $error {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                match self {
                    Self::Unavailable(source) => Some(source),
                    _ => None,
                }
            }
        }

        impl From<StoreError> for $error {
            fn from(error: StoreError) -> Self {
                Self::Unavailable(error)
            }
        }
    )+};
}

errors! {
    LoginError {
        Self::NoActiveAccount => "no active account has these credentials",
        Self::Throttled { .. } => "too many attempts",
        Self::Busy => "too many passwords are being checked",
        Self::Unavailable(_) => "logging in is not available",
    }
    RefreshError {
        Self::NotValid => "no valid refresh token",
        Self::Throttled { .. } => "too many refreshes of one session at once",
        Self::Unavailable(_) => "refreshing is not available",
    }
    LogOutError {
        Self::NotAccess => "no access token of this issuer that is good now",
        Self::NotRefresh => "no refresh token of this issuer",
        Self::OtherSubject => "the tokens are not of one subject",
        Self::Unavailable(_) => "logging out is not available",
    }
    PrivateTokenError {
        Self::NotAccess => "no access token of this issuer that is good now",
        Self::BlankName => "a blank name",
        Self::NameTooLong => "a name of more than 255 characters",
        Self::NulInName => "a NUL in a name",
        Self::ExpiryPast => "an expiry that is not in the future",
        Self::ExpiryTooFar { .. } => "an expiry beyond the longest lifetime",
        Self::TooMany { .. } => "as many private tokens as the operator allows",
        Self::NotFound => "no such private token",
        Self::InvalidPage => "no such page",
        Self::Unavailable(_) => "private tokens are not available",
    }
    RevokeAllError {
        Self::NotAccess => "no access token of this issuer that is good now",
        Self::Unavailable(_) => "revoking is not available",
    }
}
