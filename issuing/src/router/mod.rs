//! The HTTP API of an issuer, as an axum router: log in, refresh, log out, private tokens, password.
//!
//! 1. **Each path answers with and without a slash at its end**, never by a redirect.
//! 2. **Private tokens, sessions, `revoke_all/`, `logout/` and `password/` accept access tokens only.** Every other
//!    request gets the answer of [`TokenIssuer::access_layer`], before the method and the body are checked. The token
//!    is checked again after the body was read, and the store checks it in the same step in which it writes. A token
//!    that was revoked or has expired in the meantime changes nothing. If the operator
//!    [allows it](crate::TokenIssuerBuilder::allow_private_token_management), private tokens with the scope
//!    `private_tokens` can manage private tokens, too.
//! 3. **Bodies are JSON objects of at most 64 KiB**, read by the rules of [`json`](tower_bearer::json). The router
//!    answers 413 to a longer body, 415 to another media type, and 400 to malformed JSON. An empty body counts as an
//!    object without members. Unknown members are ignored. The bodies of `revoke/` and `introspect/` are forms, with
//!    the same limit. A missing or repeated parameter is `{"error":"invalid_request"}` (RFC 6749 section 5.2).
//! 4. **One answer names all wrong fields**: `{"field": ["..."]}`. Nothing is written then.
//! 5. **Caches keep no answer**, except the public keys.
//! 6. **A client cannot choose its address or host.** Its address is that of the connection
//!    ([`with_peer_address`](TokenApi::with_peer_address)). Without an address, log-ins are limited by account only.
//!    Links begin with the configured URL ([`with_public_url`](TokenApi::with_public_url)), or else with the host of
//!    the request, which is checked.
//! 7. **One subject cannot keep the store from others.** Few calls of a subject run at once, and a few more wait. New
//!    private tokens are limited by rate ([`with_private_token_rate`](TokenApi::with_private_token_rate)). The router
//!    answers 429 to further calls. Revocations have separate limits, which no other call uses up.
//! 8. **Who presents a token to `revoke/` may revoke it** (RFC 7009), and no other string is an error. Only strings
//!    that are not valid tokens are limited, by address ([`TokenIssuer::revoke_token`]).
//! 9. **`introspect/` says what the layer of this issuer does** (RFC 7662), and never why. The caller needs an access
//!    or private token with the scope `introspect`.
//! 10. **`admin/*` is for access tokens with the scope `tokens:admin`**, never for private tokens. Each use is an audit
//!     event, also one that is rejected because of its request, for example with 400 or 404.
//! 11. **With [`with_dpop`](TokenApi::with_dpop), a proof binds tokens to a key** (RFC 9449). Without a proof, and
//!     without this setting, everything is as before.
//! 12. **If the store, the accounts or the keys are not available, the answer is 503** with `Retry-After`.
//!
//! ```
//! # use tower_bearer::{Algorithm, jws::SigningKey};
//! # use tower_bearer_issuing::{MemoryAccounts, Passwords, TokenIssuer, store::MemoryTokenStore};
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, body::Body, routing::get};
//! use http::{Request, StatusCode};
//! use tower::ServiceExt;
//! use tower_bearer::Authenticated;
//!
//! # let issuer = TokenIssuer::builder(
//! #     "https://issuer.example", "api://orders", SigningKey::generate(Algorithm::ES256)?,
//! #     MemoryTokenStore::new(), Passwords::new(MemoryAccounts::new())?,
//! # ).build()?;
//! async fn orders(user: Authenticated) -> String {
//!     format!("the orders of {:?}", user.registered().subject())
//! }
//!
//! let app: Router = Router::new()
//!     .route("/orders", get(orders))
//!     .route_layer(issuer.layer())
//!     .nest("/api/v1/auth", issuer.router())
//!     .merge(issuer.jwks_router());
//!
//! let list = Request::get("/api/v1/auth/private_tokens/").body(Body::empty())?;
//! assert_eq!(app.oneshot(list).await?.status(), StatusCode::UNAUTHORIZED);
//! # Ok(()) }
//! # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
//! ```
//!
//! # Details
//!
//! * Answers leave out `scopes` if a token has none. Read an absent member as an empty list.
//! * A private token with the scope `private_tokens` gives its own scopes and an expiry up to its own: otherwise 400 on
//!   `scopes` or `expiration_time`. It gets 403 if it rotates a token with a scope that it lacks.
//! * `amr` is always `["pwd"]`, because there is no other way to log in.
//! * A log-in, a refresh and a new private token take one header `DPoP` with a proof without `ath`. An answer with
//!   bound tokens has `"token_type": "DPoP"`. An answer without bound tokens has no `token_type`.
//! * A session keeps its key: each refresh needs a new proof by it. A session that began without a proof stays without
//!   one. A rejected proof gets 400 with `error` and `code`, and does not use up the refresh token.
//! * A private token is bound to the key of the proof in the header, or to the key of the caller if the scheme is
//!   `DPoP`. With `"token_type": "Bearer"` it is not bound. With `"token_type": "DPoP"` and no proof the answer is 400.
//!   A rotation keeps the key and needs no proof by it.
//! * `introspect/` shows `cnf` and the `token_type` `DPoP` for a bound token. The caller must check the proof.
//! * `admin/audit/` has no numbered pages, because new events would move them. Follow `next`, which has `before`.
//!
//! # Differences from Django REST framework
//!
//! The API keeps the texts and the order of checks of that framework. It differs on purpose in these points:
//!
//! * A number is not a string and a string is not a number: `"name": 5` is "Not a valid string.", and
//!   `"overlap_seconds": "5"` is not a valid integer. Django converts both.
//! * Passwords keep the white space around them. Django removes it by default.
//! * A repeated member is rejected. In Django the last one counts. Lone surrogates, more than 32 levels and dates
//!   without an offset are rejected, too. The text after "JSON parse error - " differs from Python's.
//! * The API reads JSON, and forms only where OAuth defines them. It answers 415 to other media types. It ignores
//!   `Accept`. It answers 204 with `Allow` to `OPTIONS`.
//! * A path `private_tokens/{id}/` without a number gets 404 after authentication, not before it.
//!
//! The router answers 401 at once, before it reads the body. A client that still sends may lose its connection. Your
//! service must set timeouts for slow clients: put tower-http's `TimeoutLayer` around it.

