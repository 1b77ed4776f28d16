//! Answers: JSON, and kept by nobody.

use std::{fmt::Display, time::Duration};

use ::axum::{body::Body, response::Response};
use http::{
    HeaderValue, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

use tower_bearer::RejectionKind;

/// What a call comes to.
pub(super) type Outcome = Result<Response, Refusal>;

/// Why a call did not do what it was asked for.
pub(super) enum Refusal {
    /// An answer of its own.
    Answer(Box<Response>),
    /// A bad token or a part of the service that is away: the answer that the layer gives to those.
    Layer(RejectionKind),
}

impl From<Response> for Refusal {
    fn from(answer: Response) -> Self {
        Self::Answer(Box::new(answer))
    }
}

impl From<RejectionKind> for Refusal {
    fn from(kind: RejectionKind) -> Self {
        Self::Layer(kind)
    }
}

impl From<FieldErrors> for Refusal {
    fn from(errors: FieldErrors) -> Self {
        json(StatusCode::BAD_REQUEST, &errors).into()
    }
}

/// An answer with a body. Most of them carry tokens or say whose they are, so that none is kept by a cache.
pub(super) fn json(status: StatusCode, content: &impl Serialize) -> Response {
    // What is written here has no map with other keys than strings and nothing else that could fail.
    let content = serde_json::to_vec(content).unwrap_or_default();
    let mut response = empty(status);
    *response.body_mut() = Body::from(content);
    with_header(response, CONTENT_TYPE, HeaderValue::from_static("application/json"))
}

/// An answer without a body.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    with_header(response, CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// `{"detail": ...}`.
pub(super) fn detail(status: StatusCode, text: impl Display) -> Response {
    #[derive(Serialize)]
    struct Detail {
        detail: String,
    }
    json(status, &Detail { detail: text.to_string() })
}

pub(super) fn not_found() -> Response {
    detail(StatusCode::NOT_FOUND, "Not found.")
}

pub(super) fn method_not_allowed(method: &str, allow: &'static str) -> Response {
    let text = format!("Method \"{method}\" not allowed.");
    let response = detail(StatusCode::METHOD_NOT_ALLOWED, text);
    with_header(response, ALLOW, HeaderValue::from_static(allow))
}

pub(super) fn throttled(retry_after: Duration) -> Response {
    let seconds = retry_after.as_secs().max(1);
    let unit = if seconds == 1 { "second" } else { "seconds" };
    let text = format!("Request was throttled. Expected available in {seconds} {unit}.");
    let response = detail(StatusCode::TOO_MANY_REQUESTS, text);
    with_header(response, RETRY_AFTER, seconds.into())
}

pub(super) fn with_header(
    mut response: Response,
    name: HeaderName,
    value: HeaderValue,
) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// What is wrong with the fields of a request, in their order: `{"name": ["..."]}`.
#[derive(Default)]
pub(super) struct FieldErrors(Vec<(&'static str, String)>);

impl FieldErrors {
    pub(super) fn of(field: &'static str, message: impl Into<String>) -> Self {
        Self(vec![(field, message.into())])
    }

    /// About the whole and no field.
    pub(super) fn of_none(message: impl Into<String>) -> Self {
        Self::of("non_field_errors", message)
    }

    pub(super) fn add(&mut self, field: &'static str, message: impl Into<String>) {
        self.0.push((field, message.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for FieldErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (field, message) in &self.0 {
            map.serialize_entry(field, &[message])?;
        }
        map.end()
    }
}
