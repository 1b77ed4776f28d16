//! Tests the local state of a revocation cache under every interleaving of its threads that the memory model allows.
//!
//! This binary compiles `entry.rs` and `local_state.rs` of the crate once more, with loom's atomics and locks behind
//! the names of `src/revocation/sync.rs`. So the tested code is the code of the crate. `model.rs` repeats the order in
//! which a request asks the local state, the cached answers and the store. The original order is in `check` and
//! `look_up` of `src/revocation/check.rs`.
//!
//! The tests have their own binary because those files name each other as `crate::revocation` and `crate::claims`.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "files of the crate, of which a part is used"
)]

#[path = "../../src/claims/clock.rs"]
mod clock;
#[path = "../../src/unix_time.rs"]
mod unix_time;
pub(crate) use self::unix_time::UnixTime;
mod claims {
    pub(crate) use crate::clock::*;
    pub(crate) use tower_bearer::claims::MAX_LEEWAY;
}
mod revocation {
    #[path = "../../../src/revocation/entry.rs"]
    pub(crate) mod entry;
    #[path = "../../../src/revocation/local_state.rs"]
    pub(crate) mod local_state;

    /// Loom's, and a hash that is the same in every run.
    mod sync {
        use std::{collections::hash_map::DefaultHasher, hash::BuildHasherDefault};

        /// A model has small stacks.
        pub(super) const SHARDS: usize = 2;
        pub(super) type RandomState = BuildHasherDefault<DefaultHasher>;
        pub(super) use loom::sync::{
            RwLock,
            atomic::{AtomicU8, AtomicU64, Ordering},
        };
    }

    pub(crate) use self::entry::{
        Lookup, Revocable, RevocableKind, RevocationEntry, TokenFacts, Verdict,
    };

    mod model;
}
