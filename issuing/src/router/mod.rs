//! The HTTP API of an issuer, as an axum router: log in, refresh, log out, private tokens.
//!
//! 1. **Each path answers with and without a slash at its end**, never by a redirect.
//! 2. **Private tokens, `revoke_all/` and `logout/` take access tokens only.** Everything else gets the answer of
//!    [`TokenIssuer::access_layer`], before the method and the body are looked at. Once the body
//!    was read the token is looked at again, and the store looks in the same step in which it writes: what was revoked
//!    or has expired meanwhile does nothing.
//! 3. **Bodies are JSON objects of at most 64 KiB**: more is 413, another type 415; text that is not UTF-8 or has a member
//!    twice is 400. No body is an object without members. Unknown members are ignored.
//! 4. **What is wrong with fields is said all at once**, `{"field": ["..."]}`, and nothing is written then.
//! 5. **No answer is kept by a cache**, but for the public keys.
//! 6. **Nothing that a client may send is believed about itself**: its address is that of the connection
//!    ([`with_peer_address`](TokenApi::with_peer_address); without either log-ins are limited by account only), and links begin with the configured URL
//!    ([`with_public_url`](TokenApi::with_public_url)) or, without one, with the request's own host, which is checked.
//! 7. **One subject cannot keep the store from others**: a few of its calls run at once and a few more wait, new private
//!    tokens are limited by rate ([`with_private_token_rate`](TokenApi::with_private_token_rate)), and what is beyond is
//!    429. Revocations have turns of their own, which nothing else takes.
//! 8. **Where store, accounts or keys cannot be asked the answer is 503** with `Retry-After`.
//!
//! ```
//! # use tower_bearer::{
//! #     #, #     Algorithm,
//! #     #     issuing::{MemoryAccounts, Passwords, TokenIssuer, store::MemoryTokenStore},
//! #     #     jws::SigningKey,
//! # };
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
//! # Where this differs from Django REST framework
//!
//! Its words and its order of checks are kept, and these differ on purpose:
//!
//! * A number is no string and a string is no number: `"name": 5` is "Not a valid string.", `"overlap_seconds": "5"` is no
//!   valid integer. There both are converted.
//! * Passwords keep the white space around them, which there is cut off by default.
//! * A member that stands there twice is refused, in place of the last one counting; so are lone surrogates (as malformed
//!   JSON) and dates without an offset. What follows "JSON parse error - " is in other words than Python's.
//! * Only JSON is read: forms are 415. `Accept` is not looked at. `OPTIONS` is answered 204 with `Allow`.
//! * Not found is what is no number in `private_tokens/{id}/`, after authentication in place of before it.
//!
//! A request that is refused before its body was read (401) is answered at once, which may cut off a client that still
//! sends. Time limits for slow clients are the service's: put tower-http's `TimeoutLayer` around it.

mod answers;
mod body;
mod calls;
mod date_time;
mod fields;
mod jwks;
mod list;
#[cfg(feature = "openapi")]
mod openapi;
mod public_url;
mod turns;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ::axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    response::Response,
    routing::{MethodRouter, any_service, delete, get, post},
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, WWW_AUTHENTICATE},
    request::Parts,
};

use tower_layer::Layer as _;

use self::{
    answers::{Outcome, Refusal},
    calls::{private_tokens, sessions},
    public_url::PublicUrl,
    turns::Owners,
};
use super::{TokenIssuer, rate::Limit};
use tower_bearer::{BearerLayer, ConfigError, RejectionKind, rejection::Responder};

/// The HTTP API of an issuer, with what the service decides about it. The rules are in the [module](self)'s list.
#[must_use = "an API does nothing until `into_router`"]
pub struct TokenApi {
    issuer: TokenIssuer,
    layer: BearerLayer,
    public_url: Option<PublicUrl>,
    peer_address: Arc<PeerAddress>,
    owners: Owners,
}

type PeerAddress = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

impl TokenApi {
    /// The API of an issuer, with the defaults that the setters name.
    pub fn new(issuer: &TokenIssuer) -> Self {
        Self {
            issuer: issuer.clone(),
            // No route is gRPC, whatever a client's content type says.
            layer: issuer.access_layer().with_grpc_answers(false),
            public_url: None,
            peer_address: Arc::new(of_connection),
            owners: Owners::new(Arc::clone(issuer.clock())),
        }
    }

    /// Begins links (`next`, `previous`) with this URL, in place of `http` and the request's host: `https://api.example.org`,
    /// or with a path where a proxy takes one off.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for anything but `http` or `https` with a host, without query and fragment.
    pub fn with_public_url(mut self, url: impl AsRef<str>) -> Result<Self, ConfigError> {
        self.public_url = Some(PublicUrl::new(url.as_ref())?);
        Ok(self)
    }

