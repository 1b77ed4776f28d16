//! A key set that is replaced while it is in use.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;

use super::KeySet;

/// A key set that can be replaced while it is in use; clones share it.
///
/// Whoever verifies takes the set that is current at that moment and keeps it to the end, so no token
/// sees half of an old set and half of a new one.
///
/// ```
/// use tower_bearer::{Key, KeySet, KeySetHandle};
///
/// let handle = KeySetHandle::new(Key::hs256([7; 32])?.into());
/// let shared = handle.clone();
/// handle.replace(KeySet::new([Key::hs256([7; 32])?, Key::hs256([8; 32])?]));
/// assert_eq!(shared.snapshot().len(), 2);
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct KeySetHandle(Arc<ArcSwap<KeySet>>);

impl KeySetHandle {
    /// A handle on `keys`.
    #[must_use]
    pub fn new(keys: KeySet) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(keys)))
    }

    /// Puts `keys` in the place of the whole set, for every clone of this handle.
    ///
    /// A token that only an old key verifies is refused from now on. To let old tokens run out, keep their
    /// key in the new set.
    pub fn replace(&self, keys: KeySet) {
        self.0.store(Arc::new(keys));
    }

    /// The current set.
    #[must_use]
    pub fn snapshot(&self) -> Arc<KeySet> {
        self.0.load_full()
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.0.load()
    }
}

impl fmt::Debug for KeySetHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySetHandle").field(&*self.0.load()).finish()
    }
}
