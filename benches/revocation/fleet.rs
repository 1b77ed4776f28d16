//! Measures what a hundred clients ask of one Redis: idle, while tokens are revoked, and when all start at once.

use std::{
    fmt::Write,
    time::{Duration, Instant},
};

use tower_bearer::revocation::RevocationStore;
use tower_bearer_redis::{DenyList, Pushes, RedisStore};

use crate::{
    Scale, quantile,
    server::Server,
    service::{Service, entry, id, now},
    text,
};

const CLIENTS: usize = 100;
const REVOCATIONS_PER_SECOND: u32 = 100;

/// A client of Redis, with its own connections.
#[expect(dead_code, reason = "it is kept, so that it goes on")]
enum Client {
    Pushes(Service, Pushes),
    DenyList(DenyList),
}

pub(crate) async fn measure(server: &Server, scale: &Scale) -> String {
    let mut page = format!(
        "\n## A fleet on one Redis\n\n\
         {CLIENTS} clients with their own connections, as tasks of one process on the same machine. Commands and bytes \
         for each client and second, as Redis counts them. The bytes are what Redis sends.\n\n\
         | mode | commands, idle | bytes, idle | commands, {REVOCATIONS_PER_SECOND} revocations per second | bytes |\n\
         |---|---|---|---|---|\n"
    );
    for mode in ["pushes", "deny-list"] {
        server.command(&["FLUSHALL"]);
        let store = RedisStore::connect(&server.url()).await.unwrap();
        store.initialise().await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(client(server, mode).await);
        }
        let [idle, idle_bytes] = traffic(server, scale, async || {
            tokio::time::sleep(Duration::from_secs(scale.seconds)).await;
        })
        .await;
        let [busy, busy_bytes] =
            traffic(server, scale, async || revoke(&store, scale.seconds).await).await;
        writeln!(page, "| {mode} | {idle:.1} | {idle_bytes:.0} | {busy:.1} | {busy_bytes:.0} |")
            .unwrap();
    }
    page += &format!(
        "\nAll {CLIENTS} deny-lists start at the same time, and count until they answer lookups. A packed snapshot is \
         there, if there are enough revocations for one.\n\n\
         | revoked tokens | first | median | last | commands of each | bytes to each |\n|---|---|---|---|---|---|\n"
    );
    for &revoked in scale.revoked {
        page += &start_at_once(server, revoked).await;
    }
    page
}

async fn client(server: &Server, mode: &str) -> Client {
    if mode == "pushes" {
        let service = Service::at(&server.url()).await;
        let pushes = service.listen().await;
        return Client::Pushes(service, pushes);
    }
    Client::DenyList(started(server).await.0)
}

/// Returns the commands and the bytes for each client and second.
async fn traffic(server: &Server, scale: &Scale, work: impl AsyncFnOnce()) -> [f64; 2] {
    let counters = ["total_commands_processed", "total_net_output_bytes"];
    let before = counters.map(|name| server.info(name));
    work().await;
    let each = |(name, before): (&str, u64)| {
        (server.info(name) - before) as f64 / CLIENTS as f64 / scale.seconds as f64
    };
    let [commands, bytes] = before;
    [each((counters[0], commands)), each((counters[1], bytes))]
}

async fn revoke(store: &RedisStore, seconds: u64) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / REVOCATIONS_PER_SECOND);
    for number in 0..u64::from(REVOCATIONS_PER_SECOND) * seconds {
        ticks.tick().await;
        store.revoke(&entry(id(&format!("f{number}")), now() + 600)).await.unwrap();
    }
}

/// Returns a deny-list that answers lookups, and how long that took.
async fn started(server: &Server) -> (DenyList, Duration) {
    let begin = Instant::now();
    let store = RedisStore::connect(&server.url()).await.unwrap();
    let list = DenyList::follow(&store, Duration::from_secs(60));
    while !list.stats().is_current {
        assert!(begin.elapsed() < Duration::from_secs(600), "no snapshot");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    (list, begin.elapsed())
}

async fn start_at_once(server: &Server, revoked: usize) -> String {
    server.command(&["FLUSHALL"]);
    let store = RedisStore::connect(&server.url()).await.unwrap();
    store
        .seed((0..revoked).map(|number| entry(id(&format!("r{number}")), now() + 86_400)))
        .await
        .unwrap();
    let first = started(server).await.0;
    let begin = Instant::now();
    while revoked >= 100_000 && server.command(&["EXISTS", "tower-bearer:snapshot"]) != ":1" {
        assert!(begin.elapsed() < Duration::from_secs(60), "no packed snapshot");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(first);
    let counters = ["total_commands_processed", "total_net_output_bytes"];
    let before = counters.map(|name| server.info(name));
    let lists = futures_util::future::join_all((0..CLIENTS).map(|_| started(server))).await;
    let [commands, bytes] = [0, 1].map(|n| (server.info(counters[n]) - before[n]) / CLIENTS as u64);
    let mut times: Vec<Duration> = lists.iter().map(|(_, time)| *time).collect();
    let [first, median, last] = [0.0, 0.5, 1.0].map(|part| text(quantile(&mut times, part)));
    format!("| {revoked} | {first} | {median} | {last} | {commands} | {bytes} |\n")
}
