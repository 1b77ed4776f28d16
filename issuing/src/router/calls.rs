//! The endpoints of the API: handlers, with the bodies that they read and write.

pub(super) mod private_tokens;
pub(super) mod sessions;
