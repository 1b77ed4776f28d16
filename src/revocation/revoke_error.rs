//! The errors of a revocation, for its caller.

use std::sync::Arc;

use super::StoreError;

/// The reason why a revocation failed or has no effect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// The [`Authenticator`](crate::Authenticator) has no [`RevocationCache`](crate::RevocationCache), so it never
    /// looks up a revocation.
    #[error("the authenticator has no revocation cache: call `Authenticator::with_revocation`")]
    NoRevocation,
    /// The verifier has no issuer of this name.
    #[error("not an issuer of the verifier: expected one of {known:?}")]
    UnknownIssuer {
        /// The names of the issuers that it has.
        known: Vec<Arc<str>>,
    },
    /// The issuer has no key with this id or thumbprint now.
    #[error("not an id or thumbprint of the issuer's keys: expected one of {known:?}")]
    UnknownKey {
        /// The ids and thumbprints of the keys that it has, both of which are public. For HMAC secrets only the ids:
        /// see [`Key::thumbprint`](crate::Key::thumbprint).
        known: Vec<Arc<str>>,
    },
    /// Every token that the revocation could match has expired. Check that the entry has the latest `exp` of the
    /// tokens, and that the clock is right.
    #[error("the revocation matches no token: expected a date of expiry that is not in the past")]
    Expired,
    /// The store did not confirm. The revocation **is in force in this process**. Call again until it succeeds.
    #[error(
        "the store did not confirm the revocation: it is in force in this process only, so call again"
    )]
    Unavailable(#[from] StoreError),
}
