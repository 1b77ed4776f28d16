//! GraphQL: one route with public and protected fields.
//!
//! An [`optional`](crate::BearerLayer::optional) layer passes requests without a token. It still rejects invalid
//! tokens: otherwise a client with an expired token would be anonymous and would not know why. The handler puts
//! `Option<Authenticated<C>>` into the context of the query, and resolvers read it. In async-graphql that is
//! `request.data(user)` and `ctx.data_opt()`, in juniper a field of the context. The example needs neither.
//!
//! ```
//! use axum::{Router, routing::post};
//! use serde::Deserialize;
//! use tower_bearer::{Authenticated, BearerLayer};
//!
//! #[derive(Deserialize)]
//! struct Claims {
//!     sub: String,
//! }
//!
//! /// Every resolver gets this.
//! struct Context {
//!     user: Option<Authenticated<Claims>>,
//! }
//!
//! impl Context {
//!     /// For fields that belong to a user.
//!     fn user(&self) -> Result<&Authenticated<Claims>, &'static str> {
//!         self.user.as_ref().ok_or("UNAUTHENTICATED")
//!     }
//!
//!     /// For fields that need a scope.
//!     fn user_with(&self, scope: &str) -> Result<&Authenticated<Claims>, &'static str> {
//!         let user = self.user()?;
//!         if user.scopes().contains(scope) { Ok(user) } else { Err("FORBIDDEN") }
//!     }
//! }
//!
//! fn resolve(field: &str, context: &Context) -> Result<String, &'static str> {
//!     match field {
//!         "version" => Ok("1".to_owned()),
//!         "me" => context.user().map(|user| user.claims().sub.clone()),
//!         "orders" => context.user_with("orders:read").map(|_| "none".to_owned()),
//!         _ => Err("no such field"),
//!     }
//! }
//!
//! /// Stands for the GraphQL library: the query is the name of one field.
//! async fn graphql(user: Option<Authenticated<Claims>>, query: String) -> String {
//!     match resolve(&query, &Context { user }) {
//!         Ok(data) => format!(r#"{{"data":"{data}"}}"#),
//!         Err(error) => format!(r#"{{"error":"{error}"}}"#),
//!     }
//! }
//!
//! fn app(layer: BearerLayer<Claims>) -> Router {
//!     Router::new().route("/graphql", post(graphql)).route_layer(layer.optional())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use axum::{body::Body, http::Request};
//! # use http_body_util::BodyExt;
//! # use tower::ServiceExt;
//! # use tower_bearer::{Authenticator, Issuer, Key};
//! # let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?).audience("api://shop");
//! # let authenticator = Authenticator::builder().claims::<Claims>().issuer(issuer).build()?;
//! # let app = app(BearerLayer::new(authenticator));
//! # let ada = jsonwebtoken::encode(
//! #     &jsonwebtoken::Header::default(),
//! #     &serde_json::json!({ "iss": "https://issuer.example", "aud": "api://shop", "sub": "ada", "exp": 9_000_000_000u64 }),
//! #     &jsonwebtoken::EncodingKey::from_secret(&[7; 32]),
//! # )?;
//! # let ask = |token: Option<&str>, query: &'static str| {
//! #     let mut request = Request::post("/graphql");
//! #     if let Some(token) = token {
//! #         request = request.header("authorization", format!("Bearer {token}"));
//! #     }
//! #     let response = app.clone().oneshot(request.body(Body::from(query)).unwrap());
//! #     async move {
//! #         let body = response.await.unwrap().into_body().collect().await.unwrap().to_bytes();
//! #         String::from_utf8(body.to_vec()).unwrap()
//! #     }
//! # };
//! assert_eq!(ask(None, "version").await, r#"{"data":"1"}"#);
//! assert_eq!(ask(None, "me").await, r#"{"error":"UNAUTHENTICATED"}"#);
//! assert_eq!(ask(Some(&ada), "me").await, r#"{"data":"ada"}"#);
//! assert_eq!(ask(Some(&ada), "orders").await, r#"{"error":"FORBIDDEN"}"#);
//! // A request with an invalid token is not anonymous: it is rejected for every field.
//! assert!(ask(Some("no.such.token"), "version").await.contains("token_not_valid"));
//! # Ok(()) }
//! ```
//!
//! # Take care
//!
//! * **Authenticate once, authorise in every resolver.** A field can be reached in more than one way. A check in the
//!   handler covers only the ways that you know.
//! * **Subscriptions** over WebSocket have the token in the payload of `connection_init`. Give it to the
//!   [`Authenticator`](crate::Authenticator), put the user into the context of the connection, and check again while it
//!   is open ([`streams`](super::streams)).
//! * **Batches** of queries share one request, and therefore one user.
//! * **Cookies**: [`allow_cookie`](crate::BearerLayer::allow_cookie) assumes that safe methods change nothing. Do not
//!   serve mutations by `GET`.
