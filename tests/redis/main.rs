//! Revocation over a real Redis: the server is started by each test, on a free port, and can be killed, stopped, emptied
//! and cut off.
//!
//! `REDIS_SERVER` names the program (`redis-server` or `valkey-server`). Without it these tests say that they were not
//! run.

#![allow(clippy::disallowed_methods, reason = "a server of its own takes its own time")]
#![allow(clippy::print_stdout, reason = "what was not run, or was measured, is told")]

#[path = "../common/authority.rs"]
mod authority;
#[path = "../common/mod.rs"]
mod common;
mod conformance;
mod deny_list;
mod eviction;
mod examples;
mod faults;
mod herd;
mod killed;
mod lease;
mod list_faults;
mod look_ups;
mod losses;
mod moving;
#[path = "../../src/issuing/store/sql/tests/server.rs"]
#[allow(dead_code, reason = "the store's tests also kill it")]
mod postgres;
mod process;
mod processes;
mod proxy;
mod publishers;
mod pushes;
mod relay;
mod replicas;
mod seeding;
mod server;
mod service;
mod settings;
mod slow_store;
mod snapshots;
mod starting;
mod starts;
mod telemetry;
mod tls;
mod truth;
