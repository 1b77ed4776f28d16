//! The caller's sessions: list, revoke.

use std::sync::Arc;

use ::axum::extract::State;
use http::StatusCode;
use serde::Serialize;

#[cfg(feature = "openapi")]
use crate::router::{openapi::TOO_MANY_CALLS, responses::Detail};
use crate::{
    Session, SessionQuery,
    router::{
        Client, TokenApi,
        date_time::DateTime,
        list_request::ListRequest,
        private_token_calls::{PathId, to_the_end},
        responses::{ApiError, Json},
    },
};
use tower_bearer::Authenticated;

/// List the caller's sessions. A session is one log-in.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/sessions/", tag = "sessions",
    params(
        (
            "ordering" = Option<String>, Query,
            description = "`id`, `created_at`, `last_used_at` or `expires_at`, with `-` in front for descending \
                order. Several are separated by commas. Unknown fields are ignored.",
        ),
        ("page" = Option<String>, Query, description = "A number from 1 up, or `last`."),
        ("page_size" = Option<u32>, Query, description = "Up to 100; the default is 20. Bad values are ignored."),
    ),
    responses(
        (status = 200, description = "A page of sessions", body = ListedSessions),
        (status = 404, description = "No such page", body = Detail),
        (status = 429, description = TOO_MANY_CALLS, body = Detail),
    )
))]
pub(super) async fn list_sessions(
    State(api): State<Arc<TokenApi>>,
    caller: Authenticated,
    request: ListRequest<SessionQuery>,
) -> Result<Json<ListedSessions>, ApiError> {
    let _permit = api.limits.call(&caller).await?;
    let page = api.issuer.list_sessions(&caller, &request.query).await?;
    let [next, previous] = request.links(page.count, page.number)?;
    let results = page.sessions.into_iter().map(ListedSession::from).collect();
    Ok(Json(ListedSessions { count: page.count, next, previous, results }))
}

/// Revoke a session, also the caller's own: its refresh tokens and its access tokens.
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/sessions/{id}/", tag = "sessions",
    params(("id" = i64, Path, description = "The number of the session")),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "The caller has no such session, or it has ended", body = Detail),
        (status = 429, description = TOO_MANY_CALLS, body = Detail),
    )
))]
pub(super) async fn revoke_session(
    State(api): State<Arc<TokenApi>>,
    Client(client): Client,
    caller: Authenticated,
    PathId(id): PathId,
) -> Result<StatusCode, ApiError> {
    let permit = api.limits.revocation(&caller).await?;
    let issuer = api.issuer.for_client(&client);
    let revoked = to_the_end(permit, async move { issuer.revoke_session(&caller, id).await });
    revoked.await??;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct ListedSessions {
    count: u64,
    /// The URL of the next page.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    next: Option<String>,
    /// The URL of the previous page.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    previous: Option<String>,
    results: Vec<ListedSession>,
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct ListedSession {
    id: i64,
    /// The time of the log-in.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    created_at: DateTime,
    /// The time of the latest refresh, or of the log-in.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    last_used_at: DateTime,
    /// When the session expires if it is not refreshed.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    expires_at: DateTime,
    /// The name that the client gave itself at the log-in. Do not trust it.
    #[cfg_attr(feature = "openapi", schema(required = true, max_length = 200))]
    user_agent: Option<String>,
    /// Whether the access token of this request belongs to this session.
    current: bool,
}

impl From<Session> for ListedSession {
    fn from(session: Session) -> Self {
        Self {
            id: session.id,
            created_at: DateTime(session.created_at),
            last_used_at: DateTime(session.last_used_at),
            expires_at: DateTime(session.expires_at),
            user_agent: session.user_agent.map(|name| name.to_string()),
            current: session.is_current,
        }
    }
}
