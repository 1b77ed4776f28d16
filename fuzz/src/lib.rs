//! What the targets share: keys, the reading of JSON that ours is held against, and the policy written a second time.
//!
//! But for `trusted`, nothing here calls into the crate: a rule that was taken from there could not show that it is broken
//! there.

pub mod claims;
pub mod http_wire;
pub mod json;
pub mod mutation;
pub mod policy;
pub mod signer;
pub mod token;
pub mod trusted;

use std::{future::Future, sync::OnceLock};

use tokio::runtime::{Builder, Runtime};

pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "api://orders";

/// The time that targets set whose oracle does not look at the system's clock: 2027-01-15T08:00:00Z.
pub const NOW: u64 = 1_800_000_000;

/// Runs a future to its end on this thread. Time stands still there, but where everything waits for it.
pub fn block_on<F: Future>(future: F) -> F::Output {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
        })
        .block_on(future)
}
