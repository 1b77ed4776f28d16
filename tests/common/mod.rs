pub(crate) mod tokens;
