//! Verifies the tokens of an issuer in its own service.

use std::{sync::Arc, time::Duration};

use serde::de::DeserializeOwned;

use super::TokenIssuer;
use crate::{
    SigningKeys,
    claims::{ACCESS_TYP, TokenType, binding_of, is_private_id, token_type},
    last_used::LastUsed,
    scopes::PRIVATE_TOKENS,
};
use tower_bearer::{
    Authenticated, Authenticator, AuthenticatorBuilder, CheckError, ConfigError, Issuer, Rejection,
    RejectionKind, RevocationCache, VerifiedToken, claims::Clock,
};

/// In bytes. Few calls use these tokens, so a small cache is enough.
const SMALL_CACHE: u64 = 1024 * 1024;

/// The parts that verify tokens. Signing uses some of them too.
pub(super) struct Verifying {
    pub(super) name: Arc<str>,
    pub(super) audience: Arc<str>,
    pub(super) client_id: Arc<str>,
    /// Built once. Its number distinguishes this issuer's tokens from others.
    pub(super) policy: Issuer,
    pub(super) keys: SigningKeys,
    pub(super) clock: Arc<dyn Clock>,
    /// The longest lifetime of an accepted token.
    pub(super) longest_lifetime: Duration,
    pub(super) last_used: Arc<LastUsed>,
    pub(super) revocation: RevocationCache,
}

/// The requirements on access and private tokens.
pub(super) fn policy(
    name: &Arc<str>,
    audience: &str,
    keys: &SigningKeys,
    longest_lifetime: Duration,
) -> Issuer {
    let issuer = Issuer::new(Arc::clone(name), keys.handle().clone())
        .audience(audience)
        .require_typ(ACCESS_TYP)
        .with_expiry_leeway(Duration::ZERO)
        .with_max_lifetime(longest_lifetime);
    ["jti", "sub", "sid", "iat", "token_type"].into_iter().fold(issuer, Issuer::require_claim)
}

impl Verifying {
    pub(super) fn authenticator_builder<C: DeserializeOwned + Send + Sync + 'static>(
        &self,
    ) -> AuthenticatorBuilder<C> {
        self.builder_with(self.policy.clone())
    }

    fn builder_with<C: DeserializeOwned + Send + Sync + 'static>(
        &self,
        policy: Issuer,
    ) -> AuthenticatorBuilder<C> {
        let (last_used, clock) = (Arc::clone(&self.last_used), Arc::clone(&self.clock));
        Authenticator::builder()
            .claims()
            .issuer(policy)
            .revocation(self.revocation.clone())
            .with_clock(Arc::clone(&self.clock))
            .add_pure_check(|token| match kind_of(token) {
                Some(TokenType::Access | TokenType::Private) => Ok(()),
                Some(TokenType::Refresh) | None => Err(CheckError::Rejected),
            })
            .add_check(move |token: &VerifiedToken<C>| {
                if let Some(id) = token.registered().token_id().filter(|id| is_private_id(id)) {
                    last_used.note(id, clock.now());
                }
                Ok(())
            })
    }

    /// An authenticator that accepts a bound token without its proof. `cnf` must be as this issuer writes it.
    pub(super) fn unproved_authenticator(&self) -> Result<Authenticator, ConfigError> {
        self.builder_with(self.policy.clone().allow_unverified_cnf())
            .add_pure_check(|token: &VerifiedToken| {
                match binding_of(token.registered().as_json()) {
                    Ok(_) => Ok(()),
                    Err(_) => Err(CheckError::Rejected),
                }
            })
            .build()
    }

    /// An authenticator for access tokens, and for private tokens that may manage private tokens.
    pub(super) fn manager_authenticator(&self) -> Result<Authenticator, ConfigError> {
        self.authenticator_builder()
            .with_token_cache_capacity(SMALL_CACHE)
            .add_pure_check(|token: &VerifiedToken| match kind_of(token) {
                Some(TokenType::Access) => Ok(()),
                Some(TokenType::Private)
                    if token.registered().scopes().contains(PRIVATE_TOKENS) =>
                {
                    Ok(())
                }
                _ => Err(CheckError::Rejected),
            })
            .build()
    }

    /// One authenticator for access and private tokens, and one for access tokens only.
    pub(super) fn authenticators(&self) -> Result<[Authenticator; 2], ConfigError> {
        let both = self.authenticator_builder().build()?;
        let access = self
            .authenticator_builder()
            .with_token_cache_capacity(SMALL_CACHE)
            .add_pure_check(|token| match kind_of(token) {
                Some(TokenType::Access) => Ok(()),
                _ => Err(CheckError::Rejected),
            })
            .build()?;
        Ok([both, access])
    }
}

impl TokenIssuer {
    /// Accepts a valid token without its proof. Never let a request pass because of it.
    pub(crate) fn unproved_authenticator(&self) -> &Authenticator {
        &self.0.unproved_authenticator
    }

    /// Checks the caller of the router again, after it has sent its body, with the authenticator that has accepted it.
    pub(crate) async fn recheck(&self, caller: &Authenticated) -> Result<(), Rejection> {
        let mut outcome = self.0.access_authenticator.recheck(caller).await;
        for other in [&self.0.authenticator, self.manager_authenticator()] {
            match outcome {
                Err(rejection) if rejection.kind() == RejectionKind::OtherVerifier => {
                    outcome = other.recheck(caller).await;
                }
                decided => return decided,
            }
        }
        outcome
    }

    /// Accepts the tokens that may manage private tokens.
    pub(crate) fn manager_authenticator(&self) -> &Authenticator {
        self.0.manager_authenticator.as_ref().unwrap_or(&self.0.access_authenticator)
    }

    pub(crate) fn allows_private_token_management(&self) -> bool {
        self.0.settings.allows_private_token_management
    }
}

fn kind_of<C>(token: &VerifiedToken<C>) -> Option<TokenType> {
    token_type(token.registered().as_json())
}
