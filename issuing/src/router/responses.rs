//! The JSON of answers, and the errors of the API.

use std::{borrow::Cow, time::Duration};

use ::axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::dpop::ProofError;
use crate::{
    ChangePasswordError, LogOutError, LoginError, MAX_PASSWORD, MIN_PASSWORD, NewPasswordError,
    PrivateTokenError, RefreshError, RevokeAllError, RevokeTokenError, SessionError,
};
use tower_bearer::{Rejection, RejectionKind, json::JsonError, rejection::Answer};

/// A JSON body: of an answer, or as an extractor, of a request.
pub(super) struct Json<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        // The answers of this API have no map whose keys are not strings, so serde_json cannot fail.
        let content = serde_json::to_vec(&self.0).unwrap_or_default();
        let content_type = HeaderValue::from_static("application/json");
        ([(CONTENT_TYPE, content_type)], Body::from(content)).into_response()
    }
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum ApiError {
    /// The answer is the one that the layer gives to this rejection. The layer knows the responder and the request, so
    /// [`answer_rejections`](super::answer_rejections) writes it.
    Rejected(RejectionKind),
    /// The proof of a call that binds tokens was rejected.
    Proof(RejectionKind),
    /// No active account has these credentials.
    NoActiveAccount,
    /// Fields are missing or wrong.
    Fields(FieldErrors),
    /// The body is not JSON.
    Json(JsonError),
    /// The client closed the connection, or the body is not valid HTTP.
    BrokenBody,
    /// The body is longer than this number of bytes.
    BodyTooLarge(usize),
    /// The body has this media type, which is not the one that the call reads.
    UnsupportedMediaType(String),
    /// A parameter of a form is missing or repeated.
    InvalidRequest,
    /// A link is needed, but the request does not name a valid host.
    InvalidHost,
    NotFound,
    InvalidPage,
    MethodNotAllowed {
        method: Method,
        allow: &'static str,
    },
    Throttled {
        retry_after: Duration,
    },
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Rejected(kind) => {
                let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
                response.extensions_mut().insert(Rejected(kind));
                response
            }
            Self::Proof(kind) if kind.answer() == Answer::Unavailable => {
                Self::Rejected(kind).into_response()
            }
            Self::Proof(kind) => {
                (StatusCode::BAD_REQUEST, Json(ProofError::of(kind))).into_response()
            }
            Self::NoActiveAccount => {
                (StatusCode::UNAUTHORIZED, Json(Coded::NO_ACTIVE_ACCOUNT)).into_response()
            }
            Self::Fields(errors) => (StatusCode::BAD_REQUEST, Json(errors)).into_response(),
            Self::Json(error) => {
                Detail::with(StatusCode::BAD_REQUEST, format!("JSON parse error - {error}"))
            }
            Self::BrokenBody => Detail::with(StatusCode::BAD_REQUEST, "Malformed request."),
            Self::BodyTooLarge(limit) => {
                let text = format!("Request body is larger than {limit} bytes.");
                Detail::with(StatusCode::PAYLOAD_TOO_LARGE, text)
            }
            Self::UnsupportedMediaType(name) => {
                let text = format!("Unsupported media type \"{name}\" in request.");
                Detail::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
            }
            Self::InvalidRequest => {
                (StatusCode::BAD_REQUEST, Json(OAuthError::INVALID_REQUEST)).into_response()
            }
            Self::InvalidHost => Detail::with(StatusCode::BAD_REQUEST, "Invalid Host header."),
            Self::NotFound => Detail::with(StatusCode::NOT_FOUND, "Not found."),
            Self::InvalidPage => Detail::with(StatusCode::NOT_FOUND, "Invalid page."),
            Self::MethodNotAllowed { method, allow } => {
                let text = format!("Method \"{method}\" not allowed.");
                ([(ALLOW, allow)], Detail::with(StatusCode::METHOD_NOT_ALLOWED, text))
                    .into_response()
            }
            Self::Throttled { retry_after } => {
                let seconds = retry_after.as_secs().max(1);
                let unit = if seconds == 1 { "second" } else { "seconds" };
                let text =
                    format!("Request was throttled. Expected available in {seconds} {unit}.");
                let answer = Detail::with(StatusCode::TOO_MANY_REQUESTS, text);
                ([(RETRY_AFTER, HeaderValue::from(seconds))], answer).into_response()
            }
        }
    }
}

