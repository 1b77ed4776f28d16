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

/// The default leeway on `exp`, `nbf` and `iat`: 30 seconds.
pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);

/// The longest leeway that a policy may set: 5 minutes.
///
/// A revocation lasts until the token's `exp` plus this leeway, even if the policy's own leeway is shorter.
pub const MAX_LEEWAY: Duration = Duration::from_secs(300);
