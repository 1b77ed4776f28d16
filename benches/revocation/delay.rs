//! Measures the time from the acknowledgement in process A to the first rejection in B and C.

use std::{fmt::Write, path::PathBuf};

use tower_bearer::{BackgroundTask, revocation::RevocationStore};
use tower_bearer_redis::{OutboxRelay, RedisStore};
use tower_bearer_sql::SqlStore;

use crate::{
    Scale,
    process::{LOAD_PER_SECOND, Mode, Process, RESOLUTION, RejectionReport, unix_time},
    quantile,
    server::Server,
    service::{entry, id, now},
    text,
};

pub(crate) async fn measure(server: &Server, scale: &Scale) -> String {
    let mut page = format!(
        "## Delay\n\n\
         The time from the acknowledgement of a revocation in process A to the first request that B or C rejects. B and \
         C each answer {LOAD_PER_SECOND} other requests per second, and check the token every {} µs. A message may arrive \
         before A gets the acknowledgement: such a delay counts as 0. With a relay, the acknowledgement comes from the \
         database of A, which is SQLite. The last column is about the revocation with the maximum delay: how late the \
         process woke up, at most, from a sleep that is independent of revocation. The machine causes that part of the \
         delay.\n\n\
         | mode | revocations | process | median | p99 | maximum | late |\n|---|---|---|---|---|---|---|\n",
        RESOLUTION.as_micros(),
    );
    for mode in Mode::ALL {
        server.command(&["FLUSHALL"]);
        let redis = RedisStore::connect(&server.url()).await.unwrap();
        redis.initialise().await.unwrap();
        let mut others = [Process::start(&server.url(), mode), Process::start(&server.url(), mode)];
        let mut delays = [Vec::new(), Vec::new()];
        let mut database = Database::new();
        let revocations = scale.revocations;
        let store: Box<dyn RevocationStore> = match mode {
            Mode::Pushes | Mode::DenyList => Box::new(redis),
            Mode::Relay => Box::new(database.relayed_to(redis).await),
        };
        for number in 0..revocations {
            let name = format!("t{number}");
            for other in &mut others {
                other.send_line(&name);
                assert_eq!(other.line(), "passes");
            }
            store.revoke(&entry(id(&name), now() + 3_600)).await.unwrap();
            let acknowledged = unix_time();
            for (other, delays) in others.iter().zip(&mut delays) {
                let RejectionReport { at, stalled } = RejectionReport::read(&other.line());
                delays.push((at.saturating_sub(acknowledged), stalled));
            }
        }
        for (process, delays) in ["B", "C"].into_iter().zip(&mut delays) {
            let (_, late) = *delays.iter().max().unwrap();
            let mut delays: Vec<_> = delays.iter().map(|(delay, _)| *delay).collect();
            let [median, p99, max] = [0.5, 0.99, 1.0].map(|part| text(quantile(&mut delays, part)));
            let (mode, late) = (mode.name(), text(late));
            writeln!(
                page,
                "| {mode} | {revocations} | {process} | {median} | {p99} | {max} | {late} |"
            )
            .unwrap();
        }
    }
    page + "\n"
}

/// The directory of an SQLite file, and the relay that copies from it.
struct Database {
    directory: PathBuf,
    relay: Option<BackgroundTask>,
}

impl Database {
    fn new() -> Self {
        let directory =
            std::env::temp_dir().join(format!("bearer-bench-revocation-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self { directory, relay: None }
    }

    async fn relayed_to(&mut self, redis: RedisStore) -> SqlStore {
        let url = format!("sqlite:{}", self.directory.join("store.db").display());
        let store = SqlStore::open(&url).await.unwrap();
        let relay = OutboxRelay::new(store.clone(), redis);
        // This seeds Redis. The measurement is about a fleet that already runs.
        relay.carry().await.unwrap();
        self.relay = Some(relay.spawn());
        store
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // The relay would seed the Redis of the next measurement.
        if let Some(relay) = &self.relay {
            relay.stop();
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
