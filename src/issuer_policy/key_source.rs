//! Where the keys of an issuer come from.

#[cfg(feature = "jwks")]
use crate::jwks::RemoteJwks;
use crate::{Key, KeySet, KeySetHandle};

/// The keys of an issuer: one [`Key`], a [`KeySet`], or a [`KeySetHandle`], whose set you can replace while the service
/// runs. With the feature `jwks` also a `RemoteJwks`, which fetches the keys over the network.
#[derive(Clone, Debug)]
pub struct KeySource(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Local(KeySetHandle),
    #[cfg(feature = "jwks")]
    Remote(RemoteJwks),
}

impl KeySource {
    #[cfg(feature = "jwks")]
    pub(crate) fn remote(keys: RemoteJwks) -> Self {
        Self(Kind::Remote(keys))
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
        Self(Kind::Local(handle))
    }
}
