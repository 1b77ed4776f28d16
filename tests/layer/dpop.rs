//! DPoP at the layer: modes, challenges, metadata, gRPC, stores of used proofs, limits, gateways.

use std::{
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

use http::{HeaderName, Request, StatusCode, header::AUTHORIZATION};
use tokio::sync::Semaphore;
use tower::Layer;
use tower_bearer::{
    Authenticator, BearerLayer, BoxFuture, CheckError, ConfigError, ProtectedResource,
    RejectionKind, UnixTime,
    claims::{Clock, ManualClock},
    dpop::{Dpop, NonceKey, ProofUse, Recorded, ReplayLimits, ReplayStore},
    revocation::{OnUnavailable, StoreError},
    test_util::ProofKey,
};

use crate::common::requests::{
    Body, NOW, Outcome, authenticator, builder, issuer, layer, open, send, token, token_with,
};

const URL: &str = "https://api.example/orders";
const BODY: &str =
    r#"{"code":"dpop_proof_not_valid","detail":"DPoP proof is invalid, expired or already used."}"#;

fn clock() -> ManualClock {
    ManualClock::at(UnixTime::from_secs(NOW))
}

fn dpop() -> Dpop {
    Dpop::new(["https://api.example"]).unwrap()
}

struct Client {
    key: ProofKey,
    token: String,
}

impl Client {
    fn new() -> Self {
        Self::of("me")
    }

    fn of(subject: &str) -> Self {
        let key = ProofKey::new().with_clock(clock());
        // `token_with` writes `sub` itself, so the subject is the second one of these tokens.
        let cnf = format!(r#"{{"jkt":"{}"}}"#, key.thumbprint());
        let token = match subject {
            "me" => token_with(&format!(r#""exp":{},"cnf":{cnf}"#, NOW + 600)),
            other => crate::common::tokens::sign_hs256(
                r#"{"alg":"HS256"}"#,
                &format!(
                    r#"{{"iss":"https://issuer.example","aud":"api://orders","sub":"{other}","exp":{},"cnf":{cnf}}}"#,
                    NOW + 600
                ),
            ),
        };
        Self { key, token }
    }

    /// A request with this proof.
    fn with(&self, proof: &str) -> Request<Body> {
        Request::get("/orders")
            .header(AUTHORIZATION, format!("DPoP {}", self.token))
            .header("dpop", proof)
            .body(Body::default())
            .unwrap()
    }

    /// A request with a new proof.
    fn request(&self) -> Request<Body> {
        self.with(&self.key.proof("GET", URL, &self.token).issue())
    }
}

async fn through(layer: &BearerLayer, request: Request<Body>) -> Outcome {
    send(layer.layer(open()), request).await
}

fn bearer(token: &str) -> Request<Body> {
    Request::get("/orders")
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::default())
        .unwrap()
}

fn challenge(outcome: &Outcome) -> &str {
    outcome.headers["www-authenticate"].to_str().unwrap()
}

#[tokio::test]
async fn the_service_sees_the_key_of_the_token() {
    let (layer, client) = (layer().with_dpop(dpop()), Client::new());
    let outcome = through(&layer, client.request()).await;
    outcome.assert_passed();
    let user = outcome.authenticated().unwrap();
    assert_eq!(user.proof_key(), Some(&*client.key.thumbprint()));
    assert_eq!(user.client_certificate(), None);
    let outcome = through(&layer, bearer(&token())).await;
    assert_eq!(outcome.authenticated().unwrap().proof_key(), None);
}

#[tokio::test]
async fn both_schemes_are_offered_and_the_error_is_in_the_one_of_the_request() {
    let (layer, client) = (layer().with_dpop(dpop()), Client::new());
    let algs = r#"algs="ES256 ES384 EdDSA RS256 PS256""#;
    let none = Request::get("/orders").body(Body::default()).unwrap();
    assert_eq!(
        challenge(&through(&layer, none).await),
        format!(r#"Bearer realm="api", DPoP realm="api", {algs}"#)
    );
    let invalid = r#"error="invalid_token", error_description="Token is invalid or expired""#;
    assert_eq!(
        challenge(&through(&layer, bearer("a.b.c")).await),
        format!(r#"Bearer realm="api", {invalid}, DPoP realm="api", {algs}"#)
    );
    let unbound = Client { key: client.key.clone(), token: token() };
    assert_eq!(
        challenge(&through(&layer, unbound.request()).await),
        format!(r#"DPoP realm="api", {algs}, {invalid}, Bearer realm="api""#)
    );
    let outcome = through(&layer, client.with("x")).await;
    assert_eq!((outcome.status, &*outcome.body), (StatusCode::UNAUTHORIZED, BODY));
    let description = r#"error_description="DPoP proof is invalid, expired or already used.""#;
    assert_eq!(
        challenge(&outcome),
        format!(
            r#"DPoP realm="api", {algs}, error="invalid_dpop_proof", {description}, Bearer realm="api""#
        )
    );
}

#[tokio::test]
async fn where_bound_tokens_are_required_only_dpop_is_offered() {
    let (required, client) = (layer().with_dpop(dpop().required()), Client::new());
    for request in
        [Request::get("/orders").body(Body::default()).unwrap(), bearer(&token()), client.with("x")]
    {
        let outcome = through(&required, request).await;
        assert_eq!(outcome.status, StatusCode::UNAUTHORIZED);
        assert!(challenge(&outcome).starts_with("DPoP realm=\"api\", algs=\"ES256 "));
        assert!(!challenge(&outcome).contains("Bearer"), "{}", challenge(&outcome));
    }
    through(&required, client.request()).await.assert_passed();
}

#[tokio::test]
async fn a_missing_scope_is_an_error_of_the_scheme_that_was_used() {
    let (layer, client) = (layer().with_dpop(dpop()), Client::new());
    let admin = layer.require_scopes(["admin"]);
    let service = layer.layer(admin.layer(open()));
    let outcome = send(service.clone(), client.request()).await;
    assert_eq!(outcome.status, StatusCode::FORBIDDEN);
    let text = challenge(&outcome);
    assert!(text.starts_with("DPoP "), "{text}");
    let (dpop, bearer) = text.split_once(", Bearer ").unwrap();
    assert!(dpop.contains("insufficient_scope") && !bearer.contains("error"), "{text}");
    let outcome = send(service, bearer_request()).await;
    let (bearer, dpop) = challenge(&outcome).split_once(", DPoP ").unwrap();
    assert!(bearer.contains("insufficient_scope") && !dpop.contains("error"), "{bearer}");
}

fn bearer_request() -> Request<Body> {
    bearer(&token())
}

#[test]
fn the_metadata_document_names_the_algorithms_and_the_requirement() {
    let with = |dpop| {
        let resource = ProtectedResource::new("https://api.example").unwrap();
        let layer = layer().with_dpop(dpop).with_resource(resource);
        let document = layer.resource_metadata().unwrap().document().to_owned();
        serde_json::from_str::<serde_json::Value>(&document).unwrap()
    };
    let (allowed, required) = (with(dpop()), with(dpop().required()));
    let algorithms = serde_json::json!(["ES256", "ES384", "EdDSA", "RS256", "PS256"]);
    assert_eq!(allowed["dpop_signing_alg_values_supported"], algorithms);
    assert_eq!(allowed.get("dpop_bound_access_tokens_required"), None);
    assert_eq!(required["dpop_bound_access_tokens_required"], true);
}

#[tokio::test]
async fn grpc_requests_are_checked_and_answered_in_the_same_way() {
    let nonces = NonceKey::from_bytes([7; 32]);
    let (layer, client) = (layer().with_dpop(dpop().with_nonces(nonces)), Client::new());
    let request = |nonce: &str| {
        let url = "https://api.example/package.Service/Method";
        let proof = client.key.proof("POST", url, &client.token).with_nonce(nonce);
        Request::post("/package.Service/Method")
            .header("content-type", "application/grpc")
            .header("authorization", format!("DPoP {}", client.token))
            .header("dpop", proof.value())
            .body(Body::default())
            .unwrap()
    };
    let outcome = through(&layer, request("")).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::UseDpopNonce));
    assert_eq!(outcome.status, StatusCode::OK);
    assert_eq!(outcome.headers["grpc-status"], "16");
    assert!(challenge(&outcome).contains("use_dpop_nonce"));
    let nonce = outcome.headers["dpop-nonce"].to_str().unwrap();
    let outcome = through(&layer, request(nonce)).await;
    assert_eq!((outcome.status, outcome.rejection), (StatusCode::OK, None));
    assert_eq!(outcome.body, "from the service behind the layer");
}

#[tokio::test]
async fn each_refusal_of_a_proof_is_a_grpc_status() {
    const GRPC_URL: &str = "https://api.example/package.Service/Method";

    let (store, client, other) = (Store::default(), Client::new(), Client::new());
    let layer = layer().with_dpop(dpop().with_replay_store(store.clone()));
    let send = async |proof: &str| {
        let mut request = Request::post("/package.Service/Method")
            .header("content-type", "application/grpc")
            .header("authorization", format!("DPoP {}", client.token));
        if !proof.is_empty() {
            request = request.header("dpop", proof);
        }
        through(&layer, request.body(Body::default()).unwrap()).await
    };
    let proof = |method: &str, url: &str| client.key.proof(method, url, &client.token).issue();
    let good = proof("POST", GRPC_URL);
    assert_eq!(send(&good).await.rejection, None);
    let refused = [
        (String::new(), RejectionKind::MissingProof),
        ("x".to_owned(), RejectionKind::MalformedProof),
        (proof("GET", GRPC_URL), RejectionKind::WrongProofTarget),
        (proof("POST", URL), RejectionKind::WrongProofTarget),
        (client.key.proof("POST", GRPC_URL, "other").issue(), RejectionKind::WrongProofToken),
        (
            other.key.proof("POST", GRPC_URL, &client.token).issue(),
            RejectionKind::UnverifiedConfirmation,
        ),
        (good, RejectionKind::ReplayedProof),
    ];
    for (proof, kind) in refused {
        let outcome = send(&proof).await;
        assert_eq!(outcome.rejection, Some(kind));
        assert_eq!((outcome.status, outcome.body.as_str()), (StatusCode::OK, ""));
        assert_eq!(outcome.headers["grpc-status"], "16", "{kind:?}");
        assert!(challenge(&outcome).contains("DPoP "), "{kind:?}");
    }
    store.0.lock().unwrap().fails = true;
    let outcome = send(&proof("POST", GRPC_URL)).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::ReplayUnavailable));
    assert_eq!(outcome.headers["grpc-status"], "14");
}

/// Answers as it is set.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    fails: bool,
    proofs: Vec<([u8; 16], Duration)>,
}

impl ReplayStore for Store {
    fn record(&self, proof: ProofUse) -> BoxFuture<'static, Result<Recorded, StoreError>> {
        let store = Arc::clone(&self.0);
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut seen = store.lock().unwrap();
            if seen.fails {
                return Err(StoreError::new("down"));
            }
            if seen.proofs.iter().any(|(id, _)| *id == proof.id()) {
                return Ok(Recorded::Replay);
            }
            seen.proofs.push((proof.id(), proof.keep_for()));
            Ok(Recorded::FirstUse)
        })
    }
}

