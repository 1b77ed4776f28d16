//! Why a revocation was not made, or has no effect.

use std::{error::Error, fmt, sync::Arc};

use super::StoreError;

/// Why a revocation was not made, or has no effect.
#[derive(Debug)]
#[non_exhaustive]
pub enum RevokeError {
    /// The [`Authenticator`](crate::Authenticator) has no [`RevocationCache`](crate::RevocationCache), so it never
    /// looks up a revocation.
    NoRevocation,
    /// The verifier has no issuer of this name.
    UnknownIssuer {
        /// The names of the issuers that it has.
        known: Vec<Arc<str>>,
    },
    /// The issuer has no key with this id or thumbprint now.
    UnknownKey {
        /// The ids and thumbprints of the keys that it has, both of which are public. For HMAC secrets only the ids:
        /// see [`Key::thumbprint`](crate::Key::thumbprint).
        known: Vec<Arc<str>>,
    },
    /// Every token that the revocation could match has expired. Check that the entry has the latest `exp` of the
    /// tokens, and that the clock is right.
    Expired,
    /// The store did not confirm. The revocation **is in force in this process**. Call again until it succeeds.
    Unavailable(StoreError),
}

impl fmt::Display for RevokeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRevocation => f.write_str(
                "the authenticator looks up no revocation: call Authenticator::with_revocation",
            ),
            Self::UnknownIssuer { known } => {
                write!(f, "not an issuer of the verifier: expected one of {known:?}")
            }
            Self::UnknownKey { known } => {
                write!(f, "not an id or thumbprint of the issuer's keys: expected one of {known:?}")
            }
            Self::Expired => f.write_str(
                "the revocation matches no token: expected a date of expiry that is not in the past",
            ),
            Self::Unavailable(_) => f.write_str("the store did not confirm the revocation"),
        }
    }
}

impl Error for RevokeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for RevokeError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error)
    }
}
