//! The operator API: the private tokens of a subject, and revocation of whatever an operator names.

use std::sync::Arc;

use ::axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::Response,
};
use form_urlencoded::parse;
use http::{StatusCode, request::Parts};
use serde::Deserialize;

use super::{
    Client, TokenApi,
    fields::{Field, FieldType, Id},
    list_request::ListRequest,
    private_token_calls::{Listed, PathId, to_the_end},
    responses::{ApiError, FieldErrors, Json},
};
#[cfg(feature = "openapi")]
use super::{
    list_request::ListParameters,
    responses::{Coded, Detail},
};
use crate::{
    ListQuery,
    administration::{OperatorError, OperatorTarget},
};
use tower_bearer::Authenticated;

/// The answer for a key of a [`KeyDirectory`](crate::KeyDirectory). The example `token_service` has this command.
const KEY_CAN_SIGN: &str = "This key can sign new tokens, and they would be rejected at once. Retire it as \
                            compromised in the key directory: token_service keys retire --compromised.";

/// List the private tokens of a subject, as the subject sees them. The caller needs the scope `tokens:admin`.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/admin/private_tokens/", tag = "operators",
    params(("subject" = String, Query, description = "`sub` of the tokens"), ListParameters),
    responses(
        (status = 200, description = "A page of tokens", body = Listed),
        (status = 400, description = "No `subject`, a `subject` of more than 1000 bytes, or NUL in `subject` or `q`", body = FieldErrors),
        (status = 403, description = "The access token lacks the scope `tokens:admin`", body = Coded),
        (status = 404, description = "No such page", body = Detail),
        (status = 429, description = "Too many of the caller's calls at once. `Retry-After` says when to try again", body = Detail),
    )
))]
pub(super) async fn list_private_tokens_of(
    State(api): State<Arc<TokenApi>>,
    caller: Authenticated,
    Client(client): Client,
    OfSubject(subject): OfSubject,
    request: ListRequest<ListQuery>,
) -> Result<Json<Listed>, ApiError> {
    let _permit = api.limits.call(&caller).await?;
    let page = api.issuer.list_for_operator(&caller, &client, &subject, &request.query).await?;
    let links = request.links(page.count, page.number)?;
    Ok(Json(Listed::new(page, links)))
}

/// Revoke a private token of any subject. The caller needs the scope `tokens:admin`.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/admin/private_tokens/{id}/", tag = "operators",
    params(("id" = i64, Path, description = "The number of the token")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 403, description = "The access token lacks the scope `tokens:admin`", body = Coded),
        (status = 404, description = "There is no such token, or it was revoked before", body = Detail),
        (status = 429, description = "Too many of the caller's calls at once. `Retry-After` says when to try again", body = Detail),
    )
))]
pub(super) async fn revoke_private_token_of_any(
    State(api): State<Arc<TokenApi>>,
    caller: Authenticated,
    Client(client): Client,
    PathId(id): PathId,
) -> Result<StatusCode, ApiError> {
    let permit = api.limits.revocation(&caller).await?;
    let issuer = api.issuer.clone();
    let revoked = to_the_end(permit, async move {
        issuer.revoke_private_token_for_operator(&caller, &client, id).await
    });
    revoked.await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Revoke all tokens of a subject, of a session or of a key. The body names exactly one of them. The caller needs the
/// scope `tokens:admin`.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/admin/revoke/", tag = "operators",
    request_body = OperatorRevocation,
    responses(
        (status = 204, description = "Every such token that was issued before now is revoked. A subject or session without tokens is not an error"),
        (status = 400, description = "Not exactly one member, a member of more than 1000 bytes, an unknown key, or a key of a key directory that can sign: retire it as compromised there", body = FieldErrors),
        (status = 403, description = "The access token lacks the scope `tokens:admin`", body = Coded),
        (status = 429, description = "Too many of the caller's calls at once. `Retry-After` says when to try again", body = Detail),
    )
))]
pub(super) async fn revoke_for_operator(
    State(api): State<Arc<TokenApi>>,
    caller: Authenticated,
    Client(client): Client,
    Json(body): Json<OperatorRevocation>,
) -> Result<StatusCode, ApiError> {
    let target = body.into_target()?;
    let permit = api.limits.revocation(&caller).await?;
    let issuer = api.issuer.clone();
    let revoked =
        to_the_end(
            permit,
            async move { issuer.revoke_for_operator(&caller, &client, &target).await },
        );
    revoked.await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Records a call that was rejected because of its request. A caller who was rejected is not an operator (401, 403),
/// and a call that was throttled or whose store failed (429, 503) was not decided.
pub(super) async fn record_rejections(
    State(api): State<Arc<TokenApi>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let id = PathId::from_request_parts(&mut parts, &api).await.ok().map(|PathId(id)| id);
    let Ok(Client(client)) = Client::from_request_parts(&mut parts, &api).await;
    let caller = parts.extensions.get::<Authenticated>().cloned();
    let response = next.run(Request::from_parts(parts, body)).await;
    let is_about_request = match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => false,
        status => status.is_client_error(),
    };
    if let Some(caller) = caller.filter(|_| is_about_request) {
        api.issuer.record_rejected_operator(&caller, &client, id);
    }
    response
}

/// The parameter `subject` of the query. If it is repeated, the last one counts.
pub(super) struct OfSubject(String);

impl<S: Send + Sync> FromRequestParts<S> for OfSubject {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parse(parts.uri.query().unwrap_or_default().as_bytes());
        let subject = query.filter(|(name, _)| name == "subject").last();
        let subject = subject.map_or(Field::Missing, |(_, text)| match Id::from_text(&text) {
            Ok(subject) => Field::Value(subject),
            Err(message) => Field::Wrong(message),
        });
        let mut errors = FieldErrors::default();
        let subject = subject.required("subject", &mut errors);
        subject.map(|Id(subject)| Self(subject)).ok_or_else(|| errors.into())
    }
}

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct OperatorRevocation {
    /// `sub`: all tokens that were issued to it before now.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    #[serde(default)]
    subject: Field<Id>,
    /// `sid`: all tokens of the session.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    #[serde(default)]
    session: Field<Id>,
    /// The id (`kid`) or the thumbprint of a key: all access and private tokens that it signed, also later. A key of a
    /// key directory must have been retired before.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false))]
    #[serde(default)]
    key: Field<Id>,
}

impl OperatorRevocation {
    fn into_target(self) -> Result<OperatorTarget, FieldErrors> {
        let fields = [&self.subject, &self.session, &self.key];
        let named = fields.into_iter().filter(|field| !field.is_missing()).count();
        let mut errors = FieldErrors::default();
        let subject = self.subject.optional("subject", &mut errors);
        let session = self.session.optional("session", &mut errors);
        let key = self.key.optional("key", &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let subject = subject.map(|Id(subject)| OperatorTarget::Subject(subject));
        let session = session.map(|Id(session)| OperatorTarget::Session(session));
        let key = key.map(|Id(key)| OperatorTarget::Key(key));
        let target = subject.or(session).or(key).filter(|_| named == 1);
        target
            .ok_or_else(|| FieldErrors::of_request("Name exactly one of subject, session and key."))
    }
}

impl From<OperatorError> for ApiError {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::NotAccess => Self::NOT_ACCESS,
            OperatorError::UnknownKey => {
                FieldErrors::of("key", "This issuer has no such key.").into()
            }
            OperatorError::KeyCanSign => FieldErrors::of("key", KEY_CAN_SIGN).into(),
            OperatorError::Unavailable => Self::UNAVAILABLE,
        }
    }
}
