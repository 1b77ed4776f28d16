//! Tokens that are bound to the key of a client (RFC 9449): what each call answers with and without a proof, and
//! attacks.

use axum::{body::Body, routing::get};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tower_bearer::{
    Authenticated,
    dpop::{Dpop, NonceKey, ReplayLimits},
    test_util::{ProofKey, TestProof},
};
use tower_bearer_issuing::{TokenApi, TokenIssuerBuilder};

use crate::api::{Answer, Api, NOW, Tokens};

const BASE: &str = "https://api.example.org";

const EXPIRY: &str = "2027-01-16T08:00:00Z";

const INVALID: &str = concat!(
    r#"{"error":"invalid_dpop_proof","code":"dpop_proof_not_valid","#,
    r#""detail":"DPoP proof is invalid, expired or already used."}"#
);

const USE_NONCE: &str = concat!(
    r#"{"error":"use_dpop_nonce","code":"dpop_proof_not_valid","#,
    r#""detail":"DPoP proof is invalid, expired or already used."}"#
);

const UNAVAILABLE: &str = r#"{"code":"authentication_unavailable","detail":"Authentication is temporarily unavailable."}"#;

fn dpop() -> Dpop {
    Dpop::new([BASE]).unwrap()
}

fn service() -> Api {
    service_with(dpop())
}

fn service_with(dpop: Dpop) -> Api {
    build(dpop, |builder| builder)
}

/// The service, with a route of its own at `/bound` that takes bound tokens.
fn build(dpop: Dpop, operator: impl FnOnce(TokenIssuerBuilder) -> TokenIssuerBuilder) -> Api {
    let mut api = Api::build(operator, |api: TokenApi| api.with_dpop(dpop.clone()));
    let me = async |user: Authenticated| user.registered().subject().unwrap_or("").to_owned();
    let bound = get(me).layer(api.issuer.layer().with_dpop(dpop));
    api.router = api.router.clone().route("/bound", bound);
    api
}

/// A client with its key.
struct Client<'a> {
    api: &'a Api,
    key: ProofKey,
}

impl<'a> Client<'a> {
    fn new(api: &'a Api) -> Self {
        Self { api, key: ProofKey::new().with_clock(api.clock.clone()) }
    }

    /// The proof of a call that makes tokens.
    fn token_request(&self, path: &str) -> TestProof {
        self.key.proof("POST", &url(path), "").without("ath")
    }

    fn resource_request(&self, method: &str, path: &str, token: &str) -> TestProof {
        self.key.proof(method, &url(path), token)
    }

    async fn log_in(&self) -> Tokens {
        let proof = self.token_request("/login/");
        Tokens::of(&post(self.api, "/login/", &[proof], None, credentials()).await)
    }

    async fn refresh(&self, token: &str) -> Answer {
        refresh(self.api, &[self.token_request("/refresh/")], token).await
    }

    /// A call with a bound token.
    async fn call(&self, method: Method, path: &str, token: &str, body: Value) -> Answer {
        let proof = self.resource_request(method.as_str(), path, token);
        let authorization = format!("DPoP {token}");
        send(self.api, method, path, &[proof], Some(&authorization), body).await
    }

    /// A request of the service itself.
    async fn bound(&self, token: &str) -> Answer {
        let proof = self.key.proof("GET", &format!("{BASE}/bound"), token);
        let request = Request::get("/bound")
            .header(header::AUTHORIZATION, format!("DPoP {token}"))
            .header("dpop", proof.value());
        self.api.send(request.body(Body::empty()).unwrap()).await
    }
}

fn url(path: &str) -> String {
    format!("{BASE}/api/v1/auth{path}")
}

fn credentials() -> Value {
    json!({"username": "ada@example.org", "password": "right"})
}

async fn refresh(api: &Api, proofs: &[TestProof], token: &str) -> Answer {
    post(api, "/refresh/", proofs, None, json!({"refresh_token": token})).await
}

async fn post(
    api: &Api,
    path: &str,
    proofs: &[TestProof],
    token: Option<&str>,
    body: Value,
) -> Answer {
    let authorization = token.map(|token| format!("Bearer {token}"));
    send(api, Method::POST, path, proofs, authorization.as_deref(), body).await
}

