//! Private tokens: create, list, rotate, revoke.

use std::{sync::Arc, time::Duration};

use ::axum::extract::{FromRequestParts, Path, State};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use crate::router::{
    dpop::{BadBinding, ProofParameter},
    list_request::ListParameters,
    openapi::{TOO_MANY_CALLS, TOO_MANY_NEW_TOKENS, WRONG_FIELDS_OR_TOO_MANY},
    responses::{Coded, Detail},
};
use crate::{
    CreatedPrivateToken, ListQuery, PrivateToken, PrivateTokenError, PrivateTokenPage, TokenIssuer,
    private_tokens::checked_name,
    rate::Permit,
    router::{
        Client, TokenApi,
        date_time::DateTime,
        dpop::{KeyOfNewToken, token_type_of},
        fields::Field,
        list_request::ListRequest,
        responses::{ApiError, FieldErrors, Json},
    },
    scopes::ScopeSet,
};
use tower_bearer::{Authenticated, UnixTime};

/// Create a private token. Only this answer contains the token itself, as `data`.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/private_tokens/", tag = "private tokens",
    params(ProofParameter),
    request_body = NewPrivateToken,
    responses(
        (status = 201, description = "The token, shown only here", body = Created),
        (status = 400, description = WRONG_FIELDS_OR_TOO_MANY, body = BadBinding),
        (status = 429, description = TOO_MANY_NEW_TOKENS, body = Detail),
    )
))]
pub(super) async fn create_private_token(
    State(api): State<Arc<TokenApi>>,
    Client(client): Client,
    caller: Authenticated,
    key: KeyOfNewToken,
    Json(body): Json<NewPrivateToken>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let new = body.check(&api.issuer, &key)?;
    let _permit = api.limits.new_token(&caller).await?;
    let issuer = api.issuer.for_client(&client);
    let CheckedToken { name, expires_at, scopes, is_bound } = &new;
    let issuer = if *is_bound { key.bind(&issuer, &caller) } else { issuer };
    let created = match scopes {
        Some(scopes) => {
            issuer.create_private_token_with_scopes(&caller, name, *expires_at, scopes).await?
        }
        None => issuer.create_private_token(&caller, name, *expires_at).await?,
    };
    Ok((StatusCode::CREATED, Json(created.into())))
}

/// List the caller's private tokens, without the tokens themselves.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/private_tokens/", tag = "private tokens",
    params(ListParameters),
    responses(
        (status = 200, description = "A page of tokens", body = Listed),
        (status = 400, description = "NUL in `q`", body = FieldErrors),
        (status = 404, description = "No such page", body = Detail),
        (status = 429, description = TOO_MANY_CALLS, body = Detail),
    )
))]
pub(super) async fn list_private_tokens(
    State(api): State<Arc<TokenApi>>,
    caller: Authenticated,
    request: ListRequest<ListQuery>,
) -> Result<Json<Listed>, ApiError> {
    let _permit = api.limits.call(&caller).await?;
    let page = api.issuer.list_private_tokens(&caller, &request.query).await?;
    let links = request.links(page.count, page.number)?;
    Ok(Json(Listed::new(page, links)))
}

/// Replace a private token by a new one, at once or with an overlap.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/private_tokens/{id}/rotate/", tag = "private tokens",
    params(("id" = i64, Path, description = "The number of the token")),
    request_body = Rotation,
    responses(
        (status = 201, description = "The new token, shown only here, under the same name", body = Created),
        (status = 400, description = WRONG_FIELDS_OR_TOO_MANY, body = FieldErrors),
        (status = 403, description = "The caller is a private token that lacks a scope of this token", body = Coded),
        (status = 404, description = "The caller has no such token", body = Detail),
        (status = 429, description = TOO_MANY_NEW_TOKENS, body = Detail),
    )
))]
pub(super) async fn rotate_private_token(
    State(api): State<Arc<TokenApi>>,
    Client(client): Client,
    caller: Authenticated,
    PathId(id): PathId,
    Json(body): Json<Rotation>,
) -> Result<(StatusCode, Json<Created>), ApiError> {
    let (expires_at, overlap) = body.check(&api.issuer)?;
    let permit = api.limits.new_token(&caller).await?;
    let issuer = api.issuer.for_client(&client);
    let created = to_the_end(permit, async move {
        issuer.rotate_private_token(&caller, id, expires_at, overlap).await
    });
    Ok((StatusCode::CREATED, Json(created.await??.into())))
}

