//! One page for each task. Every example runs as a test.
//!
//! | page | task |
//! |---|---|
//! | [`streams`] | WebSockets and server-sent events, which stay open after the request that opened them |
//! | [`graphql`] | one route, public and protected fields, subscriptions |
//! | [`testing`] | handlers without tokens, tokens without an issuer, stores that fail |
//! | [`multi_tenant`] | several issuers in one service |
//! | [`mcp`] | protect an MCP server, with a tool that needs more scope |
//! | [`routes`] | a policy for each route: scopes, roles, fresh tokens, public routes |
//! | [`client_certificates`] | tokens that are bound to client certificates, behind HAProxy or nginx |
//! | [`dpop`] | tokens that are bound to a key of the client: client flow, nonces, proxies, browsers, gRPC |
//! | [`status_lists`] | reject tokens that their issuer has revoked in a signed status list |
//! | [`from_jsonwebtoken`] | move here from your own middleware around `jsonwebtoken` |
//! | [`from_jwt_authorizer`] | move here from `jwt-authorizer`, name by name |
//!
//! Whole programs are in the folder `examples/`.

pub mod client_certificates;
pub mod dpop;
pub mod from_jsonwebtoken;
pub mod from_jwt_authorizer;
pub mod graphql;
pub mod mcp;
pub mod multi_tenant;
pub mod routes;
pub mod status_lists;
pub mod streams;

pub mod testing;
