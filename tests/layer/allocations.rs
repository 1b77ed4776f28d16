//! How often the heap is asked for memory: the same number on every machine, so a number that grew is a change of ours.
//!
//! What the service behind the layer asks for is counted by itself and taken off. `http::Extensions` makes its map at
//! the first extension, so requests here carry one already, as they do behind any router.

#![allow(clippy::print_stdout, reason = "bytes are told to whoever asks with --nocapture")]

use std::{convert::Infallible, time::Duration};

use allocation_counter::measure;
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::{Empty, Full};
use serde::Deserialize;
use tower::{Layer, Service, service_fn};
use tower_bearer::{
    Algorithm, Authenticator, AuthenticatorBuilder, BearerLayer, BoxFuture, Issuer, Key, KeySource,
    RevocationCache, UnixTime,
    claims::{ManualClock, NoClaims},
    dpop::Dpop,
    jwks::{FetchError, FetchJwks, FetchRequest, Fetched, RemoteJwks},
    revocation::{MemoryStore, RevocationEntry},
    status_list::StatusLists,
    test_util::{ProofKey, TestIssuer},
};

use crate::common::tokens;

const NOW: u64 = 1_800_000_000;

/// Owned claims of five strings.
#[derive(Deserialize)]
#[allow(dead_code, reason = "what is read is not used")]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    jti: String,
    scope: String,
    exp: u64,
    iat: u64,
}

fn token(algorithm: Algorithm) -> String {
    let header = format!(r#"{{"alg":"{algorithm}","typ":"at+jwt","kid":"2026-11-key-1"}}"#);
    let claims = format!(
        r#"{{"iss":"https://issuer.example","sub":"248289761001","aud":"api://orders","jti":"0b8f1f3e-6a5f-4a53-9b3e-0f6f1b8f7a11","scope":"openid profile orders:read","iat":{NOW},"exp":{}}}"#,
        NOW + 3_600
    );
    match algorithm {
        Algorithm::HS256 => tokens::sign_hs256(&header, &claims),
        _ => tokens::sign(jsonwebtoken::Algorithm::ES256, &tokens::p256_key(), &header, &claims),
    }
}

fn builder(algorithm: Algorithm) -> AuthenticatorBuilder<Claims> {
    let key = match algorithm {
        Algorithm::HS256 => Key::hs256(tokens::SECRET),
        _ => Key::from_pem(algorithm, tokens::fixture("p256.public.pem")),
    };
    let key = key.unwrap().with_key_id("2026-11-key-1");
    let issuer = Issuer::new("https://issuer.example", key).audience("api://orders");
    Authenticator::builder()
        .claims()
        .issuer(issuer)
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
}

fn revocation() -> RevocationCache {
    let bound = Duration::from_secs(3_600);
    RevocationCache::new(MemoryStore::new(), bound)
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
}

type Body = Empty<Bytes>;

async fn inner(_: Request<Body>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from("ok")))
}

fn request(credential: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri("/orders").extension("of a layer further out");
    if let Some(credential) = credential {
        request = request.header(AUTHORIZATION, credential);
    }
    request.body(Empty::new()).unwrap()
}

/// The allocations of one request, from the call to the response, which has this status. Requests before it have
/// filled whatever is filled once.
fn allocations<S, B>(service: &mut S, credential: Option<&str>, status: u16) -> u64
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible>,
{
    for _ in 0..3 {
        let response = service.call(request(credential)).now_or_never().unwrap();
        assert_eq!(response.unwrap().status(), status);
    }
    let request = request(credential);
    let mut response = None;
    let counted = measure(|| response = service.call(request).now_or_never());
    assert_eq!(response.unwrap().unwrap().status(), status);
    counted.count_total
}

/// Those of a request through the layer, less those of the service behind it where the request gets there.
fn allocations_of_layer(
    authenticator: Authenticator<Claims>,
    credential: Option<&str>,
    status: u16,
) -> u64 {
    let total = allocations(
        &mut BearerLayer::new(authenticator).layer(service_fn(inner)),
        credential,
        status,
    );
    match status {
        200 => total - allocations(&mut service_fn(inner), credential, 200),
        _ => total,
    }
}

fn bearer(token: &str) -> Option<String> {
    Some(format!("Bearer {token}"))
}

