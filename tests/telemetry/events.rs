//! Events: each one is in the table of the documentation, with its level and its fields.

#![allow(clippy::disallowed_methods, reason = "a server of its own takes its own time")]

#[path = "../../redis/tests/redis/server.rs"]
#[allow(dead_code, reason = "a part is used")]
mod server;

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tower::Layer;
use tower_bearer::{
    Authenticator, BearerLayer, BoxFuture, Issuer, KeySet, RevocationCache, UnixTime,
    claims::{ManualClock, NoClaims},
    dpop::{Dpop, ProofUse, Recorded, ReplayStore},
    jwks::{FetchError, FetchJwks, FetchRequest, Fetched, RemoteJwks},
    revocation::{
        Lookup, MemoryStore, OnUnavailable, RevocationEntry, RevocationStore, StoreError, Verdict,
    },
    status_list::StatusLists,
    test_util::{ProofKey, TestIssuer},
};
use tower_bearer_redis::RedisStore;
use tracing_subscriber::{filter::LevelFilter, fmt, util::SubscriberInitExt};

use crate::{
    common::{
        requests::{NOW, authenticator, body, get, layer, open, send, token, with_bearer},
        tokens::{block_on, fixture},
    },
    secrecy::marked::LOG,
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);
impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The events of this crate while `run` runs, one a line.
fn events(run: impl Future<Output = ()>) -> Vec<String> {
    // Without a global subscriber, a thread that has none can register an event first, and `tracing` then disables it.
    LazyLock::force(&LOG);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = fmt()
        .with_max_level(LevelFilter::TRACE)
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = subscriber.set_default();
    block_on(run);
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines = log.lines().map(str::trim).filter(|line| line.contains("tower_bearer"));
    let events: Vec<String> = lines.map(str::to_owned).collect();
    events.iter().for_each(|event| assert_is_in_the_table(event));
    events
}

/// An event is in the table of the documentation, with its level or below it, and with its fields.
#[track_caller]
fn assert_is_in_the_table(event: &str) {
    let tables = [
        include_str!("../../src/telemetry/events.md"),
        include_str!("../../redis/src/telemetry/events.md"),
    ];
    let table: BTreeMap<String, (&str, Vec<String>)> = tables
        .iter()
        .flat_map(|table| table.lines().skip(2))
        .map(|row| {
            let cells: Vec<_> = row.split('|').collect();
            let quoted =
                |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            let names: Vec<String> = quoted(cells[1]);
            (names[0].clone(), (cells[2].trim(), quoted(cells[3])))
        })
        .collect();
    let (level, rest) = event.split_once(" tower_bearer: ").expect(event);
    let name = table.keys().find(|name| rest.starts_with(&***name)).expect(event);
    let (documented, fields) = &table[name];
    assert!(level == *documented || level == "DEBUG", "{event}");
    let mut rest = &rest[name.len()..];
    for field in fields {
        let (before, after) = rest.split_once('=').expect(event);
        assert_eq!(before.trim_start(), field, "{event}");
        let value = after.find(' ').unwrap_or(after.len());
        rest = if fields.last() == Some(field) { "" } else { &after[value..] };
    }
    assert_eq!(rest, "", "{event}");
}

#[test]
fn a_refusal_is_one_event_with_its_reason_and_nothing_of_the_request() {
    let events = events(async {
        let service = layer().layer(open());
        send(service.clone(), with_bearer("a.secret.c")).await;
        send(service.clone(), with_bearer(&token())).await;
        send(service, body(get("/secret"))).await;
    });
    assert_eq!(
        events,
        [
            r#"DEBUG tower_bearer: request refused reason="malformed_token""#,
            r#"DEBUG tower_bearer: request refused reason="missing_credential""#,
        ]
    );
}

/// Fails first, and then has the keys of the fixtures.
#[derive(Default)]
struct KeyServer(AtomicBool);

impl FetchJwks for KeyServer {
    fn fetch<'a>(&'a self, _: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async {
            match self.0.swap(true, Ordering::Relaxed) {
                false => Err(FetchError::client("a secret of the client")),
                true => Ok(Fetched::document(fixture("../jwks.json"))),
            }
        })
    }
}

#[test]
fn a_fetch_of_keys_is_one_event_and_nothing_of_the_keys() {
    let keys = KeySet::from_jwks_json(str::from_utf8(&fixture("../jwks.json")).unwrap()).unwrap();
    let (count, refused) = (keys.len(), keys.refused().len());
    let mut events = events(async {
        let keys = RemoteJwks::new("https://issuer.example/secret").unwrap();
        keys.with_fetcher(KeyServer::default()).ready().await.unwrap();
    });
    // The pure Rust backend cannot use the key on P-521, and another event names that key.
    let all = events.len();
    events.retain(|event| !event.contains("keys refused"));
    assert_eq!(all - events.len(), usize::from(refused > 0));
    assert_eq!(
        events,
        [
            "WARN tower_bearer: keys not fetched error=the exchange with the server failed: \
             check its address, its certificate and the network"
                .to_owned(),
            format!("DEBUG tower_bearer: keys fetched keys={count} modified=true"),
        ]
    );
}

