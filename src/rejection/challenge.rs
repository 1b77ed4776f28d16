//! `WWW-Authenticate` challenges (RFC 9110 section 11.6.1, RFC 6750 section 3). They are built once, when the layer is
//! set up.

use http::HeaderValue;

use super::{Answer, RejectionKind};
use crate::ConfigError;

/// One challenge for each answer. It contains only settings of the service author, and nothing of a request.
#[derive(Clone, Debug)]
pub(crate) struct Challenges {
    realm: Box<str>,
    resource_metadata: Option<Box<str>>,
    not_authenticated: HeaderValue,
    invalid_token: HeaderValue,
    invalid_request: HeaderValue,
    insufficient_scope: HeaderValue,
    plain: HeaderValue,
}

impl Challenges {
    fn new(realm: &str, resource_metadata: Option<&str>) -> Self {
        let plain = format!("Bearer realm=\"{realm}\"");
        // RFC 9728 section 5.1: where a client finds the issuer of tokens for this resource.
        let metadata = match resource_metadata {
            Some(url) => format!(", resource_metadata=\"{url}\""),
            None => String::new(),
        };
        let detail = Answer::TokenNotValid.detail();
        Self {
            not_authenticated: header(format!("{plain}{metadata}")),
            invalid_token: header(format!(
                "{plain}, error=\"invalid_token\", error_description=\"{detail}\"{metadata}"
            )),
            invalid_request: header(format!("{plain}, error=\"invalid_request\"")),
            insufficient_scope: header(format!("{plain}, error=\"insufficient_scope\"")),
            plain: header(plain),
            realm: realm.into(),
            resource_metadata: resource_metadata.map(Into::into),
        }
    }

    pub(crate) fn with_realm(&self, realm: &str) -> Result<Self, ConfigError> {
        if !realm.bytes().all(is_quotable) {
            return Err(ConfigError::InvalidHeaderValue("realm"));
        }
        Ok(Self::new(realm, self.resource_metadata.as_deref()))
    }

    pub(crate) fn with_resource_metadata(&self, url: &str) -> Result<Self, ConfigError> {
        if url.is_empty() || !url.bytes().all(is_quotable) {
            return Err(ConfigError::InvalidHeaderValue("resource metadata"));
        }
        Ok(Self::new(&self.realm, Some(url)))
    }

    /// The challenge of a rejection. 503 has no challenge: another credential would not help.
    pub(crate) fn of(&self, kind: RejectionKind) -> Option<&HeaderValue> {
        match kind.answer() {
            Answer::NotAuthenticated => Some(&self.not_authenticated),
            Answer::TokenNotValid => Some(&self.invalid_token),
            Answer::InvalidRequest => Some(&self.invalid_request),
            // No token was checked, so none of the errors of RFC 6750 applies.
            Answer::PermissionDenied if kind == RejectionKind::CrossSite => Some(&self.plain),
            Answer::PermissionDenied => Some(&self.insufficient_scope),
            Answer::Unavailable => None,
        }
    }

    /// The challenge that names the required scopes (RFC 6750 section 3.1).
    ///
    /// Strings that are not a scope-token are left out: a token cannot have them, and they could break the header.
    pub(crate) fn naming_scopes<'s>(&self, scopes: impl Iterator<Item = &'s str>) -> HeaderValue {
        let scopes: Vec<&str> = scopes.filter(|scope| is_scope_token(scope)).collect();
        if scopes.is_empty() {
            return self.insufficient_scope.clone();
        }
        header(format!(
            "Bearer realm=\"{}\", error=\"insufficient_scope\", scope=\"{}\"",
            self.realm,
            scopes.join(" ")
        ))
    }
}

impl Default for Challenges {
    fn default() -> Self {
        Self::new("api", None)
    }
}

/// Every part was checked before, so the fallback to the bare scheme never happens.
fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
}

/// The characters that a quoted-string may contain without an escape (RFC 9110 section 5.6.4), except tabs and
/// obs-text.
fn is_quotable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

/// Whether this is a scope-token (RFC 6749 section 3.3).
fn is_scope_token(scope: &str) -> bool {
    !scope.is_empty() && scope.bytes().all(|byte| is_quotable(byte) && byte != b' ')
}
