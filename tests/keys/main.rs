//! Keys and status lists from the network, through the layer: rotation, outage, floods, odd answers.
//!
//! Two kinds of key server: `server` is one on a socket, with a clock that the test moves; `script` answers in memory
//! under Tokio's paused time, where hours of the background task pass at once.

#![cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]

#[path = "../common/authority.rs"]
mod authority;
#[path = "../common/mod.rs"]
mod common;

mod answers;
mod discovery;
mod flood;
mod gate;
mod lifetime;
mod outage;
mod provider;
mod rotation;
mod script;
mod server;
mod signer;
mod starting;
mod status_lists;
mod tls;
mod waiting;
