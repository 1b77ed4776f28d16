//! Private tokens: make, list, rotate, revoke.

use std::time::Duration;

use ::axum::{
    body::Body,
    extract::{OriginalUri, Path, Request, State, rejection::PathRejection},
    response::Response,
};
use http::{StatusCode, request::Parts};
use serde::Serialize;

use super::{access_token, not_access, recheck, unavailable};
#[cfg(feature = "openapi")]
use crate::issuing::router::openapi;
use crate::{
    UnixTime,
    issuing::{
        CreatedPrivateToken, PrivateToken, PrivateTokenError,
        private_tokens::checked_name,
        rate::Turn,
        router::{
            Shared, TokenApi,
            answers::{FieldErrors, Outcome, Refusal, detail, empty, json, not_found},
            body::read_object,
            date_time,
            fields::{Fields, Space},
            list, public_url,
        },
    },
};

/// What stands in the path; an error where that is not even text.
type Id = Result<Path<String>, PathRejection>;

const NAME: &str = "name";
const EXPIRATION_TIME: &str = "expiration_time";

/// Make a private token. `data` is shown in this answer and never again.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/private_tokens/", tag = "private tokens",
    request_body = openapi::NewPrivateToken,
    responses(
        (status = 201, description = "The token, shown only here", body = Created<'static>),
        (status = 400, description = "Fields are missing or wrong, or the caller has too many private tokens", body = openapi::FieldErrors),
        (status = 429, description = "Too many new private tokens, or calls at once; `Retry-After` says when to come again", body = openapi::Detail),
    )
))]
pub(in crate::issuing::router) async fn create_private_token(
    State(api): State<Shared>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    api.answer(&parts, create(&api, &parts, body).await)
}

async fn create(api: &TokenApi, parts: &Parts, body: Body) -> Outcome {
    let access = access_token(parts)?;
    let members = read_object(&parts.headers, body).await;
    recheck(api, &access).await?;
    let mut fields = Fields::new(members?);
    let name = fields.text(NAME, Space::CutOff);
    if let Some(error) = name.as_deref().and_then(|name| checked_name(name).err()) {
        note(&mut fields, &error);
    }
    let expires_at = expiry(api, &mut fields);
    match (name, expires_at) {
        (Some(name), Some(expires_at)) if !fields.has_errors() => {
            let _turn = api.owners.new_token(&access).await?;
            let created = api.issuer.create_private_token(&access, &name, expires_at).await;
            Ok(json(StatusCode::CREATED, &Created::new(&created.map_err(refusal)?)))
        }
        _ => Err(fields.into_errors().into()),
    }
}

/// List the caller's private tokens, without the tokens themselves.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/private_tokens/", tag = "private tokens",
    params(openapi::ListQuery),
    responses(
        (status = 200, description = "A page of tokens", body = Listed<'static>),
        (status = 400, description = "NUL in `q`", body = openapi::FieldErrors),
        (status = 404, description = "No such page", body = openapi::Detail),
        (status = 429, description = "Too many of the caller's calls at once; `Retry-After` says when to come again", body = openapi::Detail),
    )
))]
pub(in crate::issuing::router) async fn list_private_tokens(
    State(api): State<Shared>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    api.answer(&parts, list(&api, &parts, uri.path()).await)
}

async fn list(api: &TokenApi, parts: &Parts, path: &str) -> Outcome {
    let access = access_token(parts)?;
    let query = parts.uri.query().unwrap_or_default();
    let wanted = list::read(query)?.ok_or_else(invalid_page)?;
    let _turn = api.owners.call(&access).await?;
    let page = api.issuer.list_private_tokens(&access, &wanted).await.map_err(refusal)?;
    let link = |query: String| match &api.public_url {
        Some(url) => Ok(absolute(url, path, &query)),
        None => match public_url::of_request(&parts.uri, &parts.headers) {
            Some(url) => Ok(absolute(url, path, &query)),
            None => Err(Refusal::from(detail(StatusCode::BAD_REQUEST, "Invalid Host header."))),
        },
    };
    let [next, previous] = list::neighbours(query, &wanted, &page);
    let listed = Listed {
        count: page.count,
        next: next.map(link).transpose()?,
        previous: previous.map(link).transpose()?,
        results: page.tokens.iter().map(ListedToken::new).collect(),
    };
    Ok(json(StatusCode::OK, &listed))
}

/// Put a new private token in the place of one, at once or with an overlap.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/private_tokens/{id}/rotate/", tag = "private tokens",
    params(("id" = i64, Path, description = "The number of the token")),
    request_body = openapi::Rotation,
    responses(
        (status = 201, description = "The new token, shown only here, under the same name", body = Created<'static>),
        (status = 400, description = "Fields are missing or wrong, or the caller has too many private tokens", body = openapi::FieldErrors),
        (status = 404, description = "The caller has no such token", body = openapi::Detail),
        (status = 429, description = "Too many new private tokens, or calls at once; `Retry-After` says when to come again", body = openapi::Detail),
    )
))]
pub(in crate::issuing::router) async fn rotate_private_token(
    State(api): State<Shared>,
    id: Id,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    api.answer(&parts, rotate(&api, &parts, id, body).await)
}

async fn rotate(api: &TokenApi, parts: &Parts, id: Id, body: Body) -> Outcome {
    let access = access_token(parts)?;
    let id = number(id)?;
    let members = read_object(&parts.headers, body).await;
    recheck(api, &access).await?;
    let mut fields = Fields::new(members?);
    let expires_at = expiry(api, &mut fields);
    let overlap = Duration::from_secs(fields.optional_count("overlap_seconds").unwrap_or(0));
    match expires_at {
        Some(expires_at) if !fields.has_errors() => {
            let turn = api.owners.new_token(&access).await?;
            let issuer = api.issuer.clone();
            let created = holding(turn, async move {
                issuer.rotate_private_token(&access, id, expires_at, overlap).await
            });
            let created = created.await?;
            Ok(json(StatusCode::CREATED, &Created::new(&created.map_err(refusal)?)))
        }
        _ => Err(fields.into_errors().into()),
    }
}

