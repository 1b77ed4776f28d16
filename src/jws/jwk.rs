//! Strict reader of JSON Web Keys (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).

use std::borrow::Cow;

use zeroize::Zeroizing;

use super::{
    Algorithm, Key, backend,
    compact::decode_base64url,
    key::Verifier,
    material::{Curve, Material},
};
use crate::{
    ConfigError,
    json::{Object, Value},
};

/// Members that only a private key has (RFC 7518 sections 6.2.2 and 6.3.2).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

impl Key {
    /// One JSON Web Key (RFC 7517): a public key, or an HMAC secret as `oct`.
    ///
    /// `alg` names the algorithm. Without `alg`, type and curve imply it: RS256 for RSA, ES256, ES384 or ES512 for a
    /// curve, EdDSA for Ed25519, HS256 for `oct`. `kid` becomes the key's id. Member names must be unique. Unknown
    /// members are ignored. No URL and no certificate is followed. A member that is `null` or an empty array counts as
    /// absent.
    ///
    /// # Errors
    /// [`ConfigError::KeyUse`] and [`ConfigError::KeyOperations`] for a key that is not meant to verify.
    /// [`ConfigError::PrivateKey`] for a key with `d` or another private member. [`ConfigError::UnsupportedKey`] if the
    /// key cannot be used, and [`ConfigError::UnreadableKey`] if it cannot be read. Otherwise the errors listed at
    /// [`Key`].
    pub fn from_jwk_json(json: &str) -> Result<Self, ConfigError> {
        backend::require()?;
        Jwk::parse(json)?.to_key()
    }

    /// The public key in the header of a DPoP proof (RFC 9449 section 4.2), for the algorithm of that header. An `alg`
    /// of the key must be the same.
    pub(crate) fn of_proof(jwk: &str, algorithm: Algorithm) -> Result<Self, ConfigError> {
        let jwk = Jwk::parse(jwk)?;
        if jwk.is_secret() {
            return Err(ConfigError::SecretInPublicKeySet);
        }
        let key = jwk.to_key_for(algorithm)?;
        if key.algorithm() != algorithm {
            return Err(ConfigError::KeyAlgorithmMismatch(algorithm));
        }
        Ok(key)
    }
}

/// A JWK whose member names are unique. Nothing else is checked yet.
///
/// Unused members are ignored. `x5c`, `x5t` and `x5u` are among them: this crate does not follow them.
///
/// A member that is `null` or an empty array counts as absent: .NET writes `"key_ops":[]` and `"d":null` into valid
/// keys.
pub(super) struct Jwk<'a>(Object<'a>);

/// The key type, from `kty` and `crv`.
#[derive(Clone, Copy)]
enum KeyType {
    Secret,
    Rsa,
    Ec(Curve),
    Ed25519,
}

impl<'a> Jwk<'a> {
    pub(super) fn parse(json: &'a str) -> Result<Self, ConfigError> {
        Object::parse(json)
            .map(Self)
            .ok_or(ConfigError::UnreadableKey("a JSON object with unique member names"))
    }

    pub(super) fn is_secret(&self) -> bool {
        self.get("kty").and_then(Value::as_text).is_some_and(|kty| kty.is("oct"))
    }

