//! Several processes: this test binary, started again.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use tower_bearer::revocation::{OnUnavailable, redis::RedisStore};

use crate::{
    server::Server,
    service::{Passes, Revoked, Service, eventually, every_kind, id, token},
};

/// A process that listens to pushes and asks as often as it can.
struct Process {
    child: Child,
    input: ChildStdin,
    lines: mpsc::Receiver<String>,
}

impl Process {
    fn start(url: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", "processes::a_process_of_the_fleet"])
            .env("FLEET_URL", url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix("fleet: ") {
                    let _ = sender.send(line.to_owned());
                }
            }
        });
        let process = Self { child, input, lines };
        assert_eq!(process.line(), "ready");
        process
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(20)).expect("the process answers")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `watch ID`: passes, and tells when it does no more. `revoke ID`: revokes, and tells when it is done.
#[test]
#[ignore = "is started by the tests of several processes"]
fn a_process_of_the_fleet() {
    let Ok(url) = std::env::var("FLEET_URL") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let service = Service::with(&url, OnUnavailable::Deny, Duration::from_secs(3_600)).await;
        service.listen().await;
        println!("fleet: ready");
        for line in std::io::stdin().lines() {
            let line = line.unwrap();
            let (verb, name) = line.split_once(' ').unwrap();
            match verb {
                "watch" => {
                    assert_eq!(service.ask(&token(name)).await, Passes);
                    println!("fleet: passes");
                    let begin = Instant::now();
                    while service.ask(&token(name)).await != Revoked {
                        assert!(begin.elapsed() < Duration::from_secs(20));
                        tokio::task::yield_now().await;
                    }
                    println!("fleet: refused");
                }
                "revoke" => {
                    service.revoke(id(name)).await;
                    println!("fleet: revoked");
                }
                _ => panic!("{verb}"),
            }
        }
    });
}

#[test]
fn what_process_a_revokes_b_and_c_refuse() {
    let Some(server) = Server::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        RedisStore::connect(&server.url()).await.unwrap().initialise().await.unwrap();
    });
    let mut a = Process::start(&server.url());
    let mut others = [Process::start(&server.url()), Process::start(&server.url())];
    for round in 0..20 {
        let name = format!("t{round}");
        for other in &mut others {
            other.say(&format!("watch {name}"));
            assert_eq!(other.line(), "passes");
        }
        a.say(&format!("revoke {name}"));
        assert_eq!(a.line(), "revoked");
        for other in &others {
            assert_eq!(other.line(), "refused");
        }
    }
}

#[test]
fn a_revocation_that_was_acknowledged_outlives_the_process_that_made_it() {
    let Some(server) = Server::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let service = Service::at(&server.url()).await;
        service.store.initialise().await.unwrap();
        for round in 0..5 {
            let name = format!("t{round}");
            let mut process = Process::start(&server.url());
            process.say(&format!("revoke {name}"));
            assert_eq!(process.line(), "revoked");
            process.child.kill().unwrap();
            assert_eq!(service.ask(&token(&name)).await, Revoked);
        }
        // Of every kind, by the same path.
        for what in every_kind("other") {
            let elsewhere = Service::at(&server.url()).await;
            elsewhere.revoke(what).await;
            eventually("refused", async || service.ask(&token("other")).await == Revoked).await;
        }
    });
}
