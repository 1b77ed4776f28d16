//! What clients are told of bad tokens, and what is printed and logged of all tokens: nothing.

mod hidden;
mod issued;
mod keys;
mod logged;
pub(crate) mod marked;
mod printed;
mod refusals;
