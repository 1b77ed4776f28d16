//! The claims of a token (RFC 7519 section 4) and the clock that they are compared with.

mod clock;
mod registered;
pub(crate) mod scan;
mod untyped;

use std::time::Duration;

pub use self::clock::{Clock, ManualClock, Moment, SystemClock};
pub use self::registered::{Audience, RegisteredClaims, Scopes};
pub(crate) use self::registered::{Spans, Times};
pub use self::untyped::{NoClaims, UntypedClaims};

/// Leeway on `exp`, `nbf` and `iat` unless a policy sets another: 30 seconds.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// The longest leeway that a policy may set: 5 minutes.
///
/// What is revoked stays revoked for a token's `exp` plus this, whatever the policy's own leeway.
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);
