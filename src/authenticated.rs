//! The witness that a token has passed every check. Handlers find it in the extensions of the request.

use std::fmt;

use crate::{
    UnixTime, VerifiedToken,
    claims::{RegisteredClaims, Scopes, UntypedClaims},
    jws::Algorithm,
};

/// A token that is genuine, unexpired and not revoked, with its claims.
///
/// Only an [`Authenticator`](crate::Authenticator) can make one. The layer puts it into the extensions of the request.
/// Cloning is cheap: it is one `Arc`.
pub struct Authenticated<C = UntypedClaims>(VerifiedToken<C>);

impl<C> Authenticated<C> {
    /// Only the authenticator calls this, after all checks have passed.
    pub(crate) fn new(token: VerifiedToken<C>) -> Self {
        Self(token)
    }

    /// The claims, as your own type.
    #[must_use]
    pub fn claims(&self) -> &C {
        self.0.claims()
    }

    /// The registered claims. They do not depend on the fields of `C`.
    #[must_use]
    pub fn registered(&self) -> &RegisteredClaims {
        self.0.registered()
    }

    /// The scopes, from `scope` and `scp`.
    #[must_use]
    pub fn scopes(&self) -> Scopes<'_> {
        self.0.registered().scopes()
    }

    /// When the token expires by its `exp`, without leeway. Streams and WebSockets end at this time, or check again
    /// with [`Authenticator::recheck`](crate::Authenticator::recheck). `recheck` also checks the maximum age and
    /// revocation.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.0.registered().expires_at()
    }

    /// The algorithm of the signature.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    /// The configured id of the key that verified the token, if the key has one. It is not the `kid` of the token's
    /// header: a key without an id verifies tokens with any `kid`.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.0.key_id()
    }

    /// The [thumbprint](crate::Key::thumbprint) of the key that verified the token. You can
    /// [revoke](crate::revocation::RevocableKind::Key) the key by it.
    #[must_use]
    pub fn key_thumbprint(&self) -> &str {
        self.0.key_thumbprint()
    }

    /// The id that identifies the token for revocation: `jti`, the claim that the policy names, or the SHA-256 of
    /// `header.payload` in hexadecimal.
    #[must_use]
    pub fn revocation_id(&self) -> &str {
        self.0.revocation_id()
    }

    pub(crate) fn token(&self) -> &VerifiedToken<C> {
        &self.0
    }
}

impl<C> Clone for Authenticated<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> fmt::Debug for Authenticated<C> {
    /// Does not show claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated")
            .field("algorithm", &self.algorithm())
            .field("expires_at", &self.registered().expires_at())
            .finish_non_exhaustive()
    }
}
