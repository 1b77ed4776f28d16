//! How to, one page each; every example runs as a test.
//!
//! | | |
//! |---|---|
//! | [`streams`] | WebSockets and server-sent events, which outlive the request that opened them |
//! | [`graphql`] | one route, public and protected fields, subscriptions |
//! | [`testing`] | handlers without tokens, tokens without an issuer, stores that fail |
//! | [`tenants`] | several issuers in one service |
//! | [`routes`] | scopes, roles, fresh tokens, public routes: a policy for each |
//! | [`from_jsonwebtoken`] | from a middleware of your own around `jsonwebtoken` |
//! | [`from_jwt_authorizer`] | from `jwt-authorizer`, name by name |
//!
//! Whole programs are in the folder `examples/`.

pub mod from_jsonwebtoken;
pub mod from_jwt_authorizer;
pub mod graphql;
pub mod routes;
pub mod streams;
pub mod tenants;
pub mod testing;
