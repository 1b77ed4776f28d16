//! Decides what a store revokes when an account loses scopes.
//!
//! 1. **Access tokens that may still be valid are revoked**, whatever scopes they have: a store knows only the `jti` of
//!    each. Their refresh tokens stay, and the next refresh gives an access token with the scopes that are left.
//! 2. **A session ends as a whole** if it has too many of these access tokens, or one whose `jti` is not known, because
//!    an earlier version issued it.
//! 3. **Private tokens that hold a lost scope are revoked.** Others stay.
//! 4. **The work is bounded**: if too much had to be revoked one by one, everything that was issued to the owner is
//!    revoked by one cut-off.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::{AccountUpdate, claims::ACCESS_LIFETIME, scopes::ScopeSet, store::Owner};
use tower_bearer::{
    UnixTime,
    revocation::{KEEP_AFTER_EXPIRY, Revocable, RevocationEntry},
};

/// How many access tokens of one session are revoked one by one.
const OF_ONE_SESSION: usize = 100;

/// How many entries one change writes.
const ENTRIES: usize = 1000;

/// Tells a store what to revoke when an account loses scopes: give it the tokens of the owner, then ask for the
/// [`entries`](Self::entries).
pub struct LostScopes {
    owner: Owner,
    lost: ScopeSet,
    sessions_expire_by: UnixTime,
    /// The access tokens of each session. `None` for a token whose `jti` is not known.
    sessions: BTreeMap<Arc<str>, Vec<Option<TokenToRevoke>>>,
    private: Vec<TokenToRevoke>,
    /// How many private tokens the store has given, with and without a lost scope.
    read_private: usize,
}

/// `jti` and `exp`.
type TokenToRevoke = (Arc<str>, UnixTime);

impl LostScopes {
    /// The maximum number of refresh tokens, and of private tokens, that a store needs to read: with more of them,
    /// [`entries`](Self::entries) is `None`.
    pub const MOST_READ: usize = 10_000;

    /// The scopes that an account loses, if it had `old` and `update` gives it `new`. `None` if it loses none.
    #[must_use]
    pub fn of(update: &AccountUpdate, old: &ScopeSet, new: &ScopeSet) -> Option<Self> {
        let lost = old.only(|scope| !new.contains(scope));
        (!lost.is_empty()).then(|| Self {
            owner: update.owner.clone(),
            lost,
            sessions_expire_by: update.tokens_expire_by,
            sessions: BTreeMap::new(),
            private: Vec::new(),
            read_private: 0,
        })
    }

    /// Tells a store which tokens it must give: the refresh tokens of the owner that were issued after this time, used
    /// ones included, and the private tokens that had neither ended nor expired at this time. `now` is the time of the
    /// change, and `newest` is the latest `issued_at` among the owner's refresh and private tokens.
    ///
    /// Access tokens that were issued earlier have expired for every verifier, whatever its leeway. The clock of the
    /// host on which an operator changes an account may be ahead of the clocks of the issuers, by any time. So the time
    /// counts from `newest` if that is earlier than `now`: the real time cannot be before it. If the clock of an issuer
    /// is ahead by more than the leeway, verifiers reject its access tokens.
    #[must_use]
    pub fn issued_after(now: UnixTime, newest: Option<UnixTime>) -> UnixTime {
        now.min(newest.unwrap_or_default()) - (ACCESS_LIFETIME + KEEP_AFTER_EXPIRY)
    }

    /// Adds a refresh token: its session, its `iat`, and its
    /// [`access_token_id`](crate::store::NewRefreshToken::access_token_id).
    pub fn add_refresh(
        &mut self,
        session_id: Arc<str>,
        issued_at: UnixTime,
        access_token_id: Option<Arc<str>>,
    ) {
        let access = access_token_id.map(|id| (id, issued_at + ACCESS_LIFETIME));
        self.sessions.entry(session_id).or_default().push(access);
    }

