//! Every event name. Without the feature `tracing` nothing is left of them.

use crate::Rejection;

/// One event for each refusal, with its reason; nothing of the request or the token.
#[cfg(feature = "tracing")]
pub(crate) fn refused(rejection: &Rejection) {
    tracing::debug!(target: "tower_bearer", reason = rejection.kind().as_str(), "request refused");
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn refused(_rejection: &Rejection) {}
