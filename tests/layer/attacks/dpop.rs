//! Row 79, and row 53 for keys: DPoP proofs (RFC 9449 sections 4.3, 7.1, 7.2, 9 and 11).
//!
//! Most rows use a layer that does not record proofs, because each request is sent over both HTTP versions.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Request, header::AUTHORIZATION};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tower_bearer::{
    Algorithm, BearerLayer, RejectionKind, UnixTime,
    claims::ManualClock,
    client_certificate::{CertificateSource, ClientCertificate},
    dpop::{Dpop, NonceKey},
    jws::SigningKey,
    test_util::{ProofKey, TestProof},
};

use super::server::{PASSED, Reply, Server, bearer};
use crate::common::{
    requests::{NOW, builder, layer, token, token_with},
    tokens::sign_hs256,
};

const PUBLIC_URL: &str = "https://api.example";
const URL: &str = "https://api.example/";

const BODY: &str =
    r#"{"code":"dpop_proof_not_valid","detail":"DPoP proof is invalid, expired or already used."}"#;
const TOKEN_BODY: &str = r#"{"code":"token_not_valid","detail":"Token is invalid or expired"}"#;

pub(super) fn key() -> ProofKey {
    ProofKey::new().with_clock(ManualClock::at(UnixTime::from_secs(NOW)))
}