impl ApiError {
    /// The store, the accounts or the keys are not available: 503.
    pub(super) const UNAVAILABLE: Self = Self::Rejected(RejectionKind::RevocationUnavailable);

    /// The token is not an access token, or has expired or was revoked: 401.
    pub(super) const NOT_ACCESS: Self = Self::Rejected(RejectionKind::WrongTokenUse);
}

/// Marks a response that [`answer_rejections`](super::answer_rejections) replaces. It is in the extensions of the
/// response.
#[derive(Clone, Copy)]
pub(super) struct Rejected(pub(super) RejectionKind);

impl From<Rejection> for ApiError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection.kind())
    }
}

impl From<FieldErrors> for ApiError {
    fn from(errors: FieldErrors) -> Self {
        Self::Fields(errors)
    }
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::NoActiveAccount => Self::NoActiveAccount,
            LoginError::Throttled { retry_after } => Self::Throttled { retry_after },
            LoginError::InvalidProof(rejection) => Self::Proof(rejection.kind()),
            LoginError::Busy | LoginError::Unavailable(_) => Self::UNAVAILABLE,
        }
    }
}

impl From<RefreshError> for ApiError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::NotValid => Self::Rejected(RejectionKind::WrongTokenUse),
            RefreshError::Throttled { retry_after } => Self::Throttled { retry_after },
            RefreshError::InvalidProof(rejection) => Self::Proof(rejection.kind()),
            RefreshError::Unavailable(_) => Self::UNAVAILABLE,
        }
    }
}

impl From<LogOutError> for ApiError {
    fn from(error: LogOutError) -> Self {
        match error {
            LogOutError::NotAccess => Self::NOT_ACCESS,
            // One answer for both, so that a caller cannot find out whose token it is.
            LogOutError::NotRefresh | LogOutError::OtherSubject => {
                FieldErrors::of("refresh_token", "Not a refresh token of this account.").into()
            }
            LogOutError::Unavailable(_) => Self::UNAVAILABLE,
        }
    }
}

impl From<RevokeAllError> for ApiError {
    fn from(error: RevokeAllError) -> Self {
        match error {
            RevokeAllError::NotAccess => Self::NOT_ACCESS,
            RevokeAllError::Unavailable(_) => Self::UNAVAILABLE,
        }
    }
}

impl From<RevokeTokenError> for ApiError {
    fn from(error: RevokeTokenError) -> Self {
        match error {
            RevokeTokenError::Throttled { retry_after } => Self::Throttled { retry_after },
            RevokeTokenError::Unavailable(_) => Self::UNAVAILABLE,
        }
    }
}

impl From<ChangePasswordError> for ApiError {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::NotManaged => Self::NotFound,
            ChangePasswordError::NotAccess => Self::NOT_ACCESS,
            ChangePasswordError::WrongPassword => {
                FieldErrors::of("password", "Invalid password.").into()
            }
            ChangePasswordError::NewPassword(error) => {
                FieldErrors::of("new_password", new_password_message(error)).into()
            }
            ChangePasswordError::Throttled { retry_after } => Self::Throttled { retry_after },
            ChangePasswordError::Busy | ChangePasswordError::Unavailable(_) => Self::UNAVAILABLE,
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::NotAccess => Self::NOT_ACCESS,
            SessionError::NotFound => Self::NotFound,
            SessionError::InvalidPage => Self::InvalidPage,
            SessionError::Unavailable(_) => Self::UNAVAILABLE,
        }
    }
}

/// The texts of Django's validators, if it has the rule.
fn new_password_message(error: NewPasswordError) -> Cow<'static, str> {
    match error {
        NewPasswordError::TooShort => format!(
            "This password is too short. It must contain at least {MIN_PASSWORD} characters."
        )
        .into(),
        NewPasswordError::TooLong => {
            format!("This password is too long. It must contain at most {MAX_PASSWORD} bytes.")
                .into()
        }
        NewPasswordError::ContainsNul => "Null characters are not allowed.".into(),
        NewPasswordError::IsEmail => "The password is too similar to the email address.".into(),
        NewPasswordError::IsOld => "The new password must differ from the old one.".into(),
    }
}

