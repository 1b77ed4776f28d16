//! Events and metrics, and that neither they nor any other output contain a token, a claim or a key.
//!
//! The process has one global subscriber and one global recorder, those of `secrecy::marked::LOG`. Tests that read
//! events or metrics of their own use a subscriber or a recorder of their thread.

#[path = "../common/mod.rs"]
mod common;

mod events;
mod metrics;
mod secrecy;
