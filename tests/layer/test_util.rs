//! What `test_util` promises to the tests of services: good tokens are accepted, each bad one is refused for just its
//! flaw, handlers are called without tokens, and the store fails when it is told to.

use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use axum::{Router, routing::get};
use futures_util::FutureExt;
use http::{Request, StatusCode, header::AUTHORIZATION};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower::{Layer, Service, ServiceExt};
use tower_bearer::{
    Algorithm, Authenticated, Authenticator, BearerLayer, BoxFuture, Issuer, KeySet, RejectionKind,
    RevocationCache, UnixTime,
    claims::{MAX_LEEWAY, ManualClock, UntypedClaims},
    jws::SigningKey,
    revocation::{
        Lookup, MemoryStore, OnUnavailable, Revocable, RevocationEntry, RevocationStore,
        StoreError, Verdict,
    },
    test_util::{
        self, FakeStore, FixedUserLayer, StoreBehavior, TestIssuer, TestToken,
        revocation_conformance,
    },
};

use crate::common::{
    requests::{Body, NOW, body, open, send},
    tokens::block_on,
};

const NOT_REVOKED: StoreBehavior = StoreBehavior::Answers(Verdict::NotRevoked);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Claims {
    sub: String,
    tenant: u32,
}

fn issuer() -> TestIssuer {
    TestIssuer::new().with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
}

/// One with a key for each algorithm that signs.
fn issuers() -> impl Iterator<Item = TestIssuer> {
    [Algorithm::ES256, Algorithm::EdDSA, Algorithm::HS256]
        .into_iter()
        .chain(cfg!(feature = "aws-lc-rs").then_some(Algorithm::RS256))
        .map(|algorithm| issuer().with_key(SigningKey::generate(algorithm).unwrap()))
}

fn verdict<C: Send + Sync + 'static>(
    authenticator: &Authenticator<C>,
    token: &TestToken,
) -> Result<Authenticated<C>, RejectionKind> {
    block_on(authenticator.authenticate(&token.issue())).map_err(|refused| refused.kind())
}

fn with(token: &TestToken) -> Request<Body> {
    body(Request::get("/").header(AUTHORIZATION, token.bearer()))
}

type Change = fn(TestToken) -> TestToken;

/// Everything that spoils a token, and the reason for which alone it is refused.
const FLAWS: [(Change, RejectionKind); 11] = [
    (TestToken::expired, RejectionKind::Expired),
    (TestToken::not_yet_valid, RejectionKind::NotYetValid),
    (|token| token.for_audience("api://other"), RejectionKind::WrongAudience),
    (TestToken::with_bad_signature, RejectionKind::BadSignature),
    (TestToken::of_unknown_key, RejectionKind::UnknownKey),
    (|token| token.without("exp"), RejectionKind::MissingClaim),
    (|token| token.without("iss"), RejectionKind::MissingClaim),
    (|token| token.without("aud"), RejectionKind::MissingClaim),
    (|token| token.claim("iss", "https://other.test"), RejectionKind::UnknownIssuer),
    (|token| token.with_typ("dpop+jwt"), RejectionKind::WrongType),
    (|token| token.claim("sub", 7), RejectionKind::InvalidClaim),
];

#[test]
fn a_token_without_changes_is_accepted() {
    for issuer in issuers().chain([TestIssuer::default()]) {
        let user = verdict(&issuer.authenticator::<UntypedClaims>(), &issuer.token()).unwrap();
        assert_eq!(user.registered().issuer(), TestIssuer::NAME);
        assert!(user.registered().audience().contains(TestIssuer::AUDIENCE));
        assert_eq!(user.registered().subject(), Some("test-user"));
        assert_eq!(user.scopes().iter().count(), 0);
    }
}

