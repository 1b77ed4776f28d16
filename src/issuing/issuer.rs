//! The issuer of a service's own tokens.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    CreatedPrivateToken, Credentials, ListQuery, LogOutError, Login, LoginError, PrivateTokenError,
    PrivateTokenPage, RefreshError, RevokeAllError, TokenPair,
};
use crate::{
    Authenticated, Authenticator, BearerLayer, Issuer, RevocationCache, claims::UntypedClaims,
    revocation::StoreError,
};

/// Issues, renews, lists and revokes the tokens of a service, and says how they are verified. Clones share everything.
#[derive(Clone)]
pub struct TokenIssuer(Arc<()>);

impl TokenIssuer {
    /// Logs somebody in.
    pub async fn log_in(
        &self,
        credentials: &Credentials,
        peer: Option<IpAddr>,
    ) -> Result<Login, LoginError> {
        unimplemented!()
    }
    /// New tokens for a refresh token, which is used up.
    pub async fn refresh(&self, refresh_token: &str) -> Result<TokenPair, RefreshError> {
        unimplemented!()
    }
    /// Revokes the session of the access token and that of the refresh token.
    pub async fn log_out<C>(
        &self,
        access: &Authenticated<C>,
        refresh_token: &str,
    ) -> Result<(), LogOutError> {
        unimplemented!()
    }
    /// Makes a private token that expires at the Unix second `expires_at`.
    pub async fn create_private_token<C>(
        &self,
        access: &Authenticated<C>,
        name: &str,
        expires_at: u64,
    ) -> Result<CreatedPrivateToken, PrivateTokenError> {
        unimplemented!()
    }
    /// A page of the caller's private tokens.
    pub async fn list_private_tokens<C>(
        &self,
        access: &Authenticated<C>,
        query: &ListQuery,
    ) -> Result<PrivateTokenPage, PrivateTokenError> {
        unimplemented!()
    }
    /// Puts a new token in the place of a private token, which dies after `overlap`.
    pub async fn rotate_private_token<C>(
        &self,
        access: &Authenticated<C>,
        id: i64,
        expires_at: u64,
        overlap: Duration,
    ) -> Result<CreatedPrivateToken, PrivateTokenError> {
        unimplemented!()
    }
    /// Revokes a private token.
    pub async fn revoke_private_token<C>(
        &self,
        access: &Authenticated<C>,
        id: i64,
    ) -> Result<(), PrivateTokenError> {
        unimplemented!()
    }
    /// Revokes all that the caller was issued before now.
    pub async fn revoke_all<C>(&self, access: &Authenticated<C>) -> Result<(), RevokeAllError> {
        unimplemented!()
    }
    /// Revokes all that a subject was issued before now: for administrators, password changes, leavers.
    pub async fn revoke_subject(&self, subject: &str) -> Result<(), StoreError> {
        unimplemented!()
    }
    /// The public keys, as a JSON Web Key Set.
    pub fn jwks_json(&self) -> String {
        unimplemented!()
    }
    /// What a verifier demands of access and private tokens.
    pub fn policy(&self) -> Issuer {
        unimplemented!()
    }
    /// The cache that the authenticators of this issuer ask.
    pub fn revocation(&self) -> &RevocationCache {
        unimplemented!()
    }
    /// Accepts access and private tokens.
    pub fn authenticator(&self) -> Authenticator<UntypedClaims> {
        unimplemented!()
    }
    /// A layer that lets access and private tokens through.
    pub fn layer(&self) -> BearerLayer<UntypedClaims> {
        unimplemented!()
    }
    /// A layer that lets access tokens through, and no private ones.
    pub fn access_layer(&self) -> BearerLayer<UntypedClaims> {
        unimplemented!()
    }
    /// Sweeps the store and writes down when private tokens were used, for as long as it is polled.
    pub async fn run_maintenance(&self) {
        unimplemented!()
    }
}