/// Revoke a private token.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/private_tokens/{id}/", tag = "private tokens",
    params(("id" = i64, Path, description = "The number of the token")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "The caller has no such token, or it was revoked before", body = Detail),
        (status = 429, description = TOO_MANY_CALLS, body = Detail),
    )
))]
pub(super) async fn revoke_private_token(
    State(api): State<Arc<TokenApi>>,
    Client(client): Client,
    caller: Authenticated,
    PathId(id): PathId,
) -> Result<StatusCode, ApiError> {
    let permit = api.limits.revocation(&caller).await?;
    let issuer = api.issuer.for_client(&client);
    let revoked = to_the_end(permit, async move { issuer.revoke_private_token(&caller, id).await });
    revoked.await??;
    Ok(StatusCode::NO_CONTENT)
}

/// Runs a call to its end, even if the client closes the connection. The call keeps its permit until then.
pub(super) async fn to_the_end<T: Send + 'static>(
    permit: Permit,
    call: impl Future<Output = T> + Send + 'static,
) -> Result<T, ApiError> {
    let call = tokio::spawn(async move {
        let answer = call.await;
        drop(permit);
        answer
    });
    call.await.map_err(|_| ApiError::UNAVAILABLE)
}

/// The number in the path. If it is not a number, the answer is 404.
pub(super) struct PathId(pub(super) i64);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let id = Path::<String>::from_request_parts(parts, state).await;
        let id = id.ok().filter(|Path(id)| id.bytes().all(|byte| byte.is_ascii_digit()));
        id.and_then(|Path(id)| id.parse().ok()).map(Self).ok_or(ApiError::NotFound)
    }
}

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct NewPrivateToken {
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = true, min_length = 1, max_length = 255))]
    #[serde(default)]
    name: Field<String>,
    /// Required, in the future, and at most the operator's maximum away. It cannot be changed later. If a private token
    /// makes the call, it is not later than the expiry of that token.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = true, format = DateTime))]
    #[serde(default)]
    expiration_time: Field<DateTime>,
    /// Scopes that the account has now. Without this member: all of them, except `private_tokens`, `introspect` and
    /// `tokens:admin`. If a private token makes the call, only scopes of that token.
    #[cfg_attr(
        feature = "openapi",
        schema(value_type = Vec<String>, required = false, example = json!(["orders:read"]))
    )]
    #[serde(default)]
    scopes: Field<Vec<String>>,
    /// `DPoP`: the token must be bound to a key, so the request needs a proof. `Bearer`: the token is not bound, also
    /// if the request has a proof. Without this member: the token is bound if the request has a proof.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false, example = "DPoP"))]
    #[serde(default)]
    token_type: Field<String>,
}

struct CheckedToken {
    name: String,
    expires_at: UnixTime,
    scopes: Option<ScopeSet>,
    is_bound: bool,
}

impl NewPrivateToken {
    fn check(self, issuer: &TokenIssuer, key: &KeyOfNewToken) -> Result<CheckedToken, FieldErrors> {
        let mut errors = FieldErrors::default();
        let name = self.name.required("name", &mut errors);
        if let Some(name) = &name {
            errors.add_if_wrong(checked_name(name));
        }
        let expires_at = checked_expiry(self.expiration_time, issuer, &mut errors);
        let scopes = checked_scopes(self.scopes, &mut errors);
        let is_bound = key.is_wanted(self.token_type, &mut errors);
        match (name, expires_at) {
            (Some(name), Some(expires_at)) if errors.is_empty() => {
                Ok(CheckedToken { name, expires_at, scopes, is_bound })
            }
            _ => Err(errors),
        }
    }
}

