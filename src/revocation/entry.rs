//! Revocation entries. Only this module adds the margin after a token's expiry.

use std::time::Duration;

use super::{Revocable, RevocableKind};
use crate::{UnixTime, claims::MAX_LEEWAY};

/// How long a revocation entry is kept after its tokens expired: the longest leeway, plus a minute for a token that was
/// verified a little earlier.
///
/// Only [`RevocationEntry::new`] and [`RevocationEntry::cover_tokens_until`] add it. A store keeps an entry until
/// [`RevocationEntry::obsolete_after`], and adds nothing.
pub const KEEP_AFTER_EXPIRY: Duration = MAX_LEEWAY.saturating_add(Duration::from_secs(60));

/// States which thing is revoked, from when on, and how long the entry is needed.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::{UnixTime, revocation::{KEEP_AFTER_EXPIRY, Revocable, RevocationEntry}};
///
/// let now = UnixTime::from_secs(1_900_000_000);
/// let longest_lifetime = Duration::from_secs(3600);
/// let ada = Revocable::subject("https://issuer.example", "ada");
/// let entry = RevocationEntry::new(ada, now + longest_lifetime).with_cut_off(now);
///
/// assert_eq!(entry.cut_off(), now);
/// assert_eq!(entry.obsolete_after(), now + longest_lifetime + KEEP_AFTER_EXPIRY);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationEntry {
    thing: Revocable,
    cut_off: UnixTime,
    starts_at: UnixTime,
    obsolete_after: UnixTime,
}

impl RevocationEntry {
    /// An entry that starts at once.
    ///
    /// `tokens_expire_by` is the latest `exp` of the tokens that the entry affects. For a token it is the token's own
    /// `exp`. For a subject, session or key it is the time of the revocation plus the longest lifetime of an issued
    /// token. The entry is kept for [`KEEP_AFTER_EXPIRY`] after it.
    #[must_use]
    pub fn new(thing: Revocable, tokens_expire_by: UnixTime) -> Self {
        Self::restored(thing, tokens_expire_by + KEEP_AFTER_EXPIRY)
    }

    /// An entry from a store, with its stored [`obsolete_after`](Self::obsolete_after). It starts at once and has no
    /// cut-off, unless [`with_start`](Self::with_start) and [`with_cut_off`](Self::with_cut_off) restore them.
    #[must_use]
    pub fn restored(thing: Revocable, obsolete_after: UnixTime) -> Self {
        Self { thing, cut_off: UnixTime::MAX, starts_at: UnixTime::EPOCH, obsolete_after }
    }

    /// Revokes only the tokens of a subject that were issued at `cut_off` or before. Default: all of them.
    ///
    /// Has no effect on an entry about a token, session or key. Any cut-off revokes a token without `iat`.
    ///
    /// `iat` is a time by the issuer's clock. If that clock is ahead, a cut-off of the current second misses the newest
    /// tokens. [`Authenticator::revoke_subject`](crate::Authenticator::revoke_subject) adds the leeway.
    #[must_use]
    pub fn with_cut_off(mut self, cut_off: UnixTime) -> Self {
        if self.thing.kind() == RevocableKind::Subject {
            self.cut_off = cut_off;
        }
        self
    }

    /// Revokes from `starts_at` on. Default: at once.
    ///
    /// Requests before `starts_at` pass. Requests at `starts_at` or later are rejected. Each process uses its own
    /// clock. Has no effect on an entry about a subject, session or key.
    #[must_use]
    pub fn with_start(mut self, starts_at: UnixTime) -> Self {
        if self.thing.kind() == RevocableKind::Token {
            self.starts_at = starts_at;
        }
        self
    }

    /// Keeps the entry also for tokens with an `exp` of up to `tokens_expire_by`. It never shortens the time.
    pub fn cover_tokens_until(&mut self, tokens_expire_by: UnixTime) {
        self.obsolete_after = self.obsolete_after.max(tokens_expire_by + KEEP_AFTER_EXPIRY);
    }

    /// The thing that is revoked.
    #[must_use]
    pub fn thing(&self) -> &Revocable {
        &self.thing
    }

    /// Tokens that were issued at this second or before are revoked. [`UnixTime::MAX`] if the time of issue does not
    /// matter.
    #[must_use]
    pub fn cut_off(&self) -> UnixTime {
        self.cut_off
    }

    /// The first second at which the tokens are revoked. [`UnixTime::EPOCH`] if the entry starts at once, by every
    /// clock.
    #[must_use]
    pub fn starts_at(&self) -> UnixTime {
        self.starts_at
    }

    /// The date after which an affected token cannot be valid, whatever the leeway of the policy. A store must keep the
    /// entry through this date, and may forget it afterwards.
    #[must_use]
    pub fn obsolete_after(&self) -> UnixTime {
        self.obsolete_after
    }
}
