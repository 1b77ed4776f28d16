//! What threads share here, under names that the interleaving tests (`tests/interleavings`) put a model checker's types
//! behind.

pub(super) use std::{
    hash::RandomState,
    sync::{
        RwLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

/// Locks of the denials: enough that a sweep of one of them, with a million denials in all, holds readers up for well below a
/// millisecond.
pub(super) const SHARDS: usize = 64;
