//! From a middleware of your own around `jsonwebtoken` (as of its version 11.1).
//!
//! # Before
//!
//! What many services have, with the audience and the issuer set. It compiles, and good tokens pass.
//!
//! ```
//! use axum::{
//!     Router,
//!     extract::{Request, State},
//!     http::{StatusCode, header::AUTHORIZATION},
//!     middleware::{self, Next},
//!     response::Response,
//!     routing::get,
//! };
//! use jsonwebtoken::{Algorithm, DecodingKey, Validation};
//! use serde::Deserialize;
//!
//! #[derive(Clone, Deserialize)]
//! struct Claims {
//!     sub: String,
//! }
//!
//! #[derive(Clone)]
//! struct Policy {
//!     key: DecodingKey,
//!     validation: Validation,
//! }
//!
//! async fn authenticate(
//!     State(policy): State<Policy>,
//!     mut request: Request,
//!     next: Next,
//! ) -> Result<Response, StatusCode> {
//!     let header = request.headers().get(AUTHORIZATION).ok_or(StatusCode::UNAUTHORIZED)?;
//!     let header = header.to_str().map_err(|_| StatusCode::UNAUTHORIZED)?;
//!     let token = header.strip_prefix("Bearer ").ok_or(StatusCode::UNAUTHORIZED)?;
//!     let token = jsonwebtoken::decode::<Claims>(token, &policy.key, &policy.validation)
//!         .map_err(|_| StatusCode::UNAUTHORIZED)?;
//!     request.extensions_mut().insert(token.claims);
//!     Ok(next.run(request).await)
//! }
//!
//! fn app() -> Router {
//!     let mut validation = Validation::new(Algorithm::HS256);
//!     validation.set_issuer(&["https://issuer.example"]);
//!     validation.set_audience(&["api://orders"]);
//!     let policy = Policy { key: DecodingKey::from_secret(&[7; 32]), validation };
//!     Router::new()
//!         .route("/orders", get(|axum::Extension(user): axum::Extension<Claims>| async move { user.sub }))
//!         .route_layer(middleware::from_fn_with_state(policy, authenticate))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use axum::{body::Body, http};
//! # use tower::ServiceExt;
//! # let app = app();
//! # let status = |scheme: &str, claims: serde_json::Value| {
//! #     let token = jsonwebtoken::encode(
//! #         &jsonwebtoken::Header::default(), &claims, &jsonwebtoken::EncodingKey::from_secret(&[7; 32]),
//! #     ).unwrap();
//! #     let request = http::Request::get("/orders").header("authorization", format!("{scheme} {token}"));
//! #     let response = app.clone().oneshot(request.body(Body::empty()).unwrap());
//! #     async move { response.await.unwrap().status() }
//! # };
//! let good = serde_json::json!({
//!     "iss": "https://issuer.example", "aud": "api://orders", "sub": "ada", "exp": 9_000_000_000u64
//! });
//! assert_eq!(status("Bearer", good.clone()).await, 200);
//!
//! // What is absent, or of another type, is not looked at,
//! let for_nobody = serde_json::json!({ "sub": "ada", "exp": 9_000_000_000u64 });
//! assert_eq!(status("Bearer", for_nobody).await, 200);
//! let mut not_yet = good.clone();
//! not_yet["nbf"] = 8_000_000_000u64.into();
//! assert_eq!(status("Bearer", not_yet).await, 200);
//! // and a scheme in other case, which RFC 9110 section 11.1 allows, is refused.
//! assert_eq!(status("bearer", good).await, 401);
//! # Ok(()) }
//! ```
//!
//! # After
//!
//! ```
//!
//! use axum::{Router, routing::get};
//! use serde::Deserialize;
//! use tower_bearer::{
//!     Authenticated, Authenticator, BearerLayer, ConfigError, Issuer, Key, RevocationCache,
//! };
//!
//! #[derive(Deserialize)]
//! struct Claims {
//!     sub: String,
//! }
//!
//! fn app() -> Result<Router, ConfigError> {
//!     let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?).audience("api://orders");
//!     let authenticator = Authenticator::builder()
//!         .claims::<Claims>()
//!         .issuer(issuer)
//!         .revocation(RevocationCache::in_memory())
//!         .build()?;
//!     Ok(Router::new()
//!         .route("/orders", get(|user: Authenticated<Claims>| async move { user.claims().sub.clone() }))
//!         .route_layer(BearerLayer::new(authenticator)))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use axum::{body::Body, http};
//! # use tower::ServiceExt;
//! # let app = app()?;
//! # let status = |scheme: &str, claims: serde_json::Value| {
//! #     let token = jsonwebtoken::encode(
//! #         &jsonwebtoken::Header::default(), &claims, &jsonwebtoken::EncodingKey::from_secret(&[7; 32]),
//! #     ).unwrap();
//! #     let request = http::Request::get("/orders").header("authorization", format!("{scheme} {token}"));
//! #     let response = app.clone().oneshot(request.body(Body::empty()).unwrap());
//! #     async move { response.await.unwrap().status() }
//! # };
//! # let good = serde_json::json!({
//! #     "iss": "https://issuer.example", "aud": "api://orders", "sub": "ada", "exp": 9_000_000_000u64
//! # });
//! # let for_nobody = serde_json::json!({ "sub": "ada", "exp": 9_000_000_000u64 });
//! # let mut not_yet = good.clone();
//! # not_yet["nbf"] = 8_000_000_000u64.into();
//! // The same tokens:
//! assert_eq!(status("Bearer", good.clone()).await, 200);
//! assert_eq!(status("Bearer", for_nobody).await, 401);
//! assert_eq!(status("Bearer", not_yet).await, 401);
//! assert_eq!(status("bearer", good).await, 200);
//! # Ok(()) }
//! ```
//!
//! # Name by name
//!
//! | `jsonwebtoken` | here |
//! |---|---|
//! | `DecodingKey::from_secret` | [`Key::hs256`](crate::Key::hs256) and its like; 32 bytes at least, or [`allow_short_secret`](crate::Key::allow_short_secret) |
//! | `DecodingKey::from_rsa_pem`, `from_ec_pem`, `from_ed_pem` | [`Key::from_pem`](crate::Key::from_pem), with the one algorithm that the key is for |
//! | `DecodingKey::from_jwk`, `JwkSet` | [`Key::from_jwk_json`](crate::Key::from_jwk_json), [`KeySet::from_jwks_json`](crate::KeySet::from_jwks_json) |
//! | finding the key by `decode_header(..).kid` | done by the [`KeySet`](crate::KeySet) |
//! | `Validation::algorithms` | the key's own; several algorithms are several keys in a [`KeySet`](crate::KeySet) |
//! | `set_issuer(&[a])` | the name in [`Issuer::new`](crate::Issuer::new), always required; several issuers are several [`Issuer`](crate::Issuer)s |
//! | `set_audience` | [`audience`](crate::IssuerWithoutAudience::audience), [`add_audience`](crate::Issuer::add_audience), always required |
//! | `validate_aud = false` | [`allow_any_audience`](crate::IssuerWithoutAudience::allow_any_audience) |
//! | `set_required_spec_claims` | [`require_claim`](crate::Issuer::require_claim); `exp`, `iss` and `aud` are required anyway |
//! | `leeway` (60 seconds) | [`with_leeway`](crate::Issuer::with_leeway) (30 seconds) |
//! | `validate_exp = false` | nothing: a token without an end is not accepted |
//! | `validate_nbf` (off) | always on |
//! | `validation.sub` | [`add_pure_check`](crate::AuthenticatorBuilder::add_pure_check) |
//! | `insecure_disable_signature_validation`, `dangerous` | nothing. In tests: [`testing`](super::testing) |
//! | `TokenData::claims` | [`Authenticated::claims`](crate::Authenticated::claims); the claims type needs no `Clone` |
//! | `TokenData::header` | [`algorithm`](crate::Authenticated::algorithm), [`key_id`](crate::Authenticated::key_id); the rest of it is nobody's to trust |
//! | `encode` | [`issuing`](crate::issuing), or stay with `jsonwebtoken` |
//!
//! # What changes for clients
//!
//! * Refusals have a body, a `WWW-Authenticate` challenge and `Cache-Control: no-store`. A
//!   [`Responder`](crate::rejection::Responder) writes them as they were.
//! * Two credentials, or one that is malformed, are 400.
//! * Tokens that were accepted and should not have been are 401: those without `iss` or `aud`, with `nbf` in the future,
//!   with duplicate names, with `cnf`, expired between 30 and 60 seconds ago. Run both for a while, and log what they
//!   disagree on: [`Authenticator::authenticate`](crate::Authenticator::authenticate) can be called beside the old
//!   middleware, and [`Rejection::kind`](crate::Rejection::kind) says which rule it was.
