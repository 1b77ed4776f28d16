//! The standard endpoints of OAuth: revocation (RFC 7009) and introspection (RFC 7662).

use std::sync::Arc;

use ::axum::extract::State;
use http::StatusCode;

#[cfg(feature = "openapi")]
use super::responses::{Coded, Detail, OAuthError};
use super::{
    Client, TokenApi,
    form::Form,
    responses::{ApiError, Json},
};
use crate::introspection::Introspection;

/// Revoke a token (RFC 7009): an access or private token itself, a refresh token with its session. Who presents a token
/// may revoke it. The answer is the same for any other string.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/revoke/", tag = "standard endpoints", security(()),
    request_body(content = PresentedToken, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token is not valid any more"),
        (status = 400, description = "No `token`, or a repeated parameter", body = OAuthError),
        (
            status = 429,
            description = "Too many strings that are not valid tokens. `Retry-After` says when to try again",
            body = Detail,
        ),
        (
            status = 503,
            description = "The store cannot be asked, and the token may be valid. See `Retry-After`",
            body = Coded,
        ),
    )
))]
pub(super) async fn revoke(
    State(api): State<Arc<TokenApi>>,
    Client(client): Client,
    form: Form,
) -> Result<StatusCode, ApiError> {
    api.issuer.revoke_token(&form.required("token")?, &client).await?;
    Ok(StatusCode::OK)
}

/// Ask whether a token is valid (RFC 7662), with an access or private token that has the scope `introspect`. The answer
/// for a token that is not valid now is `{"active":false}`, whatever the reason.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/introspect/", tag = "standard endpoints",
    request_body(content = PresentedToken, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Whether the token is valid, and its claims if it is", body = Introspection),
        (
            status = 400,
            description = "No `token`, a repeated parameter, or more than one credential",
            body = BadIntrospection,
        ),
        (status = 403, description = "The caller's token lacks the scope `introspect`", body = Coded),
    )
))]
pub(super) async fn introspect(
    State(api): State<Arc<TokenApi>>,
    form: Form,
) -> Result<Json<Introspection>, ApiError> {
    Ok(Json(api.issuer.introspect(&form.required("token")?).await?))
}

/// The form of both calls.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct PresentedToken {
    token: String,
    /// Has no effect.
    token_type_hint: Option<String>,
}

/// The errors of a form and of the caller's credential.
#[cfg(feature = "openapi")]
#[derive(serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum BadIntrospection {
    Form(OAuthError),
    Credential(Coded),
}
