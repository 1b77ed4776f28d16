//! What the issuer hands out.

use std::fmt;

use super::{Account, store::PrivateToken};
use tower_bearer::UnixTime;

/// The tokens of a session. They are credentials: shown nowhere, and kept by the client alone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenPair {
    /// For any request, for one hour.
    pub access_token: String,
    /// For one refresh.
    pub refresh_token: String,
    /// `exp` of the access token.
    pub access_expires_at: UnixTime,
    /// `exp` of the refresh token.
    pub refresh_expires_at: UnixTime,
}

/// Somebody who has just logged in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Login {
    /// Who.
    pub account: Account,
    /// The first tokens of the session.
    pub tokens: TokenPair,
}

/// A private token that has just been made: the one time that it can be seen.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreatedPrivateToken {
    /// What its owner sees of it from now on.
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
