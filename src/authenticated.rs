//! A token that has passed the checks. Handlers find an [`Authenticated`] in the extensions of the request, or as an
//! argument (`axum`). Your own checks and the revocation lookup get a [`VerifiedToken`].

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

#[cfg(feature = "jwks")]
use crate::status_list::StatusEntry;
use crate::{
    UnixTime,
    claims::{RegisteredClaims, Scopes, UntypedClaims},
    client_certificate::CertificateThumbprint,
    confirmation::Confirmation,
    credential::Scheme,
    json::Span,
    jws::{Algorithm, Key, KeySet},
    revocation::{RevocationMemo, TokenFacts},
};

/// A token that is genuine, unexpired and not revoked, with its claims.
///
/// Only an [`Authenticator`](crate::Authenticator) can make one. The layer puts it into the extensions of the request.
/// Cloning is cheap: it is one `Arc`.
pub struct Authenticated<C = UntypedClaims>(VerifiedToken<C>);

impl<C> Authenticated<C> {
    /// Only the authenticator calls this, after all checks have passed.
    pub(crate) fn new(token: VerifiedToken<C>) -> Self {
        Self(token)
    }

    /// The claims, as your own type.
    #[must_use]
    pub fn claims(&self) -> &C {
        self.0.claims()
    }

    /// The registered claims. They do not depend on the fields of `C`.
    #[must_use]
    pub fn registered(&self) -> &RegisteredClaims {
        self.0.registered()
    }

    /// The scopes, from `scope` and `scp`.
    #[must_use]
    pub fn scopes(&self) -> Scopes<'_> {
        self.0.registered().scopes()
    }

    /// When the token expires by its `exp`, without leeway. Streams and WebSockets end at this time, or check again
    /// with [`Authenticator::recheck`](crate::Authenticator::recheck). `recheck` also checks the maximum age and
    /// revocation.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.0.registered().expires_at()
    }

    /// The algorithm of the signature.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    /// The configured id of the key that verified the token, if the key has one. It is not the `kid` of the token's
    /// header: a key without an id verifies tokens with any `kid`.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.0.key_id()
    }

    /// The [thumbprint](crate::Key::thumbprint) of the key that verified the token. You can
    /// [revoke](crate::revocation::RevocableKind::Key) the key by it.
    #[must_use]
    pub fn key_thumbprint(&self) -> &str {
        self.0.key_thumbprint()
    }

    /// The id that identifies the token for revocation: `jti`, the claim that the policy names, or the SHA-256 of
    /// `header.payload` in hexadecimal.
    #[must_use]
    pub fn revocation_id(&self) -> &str {
        self.0.revocation_id()
    }

    /// The thumbprint of the client certificate that the token is bound to (RFC 8705 section 3). The request that
    /// brought the token had this certificate. `None` if the token is not bound to a certificate, or if the policy
    /// [does not check the binding](crate::Issuer::allow_unverified_cnf).
    ///
    /// ```
    /// # fn layer(layer: tower_bearer::BearerLayer) {
    /// // A route for certificate-bound tokens only.
    /// let bound = layer.require(|user| user.client_certificate().is_some());
    /// # let _ = bound; }
    /// ```
    #[must_use]
    pub fn client_certificate(&self) -> Option<&CertificateThumbprint> {
        self.0.confirmation().and_then(Confirmation::certificate)
    }

    /// The RFC 7638 thumbprint of the key that the token is bound to, in base64url (RFC 9449 section 6). The request
    /// that brought the token had a DPoP proof by this key. `None` if the token is not bound to a key, or if the policy
    /// [does not check the binding](crate::Issuer::allow_unverified_cnf).
    ///
    /// ```
    /// # fn layer(layer: tower_bearer::BearerLayer) {
    /// // A route for tokens that are bound to a key only.
    /// let bound = layer.require(|user| user.proof_key().is_some());
    /// # let _ = bound; }
    /// ```
    #[must_use]
    pub fn proof_key(&self) -> Option<&str> {
        self.0.confirmation().and_then(Confirmation::key)
    }

    /// The scheme that the token came with.
    pub(crate) fn scheme(&self) -> Scheme {
        if self.proof_key().is_some() { Scheme::DPoP } else { Scheme::Bearer }
    }

    pub(crate) fn token(&self) -> &VerifiedToken<C> {
        &self.0
    }
}

impl<C> Clone for Authenticated<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C> fmt::Debug for Authenticated<C> {
    /// Does not show claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated")
            .field("algorithm", &self.algorithm())
            .field("expires_at", &self.registered().expires_at())
            .finish_non_exhaustive()
    }
}

