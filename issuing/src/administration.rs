//! What operators do to the tokens of others.
//!
//! 1. **The caller is an access token.** The router also requires the scope `tokens:admin`. A private token never gets
//!    here: it can live for a year, and a leaked one must not manage the tokens of others.
//! 2. **The caller is looked up in the store** at the time of the call. So an operator whose token another process
//!    revoked a moment ago does nothing.
//! 3. **Each use is an audit event**, with the subject of the operator as actor. The router records a call that it
//!    rejects, for example with 400 or 404, as [`AuditKind::OperatorRejected`].
//! 4. **A key of a [`KeyDirectory`](crate::KeyDirectory) that can sign is not revoked**: replicas would still sign with
//!    it, and every new token would be rejected at once. Retire it as compromised instead.

use std::{slice, sync::Arc};

use super::{
    ClientInfo, ListQuery, PrivateTokenError, PrivateTokenPage, RevokeAllError, TokenIssuer,
    audit::{AuditKind, AuditLog, AuditPage, AuditQuery},
    private_tokens::done,
    store::Caller,
};
use tower_bearer::{
    Authenticated,
    revocation::{RevocationEntry, RevokeError, StoreError, Verdict},
};

/// What an operator revokes.
pub(super) enum OperatorTarget {
    /// Every token that was issued to this subject before now.
    Subject(String),
    /// Every token of this session.
    Session(String),
    /// Every access and private token that this key signed, by its id or thumbprint.
    Key(String),
}

/// Why an operator's revocation failed.
pub(super) enum OperatorError {
    /// The caller is not a valid access token of this issuer.
    NotAccess,
    /// The issuer has no such key.
    UnknownKey,
    /// The key belongs to a directory, and signs now or may sign later.
    KeyCanSign,
    /// The store was not available.
    Unavailable,
}

impl TokenIssuer {
    /// A handle for the calls of an operator, who must have an access token of this issuer.
    fn operator(&self, access: &Authenticated, client: &ClientInfo) -> Option<(Self, Caller)> {
        let caller = self.caller(access)?;
        let issuer = self.for_client(client).by_operator(Arc::clone(&caller.owner.subject));
        Some((issuer, caller))
    }

    /// A page of the private tokens of a subject, as the subject sees them.
    pub(super) async fn list_for_operator(
        &self,
        access: &Authenticated,
        client: &ClientInfo,
        subject: &str,
        query: &ListQuery,
    ) -> Result<PrivateTokenPage, PrivateTokenError> {
        let (issuer, caller) = self.operator(access, client).ok_or(PrivateTokenError::NotAccess)?;
        let page = issuer.store().list_private_of(&caller, subject, query, issuer.now()).await?;
        let page = done(page)?.ok_or(PrivateTokenError::InvalidPage)?;
        issuer.record(AuditKind::OperatorRead, |event| event.subject = Some(subject.into()));
        Ok(page)
    }

    /// Revokes a private token of any subject. The next request in this process rejects it.
    pub(super) async fn revoke_private_token_for_operator(
        &self,
        access: &Authenticated,
        client: &ClientInfo,
        id: i64,
    ) -> Result<(), PrivateTokenError> {
        let (issuer, caller) = self.operator(access, client).ok_or(PrivateTokenError::NotAccess)?;
        self.to_the_end(async move {
            let revoked = issuer.store().revoke_private_of_any(&caller, id, issuer.now()).await?;
            let (subject, entry) = done(revoked)?.ok_or(PrivateTokenError::NotFound)?;
            issuer.revocation().apply(&entry);
            issuer.record(AuditKind::TokenRevoked, |event| {
                event.subject = Some(subject);
                event.token_id = Some(Arc::clone(entry.thing().id()));
                event.private_token_id = Some(id);
            });
            Ok(())
        })
        .await
    }

    /// Revokes the tokens of a subject, a session or a key. If the store fails, this process may reject them anyway.
    pub(super) async fn revoke_for_operator(
        &self,
        access: &Authenticated,
        client: &ClientInfo,
        target: &OperatorTarget,
    ) -> Result<(), OperatorError> {
        let (issuer, caller) = self.operator(access, client).ok_or(OperatorError::NotAccess)?;
        if issuer.store().look_up(&caller.lookup()).await? != Verdict::NotRevoked {
            return Err(OperatorError::NotAccess);
        }
        match target {
            OperatorTarget::Subject(subject) => Ok(issuer.revoke_subject(subject).await?),
            OperatorTarget::Session(session) => Ok(issuer.revoke_any_session(session).await?),
            OperatorTarget::Key(key) => {
                if issuer.keys().manager().is_some() && issuer.keys().may_sign(key) {
                    return Err(OperatorError::KeyCanSign);
                }
                Ok(issuer.revoke_key(key).await?)
            }
        }
    }

    /// Records that a call of the operator API was rejected. `private_token_id` is the number in its path.
    pub(super) fn record_rejected_operator(
        &self,
        access: &Authenticated,
        client: &ClientInfo,
        private_token_id: Option<i64>,
    ) {
        if let Some((issuer, _)) = self.operator(access, client) {
            issuer.record(AuditKind::OperatorRejected, |event| {
                event.private_token_id = private_token_id;
            });
        }
    }

    /// A page of an audit log. That an operator has read it is an event, too.
    pub(super) async fn audit_for_operator(
        &self,
        access: &Authenticated,
        client: &ClientInfo,
        log: &dyn AuditLog,
        query: &AuditQuery,
    ) -> Result<AuditPage, OperatorError> {
        let (issuer, caller) = self.operator(access, client).ok_or(OperatorError::NotAccess)?;
        if issuer.store().look_up(&caller.lookup()).await? != Verdict::NotRevoked {
            return Err(OperatorError::NotAccess);
        }
        let page = log.list(query).await?;
        issuer.record(AuditKind::OperatorRead, |event| event.subject.clone_from(&query.subject));
        Ok(page)
    }

    async fn revoke_any_session(&self, session_id: &str) -> Result<(), StoreError> {
        // A private token has a session, too, and lives longer than others.
        let ends_by = self.keep_cut_off_until(self.now());
        let entry = RevocationEntry::new(self.session(session_id), ends_by);
        self.revocation().apply(&entry);
        let issuer = self.clone();
        self.to_the_end(async move {
            issuer.store().deny(slice::from_ref(&entry)).await?;
            let (name, id) = (entry.thing().issuer(), entry.thing().id());
            // The session is revoked, so the event is recorded even if the subject cannot be found.
            let subject = issuer.store().subject_of_session(name, id).await.ok().flatten();
            issuer.record(AuditKind::SessionRevoked, |event| {
                event.subject = subject;
                event.session_id = Some(Arc::clone(id));
            });
            Ok(())
        })
        .await
    }
}

impl From<StoreError> for OperatorError {
    fn from(_: StoreError) -> Self {
        Self::Unavailable
    }
}

impl From<RevokeAllError> for OperatorError {
    fn from(error: RevokeAllError) -> Self {
        match error {
            RevokeAllError::NotAccess => Self::NotAccess,
            RevokeAllError::Unavailable(_) => Self::Unavailable,
        }
    }
}

impl From<RevokeError> for OperatorError {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::UnknownKey { .. } => Self::UnknownKey,
            _ => Self::Unavailable,
        }
    }
}
