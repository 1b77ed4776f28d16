//! Why a request was rejected, and the response that the client gets.

mod challenge;
mod grpc;
mod problem;
mod rejections;
mod responder;
#[cfg(test)]
mod tests;

use std::fmt;

use http::StatusCode;

pub(crate) use self::challenge::is_acr_value;
pub use self::problem::ProblemJson;
#[cfg(feature = "tonic")]
pub(crate) use self::rejections::layer_not_installed_text;
pub(crate) use self::rejections::{Anonymous, Rejections, layer_not_installed};
pub use self::responder::{Responder, TokenApiResponder};
use crate::{credential::Scheme, jws::JwsError};

/// A request that was rejected.
///
/// It has the reason for logs, metrics and a custom [`Responder`]. It never has the token or its claims. The layer puts
/// it into the extensions of its response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct Rejection {
    kind: RejectionKind,
    /// For `insufficient_scope`: the required scopes, as the service author wrote them.
    required_scopes: Option<std::sync::Arc<str>>,
    /// The scheme of the request. Its challenge has the error.
    scheme: Scheme,
}

impl Rejection {
    /// Makes a rejection of this kind.
    #[must_use]
    pub fn new(kind: RejectionKind) -> Self {
        Self { kind, required_scopes: None, scheme: Scheme::Bearer }
    }

    /// A token that lacks at least one of these space-separated scopes (RFC 6750 section 3.1).
    pub(crate) fn insufficient_scope(required: std::sync::Arc<str>) -> Self {
        let required_scopes = Some(required);
        Self { required_scopes, ..Self::new(RejectionKind::InsufficientScope) }
    }

    pub(crate) fn with_scheme(self, scheme: Scheme) -> Self {
        Self { scheme, ..self }
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The reason.
    #[must_use]
    pub fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// The answer that the client gets.
    #[must_use]
    pub fn answer(&self) -> Answer {
        self.kind.answer()
    }

    /// For [`RejectionKind::InsufficientScope`]: the required scopes, separated by spaces.
    #[must_use]
    pub fn required_scopes(&self) -> Option<&str> {
        self.required_scopes.as_deref()
    }
}

impl From<RejectionKind> for Rejection {
    fn from(kind: RejectionKind) -> Self {
        Self::new(kind)
    }
}

/// The part of a rejection that the client sees. Every kind of rejection has one of these answers. All rejections with
/// the same answer have the same status and body. Their challenges are also the same on one route, except those of
/// [`PermissionDenied`](Self::PermissionDenied).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Answer {
    /// 401 `not_authenticated`: no credential (RFC 6750 section 3, a challenge without `error`).
    NotAuthenticated,
    /// 401 `token_not_valid`: the token is not valid. The answer never contains the reason.
    TokenNotValid,
    /// 401 `dpop_proof_not_valid`: the proof is not valid, or a nonce is needed (RFC 9449 sections 7.1 and 9). The
    /// answer never contains the reason.
    DpopProofNotValid,
    /// 400 `bad_authorization_header`: the request is wrong before any token is checked.
    InvalidRequest,
    /// 403 `permission_denied`: a valid token without the required permission, or a cookie from another site.
    PermissionDenied,
    /// 401 `insufficient_user_authentication`: a valid token whose user must log in again, or in a stronger way (RFC
    /// 9470 section 3).
    InsufficientUserAuthentication,
    /// 503 `authentication_unavailable`: the layer cannot check keys or revocation now, or a check of yours is not
    /// available.
    Unavailable,
}