#[tokio::test]
async fn a_common_store_is_asked_after_every_other_check() {
    let (store, client) = (Store::default(), Client::new());
    let one = layer().with_dpop(dpop().with_replay_store(store.clone()));
    let two = layer().with_dpop(dpop().with_replay_store(store.clone()));
    let proof = client.key.proof("GET", URL, &client.token).issue();
    through(&one, client.with(&proof)).await.assert_passed();
    let outcome = through(&two, client.with(&proof)).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::ReplayedProof));
    assert_eq!(outcome.body, BODY);
    assert!(challenge(&outcome).starts_with("DPoP "));
    // 60 seconds, twice the leeway, and the last second.
    let window = Duration::from_secs(121);
    assert_eq!(store.0.lock().unwrap().proofs.iter().map(|(_, keep)| *keep).max(), Some(window));

    let authenticator: Authenticator =
        builder().add_async_check(|_| async { Err(CheckError::Rejected) }).build().unwrap();
    let strict = BearerLayer::new(authenticator);
    let strict = strict.with_dpop(dpop().with_replay_store(store.clone()));
    let outcome = through(&strict, client.request()).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::CheckFailed));
    assert_eq!(store.0.lock().unwrap().proofs.len(), 1);
}

#[tokio::test]
async fn a_store_that_fails_is_503_unless_it_is_allowed() {
    let (store, client) = (Store::default(), Client::new());
    store.0.lock().unwrap().fails = true;
    let with = |on_unavailable| {
        let dpop = dpop().with_replay_store(store.clone());
        layer().with_dpop(dpop.with_on_unavailable(on_unavailable))
    };
    for denies in [OnUnavailable::Deny, OnUnavailable::ServeStale(Duration::MAX)] {
        let outcome = through(&with(denies), client.request()).await;
        assert_eq!(outcome.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(outcome.rejection, Some(RejectionKind::ReplayUnavailable));
    }
    through(&with(OnUnavailable::Allow), client.request()).await.assert_passed();
}

#[tokio::test]
async fn above_a_limit_requests_get_503_and_other_subjects_pass() {
    let limits = ReplayLimits::default().with_per_key(2).with_per_subject(3).with_total(100);
    let layer = layer().with_dpop(dpop().with_replay_limits(limits));
    let (one, other_key, other) = (Client::new(), Client::new(), Client::of("other"));
    let used = one.key.proof("GET", URL, &one.token).issue();
    through(&layer, one.with(&used)).await.assert_passed();
    // A thief who repeats a proof does not use up the places of its owner.
    for _ in 0..5 {
        let outcome = through(&layer, one.with(&used)).await;
        assert_eq!(outcome.rejection, Some(RejectionKind::ReplayedProof));
    }
    through(&layer, one.request()).await.assert_passed();
    let unavailable = Some(RejectionKind::ReplayUnavailable);
    assert_eq!(through(&layer, one.request()).await.rejection, unavailable);
    through(&layer, other_key.request()).await.assert_passed();
    assert_eq!(through(&layer, other_key.request()).await.rejection, unavailable);
    through(&layer, other.request()).await.assert_passed();
    through(&layer, bearer(&token())).await.assert_passed();
}

#[tokio::test]
async fn a_gateway_leaves_the_proof_for_the_service_behind_it() {
    let gateway = layer().with_dpop(dpop().allow_unrecorded_proofs());
    let (service, client) = (layer().with_dpop(dpop()), Client::new());
    let proof = client.key.proof("GET", URL, &client.token).issue();
    let both = gateway.layer(service.layer(open()));
    send(both.clone(), client.with(&proof)).await.assert_passed();
    let outcome = send(both, client.with(&proof)).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::ReplayedProof));
    // Alone, the gateway would let it pass again.
    through(&gateway, client.with(&proof)).await.assert_passed();
}

