//! The question whether a token is revoked, and its answer, for a store.

use std::sync::Arc;

use super::{Revocable, RevocationEntry};
use crate::UnixTime;

/// The question to a [`RevocationStore`](super::RevocationStore): whether one token is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    things: Vec<Revocable>,
    issued_at: UnixTime,
}

impl Lookup {
    /// A question about the token with these `things`, issued at `issued_at`.
    #[must_use]
    pub fn new(things: impl IntoIterator<Item = Revocable>, issued_at: UnixTime) -> Self {
        Self { things: things.into_iter().collect(), issued_at }
    }

    /// Everything by which the token can be revoked. The [`RevocationCache`](super::RevocationCache) passes at most
    /// five things.
    #[must_use]
    pub fn things(&self) -> &[Revocable] {
        &self.things
    }

    /// The `iat` of the token. A cut-off at this second or later revokes it. It is [`UnixTime::EPOCH`] for a token
    /// without `iat`, so that any cut-off revokes it.
    #[must_use]
    pub fn issued_at(&self) -> UnixTime {
        self.issued_at
    }

    /// Whether an entry is about this token. Ignores the start of the entry.
    #[must_use]
    pub fn is_matched_by(&self, entry: &RevocationEntry) -> bool {
        self.issued_at <= entry.cut_off() && self.things.contains(entry.thing())
    }

    /// The verdict on this token at `now` by these entries, for stores. Entries about other things are ignored. The
    /// entry that starts first decides.
    #[must_use]
    pub fn verdict<'a>(
        &self,
        entries: impl IntoIterator<Item = &'a RevocationEntry>,
        now: UnixTime,
    ) -> Verdict {
        let matching = entries.into_iter().filter(|entry| self.is_matched_by(entry));
        Verdict::starting_at(matching.map(RevocationEntry::starts_at).min(), now)
    }
}

/// Whether a token is revoked: the answer of a store, of the cache and of the authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one of the things in the lookup is revoked.
    Revoked,
    /// None of the things is revoked.
    NotRevoked,
    /// The token itself is revoked from this date on. Nothing else of it is revoked now.
    ///
    /// The date may be in the past. A [`RevocationCache`](super::RevocationCache) remembers it, and compares it with
    /// its own clock at every request. Only a token can have such a start.
    RevokedFrom(UnixTime),
}

impl Verdict {
    /// The verdict at `now` on a token whose earliest matching entry starts at `start`. `start` is `None` if no entry
    /// matches.
    #[must_use]
    pub fn starting_at(start: Option<UnixTime>, now: UnixTime) -> Self {
        match start {
            None => Self::NotRevoked,
            Some(start) if start <= now => Self::Revoked,
            Some(start) => Self::RevokedFrom(start),
        }
    }
}

/// There is no verdict: the store failed or did not answer in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unavailable;

/// Everything by which one verified token can be revoked, borrowed from it.
#[derive(Clone, Copy)]
pub(crate) struct TokenFacts<'a> {
    pub(crate) issuer: &'a Arc<str>,
    pub(crate) token_id: &'a str,
    pub(crate) subject: Option<&'a str>,
    /// The epoch if the token has no `iat`.
    pub(crate) issued_at: UnixTime,
    pub(crate) session_id: Option<&'a str>,
    pub(crate) key_id: Option<&'a Arc<str>>,
    pub(crate) key_thumbprint: &'a Arc<str>,
    pub(crate) expires_at: UnixTime,
}
