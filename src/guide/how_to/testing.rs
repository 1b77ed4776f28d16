//! Tests of a service: handlers without tokens, tokens without an issuer, stores that fail.
//!
//! Enable the feature `test-util` in `[dev-dependencies]`:
//!
//! ```toml
//! [dev-dependencies]
//! tower-bearer = { version = "0.1", features = ["axum", "test-util"] }
//! ```
//!
//! [`test_util`](crate::test_util) lists the helpers. There are three kinds of tests, from the inside out:
//!
//! # A handler alone
//!
//! A handler is a function with an [`Authenticated`](crate::Authenticated) argument.
//! [`test_util::authenticated`](crate::test_util::authenticated) makes one from claims. The test needs no token and no
//! header.
//!
//! ```
//! use axum::http::StatusCode;
//! use serde::{Deserialize, Serialize};
//! use tower_bearer::{Authenticated, test_util};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Claims {
//!     sub: String,
//!     tenant: String,
//! }
//!
//! async fn invoice(tenant: &str, user: Authenticated<Claims>) -> Result<String, StatusCode> {
//!     if user.claims().tenant != tenant {
//!         return Err(StatusCode::NOT_FOUND);
//!     }
//!     Ok(format!("for {}", user.claims().sub))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let ada = || test_util::authenticated(Claims { sub: "ada".into(), tenant: "blue".into() });
//! assert_eq!(invoice("blue", ada()).await, Ok("for ada".to_owned()));
//! assert_eq!(invoice("red", ada()).await, Err(StatusCode::NOT_FOUND));
//! # }
//! ```
//!
//! # A service with its layer
//!
//! Build the service from an [`Issuer`](crate::Issuer) argument: in production your own, in a test that of a
//! [`TestIssuer`](crate::test_util::TestIssuer). Then every check runs as in production, on tokens with exactly one
//! fault.
//!
//! ```
//! use axum::{Router, body::Body, http::{HeaderValue, Request, header::AUTHORIZATION}, routing::get};
//! use tower::ServiceExt;
//! use tower_bearer::{
//!     Authenticated, Authenticator, BearerLayer, ConfigError, Issuer, Rejection, RejectionKind,
//!     claims::UntypedClaims,
//!     test_util::TestIssuer,
//! };
//!
//! fn app(issuer: Issuer) -> Result<Router, ConfigError> {
//!     let authenticator = Authenticator::builder().issuer(issuer).build()?;
//!     let layer = BearerLayer::new(authenticator);
//!     Ok(Router::new()
//!         .route("/orders", get(|_: Authenticated| async { "none" }))
//!         .route_layer(layer.require_scopes(["orders:read"]))
//!         .route_layer(layer))
//! }
//!
//! /// The status, and the reason if the request was rejected.
//! async fn ask(app: &Router, bearer: HeaderValue) -> (u16, Option<RejectionKind>) {
//!     let request = Request::get("/orders").header(AUTHORIZATION, bearer).body(Body::empty());
//!     let response = app.clone().oneshot(request.expect("a request")).await.expect("an answer");
//!     let reason = response.extensions().get().map(Rejection::kind);
//!     (response.status().as_u16(), reason)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), ConfigError> {
//! let issuer = TestIssuer::new();
//! let app = app(issuer.issuer())?;
//! let reader = issuer.token().subject("ada").scope("orders:read");
//!
//! assert_eq!(ask(&app, reader.bearer()).await, (200, None));
//! assert_eq!(ask(&app, issuer.token().bearer()).await, (403, Some(RejectionKind::InsufficientScope)));
//! assert_eq!(ask(&app, reader.clone().expired().bearer()).await, (401, Some(RejectionKind::Expired)));
//! assert_eq!(ask(&app, reader.for_audience("api://stock").bearer()).await, (401, Some(RejectionKind::WrongAudience)));
//! # Ok(()) }
//! ```
//!
//! # A store that fails
//!
//! A [`FakeStore`](crate::test_util::FakeStore) fails, hangs or gives wrong answers on command. With it you can test
//! the 503 of a service.
//!
//! ```
//! use std::time::Duration;
//!
//! use tower_bearer::{
//!     RejectionKind, RevocationCache,
//!     claims::NoClaims,
//!     test_util::{FakeStore, StoreHabit, TestIssuer},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let issuer = TestIssuer::new();
//! let revocation = RevocationCache::new(FakeStore::that(StoreHabit::Fails), Duration::from_secs(30));
//! let authenticator = issuer.authenticator::<NoClaims>().with_revocation(revocation);
//!
//! let refused = authenticator.authenticate(&issuer.token().issue()).await.unwrap_err();
//! assert_eq!(refused.kind(), RejectionKind::RevocationUnavailable);
//! # }
//! ```
//!
//! # Time
//!
//! A test does not have to sleep. A [`ManualClock`](crate::claims::ManualClock) does not move until the test moves it.
//! Issuer, authenticator and revocation cache all take one (`with_clock`).