mod account_calls;
mod admin_calls;
mod audit_calls;
mod body;
mod date_time;
mod dpop;
mod fields;
mod form;
mod jwks;
mod limits;
mod list_request;
mod metadata;
#[cfg(feature = "openapi")]
mod openapi;
mod private_token_calls;
mod public_url;
mod responses;
mod session_bodies;
mod session_calls;
mod session_list_calls;
mod standard_calls;

use std::{
    convert::Infallible,
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ::axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, FromRequestParts, Request, State},
    middleware::{Next, from_fn_with_state, map_response},
    response::Response,
    routing::{MethodRouter, any_service, delete, get, post},
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CACHE_CONTROL, USER_AGENT, WWW_AUTHENTICATE},
    request::Parts,
};
use serde_json::Value;
use tower_layer::Layer as _;

use self::{
    limits::SubjectLimits,
    public_url::PublicUrl,
    responses::{ApiError, Rejected},
};
use super::{
    ClientInfo, Login, TokenIssuer,
    audit::AuditLog,
    rate::Limit,
    scopes::{INTROSPECT, TOKENS_ADMIN},
};
use tower_bearer::{
    BearerLayer, ConfigError, Rejection, RejectionKind, dpop::Dpop, rejection::Responder,
};

/// The HTTP API of an issuer, with the settings of the service. The [module](self) lists the rules.
#[must_use = "an API does nothing until `into_router`"]
pub struct TokenApi {
    pub(crate) issuer: TokenIssuer,
    /// Accepts access tokens only.
    layer: BearerLayer,
    /// Accepts private tokens, too.
    introspection_layer: BearerLayer,
    /// Accepts the tokens that may manage private tokens.
    managers: BearerLayer,
    login_response: Option<Arc<LoginResponse>>,
    public_url: Option<PublicUrl>,
    /// For the metadata.
    supported_scopes: Vec<String>,
    peer_address: Arc<PeerAddress>,
    limits: SubjectLimits,
    audit_log: Option<Arc<dyn AuditLog>>,
    /// `None`: proofs are ignored, and bound tokens are rejected.
    dpop: Option<Dpop>,
}