pub(super) fn bound_to(key: &ProofKey) -> String {
    token_with(&format!(r#""exp":1800000060,"cnf":{{"jkt":"{}"}}"#, key.thumbprint()))
}

pub(super) fn dpop() -> Dpop {
    Dpop::new([PUBLIC_URL]).unwrap()
}

/// Judges each proof alone.
pub(super) fn unrecorded() -> Dpop {
    dpop().allow_unrecorded_proofs()
}

pub(super) async fn serving(dpop: Dpop) -> Server {
    Server::with(layer().with_dpop(dpop)).await
}

pub(super) fn lines(token: &str, proof: &str) -> String {
    format!("authorization: DPoP {token}\r\ndpop: {proof}\r\n")
}

/// A client with its token.
pub(super) struct Client {
    pub(super) key: ProofKey,
    pub(super) token: String,
}

impl Client {
    pub(super) fn new() -> Self {
        let key = key();
        Self { token: bound_to(&key), key }
    }

    pub(super) fn proof(&self) -> TestProof {
        self.key.proof("GET", URL, &self.token)
    }

    pub(super) fn lines(&self, proof: &TestProof) -> String {
        lines(&self.token, &proof.issue())
    }
}

pub(super) fn header<'r>(reply: &'r Reply, name: &str) -> Option<&'r str> {
    reply.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The layer refuses the proof for this reason, with the documented answer. The service behind it is not called.
pub(super) async fn assert_refuses(server: &Server, lines: &str, kind: RejectionKind) {
    let reached = server.reached();
    let reply = server.get(lines).await;
    assert_eq!(server.reason(), Some(kind), "{lines}");
    assert_eq!(server.reached(), reached);
    assert_eq!(reply.status, "HTTP/1.1 401 Unauthorized");
    let (body, error) = match kind {
        RejectionKind::UnverifiedConfirmation => (TOKEN_BODY, "invalid_token"),
        RejectionKind::UseDpopNonce => (BODY, "use_dpop_nonce"),
        _ => (BODY, "invalid_dpop_proof"),
    };
    assert_eq!(reply.body, body, "{kind}");
    let challenge = header(&reply, "www-authenticate").unwrap();
    assert_eq!(challenge.matches("error=").count(), 1, "{challenge}");
    assert!(challenge.contains(&format!(r#"error="{error}""#)), "{challenge}");
}

pub(super) async fn assert_accepts(server: &Server, client: &Client, proof: &TestProof) {
    server.assert_passes(client.lines(proof)).await;
}

pub(super) async fn assert_refuses_proof(
    server: &Server,
    client: &Client,
    proof: &TestProof,
    kind: RejectionKind,
) {
    assert_refuses(server, &client.lines(proof), kind).await;
}

#[tokio::test]
async fn row_53_a_token_bound_to_a_key_needs_the_scheme_dpop_and_a_proof() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    assert_accepts(&server, &client, &client.proof()).await;
    // The name of the scheme has no case (RFC 9110 section 11.1).
    let lower = client.lines(&client.proof()).replace("DPoP ", "dpop ");
    server.assert_passes(lower).await;

    let as_bearer = bearer(&client.token);
    assert_refuses(&server, &as_bearer, RejectionKind::UnverifiedConfirmation).await;
    let with_proof = as_bearer + &format!("dpop: {}\r\n", client.proof().issue());
    assert_refuses(&server, &with_proof, RejectionKind::UnverifiedConfirmation).await;
    let without_proof = format!("authorization: DPoP {}\r\n", client.token);
    assert_refuses(&server, &without_proof, RejectionKind::MissingProof).await;
    // Without DPoP the layer knows neither the scheme nor the binding.
    let off = Server::start().await;
    off.assert_refuses(client.lines(&client.proof()), RejectionKind::MissingCredential).await;
    off.assert_refused(&client.token, RejectionKind::UnverifiedConfirmation).await;
}

#[tokio::test]
async fn row_53_an_unbound_token_passes_as_bearer_only_and_only_if_allowed() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    server.assert_admitted(&token()).await;
    let proof = client.key.proof("GET", URL, &token()).issue();
    assert_refuses(&server, &lines(&token(), &proof), RejectionKind::UnverifiedConfirmation).await;

    let required = serving(unrecorded().required()).await;
    assert_accepts(&required, &client, &client.proof()).await;
    for lines in [bearer(&token()), lines(&token(), &proof), bearer(&client.token)] {
        assert_refuses(&required, &lines, RejectionKind::UnverifiedConfirmation).await;
    }
}

#[tokio::test]
async fn row_79_exactly_one_proof_is_needed() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    let one = client.lines(&client.proof());
    server.assert_passes(&one).await;
    for second in [client.proof().issue(), String::new(), "x".to_owned()] {
        let two = format!("{one}dpop: {second}\r\n");
        assert_refuses(&server, &two, RejectionKind::MalformedProof).await;
        let swapped = format!("dpop: {second}\r\n{one}");
        assert_refuses(&server, &swapped, RejectionKind::MalformedProof).await;
    }
    let joined = client.proof().issue() + ", " + &client.proof().issue();
    assert_refuses(&server, &lines(&client.token, &joined), RejectionKind::MalformedProof).await;
}

#[tokio::test]
async fn row_79_a_proof_is_read_as_strictly_as_a_token() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    let proof = client.proof().issue();
    server.assert_passes(lines(&client.token, &proof)).await;
    let [header, claims, signature] =
        proof.split('.').collect::<Vec<_>>().try_into().expect("three parts");
    for other in [
        String::new(),
        "x".to_owned(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!(".{claims}.{signature}"),
        format!("{proof}."),
        format!("{proof}="),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}.{}", signature.replace(['-', '_'], "+") + "+"),
    ] {
        assert_refuses(&server, &lines(&client.token, &other), RejectionKind::MalformedProof).await;
    }
    // 8 KiB and one byte more.
    let padded = |length: usize| client.proof().claim("x", "y".repeat(length)).issue();
    let fill = (8 * 1024 - padded(0).len()) / 4 * 3;
    let (fits, too_long) = (padded(fill), padded(fill + 6));
    assert!(fits.len() <= 8 * 1024 && too_long.len() > 8 * 1024);
    server.assert_passes(lines(&client.token, &fits)).await;
    assert_refuses(&server, &lines(&client.token, &too_long), RejectionKind::MalformedProof).await;
}

