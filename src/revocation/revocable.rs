//! What can be revoked, and what a token can be revoked by.

use std::{fmt, sync::Arc};

/// One thing by which tokens can be revoked.
///
/// Always together with the issuer: without it one tenant could revoke another's tokens. The issuer is called by
/// the name of its [`Issuer`](crate::Issuer) policy, whichever of its spellings a token has
/// ([`RegisteredClaims::issuer`](crate::claims::RegisteredClaims::issuer)).
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Revocable {
    /// One token, by its id: `jti`, the claim that the issuer's policy names, or the SHA-256 of
    /// `header.payload` in hexadecimal.
    Token {
        /// The issuer's own name.
        issuer: Arc<str>,
        /// The token's id.
        id: Arc<str>,
    },
    /// Every token of a subject that was issued at `issued_at` or before.
    ///
    /// Asked about a token, `issued_at` is its `iat` (0 where it has none, so that any cut-off refuses it);
    /// in a revocation it is the cut-off.
    ///
    /// `iat` is a date by the issuer's clock. A cut-off of the current second misses the newest tokens of an issuer
    /// whose clock is ahead. [`Authenticator::revoke_subject`](crate::Authenticator::revoke_subject) adds the leeway.
    Subject {
        /// The issuer's own name.
        issuer: Arc<str>,
        /// The token's `sub`.
        subject: Arc<str>,
        /// Seconds since the Unix epoch.
        issued_at: u64,
    },
    /// Every token of a session, by `sid`.
    Session {
        /// The issuer's own name.
        issuer: Arc<str>,
        /// The token's `sid`.
        id: Arc<str>,
    },
    /// Every token that a key verifies, by the key's configured id or by its thumbprint.
    ///
    /// The `kid` of a token's header does not count: whoever makes a token chooses it, and a key without an id
    /// verifies tokens with any `kid`.
    Key {
        /// The issuer's own name.
        issuer: Arc<str>,
        /// The key's own id ([`Key::key_id`](crate::Key::key_id)), if it has one, or its
        /// [thumbprint](crate::Key::thumbprint), which every key has.
        id: Arc<str>,
    },
}

impl fmt::Debug for Revocable {
    /// Names the kind only: ids and subjects are claims, and claims stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token { .. } => "Token(..)",
            Self::Subject { .. } => "Subject(..)",
            Self::Session { .. } => "Session(..)",
            Self::Key { .. } => "Key(..)",
        })
    }
}

/// All that one verified token can be revoked by, borrowed from it.
#[derive(Clone, Copy)]
pub(crate) struct TokenFacts<'a> {
    pub(crate) issuer: &'a Arc<str>,
    pub(crate) token_id: &'a str,
    pub(crate) subject: Option<&'a str>,
    /// Seconds; 0 where the token has no `iat`.
    pub(crate) issued_at: u64,
    pub(crate) session_id: Option<&'a str>,
    pub(crate) key_id: Option<&'a Arc<str>>,
    pub(crate) key_thumbprint: &'a Arc<str>,
    /// Seconds.
    pub(crate) expires_at: u64,
}
