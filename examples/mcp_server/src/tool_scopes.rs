//! Answers 403 to calls of tools for which the token has not enough scopes, before the MCP service sees them.
//!
//! The layer cannot know the tool: its name is in the body. MCP asks for HTTP 403 with `error="insufficient_scope"`,
//! `scope` and `resource_metadata` (revision 2026-07-28, Authorization, "Runtime Insufficient Scope Errors"). A tool
//! cannot answer like this: it can only answer with a JSON-RPC error.
//!
//! 1. The body of each `POST` is read, up to [`MAX_BODY_BYTES`]. A longer one gets 413.
//! 2. A body that is not one JSON-RPC message gets 400. So does a message with two `method`, `params` or `name`: another
//!    reader may take the other one.
//! 3. A call of a tool of [`SCOPES_OF_TOOLS`] needs all its scopes. If one is missing, the answer is 403, with the
//!    challenge of the layer.
//! 4. Every other message passes.
//!
//! The tools check their scopes again. So a call that this module does not recognise is still rejected.

use std::{collections::HashMap, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tower::{Layer, ServiceExt};
use tower_bearer::{BearerLayer, require::RequireLayer};

use crate::tools::SCOPES_OF_TOOLS;

/// The longest message.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;

const NOT_A_MESSAGE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":null,"#,
    r#""error":{"code":-32600,"message":"The body is not one JSON-RPC message."}}"#
);

/// The requirement of each tool that needs more than the basic scopes.
#[derive(Clone)]
pub(crate) struct ToolScopes(Arc<HashMap<&'static str, RequireLayer>>);

impl ToolScopes {
    pub(crate) fn new(layer: &BearerLayer) -> Self {
        let tools = SCOPES_OF_TOOLS.into_iter();
        Self(Arc::new(tools.map(|(tool, scopes)| (tool, layer.require_scopes(scopes))).collect()))
    }
}

/// The members of a message that name the tool. serde rejects a message that has one of them twice.
#[derive(Deserialize)]
struct Message {
    method: Option<String>,
    params: Option<Params>,
}

#[derive(Deserialize)]
struct Params {
    name: Option<String>,
}

impl Message {
    fn tool(&self) -> Option<&str> {
        let is_call = self.method.as_deref() == Some("tools/call");
        self.params.as_ref().filter(|_| is_call)?.name.as_deref()
    }
}

pub(crate) async fn require_scopes_of_tool(
    State(tools): State<ToolScopes>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let Ok(message) = serde_json::from_slice::<Message>(&body) else {
        let content_type = [(CONTENT_TYPE, "application/json")];
        return (StatusCode::BAD_REQUEST, content_type, NOT_A_MESSAGE).into_response();
    };
    let requirement = message.tool().and_then(|tool| tools.0.get(tool));
    let request = Request::from_parts(parts, Body::from(body));
    match requirement {
        Some(requirement) => match requirement.layer(next).oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(infallible) => match infallible {},
        },
        None => next.run(request).await,
    }
}
