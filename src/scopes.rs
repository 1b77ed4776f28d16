//! Scopes that a route requires: all of a list, any of a list, and scopes that imply others.

use std::{collections::HashMap, fmt, sync::Arc};

use crate::{ConfigError, claims::Scopes, resource::is_scope_token};

/// The scopes that a route requires.
///
/// ```
/// use tower_bearer::{RequiredScopes, ScopeHierarchy};
///
/// let hierarchy = ScopeHierarchy::new([("admin", ["orders:write"]), ("orders:write", ["orders:read"])])?;
/// let all = RequiredScopes::all(["orders:read", "users:read"])?;
/// let any = RequiredScopes::any(["orders:read", "reports"])?.with_hierarchy(&hierarchy);
/// // The challenge names what the route requires, not the scopes that imply it.
/// assert_eq!(any.to_string(), "orders:read reports");
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredScopes {
    scopes: Vec<Required>,
    needs_all: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Required {
    scope: Arc<str>,
    /// The other scopes that imply it.
    implied_by: Vec<Arc<str>>,
}
