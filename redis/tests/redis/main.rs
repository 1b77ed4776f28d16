//! Revocation over a real Redis: the server is started by each test, on a free port, and can be killed, stopped, emptied
//! and cut off.
//!
//! `REDIS_SERVER` names the program (`valkey-server`, for example) if it is not `redis-server` in `PATH`.

#![allow(clippy::disallowed_methods, reason = "a server of its own takes its own time")]
#![allow(clippy::print_stdout, reason = "measurements are printed")]

#[path = "../../../tests/common/authority.rs"]
mod authority;
mod cluster;
#[path = "../../../tests/common/mod.rs"]
mod common;
mod conformance;
mod deny_list;
mod eviction;
mod faults;
mod herd;
mod killed;
mod lease;
mod list_faults;
mod look_ups;
mod losses;
mod moving;
#[path = "../../../sql/src/tests/server.rs"]
#[allow(dead_code, reason = "the store's tests also kill it")]
mod postgres;
mod process;
mod processes;
mod proxy;
mod publishers;
mod pushes;
mod relay;
mod replays;
mod replicas;
mod seeding;
mod sentinel;
mod server;
mod service;
mod settings;
mod slow_store;
mod snapshots;
mod starting;
mod starts;
mod tasks;
mod telemetry;
mod tls;
mod truth;
