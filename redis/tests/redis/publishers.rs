//! Whoever may publish, and nothing else: before Redis 7 every user may.

use std::time::{Duration, Instant};

use tower_bearer::revocation::{OnUnavailable, RevocationStore};

use crate::{
    server::Server,
    service::{HOUR, Passes, Service, entry, eventually, id, now, token},
};

const CHANNEL: &str = "tower-bearer:pushes";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn malformed_messages_do_not_hide_a_gap() {
    let server = Server::start();
    let service = Service::with(&server.url(), OnUnavailable::Deny, HOUR).await;
    service.store.initialise().await.unwrap();
    let pushes = service.listen().await;
    service.store.revoke(&entry(id("first"), now() + 600)).await.unwrap();
    eventually("first", async || pushes.stats().received == 1).await;
    assert_eq!(service.ask(&token("a")).await, Passes);
    let before = service.revocation.stats().look_ups;
    for _ in 0..200 {
        server.command(&["PUBLISH", CHANNEL, "nonsense"]);
        assert_eq!(service.ask(&token("a")).await, Passes);
    }
    eventually("read", async || pushes.stats().unreadable == 200).await;
    assert_eq!(service.revocation.stats().look_ups, before, "nothing is asked again");
    assert_eq!(pushes.stats().gaps, 0);

    // Recorded, and its message lost, while nonsense comes without a pause.
    server.count_up();
    let is_noticed = async || {
        server.command(&["PUBLISH", CHANNEL, "nonsense"]);
        pushes.stats().gaps == 1
    };
    eventually("noticed", is_noticed).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_publisher_without_the_generation_cannot_revoke() {
    let server = Server::start();
    let service = Service::with(&server.url(), OnUnavailable::Deny, HOUR).await;
    service.store.initialise().await.unwrap();
    let pushes = service.listen().await;
    let json = r#"{"kind":"key","issuer":"https://issuer.example","id":"k1","cut_off":18446744073709551615,"keep_until":253402300799}"#;
    for signature in ["-", "", &"0".repeat(64)] {
        server.command(&["PUBLISH", CHANNEL, &format!("1 {signature} {json}")]);
    }
    server.command(&["PUBLISH", CHANNEL, &format!("1 {json}")]);
    server.command(&["PUBLISH", CHANNEL, &"x".repeat(1_000_000)]);
    eventually("read", async || pushes.stats().unreadable == 5).await;
    assert_eq!(service.ask(&token("a")).await, Passes);
    assert_eq!((pushes.stats().received, service.revocation.stats().denials), (0, 0));
}

/// Numbers are not signed: a true message can be told again with another.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_forged_number_in_a_message_does_not_hide_a_gap() {
    let server = Server::start();
    let service = Service::with(&server.url(), OnUnavailable::Deny, HOUR).await;
    service.store.initialise().await.unwrap();
    let pushes = service.listen().await;
    let channel = server.subscribe(CHANNEL);
    service.store.revoke(&entry(id("first"), now() + 600)).await.unwrap();
    let message = channel.recv_timeout(Duration::from_secs(20)).unwrap();
    let (number, rest) = message.split_once(' ').unwrap();
    assert_eq!(number, "1");
    assert!(rest.contains("first"));
    eventually("told", async || pushes.stats().received == 1).await;

    server.command(&["PUBLISH", CHANNEL, &format!("99999999 {rest}")]);
    eventually("the lie is found out", async || pushes.stats().gaps == 2).await;
    assert!(service.store.is_seeded().await.unwrap(), "it is no reason to give up the data");
    server.count_up();
    eventually("a gap is noticed", async || pushes.stats().gaps == 3).await;

    let (begin, before) = (Instant::now(), pushes.stats().gaps);
    for number in 0..200 {
        server.command(&["PUBLISH", CHANNEL, &format!("{} {rest}", 1_000 + 7 * number)]);
    }
    eventually("read", async || pushes.stats().received == 202).await;
    let doubts = pushes.stats().gaps - before;
    println!("{doubts} doubts for 200 lies in {:?}", begin.elapsed());
    assert!(doubts as f64 <= 2.0 + begin.elapsed().as_secs_f64(), "{doubts}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_rejected_push_connection_backs_off() {
    let server = Server::start();
    let service = Service::with(&server.url(), OnUnavailable::Deny, HOUR).await;
    service.store.initialise().await.unwrap();
    let pushes = service.listen().await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(4) {
        server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let connections = pushes.stats().connections;
    println!("{connections} connections in 4 s");
    assert!(connections < 20, "{connections}");
    eventually("back", async || pushes.stats().is_connected).await;
}
