//! Change the password.

use std::sync::Arc;

use ::axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use zeroize::Zeroizing;

#[cfg(feature = "openapi")]
use crate::router::responses::Detail;
use crate::{
    PasswordChange,
    router::{
        Client, TokenApi,
        fields::Field,
        private_token_calls::to_the_end,
        responses::{ApiError, FieldErrors, Json},
    },
};
use tower_bearer::Authenticated;

/// Change the caller's password. Every session and every private token ends, and the caller has to log in again.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/password/", tag = "accounts",
    request_body = Passwords,
    responses(
        (status = 204, description = "The password is changed, and every token of the account is revoked"),
        (status = 400, description = "The old password is wrong, or the new one breaks a rule", body = FieldErrors),
        (status = 429, description = "Too many attempts. `Retry-After` says when to try again", body = Detail),
    )
))]
pub(super) async fn change_password(
    State(api): State<Arc<TokenApi>>,
    caller: Authenticated,
    Client(client): Client,
    Json(body): Json<Passwords>,
) -> Result<StatusCode, ApiError> {
    let change = body.into_change()?;
    let permit = api.limits.call(&caller).await?;
    let issuer = api.issuer.clone();
    let changed =
        to_the_end(permit, async move { issuer.change_password(&caller, &change, &client).await });
    changed.await??;
    Ok(StatusCode::NO_CONTENT)
}

/// The old and the new password.
#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Passwords {
    /// The password that the account has.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = true, format = Password))]
    #[serde(default)]
    password: Field<Zeroizing<String>>,
    /// At least 8 characters and at most 1024 bytes, not the e-mail address and not the old password.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = true, format = Password, min_length = 8))]
    #[serde(default)]
    new_password: Field<Zeroizing<String>>,
}

impl Passwords {
    fn into_change(self) -> Result<PasswordChange, FieldErrors> {
        let mut errors = FieldErrors::default();
        let password = self.password.required("password", &mut errors);
        let new_password = self.new_password.required("new_password", &mut errors);
        let (Some(password), Some(new_password)) = (password, new_password) else {
            return Err(errors);
        };
        Ok(PasswordChange { password, new_password })
    }
}
