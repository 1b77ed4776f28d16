//! When keys are fetched again.

use std::time::Duration;

use tower_bearer::jwks::Fetched;

use crate::{
    gate::{Gate, UNKNOWN},
    script::{Habit, Script},
    signer::{Signer, set},
};

fn hours(hours: u64) -> u64 {
    hours * 3_600
}

async fn asked_within(seconds: u64, fetched: Fetched) -> Vec<u64> {
    let script = Script::that(Habit::Serves(fetched));
    let keys = script.keys();
    keys.spawn();
    script.clock().reaches(seconds).await;
    script.asked_at()
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_again_at_80_percent_of_their_lifetime() {
    let document = || Fetched::document(set(&[&Signer::new("a")]));
    let with_max_age = |seconds| document().with_max_age(Duration::from_secs(seconds));

    assert_eq!(asked_within(1_000, document()).await, [0, 480, 960]);
    assert_eq!(asked_within(1_000, with_max_age(500)).await, [0, 400, 800]);
    assert_eq!(asked_within(100, with_max_age(0)).await, [0, 48, 96]);
    assert_eq!(asked_within(100, with_max_age(59)).await, [0, 48, 96]);
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_again_after_an_hour_unless_that_is_set() {
    let with_max_age = |seconds| {
        Fetched::document(set(&[&Signer::new("a")])).with_max_age(Duration::from_secs(seconds))
    };
    let hourly = [0, 3_600, 7_200, 10_800];
    assert_eq!(asked_within(hours(3), with_max_age(hours(24))).await, hourly);
    assert_eq!(asked_within(hours(3), with_max_age(u64::MAX)).await, hourly);
    assert_eq!(asked_within(4_000, with_max_age(4_500)).await, [0, 3_600]);

    let asked_within_interval = async |interval| {
        let script = Script::that(Habit::Serves(with_max_age(hours(24))));
        let keys = script.keys().with_max_refresh_interval(Duration::from_secs(interval));
        keys.spawn();
        script.clock().reaches(hours(40)).await;
        script.asked_at()
    };
    assert_eq!(asked_within_interval(hours(24)).await, [0, 69_120, 138_240]);
    assert_eq!(asked_within_interval(hours(12)).await, [0, 43_200, 86_400, 129_600]);
    // No setting makes a loop of it.
    assert_eq!(asked_within_interval(0).await.len(), 40 * 3_600 / 30 + 1);
}

#[tokio::test(start_paused = true)]
async fn unchanged_keys_stay_by_their_etag() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let tagged = Fetched::document(set(&[&a])).with_etag("\"1\"");
    let script = Script::that(Habit::Serves(tagged));
    let keys = script.keys().with_max_refresh_interval(Duration::from_secs(hours(24)));
    let gate = Gate::new(&keys, script.clock());
    assert_eq!(gate.says(&a.token()).await, Ok(()));

    let day = Duration::from_secs(hours(24));
    script.turns_to(Habit::Serves(Fetched::not_modified().with_max_age(day)));
    script.clock().reaches(481).await;
    assert_eq!(script.etags(), [None, Some("\"1\"".to_owned())]);
    assert_eq!((keys.health().not_modified(), keys.health().failures()), (1, 0));
    assert!(keys.health().age().unwrap() < Duration::from_secs(2));

    // The lifetime is the one that came with the 304.
    script.clock().reaches(hours(19)).await;
    assert_eq!(script.asked_at(), [0, 480]);
    assert!(keys.health().is_fresh());
    assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())));

    script.turns_to_serve(&set(&[&b]));
    script.clock().reaches(hours(20)).await;
    assert_eq!(gate.says_at_once(&b.token()), Some(Ok(())));
    assert_eq!(gate.says(&a.token()).await, UNKNOWN);
    assert_eq!(script.etags().last().unwrap().as_deref(), None, "a set without an ETag has none");
}

#[tokio::test(start_paused = true)]
async fn a_304_without_an_etag_is_a_failure() {
    let script = Script::that(Habit::Serves(Fetched::not_modified()));
    let keys = script.keys();
    keys.spawn();
    script.clock().reaches(0).await;
    assert!(!keys.health().is_usable());
    assert_eq!(
        keys.health().last_error().unwrap().to_string(),
        "the server answered 304: expected 200"
    );
}

#[tokio::test(start_paused = true)]
async fn a_good_token_never_waits_for_a_refresh() {
    let a = Signer::new("a");
    let script = Script::serves(&set(&[&a]));
    let keys = script.keys();
    let gate = Gate::new(&keys, script.clock());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    script.turns_to(Habit::Hangs);
    for second in 470..500 {
        script.clock().reaches(second).await;
        assert_eq!(gate.says_at_once(&a.token()), Some(Ok(())), "at {second}");
    }
    assert_eq!(script.asked_at()[..2], [0, 480]);
}

#[tokio::test(start_paused = true)]
async fn health_shows_ages_ids_and_rejected_keys() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let odd = r#"{"kty":"oct","kid":"c","k":"AAAA"}"#;
    let script = Script::serves(&format!(r#"{{"keys":[{},{odd},{}]}}"#, a.jwk(), b.jwk_with("")));
    let keys = script.keys();
    assert_eq!(keys.health().age(), None);
    keys.ready().await.unwrap();
    script.clock().reaches(30).await;

    let health = keys.health();
    assert_eq!(health.key_ids().collect::<Vec<_>>(), ["a"]);
    assert_eq!(health.keys().len(), 2);
    assert_eq!(health.keys().refused()[0].key_id(), Some("c"));
    assert_eq!(
        health.keys().refused()[0].to_string(),
        "key 1 (kid \"c\"): a symmetric key in a set of public keys: expected public keys only"
    );
    assert_eq!(health.age().unwrap().as_secs(), 30);
    assert!(health.is_fresh() && health.is_usable() && health.is_running());
    assert_eq!((health.attempts(), health.failures(), health.not_modified()), (1, 0, 0));
    assert!(health.last_error().is_none());
    assert!(!format!("{health:?}{keys:?}").contains("\"a\""), "ids are not printed by chance");
}

#[tokio::test(start_paused = true)]
async fn health_tells_why_no_key_of_a_set_can_be_used() {
    let script = Script::serves(r#"{"keys":[{"kty":"new","kid":"a"},{"kty":"oct","k":"AAAA"}]}"#);
    let keys = script.keys();
    keys.spawn();
    script.clock().reaches(0).await;
    let health = keys.health();
    let reason = health.last_error().and_then(std::error::Error::source).unwrap();
    assert_eq!(
        reason.to_string(),
        "no key of the set can be used: key 0 (kid \"a\"): unsupported key type: \
         `tower_bearer::Algorithm` lists what is supported; \
         key 1: a symmetric key in a set of public keys: expected public keys only"
    );
}
