//! Log in, refresh, log out, revoke all.

use std::sync::Arc;

use ::axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

#[cfg(feature = "openapi")]
use crate::router::responses::{Coded, Detail};
use crate::{
    Credentials,
    router::{
        Client, TokenApi,
        fields::Field,
        login_response::{LoggedIn, Refreshed},
        responses::{ApiError, FieldErrors, Json},
    },
};
use tower_bearer::Authenticated;

/// Log in: an access token for one hour, and a refresh token.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/login/", tag = "sessions", security(()),
    request_body = LoginRequest,
    responses(
        (status = 200, description = "The account and its tokens", body = LoggedIn),
        (status = 400, description = "Fields are missing or wrong", body = FieldErrors),
        (status = 401, description = "No active account has these credentials", body = Coded),
        (status = 429, description = "Too many attempts. `Retry-After` says when to try again", body = Detail),
        (status = 503, description = "Accounts, store or keys cannot be asked. See `Retry-After`", body = Coded),
    )
))]
pub(super) async fn login(
    State(api): State<Arc<TokenApi>>,
    Client(client): Client,
    Json(body): Json<LoginRequest>,
) -> Result<Response, ApiError> {
    let login = api.issuer.log_in(&body.into_credentials()?, &client).await?;
    Ok(match &api.login_response {
        Some(write) => Json(write(&login)).into_response(),
        None => Json(LoggedIn::from(login)).into_response(),
    })
}

/// Exchange a refresh token for new tokens. It can be used once.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/refresh/", tag = "sessions", security(()),
    request_body = RefreshTokenRequest,
    responses(
        (status = 200, description = "A new access token and the next refresh token", body = Refreshed),
        (status = 400, description = "The field is missing or wrong", body = FieldErrors),
        (status = 401, description = "Not a valid refresh token. A token that was used before ends its session", body = Coded),
        (status = 429, description = "Too many refreshes of one session at once. See `Retry-After`", body = Detail),
        (status = 503, description = "Accounts, store or keys cannot be asked. See `Retry-After`", body = Coded),
    )
))]
pub(super) async fn refresh(
    State(api): State<Arc<TokenApi>>,
    Client(client): Client,
    Json(body): Json<RefreshTokenRequest>,
) -> Result<Json<Refreshed>, ApiError> {
    let tokens = api.issuer.for_client(&client).refresh(&body.into_token()?).await?;
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

/// `username` is the e-mail address.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = Login))]
pub(super) struct LoginRequest {
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = true, example = "ada@example.org"))]
    #[serde(default)]
    username: Field<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = true, format = Password))]
    #[serde(default)]
    password: Field<Zeroizing<String>>,
    /// An alias of `username`. It counts only if there is no `username`.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    #[serde(default)]
    email: Field<String>,
}

impl LoginRequest {
    fn into_credentials(self) -> Result<Credentials, FieldErrors> {
        let mut errors = FieldErrors::default();
        let (name, username) = if self.username.is_missing() && !self.email.is_missing() {
            ("email", self.email)
        } else {
            ("username", self.username)
        };
        let username = username.required(name, &mut errors);
        let password = self.password.required("password", &mut errors);
        let (Some(username), Some(mut password)) = (username, password) else { return Err(errors) };
        Ok(Credentials::new(username, std::mem::take(&mut *password)))
    }
}

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = RefreshToken))]
pub(super) struct RefreshTokenRequest {
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = true))]
    #[serde(default)]
    refresh_token: Field<String>,
}

impl RefreshTokenRequest {
    fn into_token(self) -> Result<String, FieldErrors> {
        let mut errors = FieldErrors::default();
        self.refresh_token.required("refresh_token", &mut errors).ok_or(errors)
    }
}