async fn send(
    api: &Api,
    method: Method,
    path: &str,
    proofs: &[TestProof],
    authorization: Option<&str>,
    body: Value,
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("/api/v1/auth{path}"))
        .header(header::HOST, "evil.example")
        .header(header::CONTENT_TYPE, "application/json");
    for proof in proofs {
        request = request.header("DPoP", proof.value());
    }
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    api.send(request.body(Body::from(body.to_string())).unwrap()).await
}

fn claims(token: &str) -> Value {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// A new private token: its number and itself.
fn created(answer: &Answer) -> (i64, String) {
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let body = answer.json();
    (body["id"].as_i64().unwrap(), body["data"].as_str().unwrap().to_owned())
}

fn new_token(name: &str) -> Value {
    json!({"name": name, "expiration_time": EXPIRY})
}

/// The 401 to a bound token that is not valid here.
#[track_caller]
fn is_token_not_valid(answer: &Answer) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.body);
    assert_eq!(answer.body, crate::api::NOT_VALID);
}

#[tokio::test]
async fn a_log_in_with_a_proof_answers_tokens_of_its_key() {
    let api = service();
    let client = Client::new(&api);
    for path in ["/login/", "/login"] {
        let answer = post(&api, path, &[client.token_request(path)], None, credentials()).await;
        let Tokens { access, refresh } = Tokens::of(&answer);
        let expected = format!(
            r#"{{"id":7,"email":"ada@example.org","username":"ada@example.org","company_id":3,"token_access":"{access}","access_token":"{access}","refresh_token":"{refresh}","token_type":"DPoP","is_verified":true,"profile":{{"first_name":"Ada"}}}}"#
        );
        answer.is(200, &[], &expected);
        for token in [&access, &refresh] {
            assert_eq!(claims(token)["cnf"], json!({"jkt": client.key.thumbprint()}));
        }
        assert_eq!(client.bound(&access).await.body, "7");
        // As a Bearer token it is worth nothing.
        api.me(&access).await.is_token_not_valid();
        is_token_not_valid(&api.get("/sessions/", &access).await);
    }
}

#[tokio::test]
async fn without_a_proof_every_answer_is_as_before() {
    let (with, without) = (service(), Api::new());
    for api in [&with, &without] {
        let answer = post(api, "/login/", &[], None, credentials()).await;
        let tokens = Tokens::of(&answer);
        assert!(!answer.body.contains("token_type") && answer.header("dpop-nonce").is_none());
        assert!(claims(&tokens.access).get("cnf").is_none());
        assert!(claims(&tokens.refresh).get("cnf").is_none());
        let (_, private) = api.create(&tokens.access, "ci").await;
        assert!(claims(&private).get("cnf").is_none());
        let list = api.get("/private_tokens/", &tokens.access).await;
        assert!(!list.body.contains("token_type"), "{}", list.body);
        let answer = refresh(api, &[], &tokens.refresh).await;
        assert!(!answer.body.contains("token_type"), "{}", answer.body);
        assert_eq!(api.me(&Tokens::of(&answer).access).await.body, "7");
    }
}

#[tokio::test]
async fn without_the_setting_a_proof_has_no_effect() {
    let api = Api::new();
    let client = Client::new(&api);
    let proofs = [client.token_request("/login/"), client.token_request("/login/")];
    for proofs in [&proofs[..1], &proofs[..]] {
        let tokens = Tokens::of(&post(&api, "/login/", proofs, None, credentials()).await);
        assert_eq!(api.me(&tokens.access).await.body, "7");
        let tokens = Tokens::of(&refresh(&api, proofs, &tokens.refresh).await);
        let answer = post(&api, "/private_tokens/", proofs, Some(&tokens.access), new_token("a"));
        let answer = answer.await;
        assert!(!answer.body.contains("token_type"), "{}", answer.body);
        assert_eq!(api.me(&created(&answer).1).await.body, "7");
    }
}

