//! The OpenAPI document of the whole service, as JSON and as a page.

use axum::{Router, http::header, response::Html, routing::get};
use tower_bearer_issuing::TokenApi;
use utoipa::OpenApi;

use crate::{failure::Outcome, page, service::__path_me};

#[derive(OpenApi)]
#[openapi(paths(me), info(title = "token_service", description = "A service with its own tokens."))]
struct Service;

/// The routes of the document. `base` is the URL of the service.
pub(crate) fn router(base: &str) -> Outcome<Router> {
    let document = Service::openapi().nest("/api/v1/auth", TokenApi::openapi()).to_json()?;
    let page = page::of(&serde_json::from_str(&document)?, base);
    let json = ([(header::CONTENT_TYPE, "application/json")], document);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    let page = ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page));
    Ok(Router::new()
        .route("/openapi.json", get(async move || json))
        .route("/", get(async move || page)))
}