#[test]
fn a_fetch_of_a_status_list_is_one_event_without_its_url() {
    const URL: &str = "https://issuer.test/lists/secret";

    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let issuer = TestIssuer::new().with_clock(clock.clone());
    let list = issuer.status_list(URL);
    let documents = [list.issue(), list.claim("iat", NOW - 1).issue()];
    let events = events(async {
        let lists = StatusLists::new("https://issuer.test/lists").unwrap();
        let lists = lists.with_fetcher(Documents(Mutex::new(documents.into())));
        let policy = issuer.issuer().with_status_lists(lists.with_clock(clock.clone()));
        let builder = Authenticator::builder().claims::<NoClaims>().issuer(policy);
        let authenticator = builder.with_clock(clock.clone()).build().unwrap();
        let token = issuer.token().with_status_entry(URL, 7).issue();
        authenticator.authenticate(&token).await.unwrap();
        clock.advance(Duration::from_secs(300));
        authenticator.authenticate(&token).await.unwrap_err();
    });
    assert_eq!(
        events,
        [
            "DEBUG tower_bearer: status list fetched modified=true",
            "WARN tower_bearer: status list not fetched error=the answer is not a status list \
             that can be used: expected `iat` not before that of the current list",
        ]
    );
}

const ED25519: &str =
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

/// Has these documents, one after the other, and then the last again.
struct Documents(Mutex<Vec<String>>);

impl FetchJwks for Documents {
    fn fetch<'a>(&'a self, _: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        let mut documents = self.0.lock().unwrap();
        let document = match documents.len() {
            1 => documents[0].clone(),
            _ => documents.remove(0),
        };
        Box::pin(async { Ok(Fetched::document(document)) })
    }
}

