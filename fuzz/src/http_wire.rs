//! The answers that the token API documents, and whether a response is one of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body_util::BodyExt;

use crate::block_on;

/// A response whose body was read completely.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// The rejections of the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    NotAuthenticated,
    TokenNotValid,
    InvalidRequest,
    PermissionDenied,
    Unavailable,
}

impl Refusal {
    pub const ALL: [Self; 5] = [
        Self::NotAuthenticated,
        Self::TokenNotValid,
        Self::InvalidRequest,
        Self::PermissionDenied,
        Self::Unavailable,
    ];

    pub fn status(self) -> u16 {
        match self {
            Self::NotAuthenticated | Self::TokenNotValid => 401,
            Self::InvalidRequest => 400,
            Self::PermissionDenied => 403,
            Self::Unavailable => 503,
        }
    }

    pub fn grpc_status(self) -> &'static str {
        match self {
            Self::NotAuthenticated | Self::TokenNotValid => "16",
            Self::InvalidRequest => "3",
            Self::PermissionDenied => "7",
            Self::Unavailable => "14",
        }
    }

    /// `error` in the challenge.
    pub fn error(self) -> Option<&'static str> {
        match self {
            Self::NotAuthenticated | Self::Unavailable => None,
            Self::TokenNotValid => Some("invalid_token"),
            Self::InvalidRequest => Some("invalid_request"),
            Self::PermissionDenied => Some("insufficient_scope"),
        }
    }

    pub fn code(self) -> &'static str {
        match self {
            Self::NotAuthenticated => "not_authenticated",
            Self::TokenNotValid => "token_not_valid",
            Self::InvalidRequest => "bad_authorization_header",
            Self::PermissionDenied => "permission_denied",
            Self::Unavailable => "authentication_unavailable",
        }
    }

    pub fn detail(self) -> &'static str {
        match self {
            Self::NotAuthenticated => "Authentication credentials were not provided.",
            Self::TokenNotValid => "Token is invalid or expired",
            Self::InvalidRequest => {
                "The request must carry exactly one well-formed Bearer credential."
            }
            Self::PermissionDenied => "You do not have permission to perform this action.",
            Self::Unavailable => "Authentication is temporarily unavailable.",
        }
    }

    pub fn body(self) -> String {
        format!(r#"{{"code":"{}","detail":"{}"}}"#, self.code(), self.detail())
    }
}

impl Answer {
    pub fn of<B>(response: Response<B>) -> Self
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: std::fmt::Debug,
    {
        let (parts, body) = response.into_parts();
        let body = block_on(body.collect()).expect("the body ends without an error").to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    /// The value of a header that occurs at most once.
    #[track_caller]
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        let mut lines = self.headers.get_all(name).iter();
        let line = lines.next().map(|line| line.to_str().expect("printable ASCII"));
        assert_eq!(lines.next(), None, "a header occurs twice: {self:?}");
        line
    }

    /// Checks the properties of every rejection. The parameters of the challenge are not checked, because they differ.
    #[track_caller]
    pub fn is_refusal(&self, refusal: Refusal) {
        assert_eq!(self.status.as_u16(), refusal.status(), "{self:?}");
        assert_eq!(self.body, refusal.body(), "{self:?}");
        assert_eq!(self.header(header::CONTENT_TYPE), Some("application/json"));
        self.is_not_kept();
        let challenge = self.challenge();
        assert_eq!(challenge.is_some(), refusal != Refusal::Unavailable, "{self:?}");
        assert_eq!(self.header(header::RETRY_AFTER).is_some(), refusal == Refusal::Unavailable);
    }

    /// Checks the rejection of a gRPC request, which is trailers only.
    #[track_caller]
    pub fn is_grpc_refusal(&self, refusal: Refusal) {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert_eq!(self.header(header::CONTENT_TYPE), Some("application/grpc"));
        assert_eq!(self.header("grpc-status"), Some(refusal.grpc_status()));
        assert_eq!(self.header("grpc-message"), Some(refusal.detail()));
        assert!(self.body.is_empty(), "{self:?}");
        self.is_not_kept();
    }

    #[track_caller]
    pub fn is_not_kept(&self) {
        assert_eq!(self.header(header::CACHE_CONTROL), Some("no-store"), "{self:?}");
    }

    /// The parameters of the Bearer challenge (RFC 9110 section 11.6.1).
    #[track_caller]
    pub fn challenge(&self) -> Option<BTreeMap<String, String>> {
        let challenge = self.header(header::WWW_AUTHENTICATE)?;
        Some(parameters(challenge).unwrap_or_else(|| panic!("not a challenge: {challenge}")))
    }
}

/// Reads `Bearer name="value", ...`, each name once. The crate never writes quoted pairs, so they are errors here.
fn parameters(challenge: &str) -> Option<BTreeMap<String, String>> {
    let mut rest = challenge.strip_prefix("Bearer ")?;
    let mut parameters = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = after.split_once('"')?;
        let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !is_name || value.contains('\\') {
            return None;
        }
        if parameters.insert(name.to_owned(), value.to_owned()).is_some() {
            return None;
        }
        if after.is_empty() {
            return Some(parameters);
        }
        rest = after.strip_prefix(", ")?;
    }
}