impl From<PrivateTokenError> for ApiError {
    fn from(error: PrivateTokenError) -> Self {
        if let Some((field, message)) = field_error(&error) {
            return FieldErrors::of(field, message).into();
        }
        match error {
            PrivateTokenError::NotAccess => Self::NOT_ACCESS,
            PrivateTokenError::TooMany { maximum } => {
                let message =
                    format!("No more than {maximum} private tokens are allowed. Revoke one first.");
                FieldErrors::of_request(message).into()
            }
            PrivateTokenError::MoreScopesThanCaller => {
                Self::Rejected(RejectionKind::PermissionDenied)
            }
            PrivateTokenError::NotFound => Self::NotFound,
            PrivateTokenError::InvalidPage => Self::InvalidPage,
            PrivateTokenError::InvalidProof(rejection) => Self::Proof(rejection.kind()),
            _ => Self::UNAVAILABLE,
        }
    }
}

/// The field that an error is about, and the message for it.
fn field_error(error: &PrivateTokenError) -> Option<(&'static str, Cow<'static, str>)> {
    let (field, message) = match error {
        PrivateTokenError::BlankName => ("name", "This field may not be blank."),
        PrivateTokenError::NameTooLong => {
            ("name", "Ensure this field has no more than 255 characters.")
        }
        PrivateTokenError::NulInName => ("name", "Null characters are not allowed."),
        PrivateTokenError::ExpiryPast => {
            ("expiration_time", "Ensure this datetime is in the future.")
        }
        PrivateTokenError::ExpiryAfterCaller => {
            ("expiration_time", "Ensure this datetime is not later than the expiry of this token.")
        }
        PrivateTokenError::ScopeNotAvailable => ("scopes", SCOPE_NOT_AVAILABLE),
        PrivateTokenError::ExpiryTooFar { maximum } => {
            let seconds = maximum.as_secs();
            let (count, unit) =
                if seconds % DAY == 0 { (seconds / DAY, "days") } else { (seconds, "seconds") };
            let message = format!("Ensure this datetime is no more than {count} {unit} from now.");
            return Some(("expiration_time", message.into()));
        }
        _ => return None,
    };
    Some((field, message.into()))
}

/// The same for every reason, so that nobody learns which scopes exist.
const SCOPE_NOT_AVAILABLE: &str = "Ensure this account has each of these scopes.";

/// One day in seconds.
const DAY: u64 = 24 * 60 * 60;

/// What is wrong, by field. `non_field_errors` is about no single field.
#[derive(Debug, Default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "openapi",
    schema(
        value_type = std::collections::HashMap<String, Vec<String>>,
        example = json!({"expiration_time": ["This field is required."]})
    )
)]
// In the order in which the fields were read.
pub(super) struct FieldErrors(Vec<(&'static str, Cow<'static, str>)>);

impl FieldErrors {
    pub(super) fn of(field: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(vec![(field, message.into())])
    }

    /// An error of the request as a whole.
    pub(super) fn of_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::of("non_field_errors", message)
    }

    pub(super) fn add(&mut self, field: &'static str, message: impl Into<Cow<'static, str>>) {
        self.0.push((field, message.into()));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The checked value. Adds the error if there is one and it is about a field.
    pub(super) fn add_if_wrong<T>(&mut self, checked: Result<T, PrivateTokenError>) -> Option<T> {
        match checked {
            Ok(value) => Some(value),
            Err(error) => {
                if let Some((field, message)) = field_error(&error) {
                    self.add(field, message);
                }
                None
            }
        }
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

/// What happened, for people.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Detail {
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    detail: Cow<'static, str>,
}

impl Detail {
    fn with(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Response {
        (status, Json(Self { detail: detail.into() })).into_response()
    }
}

/// What happened, for programs and for people.
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct Coded {
    #[cfg_attr(feature = "openapi", schema(example = "Token is invalid or expired"))]
    detail: &'static str,
    #[cfg_attr(feature = "openapi", schema(example = "token_not_valid"))]
    code: &'static str,
}

impl Coded {
    const NO_ACTIVE_ACCOUNT: Self = Self {
        detail: "No active account found with the given credentials",
        code: "no_active_account",
    };
}

/// An error of a standard endpoint (RFC 6749 section 5.2).
#[derive(Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub(super) struct OAuthError {
    #[cfg_attr(feature = "openapi", schema(example = "invalid_request"))]
    error: &'static str,
}

impl OAuthError {
    const INVALID_REQUEST: Self = Self { error: "invalid_request" };
}
