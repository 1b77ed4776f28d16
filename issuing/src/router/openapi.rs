//! The document of the API (OpenAPI 3.1), generated from the handlers; `tests/token_api` holds it against what the
//! router answers.

#![expect(
    dead_code,
    reason = "the types of requests are read for their fields' names and kinds only"
)]

use ::axum::http::StatusCode;
use utoipa::{
    IntoParams, Modify, OpenApi, ToSchema,
    openapi::{
        self, ContentBuilder, Ref, ResponseBuilder,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    TokenApi,
    calls::{private_tokens, sessions},
};

impl TokenApi {
    /// The document of this API, with paths relative to where its router stands. To put it under a prefix, and beside
    /// your own: `YourApi::openapi().nest("/api/v1/auth", TokenApi::openapi())`.
    #[must_use]
    pub fn openapi() -> openapi::OpenApi {
        Document::openapi()
    }
}

/// Every path also answers without the slash at its end. Tokens are JWTs; access and private tokens are sent as
/// `Authorization: Bearer <token>`, and the calls here take access tokens only.
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

/// What all calls of a kind have in common is said once: it is one layer and one reader of bodies that answer so.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut openapi::OpenApi) {
        // The crate's, which says nothing about the service.
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
                        (
                            StatusCode::BAD_REQUEST,
                            "More than one credential, or one that is malformed",
                        ),
                        (
                            StatusCode::UNAUTHORIZED,
                            "No access token, or one that is invalid or expired",
                        ),
                        (
                            StatusCode::SERVICE_UNAVAILABLE,
                            "Store or keys cannot be asked; `Retry-After`",
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

/// Adds a response, unless the handler has said more about that status.
fn add(operation: &mut Operation, status: StatusCode, description: &str, schema: &str) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build();
    let response =
        ResponseBuilder::new().description(description).content("application/json", content);
    let status = status.as_str().to_owned();
    operation.responses.responses.entry(status).or_insert_with(|| response.build().into());
}

/// `username` is the e-mail address.
#[derive(ToSchema)]
pub(super) struct Login {
    #[schema(example = "ada@example.org")]
    username: String,
    #[schema(format = Password)]
    password: String,
    /// An alias of `username`.
    email: Option<String>,
}

#[derive(ToSchema)]
pub(super) struct RefreshToken {
    refresh_token: String,
}

#[derive(ToSchema)]
pub(super) struct NewPrivateToken {
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// Mandatory, in the future, at most the operator's maximum away, and never changed later.
    #[schema(format = DateTime)]
    expiration_time: String,
}

#[derive(ToSchema)]
pub(super) struct Rotation {
    #[schema(format = DateTime)]
    expiration_time: String,
    /// For how many seconds the old token stays good, up to the operator's maximum; 0 unless given.
    #[schema(minimum = 0)]
    overlap_seconds: Option<u64>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// `name`, `expiration_time`, `id`, `created_at` or `last_used_at`, `-` in front for descending, several separated by
    /// commas. Unknown fields are ignored.
    ordering: Option<String>,
    /// Only tokens whose name contains this, whatever the case.
    q: Option<String>,
    /// A number from 1 up, or `last`.
    page: Option<String>,
    /// Up to 100; 20 unless given. Bad values are ignored.
    page_size: Option<u32>,
}

/// What is wrong, by field; `non_field_errors` where it is about no field.
#[derive(ToSchema)]
#[schema(example = json!({"expiration_time": ["This field is required."]}))]
pub(super) struct FieldErrors(std::collections::HashMap<String, Vec<String>>);

/// What happened, for people.
#[derive(ToSchema)]
pub(super) struct Detail {
    detail: String,
}

/// What happened, for programs and for people.
#[derive(ToSchema)]
pub(super) struct Coded {
    #[schema(example = "token_not_valid")]
    code: String,
    #[schema(example = "Token is invalid or expired")]
    detail: String,
}
