//! The OpenAPI 3.1 document of the API, generated from the handlers and their bodies. `tests/token_api` compares it
//! with the answers of the router.

use http::StatusCode;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, ContentBuilder, Ref, ResponseBuilder,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    TokenApi,
    answers::{Coded, Detail, FieldErrors},
    calls::{private_tokens, sessions},
};

impl TokenApi {
    /// The OpenAPI document of this API. Its paths are relative to the place of the router. To add it to your own
    /// document under a prefix: `YourApi::openapi().nest("/api/v1/auth", TokenApi::openapi())`.
    #[must_use]
    pub fn openapi() -> openapi::OpenApi {
        Document::openapi()
    }
}

/// Every path also answers without the slash at its end. Tokens are JWTs. Access and private tokens are sent as
/// `Authorization: Bearer <token>`. The calls here accept access tokens only.
#[derive(OpenApi)]
#[openapi(
    info(title = "Token API"),
    paths(
        sessions::login,
        sessions::refresh,
        sessions::logout,
        sessions::revoke_all,
        private_tokens::create_private_token,
        private_tokens::list_private_tokens,
        private_tokens::rotate_private_token,
        private_tokens::revoke_private_token,
    ),
    components(schemas(Coded, Detail, FieldErrors)),
    security(("access_token" = [])),
    modifiers(&Common),
    tags(
        (name = "sessions", description = "Log in, refresh, log out"),
        (name = "private tokens", description = "Long-living tokens for backends and automation"),
    )
)]
struct Document;

/// Adds the responses that all calls share: those of the layer and of the body reader.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut openapi::OpenApi) {
        // The licence is that of this crate, not of the service.
        document.info.license = None;
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("access_token", SecurityScheme::Http(scheme));
        for path in document.paths.paths.values_mut() {
            for operation in [&mut path.get, &mut path.post, &mut path.delete].into_iter().flatten()
            {
                if operation.security.is_none() {
                    operation.security =
                        Some(vec![SecurityRequirement::new("access_token", [""; 0])]);
                    for (status, description) in [
                        (StatusCode::BAD_REQUEST, "More than one credential, or a malformed one"),
                        (StatusCode::UNAUTHORIZED, "No access token, or an invalid or expired one"),
                        (
                            StatusCode::SERVICE_UNAVAILABLE,
                            "Store or keys cannot be asked. See `Retry-After`",
                        ),
                    ] {
                        add(operation, status, description, "Coded");
                    }
                }
                if operation.request_body.is_some() {
                    add(operation, StatusCode::PAYLOAD_TOO_LARGE, "More than 64 KiB", "Detail");
                    add(operation, StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not JSON", "Detail");
                }
            }
        }
    }
}

/// Adds a response, unless the handler already has one for this status.
fn add(operation: &mut Operation, status: StatusCode, description: &str, schema: &str) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let response =
        ResponseBuilder::new().description(description).content("application/json", content);
    let status = status.as_str().to_owned();
    operation.responses.responses.entry(status).or_insert_with(|| response.build().into());
}
