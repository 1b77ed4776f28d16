//! A token that its issuer vouches for, before revocation was asked about.

use std::{fmt, sync::Arc};

use crate::{
    claims::{RegisteredClaims, Span, UntypedClaims},
    jws::Algorithm,
    revocation::TokenFacts,
};

/// A token that its issuer vouches for and whose claims satisfy the policy, as the service author's own
/// checks see it. It may still be revoked, so it opens no door.
pub struct VerifiedToken<C = UntypedClaims>(Arc<Verified<C>>);

/// What the verifier found out.
pub(crate) struct Verified<C> {
    pub(crate) claims: C,
    pub(crate) registered: RegisteredClaims,
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<Arc<str>>,
    pub(crate) revocation_id: RevocationId,
    /// The first second at which the token is refused: by `exp` or maximum age, and the policy's leeway.
    pub(crate) refused_from: u64,
}

/// What names the token for revocation.
pub(crate) enum RevocationId {
    /// A claim's value, as part of the registered claims' text.
    Claim(Span),
    /// The SHA-256 of `header.payload` in hexadecimal.
    Hash(Box<str>),
}

impl<C> VerifiedToken<C> {
    /// Called by the verifier alone.
    pub(crate) fn new(verified: Verified<C>) -> Self {
        Self(Arc::new(verified))
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

    /// The algorithm of the signature.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    pub(crate) fn key_id(&self) -> Option<&str> {
        self.0.key_id.as_deref()
    }

    pub(crate) fn revocation_id(&self) -> &str {
        match &self.0.revocation_id {
            RevocationId::Claim(span) => self.0.registered.at(*span),
            RevocationId::Hash(hash) => hash,
        }
    }

    pub(crate) fn refused_from(&self) -> u64 {
        self.0.refused_from
    }

    /// All that the token can be revoked by.
    pub(crate) fn facts(&self) -> TokenFacts<'_> {
        let registered = self.registered();
        TokenFacts {
            issuer: registered.issuer_arc(),
            token_id: self.revocation_id(),
            subject: registered.subject(),
            issued_at: registered.issued_at().unwrap_or(0),
            session_id: registered.session_id(),
            key_id: self.0.key_id.as_ref(),
            expires_at: registered.expires_at(),
        }
    }
}

impl<C> Clone for VerifiedToken<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for VerifiedToken<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("algorithm", &self.0.algorithm)
            .finish_non_exhaustive()
    }
}
