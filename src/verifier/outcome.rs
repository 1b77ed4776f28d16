//! Why a token was not verified, and how far the checks got.

use crate::{
    Issuer, RejectionKind,
    jws::{Header, JwsError, KeySet},
};

/// Why a token was not verified. It tells the authenticator whether a fetch of keys can help.
pub(crate) enum NotVerified {
    Rejected(RejectionKind),
    /// The issuer's remote source may have a key that the key set does not have.
    #[cfg(feature = "jwks")]
    UnknownKey(UnknownKey),
}

/// A token that names a key that is not in the set, or whose key set is empty. With `refetch_on_bad_signature` also a
/// token that no key verifies.
#[cfg(feature = "jwks")]
#[derive(Clone, Copy)]
pub(crate) struct UnknownKey {
    pub(crate) kind: RejectionKind,
    /// Position of the issuer in its verifier.
    pub(crate) issuer: usize,
    /// The number of the key set that did not have the key.
    pub(crate) key_set: u64,
}

impl NotVerified {
    /// A token that no key of `keys` verifies.
    #[cfg(feature = "jwks")]
    #[cold]
    pub(super) fn by(
        keys: &KeySet,
        position: usize,
        issuer: &Issuer,
        header: &Header<'_>,
        error: JwsError,
    ) -> Self {
        let is_unknown = keys.is_empty() || header.key_id().is_some_and(|id| !keys.has_key_id(id));
        let kind = error.into();
        match issuer.remote_keys() {
            Some(remote) if is_unknown || remote.refetches_on_bad_signature() => {
                Self::UnknownKey(UnknownKey { kind, issuer: position, key_set: keys.number() })
            }
            _ => Self::Rejected(kind),
        }
    }

    #[cfg(not(feature = "jwks"))]
    #[cold]
    pub(super) fn by(_: &KeySet, _: usize, _: &Issuer, _: &Header<'_>, error: JwsError) -> Self {
        Self::Rejected(error.into())
    }
}

impl From<RejectionKind> for NotVerified {
    fn from(kind: RejectionKind) -> Self {
        Self::Rejected(kind)
    }
}

impl From<JwsError> for NotVerified {
    fn from(error: JwsError) -> Self {
        Self::Rejected(error.into())
    }
}

/// Learns which check begins, for [`Authenticator::explain`](crate::Authenticator::explain).
pub(super) trait Trace {
    fn begin(&mut self, check: u8);
}

/// Requests are not traced. This costs nothing.
pub(super) struct Untraced;

impl Trace for Untraced {
    fn begin(&mut self, _check: u8) {}
}

/// The number of the last check that began.
impl Trace for u8 {
    fn begin(&mut self, check: u8) {
        *self = check;
    }
}