#[tokio::test]
async fn the_proof_is_concealed_or_removed_with_the_token() {
    let client = Client::new();
    let outcome = through(&layer().with_dpop(dpop()), client.request()).await;
    let seen = outcome.seen.unwrap().headers;
    assert!(seen["dpop"].is_sensitive() && seen[AUTHORIZATION].is_sensitive());
    let strip = layer().with_dpop(dpop()).strip_credential();
    let seen = through(&strip, client.request()).await.seen.unwrap().headers;
    assert!(!seen.contains_key("dpop") && !seen.contains_key(AUTHORIZATION));
    // Without DPoP, the header is one like any other.
    let request = || {
        let mut request = bearer(&token());
        request.headers_mut().insert("dpop", "x".parse().unwrap());
        request
    };
    let seen = through(&layer().strip_credential(), request()).await.seen.unwrap().headers;
    assert_eq!(seen["dpop"], "x");
}

#[tokio::test]
async fn an_optional_layer_rejects_what_may_be_a_dpop_credential() {
    let optional = layer().with_dpop(dpop()).optional();
    let with =
        |value: &str| Request::get("/").header(AUTHORIZATION, value).body(Body::default()).unwrap();
    through(&optional, with("Basic x")).await.assert_passed();
    for value in ["DPoP", "DPoPx", "Basic x, DPoP y", "Basic x, dpop\ty", " DPoP x"] {
        let outcome = through(&optional, with(value)).await;
        assert_eq!(outcome.rejection, Some(RejectionKind::MalformedCredential), "{value}");
    }
    // Without DPoP it is another scheme.
    through(&layer().optional(), with("DPoP x")).await.assert_passed();
}