type LoginResponse = dyn Fn(&Login) -> Value + Send + Sync;

type PeerAddress = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

impl TokenApi {
    /// The API of an issuer. The setters name the defaults.
    pub fn new(issuer: &TokenIssuer) -> Self {
        Self {
            issuer: issuer.clone(),
            // A client chooses its content type, but no route here is gRPC.
            layer: issuer.access_layer().with_grpc_answers(false),
            introspection_layer: issuer.layer().with_grpc_answers(false),
            managers: BearerLayer::new(issuer.manager_authenticator().clone())
                .with_grpc_answers(false),
            login_response: None,
            public_url: None,
            supported_scopes: [INTROSPECT, TOKENS_ADMIN].map(str::to_owned).into(),
            peer_address: Arc::new(connection_address),
            limits: SubjectLimits::new(Arc::clone(issuer.clock())),
            audit_log: None,
            dpop: None,
        }
    }

    /// Begins links (`next`, `previous`) with this URL: `https://api.example.org`. Add a path if a proxy removes it. By
    /// default links begin with `http` and the host of the request.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] if the URL is not `http` or `https` with a host, or if it has a query or a fragment.
    pub fn with_public_url(mut self, url: impl AsRef<str>) -> Result<Self, ConfigError> {
        self.public_url = Some(PublicUrl::new(url.as_ref())?);
        Ok(self)
    }

    /// Gets the client's address from this function. Log-ins are limited by address. Use this behind a proxy that
    /// reports the address. By default the address is axum's `ConnectInfo<SocketAddr>`, if the server provides it
    /// (`into_make_service_with_connect_info`).
    ///
    /// You need one of the two. If no address is known, or if all clients have the address of the proxy, a client that
    /// guesses the password of an account also locks out its owner.
    ///
    /// Do not use values that a client can write, such as the first entry of `X-Forwarded-For`.
    pub fn with_peer_address(
        mut self,
        peer_address: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.peer_address = Arc::new(peer_address);
        self
    }

    /// Lets each subject create this many private tokens at once (at least one), and then one in each interval.
    /// Rotations count, too. The router answers 429 to further requests. Default: 30 at once and one in 10 seconds. An
    /// interval of zero removes the limit.
    pub fn with_private_token_rate(mut self, at_once: u32, interval: Duration) -> Self {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        self.limits.new_token_rate = Limit { at_once: at_once.max(1).into(), interval_ms };
        self
    }

    /// Lets operators read this audit log with `GET admin/audit/`. Give it the sink of
    /// [`with_audit`](crate::TokenIssuerBuilder::with_audit), if that is also a log. Default: none, and the router
    /// answers 404.
    pub fn with_audit_log(mut self, log: impl AuditLog) -> Self {
        self.audit_log = Some(Arc::new(log));
        self
    }

    /// Sets the realm in challenges. Default: `api`.
    ///
    /// # Errors
    /// See [`BearerLayer::with_realm`].
    pub fn with_realm(mut self, realm: impl AsRef<str>) -> Result<Self, ConfigError> {
        let realm = realm.as_ref();
        self.layer = self.layer.with_realm(realm)?;
        self.introspection_layer = self.introspection_layer.with_realm(realm)?;
        self.managers = self.managers.with_realm(realm)?;
        Ok(self)
    }

