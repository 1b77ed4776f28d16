//! Where the keys of an issuer come from.

use std::sync::Arc;

use arc_swap::Guard;

#[cfg(feature = "jwks")]
use crate::jwks::RemoteJwks;
use crate::{ConfigError, Key, KeySet, KeySetHandle, claims::Clock};

/// The keys of an issuer: one [`Key`], a [`KeySet`], or a [`KeySetHandle`], whose set you can replace while the service
/// runs. With the feature `jwks` also a `RemoteJwks`, which fetches the keys over the network.
#[derive(Clone, Debug)]
pub struct KeySource(KeyOrigin);

#[derive(Clone, Debug)]
enum KeyOrigin {
    Local(KeySetHandle),
    #[cfg(feature = "jwks")]
    Remote(RemoteJwks),
}

impl KeySource {
    #[cfg_attr(not(feature = "jwks"), expect(unused_variables, reason = "local keys have no name"))]
    pub(super) fn validate(&self, issuer: &str) -> Result<(), ConfigError> {
        match &self.0 {
            KeyOrigin::Local(_) => Ok(()),
            #[cfg(feature = "jwks")]
            KeyOrigin::Remote(keys) => keys.validate(issuer),
        }
    }

    /// The keys that may be used now.
    #[cfg_attr(not(feature = "jwks"), expect(unused_variables, reason = "local keys do not age"))]
    pub(crate) fn current(&self, clock: &dyn Clock) -> Guard<Arc<KeySet>> {
        match &self.0 {
            KeyOrigin::Local(keys) => keys.load(),
            #[cfg(feature = "jwks")]
            KeyOrigin::Remote(keys) => keys.current(clock),
        }
    }

    /// The number of the set of [`current`](Self::current).
    #[cfg_attr(not(feature = "jwks"), expect(unused_variables, reason = "local keys do not age"))]
    pub(super) fn current_number(&self, clock: &dyn Clock) -> u64 {
        match &self.0 {
            KeyOrigin::Local(keys) => keys.number(),
            #[cfg(feature = "jwks")]
            KeyOrigin::Remote(keys) => keys.current_number(clock),
        }
    }

    #[cfg(feature = "jwks")]
    pub(crate) fn remote(&self) -> Option<&RemoteJwks> {
        match &self.0 {
            KeyOrigin::Local(_) => None,
            KeyOrigin::Remote(keys) => Some(keys),
        }
    }
}

impl From<Key> for KeySource {
    fn from(key: Key) -> Self {
        KeySet::from(key).into()
    }
}

impl From<KeySet> for KeySource {
    fn from(keys: KeySet) -> Self {
        KeySetHandle::new(keys).into()
    }
}

impl From<KeySetHandle> for KeySource {
    fn from(handle: KeySetHandle) -> Self {
        Self(KeyOrigin::Local(handle))
    }
}

#[cfg(feature = "jwks")]
impl From<RemoteJwks> for KeySource {
    fn from(keys: RemoteJwks) -> Self {
        Self(KeyOrigin::Remote(keys))
    }
}