#[tokio::test]
async fn row_79_header_type_algorithm_and_extensions_are_checked() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    for typ in ["dpop+jwt", "DPoP+JWT", "application/dpop+jwt"] {
        assert_accepts(&server, &client, &client.proof().header("typ", typ)).await;
    }
    for proof in [
        client.proof().without_header("typ"),
        client.proof().header("typ", "JWT"),
        client.proof().header("typ", "at+jwt"),
        client.proof().header("typ", json!(["dpop+jwt"])),
        client.proof().without_header("alg"),
        client.proof().header("alg", "none"),
        client.proof().header("alg", "HS256"),
        client.proof().header("alg", "es256"),
        client.proof().header("alg", "ES512"),
        client.proof().header("alg", "RS384"),
        client.proof().header("crit", json!(["exp"])),
        client.proof().header("crit", json!([])),
        client.proof().header("b64", true),
        client.proof().header("enc", "A128GCM"),
        client.proof().without_header("jwk"),
        client.proof().header("jwk", Value::Null),
        client.proof().header("jwk", "key"),
        client.proof().header("jwk", json!([{}])),
    ] {
        assert_refuses_proof(&server, &client, &proof, RejectionKind::MalformedProof).await;
    }
    // Each of them is a listed algorithm of another key.
    for alg in ["ES384", "EdDSA", "RS256", "PS256"] {
        let proof = client.proof().header("alg", alg);
        assert_refuses_proof(&server, &client, &proof, RejectionKind::UnusableProofKey).await;
    }
    let only = serving(unrecorded().with_algorithms([Algorithm::EdDSA]).unwrap()).await;
    assert_refuses_proof(&only, &client, &client.proof(), RejectionKind::MalformedProof).await;
}

/// A copy of settings with other algorithms must not use keys that the first has remembered.
#[tokio::test]
async fn row_79_a_remembered_key_needs_a_listed_algorithm() {
    let (first, client) = (unrecorded(), Client::new());
    let second = first.clone().with_algorithms([Algorithm::EdDSA]).unwrap();
    assert_accepts(&serving(first).await, &client, &client.proof()).await;
    let second = serving(second).await;
    assert_refuses_proof(&second, &client, &client.proof(), RejectionKind::MalformedProof).await;
}

#[tokio::test]
async fn row_79_every_listed_algorithm_is_accepted() {
    let server = serving(unrecorded()).await;
    // Each key signs with its algorithm.
    for algorithm in [Algorithm::ES256, Algorithm::EdDSA] {
        let key = key().with_key(SigningKey::generate(algorithm).unwrap());
        let client = Client { token: bound_to(&key), key };
        assert_accepts(&server, &client, &client.proof()).await;
    }
}

fn jwk(proof: &ProofKey) -> Value {
    let issued = proof.proof("GET", URL, "").issue();
    let header = URL_SAFE_NO_PAD.decode(issued.split('.').next().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&header).unwrap()["jwk"].clone()
}

#[tokio::test]
async fn row_79_the_key_of_a_proof_passes_every_check_of_a_configured_key() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    let own = jwk(&client.key);
    let with = |name: &str, value: Value| {
        let mut jwk = own.clone();
        jwk[name] = value;
        client.proof().header("jwk", jwk)
    };
    for (name, value) in [
        ("use", json!("sig")),
        ("key_ops", json!(["verify"])),
        ("ext", json!(true)),
        ("kid", json!("any")),
        ("alg", Value::Null),
    ] {
        assert_accepts(&server, &client, &with(name, value)).await;
    }
    let other_point = jwk(&key());
    for (name, value) in [
        ("d", json!("AA")),
        ("p", json!("AA")),
        ("q", json!("AA")),
        ("use", json!("enc")),
        ("key_ops", json!(["sign"])),
        ("key_ops", json!("verify")),
        ("alg", json!("ES384")),
        ("alg", json!("none")),
        ("kty", json!("oct")),
        ("kty", json!("RSA")),
        ("crv", json!("P-384")),
        ("crv", json!("secp256k1")),
        // A point that is not on the curve.
        ("y", other_point["y"].clone()),
        ("x", json!("AA")),
        ("x", json!(format!("{}=", own["x"].as_str().unwrap()))),
    ] {
        let proof = with(name, value);
        assert_refuses_proof(&server, &client, &proof, RejectionKind::UnusableProofKey).await;
    }
    let secret = json!({ "kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U" });
    let weak = json!({ "kty": "RSA", "n": "AQAB".repeat(43), "e": "AQAB" });
    let set = json!({ "keys": [own] });
    for jwk in [secret, weak, set, json!({})] {
        let proof = client.proof().header("jwk", jwk);
        assert_refuses_proof(&server, &client, &proof, RejectionKind::UnusableProofKey).await;
    }
}

