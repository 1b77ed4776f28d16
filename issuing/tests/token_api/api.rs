//! A service with the router on a memory store, and requests to it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use futures_util::FutureExt;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt;
use tower_bearer::{
    Algorithm, Authenticated, BoxFuture, UnixTime,
    claims::{Clock as _, ManualClock},
    jws::SigningKey,
    revocation::StoreError,
};
use tower_bearer_issuing::{
    Account, Accounts, AccountsError, Credentials, ManagedAccounts, NewAccount, TokenApi,
    TokenIssuer, TokenIssuerBuilder, TokenStore as _,
    scopes::ScopeSet,
    store::{MemoryTokenStore, Owner},
};

use crate::wire::Wire;

/// 2027-01-15T08:00:00Z.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) const NOT_VALID: &str =
    r#"{"code":"token_not_valid","detail":"Token is invalid or expired"}"#;

pub(crate) const NOT_AUTHENTICATED: &str =
    r#"{"code":"not_authenticated","detail":"Authentication credentials were not provided."}"#;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

pub(crate) const NOT_FOUND: &str = r#"{"detail":"Not found."}"#;

/// Ada is 7, Bob is 8, their password is `right`; `busy` and `away` are states of the service.
#[derive(Clone, Default)]
struct People {
    /// What all of them may do.
    scopes: Arc<Mutex<ScopeSet>>,
}

impl Accounts for People {
    fn authenticate<'a>(
        &'a self,
        credentials: &'a Credentials,
    ) -> BoxFuture<'a, Result<Account, AccountsError>> {
        let id = match credentials.username.as_str() {
            "ada@example.org" => Some(7),
            "bob@example.org" => Some(8),
            _ => None,
        };
        let answer = match (id, credentials.password.as_str()) {
            (Some(id), "right" | " right ") => {
                let mut account = Account::new(id, credentials.username.as_str());
                account.company_id = Some(3.into());
                account.is_verified = true;
                account.profile.insert("first_name".into(), json!("Ada"));
                Ok(account)
            }
            (_, "busy") => Err(AccountsError::Busy),
            _ => Err(AccountsError::NoActiveAccount),
        };
        Box::pin(std::future::ready(answer))
    }

    fn find_active<'a>(
        &'a self,
        subject: &'a str,
    ) -> BoxFuture<'a, Result<Option<Account>, StoreError>> {
        let scopes = self.scopes.lock().unwrap().clone();
        let account = Account::new(7, subject).with_subject(subject).with_scopes(scopes);
        Box::pin(std::future::ready(Ok(Some(account))))
    }
}

/// Adds accounts until Ada is 7 and Bob is 8. Their hashes have no effect, because `People` checks the passwords.
fn add_accounts(store: &MemoryTokenStore) {
    for name in ["1", "2", "3", "4", "5", "6", "ada", "bob"] {
        let account = NewAccount::new(format!("{name}@example.org"), "!");
        let added = store.add_account(&account).now_or_never();
        added.unwrap().unwrap().unwrap();
    }
}

pub(crate) struct Api {
    pub(crate) router: Router,
    pub(crate) issuer: TokenIssuer,
    people: People,
    store: MemoryTokenStore,
    pub(crate) clock: ManualClock,
    pub(crate) wire: Wire,
    /// The key with which the issuer signs.
    pub(crate) key: SigningKey,
}

impl Api {
    pub(crate) fn new() -> Self {
        Self::build(|builder| builder, |api| api)
    }

    pub(crate) fn build(
        operator: impl FnOnce(TokenIssuerBuilder) -> TokenIssuerBuilder,
        service: impl FnOnce(TokenApi) -> TokenApi,
    ) -> Self {
        let clock = ManualClock::at(UnixTime::from_secs(NOW));
        let store = MemoryTokenStore::new().with_clock(clock.clone());
        add_accounts(&store);
        let wire = Wire::new(store.clone());
        let key = SigningKey::generate(Algorithm::ES256).unwrap();
        Self::serve((People::default(), key, store, wire), clock, operator, service)
    }

    /// Another process on the same store.
    pub(crate) fn restart(
        &self,
        operator: impl FnOnce(TokenIssuerBuilder) -> TokenIssuerBuilder,
    ) -> Self {
        let parts = (self.people.clone(), self.key.clone(), self.store.clone(), self.wire.clone());
        Self::serve(parts, self.clock.clone(), operator, |api| api)
    }

