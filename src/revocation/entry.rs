//! A revocation entry, and the one place where the margin after a token's expiry is added.

use std::time::Duration;

use super::{Revocable, RevocableKind};
use crate::{UnixTime, claims::MAX_LEEWAY};

/// How long after the expiry of its tokens a revocation entry is kept: the longest leeway, and a minute for a token that
/// was verified a little earlier.
///
/// [`RevocationEntry::new`] and [`RevocationEntry::cover_tokens_until`] add it. Nothing else does: a store keeps an
/// entry until [`RevocationEntry::obsolete_after`] as it is.
pub const KEEP_AFTER_EXPIRY: Duration = MAX_LEEWAY.saturating_add(Duration::from_secs(60));

/// What is revoked, from when on, and how long the entry is needed.
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
    /// `tokens_expire_by` is the latest `exp` of any token that it affects: the token's own, or for a subject, session
    /// or key the time of the revocation and the longest lifetime that is issued. The entry is kept for
    /// [`KEEP_AFTER_EXPIRY`] after it.
    #[must_use]
    pub fn new(thing: Revocable, tokens_expire_by: UnixTime) -> Self {
        Self::restored(thing, tokens_expire_by + KEEP_AFTER_EXPIRY)
    }

    /// An entry as a store has kept it, with the date of [`obsolete_after`](Self::obsolete_after). It starts at once and
    /// has no cut-off, unless [`with_start`](Self::with_start) and [`with_cut_off`](Self::with_cut_off) restore them.
    #[must_use]
    pub fn restored(thing: Revocable, obsolete_after: UnixTime) -> Self {
        Self { thing, cut_off: UnixTime::MAX, starts_at: UnixTime::EPOCH, obsolete_after }
    }

    /// Revokes only the tokens of a subject that were issued at `cut_off` or before. Default: all of them.
    ///
    /// It has no effect on an entry about anything else. A token without `iat` is revoked by any cut-off.
    ///
    /// `iat` is a date by the issuer's clock. A cut-off of the current second misses the newest tokens of an issuer
    /// whose clock is ahead. [`Authenticator::revoke_subject`](crate::Authenticator::revoke_subject) adds the leeway.
    #[must_use]
    pub fn with_cut_off(mut self, cut_off: UnixTime) -> Self {
        if self.thing.kind() == RevocableKind::Subject {
            self.cut_off = cut_off;
        }
        self
    }

    /// Revokes from `starts_at` on. Default: at once.
    ///
    /// Requests before it pass, requests from it on are rejected, by the clock of each process. It has no effect on an
    /// entry about anything but a token.
    #[must_use]
    pub fn with_start(mut self, starts_at: UnixTime) -> Self {
        if self.thing.kind() == RevocableKind::Token {
            self.starts_at = starts_at;
        }
        self
    }

    /// Keeps the entry also for tokens with an `exp` of up to `tokens_expire_by`. It never shortens it.
    pub fn cover_tokens_until(&mut self, tokens_expire_by: UnixTime) {
        self.obsolete_after = self.obsolete_after.max(tokens_expire_by + KEEP_AFTER_EXPIRY);
    }

    /// What is revoked.
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

    /// The first second at which the tokens are revoked. [`UnixTime::EPOCH`] if that is at once, by every clock.
    #[must_use]
    pub fn starts_at(&self) -> UnixTime {
        self.starts_at
    }

    /// The date after which no affected token can be valid, whatever leeway an issuer's policy has. A store may forget
    /// the entry after it, and must keep it through it.
    #[must_use]
    pub fn obsolete_after(&self) -> UnixTime {
        self.obsolete_after
    }
}
