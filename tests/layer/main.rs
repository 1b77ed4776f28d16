//! The layer as clients and services meet it: answers, passing, readiness, hosts, attacks, allocations, test doubles.
//!
//! `allocations` replaces the global allocator by one that counts for each thread, so other tests do not disturb it.

#[path = "../common/mod.rs"]
mod common;

mod allocations;
mod answers;
mod attacks;
mod client_certificates;
mod dpop;
mod hosts;
mod passing;
mod readiness;
mod resource;
mod test_util;
