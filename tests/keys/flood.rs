//! Tokens with unknown keys, more than anybody can want.

use std::{sync::Arc, time::Duration};

use tower_bearer::claims::ManualClock;

use crate::{
    gate::{Gate, UNAVAILABLE, UNKNOWN},
    server::{Answer, Server},
    signer::{Signer, set},
};

const FLOOD: usize = 10_000;

async fn flooded() -> (Server, ManualClock, Gate, Signer) {
    let a = Signer::new("a");
    let server = Server::start().await;
    server.serves("/keys", Answer::keys(&set(&[&a])));
    let clock = server.clock.clone();
    let gate = Gate::new(&server.keys("/keys"), clock.clone());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    (server, clock, gate, a)
}

/// Each with an id of its own.
fn unknown() -> impl Iterator<Item = String> {
    let signer = Signer::unknown("x");
    let (_, rest) = signer.split_once('.').unwrap();
    let rest = rest.to_owned();
    (0..FLOOD).map(move |number| {
        let header = format!(r#"{{"alg":"EdDSA","kid":"unknown-{number}"}}"#);
        format!("{}.{rest}", crate::common::tokens::base64url(header))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_unknown_keys_at_the_same_time_are_one_fetch() {
    let (server, clock, gate, a) = flooded().await;
    clock.advance(Duration::from_secs(30));
    let requests: Vec<_> = unknown()
        .map(|token| {
            let gate = gate.clone();
            tokio::spawn(async move { gate.says(&token).await })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), UNKNOWN);
        assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())), "good tokens notice nothing");
    }
    assert_eq!(server.count("/keys"), 2, "the first fetch, and one for the flood");
}

#[tokio::test]
async fn ten_thousand_unknown_keys_within_30_seconds_cause_no_fetch() {
    let (server, clock, gate, _) = flooded().await;
    clock.advance(Duration::from_millis(29_999));
    for token in unknown() {
        assert_eq!(gate.says_at_once(&token), Some(UNKNOWN));
    }
    assert_eq!(server.count("/keys"), 1);
}

#[tokio::test]
async fn ten_thousand_unknown_keys_in_five_minutes_are_one_fetch_in_30_s() {
    let (server, clock, gate, _) = flooded().await;
    for token in unknown() {
        clock.advance(Duration::from_millis(30));
        assert_eq!(gate.says(&token).await, UNKNOWN);
    }
    assert_eq!(server.count("/keys"), 1 + 10);
}

#[tokio::test]
async fn the_30_seconds_count_from_the_last_attempt_even_if_it_failed() {
    let (server, clock, gate, _) = flooded().await;
    server.serves("/keys", Answer::status(500));
    for token in unknown() {
        clock.advance(Duration::from_millis(30));
        // Failures have pauses of their own, which stand still between two requests here.
        let said = gate.says(&token).await;
        assert!(said == UNAVAILABLE || (said == UNKNOWN && server.count("/keys") == 1), "{said:?}");
    }
    let asked = server.count("/keys");
    assert!((11..=24).contains(&asked), "{asked}");
}

#[tokio::test]
async fn addresses_in_tokens_are_never_asked() {
    let (server, clock, gate, _) = flooded().await;
    clock.advance(Duration::from_secs(30));
    let signer = Signer::new("x");
    let (_, rest) =
        signer.token().split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    for member in ["jku", "x5u", "kid", "iss"] {
        let evil = server.url("/evil");
        let header = match member {
            "kid" => format!(r#"{{"alg":"EdDSA","kid":"{evil}"}}"#),
            _ => format!(r#"{{"alg":"EdDSA","kid":"x","{member}":"{evil}"}}"#),
        };
        let token = format!("{}.{rest}", crate::common::tokens::base64url(header));
        assert_eq!(gate.says(&token).await, UNKNOWN, "{member}");
        clock.advance(Duration::from_secs(30));
    }
    let foreign = signer.token_of(&server.origin);
    assert!(gate.says_at_once(&foreign).unwrap().is_err());
    let asked: Vec<_> = server.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(asked, ["/keys"; 5]);
}

#[tokio::test]
async fn the_keys_stay_the_same_object_through_a_flood_of_304() {
    let a = Signer::new("a");
    let server = Server::start().await;
    server.serves("/keys", Answer::Tagged("\"v1\"".to_owned(), set(&[&a])));
    let clock = server.clock.clone();
    let keys = server.keys("/keys");
    let gate = Gate::new(&keys, clock.clone());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    let before = Arc::new(keys.health());
    for _ in 0..5 {
        clock.advance(Duration::from_secs(30));
        assert_eq!(gate.says(&Signer::unknown("b")).await, UNKNOWN);
    }
    assert_eq!((keys.health().attempts(), keys.health().not_modified()), (6, 5));
    assert!(std::ptr::eq(before.keys(), keys.health().keys()));
    assert!(server.requests()[5].head.contains("\r\nif-none-match: \"v1\"\r\n"));
}
