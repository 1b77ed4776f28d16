//! Proofs of keys in calls that make tokens (DPoP, RFC 9449 section 5).

use std::sync::Arc;

use ::axum::{extract::FromRequestParts, response::Response};
use http::{HeaderName, request::Parts};
use serde::Serialize;

use super::{
    TokenApi,
    fields::Field,
    responses::{ApiError, FieldErrors},
};
use crate::TokenIssuer;
use tower_bearer::{
    Authenticated, RejectionKind,
    dpop::{Dpop, TokenRequestProof},
    rejection::Answer,
};

const PROOF: HeaderName = HeaderName::from_static("dpop");
const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// The name of the scheme, and the type of bound tokens (RFC 9449 section 5).
const DPOP: &str = "DPoP";

impl TokenApi {
    /// Binds tokens to keys of clients (DPoP, RFC 9449):
    ///
    /// 1. A log-in with a valid header `DPoP` begins a session that is bound to the key of that proof. Its access
    ///    tokens have `cnf.jkt`, and the answer has `"token_type": "DPoP"`. Each refresh needs a new proof by the same
    ///    key.
    /// 2. A new private token is bound to the key of the proof, unless the request says otherwise.
    /// 3. Calls with a bound access token need the scheme `DPoP` and a proof, like calls of every layer with
    ///    [`with_dpop`](tower_bearer::BearerLayer::with_dpop).
    /// 4. A call without a proof is as before, unless proofs are [required](Dpop::required).
    ///
    /// Default: off. Then the header has no effect, and bound tokens are rejected. Give the public URL of this API to
    /// `Dpop::new`, with the path that a proxy removes. Your own layers also need the setting, to accept bound tokens.
    /// Give clones of one `Dpop` to all of them: clones share the used proofs.
    ///
    /// ```
    /// # use tower_bearer::{BearerLayer, ConfigError, dpop::Dpop};
    /// # use tower_bearer_issuing::{TokenApi, TokenIssuer};
    /// # fn api(issuer: &TokenIssuer) -> Result<(TokenApi, BearerLayer), ConfigError> {
    /// let dpop = Dpop::new(["https://api.example"])?;
    /// let layer = issuer.layer().with_dpop(dpop.clone());
    /// Ok((TokenApi::new(issuer).with_dpop(dpop), layer))
    /// # }
    /// ```
    ///
    /// Upgrade all replicas first: an earlier version ignores the key of a session. If you turn the setting off, bound
    /// sessions and tokens are rejected.
    pub fn with_dpop(mut self, dpop: Dpop) -> Self {
        self.layer = self.layer.with_dpop(dpop.clone());
        self.introspection_layer = self.introspection_layer.with_dpop(dpop.clone());
        self.managers = self.managers.with_dpop(dpop.clone());
        self.dpop = Some(dpop);
        self
    }

    /// The algorithms of proofs, for the metadata.
    pub(super) fn proof_algorithms(&self) -> Vec<&'static str> {
        let algorithms = self.dpop.iter().flat_map(Dpop::algorithms);
        algorithms.map(|algorithm| algorithm.name()).collect()
    }

    /// Gives a client with a proof a nonce for its next one, if the service uses nonces (RFC 9449 section 8.2).
    pub(super) fn add_nonce(&self, request: &Parts, response: &mut Response) {
        if request.headers.contains_key(PROOF)
            && let Some(nonce) = self.dpop.as_ref().and_then(|it| it.nonce(self.issuer.now()))
        {
            response.headers_mut().insert(NONCE, nonce);
        }
    }

    /// Checks the proof of a call that makes tokens.
    fn check_proof(&self, request: &Parts) -> Result<Option<TokenRequestProof>, RejectionKind> {
        let Some(dpop) = &self.dpop else { return Ok(None) };
        dpop.check_token_request(request, self.issuer.now()).map_err(|rejection| rejection.kind())
    }
}

/// The proof of a log-in or a refresh. It is not used up yet.
pub(super) struct Proof(Option<TokenRequestProof>);

