//! Move here from `jwt-authorizer` (version 0.15.0), name by name.
//!
//! The structure of that crate is similar: an authorizer, a layer for axum and tonic, claims in the handler. It is for
//! axum 0.7 and tonic 0.12. This crate is for axum 0.8 and tonic 0.14, so you upgrade the framework too.
//!
//! # Before
//!
//! ```text
//! let validation = Validation::new().iss(&["https://issuer.example"]).aud(&["api://orders"]);
//! let authorizer: Authorizer<User> = JwtAuthorizer::from_oidc("https://issuer.example")
//!     .validation(validation)
//!     .check(|user: &User| user.email.ends_with("@example.org"))
//!     .build()
//!     .await?;
//!
//! let app = Router::new().route("/orders", get(orders)).layer(authorizer.into_layer());
//!
//! async fn orders(JwtClaims(user): JwtClaims<User>) -> String {
//!     user.email
//! }
//! ```
//!
//! # After
//!
//! ```
//! use axum::{Router, routing::get};
//! use serde::Deserialize;
//! use tower_bearer::{Authenticated, Authenticator, BearerLayer, ConfigError, Issuer};
//!
//! #[derive(Deserialize)]
//! struct User {
//!     email: String,
//! }
//!
//! fn app(issuer: Issuer) -> Result<Router, ConfigError> {
//!     let authenticator = Authenticator::builder().claims::<User>().issuer(issuer).build()?;
//!     let layer = BearerLayer::new(authenticator);
//!     let check = layer.require(|user| user.claims().email.ends_with("@example.org"));
//!     Ok(Router::new().route("/orders", get(orders)).route_layer(check).route_layer(layer))
//! }
//!
//! async fn orders(user: Authenticated<User>) -> String {
//!     user.claims().email.clone()
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let issuer = Issuer::discover("https://issuer.example")?.audience("api://orders");
//! // Nothing is fetched before `spawn`, `ready` or the first token, so this needs no network.
//! app(issuer)?;
//!
//! # use axum::{body::Body, http::Request};
//! # use tower::ServiceExt;
//! # use tower_bearer::Key;
//! # let app = app(Issuer::new("https://issuer.example", Key::hs256([7; 32])?).audience("api://orders"))?;
//! # let status = |email: &str| {
//! #     let token = jsonwebtoken::encode(
//! #         &jsonwebtoken::Header::default(),
//! #         &serde_json::json!({
//! #             "iss": "https://issuer.example", "aud": "api://orders", "email": email, "exp": 9_000_000_000u64
//! #         }),
//! #         &jsonwebtoken::EncodingKey::from_secret(&[7; 32]),
//! #     ).unwrap();
//! #     let request = Request::get("/orders").header("authorization", format!("Bearer {token}"));
//! #     let response = app.clone().oneshot(request.body(Body::empty()).unwrap());
//! #     async move { response.await.unwrap().status() }
//! # };
//! // The same with a local key:
//! assert_eq!(status("ada@example.org").await, 200);
//! assert_eq!(status("ada@example.com").await, 403);
//! # Ok(()) }
//! ```
//!
//! # Name by name
//!
//! | `jwt-authorizer` | here |
//! |---|---|
//! | `JwtAuthorizer::from_oidc(url)` | [`Issuer::discover`](crate::Issuer::discover)`(url)?`; nothing is fetched yet, so a service can start while its issuer is down |
//! | `from_jwks_url` | [`RemoteJwks::new`](crate::jwks::RemoteJwks::new), given to [`Issuer::new`](crate::Issuer::new) |
//! | `from_jwks(path)`, `from_jwks_text` | [`KeySet::from_jwks_file`](crate::KeySet::from_jwks_file), [`from_jwks_json`](crate::KeySet::from_jwks_json) |
//! | `from_rsa_pem`, `from_ec_pem`, `from_ed_pem` and their `_text` | [`Key::from_pem`](crate::Key::from_pem), for one algorithm; there a key is for all algorithms of its family |
//! | `from_secret(text)` | [`Key::hs256`](crate::Key::hs256); at least 32 bytes |
//! | `Validation::iss` | [`Issuer::new`](crate::Issuer::new), always required; there a token without `iss` passes |
//! | `Validation::aud` | [`audience`](crate::IssuerWithoutAudience::audience), always required; there a token without `aud` passes |
//! | `Validation::exp(false)`, `disable_validation` | no equivalent |
//! | `Validation::nbf` (off by default) | always on |
//! | `Validation::leeway` (60 seconds) | [`with_leeway`](crate::Issuer::with_leeway) (30 seconds) |
//! | `Validation::algs` | the algorithm of each key |
//! | `check(f)`, answered with 403 | [`require`](crate::BearerLayer::require), answered with 403; [`add_check`](crate::AuthenticatorBuilder::add_check) if the token counts as invalid, 401 |
//! | `Refresh`, `RefreshStrategy`, `no_refresh` | no setting: keys are refreshed in the background, by the lifetime that the server states. For keys that never change use a [`KeySet`](crate::KeySet) |
//! | `http_client(reqwest::Client)` | [`with_fetcher`](crate::jwks::RemoteJwks::with_fetcher) with your own [`FetchJwks`](crate::jwks::FetchJwks) |
//! | `jwt_source(JwtSource::Cookie(name))` | [`allow_cookie`](crate::BearerLayer::allow_cookie), in addition to the header; unsafe methods must come from the same origin |
//! | `[one, two].into_layer()`, tried one after another | one [`Authenticator`](crate::Authenticator) with two issuers: `iss` selects one ([`multi_tenant`](super::multi_tenant)) |
//! | `JwtClaims<T>` in a handler | [`Authenticated<T>`](crate::Authenticated); `Option<Authenticated<T>>` behind an [`optional`](crate::BearerLayer::optional) layer |
//! | `RegisteredClaims`, `NumericDate`, `OneOrArray` | [`user.registered()`](crate::Authenticated::registered), for every claims type |
//! | `TokenData<T>` in the extensions | [`Authenticated<T>`](crate::Authenticated) in the extensions |
//! | `AuthError` | [`Rejection`](crate::Rejection) in the extensions of the response, [`ConfigError`](crate::ConfigError) at start |
//!
//! # What changes for clients
//!
//! | | `jwt-authorizer` | here |
//! |---|---|---|
//! | bodies | empty | JSON with `code` and `detail`; a [`Responder`](crate::rejection::Responder) can leave them empty |
//! | a key server that cannot be reached | 500 | 503 with `Retry-After`, and only when the last good keys are too old |
//! | a `kid` that is new | rejected until 10 minutes after the last load of the keys (`refresh_interval`) | the request waits for a fetch, at most one in 30 seconds |
//! | a check that fails, over gRPC | `UNAUTHENTICATED` | `PERMISSION_DENIED` |
//! | two credentials | the first counts | 400 |
