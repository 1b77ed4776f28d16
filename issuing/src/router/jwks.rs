//! Publishes the issuer's public keys for other services.

use ::axum::{Router, response::Response, routing::get};
use http::{
    HeaderValue,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

use crate::TokenIssuer;

/// Five minutes keep load away from the service, and are short enough for a key that is announced minutes before it
/// signs.
pub(super) const CACHE: &str = "public, max-age=300";

pub(super) const PATH: &str = "/.well-known/jwks.json";

impl TokenIssuer {
    /// A router for `/.well-known/jwks.json`: the public keys. Clients may cache them for five minutes. Add it at the
    /// root of the service: `Router::new().merge(issuer.jwks_router())`.
    ///
    /// [`announce`](super::super::SigningKeys::announce) a new key more than five minutes before it signs.
    pub fn jwks_router(&self) -> Router {
        let issuer = self.clone();
        let jwks = async move || {
            let mut response = Response::new(issuer.jwks_json());
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(CACHE));
            response
        };
        Router::new().route(PATH, get(jwks))
    }
}
