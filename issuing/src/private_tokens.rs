//! Private tokens: create, list, rotate, revoke.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    ListQuery, PrivateToken, PrivateTokenError, PrivateTokenPage, TokenIssuer,
    audit::AuditKind,
    claims::{ACCESS_TYP, ClaimsText, Purpose, private_id, random_id},
    issuer::{MayHaveRevoked, no_signature},
    managing::Manager,
    scopes::ScopeSet,
    store::{Called, Insertion, NewPrivateToken, Owner, PrivateRotation, RotatedPrivateToken},
};
use tower_bearer::{Authenticated, UnixTime};

/// The maximum length of a name, in characters.
const MAX_NAME: usize = 255;

/// A private token that was just created. This is the only time at which it can be seen.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CreatedPrivateToken {
    /// The data that its owner can see from now on.
    pub token: PrivateToken,
    /// The token itself.
    pub data: String,
}

impl fmt::Debug for CreatedPrivateToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreatedPrivateToken").field("token", &self.token).finish_non_exhaustive()
    }
}

impl TokenIssuer {
    /// Creates a private token that expires at `expires_at`. White space around the name is removed. The token has all
    /// scopes of its owner, except the [reserved](super::scopes::RESERVED) ones. It is bound to a key if this handle
    /// has [one](Self::with_proof).
    ///
    /// # Errors
    /// See [`PrivateTokenError`]. No token is kept then.
    pub async fn create_private_token<C>(
        &self,
        access: &Authenticated<C>,
        name: &str,
        expires_at: UnixTime,
    ) -> Result<CreatedPrivateToken, PrivateTokenError> {
        self.create(access, name, expires_at, None).await
    }

    /// Like [`create_private_token`](Self::create_private_token), with these scopes. The owner must have them now.
    ///
    /// # Errors
    /// See [`PrivateTokenError`]. No token is kept then.
    pub async fn create_private_token_with_scopes<C>(
        &self,
        access: &Authenticated<C>,
        name: &str,
        expires_at: UnixTime,
        scopes: &ScopeSet,
    ) -> Result<CreatedPrivateToken, PrivateTokenError> {
        self.create(access, name, expires_at, Some(scopes)).await
    }

    async fn create<C>(
        &self,
        access: &Authenticated<C>,
        name: &str,
        expires_at: UnixTime,
        scopes: Option<&ScopeSet>,
    ) -> Result<CreatedPrivateToken, PrivateTokenError> {
        let manager = self.manager(access).await?;
        let name = checked_name(name)?;
        self.check_expiry(expires_at)?;
        manager.check_expiry(expires_at)?;
        let scopes = self.scopes_for_new(&manager, scopes).await?;
        let (caller, key) = (manager.caller, self.signer()?);
        self.use_proof(&caller.owner.subject).await.map_err(PrivateTokenError::InvalidProof)?;
        let bound_to = self.client_key();
        let mut date = self.date();
        loop {
            let new = self.new_private(
                &caller.owner,
                name,
                [date.iat, expires_at],
                &scopes,
                bound_to.clone(),
            )?;
            match done(self.store().create_private(&caller, &new.record).await?)? {
                Insertion::Done(token) => {
                    self.record(AuditKind::TokenCreated, |event| {
                        event.subject = Some(Arc::clone(&caller.owner.subject));
                        event.token_id = Some(Arc::clone(&new.record.token_id));
                        event.private_token_id = Some(token.id);
                    });
                    let data = new.claims.sign(&key, ACCESS_TYP).map_err(no_signature)?;
                    return Ok(CreatedPrivateToken { token, data });
                }
                Insertion::CutOff(cut_off) => date.go_behind(cut_off, self)?,
                Insertion::QuotaReached => return Err(self.too_many()),
            }
        }
    }

    /// A page of the caller's private tokens. Tokens that were revoked or ended by a rotation are left out.
    ///
    /// # Errors
    /// [`PrivateTokenError::InvalidPage`] if the page does not exist. The first page always exists.
    pub async fn list_private_tokens<C>(
        &self,
        access: &Authenticated<C>,
        query: &ListQuery,
    ) -> Result<PrivateTokenPage, PrivateTokenError> {
        let caller = self.manager(access).await?.caller;
        let page = self.store().list_private(&caller, query, self.now()).await?;
        done(page)?.ok_or(PrivateTokenError::InvalidPage)
    }

    /// Creates a new private token with the same name, bound to the same key if the old one is bound, and with the
    /// scopes of the old one that the owner still has. The old token ends at once, or after `overlap`. The overlap is
    /// at most the operator's maximum (one day by default), and the old token never outlives its own expiry. During the
    /// overlap the list still shows the old token, with its original expiry.
    ///
    /// If the old token ends at once, the next request in this process rejects it. If it ends later, each process that
    /// knows of the rotation rejects it from that second on, by its own clock. A process learns of the rotation from
    /// the store or by a push, within the staleness bound. So an overlap shorter than the bound can last longer in
    /// other processes.
    ///
    /// # Errors
    /// See [`PrivateTokenError`]. The old token is then unchanged, with one exception: after
    /// [`PrivateTokenError::Unavailable`] the token may have been rotated. It is harmless to rotate it again.
    pub async fn rotate_private_token<C>(
        &self,
        access: &Authenticated<C>,
        id: i64,
        expires_at: UnixTime,
        overlap: Duration,
    ) -> Result<CreatedPrivateToken, PrivateTokenError> {
        let manager = self.manager(access).await?;
        self.check_expiry(expires_at)?;
        manager.check_expiry(expires_at)?;
        let overlap = overlap.min(self.max_overlap());
        let issuer = self.clone();
        self.to_the_end(async move { issuer.rotate(&manager, id, expires_at, overlap).await }).await
    }

