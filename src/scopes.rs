//! Scopes that a route requires: all of a list, any of a list, and scopes that imply others.

use std::{collections::HashMap, fmt, sync::Arc};

use crate::ConfigError;

/// The scopes that a route requires. An array or a list of strings is also one: all of its scopes are required.
///
/// Scopes are compared byte by byte. A token cannot have a scope that is empty or contains a space or another character
/// outside of RFC 6749 section 3.3. A challenge leaves such a scope out, and no token satisfies it.
///
/// ```
/// use tower_bearer::{RequiredScopes, ScopeHierarchy};
///
/// let hierarchy = ScopeHierarchy::new([("admin", ["orders:write"]), ("orders:write", ["orders:read"])])?;
/// let all = RequiredScopes::all(["orders:read", "users:read"]);
/// let any = RequiredScopes::any(["orders:read", "reports"]).with_hierarchy(&hierarchy);
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

impl RequiredScopes {
    /// A token must have every one of these scopes. With an empty list, every token passes.
    #[must_use]
    pub fn all<T>(scopes: T) -> Self
    where
        T: IntoIterator,
        T::Item: AsRef<str>,
    {
        Self::new(scopes, true)
    }

    /// A token must have at least one of these scopes. With an empty list, no token passes.
    #[must_use]
    pub fn any<T>(scopes: T) -> Self
    where
        T: IntoIterator,
        T::Item: AsRef<str>,
    {
        Self::new(scopes, false)
    }

    fn new<T>(scopes: T, needs_all: bool) -> Self
    where
        T: IntoIterator,
        T::Item: AsRef<str>,
    {
        let scopes = scopes
            .into_iter()
            .map(|scope| Required { scope: scope.as_ref().into(), implied_by: Vec::new() });
        Self { scopes: scopes.collect(), needs_all }
    }

    /// Accepts also the scopes that imply a required one, directly or through others. The challenges do not change:
    /// they name the required scopes.
    #[must_use]
    pub fn with_hierarchy(mut self, hierarchy: &ScopeHierarchy) -> Self {
        for required in &mut self.scopes {
            required.implied_by = hierarchy.implying(&required.scope);
        }
        self
    }

    /// Whether a token with the scopes for which `has` is true satisfies the requirement.
    pub(crate) fn are_satisfied(&self, has: impl Fn(&str) -> bool) -> bool {
        let has = |required: &Required| {
            has(&required.scope) || required.implied_by.iter().any(|scope| has(scope))
        };
        if self.needs_all { self.scopes.iter().all(has) } else { self.scopes.iter().any(has) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.scopes.iter().map(|required| &*required.scope)
    }
}

/// All scopes of the list, as by [`RequiredScopes::all`].
impl<T> From<T> for RequiredScopes
where
    T: IntoIterator,
    T::Item: AsRef<str>,
{
    fn from(scopes: T) -> Self {
        Self::all(scopes)
    }
}

/// The required scopes, separated by spaces, as in a challenge.
impl fmt::Display for RequiredScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, required) in self.scopes.iter().enumerate() {
            let space = if position == 0 { "" } else { " " };
            write!(f, "{space}{}", required.scope)?;
        }
        Ok(())
    }
}

/// Which scopes imply others: `admin` implies `orders:write`, and that implies `orders:read`.
#[derive(Clone, Debug, Default)]
pub struct ScopeHierarchy {
    /// The scopes that imply a scope directly.
    implied_by: HashMap<Arc<str>, Vec<Arc<str>>>,
}

impl ScopeHierarchy {
    /// A hierarchy from pairs of a scope and the scopes that it implies.
    ///
    /// # Errors
    /// * [`ConfigError::ScopeCycle`] if a scope implies itself, directly or through others
    /// * [`ConfigError::InvalidScope`] for a string that is not a scope-token (RFC 6749 section 3.3)
    pub fn new<T, S, I>(pairs: T) -> Result<Self, ConfigError>
    where
        T: IntoIterator<Item = (S, I)>,
        S: AsRef<str>,
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut hierarchy = Self::default();
        for (scope, implied) in pairs {
            let scope = checked(scope.as_ref())?;
            for implied in implied {
                let by = hierarchy.implied_by.entry(checked(implied.as_ref())?).or_default();
                if !by.contains(&scope) {
                    by.push(Arc::clone(&scope));
                }
            }
        }
        for scope in hierarchy.implied_by.keys() {
            if hierarchy.implying(scope).contains(scope) {
                return Err(ConfigError::ScopeCycle(scope.to_string()));
            }
        }
        Ok(hierarchy)
    }

    /// Every scope that implies this one, directly or through others. It contains the scope itself only in a cycle.
    fn implying(&self, scope: &str) -> Vec<Arc<str>> {
        let mut found: Vec<Arc<str>> = Vec::new();
        let mut next = 0;
        let mut direct = self.implied_by.get(scope);
        loop {
            for scope in direct.into_iter().flatten() {
                if !found.contains(scope) {
                    found.push(Arc::clone(scope));
                }
            }
            let Some(scope) = found.get(next) else { return found };
            direct = self.implied_by.get(scope);
            next += 1;
        }
    }
}

