//! The signing keys of an issuer and their rotation.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tower_bearer::{BackgroundTask, Key, KeySet, KeySetHandle, UnixTime, jws::SigningKey};

/// The key that signs now, the keys that will sign later, and the keys that signed before. Clones share them.
///
/// 1. **One key signs**: the last one that was given to [`rotate`](Self::rotate).
/// 2. **A retired key still verifies** until its last token has expired. Then it is forgotten.
/// 3. **All keys are published** in [`jwks_json`](Self::jwks_json), with their public halves only. Other services may
///    cache that document for minutes. [`announce`](Self::announce) the next key at least that long before it signs.
/// 4. **Nothing is remembered across a restart**: after a restart, pass the retired keys that are still needed to
///    [`retire`](Self::retire).
///
/// For several replicas, or for keys that survive a restart, use a [`KeyDirectory`](crate::KeyDirectory). It gives such
/// keys and keeps them up to date.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
/// use tower_bearer::{Algorithm, UnixTime, jws::SigningKey};
/// use tower_bearer_issuing::SigningKeys;
///
/// let keys = SigningKeys::new(SigningKey::generate(Algorithm::ES256)?);
/// let next = SigningKey::generate(Algorithm::ES256)?;
/// keys.announce(next.clone());
/// let keep_until = UnixTime::from_secs(4_102_444_800); // the latest `exp` of what the old key has signed
/// keys.rotate(next, keep_until);
/// assert_eq!(keys.handle().snapshot().len(), 2);
/// # }
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct SigningKeys(Arc<KeyRing>);

struct KeyRing {
    keys: Mutex<Keys>,
    handle: KeySetHandle,
    managed: Option<Managed>,
}

/// The task does not keep the keys alive, so it ends with their last clone.
impl Drop for KeyRing {
    fn drop(&mut self) {
        if let Some(managed) = &self.managed {
            managed.task.stop();
        }
    }
}

/// What keeps the keys up to date.
pub(super) struct Managed {
    /// The only issuer that may sign with the keys.
    pub(super) issuer: Arc<str>,
    /// The longest lifetime of a token for which a key stays published.
    pub(super) longest_lifetime: Duration,
    pub(super) task: BackgroundTask,
    /// The thumbprint of the first key, if this replica has made its record. The first issuer takes it and records an
    /// audit event.
    pub(super) first_key: Mutex<Option<Arc<str>>>,
}