/// A token whose signature is verified and whose claims satisfy the policy. Your own checks get it. It may be revoked,
/// so it does not prove that the request may pass.
pub struct VerifiedToken<C = UntypedClaims>(Arc<Verified<C>>);

/// The results of the verification.
pub(crate) struct Verified<C> {
    pub(crate) claims: C,
    pub(crate) registered: RegisteredClaims,
    pub(crate) revocation_id: RevocationId,
    /// `None`: the token is not bound, or the policy does not check what it is bound to.
    pub(crate) confirmation: Option<Box<Confirmation>>,
    /// The first second at which the token is rejected: by `exp` or maximum age, with the policy's leeway.
    pub(crate) rejected_from: UnixTime,
    /// The number of the verifier.
    pub(crate) verifier: u64,
    /// The number of the issuer's policy.
    pub(crate) policy: u64,
    /// Position of the issuer in its verifier.
    pub(crate) issuer: usize,
    pub(crate) key: Key,
    pub(crate) named_key: NamedKey,
    /// The number of the last key set that was known to contain the key.
    pub(crate) key_set: AtomicU64,
    pub(crate) revocation: RevocationMemo,
    /// The entry in a status list of the issuer.
    #[cfg(feature = "jwks")]
    pub(crate) status: Option<StatusEntry>,
}

/// The `kid` of a token's header.
pub(crate) enum NamedKey {
    None,
    /// The id of the key that verified the token.
    Same,
    /// A `kid` that no key has, so a key without an id was used.
    Other(Box<str>),
}

impl NamedKey {
    pub(crate) fn new(header: Option<&str>, key: &Key) -> Self {
        match header {
            None => Self::None,
            Some(name) if Some(name) == key.key_id() => Self::Same,
            Some(name) => Self::Other(name.into()),
        }
    }
}

/// The id of the token for revocation.
pub(crate) enum RevocationId {
    /// The value of a claim, as part of the text of the registered claims.
    Claim(Span),
    /// The SHA-256 of `header.payload` in hexadecimal.
    Hash(Box<str>),
}

impl<C> VerifiedToken<C> {
    /// Only the verifier calls this.
    pub(crate) fn new(verified: Verified<C>) -> Self {
        Self(Arc::new(verified))
    }

    /// The claims, as your own type.
    #[must_use]
    pub fn claims(&self) -> &C {
        &self.0.claims
    }

    /// The registered claims. They do not depend on the fields of `C`.
    #[must_use]
    pub fn registered(&self) -> &RegisteredClaims {
        &self.0.registered
    }

    /// The algorithm of the signature.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.key.algorithm()
    }

    pub(crate) fn key_id(&self) -> Option<&str> {
        self.0.key.key_id()
    }

    pub(crate) fn key_thumbprint(&self) -> &str {
        self.0.key.thumbprint()
    }

    pub(crate) fn revocation_id(&self) -> &str {
        match &self.0.revocation_id {
            RevocationId::Claim(span) => self.0.registered.at(*span),
            RevocationId::Hash(hash) => hash,
        }
    }

    pub(crate) fn confirmation(&self) -> Option<&Confirmation> {
        self.0.confirmation.as_deref()
    }

    pub(crate) fn rejected_from(&self) -> UnixTime {
        self.0.rejected_from
    }

    pub(crate) fn verifier(&self) -> u64 {
        self.0.verifier
    }

    pub(crate) fn policy(&self) -> u64 {
        self.0.policy
    }

    pub(crate) fn issuer(&self) -> usize {
        self.0.issuer
    }

    /// Whether the key set of this number is the last one that was known to contain the key.
    pub(crate) fn was_key_in_set(&self, number: u64) -> bool {
        self.0.key_set.load(Ordering::Relaxed) == number
    }

    /// Whether the same key would be chosen from `keys` to verify the token again.
    pub(crate) fn is_key_in_set(&self, keys: &KeySet) -> bool {
        let named = match &self.0.named_key {
            NamedKey::None => None,
            NamedKey::Same => self.0.key.key_id(),
            NamedKey::Other(name) => Some(&**name),
        };
        let is_in_set = keys.still_means(&self.0.key, named);
        if is_in_set {
            // The keys of the set with this number never change. So it does not matter which thread stores the number.
            self.0.key_set.store(keys.number(), Ordering::Relaxed);
        }
        is_in_set
    }

    /// The entry of the token in a status list of its issuer.
    #[cfg(feature = "jwks")]
    pub(crate) fn status(&self) -> Option<&StatusEntry> {
        self.0.status.as_ref()
    }

    /// The cached result of the token's revocation lookup.
    pub(crate) fn revocation(&self) -> &RevocationMemo {
        &self.0.revocation
    }

    /// The approximate number of bytes that the token uses in memory. The author's own claims may use more memory
    /// elsewhere. This is assumed to be as long as the text that they were read from.
    pub(crate) fn size(&self) -> usize {
        let confirmation = self.0.confirmation.as_deref().map_or(0, Confirmation::size);
        size_of::<Verified<C>>() + confirmation + 2 * self.0.registered.text_length()
    }

    /// Everything that the token can be revoked by.
    pub(crate) fn facts(&self) -> TokenFacts<'_> {
        let registered = self.registered();
        TokenFacts {
            issuer: registered.issuer_arc(),
            token_id: self.revocation_id(),
            subject: registered.subject(),
            issued_at: registered.issued_at().unwrap_or_default(),
            session_id: registered.session_id(),
            key_id: self.0.key.key_id_arc(),
            key_thumbprint: self.0.key.thumbprint_arc(),
            expires_at: registered.expires_at(),
        }
    }
}