    fn serve(
        (people, key, store, wire): (People, SigningKey, MemoryTokenStore, Wire),
        clock: ManualClock,
        operator: impl FnOnce(TokenIssuerBuilder) -> TokenIssuerBuilder,
        service: impl FnOnce(TokenApi) -> TokenApi,
    ) -> Self {
        let (name, accounts) = ("https://issuer.example", people.clone());
        let builder = TokenIssuer::builder(name, "api", key.clone(), wire.clone(), accounts)
            .with_managed_accounts(store.clone())
            .with_audit(store.clone());
        let issuer = operator(builder.with_clock(clock.clone())).build().unwrap();
        let me = async |user: Authenticated| user.registered().subject().unwrap_or("").to_owned();
        let orders = get(me).layer(issuer.layer().and_require_scopes(["orders:read"]));
        let api = TokenApi::new(&issuer).with_audit_log(store.clone());
        let router = Router::new()
            .route("/api/v1/me", get(me))
            .route_layer(issuer.layer())
            .route("/api/v1/orders", orders)
            .nest("/api/v1/auth", service(api).into_router())
            .merge(issuer.jwks_router());
        Self { router, issuer, people, key, store, clock, wire }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// A call of the API: the path after the prefix.
    pub(crate) async fn call(&self, call: Call<'_>) -> Answer {
        self.send(call.request()).await
    }

    /// A call that goes on by itself, as far as it gets.
    pub(crate) async fn start(&self, call: Call<'_>) -> JoinHandle<StatusCode> {
        let answer = self.router.clone().oneshot(call.request());
        let started = tokio::spawn(async move { answer.await.unwrap().status() });
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        started
    }

    pub(crate) async fn post(&self, path: &str, token: Option<&str>, body: Value) -> Answer {
        self.call(Call::new(Method::POST, path).token(token).json(&body)).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.call(Call::new(Method::GET, path).token(Some(token))).await
    }

    pub(crate) async fn delete(&self, path: &str, token: &str) -> Answer {
        self.call(Call::new(Method::DELETE, path).token(Some(token))).await
    }

    /// Gives everybody these scopes, and no others.
    pub(crate) fn grant(&self, scopes: &str) {
        *self.people.scopes.lock().unwrap() = ScopeSet::from_text(scopes).unwrap();
    }

    /// The protected endpoint of the service itself.
    pub(crate) async fn me(&self, token: &str) -> Answer {
        self.get_service("/api/v1/me", token).await
    }

    /// An endpoint of the service that requires the scope `orders:read`.
    pub(crate) async fn orders(&self, token: &str) -> Answer {
        self.get_service("/api/v1/orders", token).await
    }

    async fn get_service(&self, path: &str, token: &str) -> Answer {
        let request = Request::get(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Body::empty());
        self.send(request.unwrap()).await
    }

    pub(crate) async fn log_in(&self, name: &str) -> Tokens {
        let body = json!({"username": format!("{name}@example.org"), "password": "right"});
        Tokens::of(&self.post("/login/", None, body).await)
    }

    /// A private token of a name, for a day: its number and itself.
    pub(crate) async fn create(&self, access: &str, name: &str) -> (i64, String) {
        let body = json!({"name": name, "expiration_time": "2027-01-16T08:00:00Z"});
        let answer = self.post("/private_tokens/", Some(access), body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let created = answer.json();
        (created["id"].as_i64().unwrap(), created["data"].as_str().unwrap().into())
    }

    /// A private token with these scopes, for a day: its number and itself.
    pub(crate) async fn create_with(&self, access: &str, scopes: Value) -> (i64, String) {
        let body =
            json!({"name": "x", "expiration_time": "2027-01-16T08:00:00Z", "scopes": scopes});
        let answer = self.post("/private_tokens/", Some(access), body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        let created = answer.json();
        (created["id"].as_i64().unwrap(), created["data"].as_str().unwrap().into())
    }

    pub(crate) async fn count(&self, access: &str) -> u64 {
        self.get("/private_tokens/", access).await.json()["count"].as_u64().unwrap()
    }

    /// The claims of a token that the issuer could have made.
    pub(crate) fn claims(&self, token_type: &str) -> Value {
        json!({
            "iss": "https://issuer.example", "sub": "7", "aud": "api", "jti": "signed",
            "sid": "signed", "iat": self.now(), "exp": self.now() + 3600, "token_type": token_type,
        })
    }

    /// A token that the issuer has signed, with other claims than its own tokens.
    pub(crate) fn sign(&self, typ: &str, other_claims: Value) -> String {
        let mut claims = self.claims("access");
        for (name, value) in other_claims.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.key.sign(typ, &claims.to_string()).unwrap()
    }

    /// An access token of a service that may introspect.
    pub(crate) fn introspector(&self) -> String {
        let jti = format!("robot-{}", self.now());
        let claims = json!({"sub": "robot", "jti": jti, "sid": "robot", "scope": "a introspect"});
        self.sign("at+jwt", claims)
    }

    /// An access token of an operator.
    pub(crate) fn operator(&self) -> String {
        let claims =
            json!({"sub": "root", "jti": "root", "sid": "root", "scope": "a tokens:admin"});
        self.sign("at+jwt", claims)
    }

    /// The second of the clock.
    pub(crate) fn now(&self) -> u64 {
        self.clock.now().as_secs()
    }

    /// A date this many seconds from now.
    pub(crate) fn date(&self, seconds: u64) -> String {
        let time = i64::try_from(self.now() + seconds).unwrap();
        jiff::Timestamp::from_second(time).unwrap().to_string()
    }

    /// Another process revokes a subject: the store knows it, and this process does not.
    pub(crate) async fn revoke_elsewhere(&self, subject: &str) {
        let owner = Owner::new("https://issuer.example", subject);
        let now = self.clock.now();
        let ends_by = now + Duration::from_secs(86_400);
        self.wire.revoke_owner(&owner, now, ends_by).await.unwrap();
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub(crate) struct Tokens {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Tokens {
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        let body = answer.json();
        let token = |name: &str| body[name].as_str().unwrap().to_owned();
        assert_eq!(token("access_token"), token("token_access"));
        Self { access: token("access_token"), refresh: token("refresh_token") }
    }
}

pub(crate) struct Call<'a> {
    method: Method,
    path: &'a str,
    token: Option<&'a str>,
    content_type: Option<&'a str>,
    host: &'a str,
    body: Arc<[u8]>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: &'a str) -> Self {
        let (content_type, host, body) = (None, "api.example.org", Arc::default());
        Self { method, path, token: None, content_type, host, body }
    }

    pub(crate) fn token(mut self, token: Option<&'a str>) -> Self {
        self.token = token;
        self
    }

    pub(crate) fn host(mut self, host: &'a str) -> Self {
        self.host = host;
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body("application/json", body.to_string())
    }

    pub(crate) fn body(mut self, content_type: &'a str, body: impl Into<Vec<u8>>) -> Self {
        self.content_type = Some(content_type).filter(|content_type| !content_type.is_empty());
        self.body = body.into().into();
        self
    }

    fn request(&self) -> Request<Body> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(format!("/api/v1/auth{}", self.path))
            .header(header::HOST, self.host);
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(content_type) = self.content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        request.body(Body::from(self.body.to_vec())).unwrap()
    }
}

/// Sends a call whose body waits until something has happened.
pub(crate) async fn slowly(
    api: &Api,
    path: &str,
    token: &str,
    content_type: &str,
    body: String,
    event: impl AsyncFnOnce(),
) -> Answer {
    let (send, sent) = tokio::sync::oneshot::channel::<String>();
    let body_stream = futures_util::stream::once(sent);
    let request = Request::post(format!("/api/v1/auth{path}"))
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .header(header::CONTENT_TYPE, content_type)
        .body(Body::from_stream(body_stream))
        .unwrap();
    let call = api.send(request);
    let rest = async {
        // The token was let through, and the body is waited for.
        tokio::task::yield_now().await;
        event().await;
        send.send(body).unwrap();
    };
    tokio::join!(call, rest).0
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().unwrap();
        assert!(values.next().is_none(), "{name} appears twice");
        Some(value)
    }

    /// Holds the whole answer against what is expected: the status, all headers, and every byte of the body.
    #[track_caller]
    pub(crate) fn is(&self, status: u16, more_headers: &[(&str, &str)], body: &str) {
        assert_eq!((self.status.as_u16(), &*self.body), (status, body));
        let length = body.len().to_string();
        let mut expected = vec![("cache-control", "no-store"), ("content-length", &length)];
        if !body.is_empty() {
            expected.push(("content-type", "application/json"));
        }
        expected.extend(more_headers);
        expected.sort_unstable();
        let mut found: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected);
    }

    /// The documented answer to every bad token.
    #[track_caller]
    pub(crate) fn is_token_not_valid(&self) {
        const CHALLENGE: &str = concat!(
            r#"Bearer realm="api", error="invalid_token", "#,
            r#"error_description="Token is invalid or expired""#
        );
        self.is(401, &[("www-authenticate", CHALLENGE)], NOT_VALID);
    }

    #[track_caller]
    pub(crate) fn is_not_authenticated(&self) {
        self.is(401, &[("www-authenticate", r#"Bearer realm="api""#)], NOT_AUTHENTICATED);
    }
}
