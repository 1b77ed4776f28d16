//! Protect an MCP server (Model Context Protocol over HTTP).
//!
//! | MCP requires (revision 2026-07-28, Authorization) | setting |
//! |---|---|
//! | a metadata document that names the authorization server (RFC 9728) | [`with_resource`](crate::BearerLayer::with_resource), and [`resource_metadata`](crate::BearerLayer::resource_metadata) outside of the layer |
//! | 401 and 403 name the document and the scopes | [`and_require_scopes`](crate::BearerLayer::and_require_scopes) |
//! | only tokens for this server (RFC 8707) | the resource as [`audience`](crate::IssuerWithoutAudience::audience) |
//! | the token only in `Authorization` | the default |
//!
//! ```
//! use axum::{Router, routing::post};
//! use tower_bearer::{
//!     Authenticated, Authenticator, BearerLayer, ConfigError, IssuerWithoutAudience, ProtectedResource,
//! };
//!
//! /// Stands for the MCP service. `rmcp` passes the parts of the request to its tools, with `Authenticated` in them.
//! async fn mcp(user: Authenticated) -> String {
//!     user.registered().subject().unwrap_or_default().to_owned()
//! }
//!
//! /// Pass `Issuer::discover("https://issuer.example")?`, of the feature `jwks`.
//! fn app(issuer: IssuerWithoutAudience) -> Result<Router, ConfigError> {
//!     // The URL of the server, as clients write it.
//!     let resource = ProtectedResource::new("https://api.example/mcp")?.with_scopes(["orders:read"])?;
//!     let issuer = issuer.audience(resource.identifier());
//!     let authenticator = Authenticator::builder().issuer(issuer).build()?;
//!     let layer = BearerLayer::new(authenticator).with_resource(resource);
//!
//!     let app = Router::new().route("/mcp", post(mcp));
//!     let app = app.route_layer(layer.clone().and_require_scopes(["orders:read"]));
//!     let metadata = layer.resource_metadata().expect("the layer has a resource");
//!     Ok(app.merge(metadata.into_router()))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use axum::{body::Body, http::{Request, header::WWW_AUTHENTICATE}};
//! # use tower::ServiceExt;
//! # use tower_bearer::{Issuer, Key};
//! # let app = app(Issuer::new("https://issuer.example", Key::hs256([7; 32])?))?;
//! # let send = |request: Request<Body>| app.clone().oneshot(request);
//! let rejected = send(Request::post("/mcp").body(Body::empty())?).await?;
//! assert_eq!(rejected.status(), 401);
//! assert_eq!(
//!     rejected.headers()[WWW_AUTHENTICATE],
//!     "Bearer realm=\"api\", scope=\"orders:read\", \
//!      resource_metadata=\"https://api.example/.well-known/oauth-protected-resource/mcp\"",
//! );
//! let document = send(Request::get("/.well-known/oauth-protected-resource/mcp").body(Body::empty())?).await?;
//! assert_eq!(document.status(), 200);
//! # Ok(()) }
//! ```
//!
//! The example `examples/mcp_server` is a whole server with `rmcp`. Its tests run the clients below against it, with an
//! authorization server from npm.
//!
//! # A tool that needs more scope
//!
//! The name of the tool is in the body, so the layer does not know it. `examples/mcp_server/src/tool_scopes.rs` is a
//! middleware behind the layer that reads the body, and then requires the scopes of the tool with
//! [`require_scopes`](crate::BearerLayer::require_scopes). A client only starts its step-up at such a 403. It does not at
//! a JSON-RPC error, which has the status 200.
//!
//! * List **all** scopes of the tool in the challenge. Some clients lose the scopes that are not in it.
//! * Let the tool check the scope again. Two readers of one body can find two tools in it.
//!
//! # What clients do
//!
//! | client | from the URL to a token | after a 403 |
//! |---|---|---|
//! | TypeScript, `@modelcontextprotocol/sdk` 1.32.2 (revision 2025-11-25) | by itself: the document, registration, PKCE, `resource` | sends the user to log in for the scopes of the challenge, and no others. The application repeats the call. **A client with a refresh token fails**: it refreshes, does not ask the user, and gets the same 403 |
//! | `rmcp` 3.11.0, feature `auth` (revision 2026-07-28) | the application passes the challenge of the 401 to `OAuthState`, which does the same steps | reports the challenge and does nothing else. The application calls `request_scope_upgrade`, which adds the scopes to the earlier ones, and repeats the call |
//!
//! # Take care
//!
//! * **Sessions.** The session id of MCP before 2026-07-28 is not a credential. Turn sessions off in `rmcp`
//!   (`with_legacy_session_mode(false)`), or take the user from the token of each request.
//! * **DNS rebinding.** Reject an unknown `Origin` with 403, also without a token. `rmcp` accepts only localhost as
//!   `Host` by default. Set the name of your server with `with_allowed_hosts`.
//! * **Pages in browsers** need a CORS layer outside of this one that exposes `WWW-Authenticate`.
//! * **MCP is not gRPC.** With [`with_grpc_answers(false)`](crate::BearerLayer::with_grpc_answers) every rejection has
//!   its HTTP status, also if a client calls its request gRPC.
//! * **Do not pass the token on** to other services. It is for this server only.
