//! Keys that verify signatures, each bound to one algorithm, for issuers and key sets.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use base64_simd::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::{
    Algorithm, backend,
    material::{Check, Material, hash_length, without_leading_zeros},
    public_key_text,
};
use crate::ConfigError;

/// A key for exactly one algorithm, parsed and checked once.
///
/// The key decides the algorithm, not the token (RFC 8725 section 3.1). A token with another `alg` is rejected before
/// any cryptography. So a public key cannot be used as an HMAC secret.
///
/// All constructors reject weak and malformed keys:
///
/// * RSA moduli of less than 2048 or more than 8192 bits, and exponents that are even, below 3 or longer than 33 bits;
/// * points that are not on their curve, and on Ed25519 also points of small order or with a second encoding;
/// * HMAC secrets shorter than the hash, unless [`allow_short_secret`](Self::allow_short_secret) is called;
/// * private keys in place of public keys.
///
/// A clone is cheap: it increments a counter. Without the feature `aws-lc-rs` or `rust-crypto` every constructor
/// returns [`ConfigError::NoBackend`]. ES512 needs `aws-lc-rs`.
#[derive(Clone)]
pub struct Key(Arc<Parts>);

#[derive(Clone)]
struct Parts {
    algorithm: Algorithm,
    key_id: Option<Arc<str>>,
    /// The only issuer of a multi-tenant set that may use the key, or the template of all issuers (see `Tenants`).
    issuer: Option<Arc<str>>,
    verifier: Arc<Verifier>,
}

impl Key {
    /// A secret for HMAC with SHA-256, at least 32 bytes.
    ///
    /// Only the length can be checked. Make secrets with a random generator, never from words.
    ///
    /// ```
    /// use tower_bearer::{Algorithm, ConfigError, Key};
    ///
    /// let key = Key::hs256([7; 32])?.with_key_id("2026-11");
    /// assert_eq!((key.algorithm(), key.key_id()), (Algorithm::HS256, Some("2026-11")));
    /// assert!(matches!(Key::hs256("secret"), Err(ConfigError::SecretTooShort { minimum: 32, .. })));
    /// # Ok::<(), ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigError::SecretTooShort`] below 32 bytes (RFC 7518 section 3.2). [`ConfigError::KeyAlgorithmMismatch`] for
    /// a public key in PEM, DER, base64 or JSON, because a public key is not a secret. A bare number or point of a key,
    /// such as the `n` of a JWK, cannot be recognised.
    pub fn hs256(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Self::from_secret(Algorithm::HS256, secret.as_ref())
    }

    /// A secret for HMAC with SHA-384, at least 48 bytes.
    ///
    /// # Errors
    /// [`ConfigError::SecretTooShort`] below 48 bytes (RFC 7518 section 3.2). [`ConfigError::KeyAlgorithmMismatch`]
    /// like [`hs256`](Self::hs256).
    pub fn hs384(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Self::from_secret(Algorithm::HS384, secret.as_ref())
    }

    /// A secret for HMAC with SHA-512, at least 64 bytes.
    ///
    /// # Errors
    /// [`ConfigError::SecretTooShort`] below 64 bytes (RFC 7518 section 3.2). [`ConfigError::KeyAlgorithmMismatch`]
    /// like [`hs256`](Self::hs256).
    pub fn hs512(secret: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Self::from_secret(Algorithm::HS512, secret.as_ref())
    }

    /// An HMAC secret shorter than its hash, for an issuer that cannot use a longer one.
    ///
    /// **An attacker who guesses the secret can sign any token.** One token is enough to test guesses, without a
    /// request to the server. RFC 7518 section 3.2 forbids such secrets.
    ///
    /// # Errors
    /// [`ConfigError::KeyAlgorithmMismatch`] for an algorithm other than HS256, HS384 and HS512, and for a public key,
    /// like [`hs256`](Self::hs256). [`ConfigError::SecretTooShort`] for an empty secret.
    pub fn allow_short_secret(
        algorithm: Algorithm,
        secret: impl AsRef<[u8]>,
    ) -> Result<Self, ConfigError> {
        backend::require()?;
        // Everyone who can read a public key could sign with it.
        if public_key_text::is_public_key(secret.as_ref()) {
            return Err(ConfigError::KeyAlgorithmMismatch(algorithm));
        }
        Verifier::new(algorithm, Material::Secret(secret.as_ref()))
            .map(|key| Self::new(algorithm, key))
    }

