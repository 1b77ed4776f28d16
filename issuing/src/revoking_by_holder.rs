//! Revokes a token for whoever presents it (RFC 7009).
//!
//! 1. **Possession is enough.** The caller needs no other credential, because who can present a token can also use it.
//!    A token that is bound to a key needs no proof, either: a leaked token is better revoked.
//! 2. **An access token or a private token is revoked itself**, and a refresh token with its session (RFC 7009 section
//!    2.1): its refresh tokens and its access tokens. A private token is not listed any more.
//! 3. **The caller learns nothing about other strings.** They are not an error, because there is nothing to revoke.
//! 4. **Other strings cost one verification of a signature at the most.** The store is not asked before the signature
//!    is verified. They are limited by address ([`OTHER_STRINGS`]). Valid tokens are never limited.
//! 5. **A replay costs no write**: the things that were revoked here are remembered. A token that was revoked before
//!    counts as another string.
//! 6. **Memory is constant**: a randomly seeded hash assigns each address and each token a place in a table.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    slice,
    sync::Arc,
};

use quick_cache::sync::Cache;
use serde::Deserialize;

use super::{
    ClientInfo, RevokeTokenError, TokenIssuer,
    audit::AuditKind,
    claims::ACCESS_TYP,
    issuer::MayHaveRevoked,
    rate::{ConcurrencyLimits, Counters, Limit, Permit},
    throttle::network_of,
};
use tower_bearer::{
    RejectionKind, UnixTime,
    rejection::Answer,
    revocation::{Revocable, RevocationEntry, StoreError},
};

/// The strings of one address that are not valid tokens. If addresses are not known, all clients share one limit.
const OTHER_STRINGS: Limit = Limit { at_once: 20, interval_ms: 3_000 };

const PLACES: usize = 4096;

/// How many revocations of one token run at once. The others wait and then find it revoked.
const RUNNING: usize = 4;

/// More than a process has connections. A valid token is never turned away.
const WAITING: usize = 1 << 20;

/// How many revoked things are remembered. Beyond that, the least used are forgotten.
const REMEMBERED: usize = 16 * 1024;

pub(super) struct RevocationsByHolders {
    place: RandomState,
    other_strings: Counters,
    running: ConcurrencyLimits,
    /// What the store has revoked.
    done: Cache<Revocable, ()>,
}

impl RevocationsByHolders {
    pub(super) fn new() -> Self {
        Self {
            place: RandomState::new(),
            other_strings: Counters::new(),
            running: ConcurrencyLimits::new(PLACES, RUNNING, WAITING),
            done: Cache::new(REMEMBERED),
        }
    }

    async fn turn(&self, thing: &Revocable) -> Result<Permit, StoreError> {
        let permit = self.running.acquire(self.place.hash_one(thing)).await;
        permit.ok_or_else(|| {
            StoreError::new("too many revocations of one token").with_nothing_written()
        })
    }

    fn is_done(&self, thing: &Revocable) -> bool {
        self.done.get(thing).is_some()
    }
}

/// What the presented string is.
enum Presented {
    /// A valid token.
    Valid(Held),
    /// A token that this process rejects as revoked. The store may not know that, if an earlier call failed.
    Revoked(Held),
    Other,
}

/// A token of this issuer, and what revokes it.
struct Held {
    entry: RevocationEntry,
    subject: Arc<str>,
    session_id: Arc<str>,
    token_id: Arc<str>,
}

impl TokenIssuer {
    /// Revokes a token for its holder (RFC 7009). Possession of the token is enough.
    ///
    /// An access or private token is revoked itself. A refresh token is revoked with its session, also if it was used
    /// before. The next request in this process rejects the tokens. Any other string is not an error: an expired or
    /// revoked token, or a token of another issuer.
    ///
    /// `client` is the client, as far as the service knows it. If its address is not known, all strings that are not
    /// valid tokens share one limit.
    ///
    /// # Errors
    /// [`RevokeTokenError::Throttled`] if the address has presented too many strings that are not valid tokens: 20 at
    /// once, and then one in 3 seconds. Valid tokens are not counted and never rejected.
    /// [`RevokeTokenError::Unavailable`] if the store fails. The token may then be valid.
    pub async fn revoke_token(
        &self,
        token: &str,
        client: &ClientInfo,
    ) -> Result<(), RevokeTokenError> {
        let held = match self.presented(token).await? {
            Presented::Valid(held) => held,
            Presented::Revoked(held) => {
                self.count_other_string(client)?;
                held
            }
            Presented::Other => return self.count_other_string(client),
        };
        let permit = self.by_holders().turn(held.entry.thing()).await?;
        let issuer = self.for_client(client);
        self.to_the_end(async move {
            // The step holds the permit until its end, even if the client hangs up.
            let _permit = permit;
            let Held { entry, subject, session_id, token_id } = held;
            if issuer.by_holders().is_done(entry.thing()) {
                return Ok(());
            }
            issuer.store().deny(slice::from_ref(&entry)).await?;
            // Only now. Otherwise a second attempt after a failure would find a revoked token, and would be counted.
            issuer.revocation().apply(&entry);
            issuer.by_holders().done.insert(entry.thing().clone(), ());
            issuer.record(AuditKind::TokenRevokedByHolder, |event| {
                event.subject = Some(subject);
                event.session_id = Some(session_id);
                event.token_id = Some(token_id);
            });
            Ok(())
        })
        .await
    }

