//! Key sets: the keys of an issuer, the rules that select keys for a token, and a handle that replaces a set while it
//! is in use.

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests;

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt, fs,
    path::Path,
    slice,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::{ArcSwap, Guard};
use foldhash::fast::RandomState;

use super::{Algorithm, Compact, Header, JwsError, Key, Scratch, backend, jwk::Jwk};
use crate::{ConfigError, config_error::RefusedKey, json, telemetry};

/// The largest number of keys that are tried for one token.
const MAX_TRIED: usize = 4;

/// An immutable set of keys.
///
/// These rules select the keys for a token:
///
/// 1. If the token has a `kid`: the keys with exactly that id, or, if there are none, the keys without an id.
/// 2. If the token has no `kid`: all keys.
/// 3. Of these, only the keys with the token's algorithm. At most the first four are tried, in the order of the set.
///
/// The set is indexed, so a large set does not slow a request down.
pub struct KeySet {
    /// Identifies this set in the process, so that code that has used a set recognises it.
    number: u64,
    keys: Vec<Key>,
    /// Each list holds positions in `keys`.
    by_id: HashMap<Arc<str>, Candidates, RandomState>,
    without_id: Candidates,
    all: Candidates,
    refused: Vec<RefusedKey>,
}

impl KeySet {
    /// A set of these keys. Two keys may have the same id. Both are then tried.
    ///
    /// An empty set is allowed. It verifies nothing.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        let mut set = Self::empty();
        for key in keys {
            set.add(key);
        }
        set
    }

    fn empty() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            keys: Vec::new(),
            by_id: HashMap::default(),
            without_id: Candidates::default(),
            all: Candidates::default(),
            refused: Vec::new(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether this set would still verify a token with this `kid` by the same key with the same id and issuer, if
    /// `key` has verified it. Only the first key that verifies counts, because one key may be in a set under several
    /// ids.
    pub(crate) fn still_means(&self, key: &Key, key_id: Option<&str>) -> bool {
        self.candidates(key.algorithm(), key_id).is_ok_and(|mut candidates| {
            let first = candidates.find(|candidate| candidate.verifies_as(key));
            first.is_some_and(|first| {
                first.key_id() == key.key_id() && first.issuer() == key.issuer()
            })
        })
    }

    /// Reads a JSON Web Key Set (RFC 7517 section 5) of public keys.
    ///
    /// One bad key does not make the set invalid. Keys that cannot be used are left out one by one and listed in
    /// [`refused`](Self::refused), for the reasons at [`Key::from_jwk_json`]. Secrets are left out too: an `oct` key
    /// does not belong in a published document. If the secret is yours, read it with [`Key::from_jwk_json`]. With the
    /// feature `tracing` an event names the keys that are left out. The size of the document is not limited. A byte
    /// order mark before it is skipped.
    ///
    /// ```
    /// use tower_bearer::{Algorithm, KeySet};
    ///
    /// let keys = KeySet::from_jwks_json(
    ///     r#"{"keys":[
    ///         {"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    ///         {"kty":"RSA","use":"enc","kid":"b","n":"AQAB","e":"AQAB"}
    ///     ]}"#,
    /// )?;
    /// assert_eq!(keys.iter().map(|key| key.algorithm()).collect::<Vec<_>>(), [Algorithm::EdDSA]);
    /// assert_eq!(keys.refused()[0].key_id(), Some("b"));
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigError::UnreadableKey`] if the document is not a JSON object with an array `keys`.
    /// [`ConfigError::NoUsableKey`] if no usable key is left. It names each key and the rule that the key breaks.
    pub fn from_jwks_json(json: &str) -> Result<Self, ConfigError> {
        let set = Self::read_jwks(json, usize::MAX, &[Algorithm::RS256])?;
        telemetry::keys_refused(&set.refused);
        Ok(set)
    }

    /// Reads at most `max_keys` keys. An RSA key without `alg` gives one key for each of `rsa_algorithms`.
    pub(crate) fn read_jwks(
        json: &str,
        max_keys: usize,
        rsa_algorithms: &[Algorithm],
    ) -> Result<Self, ConfigError> {
        backend::require()?;
        let mut set = Self::empty();
        let json = json.strip_prefix('\u{feff}').unwrap_or(json);
        let elements = json::elements_of(json, "keys")
            .ok_or(ConfigError::UnreadableKey("a JSON object with an array `keys`"))?;
        if elements.len() > max_keys {
            return Err(ConfigError::UnreadableKey("a set of fewer keys"));
        }
        for (index, json) in elements.into_iter().enumerate() {
            match read_public(json, rsa_algorithms) {
                Ok(keys) => keys.into_iter().for_each(|key| set.add(key)),
                Err((key_id, reason)) => set.refused.push(RefusedKey::new(index, key_id, reason)),
            }
        }
        if set.is_empty() { Err(ConfigError::NoUsableKey(set.refused)) } else { Ok(set) }
    }

    /// Reads a JSON Web Key Set of public keys from a file.
    ///
    /// # Errors
    /// [`ConfigError::KeyFile`] if the file cannot be read as text. Otherwise like
    /// [`from_jwks_json`](Self::from_jwks_json).
    pub fn from_jwks_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let json = fs::read_to_string(path)
            .map_err(|source| ConfigError::KeyFile { path: path.to_owned(), source })?;
        Self::from_jwks_json(&json)
    }

    /// The keys of the document that were left out.
    #[must_use]
    pub fn refused(&self) -> &[RefusedKey] {
        &self.refused
    }

    #[cfg(feature = "jwks")]
    pub(crate) fn has_key_id(&self, key_id: &str) -> bool {
        self.by_id.contains_key(key_id)
    }

    /// The number of usable keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether the set has no usable key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The usable keys, in their order.
    pub fn iter(&self) -> slice::Iter<'_, Key> {
        self.keys.iter()
    }

    /// Verifies a compact JWS (RFC 7515 section 7.1) and returns its payload, which need not be a JWT.
    ///
    /// This proves only that a key of this set signed the payload. It checks no claims and no dates. For tokens use an
    /// [`Authenticator`](crate::Authenticator). The length of `compact` is not limited: the caller must limit it.
    ///
    /// # Errors
    /// The first rule of [`JwsError`] that the JWS breaks.
    pub fn verify_compact(&self, compact: &[u8]) -> Result<Vec<u8>, JwsError> {
        self.verify_compact_if(|_| true, compact)
    }

    /// Like [`verify_compact`](Self::verify_compact), and the header must have this `typ`, compared without case (RFC
    /// 8725 section 3.11).
    ///
    /// # Errors
    /// [`JwsError::UnexpectedType`] for another `typ` or none. Otherwise like [`verify_compact`](Self::verify_compact).
    pub fn verify_compact_of_type(&self, typ: &str, compact: &[u8]) -> Result<Vec<u8>, JwsError> {
        self.verify_compact_if(
            |found| found.is_some_and(|found| found.eq_ignore_ascii_case(typ)),
            compact,
        )
    }

    fn verify_compact_if(
        &self,
        accepts_type: impl Fn(Option<&str>) -> bool,
        compact: &[u8],
    ) -> Result<Vec<u8>, JwsError> {
        let compact = Compact::parse(compact, usize::MAX)?;
        let (mut for_header, mut for_signature) = (Scratch::new(), Scratch::new());
        let header = Header::parse(compact.decode_header(&mut for_header)?)?;
        if !accepts_type(header.typ()) {
            return Err(JwsError::UnexpectedType);
        }
        let payload = compact.decode_payload()?;
        let signature = compact.decode_signature(&mut for_signature)?;
        self.verify(&header, compact.signing_input(), signature)?;
        Ok(payload)
    }

    /// Returns the key that verifies the signature.
    pub(crate) fn verify(
        &self,
        header: &Header<'_>,
        signing_input: &[u8],
        signature: &[u8],
    ) -> Result<&Key, JwsError> {
        self.candidates(header.algorithm(), header.key_id())?
            .find(|key| key.verify(signing_input, signature))
            .ok_or(JwsError::BadSignature)
    }

    /// The keys to try for a token with this `alg` and `kid`: at least one, at most [`MAX_TRIED`].
    fn candidates(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
    ) -> Result<impl Iterator<Item = &Key>, JwsError> {
        let meant = match key_id {
            Some(id) => self.by_id.get(id).unwrap_or(&self.without_id),
            None => &self.all,
        };
        if meant.0.is_empty() {
            return Err(JwsError::UnknownKey);
        }
        let mut keys = meant
            .0
            .iter()
            .filter_map(|&position| self.keys.get(position))
            .filter(move |key| key.algorithm() == algorithm)
            .peekable();
        if keys.peek().is_none() {
            return Err(JwsError::AlgorithmMismatch);
        }
        Ok(keys)
    }

    fn add(&mut self, key: Key) {
        let position = self.keys.len();
        let of_its_id = match key.key_id_arc() {
            Some(id) => self.by_id.entry(Arc::clone(id)).or_default(),
            None => &mut self.without_id,
        };
        of_its_id.add(position, key.algorithm(), &self.keys);
        self.all.add(position, key.algorithm(), &self.keys);
        self.keys.push(key);
    }
}

/// Positions of keys, at most [`MAX_TRIED`] of each algorithm. Further keys would never be tried.
#[derive(Default)]
struct Candidates(Vec<usize>);

impl Candidates {
    fn add(&mut self, position: usize, algorithm: Algorithm, keys: &[Key]) {
        let same = |earlier: &usize| keys.get(*earlier).map(Key::algorithm) == Some(algorithm);
        if self.0.iter().copied().filter(same).count() < MAX_TRIED {
            self.0.push(position);
        }
    }
}

impl Default for KeySet {
    /// A set without keys.
    fn default() -> Self {
        Self::empty()
    }
}

impl From<Key> for KeySet {
    fn from(key: Key) -> Self {
        Self::new([key])
    }
}

impl<'a> IntoIterator for &'a KeySet {
    type Item = &'a Key;
    type IntoIter = slice::Iter<'a, Key>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Debug for KeySet {
    /// Shows the number of keys, not the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("len", &self.keys.len())
            .field("refused", &self.refused.len())
            .finish_non_exhaustive()
    }
}

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
pub struct KeySetHandle(Arc<HandleState>);

struct HandleState {
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
        Self(Arc::new(HandleState { current, number, replacing: Mutex::new(()) }))
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

    pub(crate) fn load(&self) -> Guard<Arc<KeySet>> {
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

fn read_public(
    json: &str,
    rsa_algorithms: &[Algorithm],
) -> Result<Vec<Key>, (Option<Box<str>>, ConfigError)> {
    let jwk = Jwk::parse(json).map_err(|reason| (None, reason))?;
    let keys = match jwk.is_secret() {
        true => Err(ConfigError::SecretInPublicKeySet),
        false => jwk.to_keys(rsa_algorithms),
    };
    keys.map_err(|reason| (jwk.key_id().map(Cow::into), reason))
}
