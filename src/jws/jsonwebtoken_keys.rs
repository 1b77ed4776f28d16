//! Converts keys of the crate jsonwebtoken, for services that move from it.
//!
//! 1. `Algorithm::try_from` converts its algorithms.
//! 2. [`Key::from_decoding_key`] converts a `DecodingKey`.
//! 3. `Key::try_from` converts a `Jwk`, and `KeySet::try_from` converts a `JwkSet`.
//!
//! Each key passes the same checks as a key that this crate reads itself.

use jsonwebtoken::{
    AlgorithmFamily, DecodingKey, DecodingKeyKind,
    jwk::{Jwk, JwkSet},
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    Algorithm, Key, KeySet, backend,
    key::Verifier,
    material::{Curve, Material},
};
use crate::ConfigError;

impl TryFrom<jsonwebtoken::Algorithm> for Algorithm {
    type Error = ConfigError;

    /// The same algorithm. jsonwebtoken has no ES512.
    ///
    /// # Errors
    /// [`ConfigError::UnsupportedKey`] for an algorithm that a later version of jsonwebtoken adds.
    fn try_from(algorithm: jsonwebtoken::Algorithm) -> Result<Self, ConfigError> {
        use jsonwebtoken::Algorithm as Theirs;

        Ok(match algorithm {
            Theirs::HS256 => Self::HS256,
            Theirs::HS384 => Self::HS384,
            Theirs::HS512 => Self::HS512,
            Theirs::RS256 => Self::RS256,
            Theirs::RS384 => Self::RS384,
            Theirs::RS512 => Self::RS512,
            Theirs::PS256 => Self::PS256,
            Theirs::PS384 => Self::PS384,
            Theirs::PS512 => Self::PS512,
            Theirs::ES256 => Self::ES256,
            Theirs::ES384 => Self::ES384,
            Theirs::EdDSA => Self::EdDSA,
            _ => return Err(ConfigError::UnsupportedKey("algorithm name")),
        })
    }
}

impl Key {
    /// The key of a [`DecodingKey`], for exactly one algorithm.
    ///
    /// Use it while a service moves from jsonwebtoken and still loads its keys with that crate. A `DecodingKey` knows
    /// only the family of its algorithm, so you pass the algorithm. For several algorithms make several keys, and put
    /// them into one [`KeySet`]. A `DecodingKey` has no id. Set one with [`with_key_id`](Self::with_key_id).
    ///
    /// Three things cannot be converted:
    ///
    /// * An `EncodingKey`: read its file with `SigningKey::from_pkcs8_pem`.
    /// * A secret that is shorter than its hash: pass its bytes to [`allow_short_secret`](Self::allow_short_secret).
    /// * A `Validation`: it has rules, not keys. The guide has a table of its fields.
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
    /// use tower_bearer::{Algorithm, ConfigError, Key};
    ///
    /// let theirs = jsonwebtoken::DecodingKey::from_ed_components(
    ///     "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    /// )?;
    /// let algorithm = Algorithm::try_from(jsonwebtoken::Algorithm::EdDSA)?;
    /// let key = Key::from_decoding_key(algorithm, &theirs)?.with_key_id("2026-11");
    /// assert_eq!(key.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    ///
    /// let weak = jsonwebtoken::DecodingKey::from_secret(b"secret");
    /// let rejected = Key::from_decoding_key(Algorithm::HS256, &weak);
    /// assert!(matches!(rejected, Err(ConfigError::SecretTooShort { .. })));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Like [`hs256`](Self::hs256) for a secret, and like [`from_der`](Self::from_der) for other keys.
    /// [`ConfigError::KeyLength`] for a curve point whose length matches no supported curve.
    #[cfg_attr(docsrs, doc(cfg(feature = "jsonwebtoken")))]
    pub fn from_decoding_key(algorithm: Algorithm, key: &DecodingKey) -> Result<Self, ConfigError> {
        backend::require()?;
        let material = match (key.family(), key.kind()) {
            (AlgorithmFamily::Hmac, DecodingKeyKind::SecretOrDer(secret)) => {
                return Self::from_secret(algorithm, secret);
            }
            (AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                Material::Rsa { modulus: n, exponent: e }
            }
            (AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) if !is_der(point) => {
                Material::Ec { curve: curve_of(point)?, point }
            }
            (AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(point)) if !is_der(point) => {
                Material::Ed25519(point)
            }
            (_, DecodingKeyKind::SecretOrDer(der)) => return Self::from_der(algorithm, der),
            (_, DecodingKeyKind::RsaModulusExponent { .. }) => {
                return Err(ConfigError::KeyAlgorithmMismatch(algorithm));
            }
        };
        Verifier::new(algorithm, material).map(|verifier| Self::new(algorithm, verifier))
    }
}

