//! Status lists from the network: when they are fetched, and what a request gets while they cannot be.

use std::time::Duration;

use futures_util::future::join_all;
use tower_bearer::{
    Algorithm, Authenticator, BearerLayer, ConfigError, Issuer, RejectionKind, RevocationCache,
    UnixTime,
    jwks::Fetched,
    jws::SigningKey,
    revocation::{MemoryStore, OnUnavailable, Revocable, RevocationEntry},
    status_list::{StatusLists, StatusListsHealth},
    test_util::{TestIssuer, TestStatusList},
};

use crate::{
    common::requests::NOW,
    gate::{Gate, Said},
    script::{Habit, Script, settle},
    server::{Answer, Server},
    signer::{AUDIENCE, ISSUER, Signer, set},
};

const URL: &str = "https://issuer.test/lists/1";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const INVALID: Said = Err((401, RejectionKind::StatusInvalid));
const UNAVAILABLE: Said = Err((503, RejectionKind::StatusUnavailable));

/// An issuer, the server of its lists, and a layer that trusts them.
struct World {
    issuer: TestIssuer,
    script: Script,
    policy: Issuer,
    gate: Gate,
}

impl World {
    fn new(change: impl FnOnce(StatusLists) -> StatusLists) -> Self {
        Self::with_cache(true, change)
    }

    fn with_cache(caches: bool, change: impl FnOnce(StatusLists) -> StatusLists) -> Self {
        let script = Script::that(Habit::Fails);
        let issuer = TestIssuer::new().with_clock(script.clock());
        let lists = StatusLists::new("https://issuer.test/lists").unwrap();
        let lists = lists.with_fetcher(script.clone()).with_clock(script.clock());
        let policy = issuer.issuer().with_status_lists(change(lists));
        let builder = Authenticator::builder().claims().issuer(policy.clone());
        let builder = builder.with_clock(script.clock());
        let builder = if caches { builder } else { builder.with_token_cache_capacity(0) };
        let gate = Gate::behind(BearerLayer::new(builder.build().unwrap()));
        Self { issuer, script, policy, gate }
    }

    /// A list of the time at which it is called, whose `ttl` is 300 seconds.
    fn list(&self) -> TestStatusList {
        self.issuer.status_list(URL)
    }

    fn serves(&self, list: &TestStatusList) {
        self.script.turns_to_serve(&list.issue());
    }

    /// A token that is good for a day, so that only the list decides.
    fn token(&self, index: u64) -> String {
        self.token_of(URL, index)
    }

    fn token_of(&self, url: &str, index: u64) -> String {
        self.issuer.token().expires_in(DAY).with_status_entry(url, index).issue()
    }

    fn health(&self) -> StatusListsHealth {
        self.policy.status_lists().unwrap().health()
    }