    /// Sets the key's id, or replaces the id from a JWK.
    ///
    /// A token with a `kid` is verified with the keys of that id, or, if there are none, with the keys without an id.
    /// By default a key that is not read from a JWK has no id.
    #[must_use]
    pub fn with_key_id(mut self, key_id: impl Into<Arc<str>>) -> Self {
        Arc::make_mut(&mut self.0).key_id = Some(key_id.into());
        self
    }

    pub(super) fn with_issuer(mut self, issuer: &str) -> Self {
        Arc::make_mut(&mut self.0).issuer = Some(issuer.into());
        self
    }

    /// The member `issuer` of the JWK, which Microsoft Entra writes.
    pub(crate) fn issuer(&self) -> Option<&str> {
        self.0.issuer.as_deref()
    }

    /// The only algorithm that this key verifies.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm
    }

    /// The key's id, if it has one.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.0.key_id.as_deref()
    }

    /// Identifies the key, whatever its id. A key is [revoked](crate::revocation::RevocableKind::Key) by its thumbprint
    /// or by its id.
    ///
    /// For a public key it is the thumbprint of RFC 7638 with SHA-256, in base64url. The same key has the same
    /// thumbprint whether it was read from a JWK, PEM or DER, and for each of its algorithms. It is public.
    ///
    /// For an HMAC secret it is not the thumbprint of RFC 7638, because that is a plain hash of the secret. It is the
    /// first half of the HMAC-SHA256 of a fixed text under the secret. It reveals as much about the secret as a token
    /// does: with it an attacker can test guesses of a weak secret. Do not publish it for a secret that is not random.
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
    /// use tower_bearer::Key;
    ///
    /// // RFC 8037 appendix A.3.
    /// let key = Key::from_jwk_json(
    ///     r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    /// )?;
    /// assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    /// # }
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        self.thumbprint_arc()
    }

    pub(crate) fn thumbprint_arc(&self) -> &Arc<str> {
        self.0.verifier.thumbprint()
    }

    pub(crate) fn key_id_arc(&self) -> Option<&Arc<str>> {
        self.0.key_id.as_ref()
    }

    /// Whether both keys verify the same signatures, whatever their ids.
    pub(crate) fn verifies_as(&self, other: &Self) -> bool {
        let (own, other) = (&self.0.verifier, &other.0.verifier);
        Arc::ptr_eq(own, other) || own.fingerprint() == other.fingerprint()
    }

    /// Whether `signature` is a signature of this key over `signing_input`.
    pub(crate) fn verify(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        self.0.verifier.verify(signing_input, signature)
    }

    pub(super) fn new(algorithm: Algorithm, verifier: Verifier) -> Self {
        Self(Arc::new(Parts {
            algorithm,
            key_id: None,
            issuer: None,
            verifier: Arc::new(verifier),
        }))
    }

    pub(super) fn from_secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, ConfigError> {
        match hash_length(algorithm) {
            Some(minimum) if secret.len() < minimum && backend::require().is_ok() => {
                Err(ConfigError::SecretTooShort { length: secret.len(), minimum })
            }
            _ => Self::allow_short_secret(algorithm, secret),
        }
    }
}

impl fmt::Debug for Key {
    /// Shows neither the key nor its id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("algorithm", &self.0.algorithm)
            .field("has_key_id", &self.0.key_id.is_some())
            .finish_non_exhaustive()
    }
}

