//! Cheap counters for hot paths.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

const STRIPES: usize = 16;

/// A counter for the hot path. Each thread adds to its own stripe, so the threads do not share a cache line.
#[derive(Default)]
pub(crate) struct Spread([Stripe; STRIPES]);

#[derive(Default)]
#[repr(align(128))]
struct Stripe(Counter);

impl Spread {
    pub(crate) fn add_one(&self) {
        self.0[stripe()].0.add_one();
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.0.read()).sum()
    }
}

/// The stripe of this thread. It is below [`STRIPES`].
fn stripe() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    STRIPE.with(|stripe| {
        if stripe.get() == usize::MAX {
            stripe.set(THREADS.fetch_add(1, Ordering::Relaxed));
        }
        stripe.get() % STRIPES
    })
}
