//! The registered claims (RFC 7519 section 4.1), as the strict scan yields them.

use std::{fmt, sync::Arc};

use serde::Deserialize;

/// The registered claims of a token whose every check has passed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisteredClaims {
    /// `iss`: the issuer, in the spelling of the policy that accepted the token.
    pub issuer: Arc<str>,
    /// `sub`.
    pub subject: Option<Arc<str>>,
    /// `aud`, or the claim that the policy reads in its place.
    pub audience: Audience,
    /// `exp`, in whole seconds since the Unix epoch (a fraction is cut off).
    pub expires_at: u64,
    /// `nbf`, in whole seconds since the Unix epoch.
    pub not_before: Option<u64>,
    /// `iat`, in whole seconds since the Unix epoch.
    pub issued_at: Option<u64>,
    /// `jti`.
    pub token_id: Option<Arc<str>>,
    /// `sid` (OpenID Connect session).
    pub session_id: Option<Arc<str>>,
    /// `scope` (RFC 8693 section 4.2) and `scp`.
    pub scopes: Scopes,
}

impl fmt::Debug for RegisteredClaims {
    /// Claims stay out of logs: only the times are shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredClaims")
            .field("expires_at", &self.expires_at)
            .field("not_before", &self.not_before)
            .field("issued_at", &self.issued_at)
            .finish_non_exhaustive()
    }
}

/// `aud`: none, one or several recipients (RFC 7519 section 4.1.3).
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Audience(Vec<Box<str>>);

impl Audience {
    pub(crate) fn new(members: Vec<Box<str>>) -> Self {
        Self(members)
    }

    /// Whether `audience` is one of them; compared byte by byte.
    #[must_use]
    pub fn contains(&self, audience: &str) -> bool {
        self.iter().any(|member| member == audience)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|member| &**member)
    }
}

impl fmt::Debug for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audience({} members)", self.0.len())
    }
}

/// The scopes of a token: `scope`, a string with spaces, or `scp`, such a string or an array of strings.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Scopes(Box<str>);

impl Scopes {
    /// Scopes from their space-separated form.
    pub(crate) fn new(separated: impl Into<Box<str>>) -> Self {
        Self(separated.into())
    }

    /// Whether `scope` is one of them; compared byte by byte.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.iter().any(|member| member == scope)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(' ').filter(|scope| !scope.is_empty())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({} members)", self.iter().count())
    }
}

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