impl Answer {
    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::NotAuthenticated
            | Self::TokenNotValid
            | Self::DpopProofNotValid
            | Self::InsufficientUserAuthentication => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest => StatusCode::BAD_REQUEST,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The `code` that clients can test for.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotAuthenticated => "not_authenticated",
            Self::TokenNotValid => "token_not_valid",
            Self::DpopProofNotValid => "dpop_proof_not_valid",
            Self::InvalidRequest => "bad_authorization_header",
            Self::PermissionDenied => "permission_denied",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
            Self::Unavailable => "authentication_unavailable",
        }
    }

    /// The sentence for people.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::NotAuthenticated => "Authentication credentials were not provided.",
            Self::TokenNotValid => "Token is invalid or expired",
            Self::DpopProofNotValid => "DPoP proof is invalid, expired or already used.",
            Self::InvalidRequest => {
                "The request must carry exactly one well-formed Bearer credential."
            }
            Self::PermissionDenied => "You do not have permission to perform this action.",
            Self::InsufficientUserAuthentication => {
                "A more recent or stronger authentication is required."
            }
            Self::Unavailable => "Authentication is temporarily unavailable.",
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident => $answer:ident, $label:literal;)*) => {
        /// Why a request was rejected: one kind for each rule.
        ///
        /// The page [`guide::rejected`](crate::guide::rejected) lists every kind with its usual cause and what to do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum RejectionKind {
            $($(#[$doc])* $name,)*
        }

        impl RejectionKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The answer that the client gets.
            #[must_use]
            pub fn answer(self) -> Answer {
                match self {
                    $(Self::$name => Answer::$answer,)*
                }
            }

            /// A fixed name for logs and metric labels.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

kinds! {
    /// No credential, or a credential of another scheme.
    MissingCredential => NotAuthenticated, "missing_credential";
    /// More than one credential, or one in two places (RFC 6750 section 2).
    MultipleCredentials => InvalidRequest, "multiple_credentials";
    /// `Bearer` without a token, or with bytes that are not a b64token (RFC 6750 section 2.1). Also an `Authorization`
    /// whose scheme cannot be parsed, and, at an optional layer, a credential that another reader could find.
    MalformedCredential => InvalidRequest, "malformed_credential";
    /// A credential in a cookie on an unsafe method or a WebSocket upgrade that is not same-origin.
    CrossSite => PermissionDenied, "cross_site";
    /// The token is longer than the limit.
    TokenTooLong => TokenNotValid, "token_too_long";
    /// Not a compact JWS with canonical base64url (RFC 7515 section 7.1).
    MalformedToken => TokenNotValid, "malformed_token";
    /// The protected header is not a strict JSON object, or has a member of the wrong type.
    MalformedHeader => TokenNotValid, "malformed_header";
    /// `alg` is `none` or unknown (RFC 8725 section 3.1).
    UnsupportedAlgorithm => TokenNotValid, "unsupported_algorithm";
    /// `crit`, `b64` or `enc` (RFC 7515 section 4.1.11).
    UnsupportedHeader => TokenNotValid, "unsupported_header";
    /// The claims are not a strict JSON object.
    MalformedClaims => TokenNotValid, "malformed_claims";
    /// `iss` is not an issuer that this verifier trusts (RFC 8725 section 3.8), or its tenant is not the one in `tid`
    /// or not accepted.
    UnknownIssuer => TokenNotValid, "unknown_issuer";
    /// The issuer's policy does not accept `typ` (RFC 8725 section 3.11).
    WrongType => TokenNotValid, "wrong_type";
    /// The issuer has no key that the token can mean.
    UnknownKey => TokenNotValid, "unknown_key";
    /// The keys that the token can mean have other algorithms (RFC 8725 section 3.1).
    AlgorithmMismatch => TokenNotValid, "algorithm_mismatch";
    /// No key that the token can mean verifies the signature, or that key may not sign for the token's tenant.
    BadSignature => TokenNotValid, "bad_signature";
    /// A claim that the policy requires is absent.
    MissingClaim => TokenNotValid, "missing_claim";
    /// A claim has the wrong JSON type or a value out of range.
    InvalidClaim => TokenNotValid, "invalid_claim";
    /// `exp` has passed (RFC 7519 section 4.1.4).
    Expired => TokenNotValid, "expired";
    /// `nbf` is in the future (RFC 7519 section 4.1.5).
    NotYetValid => TokenNotValid, "not_yet_valid";
    /// `iat` is in the future.
    IssuedInFuture => TokenNotValid, "issued_in_future";
    /// `iat` is longer ago than the policy's maximum age.
    TooOld => TokenNotValid, "too_old";
    /// `exp - iat` is above the policy's maximum lifetime.
    LifetimeTooLong => TokenNotValid, "lifetime_too_long";
    /// `aud` has none of the configured audiences (RFC 7519 section 4.1.3).
    WrongAudience => TokenNotValid, "wrong_audience";
    /// A claim does not have the value that the policy requires, or the token is a refresh token. Also a token with
    /// `events`: it is a security event or a log-out token.
    WrongTokenUse => TokenNotValid, "wrong_token_use";
    /// `cnf` binds the token to a key or certificate, and the request did not prove possession of it (RFC 7800, RFC
    /// 8705 section 3, RFC 9449 section 7.2). Also a token without `cnf` that was sent with the scheme `DPoP`, or that
    /// the layer accepts only with a binding.
    UnverifiedConfirmation => TokenNotValid, "unverified_confirmation";
    /// The scheme is `DPoP`, and the request has no proof (RFC 9449 section 4.3, check 1).
    MissingProof => DpopProofNotValid, "missing_proof";
    /// The request has two proofs, or one that is not as RFC 9449 section 4.2 describes: its form, `typ`, `alg`, `crit`,
    /// or a claim of the wrong type.
    MalformedProof => DpopProofNotValid, "malformed_proof";
    /// The key in a proof is private, weak, not on its curve, or does not fit `alg`.
    UnusableProofKey => DpopProofNotValid, "unusable_proof_key";
    /// The key in a proof does not verify its signature.
    BadProofSignature => DpopProofNotValid, "bad_proof_signature";
    /// `htm` or `htu` of a proof is not the method or the URL of the request (RFC 9449 section 4.3, checks 8 and 9).
    WrongProofTarget => DpopProofNotValid, "wrong_proof_target";
    /// `ath` of a proof is not the hash of the token (RFC 9449 section 4.3, check 12).
    WrongProofToken => DpopProofNotValid, "wrong_proof_token";
    /// `iat` of a proof is too long ago or in the future (RFC 9449 section 4.3, check 11).
    ProofNotCurrent => DpopProofNotValid, "proof_not_current";
    /// The proof was used before (RFC 9449 section 11.1).
    ReplayedProof => DpopProofNotValid, "replayed_proof";
    /// A proof without a current nonce of this service, which is required (RFC 9449 section 9).
    UseDpopNonce => DpopProofNotValid, "use_dpop_nonce";
    /// The claims do not deserialize into the service author's type.
    ClaimsMismatch => TokenNotValid, "claims_mismatch";
    /// [`Authenticator::recheck`](crate::Authenticator::recheck) was given a token that another verifier verified.
    OtherVerifier => TokenNotValid, "other_verifier";
    /// A check of the service author rejected the token.
    CheckFailed => TokenNotValid, "check_failed";
    /// The token, its subject, its session or its key is revoked.
    Revoked => TokenNotValid, "revoked";
    /// `status` names a list that is not under a prefix of the issuer. Nothing was fetched.
    ForeignStatusList => TokenNotValid, "foreign_status_list";
    /// The status of the token is 1, invalid, in the status list of its issuer.
    StatusInvalid => TokenNotValid, "status_invalid";
    /// The status of the token is 2, suspended, in the status list of its issuer.
    StatusSuspended => TokenNotValid, "status_suspended";
    /// The status of the token is neither 0, 1 nor 2 in the status list of its issuer.
    StatusOther => TokenNotValid, "status_other";
    /// The status list of the issuer is too short for the index of the token.
    StatusIndexOutOfRange => TokenNotValid, "status_index_out_of_range";
    /// A valid token without a required scope (RFC 6750 section 3.1).
    InsufficientScope => PermissionDenied, "insufficient_scope";
    /// A valid token that a requirement of the service author rejected.
    PermissionDenied => PermissionDenied, "permission_denied";
    /// A valid token whose `acr` or `auth_time` does not satisfy the requirement of the route (RFC 9470 section 3).
    InsufficientUserAuthentication => InsufficientUserAuthentication, "insufficient_user_authentication";
    /// The issuer's keys are not available now.
    KeysUnavailable => Unavailable, "keys_unavailable";
    /// A check of the service author cannot be answered now.
    CheckUnavailable => Unavailable, "check_unavailable";
    /// The revocation of the token cannot be looked up now.
    RevocationUnavailable => Unavailable, "revocation_unavailable";
    /// The status list of the token is not available now, or the issuer has too many lists.
    StatusUnavailable => Unavailable, "status_unavailable";
    /// Whether a proof was used before cannot be looked up now, or its key, its subject or the process has used too many
    /// proofs.
    ReplayUnavailable => Unavailable, "replay_unavailable";
}

impl RejectionKind {
    /// Whether check 16 rejected the token.
    pub(crate) fn is_of_revocation(self) -> bool {
        matches!(
            self,
            Self::Revoked
                | Self::RevocationUnavailable
                | Self::StatusInvalid
                | Self::StatusSuspended
                | Self::StatusOther
                | Self::StatusIndexOutOfRange
                | Self::StatusUnavailable
        )
    }
}

impl fmt::Display for RejectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error of your own check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckError {
    /// The token is not accepted: 401.
    Rejected,
    /// The check cannot be answered now: 503.
    Unavailable,
}

impl From<CheckError> for RejectionKind {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Rejected => Self::CheckFailed,
            CheckError::Unavailable => Self::CheckUnavailable,
        }
    }
}

impl From<JwsError> for RejectionKind {
    fn from(error: JwsError) -> Self {
        match error {
            JwsError::TooLong => Self::TokenTooLong,
            JwsError::NotCompact => Self::MalformedToken,
            JwsError::MalformedHeader => Self::MalformedHeader,
            JwsError::UnsupportedAlgorithm => Self::UnsupportedAlgorithm,
            JwsError::UnsupportedHeader => Self::UnsupportedHeader,
            JwsError::UnexpectedType => Self::WrongType,
            JwsError::UnknownKey => Self::UnknownKey,
            JwsError::AlgorithmMismatch => Self::AlgorithmMismatch,
            JwsError::BadSignature => Self::BadSignature,
        }
    }
}