#[tokio::test]
async fn a_token_outside_of_authorization_cannot_be_bound_to_a_key() {
    let client = Client::new();
    let other = layer().with_dpop(dpop()).allow_cookie("session").allow_query("access_token");
    let header = layer().with_dpop(dpop()).credential_header(HeaderName::from_static("x-token"));
    let proof = client.key.proof("GET", URL, &client.token).issue();
    let request = |name: &str, value: String, uri: &str| {
        let request = Request::get(uri).header(name, value).header("dpop", &proof);
        request.body(Body::default()).unwrap()
    };
    let refused = Some(RejectionKind::UnverifiedConfirmation);
    let cookie = request("cookie", format!("session={}", client.token), "/orders");
    assert_eq!(through(&other, cookie).await.rejection, refused);
    let query = request("x", String::new(), &format!("/orders?access_token={}", client.token));
    assert_eq!(through(&other, query).await.rejection, refused);
    let own = request("x-token", client.token.clone(), "/orders");
    assert_eq!(through(&header, own).await.rejection, refused);
}

#[tokio::test]
async fn a_policy_that_does_not_check_cnf_accepts_bearer_only() {
    let lenient = Authenticator::builder().issuer(issuer().allow_unverified_cnf());
    let authenticator: Authenticator = lenient.with_clock(clock()).build().unwrap();
    let client = Client::new();
    for dpop_or_not in [None, Some(dpop())] {
        let layer = BearerLayer::new(authenticator.clone());
        let layer = match dpop_or_not.clone() {
            Some(dpop) => layer.with_dpop(dpop),
            None => layer,
        };
        let outcome = through(&layer, bearer(&client.token)).await;
        outcome.assert_passed();
        assert_eq!(outcome.authenticated().unwrap().proof_key(), None);
        if dpop_or_not.is_some() {
            let refused = through(&layer, client.request()).await;
            assert_eq!(refused.rejection, Some(RejectionKind::UnverifiedConfirmation));
        }
    }
    let required = BearerLayer::new(authenticator).with_dpop(dpop().required());
    let refused = through(&required, bearer(&client.token)).await;
    assert_eq!(refused.rejection, Some(RejectionKind::UnverifiedConfirmation));
}