/// A key that is ready to verify.
pub(super) struct Verifier {
    signature_length: usize,
    fingerprint: [u8; 32],
    thumbprint: Arc<str>,
    check: Check,
}

impl Verifier {
    /// Checks the key and passes it to the backend.
    pub(super) fn new(algorithm: Algorithm, material: Material<'_>) -> Result<Self, ConfigError> {
        Self::with(backend::check, algorithm, material)
    }

    pub(super) fn with(
        check: fn(Algorithm, Material<'_>) -> Result<Check, ConfigError>,
        algorithm: Algorithm,
        material: Material<'_>,
    ) -> Result<Self, ConfigError> {
        let signature_length = material.check(algorithm)?;
        let check = check(algorithm, material)?;
        let fingerprint = fingerprint(algorithm, material);
        let thumbprint = thumbprint(material)?.into();
        Ok(Self { signature_length, fingerprint, thumbprint, check })
    }

    /// The [`fingerprint`] of the key.
    pub(super) fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The [`Key::thumbprint`] of the key.
    pub(super) fn thumbprint(&self) -> &Arc<str> {
        &self.thumbprint
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        // Both backends check the length too. This check does not depend on them.
        signature.len() == self.signature_length && (self.check)(message, signature)
    }
}

/// Identifies the key together with the algorithm. It is a hash, so storing it beside the key does not make another
/// copy of a secret.
pub(super) fn fingerprint(algorithm: Algorithm, material: Material<'_>) -> [u8; 32] {
    let parts: [&[u8]; 2] = match material {
        Material::Secret(bytes) | Material::Ed25519(bytes) | Material::Ec { point: bytes, .. } => {
            [bytes, &[]]
        }
        Material::Rsa { modulus, exponent } => {
            [without_leading_zeros(modulus), without_leading_zeros(exponent)]
        }
    };
    // Allocates the final size at once: a growing buffer would leave copies that are not wiped.
    let length = 32 + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut input = Zeroizing::new(Vec::with_capacity(length));
    input.extend_from_slice(algorithm.name().as_bytes());
    for part in parts {
        // The length comes first, so two different lists of parts never make the same text.
        input.extend_from_slice(&part.len().to_be_bytes());
        input.extend_from_slice(part);
    }
    backend::sha256(&input)
}

/// Computes [`Key::thumbprint`]. The material must have passed [`check`](Material::check).
fn thumbprint(material: Material<'_>) -> Result<String, ConfigError> {
    if let Material::Secret(secret) = material {
        let tag = backend::hmac_sha256(secret, b"tower-bearer: id of a key");
        return Ok(base64url(tag.first_chunk::<16>().map_or(&[][..], |half| half)));
    }
    Ok(base64url(&backend::sha256(public_members(material)?.as_bytes())))
}

/// The required members of a public JWK, in the order and form that RFC 7638 section 3 hashes.
pub(super) fn public_members(material: Material<'_>) -> Result<String, ConfigError> {
    match material {
        Material::Secret(_) => Err(ConfigError::SecretInPublicKeySet),
        Material::Rsa { modulus, exponent } => {
            let n = base64url(without_leading_zeros(modulus));
            let e = base64url(without_leading_zeros(exponent));
            Ok(format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#))
        }
        Material::Ec { curve, point } => {
            let whole = match point.first() {
                Some(4) => Cow::Borrowed(point),
                _ => Cow::Owned(backend::uncompressed(curve, point)?),
            };
            let coordinates = whole.get(1..).unwrap_or_default();
            let (x, y) = coordinates
                .split_at_checked(curve.coordinate_length())
                .ok_or(ConfigError::InvalidPoint)?;
            let (x, y, curve) = (base64url(x), base64url(y), curve.name());
            Ok(format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#))
        }
        Material::Ed25519(point) => {
            Ok(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(point)))
        }
    }
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

impl FromStr for Algorithm {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::from_name(name).ok_or(ConfigError::UnsupportedKey("algorithm name"))
    }
}
