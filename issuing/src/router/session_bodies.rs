//! The bodies of log-in, refresh and log-out, with the field names of the API that this router replaces.
//!
//! [`TokenApi::with_login_response`](super::TokenApi::with_login_response) replaces the answer to a log-in.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{dpop::token_type_of, fields::Field, responses::FieldErrors};
use crate::{AccountId, Credentials, Login, TokenPair};

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
    pub(super) fn into_credentials(self) -> Result<Credentials, FieldErrors> {
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
    pub(super) fn into_token(self) -> Result<String, FieldErrors> {
        let mut errors = FieldErrors::default();
        self.refresh_token.required("refresh_token", &mut errors).ok_or(errors)
    }
}

/// The account and its tokens. `token_access` and `access_token` are the same.
// In the order of the API's documentation.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct LoggedIn {
    #[cfg_attr(feature = "openapi", schema(value_type = AccountIdSchema))]
    id: AccountId,
    email: String,
    username: String,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<AccountIdSchema>, required = true))]
    company_id: Option<AccountId>,
    token_access: String,
    access_token: String,
    refresh_token: String,
    /// Left out if the tokens are not bound to a key.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false, example = "DPoP"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    is_verified: bool,
    profile: Map<String, Value>,
}

/// A JSON number or a JSON string. It is separate from [`AccountId`], so that the public API has no types of utoipa.
#[cfg(feature = "openapi")]
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = AccountId)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
enum AccountIdSchema {
    Number(i64),
    Text(String),
}

impl From<Login> for LoggedIn {
    fn from(Login { account, tokens, .. }: Login) -> Self {
        Self {
            id: account.id,
            email: account.email,
            username: account.username,
            company_id: account.company_id,
            token_type: token_type_of(tokens.key_thumbprint.as_deref()),
            token_access: tokens.access_token.clone(),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
            is_verified: account.is_verified,
            profile: account.profile,
        }
    }
}

/// New tokens. `token_access` and `access_token` are the same.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Refreshed {
    token_access: String,
    access_token: String,
    refresh_token: String,
    /// Left out if the tokens are not bound to a key.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false, example = "DPoP"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

impl From<TokenPair> for Refreshed {
    fn from(tokens: TokenPair) -> Self {
        Self {
            token_type: token_type_of(tokens.key_thumbprint.as_deref()),
            token_access: tokens.access_token.clone(),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
        }
    }
}
