//! What clients are told of bad tokens, and what is printed and logged of all tokens: nothing.

#[path = "../common/mod.rs"]
mod common;

mod hidden;
mod issued;
mod keys;
mod logged;
mod marked;
mod printed;
mod refusals;