#[test]
fn the_counter_counts() {
    let counted = measure(|| drop(std::hint::black_box(vec![0_u8; 32])));
    assert_eq!(counted.count_total, 1);
    assert_eq!(measure(|| ()).count_total, 0);
}

#[test]
fn a_cold_verification_to_claims_of_five_strings() {
    let authenticator = builder(Algorithm::HS256).with_token_cache_capacity(0).build().unwrap();
    let token = token(Algorithm::HS256);
    let verify = || authenticator.authenticate(&token).now_or_never().unwrap().unwrap();
    drop(verify());

    let mut verified = None;
    let counted = measure(|| verified = Some(verify()));

    assert_eq!(verified.unwrap().claims().sub, "248289761001");
    assert_eq!(counted.count_total, 7);
}

#[test]
fn a_cold_verification_to_registered_claims_alone() {
    let key = Key::hs256(tokens::SECRET).unwrap().with_key_id("2026-11-key-1");
    let issuer = Issuer::new("https://issuer.example", key).audience("api://orders");
    let builder = Authenticator::builder().claims::<NoClaims>().issuer(issuer);
    let authenticator =
        builder.with_clock(ManualClock::at(UnixTime::from_secs(NOW))).build().unwrap();
    let token = token(Algorithm::HS256);
    let verify = || authenticator.authenticate(&token).now_or_never().unwrap().unwrap();
    drop(verify());

    let mut verified = None;
    let counted = measure(|| verified = Some(verify()));

    assert_eq!(verified.unwrap().registered().subject(), Some("248289761001"));
    assert_eq!(counted.count_total, 2);
}

#[test]
fn the_layer_on_a_token_that_is_not_cached() {
    let authenticator = || builder(Algorithm::HS256).with_token_cache_capacity(0).build().unwrap();
    let credential = bearer(&token(Algorithm::HS256));

    let without = authenticator();
    assert_eq!(allocations_of_layer(without, credential.as_deref(), 200), 8);

    let with = authenticator().with_revocation(revocation());
    assert_eq!(allocations_of_layer(with, credential.as_deref(), 200), 8);
}

#[test]
fn the_layer_on_a_cached_token() {
    for algorithm in [Algorithm::HS256, Algorithm::ES256] {
        let authenticator = || builder(algorithm).cache_hmac_tokens().build().unwrap();
        let credential = bearer(&token(algorithm));

        let without = authenticator();
        assert_eq!(allocations_of_layer(without, credential.as_deref(), 200), 1);

        let with = authenticator().with_revocation(revocation());
        assert_eq!(allocations_of_layer(with, credential.as_deref(), 200), 1);
    }
}

/// Serves one status list.
struct ListServer(String);

impl FetchJwks for ListServer {
    fn fetch<'a>(&'a self, _: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async { Ok(Fetched::document(self.0.clone())) })
    }
}