#[tokio::test]
async fn row_79_a_proof_by_another_key_is_an_invalid_token() {
    let (server, client, thief) = (serving(unrecorded()).await, Client::new(), key());
    assert_accepts(&server, &client, &client.proof()).await;
    // A valid proof by the key of the thief (RFC 9449 section 7.1).
    let foreign = thief.proof("GET", URL, &client.token);
    let refused = RejectionKind::UnverifiedConfirmation;
    assert_refuses_proof(&server, &client, &foreign, refused).await;
    // The key of the client, and a signature by another one.
    let forged = client.proof().signed_by(&thief);
    assert_refuses_proof(&server, &client, &forged, RejectionKind::BadProofSignature).await;
}

#[tokio::test]
async fn row_79_each_claim_is_needed_and_has_its_type() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    assert_accepts(&server, &client, &client.proof().claim("other", json!({ "a": [1] }))).await;
    for name in ["jti", "htm", "htu", "iat", "ath"] {
        let without = client.proof().without(name);
        assert_refuses_proof(&server, &client, &without, RejectionKind::MalformedProof).await;
        for value in [Value::Null, json!(true), json!(["GET"]), json!({})] {
            let proof = client.proof().claim(name, value);
            assert_refuses_proof(&server, &client, &proof, RejectionKind::MalformedProof).await;
        }
    }
    for (length, is_accepted) in [(0, false), (1, true), (256, true), (257, false)] {
        // Characters, not bytes.
        let proof = client.proof().claim("jti", "\u{e4}".repeat(length));
        match is_accepted {
            true => assert_accepts(&server, &client, &proof).await,
            false => {
                let kind = RejectionKind::MalformedProof;
                assert_refuses_proof(&server, &client, &proof, kind).await;
            }
        }
    }
}

#[tokio::test]
async fn row_79_method_and_url_are_those_of_the_request() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    for url in ["https://api.example", "HTTPS://API.EXAMPLE:443/?q#f"] {
        assert_accepts(&server, &client, &client.proof().claim("htu", url)).await;
    }
    for (name, value) in [
        ("htm", "POST"),
        ("htm", "get"),
        ("htm", "GET "),
        ("htm", ""),
        ("htu", ""),
        ("htu", "/"),
        ("htu", "http://api.example/"),
        ("htu", "https://api.example:8443/"),
        ("htu", "https://api.example.evil.example/"),
        ("htu", "https://evil.example/"),
        ("htu", "https://api.example/other"),
        ("htu", "https://api.example//"),
        ("htu", "https://a@api.example/"),
    ] {
        let proof = client.proof().claim(name, value);
        assert_refuses_proof(&server, &client, &proof, RejectionKind::WrongProofTarget).await;
    }
}