    /// Lets this function write the body of the answer to a log-in, from the account and its tokens. By default the
    /// body has the field names of the API that this router replaces. The status stays 200. In the OpenAPI document,
    /// replace the schema `LoggedIn`, too:
    ///
    /// ```
    /// # use serde_json::json;
    /// # use tower_bearer_issuing::{TokenApi, TokenIssuer};
    /// # fn api(issuer: &TokenIssuer) -> TokenApi {
    /// TokenApi::new(issuer).with_login_response(|login| {
    ///     json!({
    ///         "user": login.account.id,
    ///         "access_token": login.tokens.access_token,
    ///         "refresh_token": login.tokens.refresh_token,
    ///     })
    /// })
    /// # }
    /// # #[cfg(feature = "openapi")]
    /// # fn document() -> utoipa::openapi::OpenApi {
    /// use utoipa::openapi::schema::{ObjectBuilder, Type};
    ///
    /// let mut document = TokenApi::openapi();
    /// let text = || ObjectBuilder::new().schema_type(Type::String);
    /// let schema = ObjectBuilder::new()
    ///     .property("user", ObjectBuilder::new().schema_type(Type::Integer))
    ///     .property("access_token", text())
    ///     .property("refresh_token", text());
    /// let components = document.components.get_or_insert_default();
    /// components.schemas.insert("LoggedIn".into(), schema.into());
    /// # document
    /// # }
    /// ```
    pub fn with_login_response(
        mut self,
        write: impl Fn(&Login) -> Value + Send + Sync + 'static,
    ) -> Self {
        self.login_response = Some(Arc::new(write));
        self
    }

    /// Lets `responder` write the answers to invalid tokens and the answer 503, like [`BearerLayer::with_responder`].
    pub fn with_responder(mut self, responder: impl Responder) -> Self {
        let responder = Arc::new(responder);
        let respond =
            move |rejection: &Rejection, request: &Parts| responder.respond(rejection, request);
        self.layer = self.layer.with_responder(respond.clone());
        self.introspection_layer = self.introspection_layer.with_responder(respond.clone());
        self.managers = self.managers.with_responder(respond);
        self
    }

    /// The router, for `nest("/api/v1/auth", ...)` or another prefix.
    pub fn into_router(self) -> Router {
        let (layer, managers) = (self.layer.clone(), self.managers.clone());
        let manages_accounts = self.issuer.manages_accounts();
        let introspection_layer = self.introspection_layer.clone();
        let api = Arc::new(self);
        let endpoint = |methods: MethodRouter<Arc<Self>>, allow: &'static str| {
            let methods =
                methods.route_layer(from_fn_with_state(Arc::clone(&api), answer_rejections));
            with_other_methods(methods, allow).with_state(Arc::clone(&api))
        };
        // The layer is around the methods, so that a request without a token does not learn which methods exist. It is
        // a service, because axum adds `Allow` to the answers of a method router that has no such method.
        let guarded = |methods, allow| any_service(layer.layer(endpoint(methods, allow)));
        let is_admin = layer.require_scopes([TOKENS_ADMIN]);
        let admin = |methods: MethodRouter<Arc<Self>>, allow| {
            let recorded = from_fn_with_state(Arc::clone(&api), admin_calls::record_rejections);
            let methods = endpoint(methods.route_layer(recorded), allow);
            any_service(layer.layer(is_admin.layer(methods)))
        };
        let introspect = endpoint(post(standard_calls::introspect), "POST, OPTIONS");
        let introspect = introspection_layer.require_scopes([INTROSPECT]).layer(introspect);
        let managed = |methods, allow| any_service(managers.layer(endpoint(methods, allow)));
        let mut routes = vec![
            ("/login", endpoint(post(session_calls::login), "POST, OPTIONS")),
            ("/refresh", endpoint(post(session_calls::refresh), "POST, OPTIONS")),
            ("/logout", guarded(post(session_calls::logout), "POST, OPTIONS")),
            (
                "/admin/private_tokens",
                admin(get(admin_calls::list_private_tokens_of), "GET, HEAD, OPTIONS"),
            ),
            (
                "/admin/private_tokens/{id}",
                admin(delete(admin_calls::revoke_private_token_of_any), "DELETE, OPTIONS"),
            ),
            ("/admin/audit", admin(get(audit_calls::list_audit_events), "GET, HEAD, OPTIONS")),
            ("/admin/revoke", admin(post(admin_calls::revoke_for_operator), "POST, OPTIONS")),
            ("/revoke", endpoint(post(standard_calls::revoke), "POST, OPTIONS")),
            ("/introspect", any_service(introspection_layer.layer(introspect))),
            ("/revoke_all", guarded(post(session_calls::revoke_all), "POST, OPTIONS")),
            ("/sessions", guarded(get(session_list_calls::list_sessions), "GET, HEAD, OPTIONS")),
            (
                "/sessions/{id}",
                guarded(delete(session_list_calls::revoke_session), "DELETE, OPTIONS"),
            ),
            (
                "/private_tokens",
                managed(
                    get(private_token_calls::list_private_tokens)
                        .post(private_token_calls::create_private_token),
                    "GET, POST, HEAD, OPTIONS",
                ),
            ),
            (
                "/private_tokens/{id}",
                managed(delete(private_token_calls::revoke_private_token), "DELETE, OPTIONS"),
            ),
            (
                "/private_tokens/{id}/rotate",
                managed(post(private_token_calls::rotate_private_token), "POST, OPTIONS"),
            ),
        ];
        if manages_accounts {
            let change_password = guarded(post(account_calls::change_password), "POST, OPTIONS");
            routes.push(("/password", change_password));
        }
        let mut router = Router::new();
        for (path, methods) in routes {
            router = router.route(path, methods.clone()).route(&format!("{path}/"), methods);
        }
        router.fallback(async || ApiError::NotFound).layer(map_response(not_cached))
    }
}

