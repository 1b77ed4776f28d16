//! The cache of verified tokens cannot be observed: random sequences of requests, clock jumps, key changes,
//! revocations and changing checks have the same outcomes with it and without it.

#![allow(clippy::print_stdout, reason = "how often each outcome came up is told")]

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm as Theirs, EncodingKey};
use proptest::{prelude::*, test_runner::TestRunner};
use tower::Layer;
use tower_bearer::{
    Algorithm, Authenticator, BearerLayer, CheckError, Issuer, Key, KeySet, KeySetHandle,
    RejectionKind, RevocationCache, UnixTime,
    claims::{Clock, ManualClock},
    dpop::Dpop,
    revocation::{
        MemoryStore, OnUnavailable, Revocable, RevocationEntry, RevocationStore, Verdict,
    },
    test_util::{FakeStore, ProofKey, StoreBehavior},
};

use crate::common::{
    requests::{Body, open, send},
    tokens::{self, block_on, ed25519_key, fixture, p256_key},
};

const NOW: u64 = 1_800_000_000;
const BOUND: Duration = Duration::from_secs(30);

/// What both verifiers share.
struct World {
    clock: ManualClock,
    keys: KeySetHandle,
    /// The tenant that the check which is not pure refuses.
    refused_tenant: Arc<AtomicUsize>,
    cached: Side,
    plain: Side,
    tokens: Vec<String>,
}

struct Side {
    authenticator: Authenticator,
    revocation: RevocationCache,
}

fn p256(key_id: Option<&str>) -> Key {
    let key = Key::from_pem(Algorithm::ES256, fixture("p256.public.pem")).unwrap();
    key_id.into_iter().fold(key, Key::with_key_id)
}

fn ed25519(key_id: Option<&str>) -> Key {
    let key = Key::from_pem(Algorithm::EdDSA, fixture("ed25519.public.pem")).unwrap();
    key_id.into_iter().fold(key, Key::with_key_id)
}

fn hmac() -> Key {
    Key::hs256(tokens::SECRET).unwrap()
}

/// Sets of keys that differ in what the tokens' `kid` mean: renamed, moved, without ids, withdrawn.
fn key_set(number: usize) -> KeySet {
    KeySet::new(match number {
        0 => vec![p256(Some("a")), ed25519(Some("b")), hmac()],
        1 => vec![p256(None), ed25519(None), hmac()],
        2 => vec![ed25519(Some("b")), p256(Some("c")), p256(Some("a"))],
        3 => vec![p256(Some("b")), ed25519(Some("a")), p256(None)],
        4 => vec![hmac()],
        _ => vec![p256(Some("a")), p256(None)],
    })
}
const KEY_SETS: usize = 6;

