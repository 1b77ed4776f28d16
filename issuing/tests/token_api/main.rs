//! The token API as a client meets it, over the router: complete answers, both forms of each path, every bad input.

mod api;
mod bad_input;
mod connections;
mod document;
mod hosts;
mod limits_of_subjects;
mod login;
mod methods;
mod password_api;
mod private_token_api;
mod revocation_api;
mod session_api;
mod wire;
