//! Writes the body of a rejection. A service author may replace it.

use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE, request::Parts};

use super::{Answer, Rejection};

/// Turns a rejection into a response.
///
/// A closure is a responder. The layer adds the mandatory parts to any response that has not set them:
/// `WWW-Authenticate` (RFC 6750 section 3), `Cache-Control: no-store` and, with 503, `Retry-After`. It also puts the
/// [`Rejection`] into the response's extensions. gRPC requests get trailers-only answers, unless
/// [`respond_to_grpc`](Self::respond_to_grpc) returns another response, or the layer has
/// [`with_grpc_answers(false)`](crate::BearerLayer::with_grpc_answers). A gRPC answer does not get `Retry-After`.
///
/// The responder gets the request as the inner service would see it. A token in the query is already removed.
///
/// ```
/// use bytes::Bytes;
/// use http::{Response, request::Parts};
/// use tower_bearer::{Rejection, rejection::Responder};
///
/// fn html(rejection: &Rejection, request: &Parts) -> Response<Bytes> {
///     let body = format!("<h1>{}</h1>", rejection.answer().detail());
///     let mut response = Response::new(Bytes::from(body));
///     *response.status_mut() = rejection.answer().status();
///     response
/// }
///
/// fn takes_responder(_: impl Responder) {}
/// takes_responder(html);
/// ```
pub trait Responder: Send + Sync + 'static {
    /// The response, with its status and body. [`Rejection::answer`] is the part that the client may see.
    /// [`Rejection::kind`] is more precise and is for logs only.
    fn respond(&self, rejection: &Rejection, request: &Parts) -> Response<Bytes>;

    /// The response to a gRPC request: `POST` with a content type of `application/grpc`. Default: `None`. Then the
    /// layer answers trailers-only: HTTP 200, with the answer's code and detail in `grpc-status` and `grpc-message`.
    fn respond_to_grpc(&self, rejection: &Rejection, request: &Parts) -> Option<Response<Bytes>> {
        let _ = (rejection, request);
        None
    }
}

impl<F> Responder for F
where
    F: Fn(&Rejection, &Parts) -> Response<Bytes> + Send + Sync + 'static,
{
    fn respond(&self, rejection: &Rejection, request: &Parts) -> Response<Bytes> {
        self(rejection, request)
    }
}

/// The default responder of a layer: `application/json` with `code` and `detail`.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "a unit that has nothing to hide")]
pub struct TokenApiResponder;

impl Responder for TokenApiResponder {
    fn respond(&self, rejection: &Rejection, _request: &Parts) -> Response<Bytes> {
        let mut response = without_headers(rejection.answer());
        response.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
        response
    }
}

pub(super) const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/json");

/// The status and the body of the default response.
pub(super) fn without_headers(answer: Answer) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body_of(answer).as_bytes()));
    *response.status_mut() = answer.status();
    response
}

/// There are only a few fixed bodies, so they are literals. A test compares them with [`Answer`].
pub(super) fn body_of(answer: Answer) -> &'static str {
    match answer {
        Answer::NotAuthenticated => {
            r#"{"code":"not_authenticated","detail":"Authentication credentials were not provided."}"#
        }
        Answer::TokenNotValid => {
            r#"{"code":"token_not_valid","detail":"Token is invalid or expired"}"#
        }
        Answer::DpopProofNotValid => concat!(
            r#"{"code":"dpop_proof_not_valid","#,
            r#""detail":"DPoP proof is invalid, expired or already used."}"#,
        ),
        Answer::InvalidRequest => concat!(
            r#"{"code":"bad_authorization_header","#,
            r#""detail":"The request must carry exactly one well-formed Bearer credential."}"#,
        ),
        Answer::PermissionDenied => concat!(
            r#"{"code":"permission_denied","#,
            r#""detail":"You do not have permission to perform this action."}"#,
        ),
        Answer::InsufficientUserAuthentication => concat!(
            r#"{"code":"insufficient_user_authentication","#,
            r#""detail":"A more recent or stronger authentication is required."}"#,
        ),
        Answer::Unavailable => concat!(
            r#"{"code":"authentication_unavailable","#,
            r#""detail":"Authentication is temporarily unavailable."}"#,
        ),
    }
}
