//! The witness that a token has passed every check.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    claims::{RegisteredClaims, Scopes, UntypedClaims},
    jws::Algorithm,
    revocation::TokenFacts,
};

/// A token that is genuine, unexpired and unrevoked, with its claims.
///
/// Only an [`Authenticator`](crate::Authenticator) can make one. The layer puts it into the
/// extensions of the request; it is one `Arc` inside, so cloning costs a counter.
pub struct Authenticated<C = UntypedClaims>(Arc<Inner<C>>);

pub(crate) struct Inner<C> {
    pub(crate) claims: C,
    pub(crate) registered: RegisteredClaims,
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<Arc<str>>,
    pub(crate) revocation_id: Arc<str>,
    /// The first second at which the token is refused: `exp` and the policy's leeway.
    pub(crate) refused_from: u64,
}

impl<C> Authenticated<C> {
    pub(crate) fn new(inner: Inner<C>) -> Self {
        Self(Arc::new(inner))
    }

    /// The claims, in the service author's type.
    #[must_use]
    pub fn claims(&self) -> &C {
        &self.0.claims
    }

    /// The registered claims, whatever `C` keeps.
    #[must_use]
    pub fn registered(&self) -> &RegisteredClaims {
        &self.0.registered
    }

    /// The scopes, from `scope` or `scp`.
    #[must_use]
    pub fn scopes(&self) -> &Scopes {
        &self.0.registered.scopes
    }

    /// When the token expires, leeway not counted. Streams and WebSockets end here, or look again with
    /// [`Authenticator::recheck`](crate::Authenticator::recheck).
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.registered.expires_at)
    }

    /// The algorithm of the signature.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// The id of the key that verified the token, where the key has one.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.0.key_id.as_deref()
    }

    /// What identifies the token for revocation: `jti`, the claim that the policy names, or the SHA-256 of
    /// `header.payload` in hexadecimal.
    #[must_use]
    pub fn revocation_id(&self) -> &str {
        &self.0.revocation_id
    }

    pub(crate) fn refused_from(&self) -> u64 {
        self.0.refused_from
    }

    pub(crate) fn facts(&self) -> TokenFacts<'_> {
        let registered = &self.0.registered;
        TokenFacts {
            issuer: &registered.issuer,
            token_id: &self.0.revocation_id,
            subject: registered.subject.as_ref(),
            issued_at: registered.issued_at.unwrap_or(0),
            session_id: registered.session_id.as_ref(),
            key_id: self.0.key_id.as_ref(),
            expires_at: registered.expires_at,
        }
    }
}

impl<C> Clone for Authenticated<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for Authenticated<C> {
    /// Shows no claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated")
            .field("algorithm", &self.0.algorithm)
            .field("expires_at", &self.0.registered.expires_at)
            .finish_non_exhaustive()
    }
}
