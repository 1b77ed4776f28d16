//! The documented answers. They are recognised by every byte that is documented.

use http::{HeaderMap, StatusCode, header};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answer {
    /// 200 with the claims of exactly this token, or 204 to a log-out.
    Passed,
    NotAuthenticated,
    TokenNotValid,
    BadHeader,
    PermissionDenied,
    Unavailable,
    /// A log-out that the store could not record.
    NotStored,
}

impl Answer {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NotAuthenticated => "401 not_authenticated",
            Self::TokenNotValid => "401 token_not_valid",
            Self::BadHeader => "400 bad_authorization_header",
            Self::PermissionDenied => "403 permission_denied",
            Self::Unavailable => "503 authentication_unavailable",
            Self::NotStored => "503 of the log-out",
        }
    }

    /// `subject` is the subject whose claims a 200 must contain. For anything that is not a documented answer, returns
    /// a text.
    pub(crate) fn read(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        subject: Option<&str>,
    ) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{what} in a {status}"));
        let challenge = headers.get(header::WWW_AUTHENTICATE).map(|value| value.as_bytes());
        if status == StatusCode::OK {
            let claims: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let shown = claims["sub"].as_str().or(claims["admin"].as_str());
            return match subject.is_some() && shown == subject {
                true => Ok(Self::Passed),
                false => wrong("the claims of another token"),
            };
        }
        if status == StatusCode::NO_CONTENT {
            return Ok(Self::Passed);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE && body.is_empty() {
            return Ok(Self::NotStored);
        }
        let (answer, expected_status, expected_challenge, expected_body): (_, _, Option<&[u8]>, _) =
            match serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default()["code"].as_str() {
                Some("not_authenticated") => (
                    Self::NotAuthenticated,
                    401,
                    Some(br#"Bearer realm="api""#.as_slice()),
                    r#"{"code":"not_authenticated","detail":"Authentication credentials were not provided."}"#,
                ),
                Some("token_not_valid") => (
                    Self::TokenNotValid,
                    401,
                    Some(br#"Bearer realm="api", error="invalid_token", error_description="Token is invalid or expired""#),
                    r#"{"code":"token_not_valid","detail":"Token is invalid or expired"}"#,
                ),
                Some("permission_denied") => (
                    Self::PermissionDenied,
                    403,
                    challenge.filter(|challenge| {
                        challenge.starts_with(br#"Bearer realm="api", error="insufficient_scope""#)
                            && challenge.ends_with(br#"scope="admin""#)
                    }),
                    r#"{"code":"permission_denied","detail":"You do not have permission to perform this action."}"#,
                ),
                Some("bad_authorization_header") => (
                    Self::BadHeader,
                    400,
                    challenge.filter(|challenge| {
                        challenge.starts_with(br#"Bearer realm="api", error="invalid_request""#)
                    }),
                    "",
                ),
                Some("authentication_unavailable") => (Self::Unavailable, 503, None, ""),
                _ => return wrong("an undocumented body"),
            };
        if status.as_u16() != expected_status {
            return wrong("the body of another answer");
        }
        if challenge != expected_challenge || (challenge.is_none() && answer != Self::Unavailable) {
            return wrong("a wrong challenge");
        }
        if !expected_body.is_empty() && body != expected_body.as_bytes() {
            return wrong("a wrong body");
        }
        let has = |name, value: &str| headers.get(name).is_some_and(|found| found == value);
        if !has(header::CONTENT_TYPE, "application/json") || !has(header::CACHE_CONTROL, "no-store")
        {
            return wrong("a wrong content type or cache control");
        }
        if answer == Self::Unavailable && !headers.contains_key(header::RETRY_AFTER) {
            return wrong("no Retry-After");
        }
        Ok(answer)
    }
}