#[test]
fn the_layer_on_a_cached_token_with_a_status_list() {
    const URL: &str = "https://issuer.test/lists/1";

    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let issuer = TestIssuer::new().with_clock(clock.clone());
    let list = issuer.status_list(URL).issue();
    let lists = StatusLists::new("https://issuer.test/lists").unwrap();
    let lists = lists.with_fetcher(ListServer(list)).with_clock(clock.clone());
    let policy = issuer.issuer().with_status_lists(lists);
    let authenticator = || {
        let builder = Authenticator::builder().claims::<NoClaims>().issuer(policy.clone());
        builder.with_clock(clock.clone()).build().unwrap()
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let allocations_of = |token: String| {
        let authenticator = authenticator();
        runtime.block_on(authenticator.authenticate(&token)).unwrap();
        let mut service = BearerLayer::new(authenticator).layer(service_fn(inner));
        allocations(&mut service, bearer(&token).as_deref(), 200)
    };
    let listed = allocations_of(issuer.token().with_status_entry(URL, 6).issue());
    assert_eq!(listed, allocations_of(issuer.token().issue()));
}

/// A bound token, and its client.
fn bound() -> (String, ProofKey) {
    let key = ProofKey::new().with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let claims = format!(
        r#"{{"iss":"https://issuer.example","sub":"248289761001","aud":"api://orders","jti":"0b8f1f3e-6a5f-4a53-9b3e-0f6f1b8f7a11","scope":"openid profile orders:read","iat":{NOW},"exp":{},"cnf":{{"jkt":"{}"}}}}"#,
        NOW + 3_600,
        key.thumbprint()
    );
    let header = r#"{"alg":"ES256","typ":"at+jwt","kid":"2026-11-key-1"}"#;
    let token = tokens::sign(jsonwebtoken::Algorithm::ES256, &tokens::p256_key(), header, &claims);
    (token, key)
}

/// The allocations of a request with a new proof, less those of the service. The token and the key are known.
#[test]
fn a_proof_with_a_cached_token() {
    let (token, key) = bound();
    let dpop = Dpop::new(["https://api.example"]).unwrap();
    let authenticator = builder(Algorithm::ES256).build().unwrap();
    let layer = BearerLayer::new(authenticator.with_revocation(revocation())).with_dpop(dpop);
    let mut service = layer.layer(service_fn(inner));
    let mut counts = Vec::new();
    for _ in 0..64 {
        let mut request = request(Some(&format!("DPoP {token}")));
        let proof = key.proof("GET", "https://api.example/orders", &token);
        request.headers_mut().insert("dpop", proof.value());
        let mut response = None;
        let counted = measure(|| response = service.call(request).now_or_never());
        assert_eq!(response.unwrap().unwrap().status(), 200);
        counts.push(counted.count_total);
    }
    let of_service = allocations(&mut service_fn(inner), None, 200);
    // Tables that grow allocate now and then.
    counts.sort_unstable();
    assert_eq!(counts[counts.len() / 2] - of_service, 4);
}

#[test]
fn a_used_proof_uses_little_memory() {
    let (token, key) = bound();
    let dpop = Dpop::new(["https://api.example"]).unwrap();
    let layer = BearerLayer::new(builder(Algorithm::ES256).build().unwrap()).with_dpop(dpop);
    let mut service = layer.layer(service_fn(inner));
    let held = held_for_each(|_| {
        let mut request = request(Some(&format!("DPoP {token}")));
        let proof = key.proof("GET", "https://api.example/orders", &token);
        request.headers_mut().insert("dpop", proof.value());
        let response = service.call(request).now_or_never().unwrap().unwrap();
        assert_eq!(response.status(), 200);
    });
    println!("{held} bytes for a used proof");
    assert!((16..=64).contains(&held), "{held} bytes");
}

/// Publishes the key of [`verifier`].
struct KeyServer;

impl FetchJwks for KeyServer {
    fn fetch<'a>(&'a self, _: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        let set = String::from_utf8(tokens::fixture("../jwks.json")).unwrap();
        let set = set.replace(r#""kid": "p256""#, r#""kid": "2026-11-key-1""#);
        Box::pin(async { Ok(Fetched::document(set)) })
    }
}

#[test]
fn keys_from_the_network_cost_a_request_no_more_than_local_ones() {
    let remote = RemoteJwks::new("https://issuer.example/keys").unwrap();
    let remote =
        remote.with_fetcher(KeyServer).with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(remote.ready()).unwrap();
    let local = Key::from_pem(Algorithm::ES256, tokens::fixture("p256.public.pem")).unwrap();
    let local = local.with_key_id("2026-11-key-1");

    let good = token(Algorithm::ES256);
    let (_, rest) = good.split_once('.').unwrap();
    let unknown = tokens::base64url(r#"{"alg":"ES256","typ":"at+jwt","kid":"unknown"}"#);
    let unknown = format!("{unknown}.{rest}");
    for (token, cache, status) in [(&good, 0, 200), (&good, 1 << 20, 200), (&unknown, 0, 401)] {
        let counted = |keys: KeySource| {
            let issuer = Issuer::new("https://issuer.example", keys).audience("api://orders");
            let builder = Authenticator::builder()
                .claims()
                .issuer(issuer)
                .with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
            let authenticator = builder.with_token_cache_capacity(cache).build().unwrap();
            let credential = bearer(token);
            allocations_of_layer(authenticator, credential.as_deref(), status)
        };
        assert_eq!(counted(remote.clone().into()), counted(local.clone().into()), "{status}");
    }
}

#[test]
fn refusals() {
    let good = token(Algorithm::HS256);
    let (unsigned, _) = good.rsplit_once('.').unwrap();
    let cases = [
        // This request has no memory of headers that the response could use.
        ("no header", None, 3, 3),
        ("500 letters", bearer(&"a".repeat(500)), 1, 1),
        ("one byte over the limit", bearer(&"a".repeat(8 * 1024 + 1)), 1, 1),
        // What the header says is kept apart from its bytes, unless it is known.
        ("bad signature", bearer(&format!("{unsigned}.{}", "A".repeat(43))), 4, 2),
    ];
    let cases = cases.into_iter().flat_map(|(case, credential, new, known)| {
        [(case, credential.clone(), false, new), (case, credential, true, known)]
    });
    for (case, credential, knows_the_header, expected) in cases {
        let authenticator = builder(Algorithm::HS256).revocation(revocation()).build().unwrap();
        if knows_the_header {
            authenticator.authenticate(&good).now_or_never().unwrap().unwrap();
        }
        let counted = allocations_of_layer(authenticator, credential.as_deref(), 401);
        assert_eq!(counted, expected, "{case}");
    }
}

#[test]
fn a_revoked_token() {
    let builder = builder(Algorithm::HS256).with_token_cache_capacity(0);
    let revocation = revocation();
    let authenticator = builder.revocation(revocation.clone()).build().unwrap();
    let token = token(Algorithm::HS256);
    let verified = authenticator.authenticate(&token).now_or_never().unwrap().unwrap();
    revocation.revoke_token(&verified).now_or_never().unwrap().unwrap();

    let counted = allocations_of_layer(authenticator, bearer(&token).as_deref(), 401);

    assert_eq!(counted, 8);
}

/// Bytes that are held for each of `COUNT` things once all are there.
fn held_for_each(mut make: impl FnMut(usize)) -> i64 {
    let counted = measure(|| (0..COUNT).for_each(&mut make));
    counted.bytes_current / COUNT as i64
}

const COUNT: usize = 10_000;

/// Tokens that differ in their `jti`.
fn numbered(count: usize) -> Vec<String> {
    let header = r#"{"alg":"HS256","typ":"at+jwt","kid":"2026-11-key-1"}"#;
    let claims = |number: usize| {
        format!(
            r#"{{"iss":"https://issuer.example","sub":"248289761001","aud":"api://orders","jti":"0b8f1f3e-6a5f-4a53-9b3e-{number:012}","scope":"openid profile orders:read","iat":{NOW},"exp":{}}}"#,
            NOW + 3_600
        )
    };
    (0..count).map(|number| tokens::sign_hs256(header, &claims(number))).collect()
}

#[test]
fn a_cached_token_uses_little_more_than_its_text_and_claims() {
    let tokens = numbered(COUNT);
    let authenticator = |bytes| {
        let builder = builder(Algorithm::HS256).with_token_cache_capacity(bytes);
        builder.cache_hmac_tokens().build().unwrap()
    };
    let verify = |authenticator: &Authenticator<Claims>, number: usize| {
        authenticator.authenticate(&tokens[number]).now_or_never().unwrap().unwrap()
    };

    // What is known about a verified token, the claims in both forms, without a cache.
    let (forgetful, mut kept) = (authenticator(0), Vec::with_capacity(COUNT));
    let claims = held_for_each(|number| kept.push(verify(&forgetful, number)));

    // Made with the first of them, so that its tables count too.
    let mut remembering = None;
    let remembered = held_for_each(|number| {
        drop(verify(remembering.get_or_insert_with(|| authenticator(32 << 20)), number));
    });
    let remembering = remembering.unwrap();
    let hit = measure(|| drop(verify(&remembering, COUNT / 2)));
    assert_eq!(hit.count_total, 0, "all of them are remembered");

    let beyond = remembered - claims - tokens[0].len() as i64;
    let token = tokens[0].len();
    println!(
        "{remembered} bytes for a remembered token: {token} its text, {claims} its claims, {beyond} beyond"
    );
    assert!((0..=160).contains(&beyond), "{beyond} bytes");
}

#[test]
fn a_denied_token_uses_little_memory() {
    let cache = revocation();
    let issuer: std::sync::Arc<str> = "https://issuer.example".into();
    let held = held_for_each(|number| {
        let id = format!("0b8f1f3e-6a5f-4a53-9b3e-{number:012}");
        let what = tower_bearer::revocation::Revocable::token(issuer.clone(), id);
        cache.apply(&RevocationEntry::new(what, UnixTime::from_secs(NOW + 3_600)));
    });
    println!("{held} bytes for a denial");
    assert_eq!(cache.stats().denials, COUNT as u64);
    assert!((36..=340).contains(&held), "{held} bytes");
}