fn tokens() -> Vec<String> {
    let signers: [(&str, Theirs, EncodingKey); 3] = [
        ("ES256", Theirs::ES256, p256_key()),
        ("EdDSA", Theirs::EdDSA, ed25519_key()),
        ("HS256", Theirs::HS256, EncodingKey::from_secret(tokens::SECRET)),
    ];
    let mut all = Vec::new();
    for (alg, algorithm, key) in &signers {
        for kid in ["", r#","kid":"a""#, r#","kid":"b""#, r#","kid":"z""#] {
            for (number, times) in [
                format!(r#""exp":{}"#, NOW + 100),
                format!(r#""exp":{},"nbf":{},"iat":{}"#, NOW + 1_000, NOW + 40, NOW + 20),
                format!(r#""exp":{},"iat":{}"#, NOW + 10_000, NOW - 50),
            ]
            .into_iter()
            .enumerate()
            {
                let header = format!(r#"{{"alg":"{alg}"{kid}}}"#);
                let claims = format!(
                    r#"{{"iss":"https://issuer.example","aud":"a","sub":"s{number}","jti":"j{number}","sid":"x","tenant":{number},{times}}}"#
                );
                all.push(tokens::sign(*algorithm, key, &header, &claims));
            }
        }
    }
    all
}

impl World {
    fn new(tokens: &[String]) -> Self {
        let clock = ManualClock::at(UnixTime::from_secs(NOW));
        let keys = KeySetHandle::new(key_set(0));
        let refused_tenant = Arc::new(AtomicUsize::new(usize::MAX));
        let side = |capacity: u64| {
            let refused = Arc::clone(&refused_tenant);
            let issuer = Issuer::new("https://issuer.example", keys.clone())
                .audience("a")
                .with_max_age(Duration::from_secs(5_000));
            let authenticator = Authenticator::builder()
                .issuer(issuer)
                .with_clock(clock.clone())
                .with_token_cache_capacity(capacity)
                .cache_hmac_tokens()
                .add_check(move |token| {
                    let tenant = token.claims().get("tenant").and_then(|tenant| tenant.as_u64());
                    let is_refused = tenant == Some(refused.load(Ordering::SeqCst) as u64);
                    if is_refused { Err(CheckError::Rejected) } else { Ok(()) }
                })
                .build()
                .unwrap();
            let store = MemoryStore::new().with_clock(clock.clone());
            let revocation = RevocationCache::new(store, BOUND).with_clock(clock.clone());
            let authenticator = authenticator.with_revocation(revocation.clone());
            Side { authenticator, revocation }
        };
        Self {
            cached: side(1 << 20),
            plain: side(0),
            clock: clock.clone(),
            keys: keys.clone(),
            refused_tenant: Arc::clone(&refused_tenant),
            tokens: tokens.to_vec(),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Request(prop::sample::Index),
    Advance(u64),
    SetClock(i64),
    ReplaceKeys(usize),
    RevokeToken(usize),
    CutOff(usize, i64),
    RevokeSession,
    RevokeKey(&'static str),
    RefuseTenant(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => any::<prop::sample::Index>().prop_map(Step::Request),
        3 => (0..60_u64).prop_map(Step::Advance),
        1 => (-200..12_000_i64).prop_map(Step::SetClock),
        3 => (0..KEY_SETS).prop_map(Step::ReplaceKeys),
        1 => (0..3_usize).prop_map(Step::RevokeToken),
        1 => (0..3_usize, -100..100_i64).prop_map(|(subject, at)| Step::CutOff(subject, at)),
        1 => prop_oneof![9 => Just(None), 1 => Just(Some(()))]
            .prop_map(|revoke| revoke.map_or(Step::Advance(0), |()| Step::RevokeSession)),
        1 => prop::sample::select(vec!["a", "b", "c"]).prop_map(Step::RevokeKey),
        2 => (0..4_usize).prop_map(Step::RefuseTenant),
    ];
    prop::collection::vec(step, 20..120)
}

/// How often each outcome came up.
#[derive(Debug, Default)]
struct Tally {
    sequences: usize,
    accepted: usize,
    refused: std::collections::BTreeMap<&'static str, usize>,
}

fn run(steps: &[Step], tokens: &[String], tally: &RefCell<Tally>) -> Result<(), TestCaseError> {
    let world = World::new(tokens);
    let tally = &mut *tally.borrow_mut();
    tally.sequences += 1;
    let issuer: Arc<str> = "https://issuer.example".into();
    let entry = |thing| RevocationEntry::new(thing, UnixTime::from_secs(NOW + 20_000));
    let revoke = |entry: RevocationEntry| {
        for side in [&world.cached, &world.plain] {
            block_on(side.revocation.revoke(&entry)).unwrap();
        }
    };
    for step in steps {
        match step {
            Step::Advance(seconds) => world.clock.advance(Duration::from_secs(*seconds)),
            Step::SetClock(offset) => {
                world.clock.set_unix_time(UnixTime::from_secs(NOW.saturating_add_signed(*offset)))
            }
            Step::ReplaceKeys(number) => world.keys.replace(key_set(*number)),
            Step::RevokeToken(number) => {
                revoke(entry(Revocable::token(issuer.clone(), format!("j{number}"))))
            }
            Step::CutOff(number, offset) => {
                let subject = Revocable::subject(issuer.clone(), format!("s{number}"));
                let cut_off = UnixTime::from_secs(NOW.saturating_add_signed(*offset));
                revoke(entry(subject).with_cut_off(cut_off));
            }
            Step::RevokeSession => {
                revoke(entry(Revocable::session(issuer.clone(), "x")));
            }
            Step::RevokeKey(id) => {
                revoke(entry(Revocable::key(issuer.clone(), *id)));
            }
            Step::RefuseTenant(tenant) => world.refused_tenant.store(*tenant, Ordering::SeqCst),
            Step::Request(index) => {
                let token = index.get(&world.tokens);
                let outcome = |side: &Side| {
                    block_on(side.authenticator.authenticate(token)).map(|user| {
                        let key_id = user.key_id().map(str::to_owned);
                        (key_id, user.claims().as_map().clone(), user.revocation_id().to_owned())
                    })
                };
                let (cached, plain) = (outcome(&world.cached), outcome(&world.plain));
                prop_assert_eq!(&cached, &plain, "{:?}", step);
                match cached {
                    Ok(_) => tally.accepted += 1,
                    Err(rejection) => {
                        *tally.refused.entry(rejection.kind().as_str()).or_default() += 1;
                    }
                }
            }
        }
    }
    Ok(())
}

#[test]
fn the_cache_never_changes_an_outcome_in_any_sequence_of_events() {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    let config = ProptestConfig {
        cases: cases.unwrap_or(200),
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let tokens = tokens();
    let tally = RefCell::new(Tally::default());
    if let Err(failure) =
        TestRunner::new(config).run(&steps(), |steps| run(&steps, &tokens, &tally))
    {
        panic!("{failure}");
    }
    let tally = tally.into_inner();
    println!("{tally:?}");
    assert!(tally.accepted > 500, "{tally:?}");
    for kind in [
        "expired",
        "not_yet_valid",
        "too_old",
        "unknown_key",
        "algorithm_mismatch",
        "revoked",
        "check_failed",
    ] {
        assert!(tally.refused.contains_key(kind), "{kind}: {tally:?}");
    }
}

/// Checks count how often they run: a hit is told from a miss by the pure one only.
#[test]
fn a_cache_hit_runs_only_the_checks_that_are_not_pure() {
    let (pure, others) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let count = |counter: &Arc<AtomicUsize>| {
        let counter = Arc::clone(counter);
        move |_: &_| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    };
    let keys = KeySetHandle::new(key_set(0));
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let authenticator = Authenticator::builder()
        .issuer(Issuer::new("https://issuer.example", keys.clone()).audience("a"))
        .with_clock(clock.clone())
        .add_pure_check(count(&pure))
        .add_check(count(&others))
        .build()
        .unwrap();
    let all = tokens();
    let (ecdsa, hmac) = (&all[0], &all[all.len() - 12]);
    let runs = |token: &str| {
        let before = (pure.load(Ordering::SeqCst), others.load(Ordering::SeqCst));
        block_on(authenticator.authenticate(token)).unwrap();
        let after = (pure.load(Ordering::SeqCst), others.load(Ordering::SeqCst));
        (after.0 - before.0, after.1 - before.1)
    };
    assert_eq!(runs(ecdsa), (1, 1));
    assert_eq!(runs(ecdsa), (0, 1), "a hit");
    keys.replace(key_set(5));
    assert_eq!(runs(ecdsa), (0, 1), "a refresh that leaves the key alone keeps the entry");
    keys.replace(key_set(1));
    assert_eq!(runs(ecdsa), (1, 1), "the key has lost its id");
    assert_eq!(runs(hmac), (1, 1));
    assert_eq!(runs(hmac), (1, 1), "HMAC tokens are not remembered by default");
    keys.replace(key_set(4));
    let kind = block_on(authenticator.authenticate(ecdsa)).unwrap_err().kind();
    assert_eq!(kind, RejectionKind::AlgorithmMismatch);
}

/// The usual sets give each key a name of its own; whoever rotates a key in place does not.
#[test]
fn a_cached_token_is_rejected_after_a_key_of_its_name_replaced_its_key() {
    let named = |secret: [u8; 32]| KeySet::from(Key::hs256(secret).unwrap().with_key_id("a"));
    let keys = KeySetHandle::new(named([1; 32]));
    let authenticator = Authenticator::builder()
        .issuer(Issuer::new("https://issuer.example", keys.clone()).audience("a"))
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
        .cache_hmac_tokens()
        .build()
        .unwrap();
    let claims = format!(r#"{{"iss":"https://issuer.example","aud":"a","exp":{}}}"#, NOW + 100);
    let token = tokens::sign_hs256_with(&[1; 32], r#"{"alg":"HS256","kid":"a"}"#, &claims);
    let outcome = || {
        block_on(authenticator.authenticate(&token)).map(drop).map_err(|rejection| rejection.kind())
    };
    assert_eq!(outcome(), Ok(()));
    keys.replace(named([1; 32]));
    assert_eq!(outcome(), Ok(()), "the same key, read again");
    keys.replace(named([2; 32]));
    assert_eq!(outcome(), Err(RejectionKind::BadSignature));
}

/// Two issuers may share a key: a repeat is still judged by the policy of the token's own.
#[test]
fn a_cache_hit_applies_the_policy_of_its_issuer() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let issuer = |name: &str, leeway: u64| {
        Issuer::new(name, hmac()).audience("a").with_leeway(Duration::from_secs(leeway))
    };
    let authenticator = Authenticator::builder()
        .issuer(issuer("https://lenient.example", 60))
        .issuer(issuer("https://strict.example", 0))
        .with_clock(clock.clone())
        .cache_hmac_tokens()
        .build()
        .unwrap();
    let outcome = |name: &str| {
        let claims = format!(r#"{{"iss":"https://{name}.example","aud":"a","exp":{}}}"#, NOW + 10);
        let token = tokens::sign_hs256(r#"{"alg":"HS256"}"#, &claims);
        block_on(authenticator.authenticate(&token)).map(drop).map_err(|rejection| rejection.kind())
    };
    assert_eq!((outcome("lenient"), outcome("strict")), (Ok(()), Ok(())));
    clock.advance(Duration::from_secs(10));
    assert_eq!((outcome("lenient"), outcome("strict")), (Ok(()), Err(RejectionKind::Expired)));
}

/// A remembered token carries its last revocation answer: the answer's age counts all the same.
#[test]
fn a_cache_hit_sees_other_revocations_after_the_bound() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let store = MemoryStore::new().with_clock(clock.clone());
    let authenticator = Authenticator::builder()
        .issuer(Issuer::new("https://issuer.example", key_set(0)).audience("a"))
        .with_clock(clock.clone())
        .build()
        .unwrap();
    let revocation = RevocationCache::new(store.clone(), BOUND).with_clock(clock.clone());
    let authenticator = authenticator.clone().with_revocation(revocation);
    let token = &tokens()[0];
    let outcome = |authenticator: &Authenticator| {
        block_on(authenticator.authenticate(token)).map(drop).map_err(|rejection| rejection.kind())
    };
    assert_eq!(outcome(&authenticator), Ok(()));
    assert_eq!(outcome(&authenticator), Ok(()));
    let by_id = Revocable::token("https://issuer.example", "j0");
    block_on(
        store.revoke(&RevocationEntry::restored(by_id.clone(), UnixTime::from_secs(NOW + 20_000))),
    )
    .unwrap();
    clock.advance(BOUND);
    assert_eq!(outcome(&authenticator), Ok(()), "within the bound");

    // Another cache with the same bound in front of the same authenticator takes no other's answer, fresh as it is.
    let other = RevocationCache::new(store, BOUND).with_clock(clock.clone());
    let other = authenticator.clone().with_revocation(other);
    assert_eq!(outcome(&other), Err(RejectionKind::Revoked));

    clock.advance(Duration::from_nanos(1));
    assert_eq!(outcome(&authenticator), Err(RejectionKind::Revoked));
}

/// The answer that a token carries must not hide a younger one, and serves as a stale one as others do.
#[test]
fn a_doubted_answer_is_used_only_stale_until_it_is_replaced() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let store = FakeStore::new(StoreBehavior::Answers(Verdict::NotRevoked));
    let authenticator = Authenticator::builder()
        .issuer(Issuer::new("https://issuer.example", key_set(0)).audience("a"))
        .with_clock(clock.clone())
        .build()
        .unwrap();
    let revocation = RevocationCache::new(store.clone(), BOUND)
        .with_clock(clock.clone())
        .with_on_unavailable(OnUnavailable::ServeStale(BOUND));
    let authenticator = authenticator.with_revocation(revocation.clone());
    let token = tokens()[0].clone();
    let is_accepted = || block_on(authenticator.authenticate(&token)).is_ok();

    assert!(is_accepted() && is_accepted() && is_accepted());
    assert_eq!(store.lookups(), 1);
    revocation.doubt();
    assert!(is_accepted() && is_accepted() && is_accepted());
    assert_eq!(store.lookups(), 2, "asked once more, not at every request");

    store.set_behavior(StoreBehavior::Fails);
    clock.advance(BOUND * 2);
    assert!(is_accepted(), "stale, while the store is down");
    clock.advance(Duration::from_nanos(1));
    assert!(!is_accepted());
}

/// A request with a token that is bound to the first key, to the second or to none.
#[derive(Clone, Debug)]
enum BoundStep {
    Request { token: usize, scheme: &'static str, proof: Sent },
    Advance(u64),
    ReplaceKeys(usize),
}

/// The proof of a request.
#[derive(Clone, Copy, Debug)]
enum Sent {
    New {
        key: usize,
    },
    /// The request before, once more.
    Repeated,
    WrongMethod,
    OfOtherToken,
    Old,
    Absent,
}

fn bound_steps() -> impl Strategy<Value = Vec<BoundStep>> {
    let proof = prop_oneof![
        6 => (0..2_usize).prop_map(|key| Sent::New { key }),
        2 => Just(Sent::Repeated),
        1 => Just(Sent::WrongMethod),
        1 => Just(Sent::OfOtherToken),
        1 => Just(Sent::Old),
        1 => Just(Sent::Absent),
    ];
    let scheme = prop_oneof![4 => Just("DPoP"), 1 => Just("Bearer")];
    let step = prop_oneof![
        20 => (0..6_usize, scheme, proof)
            .prop_map(|(token, scheme, proof)| BoundStep::Request { token, scheme, proof }),
        1 => (0..90_u64).prop_map(BoundStep::Advance),
        1 => (0..2_usize).prop_map(BoundStep::ReplaceKeys),
    ];
    prop::collection::vec(step, 20..80)
}

#[test]
fn the_cache_never_changes_an_outcome_of_a_token_that_is_bound_to_a_key() {
    let seen = RefCell::new(std::collections::BTreeMap::<&'static str, usize>::new());
    let config =
        ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config)
        .run(&bound_steps(), |steps| run_bound(&steps, &mut seen.borrow_mut()));
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let seen = seen.into_inner();
    for kind in [
        "accepted",
        "unverified_confirmation",
        "missing_proof",
        "wrong_proof_target",
        "wrong_proof_token",
        "proof_not_current",
        "replayed_proof",
        "expired",
        "algorithm_mismatch",
    ] {
        assert!(seen.contains_key(kind), "{kind}: {seen:?}");
    }
}

fn run_bound(
    steps: &[BoundStep],
    seen: &mut std::collections::BTreeMap<&'static str, usize>,
) -> Result<(), TestCaseError> {
    const URL: &str = "https://api.example/orders";

    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let keys = KeySetHandle::new(key_set(0));
    let layer = |capacity: u64| {
        let authenticator: Authenticator = Authenticator::builder()
            .issuer(Issuer::new("https://issuer.example", keys.clone()).audience("a"))
            .with_clock(clock.clone())
            .with_token_cache_capacity(capacity)
            .cache_hmac_tokens()
            .build()
            .unwrap();
        // Each layer remembers its own proofs.
        BearerLayer::new(authenticator).with_dpop(Dpop::new(["https://api.example"]).unwrap())
    };
    let (cached, plain) = (layer(1 << 20), layer(0));
    let proof_keys = [(); 2].map(|()| ProofKey::new().with_clock(clock.clone()));
    let tokens: Vec<String> = ["ES256", "HS256"]
        .into_iter()
        .flat_map(|alg| {
            let bound =
                proof_keys.iter().map(|key| format!(r#","cnf":{{"jkt":"{}"}}"#, key.thumbprint()));
            bound.chain([String::new()]).map(move |cnf| {
                let claims = format!(
                    r#"{{"iss":"https://issuer.example","aud":"a","sub":"s","exp":{}{cnf}}}"#,
                    NOW + 150
                );
                match alg {
                    "ES256" => {
                        let header = r#"{"alg":"ES256","kid":"a"}"#;
                        tokens::sign(Theirs::ES256, &p256_key(), header, &claims)
                    }
                    _ => tokens::sign_hs256(r#"{"alg":"HS256"}"#, &claims),
                }
            })
        })
        .collect();
    // The request before.
    let mut latest: (usize, &str, Option<String>) = (0, "DPoP", None);
    for step in steps {
        let (token, scheme, proof) = match step {
            BoundStep::Advance(seconds) => {
                clock.advance(Duration::from_secs(*seconds));
                continue;
            }
            BoundStep::ReplaceKeys(number) => {
                // Without the key `a`, or with it.
                keys.replace(key_set([0, 4][*number]));
                continue;
            }
            BoundStep::Request { proof: Sent::Repeated, .. } => {
                (latest.0, latest.1, Sent::Repeated)
            }
            BoundStep::Request { token, scheme, proof } => (*token, *scheme, *proof),
        };
        let own = &proof_keys[(token % 3) % 2];
        let new = own.proof("GET", URL, &tokens[token]);
        let proof = match proof {
            Sent::New { key } => Some(proof_keys[key].proof("GET", URL, &tokens[token]).issue()),
            Sent::Repeated => latest.2.clone(),
            Sent::WrongMethod => Some(new.claim("htm", "POST").issue()),
            Sent::OfOtherToken => Some(own.proof("GET", URL, &tokens[(token + 1) % 6]).issue()),
            Sent::Old => Some(new.claim("iat", clock.now().as_secs() - 61).issue()),
            Sent::Absent => None,
        };
        latest = (token, scheme, proof.clone());
        let request = || {
            let request = Request::get("/orders")
                .header(AUTHORIZATION, format!("{scheme} {}", tokens[token]));
            let request = match &proof {
                Some(proof) => request.header("dpop", proof),
                None => request,
            };
            request.body(Body::default()).unwrap()
        };
        let [cached, plain] = [&cached, &plain].map(|layer| {
            let outcome = block_on(send(layer.layer(open()), request()));
            let key = outcome.authenticated().map(|user| user.proof_key().map(str::to_owned));
            (outcome.rejection, outcome.status, key)
        });
        prop_assert_eq!(&cached, &plain, "{:?}", step);
        *seen.entry(cached.0.map_or("accepted", RejectionKind::as_str)).or_default() += 1;
    }
    Ok(())
}
