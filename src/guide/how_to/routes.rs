//! A policy for each route: scopes, roles, fresh tokens, public routes.
//!
//! | requirement | setting | rejection |
//! |---|---|---|
//! | scopes | [`require_scopes`](crate::BearerLayer::require_scopes) | 403, and the challenge names them |
//! | any condition on a valid token | [`require`](crate::BearerLayer::require) | 403 |
//! | other rules for valid tokens: age, lifetime, `typ`, audience | a second [`Issuer`](crate::Issuer) policy, in a second layer | 401 |
//! | none | [`optional`](crate::BearerLayer::optional), or no layer | |
//!
//! Put a [`RequireLayer`](crate::require::RequireLayer) behind its [`BearerLayer`](crate::BearerLayer). It rejects in
//! the same way as that layer. In axum a `route_layer` is around the routes that were added before it, and the last one
//! is outermost. So add the routes first, then their requirements, then the layer.
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
//!     // One cache for all: a revocation holds on every route.
//!     let revocation = RevocationCache::in_memory();
//!     let layer = |issuer: Issuer| {
//!         let builder = Authenticator::builder().claims::<Claims>().issuer(issuer);
//!         Ok(BearerLayer::new(builder.revocation(revocation.clone()).build()?))
//!     };
//!     let usual = layer(issuer.clone())?;
//!     // A payment needs a log-in within the last five minutes.
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
//!         // Routes that are added after the layer are outside of it.
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
//! A layer around the whole server protects every method, including reflection and health. To have other requirements
//! for each service, put a layer around each service: it forwards
//! [`NamedService`](https://docs.rs/tonic/0.14/tonic/server/trait.NamedService.html), so add
//! `layer.layer(MyServer::new(..))` like the service itself. For requirements on one method, use
//! [`tonic::authenticated`](crate::tonic::authenticated) in the method.
//!
//! # Realm and bodies for each route
//!
//! Realm, [`Responder`](crate::rejection::Responder) and metadata URL belong to a layer, so each route may have others.
//! Set them before you call `require_scopes` and `require`: these copy the settings of the layer at that moment.
