//! Synchronization types of this module, under names that the interleaving tests (`tests/interleavings`) replace by the
//! types of a model checker.

pub(super) use std::{
    hash::RandomState,
    sync::{
        RwLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

/// The number of locks of the denials. With a million denials in all, the sweep of one shard delays readers by much
/// less than a millisecond.
pub(super) const SHARDS: usize = 64;
