//! Every event name. Without the feature `tracing` nothing is left of them.

use crate::Rejection;
#[cfg(feature = "jwks")]
use crate::jwks::FetchError;

/// One event for each refusal, with its reason; nothing of the request or the token.
#[cfg(feature = "tracing")]
pub(crate) fn refused(rejection: &Rejection) {
    tracing::debug!(target: "tower_bearer", reason = rejection.kind().as_str(), "request refused");
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn refused(_rejection: &Rejection) {}

/// One event for each attempt that brought keys, or found them unchanged.
#[cfg(all(feature = "jwks", feature = "tracing"))]
pub(crate) fn keys_fetched(keys: usize, is_modified: bool) {
    tracing::debug!(target: "tower_bearer", keys, modified = is_modified, "keys fetched");
}

#[cfg(all(feature = "jwks", not(feature = "tracing")))]
pub(crate) fn keys_fetched(_keys: usize, _is_modified: bool) {}

/// One event for each attempt that did not, with its reason; nothing of the answer but the name in an issuer's metadata.
#[cfg(all(feature = "jwks", feature = "tracing"))]
pub(crate) fn keys_not_fetched(error: &FetchError) {
    tracing::warn!(target: "tower_bearer", %error, "keys not fetched");
}

#[cfg(all(feature = "jwks", not(feature = "tracing")))]
pub(crate) fn keys_not_fetched(_error: &FetchError) {}
