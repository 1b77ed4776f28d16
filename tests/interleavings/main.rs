//! What a revocation cache knows, under every interleaving of its threads that the memory model allows.
//!
//! `local.rs`, `denials.rs`, `pending.rs` and `cached_answer.rs` of the crate are compiled here once more, with
//! loom's atomics and locks behind the names of `src/revocation/sync.rs`: that is the code itself. The order in which
//! a request asks them, the store and its own memory is written a second time, in `model.rs`, after `check` and
//! `look_up` of `src/revocation/cache.rs`.
//!
//! This is a binary of its own because those files name each other as `crate::revocation` and `crate::claims`.

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
    #[path = "../../../src/revocation/cached_answer.rs"]
    pub(crate) mod cached_answer;
    #[path = "../../../src/revocation/denials.rs"]
    pub(crate) mod denials;
    #[path = "../../../src/revocation/entry.rs"]
    pub(crate) mod entry;
    #[path = "../../../src/revocation/local.rs"]
    pub(crate) mod local;
    #[path = "../../../src/revocation/lookup.rs"]
    pub(crate) mod lookup;
    #[path = "../../../src/revocation/pending.rs"]
    pub(crate) mod pending;
    #[path = "../../../src/revocation/revocable.rs"]
    pub(crate) mod revocable;

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

    pub(crate) use self::entry::RevocationEntry;
    pub(crate) use self::lookup::{Lookup, TokenFacts, Verdict};
    pub(crate) use self::revocable::{Revocable, RevocableKind};

    mod model;
}