    /// Adds a private token that has neither ended nor expired: its `jti`, its `exp` and its scopes.
    pub fn add_private(&mut self, token_id: Arc<str>, expires_at: UnixTime, scopes: &ScopeSet) {
        self.read_private += 1;
        if !scopes.intersection(&self.lost).is_empty() {
            self.private.push((token_id, expires_at));
        }
    }

    /// The revocation entries that the change requires. `None` if there are too many: then the store revokes everything
    /// that was issued to the owner.
    #[must_use]
    pub fn entries(&self) -> Option<Vec<RevocationEntry>> {
        let issuer = || Arc::clone(&self.owner.issuer);
        let read: usize = self.sessions.values().map(Vec::len).sum();
        if read.max(self.read_private) > Self::MOST_READ || self.private.len() > ENTRIES {
            return None;
        }
        let token = |(id, expires_at): &TokenToRevoke| {
            RevocationEntry::new(Revocable::token(issuer(), Arc::clone(id)), *expires_at)
        };
        let mut entries: Vec<RevocationEntry> = self.private.iter().map(token).collect();
        let mut sessions = Vec::new();
        for (session_id, tokens) in &self.sessions {
            let known: Vec<_> = tokens.iter().flatten().collect();
            if known.len() == tokens.len() && known.len() <= OF_ONE_SESSION {
                entries.extend(known.into_iter().map(token));
            } else {
                let session = Revocable::session(issuer(), Arc::clone(session_id));
                sessions.push(RevocationEntry::new(session, self.sessions_expire_by));
            }
            if entries.len() + sessions.len() > ENTRIES {
                return None;
            }
        }
        // A store writes entries of one kind together.
        entries.append(&mut sessions);
        Some(entries)
    }
}

impl fmt::Debug for LostScopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LostScopes").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::AccountChange;
    use tower_bearer::claims::MAX_LEEWAY;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn scopes(text: &str) -> ScopeSet {
        ScopeSet::from_text(text).unwrap()
    }

    #[test]
    fn a_store_that_stops_reading_private_tokens_revokes_everything() {
        let update = AccountUpdate::new(Owner::new("iss", "ada"), AccountChange::Close, NOW);
        let mut lost = LostScopes::of(&update, &scopes("a b"), &scopes("b")).unwrap();
        for n in 0..LostScopes::MOST_READ {
            lost.add_private(n.to_string().into(), NOW, &scopes("b"));
        }
        assert_eq!(lost.entries(), Some(vec![]));
        lost.add_private("one more".into(), NOW, &scopes("b"));
        assert_eq!(lost.entries(), None);
    }

    #[test]
    fn every_access_token_that_may_be_valid_is_covered() {
        let a_second = Duration::from_secs(1);
        // A verifier with the longest leeway accepts this token for one second more.
        let last = NOW - (ACCESS_LIFETIME + MAX_LEEWAY - a_second);
        for [now, newest] in
            [[NOW, NOW], [NOW + DAY, NOW], [NOW + 400 * DAY, NOW], [NOW, NOW + DAY]]
        {
            assert!(last > LostScopes::issued_after(now, Some(newest)), "{now:?} {newest:?}");
        }
        // The clock of the operator is behind.
        assert!(last - DAY > LostScopes::issued_after(NOW - DAY, Some(NOW)));
        // The latest token may be older than that, and so may be the operator's time.
        assert!(last > LostScopes::issued_after(NOW, Some(last)));
        assert_eq!(LostScopes::issued_after(NOW, None), UnixTime::EPOCH);
    }

    #[test]
    fn access_tokens_of_the_hour_before_are_not_covered() {
        let an_hour_and_six_minutes = Duration::from_secs(66 * 60);
        for now in [NOW, NOW + DAY] {
            let after = LostScopes::issued_after(now, Some(NOW));
            assert_eq!(after, NOW - an_hour_and_six_minutes, "a token of this second is not read");
        }
    }
}
