//! Random numbers.

use std::hash::{BuildHasher, RandomState};

pub(crate) fn below(bound: usize) -> usize {
    let random = RandomState::new().hash_one(());
    usize::try_from(random % bound.max(1) as u64).unwrap_or(0)
}

/// `true` once in `times` calls on average.
pub(crate) fn one_in(times: usize) -> bool {
    below(times) == 0
}

pub(crate) fn between(least: i64, beyond: i64) -> i64 {
    let width = usize::try_from(beyond - least).unwrap_or(1);
    least + i64::try_from(below(width)).unwrap_or(0)
}