/// The set of scopes, if each can be a scope.
fn checked_scopes(field: Field<Vec<String>>, errors: &mut FieldErrors) -> Option<ScopeSet> {
    let scopes = ScopeSet::new(field.optional("scopes", errors)?);
    errors.add_if_wrong(scopes.map_err(|_| PrivateTokenError::ScopeNotAvailable))
}

#[derive(Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Rotation {
    /// Like that of a new token.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = true, format = DateTime))]
    #[serde(default)]
    expiration_time: Field<DateTime>,
    /// For how many seconds the old token stays valid, up to the operator's maximum. The default is 0.
    #[cfg_attr(feature = "openapi", schema(value_type = u64, required = false, minimum = 0))]
    #[serde(default)]
    overlap_seconds: Field<u64>,
}

impl Rotation {
    fn check(self, issuer: &TokenIssuer) -> Result<(UnixTime, Duration), FieldErrors> {
        let mut errors = FieldErrors::default();
        let expires_at = checked_expiry(self.expiration_time, issuer, &mut errors);
        let overlap = self.overlap_seconds.optional("overlap_seconds", &mut errors).unwrap_or(0);
        match expires_at {
            Some(expires_at) if errors.is_empty() => Ok((expires_at, Duration::from_secs(overlap))),
            _ => Err(errors),
        }
    }
}

/// The expiry, if the operator allows it.
fn checked_expiry(
    field: Field<DateTime>,
    issuer: &TokenIssuer,
    errors: &mut FieldErrors,
) -> Option<UnixTime> {
    let DateTime(expires_at) = field.required("expiration_time", errors)?;
    errors.add_if_wrong(issuer.check_expiry(expires_at));
    Some(expires_at)
}

/// A new private token. `data` is the token itself.
// In the order of the API's documentation.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Created {
    id: i64,
    name: String,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    expiration_time: DateTime,
    data: String,
    /// Left out if the token has none.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    /// Left out if the token is not bound to a key.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false, example = "DPoP"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

impl From<CreatedPrivateToken> for Created {
    fn from(CreatedPrivateToken { token, data }: CreatedPrivateToken) -> Self {
        Self {
            id: token.id,
            name: token.name.to_string(),
            expiration_time: DateTime(token.expires_at),
            data,
            scopes: texts(&token.scopes),
            token_type: token_type_of(token.key_thumbprint.as_deref()),
        }
    }
}

/// `None` if there is no scope. Then the member is left out, because clients of earlier versions may compare all
/// members. Their accounts have no scopes.
fn texts(scopes: &ScopeSet) -> Option<Vec<String>> {
    (!scopes.is_empty()).then(|| scopes.iter().map(str::to_owned).collect())
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Listed {
    count: u64,
    /// The URL of the next page.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    next: Option<String>,
    /// The URL of the previous page.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    previous: Option<String>,
    results: Vec<ListedToken>,
}

impl Listed {
    pub(super) fn new(page: PrivateTokenPage, [next, previous]: [Option<String>; 2]) -> Self {
        let results = page.tokens.into_iter().map(ListedToken::from).collect();
        Self { count: page.count, next, previous, results }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct ListedToken {
    id: i64,
    name: String,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    expiration_time: DateTime,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    created_at: DateTime,
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required = true, format = DateTime))]
    last_used_at: Option<DateTime>,
    /// Left out if the token has none.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, required = false))]
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    /// Left out if the token is not bound to a key.
    #[cfg_attr(feature = "openapi", schema(value_type = String, required = false, example = "DPoP"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

impl From<PrivateToken> for ListedToken {
    fn from(token: PrivateToken) -> Self {
        Self {
            id: token.id,
            name: token.name.to_string(),
            expiration_time: DateTime(token.expires_at),
            created_at: DateTime(token.created_at),
            last_used_at: token.last_used_at.map(DateTime),
            scopes: texts(&token.scopes),
            token_type: token_type_of(token.key_thumbprint.as_deref()),
        }
    }
}
