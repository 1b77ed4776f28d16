//! Several issuers in one service: each tenant has its own identity provider, or staff and customers have different
//! ones.
//!
//! One [`Authenticator`](crate::Authenticator) takes any number of [`Issuer`](crate::Issuer)s, each with its own keys
//! and policy. The `iss` of the token selects the keys and the rules. A key of one issuer cannot verify a token of
//! another.
//!
//! 1. **A user is an issuer and a subject.** `sub` is unique only within its issuer (RFC 7519 section 4.1.2). If your
//!    data has `sub` alone as its key, a tenant that chooses its own subjects can be any user.
//! 2. **The tenant is the name of the issuer's policy**
//!    ([`registered().issuer()`](crate::claims::RegisteredClaims::issuer)). Do not take it from a claim that a tenant
//!    writes into its own tokens, unless you have checked that this issuer may write it.
//! 3. **Revocation entries contain the issuer**, so the ids of one tenant cannot revoke tokens of another.
//! 4. **An outage of one issuer's key server** is 503 for its tokens only.
//!
//! ```
//! use axum::{Router, extract::Path, http::StatusCode, routing::get};
//! use tower_bearer::{Authenticated, Authenticator, BearerLayer, Issuer, Key, claims::NoClaims};
//!
//! /// The issuer of a tenant in a path.
//! fn issuer_of(tenant: &str) -> Option<&'static str> {
//!     match tenant {
//!         "blue" => Some("https://login.blue.example"),
//!         "red" => Some("https://red.example/realms/shop"),
//!         _ => None,
//!     }
//! }
//!
//! /// The tenant in the path must be that of the token.
//! async fn orders(
//!     Path(tenant): Path<String>,
//!     user: Authenticated<NoClaims>,
//! ) -> Result<String, StatusCode> {
//!     let user = user.registered();
//!     if issuer_of(&tenant) != Some(user.issuer()) {
//!         return Err(StatusCode::NOT_FOUND);
//!     }
//!     // The key of a row: never the subject alone.
//!     Ok(format!("orders of {:?} at {}", user.subject(), user.issuer()))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let blue = Issuer::new("https://login.blue.example", Key::hs256([1; 32])?)
//!     .audience("api://orders")
//!     .require_typ("at+jwt");
//! let red = Issuer::new("https://red.example/realms/shop", Key::hs256([2; 32])?)
//!     .audience("account")
//!     .require_claim_value("typ", "Bearer");
//! let authenticator = Authenticator::builder().claims::<NoClaims>().issuer(blue).issuer(red).build()?;
//! let layer = BearerLayer::new(authenticator);
//! let app = Router::new().route("/{tenant}/orders", get(orders)).route_layer(layer);
//!
//! # use axum::{body::Body, http::Request};
//! # use tower::ServiceExt;
//! # let sign = |typ: &str, secret: u8, claims: serde_json::Value| {
//! #     let mut header = jsonwebtoken::Header::default();
//! #     header.typ = Some(typ.to_owned());
//! #     jsonwebtoken::encode(&header, &claims, &jsonwebtoken::EncodingKey::from_secret(&[secret; 32]))
//! # };
//! # let of_blue = serde_json::json!({
//! #     "iss": "https://login.blue.example", "aud": "api://orders", "sub": "1", "exp": 9_000_000_000u64
//! # });
//! # let blue_token = sign("at+jwt", 1, of_blue.clone())?;
//! # let forged_by_red = sign("at+jwt", 2, of_blue)?;
//! # let red_token = sign("JWT", 2, serde_json::json!({
//! #     "iss": "https://red.example/realms/shop", "aud": "account", "typ": "Bearer", "sub": "1", "exp": 9_000_000_000u64
//! # }))?;
//! # let status = |path: &str, token: &str| {
//! #     let request = Request::get(path).header("authorization", format!("Bearer {token}"));
//! #     let response = app.clone().oneshot(request.body(Body::empty()).unwrap());
//! #     async move { response.await.unwrap().status() }
//! # };
//! assert_eq!(status("/blue/orders", &blue_token).await, 200);
//! assert_eq!(status("/red/orders", &red_token).await, 200);
//! // Both have the subject "1", and they are different users.
//! assert_eq!(status("/red/orders", &blue_token).await, 404);
//! // A token that red signs in the name of blue is rejected.
//! assert_eq!(status("/blue/orders", &forged_by_red).await, 401);
//! # Ok(()) }
//! ```
//!
//! # Tenants that are added and removed
//!
//! The issuers of an authenticator are fixed when it is built. To add tenants while the service runs, build a new
//! authenticator and a new layer, and use them for the next requests: a `tower::Service` of a few lines can hold the
//! current one. Put clones of the same [`RevocationCache`](crate::RevocationCache), and of the same
//! [`RemoteJwks`](crate::jwks::RemoteJwks) for each issuer, into the new one. Then only the token cache is lost. The
//! metrics of accepted requests begin at zero with each authenticator: see [`Collector`](crate::telemetry::Collector).
//!
//! If one issuer signs for all tenants and names the tenant in a claim, use one [`Issuer`](crate::Issuer) and one
//! check: [`add_check`](crate::AuthenticatorBuilder::add_check) if the list of tenants can change,
//! [`add_pure_check`](crate::AuthenticatorBuilder::add_pure_check) if it cannot.
