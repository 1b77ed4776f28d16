//! A process of the fleet: this bench, started again.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tower_bearer::{
    Authenticator, RevocationCache,
    revocation::redis::{DenyList, RedisStore},
};

use crate::service::{Passes, Revoked, ask, authenticator, eventually, token};

/// How a process learns what is revoked.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    Pushes,
    DenyList,
}

impl Mode {
    pub(crate) const ALL: [Self; 2] = [Self::Pushes, Self::DenyList];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pushes => "pushes",
            Self::DenyList => "deny-list",
        }
    }
}

/// Requests that each process answers beside what is measured, in each millisecond.
const LOAD: usize = 20;
pub(crate) const LOAD_PER_SECOND: usize = LOAD * 1_000;

/// Between two looks at the token that is being revoked.
pub(crate) const RESOLUTION: Duration = Duration::from_micros(100);

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

    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("the process answers")
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

/// Lives a process's life, if this is one: for each id on its input it says `passes`, and when it refused it.
pub(crate) fn is_one() -> bool {
    let (Ok(url), Ok(mode)) = (std::env::var("FLEET_URL"), std::env::var("FLEET_MODE")) else {
        return false;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let authenticator = runtime.block_on(begin(&url, &mode));
    let load = authenticator.clone();
    runtime.spawn(async move {
        let tokens: Vec<String> =
            (0..1_000).map(|number| token(&format!("load{number}"))).collect();
        let mut every = tokio::time::interval(Duration::from_millis(1));
        for batch in tokens.chunks(LOAD).cycle() {
            every.tick().await;
            for token in batch {
                ask(&load, token).await;
            }
        }
    });
    println!("ready");
    for id in std::io::stdin().lines().map_while(Result::ok) {
        let token = token(&id);
        assert_eq!(runtime.block_on(ask(&authenticator, &token)), Passes);
        println!("passes");
        while runtime.block_on(ask(&authenticator, &token)) != Revoked {
            thread::sleep(RESOLUTION);
        }
        println!("{}", unix_time().as_nanos());
    }
    true
}

async fn begin(url: &str, mode: &str) -> Authenticator {
    let store = RedisStore::connect(url).await.unwrap();
    if mode == Mode::Pushes.name() {
        let cache = RevocationCache::new(store.clone(), Duration::from_secs(3_600));
        let pushes = store.push_to(&cache);
        eventually("pushes", async || pushes.stats().is_connected).await;
        return authenticator(&cache);
    }
    let list = DenyList::follow(&store, Duration::from_secs(10));
    eventually("a snapshot", async || list.stats().is_current).await;
    authenticator(&RevocationCache::new(list, Duration::ZERO))
}