    pub(super) fn key_id(&self) -> Option<Cow<'a, str>> {
        self.get("kid").and_then(Value::as_cow)
    }

    /// Reads the key. An RSA key without `alg` is a key for RS256.
    pub(super) fn to_key(&self) -> Result<Key, ConfigError> {
        self.to_key_for(Algorithm::RS256)
    }

    /// Reads the key. An RSA key without `alg` gives one key for each of `rsa_algorithms`.
    pub(super) fn to_keys(&self, rsa_algorithms: &[Algorithm]) -> Result<Vec<Key>, ConfigError> {
        if !matches!(self.kind()?, KeyType::Rsa) || self.get("alg").is_some() {
            return Ok(vec![self.to_key()?]);
        }
        rsa_algorithms.iter().map(|algorithm| self.to_key_for(*algorithm)).collect()
    }

    fn to_key_for(&self, rsa_algorithm: Algorithm) -> Result<Key, ConfigError> {
        let kind = self.kind()?;
        let is_private = |name| self.get(name).is_some();
        if !matches!(kind, KeyType::Secret) && PRIVATE_MEMBERS.into_iter().any(is_private) {
            return Err(ConfigError::PrivateKey);
        }
        self.check_purpose()?;
        let algorithm = self.algorithm(kind, rsa_algorithm)?;
        let key = match kind {
            KeyType::Secret => Key::from_secret(algorithm, &self.bytes("k")?)?,
            KeyType::Rsa => {
                let (modulus, exponent) = (&self.bytes("n")?, &self.bytes("e")?);
                Key::new(algorithm, Verifier::new(algorithm, Material::Rsa { modulus, exponent })?)
            }
            KeyType::Ec(curve) => {
                let point = &self.point(curve)?;
                Key::new(algorithm, Verifier::new(algorithm, Material::Ec { curve, point })?)
            }
            KeyType::Ed25519 => {
                let point = &self.bytes("x")?;
                Key::new(algorithm, Verifier::new(algorithm, Material::Ed25519(point))?)
            }
        };
        let key = match self.text("kid", "a `kid` that is a string")? {
            Some(key_id) => key.with_key_id(key_id),
            None => key,
        };
        // An `issuer` that is not a string also limits the key. It is read as the empty name, which no issuer has.
        Ok(match self.get("issuer") {
            Some(issuer) => key.with_issuer(&issuer.as_cow().unwrap_or_default()),
            None => key,
        })
    }

    fn kind(&self) -> Result<KeyType, ConfigError> {
        let kty = self.text("kty", "a `kty` that is a string")?;
        let crv = self.text("crv", "a `crv` that is a string")?;
        let kty = kty.ok_or(ConfigError::UnreadableKey("a member `kty`"))?;
        match (&*kty, crv.as_deref()) {
            ("oct", _) => Ok(KeyType::Secret),
            ("RSA", _) => Ok(KeyType::Rsa),
            ("EC", Some("P-256")) => Ok(KeyType::Ec(Curve::P256)),
            ("EC", Some("P-384")) => Ok(KeyType::Ec(Curve::P384)),
            ("EC", Some("P-521")) => Ok(KeyType::Ec(Curve::P521)),
            ("OKP", Some("Ed25519")) => Ok(KeyType::Ed25519),
            ("EC" | "OKP", Some(_)) => Err(ConfigError::UnsupportedKey("elliptic curve")),
            ("EC" | "OKP", None) => Err(ConfigError::UnreadableKey("a member `crv`")),
            _ => Err(ConfigError::UnsupportedKey("key type")),
        }
    }

    /// Checks `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3), each if it is present.
    fn check_purpose(&self) -> Result<(), ConfigError> {
        if self.text("use", "a `use` that is a string")?.is_some_and(|purpose| purpose != "sig") {
            return Err(ConfigError::KeyUse);
        }
        if let Some(operations) = self.get("key_ops") {
            let unreadable = ConfigError::UnreadableKey("a `key_ops` that is an array of strings");
            let operations = operations.as_strings().ok_or(unreadable)?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Err(ConfigError::KeyOperations);
            }
        }
        Ok(())
    }

    /// The algorithm in `alg`. Without `alg`, the algorithm that type and curve imply.
    fn algorithm(&self, kind: KeyType, rsa_algorithm: Algorithm) -> Result<Algorithm, ConfigError> {
        match self.text("alg", "an `alg` that is a string")? {
            Some(name) => name.parse(),
            None => Ok(match kind {
                KeyType::Secret => Algorithm::HS256,
                KeyType::Rsa => rsa_algorithm,
                KeyType::Ec(Curve::P256) => Algorithm::ES256,
                KeyType::Ec(Curve::P384) => Algorithm::ES384,
                KeyType::Ec(Curve::P521) => Algorithm::ES512,
                KeyType::Ed25519 => Algorithm::EdDSA,
            }),
        }
    }

    /// Both coordinates at full length (RFC 7518 section 6.2.1.2), as one uncompressed point.
    fn point(&self, curve: Curve) -> Result<Vec<u8>, ConfigError> {
        let (x, y) = (self.bytes("x")?, self.bytes("y")?);
        let expected = curve.coordinate_length();
        for coordinate in [&x, &y] {
            if coordinate.len() != expected {
                return Err(ConfigError::CoordinateLength { length: coordinate.len(), expected });
            }
        }
        Ok([&[4], x.as_slice(), y.as_slice()].concat())
    }

    fn text(
        &self,
        name: &str,
        expected: &'static str,
    ) -> Result<Option<Cow<'a, str>>, ConfigError> {
        let as_text = |value: Value<'a>| value.as_cow().ok_or(ConfigError::UnreadableKey(expected));
        self.get(name).map(as_text).transpose()
    }

    fn get(&self, name: &str) -> Option<Value<'a>> {
        self.0.get(name).filter(|value| !is_empty(*value))
    }

    /// A member in canonical base64url. The bytes are wiped, whether they are secret or not.
    fn bytes(&self, name: &str) -> Result<Zeroizing<Vec<u8>>, ConfigError> {
        self.get(name)
            .and_then(Value::as_cow)
            .and_then(|text| decode_base64url(text.as_bytes()))
            .map(Zeroizing::new)
            .ok_or(ConfigError::UnreadableKey("each key parameter as base64url without padding"))
    }
}

fn is_empty(value: Value<'_>) -> bool {
    match value {
        Value::Null => true,
        Value::Array(text) => {
            let elements = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
            elements.is_some_and(|elements| elements.trim_ascii().is_empty())
        }
        _ => false,
    }
}
