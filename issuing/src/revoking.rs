//! Revoking all of a subject's tokens, and what issuing owes to cut-offs.

use std::{sync::Arc, time::Duration};

use super::{RevokeAllError, TokenIssuer, issuer::MayHaveRevoked, store::Owner};
use tower_bearer::{
    Authenticated, UnixTime,
    claims::DEFAULT_LEEWAY,
    revocation::{Revocable, RevocationEntry, RevokeError, StoreError},
};

/// How often a token is dated anew behind cut-offs that move.
const TRIES: usize = 4;

impl TokenIssuer {
    /// Revokes everything that the caller was issued before now: sessions and private tokens. The next request in this
    /// process sees it.
    ///
    /// An access token that another process has revoked less than the bound ago still does this, and
    /// [`log_out`](Self::log_out): both end tokens and give none.
    ///
    /// # Errors
    /// As [`RevokeAllError`] says. Where the store fails, the tokens are refused in this process all the same.
    pub async fn revoke_all<C>(&self, access: &Authenticated<C>) -> Result<(), RevokeAllError> {
        let caller = self.caller(access).ok_or(RevokeAllError::NotAccess)?;
        // A token that was issued right behind a cut-off is dated in the future, and is of before now.
        let cut_off = self.now().max(caller.issued_at);
        self.revoke_owner(caller.owner, cut_off).await
    }

    /// Revokes everything that a subject was issued before now: for administrators, changed passwords, people who
    /// leave. Whoever still has an active account can log in again.
    ///
    /// # Errors
    /// When the store fails: [`RevokeAllError::Unavailable`]. The tokens are refused in this process all the same.
    pub async fn revoke_subject(&self, subject: &str) -> Result<(), RevokeAllError> {
        self.revoke_owner(self.owner(subject), self.now()).await
    }

    /// Revokes every access and private token that one of the issuer's keys signed, by the key's id or thumbprint: for
    /// a stolen key. [Rotate](Self::rotate_key) first: the key that signs now can be revoked too, and then new tokens
    /// are rejected at once.
    ///
    /// Refresh tokens are not affected: the store knows each of them by its hash, so nobody can forge one.
    ///
    /// # Errors
    /// [`RevokeError::UnknownKey`] lists the ids and thumbprints of the keys that sign, are announced, or are retired.
    /// [`RevokeError::Unavailable`] when the store fails: the tokens are rejected in this process all the same.
    pub async fn revoke_key(&self, key: &str) -> Result<(), RevokeError> {
        self.authenticator().revoke_key(self.name(), key).await
    }

    async fn revoke_owner(&self, owner: Owner, cut_off: UnixTime) -> Result<(), RevokeAllError> {
        let ends_by = self.keep_cut_off_until(cut_off);
        self.revocation().apply(&of_subject(&owner, ends_by, cut_off));
        let issuer = self.clone();
        self.to_the_end(async move {
            let later = issuer.store().revoke_owner(&owner, cut_off, ends_by).await?;
            issuer.revocation().apply(&of_subject(&owner, ends_by, later));
            Ok(())
        })
        .await
    }

    /// The date of something that is issued now.
    pub(super) fn date(&self) -> Date {
        Date { iat: self.now(), tries: 1 }
    }
}

/// `iat` of something that is being issued: now, or right behind the cut-off that the store has named.
pub(super) struct Date {
    pub(super) iat: UnixTime,
    tries: usize,
}

impl Date {
    /// Goes behind a cut-off.
    ///
    /// One that lies further in the future than verifiers allow clocks to differ is somebody's decision that this
    /// subject gets no tokens until then.
    pub(super) fn go_behind(
        &mut self,
        cut_off: UnixTime,
        issuer: &TokenIssuer,
    ) -> Result<(), StoreError> {
        let now = issuer.now();
        self.tries += 1;
        self.iat = now.max(cut_off + Duration::from_secs(1));
        if self.tries > TRIES || self.iat > now + DEFAULT_LEEWAY {
            return Err(StoreError::new("the subject's cut-off lies in the future"));
        }
        Ok(())
    }
}

pub(super) fn subject(owner: &Owner) -> Revocable {
    Revocable::subject(Arc::clone(&owner.issuer), Arc::clone(&owner.subject))
}

fn of_subject(owner: &Owner, tokens_expire_by: UnixTime, cut_off: UnixTime) -> RevocationEntry {
    RevocationEntry::new(subject(owner), tokens_expire_by).with_cut_off(cut_off)
}

impl MayHaveRevoked for RevokeAllError {
    fn may_have_revoked(&self) -> bool {
        matches!(self, Self::Unavailable(error) if error.may_have_revoked())
    }
}