#[test]
fn the_claims_of_a_test_token_reach_the_handler() {
    let issuer = issuer().with_name("https://idp.example").with_audience("api://orders");
    let token = issuer
        .token()
        .subject("ada")
        .scope("orders:read orders:write")
        .claims(json!({ "tenant": 6, "groups": ["a", "b"] }))
        .claim("tenant", 7)
        .expires_in(Duration::from_secs(90));
    let user = verdict(&issuer.authenticator::<UntypedClaims>(), &token).unwrap();
    assert_eq!(user.registered().issuer(), "https://idp.example");
    assert!(user.registered().audience().contains("api://orders"));
    assert_eq!(user.registered().subject(), Some("ada"));
    assert!(user.scopes().contains("orders:read") && user.scopes().contains("orders:write"));
    assert_eq!(user.claims().get("tenant"), Some(&json!(7)));
    assert_eq!(user.claims().get("groups"), Some(&json!(["a", "b"])));
    assert_eq!(user.registered().issued_at(), Some(UnixTime::from_secs(NOW)));
    assert_eq!(user.registered().expires_at(), UnixTime::from_secs(NOW + 90));
}

#[test]
fn each_token_has_its_own_id_and_issue_repeats_it() {
    let issuer = issuer();
    let authenticator = issuer.authenticator::<UntypedClaims>();
    let id = |token| verdict(&authenticator, token).unwrap().revocation_id().to_owned();
    let token = issuer.token();
    assert_eq!(id(&token), id(&token));
    assert_ne!(id(&token), id(&issuer.token()));
}

#[test]
fn each_invalid_token_is_rejected_for_its_reason() {
    for issuer in issuers() {
        let authenticator = issuer.authenticator::<UntypedClaims>();
        for (spoil, kind) in FLAWS {
            let refused = verdict(&authenticator, &spoil(issuer.token())).unwrap_err();
            assert_eq!(refused, kind, "{issuer:?}");
        }
    }
}

#[test]
fn expired_and_not_yet_valid_tokens_are_beyond_every_leeway() {
    let (issuer, clock) = (issuer(), ManualClock::at(UnixTime::from_secs(NOW)));
    let lenient = issuer.issuer().with_leeway(MAX_LEEWAY);
    let authenticator = Authenticator::builder().issuer(lenient).with_clock(clock.clone());
    let authenticator = authenticator.build().unwrap();
    let kind = |token: &TestToken| verdict(&authenticator, token).err();
    assert_eq!(kind(&issuer.token().expired()), Some(RejectionKind::Expired));
    let early = issuer.token().not_yet_valid();
    assert_eq!(kind(&early), Some(RejectionKind::NotYetValid));
    clock.advance(Duration::from_secs(1));
    assert_eq!(kind(&early), None, "one second was missing");
}

#[test]
fn the_clock_of_the_issuer_is_that_of_its_authenticator() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let issuer = issuer().with_clock(clock.clone());
    let authenticator = issuer.authenticator::<UntypedClaims>();
    let token = issuer.token().expires_in(Duration::from_secs(60));
    clock.advance(Duration::from_secs(89));
    assert!(verdict(&authenticator, &token).is_ok());
    clock.advance(Duration::from_secs(1));
    assert_eq!(verdict(&authenticator, &token).unwrap_err(), RejectionKind::Expired);
    assert!(verdict(&authenticator, &issuer.token()).is_ok());
}

#[test]
fn two_issuers_of_one_name_do_not_trust_each_other() {
    for (one, other) in issuers().zip(issuers()) {
        let refused = verdict(&one.authenticator::<UntypedClaims>(), &other.token());
        assert_eq!(refused.unwrap_err(), RejectionKind::UnknownKey);
    }
}

