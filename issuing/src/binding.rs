//! Binds tokens to the key of a client (DPoP, RFC 9449 sections 4 to 6).
//!
//! 1. **A log-in with a proof binds its session.** The refresh token and the access token have `cnf.jkt`, and the store
//!    keeps the thumbprint with the session.
//! 2. **A session keeps its key.** A refresh needs a proof by the same key. A session without a key stays without one,
//!    so neither a missing proof nor a proof by another key changes a session.
//! 3. **A private token keeps its key**, also if it is rotated. The rotation needs no proof: its result is useless
//!    without the key.
//! 4. **A proof is used up after the caller is authenticated**, and before the store is asked. So strangers do not fill
//!    the memory of used proofs, and a replayed proof does not use up a refresh token.

use std::sync::Arc;

use super::TokenIssuer;
use tower_bearer::{Authenticated, Rejection, RejectionKind, dpop::TokenRequestProof};

/// The key of the client that makes the calls of a handle.
#[derive(Clone, Default)]
pub(super) enum ClientKey {
    /// Tokens are not bound.
    #[default]
    None,
    Proof(TokenRequestProof),
    /// The layer has checked the proof, and has used it up.
    OfCaller(Arc<str>),
}

impl TokenIssuer {
    /// A handle for one call of a client that has sent this proof. [`log_in`](Self::log_in) and
    /// [`create_private_token`](Self::create_private_token) bind the tokens to the key of the proof, and
    /// [`refresh`](Self::refresh) accepts a refresh token that is bound to this key. The call uses the proof up. It has
    /// no effect on other calls.
    ///
    /// ```
    /// # use tower_bearer::{Rejection, dpop::Dpop};
    /// # use tower_bearer_issuing::{ClientInfo, Credentials, Login, LoginError, TokenIssuer};
    /// # async fn log_in(issuer: &TokenIssuer, dpop: &Dpop, request: &http::request::Parts, credentials: &Credentials)
    /// # -> Result<Login, Box<dyn std::error::Error>> {
    /// # let now = tower_bearer::UnixTime::EPOCH;
    /// let issuer = match dpop.check_token_request(request, now)? {
    ///     Some(proof) => issuer.with_proof(proof),
    ///     None => issuer.clone(),
    /// };
    /// let login = issuer.log_in(credentials, &ClientInfo::new()).await?;
    /// # Ok(login) }
    /// ```
    #[must_use]
    pub fn with_proof(&self, proof: TokenRequestProof) -> Self {
        Self(Arc::clone(&self.0), self.1.clone(), ClientKey::Proof(proof))
    }

    /// A handle that binds new private tokens to the key that this token is bound to. Its request has proved the key.
    /// If the token is not bound, new tokens are not bound.
    #[must_use]
    pub fn with_key_of<C>(&self, caller: &Authenticated<C>) -> Self {
        let key = caller.proof_key().map_or(ClientKey::None, |key| ClientKey::OfCaller(key.into()));
        Self(Arc::clone(&self.0), self.1.clone(), key)
    }

    /// The thumbprint of the key that new tokens are bound to.
    pub(super) fn client_key(&self) -> Option<Arc<str>> {
        match &self.2 {
            ClientKey::None => None,
            ClientKey::Proof(proof) => Some(proof.thumbprint().into()),
            ClientKey::OfCaller(thumbprint) => Some(Arc::clone(thumbprint)),
        }
    }

    /// Checks that the client has the key of its session, and no other one.
    pub(super) fn check_key(&self, of_session: Option<&str>) -> Result<(), Rejection> {
        match (of_session, self.client_key()) {
            (Some(_), None) => Err(RejectionKind::MissingProof.into()),
            (of_session, key) if of_session == key.as_deref() => Ok(()),
            _ => Err(other_key()),
        }
    }

    /// Uses the proof up, for tokens of this subject.
    pub(super) async fn use_proof(&self, subject: &str) -> Result<(), Rejection> {
        match &self.2 {
            ClientKey::Proof(proof) => {
                proof.record((self.name(), subject), Arc::clone(self.clock())).await
            }
            ClientKey::None | ClientKey::OfCaller(_) => Ok(()),
        }
    }
}

/// The proof is by another key than that of the session.
pub(super) fn other_key() -> Rejection {
    RejectionKind::UnverifiedConfirmation.into()
}
