//! Writes the events of `tracing`.

use tracing::{debug, info, warn};

use super::names::events::*;
use crate::{
    RejectionKind,
    config_error::{RefusedKey, RefusedKeys},
};

pub(super) fn refused(kind: RejectionKind) {
    debug!(target: TARGET, reason = kind.as_str(), "{REQUEST_REFUSED}");
}

/// A client with valid tokens can trigger this as often as it wants while the store is down. So only the first one in
/// ten seconds is a warning.
pub(super) fn store_failed(store: Option<&'static str>, kind: &'static str, is_news: bool) {
    if is_news {
        warn!(target: TARGET, kind, store, "{STORE_FAILED}");
    } else {
        debug!(target: TARGET, kind, store, "{STORE_FAILED}");
    }
}

pub(super) fn doubted() {
    debug!(target: TARGET, "{DOUBTED}");
}

/// See [`store_failed`].
pub(super) fn replay_store_failed(kind: &'static str, is_news: bool) {
    if is_news {
        warn!(target: TARGET, kind, "{REPLAY_STORE_FAILED}");
    } else {
        debug!(target: TARGET, kind, "{REPLAY_STORE_FAILED}");
    }
}

#[cfg(feature = "jwks")]
pub(super) fn keys_fetched(keys: usize, is_modified: bool) {
    debug!(target: TARGET, keys, modified = is_modified, "{KEYS_FETCHED}");
}

/// Names keys by position and id. The level is not higher than INFO, because it is usual that a set has a key for
/// encryption.
pub(super) fn keys_refused(refused: &[RefusedKey]) {
    info!(target: TARGET, refused = refused.len(), reasons = %RefusedKeys(refused), "{KEYS_REFUSED}");
}

/// The event contains nothing from the response except the name in an issuer's metadata and the ids of keys that cannot
/// be used.
#[cfg(feature = "jwks")]
pub(super) fn keys_not_fetched(error: &str) {
    warn!(target: TARGET, %error, "{KEYS_NOT_FETCHED}");
}

#[cfg(feature = "jwks")]
pub(super) fn status_list_fetched(is_modified: bool) {
    debug!(target: TARGET, modified = is_modified, "{STATUS_LIST_FETCHED}");
}

/// The event has no URL of a list, because tokens name the URLs.
#[cfg(feature = "jwks")]
pub(super) fn status_list_not_fetched(error: &str) {
    warn!(target: TARGET, %error, "{STATUS_LIST_NOT_FETCHED}");
}