#[test]
fn its_public_keys_can_be_published() {
    let secret = issuer().with_key(SigningKey::hs256([7; 32]).unwrap());
    assert_eq!(secret.jwks_json(), r#"{"keys":[]}"#);
    for issuer in issuers().filter(|issuer| issuer.jwks_json() != secret.jwks_json()) {
        let keys = KeySet::from_jwks_json(&issuer.jwks_json()).unwrap();
        let published = Issuer::new(TestIssuer::NAME, keys).audience(TestIssuer::AUDIENCE);
        let authenticator = Authenticator::builder().issuer(published);
        let authenticator =
            authenticator.with_clock(ManualClock::at(UnixTime::from_secs(NOW))).build().unwrap();
        assert!(verdict(&authenticator, &issuer.token()).is_ok());
    }
}

#[test]
fn a_handler_is_called_without_a_token() {
    fn tenant(user: &Authenticated<Claims>) -> u32 {
        user.claims().tenant
    }

    let claims = Claims { sub: "ada".into(), tenant: 7 };
    let user = test_util::authenticated(&claims);
    assert_eq!((tenant(&user), user.claims()), (7, &claims));
    assert!(user.registered().audience().contains(TestIssuer::AUDIENCE));
}

#[test]
fn an_invalid_token_panics_with_its_rejection_kind_only() {
    for (spoil, kind) in FLAWS {
        let token = spoil(issuer().token().claim("secret", "5ecr3t"));
        let text = panic_of(|| token.authenticated::<UntypedClaims>());
        assert_eq!(text, format!("the authenticator rejects this `TestToken`: {kind}"));
    }
    let text = panic_of(|| test_util::authenticated::<Claims>(json!({ "tenant": "5ecr3t" })));
    assert_eq!(text, "the authenticator rejects this `TestToken`: claims_mismatch");
    assert!(!format!("{:#?}", issuer().token().claim("secret", "5ecr3t")).contains("5ecr3t"));
}

fn panic_of<T>(call: impl FnOnce() -> T) -> String {
    let panic = catch_unwind(AssertUnwindSafe(|| drop(call()))).unwrap_err();
    *panic.downcast().unwrap()
}

async fn orders(user: Authenticated<Claims>) -> String {
    format!("the orders of {}", user.claims().sub)
}

fn routes() -> Router {
    Router::new().route("/", get(orders))
}

#[tokio::test]
async fn a_router_behind_a_fixed_user_layer_gets_that_user() {
    let ada = test_util::authenticated::<Claims>(Claims { sub: "ada".into(), tenant: 7 });
    let app = routes().layer(FixedUserLayer::new(ada));
    let bob = issuer().token().subject("bob");
    for request in [body(Request::get("/")), with(&bob)] {
        let outcome = send(app.clone(), request.map(axum::body::Body::new)).await;
        assert_eq!((outcome.status, &*outcome.body), (StatusCode::OK, "the orders of ada"));
    }
}

#[tokio::test]
async fn a_fixed_user_does_not_bypass_a_bearer_layer() {
    let ada = issuer().token().subject("ada").authenticated::<UntypedClaims>();
    for layer in [issuer().layer::<UntypedClaims>(), issuer().layer().optional()] {
        let app = layer.require_scopes([""; 0]).layer(open());
        let app = FixedUserLayer::new(ada.clone()).layer(layer.layer(app));
        let outcome = send(app, body(Request::get("/"))).await;
        assert_eq!(outcome.rejection, Some(RejectionKind::MissingCredential));
        assert_eq!(outcome.status, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn scopes_are_required_of_the_fixed_user() {
    let issuer = issuer();
    let demand = issuer.layer::<UntypedClaims>().require_scopes(["admin"]);
    for (scope, status) in [("admin", StatusCode::OK), ("other", StatusCode::FORBIDDEN)] {
        let user = issuer.token().scope(scope).authenticated::<UntypedClaims>();
        let app = FixedUserLayer::new(user).layer(demand.layer(open()));
        assert_eq!(send(app, body(Request::get("/"))).await.status, status);
    }
}

#[test]
fn a_fixed_user_layer_fits_wherever_a_bearer_layer_does() {
    fn is_host_ready<T: Clone + Send + Sync + 'static>(_: &T) {}
    fn is_service<S: Service<Request<Body>, Error = Infallible, Future: Send>>(_: &S) {}

    // No claims are cloned or shown.
    #[derive(Deserialize)]
    struct Plain {}
    let layer = FixedUserLayer::new(issuer().token().authenticated::<Plain>());
    let service = layer.layer(open());
    is_host_ready(&layer);
    is_host_ready(&service);
    is_service(&service);
    assert!(format!("{layer:?}").starts_with("FixedUserLayer(Authenticated {"));
}

#[tokio::test]
async fn through_the_layer_valid_tokens_pass_and_invalid_ones_are_401() {
    let issuer = issuer();
    let app = issuer.layer::<Claims>().layer(open());
    send(app.clone(), with(&issuer.token().claim("tenant", 7))).await.assert_passed();
    for (spoil, kind) in FLAWS {
        let outcome = send(app.clone(), with(&spoil(issuer.token().claim("tenant", 7)))).await;
        assert_eq!(outcome.status, StatusCode::UNAUTHORIZED);
        assert_eq!(outcome.rejection, Some(kind));
    }
    assert!(issuer.token().bearer().is_sensitive());
}

fn over(store: &FakeStore, issuer: &TestIssuer) -> (BearerLayer, RevocationCache) {
    let revocation = RevocationCache::new(store.clone(), Duration::ZERO)
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let authenticator = issuer.authenticator().with_revocation(revocation.clone());
    (BearerLayer::new(authenticator), revocation)
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_503_until_it_does() {
    let issuer = issuer();
    for habit in [StoreBehavior::Fails, StoreBehavior::Hangs, StoreBehavior::Panics] {
        let store = FakeStore::new(NOT_REVOKED);
        let (layer, _) = over(&store, &issuer);
        let status = async || send(layer.layer(open()), with(&issuer.token())).await.status;
        assert_eq!(status().await, StatusCode::OK);
        store.set_behavior(habit);
        assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE, "{habit:?}");
        store.set_behavior(NOT_REVOKED);
        assert_eq!(status().await, StatusCode::OK);
        assert_eq!(store.lookups(), 3);
        store.set_behavior(StoreBehavior::Answers(Verdict::Revoked));
        assert_eq!(status().await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_lookup_that_hangs_is_answered_after_a_new_behavior() {
    let (store, issuer) = (FakeStore::new(StoreBehavior::Hangs), issuer());
    let (layer, _) = over(&store, &issuer);
    let waiting = tokio::spawn(layer.layer(open()).oneshot(with(&issuer.token())));
    while store.lookups() == 0 {
        tokio::task::yield_now().await;
    }
    store.set_behavior(StoreBehavior::Answers(Verdict::Revoked));
    assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_revocation_fails_and_hangs_as_the_store_does() {
    let store = FakeStore::new(NOT_REVOKED);
    let token = Revocable::token(TestIssuer::NAME, "a");
    let told = || {
        store
            .revoke(&RevocationEntry::restored(token.clone(), UnixTime::from_secs(NOW + 60)))
            .now_or_never()
            .map(|told| told.is_ok())
    };
    assert_eq!(told(), Some(true));
    store.set_behavior(StoreBehavior::Fails);
    assert_eq!(told(), Some(false));
    store.set_behavior(StoreBehavior::Hangs);
    assert_eq!(told(), None);
    assert_eq!(store.lookups(), 0, "nobody looked anything up");

    // It takes revocations, and knows nothing of them.
    store.set_behavior(NOT_REVOKED);
    assert_eq!(told(), Some(true));
    let verdict = store.look_up(&Lookup::new([token.clone()], UnixTime::from_secs(NOW))).await;
    assert_eq!(verdict.unwrap(), Verdict::NotRevoked);
}

#[tokio::test]
async fn a_policy_for_outages_can_be_tested() {
    let (store, issuer) = (FakeStore::new(StoreBehavior::Fails), issuer());
    let revocation =
        RevocationCache::new(store, Duration::ZERO).with_on_unavailable(OnUnavailable::Allow);
    let authenticator = issuer.authenticator::<UntypedClaims>().with_revocation(revocation.clone());
    assert!(authenticator.authenticate(&issuer.token().issue()).await.is_ok());
    assert_eq!(revocation.stats().allowed, 1);
}

/// A store that changes entries and lookups on their way to a good one.
struct Broken {
    good: MemoryStore,
    entry: fn(&RevocationEntry) -> Option<RevocationEntry>,
    lookup: fn(&Lookup) -> Lookup,
}

impl RevocationStore for Broken {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        Box::pin(async move { self.good.look_up(&(self.lookup)(lookup)).await })
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            match (self.entry)(entry) {
                Some(entry) => self.good.revoke(&entry).await,
                None => Ok(()),
            }
        })
    }
}

/// What the suite says about such a store.
async fn broken_rule(
    entry: fn(&RevocationEntry) -> Option<RevocationEntry>,
    lookup: fn(&Lookup) -> Lookup,
) -> String {
    let make = async |clock| {
        let good = MemoryStore::new().with_clock(clock);
        Broken { good, entry, lookup }
    };
    let checked = AssertUnwindSafe(revocation_conformance::check(make)).catch_unwind().await;
    *checked.unwrap_err().downcast::<String>().unwrap()
}

fn as_it_is(entry: &RevocationEntry) -> Option<RevocationEntry> {
    Some(entry.clone())
}

fn restored(
    entry: &RevocationEntry,
    thing: Revocable,
    obsolete_after: UnixTime,
) -> RevocationEntry {
    RevocationEntry::restored(thing, obsolete_after)
        .with_cut_off(entry.cut_off())
        .with_start(entry.starts_at())
}

fn lower_case(thing: &Revocable) -> Revocable {
    Revocable::new(thing.kind(), thing.issuer().clone(), thing.id().to_lowercase())
}

#[tokio::test]
async fn the_suite_names_the_rule_that_a_revocation_store_breaks() {
    let forgets = broken_rule(|_| None, Lookup::clone).await;
    let rule = "an entry of each kind is found by the next lookup: ";
    assert!(forgets.starts_with(&format!("broken rule: {rule}")), "{forgets}");

    let five =
        |lookup: &Lookup| Lookup::new(lookup.things().iter().take(5).cloned(), lookup.issued_at());
    let old = |lookup: &Lookup| Lookup::new(lookup.things().iter().cloned(), UnixTime::EPOCH);
    for (found, rule) in [
        (broken_rule(as_it_is, five).await, "one revoked thing is enough at any position"),
        (broken_rule(as_it_is, old).await, "a cut off revokes what was issued at it or before"),
        (
            broken_rule(
                |entry| Some(restored(entry, lower_case(entry.thing()), entry.obsolete_after())),
                |lookup| Lookup::new(lookup.things().iter().map(lower_case), lookup.issued_at()),
            )
            .await,
            "an entry revokes only its thing",
        ),
        (
            broken_rule(|entry| Some(entry.clone().with_start(UnixTime::EPOCH)), Lookup::clone)
                .await,
            "an entry revokes from its start on and not before",
        ),
        (
            broken_rule(
                |entry| {
                    let shorter = entry.obsolete_after() - Duration::from_secs(1);
                    Some(restored(entry, entry.thing().clone(), shorter))
                },
                Lookup::clone,
            )
            .await,
            "an entry is kept through its last second",
        ),
        (
            broken_rule(
                |entry| {
                    let cut_off = match entry.cut_off() {
                        UnixTime::MAX => UnixTime::MAX,
                        cut_off => cut_off - Duration::from_secs(1),
                    };
                    Some(entry.clone().with_cut_off(cut_off))
                },
                Lookup::clone,
            )
            .await,
            "a cut off revokes what was issued at it or before",
        ),
    ] {
        assert!(found.starts_with(&format!("broken rule: {rule}: ")), "{found}");
    }
}
