//! The errors of the issuer's calls.

use std::time::Duration;

use super::NewPasswordError;
use tower_bearer::{Rejection, revocation::StoreError};

/// Why a log-in failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Wrong password, unknown user, or inactive user: 401.
    #[error("no active account has these credentials")]
    NoActiveAccount,
    /// Too many failures, or far too many log-ins: 429. The password was not checked.
    #[error("too many attempts: try again in {} s", retry_after.as_secs())]
    Throttled {
        /// When to try again, in whole seconds.
        retry_after: Duration,
    },
    /// Too many passwords are being checked to fit into memory: 503.
    #[error("too many passwords are being checked: try again later")]
    Busy,
    /// The [proof](crate::TokenIssuer::with_proof) was used before: 400. If this cannot be checked: 503. The password
    /// was right, and no session was begun.
    #[error("the DPoP proof was not accepted: make a new one")]
    InvalidProof(#[source] Rejection),
    /// Accounts, store or keys were not available: 503.
    #[error("the log-in is not possible now: accounts, store or keys are not available")]
    Unavailable(#[from] StoreError),
}

/// Why a refresh failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// This is not a valid refresh token of this issuer, it was used or revoked, or its subject no longer has an active
    /// account: 401.
    #[error("the token is not a valid refresh token of this issuer")]
    NotValid,
    /// Too many refreshes of one session at once: 429. The token was not used.
    #[error("too many refreshes of one session: try again in {} s", retry_after.as_secs())]
    Throttled {
        /// When to try again, in whole seconds.
        retry_after: Duration,
    },
    /// The token is bound to a key, and there is no [proof](crate::TokenIssuer::with_proof) by that key. Or the token
    /// is not bound, and there is a proof. Or the proof was used before. 400. If this cannot be checked: 503. The token
    /// was not used.
    #[error("the DPoP proof was not accepted: make a new one with the key of the session")]
    InvalidProof(#[source] Rejection),
    /// Store or accounts were not available: 503. The token may have been used.
    #[error("the refresh is not possible now: store or accounts are not available")]
    Unavailable(#[from] StoreError),
}

/// Why a log-out failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogOutError {
    /// The Bearer token is not an access token of this issuer, or has expired: 401.
    #[error("the token is not a valid access token of this issuer")]
    NotAccess,
    /// This is not a refresh token of this issuer: 400. An expired or revoked refresh token of this issuer is accepted.
    #[error("the token is not a refresh token of this issuer")]
    NotRefresh,
    /// The two tokens belong to different subjects: 400.
    #[error("the access token and the refresh token belong to different subjects")]
    OtherSubject,
    /// The store was not available: 503. This process rejects the tokens.
    #[error("the log-out is not stored: the store is not available. Try again")]
    Unavailable(#[from] StoreError),
}

/// Why a call about private tokens failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateTokenError {
    /// The Bearer token is not an access token of this issuer, or it has expired or was revoked, or its account is not
    /// active: 401. The same for a private token that
    /// [may not](super::TokenIssuerBuilder::allow_private_token_management) manage private tokens.
    #[error("the token is not a valid access token of this issuer")]
    NotAccess,
    /// The name is blank: 400.
    #[error("the name is blank: expected 1 to 255 characters")]
    BlankName,
    /// The name is longer than 255 characters: 400.
    #[error("the name is too long: expected 1 to 255 characters")]
    NameTooLong,
    /// The name contains a NUL, which some stores cannot keep: 400.
    #[error("the name contains a NUL character: remove it")]
    NulInName,
    /// The expiry is not in the future: 400.
    #[error("the expiry is not in the future")]
    ExpiryPast,
    /// The expiry is further away than the operator allows: 400.
    #[error("the expiry is too far away: expected at most {} s from now", maximum.as_secs())]
    ExpiryTooFar {
        /// The operator's maximum lifetime.
        maximum: Duration,
    },
    /// The expiry is later than that of the private token that makes the call: 400.
    #[error("the expiry is later than that of the private token that makes the call")]
    ExpiryAfterCaller,
    /// A scope that the owner does not have, that the private token that makes the call does not have, or that the
    /// operator does not allow: 400.
    #[error(
        "a scope is not available: expected scopes that the account has and this token may give"
    )]
    ScopeNotAvailable,
    /// The private token that makes the call has fewer scopes than the one that it would rotate: 403.
    #[error(
        "the private token that makes the call lacks a scope of the token that it would rotate"
    )]
    MoreScopesThanCaller,
    /// The caller has as many private tokens as the operator allows: 400. For a rotation with an overlap, the limit is
    /// twice as many.
    #[error(
        "the subject has too many private tokens: at most {maximum} may be valid. Revoke one first"
    )]
    TooMany {
        /// The operator's maximum.
        maximum: u32,
    },
    /// The [proof](crate::TokenIssuer::with_proof) was used before: 400. If this cannot be checked: 503. No token was
    /// created.
    #[error("the DPoP proof was not accepted: make a new one")]
    InvalidProof(#[source] Rejection),
    /// The caller has no such private token: 404.
    #[error("the subject has no such private token")]
    NotFound,
    /// The list has no such page: 404.
    #[error("the list has no such page")]
    InvalidPage,
    /// The store was not available: 503.
    #[error("private tokens cannot be managed now: the store is not available. Try again")]
    Unavailable(#[from] StoreError),
}

/// Why a call about the list of sessions failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The Bearer token is not an access token of this issuer, or it has expired or was revoked: 401.
    #[error("the token is not a valid access token of this issuer")]
    NotAccess,
    /// The caller has no such session: 404.
    #[error("the subject has no such session")]
    NotFound,
    /// The list has no such page: 404.
    #[error("the list has no such page")]
    InvalidPage,
    /// The store was not available: 503. The session may have been revoked.
    #[error("sessions cannot be managed now: the store is not available. Try again")]
    Unavailable(#[from] StoreError),
}

/// Why the tokens of a subject were not all revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeAllError {
    /// The Bearer token is not an access token of this issuer, or has expired: 401.
    #[error("the token is not a valid access token of this issuer")]
    NotAccess,
    /// The store was not available: 503. This process rejects the tokens.
    #[error("the revocation is not stored: the store is not available. Try again")]
    Unavailable(#[from] StoreError),
}

/// Why a call about an account failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The issuer does not manage accounts.
    #[error("accounts are not managed: call `TokenIssuerBuilder::with_managed_accounts`")]
    NotManaged,
    /// No account has this subject.
    #[error("no account has this subject")]
    NotFound,
    /// The e-mail address is empty, is longer than [`MAX_EMAIL`](crate::MAX_EMAIL), or contains a NUL.
    #[error("not an e-mail address: expected 1 to 320 bytes without a NUL")]
    InvalidEmail,
    /// Another account has this e-mail address.
    #[error("another account has this e-mail address")]
    EmailTaken,
    /// The new password breaks a rule.
    #[error(transparent)]
    NewPassword(#[from] NewPasswordError),
    /// The store was not available, or too many passwords are being hashed.
    #[error("the account cannot be changed now: the store is not available. Try again")]
    Unavailable(#[from] StoreError),
}

/// Why a password was not changed by its owner.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangePasswordError {
    /// The issuer does not manage accounts: 404.
    #[error("accounts are not managed: call `TokenIssuerBuilder::with_managed_accounts`")]
    NotManaged,
    /// The Bearer token is not an access token of this issuer, or it has expired or was revoked, or its account is not
    /// active: 401.
    #[error("the token is not a valid access token of this issuer")]
    NotAccess,
    /// The old password is wrong: 400.
    #[error("the old password is wrong")]
    WrongPassword,
    /// The new password breaks a rule: 400.
    #[error(transparent)]
    NewPassword(#[from] NewPasswordError),
    /// Too many wrong passwords: 429. The old password was not checked.
    #[error("too many attempts: try again in {} s", retry_after.as_secs())]
    Throttled {
        /// When to try again, in whole seconds.
        retry_after: Duration,
    },
    /// Too many passwords are being checked, or the hash of the password changed several times meanwhile: 503.
    #[error("too many passwords are being checked: try again later")]
    Busy,
    /// Accounts or store were not available: 503. The password may have been changed.
    #[error("the password cannot be changed now: accounts or store are not available")]
    Unavailable(#[from] StoreError),
}

impl From<LoginError> for ChangePasswordError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::NoActiveAccount => Self::WrongPassword,
            LoginError::Throttled { retry_after } => Self::Throttled { retry_after },
            LoginError::Busy => Self::Busy,
            // A check of a password uses no proof.
            LoginError::InvalidProof(error) => Self::Unavailable(StoreError::new(error)),
            LoginError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}

/// Why a token was not revoked for its holder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeTokenError {
    /// The client has presented too many strings that are not valid tokens: 429.
    #[error("too many strings that are not valid tokens: try again in {} s", retry_after.as_secs())]
    Throttled {
        /// When to try again, in whole seconds.
        retry_after: Duration,
    },
    /// The store was not available: 503. The token may be valid.
    #[error("the revocation is not stored: the store is not available. Try again")]
    Unavailable(#[from] StoreError),
}
