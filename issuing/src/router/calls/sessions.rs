//! Log in, refresh, log out, revoke all.

use ::axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use http::{StatusCode, request::Parts};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{access_token, not_access, recheck, unavailable};
#[cfg(feature = "openapi")]
use crate::router::openapi;
use crate::{
    Account, Credentials, LogOutError, LoginError, RefreshError, RevokeAllError, TokenPair,
    router::{
        Shared, TokenApi,
        answers::{FieldErrors, Outcome, empty, json, throttled},
        body::read_object,
        fields::{Fields, Space},
    },
};
use tower_bearer::RejectionKind;

/// Log in: an access token for one hour, and a refresh token.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/login/", tag = "sessions", security(()),
    request_body = openapi::Login,
    responses(
        (status = 200, description = "The account and its tokens", body = LoggedIn<'static>),
        (status = 400, description = "Fields are missing or wrong", body = openapi::FieldErrors),
        (status = 401, description = "No active account has these credentials", body = openapi::Coded),
        (status = 429, description = "Too many attempts; `Retry-After` says when to come again", body = openapi::Detail),
        (status = 503, description = "Accounts, store or keys cannot be asked; `Retry-After`", body = openapi::Coded),
    )
))]
pub(in crate::router) async fn login(State(api): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    api.answer(&parts, log_in(&api, &parts, body).await)
}

async fn log_in(api: &TokenApi, parts: &Parts, body: Body) -> Outcome {
    let mut fields = Fields::new(read_object(&parts.headers, body).await?);
    let name = if fields.has("username") || !fields.has("email") { "username" } else { "email" };
    let username = fields.text(name, Space::CutOff);
    let password = fields.text("password", Space::Kept);
    let (Some(username), Some(password)) = (username, password) else {
        return Err(fields.into_errors().into());
    };
    let credentials = Credentials::new(username, password);
    let peer = (api.peer_address)(parts);
    match api.issuer.log_in(&credentials, peer).await {
        Ok(login) => Ok(json(StatusCode::OK, &LoggedIn::new(&login.account, &login.tokens))),
        Err(LoginError::NoActiveAccount) => {
            let answer = json(StatusCode::UNAUTHORIZED, &NO_ACTIVE_ACCOUNT);
            Err(api.challenged(answer).into())
        }
        Err(LoginError::Throttled { retry_after }) => Err(throttled(retry_after).into()),
        Err(LoginError::Busy | LoginError::Unavailable(_)) => Err(unavailable()),
    }
}

/// New tokens for a refresh token, which is used up by it.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/refresh/", tag = "sessions", security(()),
    request_body = openapi::RefreshToken,
    responses(
        (status = 200, description = "A new access token, and the refresh token that follows", body = Refreshed<'static>),
        (status = 400, description = "The field is missing or wrong", body = openapi::FieldErrors),
        (status = 401, description = "Not a valid refresh token; one that was used before ends its session", body = openapi::Coded),
        (status = 429, description = "Too many refreshes of one session at once; `Retry-After`", body = openapi::Detail),
        (status = 503, description = "Accounts, store or keys cannot be asked; `Retry-After`", body = openapi::Coded),
    )
))]
pub(in crate::router) async fn refresh(State(api): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    api.answer(&parts, renew(&api, &parts, body).await)
}

async fn renew(api: &TokenApi, parts: &Parts, body: Body) -> Outcome {
    let refresh_token = refresh_token(parts, body).await?;
    match api.issuer.refresh(&refresh_token).await {
        Ok(tokens) => Ok(json(StatusCode::OK, &Refreshed::new(&tokens))),
        Err(RefreshError::NotValid) => Err(RejectionKind::WrongTokenUse.into()),
        Err(RefreshError::Throttled { retry_after }) => Err(throttled(retry_after).into()),
        Err(RefreshError::Unavailable(_)) => Err(unavailable()),
    }
}

/// Revoke the access token and the family of the refresh token.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/logout/", tag = "sessions",
    request_body = openapi::RefreshToken,
    responses(
        (status = 204, description = "Both are revoked"),
        (status = 400, description = "Not a refresh token of this account", body = openapi::FieldErrors),
    )
))]
pub(in crate::router) async fn logout(State(api): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    api.answer(&parts, log_out(&api, &parts, body).await)
}

async fn log_out(api: &TokenApi, parts: &Parts, body: Body) -> Outcome {
    let access = access_token(parts)?;
    let refresh_token = refresh_token(parts, body).await;
    recheck(api, &access).await?;
    let refresh_token = refresh_token?;
    match api.issuer.log_out(&access, &refresh_token).await {
        Ok(()) => Ok(empty(StatusCode::NO_CONTENT)),
        // One answer for both: whose token it is, is nobody's business.
        Err(LogOutError::NotRefresh | LogOutError::OtherSubject) => {
            let message = "Not a refresh token of this account.";
            Err(FieldErrors::of("refresh_token", message).into())
        }
        Err(LogOutError::NotAccess) => Err(not_access()),
        Err(LogOutError::Unavailable(_)) => Err(unavailable()),
    }
}

/// Revoke every token of the caller that was issued before now.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/revoke_all/", tag = "sessions",
    responses((status = 204, description = "Every token issued before now is dead")),
))]
pub(in crate::router) async fn revoke_all(State(api): State<Shared>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    api.answer(&parts, revoke_everything(&api, &parts).await)
}

async fn revoke_everything(api: &TokenApi, parts: &Parts) -> Outcome {
    match api.issuer.revoke_all(&access_token(parts)?).await {
        Ok(()) => Ok(empty(StatusCode::NO_CONTENT)),
        Err(RevokeAllError::NotAccess) => Err(not_access()),
        Err(RevokeAllError::Unavailable(_)) => Err(unavailable()),
    }
}

async fn refresh_token(
    parts: &Parts,
    body: Body,
) -> Result<String, crate::router::answers::Refusal> {
    let mut fields = Fields::new(read_object(&parts.headers, body).await?);
    match fields.text("refresh_token", Space::CutOff) {
        Some(token) => Ok(token),
        None => Err(fields.into_errors().into()),
    }
}

#[derive(Serialize)]
struct NoActiveAccount {
    detail: &'static str,
    code: &'static str,
}

const NO_ACTIVE_ACCOUNT: NoActiveAccount = NoActiveAccount {
    detail: "No active account found with the given credentials",
    code: "no_active_account",
};

/// In the order of the API's documentation.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::router) struct LoggedIn<'a> {
    id: i64,
    email: &'a str,
    username: &'a str,
    company_id: Option<i64>,
    token_access: &'a str,
    access_token: &'a str,
    refresh_token: &'a str,
    is_verified: bool,
    profile: &'a Map<String, Value>,
}

impl<'a> LoggedIn<'a> {
    fn new(account: &'a Account, tokens: &'a TokenPair) -> Self {
        Self {
            id: account.id,
            email: &account.email,
            username: &account.username,
            company_id: account.company_id,
            token_access: &tokens.access_token,
            access_token: &tokens.access_token,
            refresh_token: &tokens.refresh_token,
            is_verified: account.is_verified,
            profile: &account.profile,
        }
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(in crate::router) struct Refreshed<'a> {
    token_access: &'a str,
    access_token: &'a str,
    refresh_token: &'a str,
}

impl<'a> Refreshed<'a> {
    fn new(tokens: &'a TokenPair) -> Self {
        Self {
            token_access: &tokens.access_token,
            access_token: &tokens.access_token,
            refresh_token: &tokens.refresh_token,
        }
    }
}