impl TokenIssuer {
    /// The issuer's HTTP API with the defaults of [`TokenApi`]: `Router::new().nest("/api/v1/auth", issuer.router())`.
    ///
    /// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`. Behind a proxy all clients have the address
    /// of the proxy: then use [`TokenApi::with_peer_address`]. Without either, a client that guesses passwords locks
    /// out others.
    pub fn router(&self) -> Router {
        TokenApi::new(self).into_router()
    }
}

/// Answers `OPTIONS` with 204 and other methods with 405.
fn with_other_methods(
    methods: MethodRouter<Arc<TokenApi>>,
    allow: &'static str,
) -> MethodRouter<Arc<TokenApi>> {
    methods
        .options(async move || (StatusCode::NO_CONTENT, [(ALLOW, allow)]))
        .fallback(async move |method: Method| ApiError::MethodNotAllowed { method, allow })
}

/// Answers [`ApiError::Rejected`] like the layer: with its responder, its challenge and its metrics. Adds the challenge
/// that every 401 must have (RFC 9110 section 15.5.2).
async fn answer_rejections(
    State(api): State<Arc<TokenApi>>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts.clone(), body);
    let mut response = next.run(request).await;
    api.add_nonce(&parts, &mut response);
    if let Some(Rejected(kind)) = response.extensions().get() {
        return api.layer.reject(*kind, &parts).map(Body::from);
    }
    if response.status() == StatusCode::UNAUTHORIZED
        && let Some(challenge) = api.layer.challenge(RejectionKind::MissingCredential)
    {
        response.headers_mut().entry(WWW_AUTHENTICATE).or_insert_with(|| challenge.clone());
    }
    response
}

/// Answers contain tokens or personal data, so caches must not keep them.
async fn not_cached(mut response: Response) -> Response {
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().entry(CACHE_CONTROL).or_insert(no_store);
    response
}

/// The address of the client, and the header `User-Agent`. Several headers count as none.
struct Client(ClientInfo);

impl FromRequestParts<Arc<TokenApi>> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        api: &Arc<TokenApi>,
    ) -> Result<Self, Infallible> {
        let client = ClientInfo::from((api.peer_address)(parts));
        let mut user_agents = parts.headers.get_all(USER_AGENT).iter();
        Ok(Self(match (user_agents.next(), user_agents.next()) {
            (Some(name), None) => client.with_user_agent(&String::from_utf8_lossy(name.as_bytes())),
            _ => client,
        }))
    }
}

fn connection_address(parts: &Parts) -> Option<IpAddr> {
    let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    Some(connection.0.ip())
}

impl fmt::Debug for TokenApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenApi")
            .field("issuer", &self.issuer)
            .field("public_url", &self.public_url)
            .finish_non_exhaustive()
    }
}
