//! Move here from your own middleware around `jsonwebtoken` (version 11.1).
//!
//! # Before
//!
//! Many services have a middleware like this, with the audience and the issuer set. It compiles, and valid tokens pass.
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
//! // A claim that is absent or has another type is not checked,
//! let without_audience = serde_json::json!({ "sub": "ada", "exp": 9_000_000_000u64 });
//! assert_eq!(status("Bearer", without_audience).await, 200);
//! let mut not_yet = good.clone();
//! not_yet["nbf"] = 8_000_000_000u64.into();
//! assert_eq!(status("Bearer", not_yet).await, 200);
//! // and a scheme in lower case, which RFC 9110 section 11.1 allows, is rejected.
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
//! # let without_audience = serde_json::json!({ "sub": "ada", "exp": 9_000_000_000u64 });
//! # let mut not_yet = good.clone();
//! # not_yet["nbf"] = 8_000_000_000u64.into();
//! // The same tokens:
//! assert_eq!(status("Bearer", good.clone()).await, 200);
//! assert_eq!(status("Bearer", without_audience).await, 401);
//! assert_eq!(status("Bearer", not_yet).await, 401);
//! assert_eq!(status("bearer", good).await, 200);
//! # Ok(()) }
//! ```
//!
//! # Name by name
//!
//! | `jsonwebtoken` | here |
//! |---|---|
//! | `DecodingKey::from_secret` | [`Key::hs256`](crate::Key::hs256) and its siblings; at least 32 bytes, or [`allow_short_secret`](crate::Key::allow_short_secret) |
//! | `DecodingKey::from_rsa_pem`, `from_ec_pem`, `from_ed_pem` | [`Key::from_pem`](crate::Key::from_pem), with the one algorithm of the key |
//! | `DecodingKey::from_jwk`, `JwkSet` | [`Key::from_jwk_json`](crate::Key::from_jwk_json), [`KeySet::from_jwks_json`](crate::KeySet::from_jwks_json) |
//! | a `DecodingKey`, `Jwk` or `JwkSet` that other code of the service loads | with the feature `jsonwebtoken`: `Key::from_decoding_key`, `Key::try_from(&jwk)`, `KeySet::try_from(&set)` |
//! | finding the key by `decode_header(..).kid` | the [`KeySet`](crate::KeySet) does it |
//! | `Validation::algorithms` | the algorithm of the key; for several algorithms, put several keys into a [`KeySet`](crate::KeySet) |
//! | `set_issuer(&[a])` | the name in [`Issuer::new`](crate::Issuer::new), always required; for several issuers, several [`Issuer`](crate::Issuer)s |
//! | `set_audience` | [`audience`](crate::IssuerWithoutAudience::audience), [`add_audience`](crate::Issuer::add_audience), always required |
//! | `validate_aud = false` | [`allow_any_audience`](crate::IssuerWithoutAudience::allow_any_audience) |
//! | `set_required_spec_claims` | [`require_claim`](crate::Issuer::require_claim); `exp`, `iss` and `aud` are required anyway |
//! | `leeway` (60 seconds) | [`with_leeway`](crate::Issuer::with_leeway) (30 seconds) |
//! | `validate_exp = false` | no equivalent: a token without `exp` is rejected |
//! | `validate_nbf` (off) | always on |
//! | `validation.sub` | [`add_pure_check`](crate::AuthenticatorBuilder::add_pure_check) |
//! | `insecure_disable_signature_validation`, `dangerous` | no equivalent. In tests: [`testing`](super::testing) |
//! | `TokenData::claims` | [`Authenticated::claims`](crate::Authenticated::claims); the claims type needs no `Clone` |
//! | `TokenData::header` | [`algorithm`](crate::Authenticated::algorithm), [`key_id`](crate::Authenticated::key_id); the rest of the header is not available, because it must not be trusted |
//! | `encode` | `tower_bearer_issuing`, or stay with `jsonwebtoken` |
//!
//! # What changes for clients
//!
//! * Rejections have a body, a `WWW-Authenticate` challenge and `Cache-Control: no-store`. Your own
//!   [`Responder`](crate::rejection::Responder) can write the old bodies.
//! * Two credentials, or a malformed one, are 400.
//! * Some tokens that were accepted by mistake are now 401: tokens without `iss` or `aud`, with `nbf` in the future,
//!   with duplicate names, with `cnf`, or expired between 30 and 60 seconds ago.
//!
//! Run both for a while, and log where they disagree. Call
//! [`Authenticator::authenticate`](crate::Authenticator::authenticate) next to the old middleware.
//! [`Rejection::kind`](crate::Rejection::kind) names the rule.
