//! Reads the body of a request that OAuth defines as a form (RFC 6749 appendix B).
//!
//! 1. The limit and the check of a slow caller are those of JSON bodies ([`body`](super::body)).
//! 2. A parameter without a value counts as missing, and a repeated parameter makes the request invalid (RFC 6749
//!    section 3.2). Unknown parameters are ignored, unless they are repeated.
//! 3. The query of the URL is never read: tokens in URLs end up in logs (RFC 6750 section 2.3).

use std::{collections::HashMap, sync::Arc};

use ::axum::extract::{FromRequest, Request};
use form_urlencoded::parse;
use zeroize::Zeroizing;

use super::{
    TokenApi,
    body::{check_media_type, receive},
    responses::ApiError,
};

/// The parameters of a form.
pub(super) struct Form(HashMap<String, Zeroizing<String>>);

impl FromRequest<Arc<TokenApi>> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Arc<TokenApi>) -> Result<Self, ApiError> {
        let (content_type, content) = receive(request, api).await?;
        if !content.is_empty() {
            check_media_type(&content_type, b"application/x-www-form-urlencoded")?;
        }
        Self::parse(&content).ok_or(ApiError::InvalidRequest)
    }
}

impl Form {
    /// `None` if a parameter is repeated. Bytes that are not UTF-8 are replaced: no token has the replacement.
    fn parse(content: &[u8]) -> Option<Self> {
        let mut parameters = HashMap::new();
        for (name, value) in parse(content) {
            let value = Zeroizing::new(value.into_owned());
            if parameters.insert(name.into_owned(), value).is_some() {
                return None;
            }
        }
        Some(Self(parameters))
    }

    /// The value of a parameter that the request must have.
    pub(super) fn required(mut self, name: &str) -> Result<Zeroizing<String>, ApiError> {
        self.0.remove(name).filter(|value| !value.is_empty()).ok_or(ApiError::InvalidRequest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(content: &str) -> Option<String> {
        let token = Form::parse(content.as_bytes())?.required("token").ok()?;
        Some(token.to_string())
    }

    #[test]
    fn the_value_of_a_parameter_is_decoded() {
        assert_eq!(token("token=a.b-c_d").as_deref(), Some("a.b-c_d"));
        assert_eq!(token("x=1&token=a%2Eb+c&y").as_deref(), Some("a.b c"));
        assert_eq!(token("%74oken=a").as_deref(), Some("a"));
        assert_eq!(token("token=%FF").as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn a_parameter_without_a_value_is_missing() {
        for content in
            ["", "token", "token=", "Token=a", "tokens=a", "=a", "&", "token_type_hint=a"]
        {
            assert_eq!(token(content), None, "{content}");
        }
    }

    #[test]
    fn a_repeated_parameter_makes_the_form_invalid() {
        for content in [
            "token=a&token=a",
            "token=a&%74oken=b",
            "token=&token=a",
            "token=a&x=1&x=2",
            "token=a&token_type_hint=x&token_type_hint=y",
        ] {
            assert_eq!(token(content), None, "{content}");
        }
    }
}
