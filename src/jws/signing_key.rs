//! Private keys that sign tokens, each bound to one algorithm, for issuers and for tests.

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use super::{
    Algorithm, Key, backend,
    key::{Verifier, base64url, public_members},
    material::{Curve, Material, PrivateMaterial, PublicMaterial, Sign, SigningFailed},
    pkcs8,
};
use crate::ConfigError;

/// A key that signs tokens with exactly one algorithm: ES256, EdDSA, RS256 or HS256.
///
/// Every library verifies ES256. RS256 needs the feature `aws-lc-rs`. With HS256 every verifier can also sign, so use
/// it only for a service that verifies its own tokens.
///
/// The key's id (`kid`) is its [thumbprint](Key::thumbprint), so the same key has the same id everywhere. `Debug` shows
/// only the algorithm and the id. A clone is cheap: it increments two counters.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
/// use tower_bearer::{Algorithm, jws::SigningKey};
///
/// let key = SigningKey::generate(Algorithm::ES256)?;
/// let pem = key.to_pkcs8_pem().expect("only HMAC secrets have no PEM");
/// let read = SigningKey::from_pkcs8_pem(Algorithm::ES256, pem.as_bytes())?;
/// assert_eq!(read.key_id(), key.key_id());
/// # }
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct SigningKey {
    algorithm: Algorithm,
    key_id: Arc<str>,
    parts: Arc<Parts>,
}

struct Parts {
    secret: PrivateMaterial,
    public: Option<PublicMaterial>,
    sign: Sign,
    verifying: Key,
}

