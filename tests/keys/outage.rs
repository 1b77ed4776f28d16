//! A key server that fails for a minute, an hour, or longer.

use std::time::Duration;

use tower_bearer::{Issuer, UnixTime, claims::ManualClock, jwks::Fetched};

use crate::{
    common::requests::NOW,
    gate::{Gate, UNAVAILABLE, UNKNOWN},
    script::{Habit, Script},
    server::{Answer, Server},
    signer::{AUDIENCE, Signer, set},
};

#[tokio::test(start_paused = true)]
async fn an_outage_of_any_length_is_survived_up_to_the_stale_limit() {
    for (outage, stale_limit, survives) in [
        (60, 3_600, true),
        (600, 3_600, true),
        (3_600, 3_600, true),
        (4_190, 3_600, true),
        (4_200, 3_600, false),
        (86_400, 3_600, false),
        (599, 0, true),
        (600, 0, false),
        (700, 100, false),
        (86_400, 86_400, true),
    ] {
        let a = Signer::new("a");
        let script = Script::serves(&set(&[&a]));
        let keys = script.keys().with_stale_limit(Duration::from_secs(stale_limit));
        let gate = Gate::new(&keys, script.clock());
        assert_eq!(gate.says(&a.token()).await, Ok(()));

        script.turns_to(Habit::Fails);
        // Keys live for 600 seconds from 0 on.
        for second in [1, outage / 2, outage - 1, outage] {
            script.clock().reaches(second).await;
            let is_usable = second < 600 + stale_limit;
            let said = gate.says(&a.token()).await;
            assert_eq!(said.is_ok(), is_usable, "{outage}, {stale_limit}: {said:?} at {second}");
            assert!(is_usable || said == UNAVAILABLE);
        }
        assert_eq!(gate.says(&a.token()).await.is_ok(), survives, "{outage}, {stale_limit}");
        assert_eq!(keys.health().is_usable(), survives);

        // The end of the outage is noticed within the longest pause.
        script.turns_to_serve(&set(&[&a]));
        script.clock().reaches(outage + 480).await;
        assert!(keys.health().is_fresh());
        assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())), "{outage}, {stale_limit}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_in_an_outage_thin_out_to_one_a_minute_at_most() {
    let script = Script::that(Habit::Fails);
    let keys = script.keys();
    keys.spawn();
    script.clock().reaches(3_600).await;
    let asked = script.asked_at();
    // Pauses of half to all of 1, 2, 4, 8, 16, 32 and then 60 seconds.
    assert!((60..=128).contains(&asked.len()), "{}", asked.len());
    let pauses: Vec<_> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses[..3].iter().all(|pause| *pause <= 4), "{pauses:?}");
    assert!(pauses[8..].iter().all(|pause| (29..=61).contains(pause)), "{pauses:?}");
    assert_eq!(keys.health().failures(), asked.len() as u64);

    // What was is forgotten with the first success: the next pauses are short again.
    script.turns_to_serve(&set(&[&Signer::new("a")]));
    script.clock().reaches(3_700).await;
    assert!(keys.health().last_error().is_none());
    let good = *script.asked_at().last().unwrap();
    script.turns_to(Habit::Fails);
    script.clock().reaches(good + 480 + 5).await;
    assert!(script.asked_at().iter().filter(|at| **at >= good + 480).count() >= 3);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_503_during_an_outage_and_401_after_it() {
    let a = Signer::new("a");
    let script = Script::serves(&set(&[&a]));
    let keys = script.keys();
    let gate = Gate::new(&keys, script.clock());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    let unknown = Signer::unknown("b");
    assert_eq!(gate.says_at_once(&unknown), Some(UNKNOWN));

    script.turns_to(Habit::Fails);
    script.clock().reaches(31).await;
    assert_eq!(gate.says(&unknown).await, UNAVAILABLE);
    assert_eq!(gate.says_at_once(&unknown), Some(UNAVAILABLE));
    assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())), "what is known needs nobody");

    script.turns_to_serve(&set(&[&a]));
    script.clock().reaches(40).await;
    assert_eq!(gate.says_at_once(&unknown), Some(UNKNOWN));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_panics_or_reads_on_is_a_failure_like_others() {
    let padding = " ".repeat(tower_bearer::jwks::MAX_LENGTH);
    let too_long = Fetched::document(set(&[&Signer::new("b")]) + &padding);
    for (habit, error) in [
        (
            Habit::Hangs,
            "the server did not answer in time: expected a complete answer within `with_fetch_timeout`",
        ),
        (Habit::Panics, "the HTTP client panicked: see its panic message"),
        (
            Habit::Fails,
            "the exchange with the server failed: check its address, its certificate and the network",
        ),
        (
            Habit::Serves(too_long),
            "the answer is too long: expected at most 1048576 bytes for keys, or `with_max_list_size` for a list",
        ),
    ] {
        let a = Signer::new("a");
        let script = Script::serves(&set(&[&a]));
        let keys = script.keys();
        let gate = Gate::new(&keys, script.clock());
        assert_eq!(gate.says(&a.token()).await, Ok(()));
        script.turns_to(habit);
        script.clock().reaches(486).await;
        assert_eq!(keys.health().last_error().unwrap().to_string(), error);
        assert!(keys.health().is_running());
        assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_is_survived_over_the_network_too() {
    let a = Signer::new("a");
    let server = Server::start().await;
    server.serves("/keys", Answer::keys(&set(&[&a])));
    let clock = server.clock.clone();
    let keys = server.keys("/keys");
    let gate = Gate::new(&keys, clock.clone());
    assert_eq!(gate.says(&a.token()).await, Ok(()));

    server.serves("/keys", Answer::status(500));
    clock.advance(Duration::from_secs(4_199));
    assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())), "a second before the end");
    clock.advance(Duration::from_secs(1));
    assert_eq!(gate.says(&a.token()).await, UNAVAILABLE);
    assert_eq!(gate.says_at_once(&a.token()), Some(UNAVAILABLE), "and once is enough");

    server.serves("/keys", Answer::keys(&set(&[&a])));
    clock.advance(Duration::from_secs(30));
    assert_eq!(gate.says(&a.token()).await, Ok(()), "the first request after the outage");
}

