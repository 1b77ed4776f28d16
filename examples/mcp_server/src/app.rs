//! The routes and their layers.

use std::{error::Error, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{
        HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, ORIGIN, WWW_AUTHENTICATE},
    },
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
};
use rmcp::transport::{
    StreamableHttpServerConfig, StreamableHttpService,
    streamable_http_server::session::never::NeverSessionManager,
};
use tower_bearer::{Authenticator, BearerLayer, ProtectedResource};
use tower_http::{cors::CorsLayer, timeout::TimeoutLayer};

use crate::{
    tool_scopes::{MAX_BODY_BYTES, ToolScopes, require_scopes_of_tool},
    tools::{BASIC_SCOPES, OrderTools},
};

/// The time from the end of the request's head to the head of the response. It includes the request's body.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Headers that MCP clients in browsers send (revision 2026-07-28 and earlier ones).
const MCP_HEADERS: [&str; 4] = ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id"];

/// The MCP server at the path of `resource`, and the metadata document.
pub(crate) fn app<'a>(
    authenticator: Authenticator,
    resource: ProtectedResource,
    origins: impl Iterator<Item = &'a str>,
) -> Result<Router, Box<dyn Error>> {
    let origins: Arc<[HeaderValue]> = origins
        .map(|origin| origin.parse().map_err(|_| format!("{origin:?} is not an origin")))
        .collect::<Result<_, _>>()?;
    let url: Uri = resource.identifier().parse()?;
    // MCP is not gRPC. So a rejection always has its HTTP status.
    let layer = BearerLayer::new(authenticator).with_resource(resource).with_grpc_answers(false);

    // The layer that is added last sees a request first.
    let mcp = Router::new()
        .route_service(url.path(), mcp_service(&url))
        .route_layer(from_fn_with_state(ToolScopes::new(&layer), require_scopes_of_tool))
        // One layer for both, so that a 401 also names the scopes.
        .route_layer(layer.clone().and_require_scopes(BASIC_SCOPES))
        .route_layer(cors(&origins))
        .route_layer(from_fn_with_state(origins, check_origin))
        .route_layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT));
    // Clients ask for the document before they have a token.
    let metadata = layer.resource_metadata().ok_or("the layer has no resource")?;
    Ok(mcp.merge(metadata.into_router()))
}

/// The tools behind streamable HTTP. It has no sessions, so that nothing but the token tells who calls.
pub(crate) fn mcp_service(url: &Uri) -> StreamableHttpService<OrderTools, NeverSessionManager> {
    let host = url.authority().map(ToString::to_string);
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(MAX_BODY_BYTES)
        // A proxy in front must keep `Host`.
        .with_allowed_hosts(host);
    StreamableHttpService::new(|| Ok(OrderTools::new()), Arc::default(), config)
}

/// Answers 403 to web pages of other origins, with and without a token (MCP, Streamable HTTP, "Security & Endpoint").
async fn check_origin(
    State(origins): State<Arc<[HeaderValue]>>,
    request: Request,
    next: Next,
) -> Response {
    let mut sent = request.headers().get_all(ORIGIN).iter();
    if sent.all(|origin| origins.contains(origin)) {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let headers = [ACCEPT, AUTHORIZATION, CONTENT_TYPE].into_iter();
    let headers = headers.chain(MCP_HEADERS.map(HeaderName::from_static));
    CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::POST])
        .allow_headers(headers.collect::<Vec<_>>())
        // The challenge, which tells a client where to log in.
        .expose_headers([WWW_AUTHENTICATE])
}
