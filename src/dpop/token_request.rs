//! Checks the proof of a token request, for authorization servers (RFC 9449 section 5).

use std::{fmt, sync::Arc};

use http::{HeaderValue, request::Parts};

use super::{
    CheckedProof, Dpop, PROOF, Recording, only_proof, original_path,
    proof::{self, Expected},
};
use crate::{Algorithm, Rejection, RejectionKind, UnixTime, claims::Clock, credential::Scheme};

impl Dpop {
    /// Checks the proof of a request for a token: everything except whether it was used before. `None` if the request
    /// has no proof and none is [required](Self::required).
    ///
    /// The checks are those of the [module](super), without `ath`. An `ath` is ignored. The proof is not used up yet:
    /// call [`TokenRequestProof::record`] after the client is authenticated, so that strangers fill nothing.
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::sync::Arc;
    /// use http::Request;
    /// use tower_bearer::{claims::{Clock, SystemClock}, dpop::Dpop, test_util::ProofKey};
    ///
    /// let dpop = Dpop::new(["https://issuer.example"])?;
    /// let key = ProofKey::new();
    /// let proof = key.proof("POST", "https://issuer.example/token", "").without("ath");
    /// let (request, ()) = Request::post("/token").header("DPoP", proof.value()).body(())?.into_parts();
    ///
    /// let clock = Arc::new(SystemClock::default());
    /// let proof = dpop.check_token_request(&request, clock.now())?.ok_or("no proof")?;
    /// // The client is authenticated here.
    /// proof.record(("https://issuer.example", "ada"), clock.clone()).await?;
    /// assert_eq!(proof.thumbprint(), key.thumbprint());
    ///
    /// assert!(proof.record(("https://issuer.example", "ada"), clock).await.is_err());
    /// # Ok(()) }
    /// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
    /// ```
    ///
    /// # Errors
    /// If the proof is not valid, if there are two, or if a required one is missing: a rejection with the answer
    /// [`DpopProofNotValid`](crate::rejection::Answer::DpopProofNotValid). A token endpoint answers 400 with the error
    /// `invalid_dpop_proof`, or `use_dpop_nonce` for [`RejectionKind::UseDpopNonce`] (RFC 9449 sections 5 and 8).
    pub fn check_token_request(
        &self,
        request: &Parts,
        now: UnixTime,
    ) -> Result<Option<TokenRequestProof>, Rejection> {
        if !self.is_required() && !request.headers.contains_key(PROOF) {
            return Ok(None);
        }
        self.check_without_token(request, now).map(Some).map_err(rejection)
    }

    fn check_without_token(
        &self,
        request: &Parts,
        now: UnixTime,
    ) -> Result<TokenRequestProof, RejectionKind> {
        let expected = Expected {
            bound: None,
            method: request.method.as_str(),
            path: original_path(&request.uri, &request.extensions),
            now,
        };
        let checked = proof::check(self, only_proof(&request.headers)?, &expected)?;
        let proof = CheckedProof::new(Arc::new(self.clone()), &checked);
        Ok(TokenRequestProof { proof, thumbprint: checked.thumbprint })
    }

    /// The algorithms of proofs, for `dpop_signing_alg_values_supported` in the metadata of an authorization server
    /// (RFC 9449 section 5.1).
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// The value of the header `DPoP-Nonce` for a response at this time (RFC 9449 section 8). `None` without
    /// [nonces](Self::with_nonces).
    #[must_use]
    pub fn nonce(&self, now: UnixTime) -> Option<HeaderValue> {
        self.nonces().map(|key| key.header(now))
    }
}

/// The proof of a token request that has passed every check except whether it was used before.
///
/// Only [`Dpop::check_token_request`] makes one, so it shows that the client has the key.
#[derive(Clone)]
#[must_use = "the proof is not used up until `record`"]
pub struct TokenRequestProof {
    proof: CheckedProof,
    thumbprint: Arc<str>,
}

impl TokenRequestProof {
    /// The RFC 7638 thumbprint of the key in base64url, for `cnf.jkt` of the token (RFC 9449 section 6.1).
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Uses the proof up. Call it after the client is authenticated and before the token is made. `subject` is the
    /// issuer and the subject of the token, whose proofs are limited ([`ReplayLimits`](super::ReplayLimits)).
    ///
    /// # Errors
    /// If the proof was used before. With the answer [`Unavailable`](crate::rejection::Answer::Unavailable) if this
    /// cannot be checked, or above a limit.
    pub async fn record(
        &self,
        (issuer, subject): (&str, &str),
        clock: Arc<dyn Clock>,
    ) -> Result<(), Rejection> {
        let recorded = self.proof.clone().record(&self.thumbprint, Some((issuer, subject)), clock);
        match recorded {
            Recording::Done(outcome) => outcome.map_err(rejection),
            Recording::Pending(outcome) => outcome.await.map_err(rejection),
        }
    }
}

fn rejection(kind: RejectionKind) -> Rejection {
    Rejection::new(kind).with_scheme(Scheme::DPoP)
}

impl fmt::Debug for TokenRequestProof {
    /// Does not show the thumbprint, which is a claim of tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRequestProof").finish_non_exhaustive()
    }
}
