//! Which tokens are valid: claims, published vectors, tokens of identity providers, and the decision of another library.

#[path = "../common/mod.rs"]
mod common;

mod claims;
mod differential;
mod explain;
mod jws_vectors;
mod providers;
mod token_cache;
mod wycheproof;