impl Proof {
    /// The issuer for this call.
    pub(super) fn bind(self, issuer: &TokenIssuer) -> TokenIssuer {
        match self.0 {
            Some(proof) => issuer.with_proof(proof),
            None => issuer.clone(),
        }
    }
}

impl FromRequestParts<Arc<TokenApi>> for Proof {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<TokenApi>) -> Result<Self, ApiError> {
        api.check_proof(parts).map(Self).map_err(ApiError::Proof)
    }
}

/// The key that a new private token can be bound to.
pub(super) enum KeyOfNewToken {
    None,
    /// The scheme is `DPoP`: the layer has checked the proof, and has used it up.
    OfCaller,
    /// The scheme is `Bearer`, and the request has a proof. It is not used up yet.
    OfProof(TokenRequestProof),
}

impl KeyOfNewToken {
    /// Whether the token is to be bound. `token_type` is the member of the request.
    pub(super) fn is_wanted(&self, token_type: Field<String>, errors: &mut FieldErrors) -> bool {
        let has_proof = !matches!(self, Self::None);
        match token_type.optional("token_type", errors).as_deref() {
            None => has_proof,
            Some("Bearer") => false,
            Some(DPOP) if has_proof => true,
            Some(DPOP) => {
                errors.add("token_type", NO_PROOF);
                false
            }
            Some(_) => {
                errors.add("token_type", UNKNOWN_TYPE);
                false
            }
        }
    }

    /// The issuer for this call.
    pub(super) fn bind(self, issuer: &TokenIssuer, caller: &Authenticated) -> TokenIssuer {
        match self {
            Self::None => issuer.clone(),
            Self::OfCaller => issuer.with_key_of(caller),
            Self::OfProof(proof) => issuer.with_proof(proof),
        }
    }
}

impl FromRequestParts<Arc<TokenApi>> for KeyOfNewToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<TokenApi>) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Authenticated>();
        if caller.is_some_and(|caller| caller.proof_key().is_some()) {
            return Ok(Self::OfCaller);
        }
        let proof = api.check_proof(parts).map_err(ApiError::Proof)?;
        Ok(proof.map_or(Self::None, Self::OfProof))
    }
}

const NO_PROOF: &str = "This request has no DPoP proof.";
const UNKNOWN_TYPE: &str = "Expected Bearer or DPoP.";

/// The member `token_type` of an answer. Answers about tokens that are not bound have none, because clients of earlier
/// versions may compare all members.
pub(super) fn token_type_of(key_thumbprint: Option<&str>) -> Option<&'static str> {
    key_thumbprint.map(|_| DPOP)
}

/// The answer to a rejected proof: `error` for clients of OAuth (RFC 9449 sections 5 and 8), `code` and `detail` as in
/// the answers of the layer. Every rejected proof has the same one, except a proof that lacks a nonce.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct ProofError {
    #[cfg_attr(feature = "openapi", schema(example = "invalid_dpop_proof"))]
    error: &'static str,
    #[cfg_attr(feature = "openapi", schema(example = "dpop_proof_not_valid"))]
    code: &'static str,
    #[cfg_attr(
        feature = "openapi",
        schema(example = "DPoP proof is invalid, expired or already used.")
    )]
    detail: &'static str,
}

impl ProofError {
    pub(super) fn of(kind: RejectionKind) -> Self {
        let error = match kind {
            RejectionKind::UseDpopNonce => "use_dpop_nonce",
            _ => "invalid_dpop_proof",
        };
        let answer = Answer::DpopProofNotValid;
        Self { error, code: answer.code(), detail: answer.detail() }
    }
}

/// The errors of the fields and of the proof.
#[cfg(feature = "openapi")]
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum BadBinding {
    Fields(FieldErrors),
    Proof(ProofError),
}

/// The header of a proof.
#[cfg(feature = "openapi")]
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct ProofParameter {
    /// A proof of the client's key (RFC 9449 section 4), without `ath` unless the scheme is `DPoP`. It has no effect if
    /// the operator does not allow DPoP.
    #[param(rename = "DPoP", required = false)]
    dpop: Option<String>,
}
