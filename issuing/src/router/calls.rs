//! The endpoints. Each is a handler, with the bodies that it reads and writes.

pub(super) mod private_tokens;
pub(super) mod sessions;