#[tokio::test]
async fn a_used_proof_stays_used_until_it_is_too_old() {
    let time = clock();
    let authenticator: Authenticator = builder().with_clock(time.clone()).build().unwrap();
    let (layer, client) = (BearerLayer::new(authenticator).with_dpop(dpop()), Client::new());
    // The clock of the client is 30 seconds ahead.
    let proof = client.key.proof("GET", URL, &client.token).claim("iat", NOW + 30).issue();
    through(&layer, client.with(&proof)).await.assert_passed();
    for _ in 0..9 {
        time.advance(Duration::from_secs(10));
        let outcome = through(&layer, client.with(&proof)).await;
        assert_eq!(outcome.rejection, Some(RejectionKind::ReplayedProof));
    }
    time.advance(Duration::from_secs(1));
    let outcome = through(&layer, client.with(&proof)).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::ProofNotCurrent));
    // The wall clock is set back within the leeway.
    time.set_unix_time(UnixTime::from_secs(time.now().as_secs() - 20));
    let outcome = through(&layer, client.with(&proof)).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::ReplayedProof));
}

#[tokio::test]
async fn without_a_request_a_token_that_is_bound_to_a_key_is_rejected() {
    let client = Client::new();
    let rejected = authenticator().authenticate(&client.token).await.unwrap_err();
    assert_eq!(rejected.kind(), RejectionKind::UnverifiedConfirmation);
}

