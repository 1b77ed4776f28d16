//! Measures the cost of a lookup with few and with many revocations, and the memory that they use.

use std::{
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use tower_bearer::{
    RevocationCache,
    revocation::{Lookup, RevocationStore, Verdict},
};
use tower_bearer_redis::{DenyList, RedisStore};

use crate::{
    Scale,
    process::{Mode, Process},
    quantile,
    server::Server,
    service::{self, Passes, ask, authenticator, entry, every_kind, id, now, token},
    text,
};

/// Simultaneous lookups in the measurement of throughput.
const CONCURRENT_LOOKUPS: usize = 64;

pub(crate) async fn measure(server: &Server, scale: &Scale) -> String {
    let mut page = format!(
        "## Cost\n\n\
         `Redis` and `deny-list`: a lookup without a cached answer, by the four names of a token, without the rest of a \
         request. `cached`: the whole check of a token whose answer is cached. Latency: one lookup after the other. \
         Throughput: {CONCURRENT_LOOKUPS} lookups at the same time, in one process.\n\n\
         | revoked tokens | mode | median | p99 | per second |\n|---|---|---|---|---|\n"
    );
    let mut memory = String::from(
        "\n## Memory\n\n\
         The additional memory in comparison with no revocations: of the server, and of a process with a deny-list \
         that answers requests. The times count from the start of the process. The first process reads key by key, \
         and writes a packed snapshot if there are at least 100 000 entries. A later process reads that.\n\n\
         | revoked tokens | in Redis | deny-list in each process | maximum while it was read | start, the first | start, a later one |\n|---|---|---|---|---|---|\n",
    );
    server.command(&["FLUSHALL"]);
    let empty = server.info("used_memory");
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store.initialise().await.unwrap();
    let with_nothing = Process::start(&server.url(), Mode::DenyList).memory();
    for &revoked in scale.revoked {
        server.command(&["FLUSHALL"]);
        let denials = (0..revoked).map(|number| entry(id(&format!("r{number}")), now() + 86_400));
        store.seed(denials).await.unwrap();
        let in_redis = server.info("used_memory").saturating_sub(empty);

        let begin = Instant::now();
        let process = Process::start(&server.url(), Mode::DenyList);
        let snapshot = text(begin.elapsed());
        let [current, maximum] = process.memory();
        while revoked >= 100_000 && server.command(&["EXISTS", "tower-bearer:snapshot"]) != ":1" {
            assert!(begin.elapsed() < Duration::from_secs(600), "no packed snapshot");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(process);
        let begin = Instant::now();
        drop(Process::start(&server.url(), Mode::DenyList));
        let later = text(begin.elapsed());
        if revoked >= 10_000 {
            let per_process = |bytes: u64, nothing: u64| match revoked {
                // The difference is smaller than that between two equal processes.
                ..100_000 => "-".to_owned(),
                _ => megabytes(bytes.saturating_sub(nothing), revoked),
            };
            let in_redis = megabytes(in_redis, revoked);
            let current = per_process(current, with_nothing[0]);
            let maximum = per_process(maximum, with_nothing[1]);
            writeln!(
                memory,
                "| {revoked} | {in_redis} | {current} | {maximum} | {snapshot} | {later} |"
            )
            .unwrap();
        }

        let list = DenyList::follow(&store, Duration::from_secs(10));
        while !list.stats().is_current {
            assert!(begin.elapsed() < Duration::from_secs(600), "no snapshot");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        page += &row(revoked, "Redis", scale, &store).await;
        page += &row(revoked, "deny-list", scale, &list).await;
        page += &cached(revoked, scale, store.clone()).await;
    }
    page + &memory
}

async fn row(
    revoked: usize,
    name: &str,
    scale: &Scale,
    store: &(impl RevocationStore + Clone),
) -> String {
    let mut latencies = Vec::with_capacity(scale.lookups);
    for number in 0..scale.lookups {
        let token = lookup_of(&format!("l{number}"));
        let begin = Instant::now();
        assert_eq!(store.look_up(&token).await.unwrap(), Verdict::NotRevoked);
        latencies.push(begin.elapsed());
    }
    let end = Instant::now() + Duration::from_secs(scale.seconds);
    let tasks: Vec<_> = (0..CONCURRENT_LOOKUPS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let (token, mut done) = (lookup_of(&format!("n{task}")), 0_u64);
                while Instant::now() < end {
                    assert_eq!(store.look_up(&token).await.unwrap(), Verdict::NotRevoked);
                    done += 1;
                    if done.is_multiple_of(64) {
                        tokio::task::yield_now().await;
                    }
                }
                done
            })
        })
        .collect();
    line(revoked, name, &mut latencies, total(tasks).await / scale.seconds)
}

async fn cached(revoked: usize, scale: &Scale, store: RedisStore) -> String {
    let cache = RevocationCache::new(store, Duration::from_secs(3_600));
    let authenticator = Arc::new(authenticator(&cache));
    let token: Arc<str> = token("cached").into();
    assert_eq!(ask(&authenticator, &token).await, Passes);
    let mut latencies = Vec::with_capacity(scale.lookups);
    for _ in 0..scale.lookups {
        let begin = Instant::now();
        assert_eq!(ask(&authenticator, &token).await, Passes);
        latencies.push(begin.elapsed());
    }
    let end = Instant::now() + Duration::from_secs(scale.seconds);
    let tasks: Vec<_> = (0..CONCURRENT_LOOKUPS)
        .map(|_| {
            let (authenticator, token) = (Arc::clone(&authenticator), Arc::clone(&token));
            tokio::spawn(async move {
                let mut done = 0_u64;
                while Instant::now() < end {
                    assert_eq!(ask(&authenticator, &token).await, Passes);
                    done += 1;
                    if done.is_multiple_of(64) {
                        tokio::task::yield_now().await;
                    }
                }
                done
            })
        })
        .collect();
    line(revoked, "cached", &mut latencies, total(tasks).await / scale.seconds)
}

async fn total(tasks: Vec<tokio::task::JoinHandle<u64>>) -> u64 {
    let mut total = 0;
    for task in tasks {
        total += task.await.unwrap();
    }
    total
}

fn line(revoked: usize, name: &str, latencies: &mut [Duration], per_second: u64) -> String {
    let (median, p99) = (text(quantile(latencies, 0.5)), text(quantile(latencies, 0.99)));
    format!("| {revoked} | {name} | {median} | {p99} | {per_second} |\n")
}

/// A lookup of a cache, with every kind of revocable thing. None of them is revoked.
fn lookup_of(name: &str) -> Lookup {
    service::asked(every_kind(name))
}

fn megabytes(bytes: u64, of: usize) -> String {
    format!("{:.1} MB, {} bytes each", bytes as f64 / 1e6, bytes / of as u64)
}
