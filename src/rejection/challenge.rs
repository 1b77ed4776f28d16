//! `WWW-Authenticate` challenges (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9470 section 3, RFC 9728 section
//! 5.1). They are built once, when the layer is set up.

use http::HeaderValue;

use super::{Answer, RejectionKind};
use crate::{ConfigError, scopes::is_scope_token};

/// One challenge for each answer. It contains only settings of the service author, and nothing of a request.
#[derive(Clone, Debug)]
pub(crate) struct Challenges {
    parameters: Parameters,
    not_authenticated: HeaderValue,
    invalid_token: HeaderValue,
    invalid_request: HeaderValue,
    insufficient_scope: HeaderValue,
    insufficient_authentication: HeaderValue,
}

/// The settings that the challenges are built from. Every string was checked: it needs no escape.
#[derive(Clone, Debug)]
struct Parameters {
    realm: Box<str>,
    resource_metadata: Option<Box<str>>,
    /// The scopes that the route requires, separated by spaces.
    scope: Option<Box<str>>,
    acr_values: Option<Box<str>>,
    /// In seconds.
    max_age: Option<u64>,
}

impl Challenges {
    fn new(parameters: Parameters) -> Self {
        let plain = format!("Bearer realm=\"{}\"", parameters.realm);
        let mut end = String::new();
        if let Some(scope) = &parameters.scope {
            end += &format!(", scope=\"{scope}\"");
        }
        if let Some(url) = &parameters.resource_metadata {
            end += &format!(", resource_metadata=\"{url}\"");
        }
        let with_error = |answer: Answer, error: &str| {
            format!("{plain}, error=\"{error}\", error_description=\"{}\"", answer.detail())
        };
        let mut insufficient_authentication = with_error(
            Answer::InsufficientUserAuthentication,
            Answer::InsufficientUserAuthentication.code(),
        );
        if let Some(values) = &parameters.acr_values {
            insufficient_authentication += &format!(", acr_values=\"{values}\"");
        }
        if let Some(seconds) = parameters.max_age {
            insufficient_authentication += &format!(", max_age={seconds}");
        }
        let invalid_token = with_error(Answer::TokenNotValid, "invalid_token");
        Self {
            not_authenticated: header(format!("{plain}{end}")),
            invalid_token: header(format!("{invalid_token}{end}")),
            // Another scope or another authorization server does not repair a malformed request.
            invalid_request: header(format!("{plain}, error=\"invalid_request\"")),
            insufficient_scope: header(format!("{plain}, error=\"insufficient_scope\"{end}")),
            insufficient_authentication: header(format!("{insufficient_authentication}{end}")),
            parameters,
        }
    }

    pub(crate) fn with_realm(&self, realm: &str) -> Result<Self, ConfigError> {
        if !realm.bytes().all(is_quotable) {
            return Err(ConfigError::InvalidHeaderValue("realm"));
        }
        Ok(Self::new(Parameters { realm: realm.into(), ..self.parameters.clone() }))
    }

    pub(crate) fn with_resource_metadata(&self, url: &str) -> Result<Self, ConfigError> {
        if url.is_empty() || !url.bytes().all(is_quotable) {
            return Err(ConfigError::InvalidHeaderValue("resource metadata"));
        }
        let resource_metadata = Some(url.into());
        Ok(Self::new(Parameters { resource_metadata, ..self.parameters.clone() }))
    }

    /// Names the required scopes in every 401 and 403 (RFC 6750 section 3).
    ///
    /// Strings that are not a scope-token are left out: a token cannot have them, and they could break the header.
    pub(crate) fn with_scopes<'s>(&self, scopes: impl Iterator<Item = &'s str>) -> Self {
        let scopes: Vec<&str> = scopes.filter(|scope| is_scope_token(scope)).collect();
        let scope = (!scopes.is_empty()).then(|| scopes.join(" ").into());
        Self::new(Parameters { scope, ..self.parameters.clone() })
    }

    /// Names the required authentication (RFC 9470 section 3). The values were checked by [`is_acr_value`].
    pub(crate) fn with_authentication(
        &self,
        acr_values: &[Box<str>],
        max_age: Option<u64>,
    ) -> Self {
        let values = (!acr_values.is_empty()).then(|| acr_values.join(" ").into());
        Self::new(Parameters { acr_values: values, max_age, ..self.parameters.clone() })
    }

    /// Whether a protected resource is set.
    pub(crate) fn name_metadata(&self) -> bool {
        self.parameters.resource_metadata.is_some()
    }

    /// The challenge of a rejection. 503 has no challenge: another credential would not help.
    pub(crate) fn of(&self, kind: RejectionKind) -> Option<&HeaderValue> {
        match kind.answer() {
            Answer::NotAuthenticated => Some(&self.not_authenticated),
            Answer::TokenNotValid => Some(&self.invalid_token),
            Answer::InvalidRequest => Some(&self.invalid_request),
            // No token was checked, so none of the errors of RFC 6750 applies.
            Answer::PermissionDenied if kind == RejectionKind::CrossSite => {
                Some(&self.not_authenticated)
            }
            Answer::PermissionDenied => Some(&self.insufficient_scope),
            Answer::InsufficientUserAuthentication => Some(&self.insufficient_authentication),
            Answer::Unavailable => None,
        }
    }
}

impl Default for Challenges {
    fn default() -> Self {
        Self::new(Parameters {
            realm: "api".into(),
            resource_metadata: None,
            scope: None,
            acr_values: None,
            max_age: None,
        })
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

/// Whether a list of `acr` values that are separated by spaces can contain this one.
pub(crate) fn is_acr_value(value: &str) -> bool {
    is_scope_token(value)
}