#[tokio::test]
async fn every_rejected_proof_gets_the_same_bytes_and_no_session() {
    let api = service();
    let client = Client::new(&api);
    let login = |path: &str| client.token_request(path);
    let good = || login("/login/");
    let rows = [
        vec![good(), good()],
        vec![good().claim("htm", "GET")],
        vec![good().claim("htm", "post")],
        vec![login("/refresh/")],
        vec![login("/login")],
        vec![good().claim("htu", "https://evil.example/api/v1/auth/login/")],
        vec![good().claim("htu", "/api/v1/auth/login/")],
        vec![good().claim("iat", NOW - 61)],
        vec![good().claim("iat", NOW + 31)],
        vec![good().without("jti")],
        vec![good().claim("jti", "")],
        vec![good().header("typ", "JWT")],
        vec![good().header("crit", ["x"])],
        vec![good().without_header("jwk")],
        vec![good().signed_by(&ProofKey::new())],
    ];
    for (number, proofs) in rows.iter().enumerate() {
        let answer = post(&api, "/login/", proofs, None, credentials()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{number}: {}", answer.body);
        answer.is(400, &[], INVALID);
    }
    let tokens = client.log_in().await;
    let sessions = client.call(Method::GET, "/sessions/", &tokens.access, json!({})).await;
    assert_eq!(sessions.json()["count"], 1, "{}", sessions.body);
    let twin = good().claim("iat", NOW - 60);
    assert_eq!(post(&api, "/login/", &[twin], None, credentials()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_replayed_log_in_gets_no_tokens_and_no_session() {
    let api = service();
    let client = Client::new(&api);
    let proof = [client.token_request("/login/")];
    let tokens = Tokens::of(&post(&api, "/login/", &proof, None, credentials()).await);
    for _ in 0..2 {
        post(&api, "/login/", &proof, None, credentials()).await.is(400, &[], INVALID);
    }
    let sessions = client.call(Method::GET, "/sessions/", &tokens.access, json!({})).await;
    assert_eq!(sessions.json()["count"], 1, "{}", sessions.body);
}

#[tokio::test]
async fn a_failed_log_in_does_not_use_the_proof_up() {
    let api = service();
    let client = Client::new(&api);
    let proof = [client.token_request("/login/")];
    let wrong = json!({"username": "ada@example.org", "password": "wrong"});
    for body in [wrong, json!({}), json!({"username": "ada@example.org", "password": "busy"})] {
        assert_ne!(post(&api, "/login/", &proof, None, body).await.status, StatusCode::OK);
    }
    assert_eq!(post(&api, "/login/", &proof, None, credentials()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_stolen_refresh_token_is_useless_without_its_key() {
    let api = service();
    let (client, thief) = (Client::new(&api), Client::new(&api));
    let first = client.log_in().await;
    // The downgrade: no proof at all.
    refresh(&api, &[], &first.refresh).await.is(400, &[], INVALID);
    // A proof by the key of the thief, and one that only names the key of the client.
    thief.refresh(&first.refresh).await.is(400, &[], INVALID);
    let forged = client.token_request("/refresh/").signed_by(&thief.key);
    refresh(&api, &[forged], &first.refresh).await.is(400, &[], INVALID);
    // A proof that the client has used at another call.
    let seen = client.token_request("/login/");
    refresh(&api, &[seen], &first.refresh).await.is(400, &[], INVALID);

    // The store is not needed to see that the key is missing or wrong.
    api.wire.cut();
    refresh(&api, &[], &first.refresh).await.is(400, &[], INVALID);
    thief.refresh(&first.refresh).await.is(400, &[], INVALID);
    api.wire.mend();

    // Nothing of this has used the token up or has ended the session.
    let answer = client.refresh(&first.refresh).await;
    let second = Tokens::of(&answer);
    let Tokens { access, refresh: token } = &second;
    let expected = format!(
        r#"{{"token_access":"{access}","access_token":"{access}","refresh_token":"{token}","token_type":"DPoP"}}"#
    );
    answer.is(200, &[], &expected);
    for token in [access, token] {
        assert_eq!(claims(token)["cnf"], json!({"jkt": client.key.thumbprint()}));
    }
    assert_eq!(client.bound(access).await.body, "7");

    // The used token does not end the session without the key, and does with it.
    thief.refresh(&first.refresh).await.is(400, &[], INVALID);
    assert_eq!(client.bound(access).await.body, "7");
    is_token_not_valid(&client.refresh(&first.refresh).await);
    is_token_not_valid(&client.bound(access).await);
}

#[tokio::test]
async fn a_replayed_proof_does_not_use_the_refresh_token_up() {
    let api = service();
    let client = Client::new(&api);
    let tokens = client.log_in().await;
    let proof = [client.token_request("/refresh/")];
    let next = Tokens::of(&refresh(&api, &proof, &tokens.refresh).await);
    refresh(&api, &proof, &next.refresh).await.is(400, &[], INVALID);
    Tokens::of(&client.refresh(&next.refresh).await);
}

#[tokio::test]
async fn within_the_grace_a_repeat_needs_the_key_too() {
    let grace = std::time::Duration::from_secs(10);
    let api = build(dpop(), |builder| builder.with_refresh_reuse_grace(grace));
    let (client, thief) = (Client::new(&api), Client::new(&api));
    let tokens = client.log_in().await;
    let one = Tokens::of(&client.refresh(&tokens.refresh).await);
    thief.refresh(&tokens.refresh).await.is(400, &[], INVALID);
    refresh(&api, &[], &tokens.refresh).await.is(400, &[], INVALID);
    let two = Tokens::of(&client.refresh(&tokens.refresh).await);
    assert_eq!(claims(&one.refresh), claims(&two.refresh));
    Tokens::of(&client.refresh(&two.refresh).await);
}

#[tokio::test]
async fn a_session_without_a_key_does_not_get_one() {
    let api = service();
    let client = Client::new(&api);
    let tokens = api.log_in("ada").await;
    client.refresh(&tokens.refresh).await.is(400, &[], INVALID);
    assert_eq!(refresh(&api, &[], &tokens.refresh).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_bound_session_is_not_refreshed_when_the_setting_is_off() {
    let api = service();
    let client = Client::new(&api);
    let tokens = client.log_in().await;
    let off = api.restart(|builder| builder);
    refresh(&off, &[client.token_request("/refresh/")], &tokens.refresh).await.is(
        400,
        &[],
        INVALID,
    );
    off.me(&tokens.access).await.is_token_not_valid();
    Tokens::of(&client.refresh(&tokens.refresh).await);
}

#[tokio::test]
async fn calls_with_a_bound_token_need_its_proof() {
    let api = service();
    let (client, thief) = (Client::new(&api), Client::new(&api));
    let Tokens { access, refresh } = client.log_in().await;
    let (id, _) =
        created(&client.call(Method::POST, "/private_tokens/", &access, new_token("a")).await);
    let (one, rotate) = (format!("/private_tokens/{id}/"), format!("/private_tokens/{id}/rotate/"));
    let log_out = json!({"refresh_token": refresh});
    let calls = [
        (Method::GET, "/private_tokens/", json!({}), 200),
        (Method::GET, "/sessions/", json!({}), 200),
        (Method::POST, &*rotate, json!({"expiration_time": EXPIRY, "overlap_seconds": 9}), 201),
        (Method::DELETE, &*one, json!({}), 204),
        (Method::POST, "/logout/", log_out, 204),
    ];
    for (method, path, body, expected) in calls {
        let send = async |scheme: &str, proofs: &[TestProof]| {
            let authorization = format!("{scheme} {access}");
            send(&api, method.clone(), path, proofs, Some(&authorization), body.clone()).await
        };
        let proof = || client.resource_request(method.as_str(), path, &access);
        is_token_not_valid(&send("Bearer", &[]).await);
        is_token_not_valid(&send("Bearer", &[proof()]).await);
        let other = thief.resource_request(method.as_str(), path, &access);
        is_token_not_valid(&send("DPoP", &[other]).await);
        for proofs in [vec![], vec![proof(), proof()], vec![proof().without("ath")]] {
            let answer = send("DPoP", &proofs).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(answer.json()["code"], "dpop_proof_not_valid", "{path}");
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.contains(r#"error="invalid_dpop_proof""#), "{challenge}");
        }
        let used = [proof()];
        assert_eq!(send("DPoP", &used).await.status.as_u16(), expected, "{path}");
        let replayed = send("DPoP", &used).await;
        assert_eq!(replayed.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_private_token_is_bound_to_the_key_of_the_proof() {
    let api = service();
    let (backend, thief) = (Client::new(&api), Client::new(&api));
    let ada = api.log_in("ada").await;
    let path = "/private_tokens/";
    let answer =
        post(&api, path, &[backend.token_request(path)], Some(&ada.access), new_token("a")).await;
    let (id, data) = created(&answer);
    answer.is(
        201,
        &[],
        &format!(
            r#"{{"id":{id},"name":"a","expiration_time":"{EXPIRY}","data":"{data}","token_type":"DPoP"}}"#
        ),
    );
    assert_eq!(claims(&data)["cnf"], json!({"jkt": backend.key.thumbprint()}));
    assert_eq!(backend.bound(&data).await.body, "7");
    is_token_not_valid(&thief.bound(&data).await);
    api.me(&data).await.is_token_not_valid();
    let list = api.get(path, &ada.access).await.json();
    assert_eq!(list["results"][0]["token_type"], "DPoP");

    // A caller without a proof rotates it, and the key stays.
    let body = json!({"expiration_time": EXPIRY});
    let rotate = format!("/private_tokens/{id}/rotate/");
    let answer = api.post(&rotate, Some(&ada.access), body).await;
    assert_eq!(answer.json()["token_type"], "DPoP");
    let (_, rotated) = created(&answer);
    assert_eq!(claims(&rotated)["cnf"], json!({"jkt": backend.key.thumbprint()}));
    assert_eq!(backend.bound(&rotated).await.body, "7");
    is_token_not_valid(&thief.bound(&rotated).await);
    is_token_not_valid(&backend.bound(&data).await);
}

#[tokio::test]
async fn a_private_token_of_a_bound_caller_has_the_key_of_the_caller() {
    let api = service();
    let client = Client::new(&api);
    let access = client.log_in().await.access;
    let create = async |body| client.call(Method::POST, "/private_tokens/", &access, body).await;
    for token_type in [None, Some("DPoP")] {
        let mut body = new_token("a");
        if let Some(token_type) = token_type {
            body["token_type"] = token_type.into();
        }
        let (_, data) = created(&create(body).await);
        assert_eq!(claims(&data)["cnf"], json!({"jkt": client.key.thumbprint()}));
        assert_eq!(client.bound(&data).await.body, "7");
    }
    let mut unbound = new_token("a");
    unbound["token_type"] = "Bearer".into();
    let (_, data) = created(&create(unbound).await);
    assert_eq!(api.me(&data).await.body, "7");
}

#[tokio::test]
async fn the_wanted_type_of_a_private_token_is_checked() {
    let api = service();
    let client = Client::new(&api);
    let access = api.log_in("ada").await.access;
    let path = "/private_tokens/";
    let create = async |proofs: &[TestProof], token_type: Value| {
        let mut body = new_token("a");
        body["token_type"] = token_type;
        post(&api, path, proofs, Some(&access), body).await
    };
    let no_proof = r#"{"token_type":["This request has no DPoP proof."]}"#;
    create(&[], "DPoP".into()).await.is(400, &[], no_proof);
    let unknown = r#"{"token_type":["Expected Bearer or DPoP."]}"#;
    for other in ["dpop", "bearer", "N_A"] {
        create(&[], other.into()).await.is(400, &[], unknown);
    }
    create(&[], 5.into()).await.is(400, &[], r#"{"token_type":["Not a valid string."]}"#);
    // The proof is not used up by the answers to wrong fields, and has no effect with `Bearer`.
    let proof = [client.token_request(path)];
    create(&proof, "x".into()).await.is(400, &[], unknown);
    let (_, data) = created(&create(&proof, "Bearer".into()).await);
    assert_eq!(api.me(&data).await.body, "7");
    let (_, data) = created(&create(&proof, "DPoP".into()).await);
    assert_eq!(client.bound(&data).await.body, "7");
    create(&proof, "DPoP".into()).await.is(400, &[], INVALID);
    let other = [client.token_request("/login/")];
    create(&other, Value::from("DPoP")).await.is(400, &[], INVALID);
    assert_eq!(api.count(&access).await, 2);
}

#[tokio::test]
async fn a_bound_private_token_manages_others_with_its_proof() {
    let api = build(dpop(), TokenIssuerBuilder::allow_private_token_management);
    let client = Client::new(&api);
    api.grant("private_tokens");
    let access = client.log_in().await.access;
    let mut body = new_token("manager");
    body["scopes"] = json!(["private_tokens"]);
    let (_, manager) = created(&client.call(Method::POST, "/private_tokens/", &access, body).await);
    is_token_not_valid(&api.post("/private_tokens/", Some(&manager), new_token("a")).await);
    let answer = client.call(Method::POST, "/private_tokens/", &manager, new_token("a")).await;
    let (_, data) = created(&answer);
    assert_eq!(claims(&data)["cnf"], json!({"jkt": client.key.thumbprint()}));
}

#[tokio::test]
async fn introspection_shows_the_key_of_a_bound_token() {
    let api = service();
    let client = Client::new(&api);
    let tokens = client.log_in().await;
    let introspect = async |token: &str| {
        let caller = format!("Bearer {}", api.introspector());
        let request = Request::post("/api/v1/auth/introspect/")
            .header(header::AUTHORIZATION, caller)
            .header(header::CONTENT_TYPE, crate::api::FORM)
            .body(Body::from(format!("token={token}")));
        api.send(request.unwrap()).await
    };
    let answer = introspect(&tokens.access).await.json();
    assert_eq!((&answer["active"], &answer["token_type"]), (&json!(true), &json!("DPoP")));
    assert_eq!(answer["cnf"], json!({"jkt": client.key.thumbprint()}));
    assert_eq!(introspect(&tokens.refresh).await.body, r#"{"active":false}"#);
    let unbound = introspect(&api.log_in("ada").await.access).await.json();
    assert_eq!((&unbound["token_type"], unbound.get("cnf")), (&json!("Bearer"), None));
    // This issuer writes no other `cnf`.
    let jkt = client.key.thumbprint();
    for cnf in [
        json!({}),
        json!(null),
        json!({"jkt": "x"}),
        json!({"jkt": jkt, "x5t#S256": jkt}),
        json!({"x5t#S256": jkt}),
        json!({"jkt": jkt, "jwk": {}}),
        json!([]),
    ] {
        let token = api.sign("at+jwt", json!({"cnf": cnf}));
        assert_eq!(introspect(&token).await.body, r#"{"active":false}"#, "{cnf}");
    }
}

#[tokio::test]
async fn a_bound_token_can_be_revoked_without_its_key() {
    let api = service();
    let client = Client::new(&api);
    let revoke = async |token: &str| {
        let request = Request::post("/api/v1/auth/revoke/")
            .header(header::CONTENT_TYPE, crate::api::FORM)
            .body(Body::from(format!("token={token}")));
        assert_eq!(api.send(request.unwrap()).await.status, StatusCode::OK);
    };
    let tokens = client.log_in().await;
    assert_eq!(client.bound(&tokens.access).await.body, "7");
    revoke(&tokens.access).await;
    is_token_not_valid(&client.bound(&tokens.access).await);
    let tokens = Tokens::of(&client.refresh(&tokens.refresh).await);
    revoke(&tokens.refresh).await;
    is_token_not_valid(&client.bound(&tokens.access).await);
    is_token_not_valid(&client.refresh(&tokens.refresh).await);
}

#[tokio::test]
async fn with_nonces_the_first_answer_has_the_nonce_to_use() {
    let api = service_with(dpop().with_nonces(NonceKey::from_bytes([7; 32])));
    let client = Client::new(&api);
    let without = [client.token_request("/login/")];
    let answer = post(&api, "/login/", &without, None, credentials()).await;
    let nonce = answer.header("dpop-nonce").unwrap().to_owned();
    answer.is(400, &[("dpop-nonce", &nonce)], USE_NONCE);

    let proof = client.token_request("/login/").with_nonce(&nonce);
    let answer = post(&api, "/login/", &[proof], None, credentials()).await;
    assert_eq!(answer.header("dpop-nonce"), Some(&*nonce));
    let tokens = Tokens::of(&answer);
    // After five minutes another one is needed, and the refresh token is not used up.
    api.advance(400);
    let proof = || client.token_request("/refresh/").with_nonce(&nonce);
    let answer = refresh(&api, &[proof()], &tokens.refresh).await;
    let fresh = answer.header("dpop-nonce").unwrap().to_owned();
    assert_ne!(fresh, nonce);
    answer.is(400, &[("dpop-nonce", &fresh)], USE_NONCE);
    let proof = client.token_request("/refresh/").with_nonce(&fresh);
    Tokens::of(&refresh(&api, &[proof], &tokens.refresh).await);
    // Clients without proofs get no nonce.
    assert!(post(&api, "/login/", &[], None, credentials()).await.header("dpop-nonce").is_none());
}

#[tokio::test]
async fn above_the_limit_of_proofs_the_answer_is_503() {
    let api = service_with(dpop().with_replay_limits(ReplayLimits::default().with_per_key(1)));
    let client = Client::new(&api);
    let tokens = client.log_in().await;
    client.refresh(&tokens.refresh).await.is(503, &[("retry-after", "5")], UNAVAILABLE);
    let login = client.token_request("/login/");
    let answer = post(&api, "/login/", &[login], None, credentials()).await;
    answer.is(503, &[("retry-after", "5")], UNAVAILABLE);
    // The window of the first proof ends, and the refresh token is not used up.
    api.advance(200);
    Tokens::of(&client.refresh(&tokens.refresh).await);
}

#[tokio::test]
async fn if_proofs_are_required_a_log_in_without_one_is_rejected() {
    let api = service_with(dpop().required());
    let client = Client::new(&api);
    post(&api, "/login/", &[], None, credentials()).await.is(400, &[], INVALID);
    let access = client.log_in().await.access;
    created(&client.call(Method::POST, "/private_tokens/", &access, new_token("a")).await);
}

#[tokio::test]
async fn a_proof_is_in_no_log_of_the_request_and_not_in_its_answer() {
    let api = service();
    let client = Client::new(&api);
    let answer = client.refresh("a.b.c").await;
    is_token_not_valid(&answer);
    let proof = client.token_request("/login/");
    assert!(format!("{proof:?}").len() < 40, "no claims");
    let answer = post(&api, "/login/", &[proof.clone(), proof], None, credentials()).await;
    assert!(!answer.body.contains(&client.key.thumbprint()));
    assert!(!answer.headers.values().any(|value| value.to_str().unwrap().contains("eyJ")));
    let broken = Request::post("/api/v1/auth/login/")
        .header("DPoP", HeaderValue::from_bytes(b"\xff.\x80.x").unwrap())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(credentials().to_string()));
    api.send(broken.unwrap()).await.is(400, &[], INVALID);
}

#[test]
fn the_document_has_the_proof_and_its_errors() {
    let document: Value = serde_json::from_str(&TokenApi::openapi().to_json().unwrap()).unwrap();
    let schemas = &document["components"]["schemas"];
    let members: Vec<_> = schemas["ProofError"]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(members, ["code", "detail", "error"]);
    for path in ["/login/", "/refresh/", "/private_tokens/"] {
        let operation = &document["paths"][path]["post"];
        let header = &operation["parameters"][0];
        let named = (&header["name"], &header["in"], &header["required"]);
        assert_eq!(named, (&json!("DPoP"), &json!("header"), &json!(false)), "{path}");
        let bad = &operation["responses"]["400"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(bad, "#/components/schemas/BadBinding", "{path}");
        let answer =
            &operation["responses"][if path == "/private_tokens/" { "201" } else { "200" }];
        let answer = answer["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
        let schema = &schemas[answer.rsplit('/').next().unwrap()];
        assert_eq!(schema["properties"]["token_type"]["example"], "DPoP", "{path}");
    }
}
