//! The endpoint for push delivery (RFC 8935 section 2).

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, rejection::BytesRejection},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};

use super::{EventError, EventReceiver, MAX_LENGTH};

const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

impl<C: Send + Sync + 'static> EventReceiver<C> {
    /// A router with `POST /events` for push delivery (RFC 8935). Merge or nest it **outside** of the layer: a
    /// transmitter has no access token of this service.
    ///
    /// | answer | when |
    /// |---|---|
    /// | 202 | the store has confirmed what the SET revokes |
    /// | 400 with `err` and `description` | the SET is not accepted. Do not send it again |
    /// | 413, 415 | the body is above 64 KiB, or not `application/secevent+jwt` |
    /// | 503 with `Retry-After` | the keys or the store are not available. Send the SET again |
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn into_router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        let handler = move |headers: HeaderMap, body: Result<Bytes, BytesRejection>| async move {
            self.respond(&headers, body).await
        };
        Router::new().route("/events", post(handler).layer(DefaultBodyLimit::max(MAX_LENGTH)))
    }

    async fn respond(&self, headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Response {
        if !is_event(headers) {
            return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
        }
        let set = match body {
            Ok(set) => set,
            Err(rejection) => return rejection.status().into_response(),
        };
        match self.receive(&set, secret_of(headers)).await {
            Ok(_) => with_no_store(StatusCode::ACCEPTED.into_response()),
            Err(EventError::Unavailable) => {
                let mut response = StatusCode::SERVICE_UNAVAILABLE.into_response();
                response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
                with_no_store(response)
            }
            Err(error) => with_no_store(bad_request(error)),
        }
    }
}

fn is_event(headers: &HeaderMap) -> bool {
    only(headers, CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/secevent+jwt"))
}

/// The Bearer credential. None if there are several.
fn secret_of(headers: &HeaderMap) -> Option<&[u8]> {
    let (scheme, secret) = only(headers, AUTHORIZATION)?.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(secret)
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// RFC 8935 section 2.3. The description names the rule, and nothing of the SET.
fn bad_request(error: EventError) -> Response {
    let err = match error {
        EventError::InvalidKey => "invalid_key",
        EventError::InvalidIssuer => "invalid_issuer",
        EventError::InvalidAudience => "invalid_audience",
        EventError::AuthenticationFailed => "authentication_failed",
        EventError::InvalidRequest(_) | EventError::Unavailable => "invalid_request",
    };
    let body = serde_json::json!({ "err": err, "description": error.to_string() });
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (StatusCode::BAD_REQUEST, headers, body.to_string()).into_response()
}

fn with_no_store(mut response: Response) -> Response {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