#[test]
fn keys_that_cannot_be_used_are_one_event_until_they_change() {
    let with = |odd: &str| format!(r#"{{"keys":[{ED25519},{odd}]}}"#);
    let enc = r#"{"kty":"RSA","use":"enc","kid":"e"}"#;
    let odd = r#"{"kty":"new","kid":"n"}"#;
    let events = events(async {
        let clock = ManualClock::at(UnixTime::from_secs(NOW));
        let documents = [with(enc), with(enc), with(odd), format!(r#"{{"keys":[{odd}]}}"#)];
        let keys = RemoteJwks::new("https://issuer.example/secret").unwrap();
        let keys = keys.with_clock(clock.clone());
        let keys = keys.with_fetcher(Documents(Mutex::new(documents.into())));
        for attempt in 1..=4 {
            let authenticator = Authenticator::builder()
                .issuer(Issuer::new("https://issuer.example", keys.clone()).allow_any_audience())
                .with_clock(clock.clone());
            let authenticator = authenticator.build().unwrap();
            // {"alg":"RS256","kid":"a"}.{"iss":"https://issuer.example"}
            let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIn0.AAA";
            authenticator.authenticate(token).await.unwrap_err();
            assert_eq!(keys.health().attempts(), attempt);
            clock.advance(Duration::from_secs(30));
        }
    });
    let fetched = "DEBUG tower_bearer: keys fetched keys=1 modified=true".to_owned();
    let refused =
        |reason: &str| format!("INFO tower_bearer: keys refused refused=1 reasons=key 1 {reason}");
    assert_eq!(
        events,
        [
            refused(r#"(kid "e"): a key whose `use` is not `sig`: expected `sig`, or no `use`"#),
            fetched.clone(),
            fetched.clone(),
            refused(
                r#"(kid "n"): unsupported key type: `tower_bearer::Algorithm` lists what is supported"#
            ),
            fetched,
            "WARN tower_bearer: keys not fetched error=the answer of the key server is not a \
             key set that can be used: no key of the set can be used: key 0 (kid \"n\"): \
             unsupported key type: `tower_bearer::Algorithm` lists what is supported"
                .to_owned(),
        ]
    );
}

#[test]
fn keys_of_a_file_that_cannot_be_used_are_one_event() {
    let document = format!(r#"{{"keys":[{ED25519},{{"kty":"new","kid":"n"}}]}}"#);
    let path = std::env::temp_dir().join(format!("tower-bearer-{}.json", std::process::id()));
    std::fs::write(&path, document).unwrap();
    let events = events(async { drop(KeySet::from_jwks_file(&path).unwrap()) });
    std::fs::remove_file(&path).unwrap();
    let reason = r#"key 1 (kid "n"): unsupported key type: `tower_bearer::Algorithm` lists what is supported"#;
    assert_eq!(events, [format!("INFO tower_bearer: keys refused refused=1 reasons={reason}")]);
}

/// Fails, quoting what it was asked.
struct Quoting(fn(String) -> StoreError);

impl RevocationStore for Quoting {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        Box::pin(async move { Err((self.0)(format!("{:?}", lookup.things()))) })
    }

    fn revoke<'a>(&'a self, _: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

#[test]
fn a_failing_store_is_one_warning_in_ten_seconds_without_its_text() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let events = events(async {
        let cache = |store| RevocationCache::new(store, Duration::ZERO).with_clock(clock.clone());
        let (failing, late) =
            (cache(Quoting(StoreError::new)), cache(Quoting(|_| StoreError::timed_out())));
        let failing = authenticator().with_revocation(failing);
        let late = authenticator().with_revocation(late);
        for seconds in [0, 0, 9, 1] {
            clock.advance(Duration::from_secs(seconds));
            failing.authenticate(&token()).await.unwrap_err();
        }
        late.authenticate(&token()).await.unwrap_err();
    });
    assert_eq!(
        events,
        [
            r#"WARN tower_bearer: revocation store failed kind="failed" store="store""#,
            r#"DEBUG tower_bearer: revocation store failed kind="failed" store="store""#,
            r#"DEBUG tower_bearer: revocation store failed kind="failed" store="store""#,
            r#"WARN tower_bearer: revocation store failed kind="failed" store="store""#,
            r#"WARN tower_bearer: revocation store failed kind="timed_out" store="store""#,
        ]
    );
}

/// Never records a proof.
struct FailingReplays;

impl ReplayStore for FailingReplays {
    fn record(&self, _: ProofUse) -> BoxFuture<'static, Result<Recorded, StoreError>> {
        Box::pin(async { Err(StoreError::of_kind("down", "secret-text")) })
    }
}

#[test]
fn a_failing_replay_store_is_reported_also_if_it_is_allowed() {
    let url = "https://api.example/orders";
    let (issuer, key) = (TestIssuer::new(), ProofKey::new());
    let token = issuer.token().bound_to_key(&key).issue();
    let builder = Authenticator::builder().claims::<NoClaims>().issuer(issuer.issuer());
    let layer = BearerLayer::new(builder.build().unwrap());
    for (policy, status) in [(OnUnavailable::Deny, 503), (OnUnavailable::Allow, 200)] {
        let dpop = Dpop::new(["https://api.example"]).unwrap();
        let dpop = dpop.with_replay_store(FailingReplays).with_on_unavailable(policy);
        let layer = layer.clone().with_dpop(dpop);
        let mut events = events(async {
            for _ in 0..2 {
                let request = http::Request::get(url)
                    .header("authorization", format!("DPoP {token}"))
                    .header("dpop", key.proof("GET", url, &token).issue());
                let outcome = send(layer.layer(open()), body(request)).await;
                assert_eq!(outcome.status, status);
            }
        });
        events.retain(|event| !event.contains("refused"));
        assert_eq!(
            events,
            [
                r#"WARN tower_bearer: replay store failed kind="down""#,
                r#"DEBUG tower_bearer: replay store failed kind="down""#,
            ]
        );
    }
}

#[test]
fn a_doubt_is_one_event() {
    let events = events(async { RevocationCache::new(MemoryStore::new(), Duration::ZERO).doubt() });
    assert_eq!(events, ["DEBUG tower_bearer: revocation answers doubted"]);
}

#[test]
#[ignore = "needs redis-server"]
fn a_redis_that_goes_away_and_comes_back_is_one_event_a_connection() {
    let mut server = server::Server::start();
    let events = events(async {
        let store = RedisStore::connect(&server.url()).await.unwrap();
        let authenticator = authenticator()
            .with_revocation(RevocationCache::new(store.clone(), Duration::from_secs(30)));
        let cache = RevocationCache::new(store.clone(), Duration::from_secs(30));
        let pushes = store.push_to(&cache);
        let connections = async |count| {
            while pushes.stats().connections < count || !pushes.stats().is_connected {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        connections(1).await;
        authenticator.authenticate(&token()).await.unwrap_err();
        server.kill();
        while pushes.stats().is_connected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server.restart();
        connections(2).await;
        while store.is_seeded().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let all = |name: &str| {
        events.iter().map(String::as_str).filter(|event| event.contains(name)).collect::<Vec<_>>()
    };
    let failed = r#"WARN tower_bearer: revocation store failed kind="not_seeded" store="store""#;
    assert_eq!(all("revocation store failed"), [failed]);
    assert_eq!(all("pushes connected"), ["INFO tower_bearer: revocation pushes connected"; 2]);
    assert_eq!(all("pushes lost"), ["WARN tower_bearer: revocation pushes lost"]);
    assert_eq!(all("redis connected"), ["INFO tower_bearer: redis connected"]);
    let [lost] = *all("redis connection lost") else { panic!("{events:?}") };
    assert!(lost.starts_with("WARN tower_bearer: redis connection lost kind="), "{lost}");
    assert_eq!(all("doubted").len(), 2, "{events:?}");
}
