//! The tokens that the issuer gives to clients.

use std::fmt;

use super::{Account, store::PrivateToken};
use tower_bearer::UnixTime;

/// The tokens of a session. They are credentials: `Debug` does not show them, and only the client keeps them.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenPair {
    /// For requests. It lives for one hour.
    pub access_token: String,
    /// For one refresh.
    pub refresh_token: String,
    /// `exp` of the access token.
    pub access_expires_at: UnixTime,
    /// `exp` of the refresh token.
    pub refresh_expires_at: UnixTime,
}

/// The result of a log-in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Login {
    /// The account that logged in.
    pub account: Account,
    /// The first tokens of the session.
    pub tokens: TokenPair,
}

/// A private token that was just created. This is the only time at which it can be seen.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreatedPrivateToken {
    /// The data that its owner can see from now on.
    pub token: PrivateToken,
    /// The token itself.
    pub data: String,
}

impl fmt::Debug for TokenPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenPair").finish_non_exhaustive()
    }
}

impl fmt::Debug for CreatedPrivateToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedPrivateToken").field("token", &self.token).finish_non_exhaustive()
    }
}
