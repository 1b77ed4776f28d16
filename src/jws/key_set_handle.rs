//! A handle on a key set that is replaced at run time, for services that reload their keys.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;

use super::KeySet;

/// A key set that can be replaced while it is in use. Clones share it.
///
/// A verification takes the current set once and keeps it to the end. So a token never sees half of an old set and half
/// of a new one.
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
pub struct KeySetHandle(Arc<Shared>);

struct Shared {
    current: ArcSwap<KeySet>,
    /// The number of the current set, for code that needs only the number.
    number: AtomicU64,
    /// Held while both fields are replaced: after two replacements, both fields are those of the later one.
    replacing: Mutex<()>,
}

impl KeySetHandle {
    /// A handle on `keys`.
    #[must_use]
    pub fn new(keys: KeySet) -> Self {
        let number = AtomicU64::new(keys.number());
        let current = ArcSwap::from_pointee(keys);
        Self(Arc::new(Shared { current, number, replacing: Mutex::new(()) }))
    }

    /// Replaces the whole set by `keys`, for every clone of this handle.
    ///
    /// A token that only an old key verifies is rejected from now on. If old tokens must stay valid until they expire,
    /// keep their key in the new set.
    pub fn replace(&self, keys: KeySet) {
        let number = keys.number();
        let _replacing = self.0.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.current.store(Arc::new(keys));
        self.0.number.store(number, Ordering::Release);
    }

    /// The current set.
    #[must_use]
    pub fn snapshot(&self) -> Arc<KeySet> {
        self.0.current.load_full()
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.0.current.load()
    }

    /// The number of the current set. During a replacement, the number of the old or the new set.
    pub(crate) fn number(&self) -> u64 {
        self.0.number.load(Ordering::Acquire)
    }
}

impl fmt::Debug for KeySetHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeySetHandle").field(&*self.load()).finish()
    }
}
