//! Which tokens are valid: claims, signatures of published vectors, tokens of providers, and the same decision by others.

#[path = "../common/mod.rs"]
mod common;

mod claims;
mod differential;
mod jws_vectors;
mod providers;
mod token_cache;
mod wycheproof;