/// Whether this is a scope-token (RFC 6749 section 3.3): at least one visible ASCII character, without `"` and `\`.
///
/// ```
/// use tower_bearer::claims::is_scope_token;
///
/// assert!(is_scope_token("orders:read"));
/// assert!(!is_scope_token("orders read"));
/// ```
#[must_use]
pub fn is_scope_token(scope: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    !scope.is_empty() && scope.bytes().all(is_allowed)
}

fn checked(scope: &str) -> Result<Arc<str>, ConfigError> {
    if is_scope_token(scope) {
        Ok(scope.into())
    } else {
        Err(ConfigError::InvalidScope(scope.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy() -> ScopeHierarchy {
        let pairs = [("admin", vec!["write", "audit"]), ("write", vec!["read"])];
        ScopeHierarchy::new(pairs).unwrap()
    }

    fn accepts(required: &RequiredScopes, scopes: &str) -> bool {
        required.are_satisfied(|scope| scopes.split(' ').any(|member| member == scope))
    }

    #[test]
    fn all_scopes_or_any_scope_of_a_list() {
        let all = RequiredScopes::all(["read", "audit"]);
        let any = RequiredScopes::any(["read", "audit"]);
        for (scopes, has_all, has_any) in [
            ("", false, false),
            ("read", false, true),
            ("audit", false, true),
            ("audit read", true, true),
            ("reader audit", false, true),
            ("admin", false, false),
        ] {
            assert_eq!(accepts(&all, scopes), has_all, "{scopes}");
            assert_eq!(accepts(&any, scopes), has_any, "{scopes}");
        }
    }

    #[test]
    fn a_scope_counts_for_every_scope_that_it_implies() {
        let required = |scope| RequiredScopes::all([scope]).with_hierarchy(&hierarchy());
        for (scope, token, expected) in [
            ("read", "admin", true),
            ("read", "write", true),
            ("read", "audit", false),
            ("write", "read", false),
            ("admin", "write read audit", false),
            ("other", "admin", false),
        ] {
            assert_eq!(accepts(&required(scope), token), expected, "{scope} by {token}");
        }
        assert_eq!(required("read").to_string(), "read");
    }

    #[test]
    fn a_cycle_is_an_error() {
        for pairs in [
            vec![("a", "a")],
            vec![("a", "b"), ("b", "a")],
            vec![("x", "a"), ("a", "b"), ("b", "c"), ("c", "a")],
        ] {
            let pairs = pairs.into_iter().map(|(scope, implied)| (scope, [implied]));
            let error = ScopeHierarchy::new(pairs).unwrap_err();
            assert!(matches!(error, ConfigError::ScopeCycle(_)), "{error}");
        }
        // Two ways to one scope are not a cycle.
        let diamond = [("a", vec!["b", "c"]), ("b", vec!["d"]), ("c", vec!["d"])];
        assert!(ScopeHierarchy::new(diamond).is_ok());
    }

    #[test]
    fn a_scope_that_no_token_can_have_is_an_error() {
        for scope in ["", "a b", "a\"", "a\\", "\u{e9}", "a\n"] {
            assert!(ScopeHierarchy::new([(scope, ["a"])]).is_err(), "{scope:?}");
            assert!(ScopeHierarchy::new([("a", [scope])]).is_err(), "{scope:?}");
        }
    }

    #[test]
    fn an_empty_list_of_all_passes_and_of_any_does_not() {
        assert!(accepts(&RequiredScopes::all([""; 0]), "read"));
        assert!(!accepts(&RequiredScopes::any([""; 0]), "read"));
    }
}
