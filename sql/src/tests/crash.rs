//! A process that creates and revokes tokens is killed again and again: everything that was acknowledged is in the
//! database.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use super::{
    super::{SqlStore, statement::Value},
    NOW, caller, entry, listed, lookup_of, private, secs, token,
};
use tower_bearer::revocation::outbox::Outbox;
use tower_bearer::{
    claims::ManualClock,
    revocation::{Revocable, RevocableKind, RevocationStore, StoreError, Verdict},
};
use tower_bearer_issuing::store::{Called, Insertion, TokenStore};

const URL: &str = "TOWER_BEARER_CRASH_URL";

/// Not a test: the process that is killed. It prints what was acknowledged, and nothing else.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "is the process that `sqlite_loses_nothing_to_a_kill` and its twin for PostgreSQL start and kill"]
async fn a_process_that_is_killed() {
    let Ok(url) = std::env::var(URL) else { return };
    let store = SqlStore::open(&url).await.unwrap();
    let workers: Vec<_> = (0..4).map(|_| tokio::spawn(work(store.clone()))).collect();
    for worker in workers {
        worker.await.unwrap().expect_err("it works until it cannot");
    }
}

async fn work(store: SqlStore) -> Result<Infallible, StoreError> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let made = store.create_private(&caller(), &private(&name)).await?;
        let Called::Done(Insertion::Done(made)) = made else { continue };
        print_line("created", &name);
        match number % 3 {
            0 => {
                drop(store.revoke_private(&caller(), made.id, NOW - secs(1)).await?.done().unwrap())
            }
            1 => store.deny(&[entry(token(&name), NOW + secs(1000))]).await?,
            _ => continue,
        }
        print_line("revoked", &name);
    }
}

fn print_line(what: &str, name: &str) {
    let mut out = std::io::stdout().lock();
    // In one write: a partial line is not an acknowledgement.
    let line = format!("\n@{what} {name}.\n");
    out.write_all(line.as_bytes()).and_then(|()| out.flush()).unwrap_or(());
}

#[derive(Default)]
struct Acknowledged {
    created: BTreeSet<String>,
    revoked: BTreeSet<String>,
}

impl Acknowledged {
    fn read(&mut self, line: &str) {
        let Some(line) = line.strip_suffix('.') else { return };
        if let Some(name) = line.strip_prefix("@created ") {
            self.created.insert(name.to_owned());
        } else if let Some(name) = line.strip_prefix("@revoked ") {
            self.revoked.insert(name.to_owned());
        }
    }

    /// Runs the process until it has made a few tokens and `time` has passed, ends it by `kill`, and reads all that it
    /// has printed.
    fn run(&mut self, url: &str, time: Duration, kill: impl FnOnce(&mut Child)) {
        let mut child = start(url);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        self.read_some(&mut lines);
        let killer = thread::spawn(move || {
            thread::sleep(time);
            child
        });
        // The pipe is read meanwhile, so that the process never waits for this one.
        let reader = thread::spawn(move || lines.map_while(Result::ok).collect::<Vec<_>>());
        let mut child = killer.join().unwrap();
        kill(&mut child);
        let _ = child.kill();
        child.wait().unwrap();
        reader.join().unwrap().iter().for_each(|line| self.read(line));
    }

    /// Every run is killed while it works, even on a slow machine.
    fn read_some(&mut self, lines: &mut std::io::Lines<BufReader<ChildStdout>>) {
        let enough = self.created.len() + 10;
        while self.created.len() < enough {
            let line = lines.next().expect("the process works").unwrap();
            self.read(&line);
        }
    }

