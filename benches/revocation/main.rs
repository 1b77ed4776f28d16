//! Measures how soon other processes see a revocation, and what a lookup costs, over a real Redis.
//!
//! `REDIS_SERVER=redis-server cargo bench --bench revocation` prints tables. `-- --write` writes them to
//! `benches/revocation/results.md`. `-- --quick` does a tenth of the work, without the million. `-- --delay` prints
//! only the first table, and never writes it.

#![allow(clippy::print_stdout, reason = "it prints its results")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

#[path = "../../tests/common/tokens.rs"]
mod tokens;
mod common {
    pub(crate) use crate::tokens;
}
mod cost;
mod delay;
mod fleet;
mod process;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../redis/tests/redis/server.rs"]
mod server;
#[allow(dead_code, unused_imports, reason = "shared with the tests")]
#[path = "../../redis/tests/redis/service.rs"]
mod service;

use std::{fmt::Write, time::Duration};

use server::Server;

/// The amount of work.
struct Scale {
    revocations: usize,
    lookups: usize,
    revoked: &'static [usize],
    seconds: u64,
}

const WHOLE: Scale =
    Scale { revocations: 1_000, lookups: 10_000, revoked: &[1, 10_000, 1_000_000], seconds: 3 };
const QUICK: Scale = Scale { revocations: 100, lookups: 1_000, revoked: &[1, 10_000], seconds: 1 };

fn main() {
    if process::is_one() {
        return;
    }
    let argument = |name: &str| std::env::args().any(|argument| argument == name);
    let scale = if argument("--quick") { QUICK } else { WHOLE };
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut page = String::new();
    writeln!(
        page,
        "# Revocation across processes\n\n\
         Written by `cargo bench --bench revocation -- --write`{}; {} on {} cores, {} build.\n",
        if argument("--quick") { " with `--quick`" } else { "" },
        server
            .info_text("redis_version")
            .map_or_else(String::new, |version| format!("Redis {version}")),
        std::thread::available_parallelism().map_or(0, usize::from),
        if cfg!(debug_assertions) { "an **unoptimised**" } else { "an optimised" },
    )
    .unwrap();
    runtime.block_on(async {
        page += &delay::measure(&server, &scale).await;
        if !argument("--delay") {
            page += &cost::measure(&server, &scale).await;
            page += &fleet::measure(&server, &scale).await;
        }
    });
    println!("{page}");
    if argument("--write") && !argument("--delay") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/revocation/results.md");
        std::fs::write(path, page).unwrap();
    }
}

/// A quantile of durations. Sorts them.
fn quantile(durations: &mut [Duration], quantile: f64) -> Duration {
    durations.sort_unstable();
    let last = durations.len() - 1;
    durations[(last as f64 * quantile).round() as usize]
}

fn text(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos() as f64;
    match nanoseconds {
        ..1e3 => format!("{nanoseconds:.0} ns"),
        ..1e6 => format!("{:.1} µs", nanoseconds / 1e3),
        _ => format!("{:.2} ms", nanoseconds / 1e6),
    }
}
