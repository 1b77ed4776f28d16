//! Support for axum: [`Authenticated<C>`] and `Option<Authenticated<C>>` as extractors.
//!
//! | the request | `Authenticated<C>` | `Option<Authenticated<C>>` |
//! |---|---|---|
//! | has a valid token | the token | `Some` |
//! | is anonymous: an [optional](crate::BearerLayer::optional) layer let it through | 401 by that layer | `None` |
//! | has not passed a layer for `C` | 500 with a text that names `C` | the same |
//!
//! ```
//! use axum::{Router, routing::get};
//! use serde::Deserialize;
//! use tower_bearer::{Authenticated, BearerLayer};
//!
//! #[derive(Deserialize)]
//! struct Claims {
//!     sub: String,
//! }
//!
//! async fn orders(user: Authenticated<Claims>) -> String {
//!     format!("the orders of {}", user.claims().sub)
//! }
//!
//! fn app(layer: BearerLayer<Claims>) -> Router {
//!     Router::new().route("/orders", get(orders)).route_layer(layer)
//! }
//! ```
//!
//! Unknown paths get 404 with `route_layer`, and 401 with `layer`. Put a CORS layer outside of this one: add it after
//! this one.

use std::fmt;

use axum_core::{
    body::Body,
    extract::{FromRequestParts, OptionalFromRequestParts},
    response::IntoResponse,
};
use bytes::Bytes;
use http::{Response, request::Parts};

use crate::{
    Authenticated, RejectionKind,
    rejection::{Anonymous, layer_not_installed},
};

/// The response if there is no token to extract.
pub struct ExtractorRejection(Box<Response<Bytes>>);

impl<S, C> FromRequestParts<S> for Authenticated<C>
where
    S: Send + Sync,
    C: Send + Sync + 'static,
{
    type Rejection = ExtractorRejection;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ExtractorRejection> {
        let response = match find(parts)? {
            Found::Token(token) => return Ok(token),
            Found::Anonymous(anonymous) => {
                anonymous.refusals.respond(RejectionKind::MissingCredential.into(), parts)
            }
        };
        Err(ExtractorRejection(Box::new(response)))
    }
}

impl<S, C> OptionalFromRequestParts<S> for Authenticated<C>
where
    S: Send + Sync,
    C: Send + Sync + 'static,
{
    type Rejection = ExtractorRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, ExtractorRejection> {
        find(parts).map(|found| match found {
            Found::Token(token) => Some(token),
            Found::Anonymous(_) => None,
        })
    }
}

enum Found<'r, C> {
    Token(Authenticated<C>),
    Anonymous(&'r Anonymous<C>),
}

fn find<C: Send + Sync + 'static>(parts: &Parts) -> Result<Found<'_, C>, ExtractorRejection> {
    if let Some(token) = parts.extensions.get::<Authenticated<C>>() {
        Ok(Found::Token(token.clone()))
    } else if let Some(anonymous) = parts.extensions.get::<Anonymous<C>>() {
        Ok(Found::Anonymous(anonymous))
    } else {
        Err(ExtractorRejection(Box::new(layer_not_installed::<C>(parts))))
    }
}

impl IntoResponse for ExtractorRejection {
    fn into_response(self) -> Response<Body> {
        self.0.map(Body::from)
    }
}

impl fmt::Debug for ExtractorRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExtractorRejection").field(&self.0.status()).finish()
    }
}