#[test]
fn settings_that_cannot_work_are_errors() {
    let is_invalid = |result: Result<Dpop, ConfigError>| {
        assert!(matches!(result, Err(ConfigError::InvalidDpop(_))), "{result:?}");
    };
    is_invalid(Dpop::new(Vec::<String>::new()));
    is_invalid(Dpop::new(["https://api.example", "api.example"]));
    is_invalid(dpop().with_algorithms([]));
    is_invalid(dpop().with_algorithms([tower_bearer::Algorithm::HS256]));
    is_invalid(dpop().with_max_age(Duration::from_millis(999)));
    is_invalid(dpop().with_max_age(Duration::from_secs(601)));
    let long = dpop().with_leeway(Duration::from_secs(301));
    assert!(matches!(long, Err(ConfigError::LeewayTooLong(_))));
    let shown = format!("{:?}", dpop().with_nonces(NonceKey::from_bytes([7; 32])));
    assert!(shown.contains("NonceKey(..)") && shown.contains("api.example"), "{shown}");
}

/// Answers when it is released.
#[derive(Clone)]
struct SlowStore(Store, Arc<Semaphore>);

impl ReplayStore for SlowStore {
    fn record(&self, proof: ProofUse) -> BoxFuture<'static, Result<Recorded, StoreError>> {
        let Self(store, released) = self.clone();
        Box::pin(async move {
            released.acquire().await.unwrap().forget();
            store.record(proof).await
        })
    }
}