    async fn check(&self, store: &SqlStore) {
        let store = store.clone().with_clock(ManualClock::at(NOW));
        let listed: BTreeSet<String> =
            listed(&store).await.iter().map(|token| token.name.to_string()).collect();
        let outbox = store.outbox(1_000_000).await.unwrap();
        let in_outbox: BTreeSet<&str> =
            outbox.iter().map(|entry| id_of(entry.revocation.thing())).collect();
        for name in &self.revoked {
            assert!(self.created.contains(name));
            assert!(!listed.contains(name), "a revoked token is listed");
            let verdict = store.look_up(&lookup_of(token(name))).await.unwrap();
            assert_eq!(verdict, Verdict::Revoked, "a revoked token is valid again");
            assert!(in_outbox.contains(&**name), "the outbox has no entry");
        }
        // Tokens that are neither listed nor acknowledged as revoked: the revocation was done, but its answer was lost.
        for name in self.created.difference(&self.revoked).filter(|name| !listed.contains(*name)) {
            assert!(in_outbox.contains(&**name), "an acknowledged token is gone");
        }
        for half_done in HALF_DONE {
            let rows = store.database.read(half_done, &[Value::int(i64::MAX)]).await.unwrap();
            assert_eq!(rows[0].int(0).unwrap(), 0, "{half_done}");
        }
    }
}

/// Rows that exist only if a step was done in part.
const HALF_DONE: [&str; 3] = [
    "SELECT count(*) FROM bearer_private_tokens t WHERE dies_at < $1 AND NOT EXISTS
        (SELECT 1 FROM bearer_denials d WHERE d.name = t.token_id)",
    "SELECT count(*) FROM bearer_denials d WHERE kind < $1 AND NOT EXISTS
        (SELECT 1 FROM bearer_outbox o WHERE o.name = d.name)",
    "SELECT count(*) FROM bearer_outbox o WHERE kind < $1 AND NOT EXISTS
        (SELECT 1 FROM bearer_private_tokens t WHERE t.token_id = o.name AND t.dies_at <= o.starts_at)",
];

fn id_of(what: &Revocable) -> &str {
    assert_eq!(what.kind(), RevocableKind::Token, "only tokens are revoked here");
    what.id()
}

fn start(url: &str) -> Child {
    let name = concat!(module_path!(), "::a_process_that_is_killed");
    let name = name.split_once("::").unwrap().1;
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .env(URL, url)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Returns a random time between zero and a fifth of a second.
fn random_time(round: u32) -> Duration {
    use std::hash::{BuildHasher as _, RandomState};
    Duration::from_micros(RandomState::new().hash_one(round) % 200_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_loses_nothing_to_a_kill() {
    let directory = super::Directory::new();
    let url = directory.url("store.db");
    let mut acknowledged = Acknowledged::default();
    for round in 0..15 {
        acknowledged.run(&url, random_time(round), |child| child.kill().unwrap());
        let store = SqlStore::open(&url).await.unwrap();
        let rows = store.database.read("PRAGMA integrity_check", &[]).await.unwrap();
        assert_eq!(rows[0].text(0).unwrap(), "ok");
        acknowledged.check(&store).await;
    }
    report("SQLite", &acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs postgres"]
async fn postgres_loses_nothing_to_a_kill_of_client_or_server() {
    let mut server = super::server::Postgres::start();
    let url = server.database("crash").await;
    let mut acknowledged = Acknowledged::default();
    for round in 0..6 {
        acknowledged.run(&url, random_time(round), |child| child.kill().unwrap());
        acknowledged.check(&SqlStore::open(&url).await.unwrap()).await;
    }
    let store = SqlStore::open(&url).await.unwrap();
    acknowledged.run(&url, random_time(7), |_| server.kill_and_restart());
    acknowledged.check(&store).await; // on connections that the end of the server has broken
    acknowledged.check(&SqlStore::open(&url).await.unwrap()).await;
    report("PostgreSQL", &acknowledged);
}

fn report(database: &str, acknowledged: &Acknowledged) {
    let Acknowledged { created, revoked } = acknowledged;
    assert!(created.len() > 50, "the process had time to work");
    println!("{database}: {} created, {} revoked, none lost", created.len(), revoked.len());
}
