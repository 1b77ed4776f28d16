//! Shared by the targets: keys, a second JSON reader, and a second implementation of the policy.
//!
//! Only `trusted` calls the crate. A rule that is taken from the crate could not show that it is broken in the crate.

pub mod claims;
pub mod http_wire;
pub mod json;
pub mod mutation;
pub mod policy;
pub mod proof;
pub mod signer;
pub mod token;
pub mod trusted;

use std::{future::Future, sync::OnceLock};

use tokio::runtime::{Builder, Runtime};

pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "api://orders";

/// The time for targets whose oracle does not read the system clock: 2027-01-15T08:00:00Z.
pub const NOW: u64 = 1_800_000_000;

/// Runs a future to its end on this thread. Time is paused, and advances only when all tasks wait for it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
        })
        .block_on(future)
}