/// `from_ec_der` and `from_ed_der` store their argument without reading it, so it can be DER or a bare point. An
/// Ed25519 point has 32 bytes, and a point of another curve begins with 2, 3 or 4 (SEC 1 section 2.3.3). So neither can
/// be a long DER sequence.
fn is_der(bytes: &[u8]) -> bool {
    bytes.len() > 32 && bytes.first() == Some(&0x30)
}

/// Finds the curve by the length of a compressed or an uncompressed point.
fn curve_of(point: &[u8]) -> Result<Curve, ConfigError> {
    let has_length = |curve: &Curve| {
        let length = curve.coordinate_length();
        point.len() == 1 + length || point.len() == 1 + 2 * length
    };
    let curves = [Curve::P256, Curve::P384, Curve::P521];
    curves.into_iter().find(has_length).ok_or(ConfigError::KeyLength)
}

#[cfg_attr(docsrs, doc(cfg(feature = "jsonwebtoken")))]
impl TryFrom<&Jwk> for Key {
    type Error = ConfigError;

    /// Like [`from_jwk_json`](Key::from_jwk_json), with three differences, because jsonwebtoken drops parts of the
    /// JSON:
    ///
    /// * It drops private members such as `d`. So a private key is not recognised, and its public half is used.
    /// * It drops the name of an `alg` that it does not know, such as `ES512` and `Ed25519`. Such a key is rejected as
    ///   not supported.
    /// * It drops the member `issuer` of Microsoft Entra.
    ///
    /// Prefer [`from_jwk_json`](Key::from_jwk_json) if you have the text.
    ///
    /// # Errors
    /// Like [`from_jwk_json`](Key::from_jwk_json).
    fn try_from(jwk: &Jwk) -> Result<Self, ConfigError> {
        Self::from_jwk_json(&json_of(jwk)?)
    }
}

#[cfg_attr(docsrs, doc(cfg(feature = "jsonwebtoken")))]
impl TryFrom<&JwkSet> for KeySet {
    type Error = ConfigError;

    /// Like [`from_jwks_json`](KeySet::from_jwks_json), except for the parts of the JSON that jsonwebtoken drops: see
    /// `TryFrom<&Jwk>` of [`Key`]. An `oct` key is left out.
    ///
    /// # Errors
    /// Like [`from_jwks_json`](KeySet::from_jwks_json).
    fn try_from(keys: &JwkSet) -> Result<Self, ConfigError> {
        Self::from_jwks_json(&json_of(keys)?)
    }
}

/// Writes JSON that is wiped when it is dropped, because it can hold a secret.
fn json_of(value: &impl Serialize) -> Result<Zeroizing<String>, ConfigError> {
    const UNREADABLE: ConfigError = ConfigError::UnreadableKey("a JWK that can be written as JSON");
    // The length is measured first: a growing buffer would leave copies that are not wiped.
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).map_err(|_| UNREADABLE)?;
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *json, value).map_err(|_| UNREADABLE)?;
    String::from_utf8(std::mem::take(&mut *json)).map(Zeroizing::new).map_err(|_| UNREADABLE)
}

/// Counts bytes and stores none.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