#[tokio::test]
async fn row_79_headers_of_the_request_do_not_change_its_url() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    let own = client.proof();
    let foreign = client.proof().claim("htu", "https://evil.example/");
    for lie in [
        "forwarded: host=evil.example;proto=https",
        "x-forwarded-host: evil.example",
        "x-forwarded-proto: http",
        "x-forwarded-port: 8443",
        "x-forwarded-prefix: /other",
        "x-original-url: /other",
        "x-rewrite-url: /other",
    ] {
        server.assert_passes(format!("{}{lie}\r\n", client.lines(&own))).await;
        let lines = format!("{}{lie}\r\n", client.lines(&foreign));
        assert_refuses(&server, &lines, RejectionKind::WrongProofTarget).await;
    }
    for (proof, is_accepted) in [(&own, true), (&foreign, false)] {
        let head =
            "GET http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n";
        let reply = server.send(format!("{head}{}\r\n", client.lines(proof))).await;
        assert_eq!(reply.body == PASSED, is_accepted, "{reply:?}");
    }
}

#[tokio::test]
async fn row_79_the_path_is_the_one_before_a_nested_router() {
    let client = Client::new();
    let layer = layer().with_dpop(unrecorded());
    let server = Server::behind(|open| axum::Router::new().nest("/v1", open.layer(layer))).await;
    let get = |path: &str, url: &str| {
        let proof = client.key.proof("GET", url, &client.token);
        let head = format!("GET {path} HTTP/1.1\r\nhost: api.example\r\nconnection: close\r\n");
        format!("{head}{}\r\n", client.lines(&proof))
    };
    let reply = server.send(get("/v1/orders?x=1", "https://api.example/v1/orders")).await;
    assert_eq!(reply.body, PASSED);
    for url in ["https://api.example/orders", "https://api.example/v1/v1/orders"] {
        let reply = server.send(get("/v1/orders", url)).await;
        assert_eq!(
            (reply.body.as_str(), server.reason()),
            (BODY, Some(RejectionKind::WrongProofTarget))
        );
    }
}

#[tokio::test]
async fn row_79_a_proof_belongs_to_one_token() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    let cnf = format!(r#""exp":1800000050,"cnf":{{"jkt":"{}"}}"#, client.key.thumbprint());
    let other = token_with(&cnf);
    server.assert_passes(lines(&other, &client.key.proof("GET", URL, &other).issue())).await;
    let hash = URL_SAFE_NO_PAD.encode(Sha256::digest(&client.token));
    let proof = client.proof().claim("ath", &hash);
    assert_accepts(&server, &client, &proof).await;
    let refused = RejectionKind::WrongProofToken;
    assert_refuses(&server, &lines(&other, &proof.issue()), refused).await;
    for value in [String::new(), format!("{hash}="), hash[..42].to_owned(), hash.to_lowercase()] {
        let proof = client.proof().claim("ath", value);
        assert_refuses_proof(&server, &client, &proof, refused).await;
    }
}

#[tokio::test]
async fn row_79_a_proof_is_accepted_for_a_minute() {
    let (server, client) = (serving(unrecorded()).await, Client::new());
    for date in [json!(NOW - 60), json!(NOW + 30), json!(1.8e9), json!(NOW as f64 + 30.9)] {
        assert_accepts(&server, &client, &client.proof().claim("iat", date)).await;
    }
    let refused = RejectionKind::ProofNotCurrent;
    for date in [json!(NOW - 61), json!(NOW + 31), json!(0), json!(1_u64 << 53)] {
        let proof = client.proof().claim("iat", date);
        assert_refuses_proof(&server, &client, &proof, refused).await;
    }
    for date in [json!("1800000000"), json!(-1), json!(1e300)] {
        let proof = client.proof().claim("iat", date);
        assert_refuses_proof(&server, &client, &proof, RejectionKind::MalformedProof).await;
    }
}

/// Sends a request once, over HTTP/2.
async fn send_once(server: &Server, client: &Client, proof: &TestProof) -> Option<RejectionKind> {
    let request = Request::get("http://api.example/")
        .header(AUTHORIZATION, format!("DPoP {}", client.token))
        .header("dpop", proof.value())
        .body(http_body_util::Full::<bytes::Bytes>::default())
        .unwrap();
    server.send_over_http_2(request).await;
    server.reason()
}

