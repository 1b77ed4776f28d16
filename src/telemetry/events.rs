//! Events of `tracing`.

use tracing::{debug, info, warn};

use super::names::events::*;
#[cfg(feature = "jwks")]
use crate::jwks::FetchError;
use crate::{
    RejectionKind,
    jws::{RefusedKey, RefusedKeys},
};

pub(super) fn refused(kind: RejectionKind) {
    debug!(target: TARGET, reason = kind.as_str(), "{REQUEST_REFUSED}");
}

/// Whoever has good tokens can make a store that is down fail as often as he likes.
pub(super) fn store_failed(kind: &'static str, is_news: bool) {
    if is_news {
        warn!(target: TARGET, kind, "{STORE_FAILED}");
    } else {
        debug!(target: TARGET, kind, "{STORE_FAILED}");
    }
}

pub(super) fn doubted() {
    debug!(target: TARGET, "{DOUBTED}");
}

#[cfg(feature = "jwks")]
pub(super) fn keys_fetched(keys: usize, is_modified: bool) {
    debug!(target: TARGET, keys, modified = is_modified, "{KEYS_FETCHED}");
}

/// Names keys by position and id. Not above: a key for encryption in a set is usual.
pub(super) fn keys_refused(refused: &[RefusedKey]) {
    info!(target: TARGET, refused = refused.len(), reasons = %RefusedKeys(refused), "{KEYS_REFUSED}");
}

/// Nothing of the answer but the name in an issuer's metadata, and the ids of keys that cannot be used. The words of a
/// client are left out: they may quote.
#[cfg(feature = "jwks")]
pub(super) fn keys_not_fetched(error: &FetchError) {
    match error {
        FetchError::Unusable(reason) | FetchError::KeysAddress(reason) => {
            warn!(target: TARGET, error = %format_args!("{error}: {reason}"), "{KEYS_NOT_FETCHED}");
        }
        _ => warn!(target: TARGET, %error, "{KEYS_NOT_FETCHED}"),
    }
}
