//! Sends minutes of mixed traffic to the example `resource_server`, while its Redis and its key server fail in turn.
//!
//! ```sh
//! REDIS_SERVER=redis-server cargo bench --bench soak -- --minutes 10 --write
//! ```
//!
//! Everything is a process or a port of this machine: a release build of the example, a real Redis, and a key server in
//! this process. For each token, the client knows its key, its times, its revocation, and the faults at the moment when
//! it sends the token. So it knows which answers are correct, byte for byte. It counts all of them. The run fails on a
//! wrong answer, a broken connection, a panic of the server, or memory or files that grow. `--write` writes the counts
//! to `benches/soak/results.md`.
//!
//! The bench detects errors: a server that accepts expired tokens, or does not look up revocations, fails within
//! seconds.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it prints its results")]
#![allow(clippy::disallowed_methods, reason = "it measures real time")]

mod answer;
mod expected_answers;
mod failure;
mod fault_injection;
mod fault_record;
mod key_server;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../redis/tests/redis/proxy.rs"]
mod proxy;
mod random;
#[allow(dead_code, reason = "shared with the tests")]
#[path = "../../redis/tests/redis/server.rs"]
mod redis_server;
mod report;
mod resource_server;
mod revoker;
mod run_state;
#[path = "../../tests/common/tokens.rs"]
mod signing;
mod soak_token;
mod token_issuer;
mod traffic;

use std::{env, process::ExitCode, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use self::{
    failure::Failure, proxy::Proxy, redis_server::Server as RedisServer,
    resource_server::ResourceServer, run_state::RunState, traffic::CONNECTIONS,
};

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(run()));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The number of minutes after `--minutes`, which may be a fraction, and whether to write the results.
fn arguments() -> Result<(Duration, bool), Failure> {
    let arguments: Vec<String> = env::args().collect();
    let minutes = arguments.iter().position(|argument| argument == "--minutes");
    let minutes: f64 = match minutes {
        Some(at) => arguments.get(at + 1).ok_or("--minutes needs a number")?.parse()?,
        None => 1.0,
    };
    let duration = Duration::from_secs_f64((minutes * 60.0).clamp(20.0, 3_600.0));
    Ok((duration, arguments.iter().any(|argument| argument == "--write")))
}

async fn run() -> Result<(), Failure> {
    let (duration, writes) = arguments()?;
    let redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let version = redis.info_text("redis_version").unwrap_or_default();
    let proxy = Proxy::to(redis.port).await;
    let state = Arc::new(RunState::new()?);
    let keys = key_server::start(Arc::clone(&state)).await?;
    let store = revoker::store(&redis.url()).await?;
    let mut server = ResourceServer::start(&keys, &proxy.url())?;
    println!("the server listens on {}", server.address());

    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(token_issuer::rotate(Arc::clone(&state)));
    tasks.spawn(token_issuer::issue(Arc::clone(&state)));
    tasks.spawn(revoker::revoke(Arc::clone(&state), store.clone()));
    tasks.spawn(fault_injection::break_key_server(Arc::clone(&state)));
    tasks.spawn(fault_injection::break_redis(Arc::clone(&state), redis, proxy, store));
    token_issuer::wait_for_stock(&state).await;
    for number in 0..CONNECTIONS {
        tasks.spawn(traffic::send_requests(
            Arc::clone(&state),
            server.address().to_owned(),
            number,
        ));
    }
    tasks.spawn(traffic::disconnect_clients(Arc::clone(&state), server.address().to_owned()));

    let interrupted = watch(&state, &mut server, &mut tasks, duration).await?;
    state.stop();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let end = server.stop()?;
    if interrupted {
        return Err("interrupted".into());
    }

    let report = report::Report::new(&state, &end, duration, &version);
    println!("{}", report.page());
    if writes {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/soak/results.md");
        std::fs::write(path, report.page())?;
    }
    report.verdict()
}

/// Samples the server every second until the time is over, an error occurs, or the user interrupts.
async fn watch(
    state: &RunState,
    server: &mut ResourceServer,
    tasks: &mut tokio::task::JoinSet<Result<(), Failure>>,
    duration: Duration,
) -> Result<bool, Failure> {
    let begin = Instant::now();
    let mut second = begin;
    while second < begin + duration && !state.has_failed() {
        second += Duration::from_secs(1);
        tokio::select! {
            _ = sleep_until(second) => server.sample()?,
            _ = tokio::signal::ctrl_c() => return Ok(true),
            Some(ended) = tasks.join_next() => {
                ended??;
                return Err("a task of the soak ended too early".into());
            }
        }
    }
    Ok(false)
}
