//! The list of a subject's sessions.

use std::sync::Arc;

use super::{
    SessionError, SessionPage, SessionQuery, TokenIssuer, audit::AuditKind, issuer::MayHaveRevoked,
};
use tower_bearer::Authenticated;

impl TokenIssuer {
    /// A page of the caller's sessions. Sessions that were revoked or have expired are left out.
    ///
    /// # Errors
    /// [`SessionError::InvalidPage`] if the page does not exist. The first page always exists.
    pub async fn list_sessions<C>(
        &self,
        access: &Authenticated<C>,
        query: &SessionQuery,
    ) -> Result<SessionPage, SessionError> {
        let caller = self.caller(access).ok_or(SessionError::NotAccess)?;
        let page = self.store().list_sessions(&caller, query, self.now()).await?;
        page.done().ok_or(SessionError::NotAccess)?.ok_or(SessionError::InvalidPage)
    }

    /// Revokes a session of the caller by its number, also the caller's own: its refresh tokens and its access tokens.
    /// The next request in this process rejects them.
    ///
    /// # Errors
    /// [`SessionError::NotFound`] for another subject's session, and for a session that has ended.
    pub async fn revoke_session<C>(
        &self,
        access: &Authenticated<C>,
        id: i64,
    ) -> Result<(), SessionError> {
        let caller = self.caller(access).ok_or(SessionError::NotAccess)?;
        let issuer = self.clone();
        self.to_the_end(async move {
            let now = issuer.now();
            let ends_by = issuer.session_ends_by(now);
            let revoked = issuer.store().revoke_session(&caller, id, now, ends_by).await?;
            let entry = revoked.done().ok_or(SessionError::NotAccess)?;
            let entry = entry.ok_or(SessionError::NotFound)?;
            issuer.revocation().apply(&entry);
            issuer.record(AuditKind::SessionRevoked, |event| {
                event.subject = Some(Arc::clone(&caller.owner.subject));
                event.session_id = Some(Arc::clone(entry.thing().id()));
            });
            Ok(())
        })
        .await
    }
}

impl MayHaveRevoked for SessionError {
    fn may_have_revoked(&self) -> bool {
        matches!(self, Self::Unavailable(error) if error.may_have_revoked())
    }
}