#[tokio::test]
async fn row_79_each_proof_is_accepted_once() {
    let (server, client) = (serving(dpop()).await, Client::new());
    let proof = client.proof();
    assert_eq!(send_once(&server, &client, &proof).await, None);
    for _ in 0..3 {
        let replayed = Some(RejectionKind::ReplayedProof);
        assert_eq!(send_once(&server, &client, &proof).await, replayed);
    }
    // A new signature over the same `jti`.
    let again = proof.clone().claim("iat", NOW - 1);
    assert_eq!(send_once(&server, &client, &again).await, Some(RejectionKind::ReplayedProof));
    assert_eq!(send_once(&server, &client, &client.proof()).await, None);
    // Another client may use the same `jti`.
    let other = Client::new();
    let same_id = |client: &Client| client.proof().claim("jti", "same");
    assert_eq!(send_once(&server, &client, &same_id(&client)).await, None);
    assert_eq!(send_once(&server, &other, &same_id(&other)).await, None);
}

#[tokio::test]
async fn row_79_a_rejected_request_does_not_use_its_proof_up() {
    let (key, clock) = (key(), ManualClock::at(UnixTime::from_secs(NOW)));
    let revocation = tower_bearer::RevocationCache::in_memory();
    let authenticator = builder().with_clock(clock).revocation(revocation.clone()).build().unwrap();
    let server = Server::with(BearerLayer::new(authenticator).with_dpop(dpop())).await;
    let client = Client {
        token: token_with(&format!(
            r#""exp":1800000060,"jti":"a","cnf":{{"jkt":"{}"}}"#,
            key.thumbprint()
        )),
        key,
    };
    let proof = client.proof();
    let expired = sign_hs256(
        r#"{"alg":"HS256"}"#,
        &format!(
            r#"{{"iss":"https://issuer.example","aud":"api://orders","exp":1,"cnf":{{"jkt":"{}"}}}}"#,
            client.key.thumbprint()
        ),
    );
    let with_expired = Client { token: expired, key: client.key.clone() };
    let refused = send_once(&server, &with_expired, &proof).await;
    assert_eq!(refused, Some(RejectionKind::Expired));
    let wrong = proof.clone().claim("htm", "POST");
    let refused = send_once(&server, &client, &wrong).await;
    assert_eq!(refused, Some(RejectionKind::WrongProofTarget));
    assert_eq!(send_once(&server, &client, &proof).await, None);

    let thing = tower_bearer::revocation::Revocable::token("https://issuer.example", "a");
    let entry =
        tower_bearer::revocation::RevocationEntry::new(thing, UnixTime::from_secs(NOW + 60));
    revocation.revoke(&entry).await.unwrap();
    for _ in 0..2 {
        let refused = send_once(&server, &client, &client.proof()).await;
        assert_eq!(refused, Some(RejectionKind::Revoked));
    }
}

#[tokio::test]
async fn row_79_a_cached_token_needs_a_proof_on_every_request() {
    let cached = BearerLayer::new(builder().cache_hmac_tokens().build().unwrap());
    let (server, client) = (Server::with(cached.with_dpop(dpop())).await, Client::new());
    for _ in 0..3 {
        let proof = client.proof();
        assert_eq!(send_once(&server, &client, &proof).await, None);
        let refused = send_once(&server, &client, &proof).await;
        assert_eq!(refused, Some(RejectionKind::ReplayedProof));
        let refused = send_once(&server, &client, &client.proof().claim("htm", "POST")).await;
        assert_eq!(refused, Some(RejectionKind::WrongProofTarget));
        let lines = format!("authorization: DPoP {}\r\n", client.token);
        assert_refuses(&server, &lines, RejectionKind::MissingProof).await;
        let as_bearer = bearer(&client.token);
        assert_refuses(&server, &as_bearer, RejectionKind::UnverifiedConfirmation).await;
    }
}

