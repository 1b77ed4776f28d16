//! Sets of scopes, and the scopes that have a meaning for the issuer itself.

use std::{collections::BTreeSet, fmt, sync::Arc};

use tower_bearer::{ConfigError, claims::is_scope_token};

/// With this scope, a private token may manage private tokens, if the operator
/// [allows it](super::TokenIssuerBuilder::allow_private_token_management).
pub const PRIVATE_TOKENS: &str = "private_tokens";

/// With this scope, a service may ask about the tokens of others (RFC 7662).
pub const INTROSPECT: &str = "introspect";

/// With this scope, an operator may manage the tokens of others.
pub const TOKENS_ADMIN: &str = "tokens:admin";

/// The scopes with a meaning for the issuer. A private token has one of them only if its owner asks for it.
pub const RESERVED: [&str; 3] = [PRIVATE_TOKENS, INTROSPECT, TOKENS_ADMIN];

/// The longest text of a set, so that a verifier's limit for tokens (8 KiB by default) leaves room for other claims.
const MAX_LENGTH: usize = 4096;

/// Scopes (RFC 6749 section 3.3), each once and in the order of their bytes. Its text separates them by spaces. Clones
/// share the scopes.
///
/// ```
/// use tower_bearer_issuing::scopes::ScopeSet;
///
/// let scopes = ScopeSet::new(["orders:write", "orders:read", "orders:read"])?;
/// assert_eq!(scopes.to_string(), "orders:read orders:write");
/// assert_eq!(ScopeSet::from_text("orders:write orders:read")?, scopes);
/// assert!(ScopeSet::new(["orders read"]).is_err());
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ScopeSet(Arc<BTreeSet<Box<str>>>);

impl ScopeSet {
    /// A set of scopes. [`Default`] is the empty set.
    ///
    /// # Errors
    /// [`ConfigError::InvalidScope`] for a string that is not a scope-token. [`ConfigError::OutOfRange`] if the text of
    /// the set is longer than 4096 bytes.
    pub fn new<T>(scopes: T) -> Result<Self, ConfigError>
    where
        T: IntoIterator,
        T::Item: AsRef<str>,
    {
        let mut set = BTreeSet::new();
        let mut length = 0;
        for scope in scopes {
            let scope = scope.as_ref();
            if !is_scope_token(scope) {
                return Err(ConfigError::InvalidScope(scope.to_owned()));
            }
            if set.insert(scope.into()) {
                length += scope.len() + 1;
            }
            if length > MAX_LENGTH + 1 {
                return Err(ConfigError::OutOfRange("scopes of a token, up to 4096 bytes"));
            }
        }
        Ok(Self(Arc::new(set)))
    }

    /// Reads the text of a set. Any number of spaces separates two scopes.
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn from_text(text: &str) -> Result<Self, ConfigError> {
        Self::new(text.split(' ').filter(|scope| !scope.is_empty()))
    }

    /// Whether `scope` is in the set. Compares byte by byte.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// The scopes, in the order of their bytes.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|scope| &**scope)
    }

    /// Whether there is no scope.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each scope of this set is also in `other`.
    #[must_use]
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    /// The scopes that are also in `other`.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.only(|scope| other.contains(scope))
    }

    /// The scopes for which `is_kept` is true.
    pub(crate) fn only(&self, is_kept: impl Fn(&str) -> bool) -> Self {
        let kept = self.0.iter().filter(|scope| is_kept(scope)).cloned();
        Self(Arc::new(kept.collect()))
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, scope) in self.iter().enumerate() {
            let space = if position == 0 { "" } else { " " };
            write!(f, "{space}{scope}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScopeSet {
    /// Shows only how many there are: claims must not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeSet({} members)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_only_scope_tokens_and_each_once() {
        for scope in ["", "a b", "a\"", "a\\", "\u{e9}", "a\n", "a\0", " a", "a,\t"] {
            assert!(ScopeSet::new(["ok", scope]).is_err(), "{scope:?}");
        }
        let scopes = ScopeSet::new(["b", "a", "b", "a:*", "B"]).unwrap();
        assert_eq!(scopes.to_string(), "B a a:* b");
        assert_eq!(ScopeSet::from_text("  b a  a:* B ").unwrap(), scopes);
        assert_eq!(ScopeSet::from_text("").unwrap(), ScopeSet::default());
        for text in ["a\tb", "a\u{a0}b", "a \n"] {
            assert!(ScopeSet::from_text(text).is_err(), "{text:?}");
        }
        assert_eq!(format!("{scopes:?}"), "ScopeSet(4 members)");
    }

    #[test]
    fn the_text_of_a_set_is_not_longer_than_a_token_has_room_for() {
        let longest = "a".repeat(MAX_LENGTH);
        assert!(ScopeSet::new([&longest, &longest]).is_ok());
        assert!(ScopeSet::new(["a".repeat(MAX_LENGTH + 1)]).is_err());
        let many = |count: usize| ScopeSet::new((0..count).map(|number| format!("{number:07}")));
        assert_eq!(many(512).unwrap().to_string().len(), MAX_LENGTH - 1);
        assert!(many(513).is_err());
    }

    #[test]
    fn sets_are_compared_scope_by_scope() {
        let set = |text| ScopeSet::from_text(text).unwrap();
        assert!(set("a").is_subset(&set("a b")) && set("").is_subset(&set("")));
        assert!(!set("a c").is_subset(&set("a b")) && !set("a").is_subset(&set("ab A")));
        assert_eq!(set("a b c").intersection(&set("c d a")), set("a c"));
        assert!(set("a").intersection(&set("A")).is_empty());
    }
}
