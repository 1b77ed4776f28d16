//! Revokes all tokens of a subject, and dates new tokens later than cut-offs.

use std::{sync::Arc, time::Duration};

use super::{
    RevokeAllError, TokenIssuer,
    audit::{AuditEvent, AuditKind},
    issuer::MayHaveRevoked,
    store::Owner,
};
use tower_bearer::{
    Authenticated, UnixTime,
    claims::DEFAULT_LEEWAY,
    revocation::{Revocable, RevocationEntry, RevokeError, StoreError},
};

/// How many dates are tried for a token if the cut-off moves meanwhile.
const TRIES: usize = 4;

impl TokenIssuer {
    /// Revokes everything that was issued to the caller before now: sessions and private tokens. The next request in
    /// this process sees it.
    ///
    /// If another process revoked the access token less than the staleness bound ago, the token can still make this
    /// call and [`log_out`](Self::log_out). Both only end tokens and give none.
    ///
    /// # Errors
    /// See [`RevokeAllError`]. If the store fails, this process rejects the tokens anyway.
    pub async fn revoke_all<C>(&self, access: &Authenticated<C>) -> Result<(), RevokeAllError> {
        let caller = self.caller(access).ok_or(RevokeAllError::NotAccess)?;
        // A token that was issued right after a cut-off has a date in the future. It counts as issued before now.
        let cut_off = self.now().max(caller.issued_at);
        self.revoke_owner(caller.owner, cut_off).await
    }

    /// Revokes everything that was issued to a subject before now. Call it for a changed password, for a person who
    /// leaves, or from an administrator's tool. If the account is still active, its owner can log in again.
    ///
    /// # Errors
    /// [`RevokeAllError::Unavailable`] if the store fails. This process rejects the tokens anyway.
    pub async fn revoke_subject(&self, subject: &str) -> Result<(), RevokeAllError> {
        self.revoke_owner(self.owner(subject), self.now()).await
    }

    /// Revokes everything that was issued to a subject before now, and deletes what the store knows of the subject:
    /// sessions with their user agents, refresh tokens, private tokens, known devices and audit events. Call it if you
    /// delete an account that this crate does not keep. Delete the account first, so that a log-in is not possible any
    /// more. Never give its subject to another account.
    ///
    /// Revocation entries stay until the tokens have expired. The audit log keeps the event that the account was
    /// deleted as long as other events; a store that is the audit sink keeps it in the same step. A log-in that is in
    /// progress meanwhile fails, but it can leave a row of a session, which is deleted after its expiry.
    ///
    /// # Errors
    /// [`RevokeAllError::Unavailable`] if the store fails. This process rejects the tokens anyway.
    pub async fn delete_personal_data(&self, subject: &str) -> Result<(), RevokeAllError> {
        let (owner, now) = (self.owner(subject), self.now());
        let ends_by = self.keep_cut_off_until(now);
        self.revocation().apply(&of_subject(&owner, ends_by, now));
        let issuer = self.clone();
        self.to_the_end(async move {
            let event = issuer.deletion_event(&owner);
            let later =
                issuer.store().delete_personal_data(&owner, now, ends_by, event.as_ref()).await?;
            issuer.revocation().apply(&of_subject(&owner, ends_by, later));
            issuer.record(AuditKind::AccountDeleted, |event| event.subject = Some(owner.subject));
            Ok(())
        })
        .await
    }

    /// Revokes every access and private token that one of the issuer's keys signed, by the key's id or thumbprint. Call
    /// it for a stolen key. [Rotate](Self::rotate_key) first: the current signing key can be revoked too, and then new
    /// tokens are rejected at once. For a key of a [`KeyDirectory`](crate::KeyDirectory), call
    /// [`retire_compromised`](crate::KeyDirectory::retire_compromised), which also ends the signing on all replicas.
    /// The operator API does not revoke a key of a directory that can sign.
    ///
    /// Refresh tokens are not affected. The store knows each of them by its hash, so they cannot be forged.
    ///
    /// # Errors
    /// [`RevokeError::UnknownKey`] lists the ids and thumbprints of the keys that sign, are announced, or are retired.
    /// [`RevokeError::Unavailable`] if the store fails: this process rejects the tokens anyway.
    pub async fn revoke_key(&self, key: &str) -> Result<(), RevokeError> {
        self.authenticator().revoke_key(self.name(), key).await?;
        self.record(AuditKind::KeyRevoked, |event| event.key = Some(key.into()));
        Ok(())
    }

    async fn revoke_owner(&self, owner: Owner, cut_off: UnixTime) -> Result<(), RevokeAllError> {
        let ends_by = self.keep_cut_off_until(cut_off);
        self.revocation().apply(&of_subject(&owner, ends_by, cut_off));
        let issuer = self.clone();
        self.to_the_end(async move {
            let later = issuer.store().revoke_owner(&owner, cut_off, ends_by).await?;
            issuer.revocation().apply(&of_subject(&owner, ends_by, later));
            issuer.record(AuditKind::AllRevoked, |event| event.subject = Some(owner.subject));
            Ok(())
        })
        .await
    }

    /// The event that an account was deleted, for the step that deletes it. `None` without an audit sink.
    pub(super) fn deletion_event(&self, owner: &Owner) -> Option<AuditEvent> {
        self.event_for_store(AuditKind::AccountDeleted, |event| {
            event.subject = Some(Arc::clone(&owner.subject));
        })
    }

    /// The date of a token that is issued now.
    pub(super) fn date(&self) -> Date {
        Date { iat: self.now(), tries: 1 }
    }
}

/// `iat` of a token that is being issued: now, or one second after the cut-off that the store named.
pub(super) struct Date {
    pub(super) iat: UnixTime,
    tries: usize,
}

impl Date {
    /// Moves the date to a second after the cut-off, if that is later than now.
    ///
    /// Fails if the date would be further in the future than the leeway of verifiers. Such a cut-off was set on
    /// purpose: the subject gets no tokens until then. Fails also after too many tries.
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
