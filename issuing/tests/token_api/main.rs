//! The token API as a client meets it, over the router: complete answers, both forms of each path, every bad input.

mod api;
mod bad_input;
mod connections;
mod document;
mod hosts;
mod login;
mod methods;
mod private_tokens;
mod revocation;
mod sessions;
mod turns;
mod wire;
