//! `WWW-Authenticate` challenges (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9449 section 7.1, RFC
//! 9470 section 3, RFC 9728 section 5.1). They are built once, when the layer is set up.

use http::HeaderValue;

use super::{Answer, RejectionKind};
use crate::{ConfigError, credential::Scheme, scopes::is_scope_token};

/// The challenges of a layer. They contain only settings of the service author, and nothing of a request.
#[derive(Clone, Debug)]
pub(crate) struct Challenges {
    parameters: Parameters,
    bearer: OfScheme,
    /// For requests with the scheme `DPoP`, and for all requests if bound tokens are required.
    dpop: Option<OfScheme>,
}

/// The challenges for requests with one scheme: one for each answer. If the layer accepts both schemes, each value has a
/// challenge of both, and the error is in the one of the request's scheme (RFC 9449 section 7.2).
#[derive(Clone, Debug)]
struct OfScheme {
    not_authenticated: HeaderValue,
    invalid_token: HeaderValue,
    invalid_proof: HeaderValue,
    use_nonce: HeaderValue,
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
    dpop: Option<DpopParameters>,
}

#[derive(Clone, Debug)]
struct DpopParameters {
    /// Names separated by spaces.
    algs: Box<str>,
    is_required: bool,
}

impl OfScheme {
    fn new(parameters: &Parameters, scheme: Scheme) -> Self {
        let mut end = String::new();
        if let Some(scope) = &parameters.scope {
            end += &format!(", scope=\"{scope}\"");
        }
        if let Some(url) = &parameters.resource_metadata {
            end += &format!(", resource_metadata=\"{url}\"");
        }
        let described = |answer: Answer, error: &str| {
            format!(", error=\"{error}\", error_description=\"{}\"", answer.detail())
        };
        let mut authentication = described(
            Answer::InsufficientUserAuthentication,
            Answer::InsufficientUserAuthentication.code(),
        );
        if let Some(values) = &parameters.acr_values {
            authentication += &format!(", acr_values=\"{values}\"");
        }
        if let Some(seconds) = parameters.max_age {
            authentication += &format!(", max_age={seconds}");
        }
        let invalid_token = described(Answer::TokenNotValid, "invalid_token");
        let invalid_proof = described(Answer::DpopProofNotValid, "invalid_dpop_proof");
        let use_nonce = described(Answer::DpopProofNotValid, "use_dpop_nonce");
        let value = |error: &str, end: &str| header(parameters.challenge(scheme, error, end));
        Self {
            not_authenticated: value("", &end),
            invalid_token: value(&invalid_token, &end),
            invalid_proof: value(&invalid_proof, &end),
            use_nonce: value(&use_nonce, &end),
            // Another scope or another authorization server does not repair a malformed request.
            invalid_request: value(", error=\"invalid_request\"", ""),
            insufficient_scope: value(", error=\"insufficient_scope\"", &end),
            insufficient_authentication: value(&authentication, &end),
        }
    }
}

impl Parameters {
    /// The challenge of `scheme` with `error`, and the one of the other scheme if the layer accepts both.
    fn challenge(&self, scheme: Scheme, error: &str, end: &str) -> String {
        let bearer = format!("Bearer realm=\"{}\"", self.realm);
        let Some(DpopParameters { algs, is_required }) = &self.dpop else {
            return format!("{bearer}{error}{end}");
        };
        let dpop = format!("DPoP realm=\"{}\", algs=\"{algs}\"", self.realm);
        match scheme {
            Scheme::Bearer => format!("{bearer}{error}{end}, {dpop}{end}"),
            Scheme::DPoP if *is_required => format!("{dpop}{error}{end}"),
            Scheme::DPoP => format!("{dpop}{error}{end}, {bearer}{end}"),
        }
    }
}

impl Challenges {
    fn new(parameters: Parameters) -> Self {
        let bearer = OfScheme::new(&parameters, Scheme::Bearer);
        let dpop = parameters.dpop.is_some().then(|| OfScheme::new(&parameters, Scheme::DPoP));
        Self { parameters, bearer, dpop }
    }

    /// Adds the challenge of the scheme `DPoP` (RFC 9449 section 7.1), with these algorithms. `is_required`: removes the
    /// one of `Bearer`.
    pub(crate) fn with_dpop(&self, algorithms: &[&str], is_required: bool) -> Self {
        let dpop = Some(DpopParameters { algs: algorithms.join(" ").into(), is_required });
        Self::new(Parameters { dpop, ..self.parameters.clone() })
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

    /// The challenge of a rejection of a request with this scheme. 503 has no challenge: another credential would not
    /// help.
    pub(crate) fn of(&self, kind: RejectionKind, scheme: Scheme) -> Option<&HeaderValue> {
        let is_required = self.parameters.dpop.as_ref().is_some_and(|dpop| dpop.is_required);
        let challenges = match &self.dpop {
            Some(dpop) if is_required || scheme == Scheme::DPoP => dpop,
            _ => &self.bearer,
        };
        match kind.answer() {
            Answer::NotAuthenticated => Some(&challenges.not_authenticated),
            Answer::TokenNotValid => Some(&challenges.invalid_token),
            Answer::DpopProofNotValid if kind == RejectionKind::UseDpopNonce => {
                Some(&challenges.use_nonce)
            }
            Answer::DpopProofNotValid => Some(&challenges.invalid_proof),
            Answer::InvalidRequest => Some(&challenges.invalid_request),
            // No token was checked, so none of the errors of RFC 6750 applies.
            Answer::PermissionDenied if kind == RejectionKind::CrossSite => {
                Some(&challenges.not_authenticated)
            }
            Answer::PermissionDenied => Some(&challenges.insufficient_scope),
            Answer::InsufficientUserAuthentication => Some(&challenges.insufficient_authentication),
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
            dpop: None,
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
