//! Revocation without a server: through the authenticator and through the layer.

#[path = "../common/mod.rs"]
mod common;

mod authenticator;
mod security_events;
mod through_the_layer;
