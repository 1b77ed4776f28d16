//! The claims of a token (RFC 7519 section 4) and the clock that they are compared with.

mod clock;
mod registered;

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de::IgnoredAny};

pub use self::clock::{Clock, ManualClock, Moment, SystemClock};
pub use self::registered::{Audience, RegisteredClaims, Scopes};
pub(crate) use self::registered::{ClaimsSet, Registered, Spans, Times, whole_seconds};
pub use crate::scopes::is_scope_token;

/// The default leeway on `exp`, `nbf` and `iat`: 30 seconds.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// The longest leeway that a policy may set: 5 minutes.
///
/// A revocation lasts until the token's `exp`, this leeway and one more minute, even if the policy's own leeway is
/// shorter.
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// Untyped claims: every member of the claims object, known or not.
///
/// This is the default type for the claims of an [`Authenticator`](crate::Authenticator).
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

/// No claims, for services that need only [`RegisteredClaims`]. Nothing is copied out of the
/// token for this type.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// # fn main() -> Result<(), tower_bearer::ConfigError> {
/// use tower_bearer::{Authenticated, Authenticator, Issuer, Key, claims::NoClaims};
///
/// let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?).audience("api://orders");
/// let authenticator = Authenticator::builder().claims::<NoClaims>().issuer(issuer).build()?;
///
/// fn handler(user: Authenticated<NoClaims>) -> String {
///     user.registered().subject().unwrap_or("nobody").to_owned()
/// }
/// # let _ = (authenticator, handler);
/// # Ok(()) }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoClaims;

impl<'de> Deserialize<'de> for NoClaims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