#[tokio::test]
async fn a_slow_store_holds_its_own_requests_and_decides_once() {
    let (store, released) = (Store::default(), Arc::new(Semaphore::new(0)));
    let slow = SlowStore(store.clone(), Arc::clone(&released));
    let (layer, client) = (layer().with_dpop(dpop().with_replay_store(slow)), Client::new());
    let proof = client.key.proof("GET", URL, &client.token).issue();
    let mut waiting: Vec<_> =
        (0..3).map(|_| Box::pin(through(&layer, client.with(&proof)))).collect();
    for request in &mut waiting {
        assert!(request.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    // Requests without a proof, or with a bad one, do not wait.
    through(&layer, bearer(&token())).await.assert_passed();
    let bad = through(&layer, client.with("x")).await;
    assert_eq!(bad.rejection, Some(RejectionKind::MalformedProof));
    // The client of one request goes away. Its proof is not used up.
    drop(waiting.pop());
    assert!(store.0.lock().unwrap().proofs.is_empty());
    released.add_permits(2);
    let outcomes = futures_util::future::join_all(waiting).await;
    let rejections: Vec<_> = outcomes.iter().map(|outcome| outcome.rejection).collect();
    assert_eq!(rejections, [None, Some(RejectionKind::ReplayedProof)]);
}

#[tokio::test]
async fn challenges_of_both_schemes_name_the_metadata_and_the_scopes() {
    let resource = ProtectedResource::new("https://api.example").unwrap();
    let layer = layer().with_dpop(dpop()).with_resource(resource);
    let scopes = layer.require_scopes(["orders:write"]);
    let (client, service) = (Client::new(), layer.layer(scopes.layer(open())));
    let metadata =
        r#"resource_metadata="https://api.example/.well-known/oauth-protected-resource""#;
    let algs = r#"algs="ES256 ES384 EdDSA RS256 PS256""#;
    let error = r#"error="insufficient_scope""#;
    let scope = r#"scope="orders:write""#;
    let outcome = send(service.clone(), client.request()).await;
    assert_eq!(
        challenge(&outcome),
        format!(
            r#"DPoP realm="api", {algs}, {error}, {scope}, {metadata}, Bearer realm="api", {scope}, {metadata}"#
        )
    );
    let outcome = send(service.clone(), bearer(&token())).await;
    assert_eq!(
        challenge(&outcome),
        format!(
            r#"Bearer realm="api", {error}, {scope}, {metadata}, DPoP realm="api", {algs}, {scope}, {metadata}"#
        )
    );
    let outcome = send(service, client.with("x")).await;
    let error = r#"error="invalid_dpop_proof", error_description="DPoP proof is invalid, expired or already used.""#;
    assert_eq!(
        challenge(&outcome),
        format!(r#"DPoP realm="api", {algs}, {error}, {metadata}, Bearer realm="api", {metadata}"#)
    );
}

#[tokio::test]
async fn every_reason_against_a_proof_gets_the_same_answer() {
    let nonces = NonceKey::from_bytes([7; 32]);
    let client = Client::new();
    for (layer, mode) in [
        (layer().with_dpop(dpop()), "allowed"),
        (layer().with_dpop(dpop().required()), "required"),
        (layer().with_dpop(dpop().with_nonces(nonces)), "nonces"),
    ] {
        let outcome = through(&layer, client.with("x")).await;
        let nonce = outcome.headers.get("dpop-nonce").map_or("", |nonce| nonce.to_str().unwrap());
        let proof = || client.key.proof("GET", URL, &client.token).with_nonce(nonce);
        let used = proof().issue();
        let first = through(&layer, client.with(&used)).await;
        assert_eq!((first.status, first.rejection), (StatusCode::OK, None), "{mode}");
        let without = {
            let mut request = client.with("x");
            request.headers_mut().remove("dpop");
            request
        };
        let key = ProofKey::new().with_clock(clock());
        let with = |proof: tower_bearer::test_util::TestProof| client.with(&proof.issue());
        let requests = [
            (without, RejectionKind::MissingProof),
            (client.with("x"), RejectionKind::MalformedProof),
            (
                with(proof().header("jwk", serde_json::json!({ "kty": "oct", "k": "AA" }))),
                RejectionKind::UnusableProofKey,
            ),
            (with(proof().signed_by(&key)), RejectionKind::BadProofSignature),
            (with(proof().claim("htm", "POST")), RejectionKind::WrongProofTarget),
            (with(proof().claim("htu", "https://x.example/")), RejectionKind::WrongProofTarget),
            (with(proof().claim("ath", "")), RejectionKind::WrongProofToken),
            (with(proof().claim("iat", NOW - 61)), RejectionKind::ProofNotCurrent),
            (client.with(&used), RejectionKind::ReplayedProof),
        ];
        for (request, kind) in requests {
            let other = through(&layer, request).await;
            assert_eq!(other.rejection, Some(kind), "{mode}");
            assert_eq!(other.status, outcome.status, "{mode} {kind}");
            assert_eq!(other.headers(), outcome.headers(), "{mode} {kind}");
            assert_eq!(other.body, outcome.body, "{mode} {kind}");
        }
    }
}

#[tokio::test]
async fn a_client_uses_the_nonce_of_the_latest_answer() {
    let time = clock();
    let authenticator: Authenticator = builder().with_clock(time.clone()).build().unwrap();
    let key = ProofKey::new().with_clock(time.clone());
    let cnf = format!(r#""exp":{},"cnf":{{"jkt":"{}"}}"#, NOW + 3_600, key.thumbprint());
    let client = Client { key, token: token_with(&cnf) };
    let nonces = NonceKey::from_bytes([7; 32]);
    let layer = BearerLayer::new(authenticator).with_dpop(dpop().with_nonces(nonces));
    let with = |nonce: &str| {
        let proof = client.key.proof("GET", URL, &client.token).with_nonce(nonce);
        through(&layer, client.with(&proof.issue()))
    };
    let nonce_of = |outcome: &Outcome| outcome.headers["dpop-nonce"].to_str().unwrap().to_owned();
    let outcome = with("").await;
    assert_eq!(outcome.status, StatusCode::UNAUTHORIZED);
    assert!(challenge(&outcome).contains(r#"error="use_dpop_nonce""#));
    let first = nonce_of(&outcome);
    let mut latest = first.clone();
    // Each answer has a nonce that is good for five minutes more.
    for _ in 0..4 {
        let outcome = with(&latest).await;
        assert_eq!((outcome.status, outcome.rejection), (StatusCode::OK, None));
        assert_eq!(outcome.headers["cache-control"], "no-store");
        latest = nonce_of(&outcome);
        time.advance(Duration::from_secs(200));
    }
    let outcome = with(&first).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::UseDpopNonce));
    let outcome = with(&nonce_of(&outcome)).await;
    assert_eq!((outcome.status, outcome.rejection), (StatusCode::OK, None));
}

#[tokio::test]
async fn the_limit_in_total_is_exact_and_503_names_no_scheme() {
    let limits = ReplayLimits::default().with_total(2);
    let layer = layer().with_dpop(dpop().with_replay_limits(limits));
    for subject in ["a", "b"] {
        through(&layer, Client::of(subject).request()).await.assert_passed();
    }
    let outcome = through(&layer, Client::of("c").request()).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::ReplayUnavailable));
    assert_eq!(outcome.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(outcome.headers["retry-after"], "5");
    assert!(!outcome.headers.contains_key("www-authenticate"));
    assert!(outcome.body.contains("authentication_unavailable"), "{}", outcome.body);
}

#[tokio::test]
async fn two_credentials_of_different_schemes_are_rejected() {
    let (layer, client) = (layer().with_dpop(dpop()), Client::new());
    let proof = client.key.proof("GET", URL, &client.token).issue();
    let dpop = format!("DPoP {}", client.token);
    let bearer = format!("Bearer {}", token());
    for lines in [
        vec![dpop.clone(), bearer.clone()],
        vec![bearer.clone(), dpop.clone()],
        vec![dpop.clone(), dpop.clone()],
        vec![format!("{dpop}, {bearer}")],
        vec![format!("{bearer}, {dpop}")],
    ] {
        let mut request = client.with(&proof);
        request.headers_mut().remove(AUTHORIZATION);
        for line in &lines {
            request.headers_mut().append(AUTHORIZATION, line.parse().unwrap());
        }
        let outcome = through(&layer, request).await;
        assert_eq!(outcome.status, StatusCode::BAD_REQUEST, "{lines:?}");
    }
    // None of them used the proof up.
    through(&layer, client.with(&proof)).await.assert_passed();
}

/// While a request waits, the record of an earlier request with the same proof may expire.
#[tokio::test]
async fn a_proof_that_becomes_too_old_while_its_request_waits_is_rejected() {
    let (time, client) = (clock(), Client::new());
    let waiting = time.clone();
    let authenticator: Authenticator = builder()
        .with_clock(time.clone())
        .add_async_check(move |_| {
            let waiting = waiting.clone();
            async move {
                waiting.advance(Duration::from_secs(200));
                Ok(())
            }
        })
        .build()
        .unwrap();
    for dpop in [dpop(), dpop().with_replay_store(Store::default())] {
        let layer = BearerLayer::new(authenticator.clone()).with_dpop(dpop);
        let now = time.now().as_secs();
        let proof = client.key.proof("GET", URL, &client.token).claim("iat", now);
        let outcome = through(&layer, client.with(&proof.issue())).await;
        assert_eq!(outcome.rejection, Some(RejectionKind::ProofNotCurrent));
    }
}

/// Dates have whole seconds, so a proof is accepted for up to a second longer than its age.
#[tokio::test]
async fn a_used_proof_stays_used_in_the_last_second_of_its_age() {
    let (time, client) = (clock(), Client::new());
    // The monotonic clock is at the end of a part of the window, and the wall clock at the begin of a second.
    time.advance(Duration::from_millis(14_999));
    time.set_unix_time(UnixTime::from_secs(NOW));
    let authenticator: Authenticator = builder().with_clock(time.clone()).build().unwrap();
    let dpop = dpop().with_leeway(Duration::ZERO).unwrap();
    let layer = BearerLayer::new(authenticator).with_dpop(dpop);
    let proof = client.key.proof("GET", URL, &client.token).issue();
    through(&layer, client.with(&proof)).await.assert_passed();
    time.advance(Duration::from_millis(60_900));
    let outcome = through(&layer, client.with(&proof)).await;
    assert_eq!(outcome.rejection, Some(RejectionKind::ReplayedProof));
}
