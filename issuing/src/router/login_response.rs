//! The answers to a log-in and a refresh, with the field names of the API that this router replaces.
//!
//! [`TokenApi::with_login_response`](super::TokenApi::with_login_response) replaces the answer to a log-in.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{AccountId, Login, TokenPair};

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
}

impl From<TokenPair> for Refreshed {
    fn from(tokens: TokenPair) -> Self {
        Self {
            token_access: tokens.access_token.clone(),
            access_token: tokens.access_token,
            refresh_token: tokens.refresh_token,
        }
    }
}
