//! The operator API: the audit log.

use std::sync::Arc;

use ::axum::extract::{FromRequestParts, OriginalUri, State};
use form_urlencoded::{Serializer, parse};
use http::request::Parts;
use serde::Serialize;

use super::{
    Client, TokenApi,
    date_time::DateTime,
    fields::Id,
    list_request::{PAGE_SIZE, number, page_size},
    public_url,
    responses::{ApiError, FieldErrors, Json},
};
#[cfg(feature = "openapi")]
use super::{
    openapi::TOO_MANY_CALLS,
    responses::{Coded, Detail},
};
use crate::audit::{AuditQuery, AuditRecord};
use tower_bearer::Authenticated;

/// List audit events, the newest first. The caller needs the scope `tokens:admin`. There are no numbered pages, because
/// new events come in while a client reads: follow `next`.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/admin/audit/", tag = "operators",
    params(
        ("subject" = Option<String>, Query, description = "Only events about this `sub`"),
        ("before" = Option<i64>, Query, description = "Only events with a smaller `id`. `next` has this parameter"),
        ("page_size" = Option<u32>, Query, description = "Up to 100; the default is 20. Bad values are ignored"),
    ),
    responses(
        (status = 200, description = "A page of events", body = ListedEvents),
        (status = 400, description = "NUL or more than 1000 bytes in `subject`", body = FieldErrors),
        (status = 403, description = "The access token lacks the scope `tokens:admin`", body = Coded),
        (
            status = 404,
            description = "`before` is not a number, or the service does not offer the audit log",
            body = Detail,
        ),
        (status = 429, description = TOO_MANY_CALLS, body = Detail),
    )
))]
pub(super) async fn list_audit_events(
    State(api): State<Arc<TokenApi>>,
    caller: Authenticated,
    Client(client): Client,
    request: AuditRequest,
) -> Result<Json<ListedEvents>, ApiError> {
    let log = api.audit_log.as_ref().ok_or(ApiError::NotFound)?;
    let _permit = api.limits.call(&caller).await?;
    let page = api.issuer.audit_for_operator(&caller, &client, &**log, &request.query).await?;
    let next = page.next.map(|id| request.page_before(id)).transpose()?;
    let results = page.records.into_iter().map(ListedEvent::from).collect();
    Ok(Json(ListedEvents { next, results }))
}

/// The events that a request asks for.
pub(super) struct AuditRequest {
    query: AuditQuery,
    /// The URL without its query; `None` if the request does not name a valid host.
    url: Option<String>,
}

impl AuditRequest {
    /// The URL of the page with older events.
    fn page_before(&self, id: i64) -> Result<String, ApiError> {
        let url = self.url.as_ref().ok_or(ApiError::InvalidHost)?;
        let mut query = Serializer::new(String::new());
        query.append_pair("before", &id.to_string());
        if self.query.limit != PAGE_SIZE {
            query.append_pair("page_size", &self.query.limit.to_string());
        }
        if let Some(subject) = &self.query.subject {
            query.append_pair("subject", subject);
        }
        Ok(format!("{url}?{}", query.finish()))
    }
}

impl FromRequestParts<Arc<TokenApi>> for AuditRequest {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<TokenApi>) -> Result<Self, ApiError> {
        let mut query = AuditQuery::new(api.issuer.name()).with_limit(PAGE_SIZE);
        // If a parameter is repeated, the last one counts.
        for (name, value) in parse(parts.uri.query().unwrap_or_default().as_bytes()) {
            match &*name {
                "subject" => query.subject = Some(value.into()),
                "before" => {
                    let id = number(&value).ok_or(ApiError::InvalidPage)?;
                    query.before = Some(i64::try_from(id).unwrap_or(i64::MAX));
                }
                "page_size" => query.limit = page_size(&value).unwrap_or(PAGE_SIZE),
                _ => {}
            }
        }
        if let Some(problem) = query.subject.as_deref().and_then(Id::problem) {
            return Err(FieldErrors::of("subject", problem).into());
        }
        let base = match &api.public_url {
            Some(url) => Some(url.to_string()),
            None => public_url::of_request(&parts.uri, &parts.headers),
        };
        // The path includes the prefix under which the router is nested.
        let path = parts.extensions.get().map_or(&parts.uri, |OriginalUri(uri)| uri).path();
        Ok(Self { query, url: base.map(|base| format!("{base}{path}")) })
    }
}

#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct ListedEvents {
    /// The URL of the next page, with older events.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    next: Option<String>,
    results: Vec<ListedEvent>,
}

/// An audit event. Fields that it does not have are `null`.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct ListedEvent {
    id: i64,
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    at: DateTime,
    /// What happened, for example `login_failed`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    kind: &'static str,
    /// How many events this one stands for.
    count: u64,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    subject: Option<String>,
    /// Who did it, if it was not the subject.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    actor: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    address: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    session_id: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    token_id: Option<String>,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    private_token_id: Option<i64>,
    #[cfg_attr(feature = "openapi", schema(required = true))]
    new_private_token_id: Option<i64>,
    /// The thumbprint or the id of a key.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    key: Option<String>,
}

impl From<AuditRecord> for ListedEvent {
    fn from(AuditRecord { id, event }: AuditRecord) -> Self {
        Self {
            id,
            at: DateTime(event.at),
            kind: event.kind.as_str(),
            count: event.count,
            subject: text(event.subject),
            actor: text(event.actor),
            address: text(event.address),
            session_id: text(event.session_id),
            token_id: text(event.token_id),
            private_token_id: event.private_token_id,
            new_private_token_id: event.new_private_token_id,
            key: text(event.key),
        }
    }
}

fn text(field: Option<impl ToString>) -> Option<String> {
    field.map(|field| field.to_string())
}