/// Revoke a private token.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/private_tokens/{id}/", tag = "private tokens",
    params(("id" = i64, Path, description = "The number of the token")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "The caller has no such token, or not any more", body = openapi::Detail),
        (status = 429, description = "Too many of the caller's calls at once; `Retry-After` says when to come again", body = openapi::Detail),
    )
))]
pub(in crate::issuing::router) async fn revoke_private_token(
    State(api): State<Shared>,
    id: Id,
    request: Request,
) -> Response {
    let (parts, _) = request.into_parts();
    api.answer(&parts, revoke(&api, &parts, id).await)
}

async fn revoke(api: &TokenApi, parts: &Parts, id: Id) -> Outcome {
    let access = access_token(parts)?;
    let id = number(id)?;
    let turn = api.owners.revocation(&access).await?;
    let issuer = api.issuer.clone();
    let revoked =
        holding(turn, async move { issuer.revoke_private_token(&access, id).await }).await?;
    revoked.map_err(refusal)?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// A call that goes on when the client hangs up, and keeps its turn as long.
async fn holding<T: Send + 'static>(
    turn: Turn,
    call: impl Future<Output = T> + Send + 'static,
) -> Result<T, Refusal> {
    let call = tokio::spawn(async move {
        let answer = call.await;
        drop(turn);
        answer
    });
    call.await.map_err(|_| unavailable())
}

/// The expiry that the client asks for, if it may.
fn expiry(api: &TokenApi, fields: &mut Fields) -> Option<UnixTime> {
    let expires_at = fields.date_time(EXPIRATION_TIME)?;
    match api.issuer.check_expiry(expires_at) {
        Ok(()) => Some(expires_at),
        Err(error) => {
            note(fields, &error);
            None
        }
    }
}

fn note(fields: &mut Fields, error: &PrivateTokenError) {
    if let Some((field, message)) = message(error) {
        let _: Option<()> = fields.wrong(field, message);
    }
}

/// What is said about a field, where the error is one's.
fn message(error: &PrivateTokenError) -> Option<(&'static str, String)> {
    let (field, message) = match error {
        PrivateTokenError::BlankName => (NAME, "This field may not be blank.".into()),
        PrivateTokenError::NameTooLong => {
            (NAME, "Ensure this field has no more than 255 characters.".into())
        }
        PrivateTokenError::NulInName => (NAME, "Null characters are not allowed.".into()),
        PrivateTokenError::ExpiryPast => {
            (EXPIRATION_TIME, "Ensure this datetime is in the future.".into())
        }
        PrivateTokenError::ExpiryTooFar { maximum } => {
            let seconds = maximum.as_secs();
            let (count, unit) = match seconds {
                days if days % 86_400 == 0 => (days / 86_400, "days"),
                _ => (seconds, "seconds"),
            };
            let message = format!("Ensure this datetime is no more than {count} {unit} from now.");
            (EXPIRATION_TIME, message)
        }
        _ => return None,
    };
    Some((field, message))
}

fn refusal(error: PrivateTokenError) -> Refusal {
    if let Some((field, message)) = message(&error) {
        return FieldErrors::of(field, message).into();
    }
    match error {
        PrivateTokenError::NotAccess => not_access(),
        PrivateTokenError::TooMany { maximum } => too_many(maximum),
        PrivateTokenError::NotFound => not_found().into(),
        PrivateTokenError::InvalidPage => invalid_page(),
        _ => unavailable(),
    }
}

fn too_many(maximum: u32) -> Refusal {
    let message = format!("No more than {maximum} private tokens are allowed. Revoke one first.");
    FieldErrors::of_none(message).into()
}

fn invalid_page() -> Refusal {
    detail(StatusCode::NOT_FOUND, "Invalid page.").into()
}

/// The number in a path; what is none is nobody's token.
fn number(id: Id) -> Result<i64, Refusal> {
    let id = id.ok().filter(|Path(id)| id.bytes().all(|byte| byte.is_ascii_digit()));
    id.and_then(|Path(id)| id.parse().ok()).ok_or_else(|| not_found().into())
}

fn absolute(url: impl std::fmt::Display, path: &str, query: &str) -> String {
    if query.is_empty() { format!("{url}{path}") } else { format!("{url}{path}?{query}") }
}

/// In the order of the API's documentation.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::issuing::router) struct Created<'a> {
    id: i64,
    name: &'a str,
    expiration_time: String,
    data: &'a str,
}

impl<'a> Created<'a> {
    fn new(created: &'a CreatedPrivateToken) -> Self {
        let CreatedPrivateToken { token, data } = created;
        Self {
            id: token.id,
            name: &token.name,
            expiration_time: date_time::format(token.expires_at),
            data,
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::issuing::router) struct Listed<'a> {
    count: u64,
    next: Option<String>,
    previous: Option<String>,
    results: Vec<ListedToken<'a>>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::issuing::router) struct ListedToken<'a> {
    id: i64,
    name: &'a str,
    expiration_time: String,
    created_at: String,
    last_used_at: Option<String>,
}

impl<'a> ListedToken<'a> {
    fn new(token: &'a PrivateToken) -> Self {
        Self {
            id: token.id,
            name: &token.name,
            expiration_time: date_time::format(token.expires_at),
            created_at: date_time::format(token.created_at),
            last_used_at: token.last_used_at.map(date_time::format),
        }
    }
}
