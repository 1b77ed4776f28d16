//! The cryptographic backend of keys: AWS-LC if it is compiled in, otherwise RustCrypto. Without either, no key can be
//! made.

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
// With both features on, RustCrypto is used only in tests, as a second opinion.
#[cfg(all(feature = "rust-crypto", any(test, not(feature = "aws-lc-rs"))))]
mod rust_crypto;
#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests;

use std::sync::Arc;

#[cfg(feature = "aws-lc-rs")]
use self::aws_lc as chosen;
#[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))]
use self::none as chosen;
#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc-rs")))]
use self::rust_crypto as chosen;
#[cfg(feature = "signing")]
use zeroize::Zeroizing;

#[cfg(feature = "signing")]
use super::SigningFailed;
use super::{
    Algorithm,
    material::{Curve, Material},
};
use crate::ConfigError;

/// A parsed key: returns whether the second argument is a signature of the message in the first.
type Check = Box<dyn Fn(&[u8], &[u8]) -> bool + Send + Sync>;

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
        Self::with(chosen::check, algorithm, material)
    }

    fn with(
        backend: fn(Algorithm, Material<'_>) -> Result<Check, ConfigError>,
        algorithm: Algorithm,
        material: Material<'_>,
    ) -> Result<Self, ConfigError> {
        let signature_length = material.check(algorithm)?;
        let check = backend(algorithm, material)?;
        let fingerprint = material.fingerprint(algorithm);
        let thumbprint = material.thumbprint()?.into();
        Ok(Self { signature_length, fingerprint, thumbprint, check })
    }

    /// The [`Material::fingerprint`] of the key.
    pub(super) fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// The [`Key::thumbprint`](super::Key::thumbprint) of the key.
    pub(super) fn thumbprint(&self) -> &Arc<str> {
        &self.thumbprint
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        // Both backends check the length too. This check does not depend on them.
        signature.len() == self.signature_length && (self.check)(message, signature)
    }
}

/// The secret part of a key that signs.
#[cfg(feature = "signing")]
pub(super) enum Secret {
    Hmac(Zeroizing<Vec<u8>>),
    /// A number of 32 bytes.
    P256(Zeroizing<Vec<u8>>),
    /// A seed of 32 bytes.
    Ed25519(Zeroizing<Vec<u8>>),
    /// PKCS#8.
    #[cfg_attr(
        not(feature = "aws-lc-rs"),
        allow(dead_code, reason = "read from a file, then refused by this backend")
    )]
    Rsa(Zeroizing<Vec<u8>>),
}

/// The public half of a key.
#[cfg(feature = "signing")]
#[cfg_attr(
    not(any(feature = "aws-lc-rs", feature = "rust-crypto")),
    allow(dead_code, reason = "no backend makes one")
)]
pub(super) enum Public {
    /// Uncompressed for P-256.
    Point(Vec<u8>),
    #[cfg_attr(not(feature = "aws-lc-rs"), allow(dead_code, reason = "only AWS-LC signs with RSA"))]
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
}

/// A parsed private key: makes the signature of a message.
#[cfg(feature = "signing")]
pub(super) type Sign = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, SigningFailed> + Send + Sync>;

/// Passes a private key to the backend. The second value is its public half. HMAC has none.
#[cfg(feature = "signing")]
pub(super) fn signer(
    algorithm: Algorithm,
    secret: &Secret,
) -> Result<(Sign, Option<Public>), ConfigError> {
    chosen::signer(algorithm, secret)
}

/// A new RSA key of 2048 bits.
#[cfg(feature = "signing")]
pub(super) fn generate_rsa() -> Result<Secret, ConfigError> {
    chosen::generate_rsa()
}

/// Fails if no backend is compiled in. Every key constructor calls it first, so all return the same error.
pub(crate) const fn require() -> Result<(), ConfigError> {
    if cfg!(any(feature = "aws-lc-rs", feature = "rust-crypto")) {
        Ok(())
    } else {
        Err(ConfigError::NoBackend)
    }
}

/// The SHA-256 of `bytes`.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    chosen::sha256(bytes)
}

/// The uncompressed form of a compressed point, both in the encoding of SEC 1 section 2.3.3.
pub(super) fn uncompressed(curve: Curve, point: &[u8]) -> Result<Vec<u8>, ConfigError> {
    chosen::uncompressed(curve, point)
}

/// HMAC with SHA-256 (RFC 2104).
pub(super) fn hmac_sha256(secret: &[u8], message: &[u8]) -> [u8; 32] {
    chosen::hmac_sha256(secret, message)
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod none {
    use super::{Algorithm, Check, Material};
    use crate::ConfigError;

    pub(super) fn check(_: Algorithm, _: Material<'_>) -> Result<Check, ConfigError> {
        Err(ConfigError::NoBackend)
    }

    #[cfg(feature = "signing")]
    pub(super) fn signer(
        _: Algorithm,
        _: &super::Secret,
    ) -> Result<(super::Sign, Option<super::Public>), ConfigError> {
        Err(ConfigError::NoBackend)
    }

    #[cfg(feature = "signing")]
    pub(super) fn generate_rsa() -> Result<super::Secret, ConfigError> {
        Err(ConfigError::NoBackend)
    }

    /// Never called: only verified bytes are hashed, and without a backend nothing is verified.
    pub(super) fn sha256(_: &[u8]) -> [u8; 32] {
        [0; 32]
    }

    pub(super) fn uncompressed(_: super::Curve, _: &[u8]) -> Result<Vec<u8>, ConfigError> {
        Err(ConfigError::NoBackend)
    }

    /// Never called: without a backend there is no key.
    pub(super) fn hmac_sha256(_: &[u8], _: &[u8]) -> [u8; 32] {
        [0; 32]
    }
}