#[tokio::test]
async fn a_wall_clock_that_is_set_back_keeps_no_old_keys_alive() {
    let a = Signer::new("a");
    let server = Server::start().await;
    server.serves("/keys", Answer::keys(&set(&[&a])));
    let clock = server.clock.clone();
    let keys = server.keys("/keys");
    let gate = Gate::new(&keys, clock.clone());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    server.serves("/keys", Answer::status(500));
    clock.advance(Duration::from_secs(4_200));
    clock.set_unix_time(UnixTime::from_secs(NOW));
    // The task looks at the clock when anybody misses a key.
    assert_eq!(gate.says(&Signer::unknown("b")).await, UNAVAILABLE);
    assert_eq!(gate.says(&a.token()).await, UNAVAILABLE);
}

#[tokio::test]
async fn of_two_issuers_one_that_is_down_does_not_touch_the_other() {
    let (a, b) = (Signer::new("same"), Signer::new("same"));
    let (up, down) = (Server::start().await, Server::start().await);
    up.serves("/keys", Answer::keys(&set(&[&a])));
    down.serves("/keys", Answer::Hangs);
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let brief = Duration::from_millis(1_500);
    let issuer = |name, server: &Server| {
        let keys = server.keys("/keys").with_clock(clock.clone());
        let keys = keys.with_fetch_timeout(brief).with_wait_timeout(brief);
        Issuer::new(name, keys).audience(AUDIENCE)
    };
    let (one, two) = ("https://one.example", "https://two.example");
    let gate = Gate::of([issuer(one, &up), issuer(two, &down)], clock.clone());

    assert_eq!(gate.says(&b.token_of(two)).await, UNAVAILABLE);
    assert_eq!(gate.says(&a.token_of(one)).await, Ok(()));
    assert_eq!(gate.says_at_once(&a.token_of(one)), Some(Ok(())));
    assert!(gate.says(&a.token_of(two)).await.is_err(), "one's key under the other's name");

    down.serves("/keys", Answer::keys(&set(&[&b])));
    clock.advance(Duration::from_secs(30));
    assert_eq!(gate.says(&b.token_of(two)).await, Ok(()));
    assert!(gate.says(&a.token_of(two)).await.is_err());
    assert!(gate.says(&b.token_of(one)).await.is_err());
    assert_eq!((up.count("/keys"), down.count("/keys")), (1, 2));
}