impl SigningKey {
    /// A new key from the random bytes of the operating system. An RS256 key has 2048 bits.
    ///
    /// # Errors
    /// [`ConfigError::UnsupportedByBackend`] for an algorithm other than ES256, EdDSA, RS256 and HS256, and for RS256
    /// without the feature `aws-lc-rs`. [`ConfigError::NoRandomness`] if the system cannot provide random bytes.
    pub fn generate(algorithm: Algorithm) -> Result<Self, ConfigError> {
        backend::require()?;
        if algorithm == Algorithm::RS256 {
            return Self::new(algorithm, backend::generate_rsa()?);
        }
        // A random number is not a valid P-256 key once in 2^32 times.
        let mut last = ConfigError::UnsupportedByBackend(algorithm);
        for _ in 0..4 {
            let mut bytes = Zeroizing::new(vec![0; 32]);
            getrandom::fill(&mut bytes).map_err(|_| ConfigError::NoRandomness)?;
            let secret = match algorithm {
                Algorithm::ES256 => PrivateMaterial::P256(bytes),
                Algorithm::EdDSA => PrivateMaterial::Ed25519(bytes),
                Algorithm::HS256 => PrivateMaterial::Hmac(bytes),
                _ => return Err(ConfigError::UnsupportedByBackend(algorithm)),
            };
            match Self::new(algorithm, secret) {
                Ok(key) => return Ok(key),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// A private key in PEM for ES256, EdDSA or RS256: one block `PRIVATE KEY`, PKCS#8 without encryption (RFC 5958).
    ///
    /// # Errors
    /// [`ConfigError::UnreadableKey`] for anything else. [`ConfigError::KeyAlgorithmMismatch`] for a key of another
    /// type. [`ConfigError::UnsupportedByBackend`] like [`generate`](Self::generate).
    pub fn from_pkcs8_pem(
        algorithm: Algorithm,
        pem: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigError> {
        backend::require()?;
        Self::new(algorithm, pkcs8::read_pem(algorithm, pem.as_ref())?)
    }

    /// A secret for HMAC with SHA-256, at least 32 bytes.
    ///
    /// # Errors
    /// Like [`Key::hs256`].
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Key::hs256(secret.as_ref())?;
        Self::new(Algorithm::HS256, PrivateMaterial::Hmac(Zeroizing::new(secret.as_ref().to_vec())))
    }

    fn new(algorithm: Algorithm, secret: PrivateMaterial) -> Result<Self, ConfigError> {
        let (sign, public) = backend::signer(algorithm, &secret)?;
        let verifying = match (&secret, &public) {
            (PrivateMaterial::Hmac(secret), _) => Key::hs256(&**secret)?,
            (_, Some(public)) => {
                Key::new(algorithm, Verifier::new(algorithm, material_of(algorithm, public))?)
            }
            (_, None) => return Err(ConfigError::KeyAlgorithmMismatch(algorithm)),
        };
        let key_id = Arc::clone(verifying.thumbprint_arc());
        let verifying = verifying.with_key_id(Arc::clone(&key_id));
        Ok(Self { algorithm, key_id, parts: Arc::new(Parts { secret, public, sign, verifying }) })
    }

    /// Sets another id in place of the thumbprint. Keys that are verified side by side need different ids.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<Arc<str>>) -> Self {
        self.key_id = key_id.into();
        self
    }

    /// The only algorithm that this key signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key's id.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The key that verifies the signatures of this key, with the same id: the public half, or the HMAC secret.
    #[must_use]
    pub fn verifying_key(&self) -> Key {
        self.parts.verifying.clone().with_key_id(Arc::clone(&self.key_id))
    }

    /// The public half as a JSON Web Key (RFC 7517) with `use`, `alg` and `kid`. `None` for HMAC, which has no public
    /// half.
    #[must_use]
    pub fn public_jwk_json(&self) -> Option<String> {
        let public = self.parts.public.as_ref()?;
        let members = public_members(material_of(self.algorithm, public)).ok()?;
        let id = serde_json::Value::from(self.key_id()).to_string();
        let members = members.strip_suffix('}')?;
        Some(format!(r#"{members},"use":"sig","alg":"{}","kid":{id}}}"#, self.algorithm.name()))
    }

    /// The private key in PEM. Write it only to a file that no other user can read. `None` for HMAC.
    #[must_use]
    pub fn to_pkcs8_pem(&self) -> Option<Zeroizing<String>> {
        pkcs8::write_pem(&self.parts.secret, self.parts.public.as_ref()?)
    }

    /// Signs a payload and returns a compact JWS (RFC 7515 section 7.1) with this `typ` in its header.
    ///
    /// The payload is signed unchanged. For a JWT it is a JSON object with the claims. Choose a different `typ` for
    /// each kind of token, so that no kind is accepted as another (RFC 8725 section 3.11).
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_bearer::{Algorithm, KeySet, jws::SigningKey};
    ///
    /// let key = SigningKey::generate(Algorithm::ES256)?;
    /// let invitation = key.sign("invitation+jwt", r#"{"team":7}"#)?;
    ///
    /// let keys = KeySet::new([key.verifying_key().clone()]);
    /// let payload = keys.verify_compact_of_type("invitation+jwt", invitation.as_bytes())?;
    /// assert_eq!(payload, br#"{"team":7}"#);
    /// assert!(keys.verify_compact_of_type("at+jwt", invitation.as_bytes()).is_err());
    /// # Ok(()) }
    /// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
    /// ```
    ///
    /// # Errors
    /// [`SigningFailed`] if the backend cannot sign.
    pub fn sign(&self, typ: &str, payload: &str) -> Result<String, SigningFailed> {
        let [typ, id] = [typ, self.key_id()].map(serde_json::Value::from);
        let header = format!(r#"{{"alg":"{}","typ":{typ},"kid":{id}}}"#, self.algorithm.name());
        self.sign_with_header(&header, payload)
    }

    /// Signs this header and this payload. Both are signed unchanged.
    pub(crate) fn sign_with_header(
        &self,
        header: &str,
        payload: &str,
    ) -> Result<String, SigningFailed> {
        let mut compact = base64url(header.as_bytes());
        compact.push('.');
        compact.push_str(&base64url(payload.as_bytes()));
        let signature = (self.parts.sign)(compact.as_bytes())?;
        compact.push('.');
        compact.push_str(&base64url(&signature));
        Ok(compact)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

fn material_of(algorithm: Algorithm, public: &PublicMaterial) -> Material<'_> {
    match public {
        PublicMaterial::Rsa { modulus, exponent } => Material::Rsa { modulus, exponent },
        PublicMaterial::Point(point) if algorithm == Algorithm::EdDSA => Material::Ed25519(point),
        PublicMaterial::Point(point) => Material::Ec { curve: Curve::P256, point },
    }
}
