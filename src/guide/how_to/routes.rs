//! A policy for each route: scopes, roles, fresh tokens, public routes.
//!
//! | demand | by | refusal |
//! |---|---|---|
//! | scopes | [`require_scopes`](crate::BearerLayer::require_scopes) | 403, and the challenge names them |
//! | anything that a valid token says | [`require`](crate::BearerLayer::require) | 403 |
//! | other rules on what a valid token *is*: age, lifetime, `typ`, audience | a second [`Issuer`](crate::Issuer) policy, in a layer of its own | 401 |
//! | none | [`optional`](crate::BearerLayer::optional), or no layer | |
//!
//! A [`RequireLayer`](crate::require::RequireLayer) belongs behind its [`BearerLayer`](crate::BearerLayer) and refuses in
//! that layer's words. In axum a `route_layer` is around the routes that were added before it, and the one that is added
//! last is outermost: so first routes, then their demands, then the layer.
//!
//! ```
//! use std::time::Duration;
//!
//! use axum::{Router, routing::{get, post}};
//! use serde::Deserialize;
//! use tower_bearer::{
//!     Authenticator, BearerLayer, ConfigError, Issuer, Key, RevocationCache,
//! };
//!
//! #[derive(Deserialize)]
//! struct Claims {
//!     #[serde(default)]
//!     roles: Vec<String>,
//! }
//!
//! fn app(key: &Key) -> Result<Router, ConfigError> {
//!     let issuer = Issuer::new("https://issuer.example", key.clone()).audience("api://shop");
//!     // One cache for all: what is revoked is revoked on every route.
//!     let revocation = RevocationCache::in_memory();
//!     let layer = |issuer: Issuer| {
//!         let builder = Authenticator::builder().claims::<Claims>().issuer(issuer);
//!         Ok(BearerLayer::new(builder.revocation(revocation.clone()).build()?))
//!     };
//!     let usual = layer(issuer.clone())?;
//!     // Who pays must have logged in within the last five minutes.
//!     let fresh = layer(issuer.with_max_age(Duration::from_secs(5 * 60)))?;
//!
//!     let admin = Router::new()
//!         .route("/admin", get(|| async { "admin" }))
//!         .route_layer(usual.require(|user| user.claims().roles.iter().any(|role| role == "admin")));
//!     let orders = Router::new()
//!         .route("/orders", get(|| async { "orders" }))
//!         .route_layer(usual.require_scopes(["orders:read"]));
//!     let payments = Router::new()
//!         .route("/payments", post(|| async { "paid" }))
//!         .route_layer(fresh.require_scopes(["payments:write"]))
//!         .route_layer(fresh);
//!
//!     Ok(Router::new()
//!         .merge(admin)
//!         .merge(orders)
//!         .route_layer(usual)
//!         // What is added after the layer is outside of it.
//!         .merge(payments)
//!         .route("/health", get(|| async { "well" })))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use axum::{body::Body, http::Request};
//! # use tower::ServiceExt;
//! # use tower_bearer::claims::{Clock, SystemClock};
//! # let app = app(&Key::hs256([7; 32])?)?;
//! # let now = SystemClock::default().unix_time().as_secs();
//! # let token = |age: u64, scope: &str, roles: &[&str]| jsonwebtoken::encode(
//! #     &jsonwebtoken::Header::default(),
//! #     &serde_json::json!({
//! #         "iss": "https://issuer.example", "aud": "api://shop", "sub": "ada", "iat": now - age, "exp": now + 3_600,
//! #         "scope": scope, "roles": roles,
//! #     }),
//! #     &jsonwebtoken::EncodingKey::from_secret(&[7; 32]),
//! # ).unwrap();
//! # let status = |method: &str, path: &str, token: Option<String>| {
//! #     let mut request = Request::builder().method(method).uri(path);
//! #     if let Some(token) = token {
//! #         request = request.header("authorization", format!("Bearer {token}"));
//! #     }
//! #     let response = app.clone().oneshot(request.body(Body::empty()).unwrap());
//! #     async move { response.await.unwrap().status() }
//! # };
//! // Age in seconds, scopes, roles.
//! let old = token(3_000, "orders:read payments:write", &["admin"]);
//! let new = token(10, "payments:write", &[]);
//! assert_eq!(status("GET", "/admin", Some(old.clone())).await, 200);
//! assert_eq!(status("GET", "/orders", Some(old.clone())).await, 200);
//! assert_eq!(status("POST", "/payments", Some(old)).await, 401);
//! assert_eq!(status("POST", "/payments", Some(new.clone())).await, 200);
//! assert_eq!(status("GET", "/orders", Some(new.clone())).await, 403);
//! assert_eq!(status("GET", "/admin", Some(new)).await, 403);
//! assert_eq!(status("GET", "/health", None).await, 200);
//! assert_eq!(status("GET", "/orders", None).await, 401);
//! # Ok(()) }
//! ```
//!
//! # On tonic
//!
//! A layer around the whole server protects every method, reflection and health included. Put it around single services
//! instead, each with its own demands: [`NamedService`](https://docs.rs/tonic/0.14/tonic/server/trait.NamedService.html) is
//! forwarded, so that `layer.layer(MyServer::new(..))` is added as the service itself would be. Demands on single methods
//! are made in the method, with [`tonic::authenticated`](crate::tonic::authenticated).
//!
//! # Your own words
//!
//! Realm, [`Responder`](crate::rejection::Responder) and metadata URL belong to a layer, and so may differ from route to
//! route. Set them before `require_scopes` and `require` are called: those refuse as the layer does at that moment.
