//! The token API as a client meets it, over the router: complete answers, both forms of each path, every bad input.

mod api;
mod audit_api;
mod bad_input;
mod connections;
mod document;
mod dpop_api;
mod holder_revocation;
mod hosts;
mod introspection;
mod limits_of_subjects;
mod login;
mod metadata;
mod methods;
mod operator_audit;
mod operators;
mod password_api;
mod private_token_api;
mod revocation_api;
mod scopes_api;
mod session_api;
mod session_list_api;
mod wire;
