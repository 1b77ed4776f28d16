//! Problem details (RFC 9457).

use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE, request::Parts};

use super::{Answer, Rejection, Responder};

/// A [`Responder`] that answers with `application/problem+json` (RFC 9457).
///
/// `type` is `about:blank`, so `title` is the phrase of the status. `code` is an extension member with the values of
/// [`Answer::code`].
///
/// ```
/// use http::{Request, StatusCode};
/// use tower_bearer::{Rejection, RejectionKind, rejection::{ProblemJson, Responder}};
///
/// let (request, ()) = Request::new(()).into_parts();
/// let response = ProblemJson.respond(&Rejection::new(RejectionKind::Expired), &request);
/// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
/// assert_eq!(
///     response.body(),
///     r#"{"type":"about:blank","title":"Unauthorized","status":401,"detail":"Token is invalid or expired","code":"token_not_valid"}"#,
/// );
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::exhaustive_structs, reason = "a unit that has nothing to hide")]
pub struct ProblemJson;

impl Responder for ProblemJson {
    fn respond(&self, rejection: &Rejection, _request: &Parts) -> Response<Bytes> {
        let answer = rejection.answer();
        let mut response = Response::new(Bytes::from_static(body_of(answer).as_bytes()));
        *response.status_mut() = answer.status();
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// There are only a few fixed bodies, so they are literals. A test compares them with [`Answer`].
pub(super) fn body_of(answer: Answer) -> &'static str {
    match answer {
        Answer::NotAuthenticated => concat!(
            r#"{"type":"about:blank","title":"Unauthorized","status":401,"#,
            r#""detail":"Authentication credentials were not provided.","code":"not_authenticated"}"#,
        ),
        Answer::TokenNotValid => concat!(
            r#"{"type":"about:blank","title":"Unauthorized","status":401,"#,
            r#""detail":"Token is invalid or expired","code":"token_not_valid"}"#,
        ),
        Answer::DpopProofNotValid => concat!(
            r#"{"type":"about:blank","title":"Unauthorized","status":401,"#,
            r#""detail":"DPoP proof is invalid, expired or already used.","#,
            r#""code":"dpop_proof_not_valid"}"#,
        ),
        Answer::InvalidRequest => concat!(
            r#"{"type":"about:blank","title":"Bad Request","status":400,"#,
            r#""detail":"The request must carry exactly one well-formed Bearer credential.","#,
            r#""code":"bad_authorization_header"}"#,
        ),
        Answer::PermissionDenied => concat!(
            r#"{"type":"about:blank","title":"Forbidden","status":403,"#,
            r#""detail":"You do not have permission to perform this action.","code":"permission_denied"}"#,
        ),
        Answer::InsufficientUserAuthentication => concat!(
            r#"{"type":"about:blank","title":"Unauthorized","status":401,"#,
            r#""detail":"A more recent or stronger authentication is required.","#,
            r#""code":"insufficient_user_authentication"}"#,
        ),
        Answer::Unavailable => concat!(
            r#"{"type":"about:blank","title":"Service Unavailable","status":503,"#,
            r#""detail":"Authentication is temporarily unavailable.","code":"authentication_unavailable"}"#,
        ),
    }
}
