//! Revocations of one process, in others.

use std::time::{Duration, Instant};

use tower_bearer::revocation::OnUnavailable;
use tower_bearer_redis::RedisStore;

use crate::{
    process::Process,
    server::Server,
    service::{Passes, Revoked, Service, eventually, every_kind, id, token},
};

/// A process that listens to pushes and asks as often as it can.
fn listener(url: &str) -> Process {
    let process =
        Process::start("processes::a_process_of_the_fleet", &[("FLEET_URL", url.as_ref())]);
    assert_eq!(process.line(), "ready");
    process
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
#[ignore = "needs redis-server"]
fn a_revocation_of_process_a_is_rejected_by_b_and_c() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        RedisStore::connect(&server.url()).await.unwrap().initialise().await.unwrap();
    });
    let mut a = listener(&server.url());
    let mut others = [listener(&server.url()), listener(&server.url())];
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
#[ignore = "needs redis-server"]
fn an_acknowledged_revocation_survives_its_process() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let service = Service::at(&server.url()).await;
        service.store.initialise().await.unwrap();
        for round in 0..5 {
            let name = format!("t{round}");
            let mut process = listener(&server.url());
            process.say(&format!("revoke {name}"));
            assert_eq!(process.line(), "revoked");
            process.kill();
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
