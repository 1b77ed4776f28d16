//! The OpenAPI 3.1 document of the API, generated from the handlers and their bodies. `tests/token_api` compares it
//! with the answers of the router.

use http::StatusCode;
use serde_json::{Value, json};
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, ContentBuilder, Ref, RefOr, ResponseBuilder,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    TokenApi, account_calls, admin_calls, audit_calls,
    dpop::ProofError,
    private_token_calls,
    responses::{Coded, Detail, FieldErrors, OAuthError},
    session_calls, session_list_calls, standard_calls,
};

/// Descriptions of responses that several calls have.
pub(super) const TOO_MANY_CALLS: &str =
    "Too many of the caller's calls at once. `Retry-After` says when to try again";
pub(super) const TOO_MANY_NEW_TOKENS: &str =
    "Too many new private tokens, or calls at once. `Retry-After` says when to try again";
pub(super) const WRONG_FIELDS_OR_TOO_MANY: &str =
    "Fields are missing or wrong, the proof is rejected, or the caller has too many private tokens";

impl TokenApi {
    /// The OpenAPI document of this API. Its paths are relative to the place of the router. To add it to your own
    /// document under a prefix: `YourApi::openapi().nest("/api/v1/auth", TokenApi::openapi())`.
    #[must_use]
    pub fn openapi() -> openapi::OpenApi {
        Document::openapi()
    }
}

/// Every path also answers without the slash at its end. Tokens are JWTs. Access and private tokens are sent as
/// `Authorization: Bearer <token>`. The calls here accept access tokens only. If the operator allows it, those about
/// private tokens also accept private tokens with the scope `private_tokens`. If the operator allows DPoP (RFC 9449), a
/// proof binds tokens to a key. Bound tokens are sent as `Authorization: DPoP <token>` with a proof for each request.
#[derive(OpenApi)]
#[openapi(
    info(title = "Token API"),
    paths(
        session_calls::login,
        session_calls::refresh,
        session_calls::logout,
        session_calls::revoke_all,
        account_calls::change_password,
        session_list_calls::list_sessions,
        session_list_calls::revoke_session,
        private_token_calls::create_private_token,
        private_token_calls::list_private_tokens,
        private_token_calls::rotate_private_token,
        private_token_calls::revoke_private_token,
        standard_calls::revoke,
        standard_calls::introspect,
        admin_calls::list_private_tokens_of,
        audit_calls::list_audit_events,
        admin_calls::revoke_private_token_of_any,
        admin_calls::revoke_for_operator,
    ),
    components(schemas(Coded, Detail, FieldErrors, OAuthError, ProofError)),
    security(("access_token" = [])),
    modifiers(&Common),
    tags(
        (name = "sessions", description = "Log in, refresh, log out, list and revoke log-ins"),
        (name = "accounts", description = "Change the password, if the service manages accounts"),
        (name = "private tokens", description = "Long-living tokens for backends and automation"),
        (name = "standard endpoints", description = "OAuth 2.0: revocation (RFC 7009), introspection (RFC 7662)"),
        (name = "operators", description = "The tokens of others, for access tokens with the scope `tokens:admin`"),
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
        for (path, item) in &mut document.paths.paths {
            for operation in [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten()
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
                    add(
                        operation,
                        StatusCode::UNSUPPORTED_MEDIA_TYPE,
                        "Another media type",
                        "Detail",
                    );
                }
                add_examples(path, operation);
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

/// Adds an example to each error response. `tests/token_api` checks that the router gives these answers.
fn add_examples(path: &str, operation: &mut Operation) {
    let has_body = operation.request_body.is_some();
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && let Some(RefOr::T(content)) = response.content.get_mut("application/json")
        {
            content.example = example(path, has_body, status);
        }
    }
}

/// The body of an error response: of the call at `path`, which reads a body or not.
fn example(path: &str, has_body: bool, status: &str) -> Option<Value> {
    const REQUIRED: [&str; 1] = ["This field is required."];
    Some(match (status, path) {
        ("400", "/login/") => json!({"username": REQUIRED, "password": REQUIRED}),
        ("400", "/refresh/" | "/logout/") => json!({"refresh_token": REQUIRED}),
        ("400", "/password/") => json!({"password": REQUIRED, "new_password": REQUIRED}),
        ("400", "/private_tokens/") if has_body => {
            json!({"name": REQUIRED, "expiration_time": REQUIRED})
        }
        ("400", "/admin/audit/") => json!({"subject": ["Null characters are not allowed."]}),
        ("400", "/admin/private_tokens/") => json!({"subject": REQUIRED}),
        ("400", "/admin/revoke/") => {
            json!({"non_field_errors": ["Name exactly one of subject, session and key."]})
        }
        ("400", "/private_tokens/") => json!({"q": ["Null characters are not allowed."]}),
        ("400", "/private_tokens/{id}/rotate/") => json!({"expiration_time": REQUIRED}),
        ("400", "/revoke/" | "/introspect/") => json!({"error": "invalid_request"}),
        ("400", _) => json!({
            "code": "bad_authorization_header",
            "detail": "The request must carry exactly one well-formed Bearer credential.",
        }),
        ("401", "/login/") => json!({
            "detail": "No active account found with the given credentials",
            "code": "no_active_account",
        }),
        ("401", _) => json!({"code": "token_not_valid", "detail": "Token is invalid or expired"}),
        ("403", _) => json!({
            "code": "permission_denied",
            "detail": "You do not have permission to perform this action.",
        }),
        ("404", "/private_tokens/" | "/sessions/" | "/admin/private_tokens/" | "/admin/audit/") => {
            json!({"detail": "Invalid page."})
        }
        ("404", _) => json!({"detail": "Not found."}),
        ("413", _) => json!({"detail": "Request body is larger than 65536 bytes."}),
        ("415", _) => json!({"detail": "Unsupported media type \"text/plain\" in request."}),
        ("429", "/login/" | "/password/") => {
            json!({"detail": "Request was throttled. Expected available in 10 seconds."})
        }
        ("429", "/revoke/") => {
            json!({"detail": "Request was throttled. Expected available in 3 seconds."})
        }
        ("429", _) => json!({"detail": "Request was throttled. Expected available in 1 second."}),
        ("503", _) => json!({
            "code": "authentication_unavailable",
            "detail": "Authentication is temporarily unavailable.",
        }),
        _ => return None,
    })
}
