//! The cryptographic backend of keys: AWS-LC if it is compiled in, otherwise RustCrypto. Without either, no key can be
//! made.

#[cfg(feature = "aws-lc-rs")]
mod aws_lc;
#[cfg(all(feature = "aws-lc-rs", feature = "signing"))]
mod aws_lc_signing;
// With both features on, RustCrypto is used only in tests, as a second opinion.
#[cfg(all(feature = "rust-crypto", any(test, not(feature = "aws-lc-rs"))))]
mod rust_crypto;
#[cfg(all(feature = "rust-crypto", feature = "signing", any(test, not(feature = "aws-lc-rs"))))]
mod rust_crypto_signing;
#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests;

#[cfg(feature = "aws-lc-rs")]
use self::aws_lc as chosen;
#[cfg(all(feature = "aws-lc-rs", feature = "signing"))]
use self::aws_lc_signing as chosen_signing;
#[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))]
use self::none as chosen;
#[cfg(all(feature = "signing", not(any(feature = "aws-lc-rs", feature = "rust-crypto"))))]
use self::none as chosen_signing;
#[cfg(all(feature = "rust-crypto", not(feature = "aws-lc-rs")))]
use self::rust_crypto as chosen;
#[cfg(all(feature = "rust-crypto", feature = "signing", not(feature = "aws-lc-rs")))]
use self::rust_crypto_signing as chosen_signing;
#[cfg(feature = "signing")]
use super::material::{PrivateMaterial, PublicMaterial, Sign};
use super::{
    Algorithm,
    material::{Check, Curve, Material},
};
use crate::ConfigError;

/// Parses a key that has passed [`Material::check`].
pub(super) fn check(algorithm: Algorithm, material: Material<'_>) -> Result<Check, ConfigError> {
    chosen::check(algorithm, material)
}

/// Passes a private key to the backend. The second value is its public half. HMAC has none.
#[cfg(feature = "signing")]
pub(super) fn signer(
    algorithm: Algorithm,
    secret: &PrivateMaterial,
) -> Result<(Sign, Option<PublicMaterial>), ConfigError> {
    chosen_signing::signer(algorithm, secret)
}

/// A new RSA key of 2048 bits.
#[cfg(feature = "signing")]
pub(super) fn generate_rsa() -> Result<PrivateMaterial, ConfigError> {
    chosen_signing::generate_rsa()
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
        _: &super::PrivateMaterial,
    ) -> Result<(super::Sign, Option<super::PublicMaterial>), ConfigError> {
        Err(ConfigError::NoBackend)
    }

    #[cfg(feature = "signing")]
    pub(super) fn generate_rsa() -> Result<super::PrivateMaterial, ConfigError> {
        Err(ConfigError::NoBackend)
    }

    /// Of no effect: hashes are compared with those of verified tokens, and without a backend no token is verified.
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