impl<C> Clone for VerifiedToken<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> fmt::Debug for VerifiedToken<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("algorithm", &self.algorithm())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum {
    //! Support for axum: [`Authenticated<C>`] and `Option<Authenticated<C>>` as extractors.
    //!
    //! | the request | `Authenticated<C>` | `Option<Authenticated<C>>` |
    //! |---|---|---|
    //! | has a valid token | the token | `Some` |
    //! | is anonymous: an [optional](crate::BearerLayer::optional) layer let it through | 401 by that layer | `None` |
    //! | has not passed a layer for `C` | 500 with a text that names `C` | the same |
    //!
    //! ```
    //! use axum::{Router, routing::get};
    //! use serde::Deserialize;
    //! use tower_bearer::{Authenticated, BearerLayer};
    //!
    //! #[derive(Deserialize)]
    //! struct Claims {
    //!     sub: String,
    //! }
    //!
    //! async fn orders(user: Authenticated<Claims>) -> String {
    //!     format!("the orders of {}", user.claims().sub)
    //! }
    //!
    //! fn app(layer: BearerLayer<Claims>) -> Router {
    //!     Router::new().route("/orders", get(orders)).route_layer(layer)
    //! }
    //! ```
    //!
    //! Unknown paths get 404 with `route_layer`, and 401 with `layer`. Put a CORS layer outside of this one: add it
    //! after this one.

    use std::fmt;

    use axum_core::{
        body::Body,
        extract::{FromRequestParts, OptionalFromRequestParts},
        response::IntoResponse,
    };
    use bytes::Bytes;
    use http::{Response, request::Parts};

    use super::Authenticated;
    use crate::{
        RejectionKind,
        rejection::{Anonymous, layer_not_installed},
    };

    /// The response if there is no token to extract.
    pub struct ExtractorRejection(Box<Response<Bytes>>);

    impl<S, C> FromRequestParts<S> for Authenticated<C>
    where
        S: Send + Sync,
        C: Send + Sync + 'static,
    {
        type Rejection = ExtractorRejection;

        async fn from_request_parts(
            parts: &mut Parts,
            _state: &S,
        ) -> Result<Self, ExtractorRejection> {
            let response = match find(parts)? {
                Found::Token(token) => return Ok(token),
                Found::Anonymous(anonymous) => {
                    anonymous.rejections.respond(RejectionKind::MissingCredential.into(), parts)
                }
            };
            Err(ExtractorRejection(Box::new(response)))
        }
    }

    impl<S, C> OptionalFromRequestParts<S> for Authenticated<C>
    where
        S: Send + Sync,
        C: Send + Sync + 'static,
    {
        type Rejection = ExtractorRejection;

        async fn from_request_parts(
            parts: &mut Parts,
            _state: &S,
        ) -> Result<Option<Self>, ExtractorRejection> {
            find(parts).map(|found| match found {
                Found::Token(token) => Some(token),
                Found::Anonymous(_) => None,
            })
        }
    }

    enum Found<'r, C> {
        Token(Authenticated<C>),
        Anonymous(&'r Anonymous<C>),
    }

    fn find<C: Send + Sync + 'static>(parts: &Parts) -> Result<Found<'_, C>, ExtractorRejection> {
        if let Some(token) = parts.extensions.get::<Authenticated<C>>() {
            Ok(Found::Token(token.clone()))
        } else if let Some(anonymous) = parts.extensions.get::<Anonymous<C>>() {
            Ok(Found::Anonymous(anonymous))
        } else {
            Err(ExtractorRejection(Box::new(layer_not_installed::<C>(parts))))
        }
    }

    impl IntoResponse for ExtractorRejection {
        fn into_response(self) -> Response<Body> {
            self.0.map(Body::from)
        }
    }

    impl fmt::Debug for ExtractorRejection {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_tuple("ExtractorRejection").field(&self.0.status()).finish()
        }
    }
}
