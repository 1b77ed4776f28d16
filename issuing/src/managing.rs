//! Which tokens may manage private tokens, and what they may give to them.

use super::{
    PrivateTokenError, TokenIssuer,
    claims::TokenType,
    scopes::{PRIVATE_TOKENS, RESERVED, ScopeSet},
    store::Caller,
};
use tower_bearer::{Authenticated, UnixTime};

/// Who manages private tokens.
pub(super) struct Manager {
    pub(super) caller: Caller,
    /// `None` for an access token.
    limits: Option<Limits>,
}

/// What a private token can give at most: its own scopes, until its own expiry.
struct Limits {
    scopes: ScopeSet,
    expires_at: UnixTime,
}

impl Manager {
    /// Whether the expiry is not later than that of the private token that makes the call.
    pub(super) fn check_expiry(&self, expires_at: UnixTime) -> Result<(), PrivateTokenError> {
        match &self.limits {
            Some(limits) if expires_at > limits.expires_at => {
                Err(PrivateTokenError::ExpiryAfterCaller)
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller could give all these scopes, if the owner has them.
    pub(super) fn covers(&self, scopes: &ScopeSet) -> bool {
        self.limits.as_ref().is_none_or(|limits| scopes.is_subset(&limits.scopes))
    }
}

impl TokenIssuer {
    /// The caller of a call about private tokens: an access token, or a private token with the scope `private_tokens`,
    /// if the operator allows that and the owner still has the scope.
    ///
    /// # Errors
    /// [`PrivateTokenError::NotAccess`] for any other token.
    pub(super) async fn manager<C>(
        &self,
        token: &Authenticated<C>,
    ) -> Result<Manager, PrivateTokenError> {
        if let Some(caller) = self.caller(token) {
            return Ok(Manager { caller, limits: None });
        }
        let (caller, limits) = self.private_manager(token).ok_or(PrivateTokenError::NotAccess)?;
        let owner = self.active_account(&caller.owner.subject).await?;
        if !owner.is_some_and(|owner| owner.scopes.contains(PRIVATE_TOKENS)) {
            return Err(PrivateTokenError::NotAccess);
        }
        Ok(Manager { caller, limits: Some(limits) })
    }

    fn private_manager<C>(&self, token: &Authenticated<C>) -> Option<(Caller, Limits)> {
        if !self.allows_private_token_management() {
            return None;
        }
        let caller = self.caller_of_type(TokenType::Private, token)?;
        let scopes = ScopeSet::new(token.scopes().iter()).ok()?;
        let expires_at = token.registered().expires_at();
        scopes.contains(PRIVATE_TOKENS).then_some((caller, Limits { scopes, expires_at }))
    }

    /// The scopes of a new private token: those that were asked for, or else all that may be given without being asked
    /// for.
    pub(super) async fn scopes_for_new(
        &self,
        manager: &Manager,
        requested: Option<&ScopeSet>,
    ) -> Result<ScopeSet, PrivateTokenError> {
        let available = self.available_scopes(manager).await?;
        match requested {
            None => Ok(available.only(|scope| !RESERVED.contains(&scope))),
            Some(requested) if requested.is_subset(&available) => Ok(requested.clone()),
            Some(_) => Err(PrivateTokenError::ScopeNotAvailable),
        }
    }

    /// The scopes after a rotation: those that the token has and that may be given now.
    pub(super) async fn scopes_after_rotation(
        &self,
        manager: &Manager,
        old: &ScopeSet,
    ) -> Result<ScopeSet, PrivateTokenError> {
        // Less would be no escalation either. But a program would lose scopes, and nobody would have asked for that.
        if !manager.covers(old) {
            return Err(PrivateTokenError::MoreScopesThanCaller);
        }
        Ok(old.intersection(&self.available_scopes(manager).await?))
    }

    /// What the owner has now, and the caller may give.
    ///
    /// The account is read before the step of the store. If the owner loses a scope in between, the caller is revoked
    /// with it, and the store takes no step for a revoked caller.
    async fn available_scopes(&self, manager: &Manager) -> Result<ScopeSet, PrivateTokenError> {
        let owner = self.active_account(&manager.caller.owner.subject).await?;
        let scopes = owner.ok_or(PrivateTokenError::NotAccess)?.scopes;
        let is_allowed =
            |scope: &str| scope != PRIVATE_TOKENS || self.allows_private_token_management();
        Ok(match &manager.limits {
            None => scopes.only(is_allowed),
            Some(limits) => scopes.intersection(&limits.scopes).only(is_allowed),
        })
    }
}
