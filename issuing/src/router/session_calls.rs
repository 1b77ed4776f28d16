//! Log in, refresh, log out, revoke all.

use std::sync::Arc;

use ::axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;

use crate::router::{
    Client, TokenApi,
    dpop::Proof,
    responses::{ApiError, Json},
    session_bodies::{LoggedIn, LoginRequest, RefreshTokenRequest, Refreshed},
};
#[cfg(feature = "openapi")]
use crate::router::{
    dpop::{BadBinding, ProofParameter},
    responses::{Coded, Detail, FieldErrors},
};
use tower_bearer::Authenticated;

/// Log in: an access token for one hour, and a refresh token. With a proof, both are bound to its key.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/login/", tag = "sessions", security(()),
    params(ProofParameter),
    request_body = LoginRequest,
    responses(
        (status = 200, description = "The account and its tokens", body = LoggedIn),
        (status = 400, description = "Fields are missing or wrong, or the proof is rejected", body = BadBinding),
        (status = 401, description = "No active account has these credentials", body = Coded),
        (status = 429, description = "Too many attempts. `Retry-After` says when to try again", body = Detail),
        (status = 503, description = "Accounts, store or keys cannot be asked. See `Retry-After`", body = Coded),
    )
))]
pub(super) async fn login(
    State(api): State<Arc<TokenApi>>,
    Client(client): Client,
    proof: Proof,
    Json(body): Json<LoginRequest>,
) -> Result<Response, ApiError> {
    let issuer = proof.bind(&api.issuer);
    let login = issuer.log_in(&body.into_credentials()?, &client).await?;
    Ok(match &api.login_response {
        Some(write) => Json(write(&login)).into_response(),
        None => Json(LoggedIn::from(login)).into_response(),
    })
}

/// Exchange a refresh token for new tokens. It can be used once. If the session is bound to a key, each call needs a
/// new proof by that key.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/refresh/", tag = "sessions", security(()),
    params(ProofParameter),
    request_body = RefreshTokenRequest,
    responses(
        (status = 200, description = "A new access token and the next refresh token", body = Refreshed),
        (
            status = 400,
            description = "The field is missing or wrong, or the proof of a bound session is missing or rejected",
            body = BadBinding,
        ),
        (
            status = 401,
            description = "Not a valid refresh token. A token that was used before ends its session",
            body = Coded,
        ),
        (status = 429, description = "Too many refreshes of one session at once. See `Retry-After`", body = Detail),
        (status = 503, description = "Accounts, store or keys cannot be asked. See `Retry-After`", body = Coded),
    )
))]
pub(super) async fn refresh(
    State(api): State<Arc<TokenApi>>,
    Client(client): Client,
    proof: Proof,
    Json(body): Json<RefreshTokenRequest>,
) -> Result<Json<Refreshed>, ApiError> {
    let issuer = proof.bind(&api.issuer.for_client(&client));
    let tokens = issuer.refresh(&body.into_token()?).await?;
    Ok(Json(tokens.into()))
}

/// Revoke the access token and the family of the refresh token.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/logout/", tag = "sessions",
    request_body = RefreshTokenRequest,
    responses(
        (status = 204, description = "Both are revoked"),
        (status = 400, description = "Not a refresh token of this account", body = FieldErrors),
    )
))]
pub(super) async fn logout(
    State(api): State<Arc<TokenApi>>,
    Client(client): Client,
    caller: Authenticated,
    Json(body): Json<RefreshTokenRequest>,
) -> Result<StatusCode, ApiError> {
    api.issuer.for_client(&client).log_out(&caller, &body.into_token()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revoke every token of the caller that was issued before now.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/revoke_all/", tag = "sessions",
    responses((status = 204, description = "Every token that was issued before now is revoked")),
))]
pub(super) async fn revoke_all(
    State(api): State<Arc<TokenApi>>,
    Client(client): Client,
    caller: Authenticated,
) -> Result<StatusCode, ApiError> {
    api.issuer.for_client(&client).revoke_all(&caller).await?;
    Ok(StatusCode::NO_CONTENT)
}
