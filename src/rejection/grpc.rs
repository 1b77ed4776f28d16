//! Rejections of gRPC requests: "Trailers-Only" of the gRPC protocol over HTTP/2. The status is in the headers, and the
//! body is empty.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};

use super::Answer;

const GRPC: &str = "application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether the client uses gRPC, by the method and the content type. gRPC-Web has another content type. Its layer must
/// be outside of this one.
///
/// A rejection of a gRPC request has the status 200. So this requires `POST`: caches may store such an answer to a
/// `GET`.
pub(crate) fn is_grpc(method: &Method, headers: &HeaderMap) -> bool {
    if *method != Method::POST {
        return false;
    }
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return false };
    let Some((media_type, rest)) = content_type.as_bytes().split_at_checked(GRPC.len()) else {
        return false;
    };
    media_type.eq_ignore_ascii_case(GRPC.as_bytes()) && matches!(rest, [] | [b'+' | b';', ..])
}

pub(crate) fn rejection(answer: Answer) -> Response<Bytes> {
    trailers_only(code_of(answer), HeaderValue::from_static(answer.detail()))
}

/// `INTERNAL`, for a mistake of the service author.
pub(crate) fn internal(message: &str) -> Response<Bytes> {
    let message = HeaderValue::try_from(percent_encoded(message))
        .unwrap_or_else(|_| HeaderValue::from_static("internal error"));
    trailers_only("13", message)
}

fn code_of(answer: Answer) -> &'static str {
    match answer {
        Answer::NotAuthenticated
        | Answer::TokenNotValid
        | Answer::DpopProofNotValid
        | Answer::InsufficientUserAuthentication => "16",
        Answer::InvalidRequest => "3",
        Answer::PermissionDenied => "7",
        Answer::Unavailable => "14",
    }
}

fn trailers_only(code: &'static str, message: HeaderValue) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(GRPC));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(GRPC_STATUS, HeaderValue::from_static(code));
    headers.insert(GRPC_MESSAGE, message);
    response
}

/// `Percent-Encoded` of the gRPC protocol: printable ASCII except `%` stays unchanged.
fn percent_encoded(message: &str) -> String {
    let mut encoded = String::with_capacity(message.len());
    for byte in message.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(byte.into()),
            // Writing to a `String` does not fail.
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    encoded
}