impl Managed {
    /// The thumbprint of the first key, once.
    pub(super) fn take_first_key(&self) -> Option<Arc<str>> {
        self.first_key.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// All keys of an issuer at one moment.
#[derive(Default)]
pub(super) struct PublishedKeys {
    /// `None` if no key may sign.
    pub(super) active: Option<SigningKey>,
    /// The last second at which `active` may sign.
    pub(super) signs_before: UnixTime,
    /// The keys that do not sign now, and may sign later.
    pub(super) others: Vec<SigningKey>,
    /// The keys that never sign again.
    pub(super) ended: Vec<SigningKey>,
}

struct Keys {
    active: Option<SigningKey>,
    /// The last second at which `active` may sign.
    signs_before: UnixTime,
    announced: Vec<SigningKey>,
    retired: Vec<Retired>,
}

/// A retired key, without its private half.
struct Retired {
    key: Key,
    jwk: Option<String>,
    /// The last second at which the key is needed.
    until: UnixTime,
}

impl SigningKeys {
    /// Makes a set in which this key signs.
    #[must_use]
    pub fn new(active: SigningKey) -> Self {
        let (active, signs_before) = (Some(active), UnixTime::MAX);
        Self::of(PublishedKeys { active, signs_before, ..PublishedKeys::default() }, None)
    }

    /// Keys that a background task keeps up to date.
    pub(super) fn managed(published: PublishedKeys, managed: Managed) -> Self {
        Self::of(published, Some(managed))
    }

    fn of(published: PublishedKeys, managed: Option<Managed>) -> Self {
        let keys = Keys::of(published);
        let handle = KeySetHandle::new(keys.key_set());
        Self(Arc::new(KeyRing { keys: Mutex::new(keys), handle, managed }))
    }

    /// Replaces all keys in one step.
    pub(super) fn publish(&self, published: PublishedKeys) {
        self.change(|keys| *keys = Keys::of(published));
    }

    pub(super) fn downgrade(&self) -> WeakSigningKeys {
        WeakSigningKeys(Arc::downgrade(&self.0))
    }

    /// What keeps the keys up to date. `None` if only calls change them.
    pub(super) fn manager(&self) -> Option<&Managed> {
        self.0.managed.as_ref()
    }

    /// Publishes a key that will sign later. A key that already signs or is announced does not change.
    pub fn announce(&self, next: SigningKey) {
        self.change(|keys| {
            let mut known = keys.active.iter().chain(&keys.announced);
            if !known.any(|key| key.key_id() == next.key_id()) {
                keys.announced.push(next);
            }
        });
    }

    /// Signs with `next` from now on. The previous key verifies until `keep_until`. Choose the latest `exp` of the
    /// tokens that the previous key signed, in this process or another.
    ///
    /// [`TokenIssuer::rotate_key`](super::TokenIssuer::rotate_key) calculates that time.
    pub fn rotate(&self, next: SigningKey, keep_until: UnixTime) {
        self.change(|keys| {
            keys.announced.retain(|key| key.key_id() != next.key_id());
            keys.retired.retain(|retired| retired.key.key_id() != Some(next.key_id()));
            let id = next.key_id().to_owned();
            let old = keys.active.replace(next);
            keys.retired.extend(
                old.filter(|old| old.key_id() != id).map(|old| Retired::new(&old, keep_until)),
            );
        });
    }

    /// Verifies with `key` until `keep_until`, but does not sign with it. Use it for a key that another process
    /// retired, or that this process retired before a restart. It has no effect on the key that signs now.
    pub fn retire(&self, key: &SigningKey, keep_until: UnixTime) {
        self.change(|keys| {
            if keys.active.as_ref().is_none_or(|active| active.key_id() != key.key_id()) {
                keys.retired.retain(|retired| retired.key.key_id() != Some(key.key_id()));
                keys.retired.push(Retired::new(key, keep_until));
            }
        });
    }

    /// Forgets the retired keys that are no longer needed at `now`.
    pub fn forget_expired(&self, now: UnixTime) {
        if self.keys().retired.iter().any(|retired| retired.until < now) {
            self.change(|keys| keys.retired.retain(|retired| retired.until >= now));
        }
    }

    /// All keys, for verifiers. The handle follows every change.
    #[must_use]
    pub fn handle(&self) -> &KeySetHandle {
        &self.0.handle
    }

    /// The public halves of all keys as a JSON Web Key Set (RFC 7517), for `/.well-known/jwks.json`. HMAC secrets have
    /// no public half and are left out.
    #[must_use]
    pub fn jwks_json(&self) -> String {
        let keys = self.keys();
        let signing = keys.active.iter().chain(&keys.announced);
        let jwks = signing.filter_map(SigningKey::public_jwk_json);
        let retired = keys.retired.iter().filter_map(|retired| retired.jwk.clone());
        let jwks: Vec<String> = jwks.chain(retired).collect();
        format!(r#"{{"keys":[{}]}}"#, jwks.join(","))
    }

    /// Whether the key with this id or thumbprint signs now, or may sign later.
    pub(super) fn may_sign(&self, key: &str) -> bool {
        let keys = self.keys();
        keys.active
            .iter()
            .chain(&keys.announced)
            .any(|signing| signing.key_id() == key || signing.verifying_key().thumbprint() == key)
    }

    /// Whether there is a key that signs, also if it may not sign any more at this time.
    pub(super) fn has_active(&self) -> bool {
        self.keys().active.is_some()
    }

    /// The key that signs at `now`. `None` if no key may sign then.
    pub(super) fn active(&self, now: UnixTime) -> Option<SigningKey> {
        let keys = self.keys();
        keys.active.clone().filter(|_| now <= keys.signs_before)
    }

    /// Changes the keys, and the key set of the verifiers, in one step.
    fn change(&self, change: impl FnOnce(&mut Keys)) {
        let mut keys = self.keys();
        change(&mut keys);
        self.0.handle.replace(keys.key_set());
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keys {
    fn of(published: PublishedKeys) -> Self {
        let PublishedKeys { active, signs_before, others, ended } = published;
        // The next `PublishedKeys` say until when they are needed.
        let retired = ended.iter().map(|key| Retired::new(key, UnixTime::MAX)).collect();
        Self { active, signs_before, announced: others, retired }
    }

    /// The keys that verify.
    fn key_set(&self) -> KeySet {
        let signing = self.active.iter().chain(&self.announced).map(SigningKey::verifying_key);
        KeySet::new(signing.chain(self.retired.iter().map(|retired| retired.key.clone())))
    }
}

/// Does not keep the keys alive.
pub(super) struct WeakSigningKeys(Weak<KeyRing>);

impl WeakSigningKeys {
    pub(super) fn upgrade(&self) -> Option<SigningKeys> {
        self.0.upgrade().map(SigningKeys)
    }
}

impl Retired {
    fn new(key: &SigningKey, until: UnixTime) -> Self {
        Self { key: key.verifying_key(), jwk: key.public_jwk_json(), until }
    }
}

impl From<SigningKey> for SigningKeys {
    fn from(key: SigningKey) -> Self {
        Self::new(key)
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys").field("handle", &self.0.handle).finish()
    }
}