    /// Asks this function for the client's address, by which log-ins are limited; for services behind a proxy that
    /// vouches for one. By default it is axum's `ConnectInfo<SocketAddr>`, if the server provides it
    /// (`into_make_service_with_connect_info`).
    ///
    /// One of the two is needed. Where no address is known, or all clients have the proxy's, whoever guesses at an account's
    /// password locks out its owner, too.
    ///
    /// What a client can write itself, such as the front of `X-Forwarded-For`, is not to be used.
    pub fn with_peer_address(
        mut self,
        peer_address: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        self.peer_address = Arc::new(peer_address);
        self
    }

    /// Lets each subject make this many private tokens at once, and then one in each interval, in place of 30 and 10
    /// seconds; rotations are counted with them. Who makes more is 429. An interval of zero lifts the limit.
    pub fn with_private_token_rate(mut self, at_once: u32, interval: Duration) -> Self {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        self.owners.new_token_rate = Limit { at_once: at_once.max(1).into(), interval_ms };
        self
    }

    /// Names this realm in challenges, in place of `api`.
    ///
    /// # Errors
    /// As [`BearerLayer::with_realm`].
    pub fn with_realm(mut self, realm: impl AsRef<str>) -> Result<Self, ConfigError> {
        self.layer = self.layer.with_realm(realm)?;
        Ok(self)
    }

    /// Lets `responder` write the answers to bad tokens and those of 503, as [`BearerLayer::with_responder`] does.
    pub fn with_responder(mut self, responder: impl Responder) -> Self {
        self.layer = self.layer.with_responder(responder);
        self
    }

    /// The router, for `nest("/api/v1/auth", ...)` or wherever it is to stand.
    pub fn into_router(self) -> Router {
        let layer = self.layer.clone();
        let api = Arc::new(self);
        let open = [
            ("/login", allowing("POST, OPTIONS", post(sessions::login))),
            ("/refresh", allowing("POST, OPTIONS", post(sessions::refresh))),
        ];
        let guarded = [
            ("/logout", allowing("POST, OPTIONS", post(sessions::logout))),
            ("/revoke_all", allowing("POST, OPTIONS", post(sessions::revoke_all))),
            (
                "/private_tokens",
                allowing(
                    "GET, POST, HEAD, OPTIONS",
                    get(private_tokens::list_private_tokens)
                        .post(private_tokens::create_private_token),
                ),
            ),
            (
                "/private_tokens/{id}",
                allowing("DELETE, OPTIONS", delete(private_tokens::revoke_private_token)),
            ),
            (
                "/private_tokens/{id}/rotate",
                allowing("POST, OPTIONS", post(private_tokens::rotate_private_token)),
            ),
        ];
        let guarded = guarded.map(|(path, methods)| {
            // Around the methods: who may not enter is not told what there is. As a service, because axum adds `Allow` to
            // what it takes for its own 405.
            (path, any_service(layer.layer(methods.with_state(Arc::clone(&api)))))
        });
        let open = open.map(|(path, methods)| (path, methods.with_state(Arc::clone(&api))));
        open.into_iter()
            .chain(guarded)
            .fold(Router::new(), |router, (path, methods)| {
                router.route(path, methods.clone()).route(&format!("{path}/"), methods)
            })
            .fallback(async || answers::not_found())
    }

    /// The answer to a call.
    fn answer(&self, parts: &Parts, outcome: Outcome) -> Response {
        match outcome {
            Ok(answer) => answer,
            Err(Refusal::Answer(answer)) => *answer,
            Err(Refusal::Layer(kind)) => self.layer.reject(kind, parts).map(Body::from),
        }
    }

    /// Adds what a 401 must have (RFC 9110 section 15.5.2), where no token was looked at.
    fn challenged(&self, answer: Response) -> Response {
        match self.layer.challenge(RejectionKind::MissingCredential) {
            Some(challenge) => {
                answers::with_header(answer, WWW_AUTHENTICATE, HeaderValue::clone(challenge))
            }
            None => answer,
        }
    }
}

impl TokenIssuer {
    /// The issuer's HTTP API with the defaults of [`TokenApi`]: `Router::new().nest("/api/v1/auth", issuer.router())`.
    ///
    /// Serve it with `into_make_service_with_connect_info::<SocketAddr>()`; behind a proxy, which would be everybody's
    /// address, use [`TokenApi::with_peer_address`]. Without either, whoever guesses passwords locks others out.
    pub fn router(&self) -> Router {
        TokenApi::new(self).into_router()
    }
}

type Shared = Arc<TokenApi>;

/// Answers `OPTIONS`, and all methods that are not there with 405.
fn allowing(allow: &'static str, methods: MethodRouter<Shared>) -> MethodRouter<Shared> {
    let options = async move || {
        answers::with_header(
            answers::empty(StatusCode::NO_CONTENT),
            ALLOW,
            HeaderValue::from_static(allow),
        )
    };
    let other = async move |method: Method| answers::method_not_allowed(method.as_str(), allow);
    methods.options(options).fallback(other)
}

fn of_connection(parts: &Parts) -> Option<IpAddr> {
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