#[tokio::test]
async fn row_79_a_nonce_must_be_current_and_our_own() {
    let nonces = NonceKey::from_bytes([7; 32]);
    let (server, client) = (serving(unrecorded().with_nonces(nonces)).await, Client::new());
    let refused = RejectionKind::UseDpopNonce;
    assert_refuses_proof(&server, &client, &client.proof(), refused).await;
    let reply = server.get(client.lines(&client.proof())).await;
    let nonce = header(&reply, "dpop-nonce").expect("a nonce").to_owned();

    let reply = server.get(client.lines(&client.proof().with_nonce(&nonce))).await;
    assert_eq!((reply.body.as_str(), header(&reply, "dpop-nonce")), (PASSED, Some(&*nonce)));
    // Every answer to the scheme has one. Others do not.
    let wrong = client.proof().with_nonce(&nonce).claim("htm", "POST");
    let reply = server.get(client.lines(&wrong)).await;
    assert_eq!(header(&reply, "dpop-nonce"), Some(&*nonce));
    let reply = server.get(bearer(&token())).await;
    assert_eq!((reply.body.as_str(), header(&reply, "dpop-nonce")), (PASSED, None));

    // Another service gives another nonce.
    let other = serving(unrecorded().with_nonces(NonceKey::from_bytes([8; 32]))).await;
    let reply = other.get(client.lines(&client.proof())).await;
    let foreign = header(&reply, "dpop-nonce").unwrap();
    for forged in ["", "x", foreign, &nonce[1..], &nonce.to_lowercase(), &format!("{nonce}=")] {
        let proof = client.proof().with_nonce(forged);
        assert_refuses_proof(&server, &client, &proof, refused).await;
    }
    // A service of the same fleet.
    let same = serving(unrecorded().with_nonces(NonceKey::from_bytes([7; 32]))).await;
    assert_accepts(&same, &client, &client.proof().with_nonce(&nonce)).await;
    // Without nonces, a proof may have any.
    let off = serving(unrecorded()).await;
    assert_accepts(&off, &client, &client.proof().with_nonce("any")).await;
    let number = client.proof().claim("nonce", 7);
    assert_refuses_proof(&off, &client, &number, RejectionKind::MalformedProof).await;
}

#[tokio::test]
async fn row_79_a_binding_to_key_and_certificate_needs_both() {
    let own = ClientCertificate::from_der(b"certificate of the client");
    let client = {
        let key = key();
        let token = token_with(&format!(
            r#""exp":1800000060,"cnf":{{"jkt":"{}","x5t#S256":"{}"}}"#,
            key.thumbprint(),
            own.thumbprint()
        ));
        Client { key, token }
    };
    let layer = layer().with_dpop(unrecorded());
    let with_certificates = layer.clone().with_client_certificates(CertificateSource::extension());
    let behind = async |layer: &BearerLayer, certificate: Option<ClientCertificate>| {
        let layer = layer.clone();
        Server::behind(|open| match certificate {
            Some(certificate) => open.layer(layer).layer(axum::Extension(certificate)),
            None => open.layer(layer),
        })
        .await
    };
    let both = behind(&with_certificates, Some(own)).await;
    assert_accepts(&both, &client, &client.proof()).await;
    let refused = RejectionKind::UnverifiedConfirmation;
    assert_refuses(&both, &bearer(&client.token), refused).await;
    let stolen = ClientCertificate::from_der(b"certificate of the thief");
    for (layer, certificate) in
        [(&with_certificates, None), (&with_certificates, Some(stolen)), (&layer, Some(own))]
    {
        let server = behind(layer, certificate).await;
        assert_refuses_proof(&server, &client, &client.proof(), refused).await;
    }
    // Where bound tokens are required, the certificate alone is a binding.
    let required = with_certificates.clone().with_dpop(unrecorded().required());
    let server = behind(&required, Some(own)).await;
    let cnf = format!(r#""exp":1800000060,"cnf":{{"x5t#S256":"{}"}}"#, own.thumbprint());
    server.assert_admitted(&token_with(&cnf)).await;
    assert_refuses(&server, &bearer(&token()), refused).await;
}
