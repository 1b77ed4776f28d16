//! The public keys, for other services.

use ::axum::{Router, response::Response, routing::get};
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

use crate::TokenIssuer;

/// Long enough to spare the service, short enough for a key that was announced minutes before it signs.
const CACHE: &str = "public, max-age=300";

impl TokenIssuer {
    /// `/.well-known/jwks.json`: the public keys, which others may keep for five minutes. It belongs at the root of the
    /// service: `Router::new().merge(issuer.jwks_router())`.
    ///
    /// [`announce`](super::super::SigningKeys::announce) a key for longer than that before it signs.
    pub fn jwks_router(&self) -> Router {
        let issuer = self.clone();
        let jwks = async move || {
            let mut response = Response::new(issuer.jwks_json());
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(CACHE));
            response
        };
        Router::new().route("/.well-known/jwks.json", get(jwks))
    }
}
