//! One page for each task. Every example runs as a test.
//!
//! | page | task |
//! |---|---|
//! | [`streams`] | WebSockets and server-sent events, which stay open after the request that opened them |
//! | [`graphql`] | one route, public and protected fields, subscriptions |
//! | [`testing`] | handlers without tokens, tokens without an issuer, stores that fail |
//! | [`tenants`] | several issuers in one service |
//! | [`mcp`] | protect an MCP server, with a tool that needs more scope |
//! | [`routes`] | a policy for each route: scopes, roles, fresh tokens, public routes |
//! | [`from_jsonwebtoken`] | move here from your own middleware around `jsonwebtoken` |
//! | [`from_jwt_authorizer`] | move here from `jwt-authorizer`, name by name |
//!
//! Whole programs are in the folder `examples/`.

pub mod from_jsonwebtoken;
pub mod from_jwt_authorizer;
pub mod graphql;
pub mod mcp;
pub mod routes;
pub mod streams;
pub mod tenants;
pub mod testing;
