//! A process of the fleet: another instance of this bench.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tower_bearer::{Authenticator, RevocationCache};
use tower_bearer_redis::{DenyList, RedisStore};

use crate::service::{Passes, Revoked, ask, authenticator, eventually, token};

/// How a process gets revocations.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Pushes,
    DenyList,
    /// By pushes of the entries that process A writes into its own database.
    Relay,
}

impl Mode {
    pub(crate) const ALL: [Self; 3] = [Self::Pushes, Self::DenyList, Self::Relay];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pushes => "pushes",
            Self::DenyList => "deny-list",
            Self::Relay => "relay and pushes",
        }
    }
}

/// Requests that each process answers during the measurement, in each millisecond.
const LOAD: usize = 20;
pub(crate) const LOAD_PER_SECOND: usize = LOAD * 1_000;

/// The pause between two checks of the token that is being revoked.
pub(crate) const RESOLUTION: Duration = Duration::from_micros(100);

/// In this time, a process must be able to read a million revocation entries.
const TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Process {
    pub(crate) fn start(url: &str, mode: Mode) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env("FLEET_URL", url)
            .env("FLEET_MODE", mode.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let process = Self { child, input, lines };
        assert_eq!(process.line(), "ready");
        process
    }

    /// Bytes of memory: now, and the maximum so far.
    pub(crate) fn memory(&self) -> [u64; 2] {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap_or_default();
        ["VmRSS:", "VmHWM:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
            kilobytes.unwrap_or(0_u64) * 1_024
        })
    }

    pub(crate) fn send_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(TIMEOUT).expect("the process answers in time")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// The report of process B or C about a token.
pub(crate) struct RejectionReport {
    pub(crate) at: Duration,
    /// The longest time for which the process could not run meanwhile. That part of a delay comes from the machine.
    pub(crate) stalled: Duration,
}

impl RejectionReport {
    pub(crate) fn read(line: &str) -> Self {
        let (at, stalled) = line.split_once(' ').unwrap();
        let nanoseconds = |text: &str| Duration::from_nanos(text.parse().unwrap());
        Self { at: nanoseconds(at), stalled: nanoseconds(stalled) }
    }
}

/// The maximum lateness of the runtime since it was last read.
static LATE: AtomicU64 = AtomicU64::new(0);

fn note_late(due: Duration, begin: Instant) {
    let late = begin.elapsed().saturating_sub(due);
    LATE.fetch_max(late.as_nanos().try_into().unwrap_or(u64::MAX), Relaxed);
}

/// Runs as a process of the fleet, if this is one. For each id on its input it prints `passes`, and later when it
/// rejected the id.
pub(crate) fn is_one() -> bool {
    let (Ok(url), Ok(mode)) = (std::env::var("FLEET_URL"), std::env::var("FLEET_MODE")) else {
        return false;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let authenticator = runtime.block_on(begin(&url, &mode));
    runtime.spawn(load(authenticator.clone()));
    runtime.spawn(async {
        loop {
            let (due, begin) = (Duration::from_millis(1), Instant::now());
            tokio::time::sleep(due).await;
            note_late(due, begin);
        }
    });
    println!("ready");
    for id in std::io::stdin().lines().map_while(Result::ok) {
        let token = token(&id);
        assert_eq!(runtime.block_on(ask(&authenticator, &token)), Passes);
        LATE.store(0, Relaxed);
        println!("passes");
        while runtime.block_on(ask(&authenticator, &token)) != Revoked {
            let begin = Instant::now();
            thread::sleep(RESOLUTION);
            note_late(RESOLUTION, begin);
        }
        println!("{} {}", unix_time().as_nanos(), LATE.load(Relaxed));
    }
    true
}

async fn load(authenticator: Authenticator) {
    let tokens: Vec<String> = (0..1_000).map(|number| token(&format!("load{number}"))).collect();
    let mut every = tokio::time::interval(Duration::from_millis(1));
    for batch in tokens.chunks(LOAD).cycle() {
        every.tick().await;
        for token in batch {
            ask(&authenticator, token).await;
        }
    }
}

async fn begin(url: &str, mode: &str) -> Authenticator {
    let store = RedisStore::connect(url).await.unwrap();
    if mode != Mode::DenyList.name() {
        let cache = RevocationCache::new(store.clone(), Duration::from_secs(3_600));
        let pushes = store.push_to(&cache);
        eventually("pushes", async || pushes.stats().is_connected).await;
        return authenticator(&cache);
    }
    let list = DenyList::follow(&store, Duration::from_secs(10));
    let begin = Instant::now();
    while !list.stats().is_current {
        assert!(begin.elapsed() < TIMEOUT, "no snapshot");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    authenticator(&RevocationCache::new(list, Duration::ZERO))
}
