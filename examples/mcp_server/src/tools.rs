//! The tools of the server. Each of them knows the user by the token of its request.

use axum::http::request::Parts;
use rmcp::{
    ErrorData, ServerHandler,
    handler::server::{
        common::{AsRequestContext, FromContextPart},
        router::tool::ToolRouter,
        wrapper::Parameters,
    },
    model::{CallToolResult, ServerCapabilities, ServerConfig},
    schemars, tool, tool_handler, tool_router,
};
use serde::Deserialize;
use serde_json::json;
use tower_bearer::Authenticated;

/// Every request needs these, and a client asks for them at its first log-in.
pub(crate) const BASIC_SCOPES: [&str; 1] = ["orders:read"];

/// The tools that need more than the basic scopes, with all the scopes that a call needs. The basic scopes are part of
/// the list: after a 403 some clients ask only for the scopes of the challenge, and lose those that they had.
pub(crate) const SCOPES_OF_TOOLS: [(&str, [&str; 2]); 1] =
    [("cancel_order", ["orders:read", "orders:write"])];

/// The verified token of the request that calls a tool. `rmcp` puts the parts of the HTTP request into the extensions
/// of its own request.
struct Caller(Authenticated);

impl<C: AsRequestContext> FromContextPart<C> for Caller {
    fn from_context_part(context: &mut C) -> Result<Self, ErrorData> {
        let parts = context.as_request_context().extensions.get::<Parts>();
        let user = parts.and_then(|parts| parts.extensions.get::<Authenticated>());
        user.cloned().map(Self).ok_or_else(|| {
            ErrorData::internal_error("the request has not passed the bearer layer", None)
        })
    }
}

impl Caller {
    fn subject(&self) -> &str {
        self.0.registered().subject().unwrap_or("a client without a user")
    }

    /// [`tool_scopes`](crate::tool_scopes) has answered a client without the scope. This protects the tool if that did
    /// not recognise the call.
    fn require_scope(&self, scope: &str) -> Result<(), ErrorData> {
        if self.0.scopes().contains(scope) {
            return Ok(());
        }
        Err(ErrorData::invalid_request("the token does not have the scope of this tool", None))
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
struct CancelOrder {
    /// The number of the order.
    order: u64,
}

#[derive(Clone)]
pub(crate) struct OrderTools {
    router: ToolRouter<Self>,
}

#[tool_router(router = routes)]
impl OrderTools {
    pub(crate) fn new() -> Self {
        Self { router: Self::routes() }
    }

    #[tool(description = "The user and the scopes of the token")]
    fn whoami(caller: Caller) -> CallToolResult {
        let scopes: Vec<&str> = caller.0.scopes().iter().collect();
        CallToolResult::structured(json!({ "user": caller.subject(), "scopes": scopes }))
    }

    #[tool(description = "The orders of the user")]
    fn list_orders(caller: Caller) -> CallToolResult {
        CallToolResult::structured(json!({ "user": caller.subject(), "orders": [1, 2] }))
    }

    #[tool(description = "Cancels an order of the user")]
    fn cancel_order(
        caller: Caller,
        Parameters(CancelOrder { order }): Parameters<CancelOrder>,
    ) -> Result<CallToolResult, ErrorData> {
        caller.require_scope("orders:write")?;
        Ok(CallToolResult::structured(json!({ "user": caller.subject(), "cancelled": order })))
    }
}

#[tool_handler(router = self.router)]
impl ServerHandler for OrderTools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}
