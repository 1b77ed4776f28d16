//! The calls, one by one: from the request to the issuer and back.

pub(super) mod private_tokens;
pub(super) mod sessions;

use super::{TokenApi, answers::Refusal};
use tower_bearer::{Authenticated, RejectionKind, claims::UntypedClaims};

/// The access token with which the layer let the request through.
fn access_token(parts: &http::request::Parts) -> Result<Authenticated<UntypedClaims>, Refusal> {
    let access = parts.extensions.get::<Authenticated<UntypedClaims>>();
    access.cloned().ok_or_else(|| RejectionKind::MissingCredential.into())
}

/// Looks at the access token again: by the time that a body was read it may have expired, or been revoked.
async fn recheck(api: &TokenApi, access: &Authenticated<UntypedClaims>) -> Result<(), Refusal> {
    let checked = api.issuer.access_authenticator().recheck(access).await;
    checked.map_err(|rejection| rejection.kind().into())
}

/// Store, accounts or keys could not be asked: the one documented 503.
fn unavailable() -> Refusal {
    RejectionKind::RevocationUnavailable.into()
}

/// A token of the wrong kind where an access token belongs.
fn not_access() -> Refusal {
    RejectionKind::WrongTokenUse.into()
}
