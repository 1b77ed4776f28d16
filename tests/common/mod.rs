pub(crate) mod requests;
pub(crate) mod tokens;
