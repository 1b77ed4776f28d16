//! Claims without a type of their own.

use std::fmt;

use serde::Deserialize;

/// Claims without a type of their own: every member of the claims object, known or not.
///
/// The default for the claims of a [`Verifier`](crate::Verifier).
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct UntypedClaims(serde_json::Map<String, serde_json::Value>);

impl UntypedClaims {
    /// The value of a claim.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&serde_json::Value> {
        self.0.get(name)
    }

    /// All claims.
    #[must_use]
    pub fn as_map(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.0
    }
}

impl fmt::Debug for UntypedClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UntypedClaims({} members)", self.0.len())
    }
}