    async fn rotate(
        &self,
        manager: &Manager,
        id: i64,
        exp: UnixTime,
        overlap: Duration,
    ) -> Result<CreatedPrivateToken, PrivateTokenError> {
        let caller = &manager.caller;
        // The scopes and the key of a token never change, so they may be read before the step.
        let old = done(self.store().find_private(caller, id, self.now()).await?)?;
        let old = old.ok_or(PrivateTokenError::NotFound)?;
        let scopes = self.scopes_after_rotation(manager, &old.scopes).await?;
        let key = self.signer()?;
        let mut date = self.date();
        loop {
            let now = self.now();
            let bound_to = old.key_thumbprint.clone();
            let new = self.new_private(&caller.owner, "", [date.iat, exp], &scopes, bound_to)?;
            let dies_at = now + overlap;
            let rotation = RotatedPrivateToken::new(id, new.record, dies_at, now);
            match done(self.store().rotate_private(caller, &rotation).await?)? {
                PrivateRotation::NotFound => return Err(PrivateTokenError::NotFound),
                PrivateRotation::CutOff(cut_off) => date.go_behind(cut_off, self)?,
                PrivateRotation::QuotaReached => return Err(self.too_many()),
                PrivateRotation::Rotated { new: token, old } => {
                    self.revocation().apply(&old);
                    self.record(AuditKind::TokenRotated, |event| {
                        event.subject = Some(Arc::clone(&caller.owner.subject));
                        event.token_id = Some(Arc::clone(old.thing().id()));
                        event.private_token_id = Some(id);
                        event.new_private_token_id = Some(token.id);
                    });
                    let data = new.claims.sign(&key, ACCESS_TYP).map_err(no_signature)?;
                    return Ok(CreatedPrivateToken { token, data });
                }
            }
        }
    }

    /// Revokes a private token. The next request in this process rejects it.
    ///
    /// # Errors
    /// [`PrivateTokenError::NotFound`] for another subject's token, and for a token that was revoked before.
    pub async fn revoke_private_token<C>(
        &self,
        access: &Authenticated<C>,
        id: i64,
    ) -> Result<(), PrivateTokenError> {
        let caller = self.manager(access).await?.caller;
        let issuer = self.clone();
        self.to_the_end(async move {
            let denial = issuer.store().revoke_private(&caller, id, issuer.now()).await?;
            let denial = done(denial)?.ok_or(PrivateTokenError::NotFound)?;
            issuer.revocation().apply(&denial);
            issuer.record(AuditKind::TokenRevoked, |event| {
                event.subject = Some(Arc::clone(&caller.owner.subject));
                event.token_id = Some(Arc::clone(denial.thing().id()));
                event.private_token_id = Some(id);
            });
            Ok(())
        })
        .await
    }

    pub(super) fn check_expiry(&self, expires_at: UnixTime) -> Result<(), PrivateTokenError> {
        let (now, maximum) = (self.now(), self.max_private_lifetime());
        if expires_at <= now {
            return Err(PrivateTokenError::ExpiryPast);
        }
        if expires_at.saturating_duration_since(now).as_secs() > maximum.as_secs() {
            return Err(PrivateTokenError::ExpiryTooFar { maximum });
        }
        Ok(())
    }

    fn too_many(&self) -> PrivateTokenError {
        PrivateTokenError::TooMany { maximum: self.max_private_tokens() }
    }

    fn new_private(
        &self,
        owner: &Owner,
        name: &str,
        [iat, exp]: [UnixTime; 2],
        scopes: &ScopeSet,
        key: Option<Arc<str>>,
    ) -> Result<Private, PrivateTokenError> {
        // If there is a cut-off of the current second, the token is dated a second later.
        if exp <= iat {
            return Err(PrivateTokenError::ExpiryPast);
        }
        let (jti, sid) = (private_id().map_err(no_signature)?, random_id().map_err(no_signature)?);
        let purpose = Purpose::Private { scopes };
        let claims = self.claims(purpose, owner, [&jti, &sid], [iat, exp], key.as_deref())?;
        let hash = claims.hash();
        let record = NewPrivateToken::new(owner.clone(), jti, sid, name, [iat, exp], hash)
            .with_scopes(scopes.clone())
            .with_key_thumbprint(key)
            .with_quota(self.max_private_tokens().into());
        Ok(Private { claims, record })
    }
}

/// A private token that is not signed yet.
struct Private {
    claims: ClaimsText,
    record: NewPrivateToken,
}

/// The outcome of a step. [`PrivateTokenError::NotAccess`] if the caller's access token was revoked in the meantime.
pub(super) fn done<T>(called: Called<T>) -> Result<T, PrivateTokenError> {
    called.done().ok_or(PrivateTokenError::NotAccess)
}

pub(super) fn checked_name(name: &str) -> Result<&str, PrivateTokenError> {
    let name = name.trim();
    if name.is_empty() {
        return Err(PrivateTokenError::BlankName);
    }
    if name.contains('\0') {
        return Err(PrivateTokenError::NulInName);
    }
    // Counts only as many characters as needed.
    if name.chars().nth(MAX_NAME).is_some() {
        return Err(PrivateTokenError::NameTooLong);
    }
    Ok(name)
}

impl MayHaveRevoked for PrivateTokenError {
    fn may_have_revoked(&self) -> bool {
        matches!(self, Self::Unavailable(error) if error.may_have_revoked())
    }
}