    async fn presented(&self, token: &str) -> Result<Presented, RevokeTokenError> {
        if let Some((refresh, _)) = self.read_refresh(token) {
            let now = self.now();
            if now >= UnixTime::from_secs(refresh.exp) {
                return Ok(Presented::Other);
            }
            let entry = RevocationEntry::new(self.session(&refresh.sid), self.session_ends_by(now));
            let is_done = self.by_holders().is_done(entry.thing());
            let [subject, session_id, token_id] =
                [refresh.sub, refresh.sid, refresh.jti].map(Arc::from);
            let held = Held { entry, subject, session_id, token_id };
            return Ok(if is_done { Presented::Revoked(held) } else { Presented::Valid(held) });
        }
        // A thief of a bound token cannot use it, and may still revoke it: its owner asks for nothing else.
        match self.unproved_authenticator().authenticate(token).await {
            Ok(valid) => {
                let claims = valid.registered();
                let ids = (claims.subject(), claims.session_id(), claims.token_id());
                // The policy requires these claims.
                let (Some(subject), Some(session_id), Some(token_id)) = ids else {
                    return Ok(Presented::Other);
                };
                let ids = [subject, session_id, token_id];
                Ok(Presented::Valid(self.held(ids, claims.expires_at())))
            }
            Err(rejection) if rejection.answer() == Answer::Unavailable => {
                let error = StoreError::new(rejection).with_nothing_written();
                Err(RevokeTokenError::Unavailable(error))
            }
            Err(rejection) if rejection.kind() == RejectionKind::Revoked => {
                Ok(self.read_revoked(token).map_or(Presented::Other, Presented::Revoked))
            }
            Err(_) => Ok(Presented::Other),
        }
    }

    /// Reads an access or private token that the authenticator has found valid except for a revocation.
    fn read_revoked(&self, token: &str) -> Option<Held> {
        #[derive(Deserialize)]
        struct Claims {
            sub: Box<str>,
            sid: Box<str>,
            jti: Box<str>,
            exp: u64,
        }
        let keys = self.keys().handle().snapshot();
        let payload = keys.verify_compact_of_type(ACCESS_TYP, token.as_bytes()).ok()?;
        let Claims { sub, sid, jti, exp } = serde_json::from_slice(&payload).ok()?;
        Some(self.held([&sub, &sid, &jti], UnixTime::from_secs(exp)))
    }

    /// An access or private token. Only the token itself is revoked.
    fn held(&self, ids: [&str; 3], expires_at: UnixTime) -> Held {
        let [subject, session_id, token_id] = ids.map(Arc::<str>::from);
        let thing = Revocable::token(self.name(), Arc::clone(&token_id));
        Held { entry: RevocationEntry::new(thing, expires_at), subject, session_id, token_id }
    }

    fn count_other_string(&self, client: &ClientInfo) -> Result<(), RevokeTokenError> {
        let by_holders = self.by_holders();
        let now = u64::try_from(self.clock().monotonic().as_millis()).unwrap_or(u64::MAX);
        let address = by_holders.place.hash_one(client.address().map(network_of));
        let counted = by_holders.other_strings.of(address).charge(&OTHER_STRINGS, now);
        counted.map_err(|retry_after| RevokeTokenError::Throttled { retry_after })
    }
}

impl MayHaveRevoked for RevokeTokenError {
    fn may_have_revoked(&self) -> bool {
        matches!(self, Self::Unavailable(error) if error.may_have_revoked())
    }
}

impl fmt::Debug for RevocationsByHolders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationsByHolders").finish_non_exhaustive()
    }
}
