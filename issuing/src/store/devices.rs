//! Finds the known devices of an account.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Owner;

/// The name of the [shared key](super::TokenStore::shared_key) of known devices.
pub const DEVICE_KEY: &str = "known-devices";

/// The account of a known device, as a keyed hash (HMAC-SHA256) of issuer and subject. `key` is the shared key
/// [`DEVICE_KEY`]. With this hash, a store finds the devices of an owner whose data it deletes.
#[must_use]
pub fn device_account(key: &[u8; 32], owner: &Owner) -> [u8; 32] {
    // HMAC itself fills a short key with zeros up to the size of a block (RFC 2104 section 2).
    let mut block = [0; 64];
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let mut hash = Hmac::<Sha256>::new(&block.into());
    hash.update(b"account");
    hash.update(&(owner.issuer.len() as u64).to_be_bytes());
    hash.update(owner.issuer.as_bytes());
    hash.update(owner.subject.as_bytes());
    hash.finalize().into_bytes().into()
}