    async fn reaches(&self, seconds: u64) {
        self.script.clock().reaches(seconds).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_decides_with_and_without_the_token_cache() {
    for caches in [true, false] {
        let world = World::with_cache(caches, |lists| lists);
        let list = world.list().with_bits(4).with_length(100);
        world
            .serves(&list.with_status(1, 1).with_status(2, 2).with_status(3, 3).with_status(4, 15));
        let rejected = |kind| Err((401, kind));
        for (index, expected) in [
            (0, Ok(())),
            (1, INVALID),
            (2, rejected(RejectionKind::StatusSuspended)),
            (3, rejected(RejectionKind::StatusOther)),
            (4, rejected(RejectionKind::StatusOther)),
            (99, Ok(())),
            (100, rejected(RejectionKind::StatusIndexOutOfRange)),
        ] {
            let token = world.token(index);
            for _ in 0..3 {
                assert_eq!(world.gate.says(&token).await, expected, "{index}, cache: {caches}");
            }
        }
        assert_eq!(world.script.asked_at(), [0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_is_seen_at_80_percent_of_the_ttl_also_by_cached_tokens() {
    for caches in [true, false] {
        let world = World::with_cache(caches, |lists| lists);
        world.serves(&world.list());
        let (token, other) = (world.token(7), world.token(8));
        assert_eq!(world.gate.says(&token).await, Ok(()));
        world.reaches(1).await;
        world.serves(&world.list().with_status(7, 1));
        world.reaches(239).await;
        assert_eq!(world.gate.says_at_once(&token), Some(Ok(())));
        world.reaches(241).await;
        for _ in 0..3 {
            assert_eq!(world.gate.says_at_once(&token), Some(INVALID));
            assert_eq!(world.gate.says_at_once(&other), Some(Ok(())));
        }
        // A suspension can end.
        world.serves(&world.list());
        world.reaches(482).await;
        assert_eq!(world.gate.says_at_once(&token), Some(Ok(())));
        assert_eq!(world.script.asked_at(), [0, 240, 480]);
        assert_eq!(world.health().modified(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn ttl_and_exp_take_precedence_over_http_caching() {
    for (ttl, exp, max_age, refreshed_at) in [
        (Some(300), None, None, 240),
        (Some(300), Some(1_000), Some(10_000), 240),
        (None, Some(1_000), Some(100), 800),
        (None, None, Some(100), 80),
        (None, None, None, 480),
        // At least a minute, and at most a day or the longest interval.
        (Some(1), None, None, 48),
        (None, Some(1), None, 48),
        (None, None, Some(0), 48),
        (Some(1_000_000), None, None, 1_000),
    ] {
        let interval = Duration::from_secs(1_000);
        let world = World::new(|lists| lists.with_max_refresh_interval(interval));
        let mut list = world.list().without("ttl");
        if let Some(ttl) = ttl {
            list = list.claim("ttl", ttl);
        }
        if let Some(exp) = exp {
            list = list.claim("exp", NOW + exp);
        }
        let fetched = Fetched::document(list.issue());
        world.script.turns_to(Habit::Serves(match max_age {
            Some(seconds) => fetched.with_max_age(Duration::from_secs(seconds)),
            None => fetched,
        }));
        assert_eq!(world.gate.says(&world.token(7)).await, Ok(()));
        world.reaches(refreshed_at - 1).await;
        assert_eq!(world.script.asked_at(), [0], "{ttl:?}, {exp:?}, {max_age:?}");
        world.reaches(refreshed_at + 1).await;
        let asked = world.script.asked_at();
        assert_eq!(asked[1], refreshed_at, "{ttl:?}, {exp:?}, {max_age:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_down_at_start_is_503_until_it_answers() {
    let world = World::new(|lists| lists);
    let token = world.token(7);
    assert_eq!(world.gate.says(&token).await, UNAVAILABLE);
    assert_eq!(world.gate.says_at_once(&token), Some(UNAVAILABLE));
    // A token without status needs no list.
    assert_eq!(world.gate.says_at_once(&world.issuer.token().issue()), Some(Ok(())));
    assert_eq!((world.health().lists(), world.health().unusable()), (1, 1));
    assert!(world.health().last_error().is_some());
    world.serves(&world.list());
    world.reaches(10).await;
    assert_eq!(world.gate.says_at_once(&token), Some(Ok(())));
    assert_eq!(world.health().unusable(), 0);
    assert!(world.health().last_error().is_none());
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_the_last_list_is_used_for_its_lifetime_only() {
    for (on_unavailable, exp, usable_until) in [
        (OnUnavailable::Deny, None, 300),
        (OnUnavailable::Deny, Some(200), 200),
        (OnUnavailable::ServeStale(Duration::from_secs(100)), None, 400),
        (OnUnavailable::ServeStale(DAY), Some(350), 350),
        (OnUnavailable::Allow, None, u64::MAX),
        (OnUnavailable::Allow, Some(200), u64::MAX),
    ] {
        let world = World::new(|lists| lists.with_on_unavailable(on_unavailable));
        let mut list = world.list().with_status(8, 1);
        if let Some(exp) = exp {
            list = list.claim("exp", NOW + exp);
        }
        world.serves(&list);
        let (valid, invalid) = (world.token(7), world.token(8));
        assert_eq!(world.gate.says(&valid).await, Ok(()));
        assert_eq!(world.gate.says(&invalid).await, INVALID);
        world.script.turns_to(Habit::Fails);
        for second in [199, 200, 299, 300, 349, 350, 399, 400, 3_000] {
            world.reaches(second).await;
            let is_used = second < usable_until;
            let expected = if is_used { Ok(()) } else { UNAVAILABLE };
            let said = world.gate.says(&valid).await;
            assert_eq!(said, expected, "{on_unavailable:?}, {exp:?}, at {second}");
            // `Allow` does not override a known status.
            let expected = if is_used { INVALID } else { UNAVAILABLE };
            let said = world.gate.says(&invalid).await;
            assert_eq!(said, expected, "{on_unavailable:?}, {exp:?}, at {second}");
        }
        world.script.turns_to_serve(&world.list().issue());
        world.reaches(3_100).await;
        assert_eq!(world.gate.says(&valid).await, Ok(()));
    }
}

/// Makes an answer of the server in this world.
type MakesHabit = fn(&World) -> Habit;

#[tokio::test(start_paused = true)]
async fn a_bad_answer_never_replaces_a_good_list() {
    fn serves(text: impl Into<String>) -> Habit {
        Habit::Serves(Fetched::document(text.into()))
    }
    let habits: [(&str, MakesHabit); 13] = [
        ("down", |_| Habit::Fails),
        ("hangs", |_| Habit::Hangs),
        ("panics", |_| Habit::Panics),
        ("304 without an `ETag`", |_| Habit::Serves(Fetched::not_modified())),
        ("HTML", |_| serves("<html>sign in</html>")),
        ("empty", |_| serves("")),
        ("too long", |_| serves("x".repeat(1_001))),
        ("a bomb", |world| serves(world.list().with_length(8_001).issue())),
        ("an older list", |world| serves(world.list().claim("iat", NOW - 1).issue())),
        ("another type", |world| serves(world.list().with_typ("JWT").issue())),
        ("another URL", |world| serves(world.issuer.status_list("https://issuer.test/2").issue())),
        ("another key", |world| serves(world.list().with_key(other_key()).issue())),
        ("expired", |world| serves(world.list().claim("exp", NOW + 239).issue())),
    ];
    for (habit, make) in habits {
        let world = World::new(|lists| lists.with_max_list_size(1_000));
        world.serves(&world.list().with_status(7, 1));
        let (invalid, valid) = (world.token(7), world.token(8));
        assert_eq!(world.gate.says(&invalid).await, INVALID, "{habit}");
        world.script.turns_to(make(&world));
        for second in [239, 250, 299] {
            world.reaches(second).await;
            assert_eq!(world.gate.says_at_once(&invalid), Some(INVALID), "{habit}, at {second}");
            assert_eq!(world.gate.says_at_once(&valid), Some(Ok(())), "{habit}, at {second}");
        }
        assert!(world.health().failures() > 0, "{habit}");
        assert!(world.health().last_error().is_some(), "{habit}");
        world.reaches(300).await;
        for token in [&invalid, &valid] {
            assert_eq!(world.gate.says(token).await, UNAVAILABLE, "{habit}");
        }
        world.serves(&world.list());
        world.reaches(400).await;
        assert_eq!(world.gate.says(&invalid).await, Ok(()), "{habit}");
    }
}

fn other_key() -> SigningKey {
    SigningKey::generate(Algorithm::ES256).unwrap()
}

#[tokio::test(start_paused = true)]
async fn requests_at_one_time_share_one_fetch() {
    let world = World::new(|lists| lists);
    world.serves(&world.list().with_status(7, 1));
    let tokens: Vec<_> = (0..200).map(|number| world.token(number % 10)).collect();
    let said = join_all(tokens.iter().map(|token| world.gate.says(token))).await;
    for (number, said) in said.into_iter().enumerate() {
        assert_eq!(said, if number % 10 == 7 { INVALID } else { Ok(()) }, "{number}");
    }
    assert_eq!(world.script.asked_at(), [0]);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_the_timeout_and_dropping_it_cancels_no_fetch() {
    let world = World::new(|lists| lists.with_wait_timeout(Duration::from_secs(1)));
    world.script.turns_to(Habit::Hangs);
    let dropped = world.gate.begins_to_wait(&world.token(7));
    settle().await;
    drop(dropped);
    assert_eq!(world.gate.says(&world.token(7)).await, UNAVAILABLE);
    assert_eq!(world.script.clock().seconds(), 1);
    // The fetch ends after 5 seconds. After the first failure the pause is at most a second.
    world.serves(&world.list());
    world.reaches(8).await;
    assert_eq!(world.gate.says_at_once(&world.token(7)), Some(Ok(())));
    assert_eq!(world.script.asked_at().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_list_is_fresh_again_until_its_exp() {
    let world = World::new(|lists| lists);
    let list = world.list().with_status(7, 1).claim("exp", NOW + 700);
    let tagged = Fetched::document(list.issue()).with_etag("\"1\"");
    world.script.turns_to(Habit::Serves(tagged));
    assert_eq!(world.gate.says(&world.token(7)).await, INVALID);
    world.script.turns_to(Habit::Serves(Fetched::not_modified()));
    world.reaches(699).await;
    assert_eq!(world.script.etags(), [None, Some("\"1\"".to_owned()), Some("\"1\"".to_owned())]);
    assert_eq!(world.gate.says_at_once(&world.token(7)), Some(INVALID));
    assert_eq!(world.health().not_modified(), 2);
    world.reaches(700).await;
    assert_eq!(world.gate.says(&world.token(7)).await, UNAVAILABLE);
    // The next attempt asks for the whole list.
    world.reaches(800).await;
    assert_eq!(world.script.etags().last(), Some(&None));
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_lists_are_used_and_an_idle_one_makes_room() {
    let world = World::new(|lists| lists.with_max_lists(2));
    let url = |number: u32| format!("https://issuer.test/lists/{number}");
    for number in [1, 2, 3] {
        world.serves(&world.issuer.status_list(&url(number)).claim("ttl", 3_600));
        let said = world.gate.says(&world.token_of(&url(number), 7)).await;
        let expected = if number < 3 { Ok(()) } else { UNAVAILABLE };
        assert_eq!(said, expected, "{number}");
    }
    assert_eq!(world.health().lists(), 2);
    assert_eq!(world.script.asked_at().len(), 2);
    // Only the second list is used in the next hour.
    let (first, second) = (world.token_of(&url(1), 7), world.token_of(&url(2), 7));
    world.serves(&world.issuer.status_list(&url(2)).claim("ttl", 3_600));
    world.reaches(1_800).await;
    assert_eq!(world.gate.says(&second).await, Ok(()));
    world.reaches(2_900).await;
    world.serves(&world.issuer.status_list(&url(2)).claim("ttl", 3_600));
    world.reaches(3_700).await;
    assert_eq!(world.health().lists(), 1);
    world.serves(&world.issuer.status_list(&url(3)));
    assert_eq!(world.gate.says(&world.token_of(&url(3), 7)).await, Ok(()));
    // A token of the removed list finds no place, although it was valid before.
    assert_eq!(world.gate.says(&first).await, UNAVAILABLE);
    world.serves(&world.issuer.status_list(&url(2)));
    assert_eq!(world.gate.says(&second).await, Ok(()));
    // Requests with a cached token are uses too.
    world.reaches(5_800).await;
    assert_eq!(world.health().lists(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_of_a_removed_list_has_the_list_fetched_again() {
    let world = World::new(|lists| lists);
    world.serves(&world.list().claim("ttl", 3_600));
    let token = world.token(7);
    assert_eq!(world.gate.says(&token).await, Ok(()));
    world.reaches(6_000).await;
    assert_eq!(world.health().lists(), 0);
    world.serves(&world.list().with_status(7, 1));
    assert_eq!(world.gate.says(&token).await, INVALID);
    assert_eq!(world.health().lists(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_by_a_new_key_of_the_issuer_makes_the_keys_be_fetched() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let keys = Script::serves(&set(&[&a]));
    let lists = Script::that(Habit::Fails);
    let (claims, list) = (
        r#","status":{"status_list":{"idx":1,"uri":"https://issuer.test/lists/1"}}"#,
        format!(
            r#"{{"sub":"{URL}","iat":{NOW},"status_list":{{"bits":1,"lst":"eNrbuRgAAhcBXQ"}}}}"#
        ),
    );
    let policy = Issuer::new(ISSUER, keys.keys()).audience(AUDIENCE).with_status_lists(
        StatusLists::new("https://issuer.test/lists")
            .unwrap()
            .with_fetcher(lists.clone())
            .with_clock(keys.clock()),
    );
    let gate = Gate::of([policy], keys.clock());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    keys.clock().reaches(30).await;
    keys.turns_to_serve(&set(&[&a, &b]));
    lists.turns_to_serve(
        &b.sign_claims(r#"{"alg":"EdDSA","kid":"b","typ":"statuslist+jwt"}"#, &list),
    );
    assert_eq!(gate.says(&a.token_with(ISSUER, claims)).await, Ok(()));
    assert_eq!(keys.asked_at(), [0, 30]);
}

#[tokio::test(start_paused = true)]
async fn a_token_must_pass_the_list_and_the_revocation() {
    let world = World::new(|lists| lists);
    world.serves(&world.list().with_status(7, 1));
    let clock = world.script.clock();
    let revocation = RevocationCache::new(MemoryStore::new(), Duration::ZERO).with_clock(clock);
    let builder = Authenticator::builder().claims().issuer(world.policy.clone());
    let builder = builder.with_clock(clock).revocation(revocation.clone());
    let gate = Gate::behind(BearerLayer::new(builder.build().unwrap()));
    let token = |id: &str, index| {
        let token = world.issuer.token().claim("jti", id);
        token.expires_in(DAY).with_status_entry(URL, index).issue()
    };
    let revoked = Revocable::token(TestIssuer::NAME, "revoked");
    let until = UnixTime::from_secs(NOW) + DAY;
    revocation.revoke(&RevocationEntry::new(revoked, until)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(gate.says(&token("good", 8)).await, Ok(()));
        assert_eq!(gate.says(&token("revoked", 8)).await, Err((401, RejectionKind::Revoked)));
        assert_eq!(gate.says(&token("good", 7)).await, INVALID);
        assert_eq!(gate.says(&token("revoked", 7)).await, INVALID);
    }
}

#[tokio::test(start_paused = true)]
async fn a_recheck_sees_the_current_status() {
    let world = World::new(|lists| lists);
    world.serves(&world.list());
    let builder = Authenticator::builder().issuer(world.policy.clone());
    let authenticator = builder.with_clock(world.script.clock()).build().unwrap();
    let user = authenticator.authenticate(&world.token(7)).await.unwrap();
    world.serves(&world.list().with_bits(2).with_status(7, 2));
    world.reaches(241).await;
    let rejected = authenticator.recheck(&user).await.unwrap_err();
    assert_eq!(rejected.kind(), RejectionKind::StatusSuspended);
    let explained = authenticator.explain(&world.token(7)).await;
    assert_eq!(explained.failed().map(|check| check.number), Some(16));
    assert_eq!(explained.rejection(), Some(RejectionKind::StatusSuspended));
}

#[tokio::test(start_paused = true)]
async fn fetching_ends_with_the_last_clone_of_the_policy() {
    let world = World::new(|lists| lists);
    world.serves(&world.list());
    assert_eq!(world.gate.says(&world.token(7)).await, Ok(()));
    let script = world.script.clone();
    drop(world);
    script.clock().reaches(10_000).await;
    assert_eq!(script.asked_at(), [0]);
}

/// Over a real socket, with the client of this crate.
#[tokio::test]
async fn lists_are_fetched_over_http_beyond_the_limit_of_keys() {
    let server = Server::start().await;
    let url = server.url("/lists/1");
    let issuer = TestIssuer::new().with_clock(server.clock.clone());
    let token = |url: &str, index| issuer.token().with_status_entry(url, index).issue();
    let serves = |text: &str| {
        let head = "Content-Type: application/statuslist+jwt\r\n".to_owned();
        Answer::Says(200, head, text.to_owned())
    };
    // Random bytes do not get shorter, so the list is longer than a key set may be.
    let mut list = issuer.status_list(&url).with_bits(8).with_length(1_200_000);
    let mut random = 1_u32;
    for index in 0..1_200_000 {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        list = list.with_status(index, if index == 7 { 0 } else { (random >> 24) as u8 | 1 });
    }
    let text = list.issue();
    assert!(text.len() > tower_bearer::jwks::MAX_LENGTH);
    server.serves("/lists/1", serves(&text));
    server.serves("/lists/2", Answer::redirect(302, &url));
    server.serves("/lists/3", Answer::Endless);
    let lists = StatusLists::new(&server.url("/lists")).unwrap().with_clock(server.clock.clone());
    let policy = issuer.issuer().with_status_lists(lists.with_max_list_size(2_000_000));
    let gate = Gate::of([policy], server.clock.clone());
    assert_eq!(gate.says(&token(&url, 7)).await, Ok(()));
    assert!(matches!(gate.says(&token(&url, 8)).await, Err((401, _))));
    assert!(server.requests()[0].head.contains("accept: application/statuslist+jwt\r\n"));
    for path in ["/lists/2", "/lists/3"] {
        assert_eq!(gate.says(&token(&server.url(path), 7)).await, UNAVAILABLE, "{path}");
    }
    assert_eq!(server.count("/lists/1"), 1);
    // The connection's buffers may hold more than was read.
    assert!(server.written() < 16_000_000);
}

#[test]
fn settings_that_cannot_work_are_errors() {
    let issuer = TestIssuer::new();
    let lists = |prefix: &str| StatusLists::new(prefix).unwrap();
    let build = |policy: Issuer| Authenticator::builder().issuer(policy).build();
    let plain = || lists("http://issuer.test/lists");
    let insecure = build(issuer.issuer().with_status_lists(plain()));
    assert!(matches!(insecure, Err(ConfigError::InsecureUrl)));
    assert!(build(issuer.issuer().with_status_lists(plain().allow_http())).is_ok());
    let tenants = |lists| {
        let policy =
            Issuer::multi_tenant("https://issuer.test/{tenantid}", other_key().verifying_key());
        build(policy.tenants(["a"]).audience(AUDIENCE).with_status_lists(lists))
    };
    let secure = || lists("https://issuer.test/lists");
    assert!(matches!(tenants(secure()), Err(ConfigError::OutOfRange(_))));
    assert!(tenants(secure().with_keys(other_key().verifying_key())).is_ok());
}
