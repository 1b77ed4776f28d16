//! Layers that require more of a token that is already authenticated: scopes, a login, or a condition of your own.
//!
//! [`BearerLayer::require_scopes`](crate::BearerLayer::require_scopes),
//! [`BearerLayer::require_authentication`](crate::BearerLayer::require_authentication) and
//! [`BearerLayer::require`](crate::BearerLayer::require) make a [`RequireLayer`]. Put it behind that layer:
//!
//! 1. A token that satisfies the requirement passes.
//! 2. For any other token the layer answers 403 (RFC 6750 section 3.1), or 401 if a login is required (RFC 9470).
//! 3. For an anonymous request, which an optional layer let through, it answers 401.
//! 4. A CORS preflight request that the bearer layer let through passes: it has no token to check.
//! 5. For a request that has not passed a layer for `C` it answers 500, with a text that names `C`.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use pin_project_lite::pin_project;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Authenticated, Authenticator, ConfigError, Rejection, RejectionKind, RequiredScopes,
    ResponseBody,
    claims::UntypedClaims,
    json,
    rejection::{Anonymous, Rejections, is_acr_value, layer_not_installed},
};

/// Rejects tokens that do not satisfy a requirement.
///
/// Cloning is cheap: all settings are behind one `Arc`.
#[must_use = "a layer does nothing until it is put around a service"]
pub struct RequireLayer<C = UntypedClaims> {
    settings: Arc<RequireSettings<C>>,
}

struct RequireSettings<C> {
    requirement: Requirement<C>,
    rejections: Arc<Rejections>,
}

enum Requirement<C> {
    Scopes(RequiredScopes),
    Authentication(RequiredAuthentication, Authenticator<C>),
    Predicate(Predicate<C>),
}

pub(crate) type Predicate<C> = Box<dyn Fn(&Authenticated<C>) -> bool + Send + Sync>;

impl<C> RequireLayer<C> {
    pub(crate) fn scopes(scopes: RequiredScopes, rejections: &Rejections) -> Self {
        let challenges = rejections.challenges.with_scopes(scopes.iter());
        Self::new(Requirement::Scopes(scopes), rejections.with_challenges(challenges).into())
    }

    pub(crate) fn authentication(
        required: RequiredAuthentication,
        authenticator: Authenticator<C>,
        rejections: &Rejections,
    ) -> Self {
        let challenges =
            rejections.challenges.with_authentication(&required.acr_values, required.max_age);
        let requirement = Requirement::Authentication(required, authenticator);
        Self::new(requirement, rejections.with_challenges(challenges).into())
    }

    pub(crate) fn predicate(predicate: Predicate<C>, rejections: Arc<Rejections>) -> Self {
        Self::new(Requirement::Predicate(predicate), rejections)
    }

    fn new(requirement: Requirement<C>, rejections: Arc<Rejections>) -> Self {
        Self { settings: Arc::new(RequireSettings { requirement, rejections }) }
    }
}

impl<C: Send + Sync + 'static> Requirement<C> {
    fn check(&self, token: &Authenticated<C>) -> Result<(), Rejection> {
        let (is_satisfied, kind) = match self {
            Self::Scopes(scopes) => {
                let has = |scope: &str| token.scopes().contains(scope);
                if scopes.are_satisfied(has) {
                    return Ok(());
                }
                return Err(Rejection::insufficient_scope(scopes.to_string().into()));
            }
            Self::Authentication(required, authenticator) => {
                let is_satisfied = required.is_satisfied(token, authenticator)?;
                (is_satisfied, RejectionKind::InsufficientUserAuthentication)
            }
            Self::Predicate(predicate) => (predicate(token), RejectionKind::PermissionDenied),
        };
        if is_satisfied { Ok(()) } else { Err(kind.into()) }
    }
}

/// The authentication of the user that a route requires (RFC 9470). See
/// [`BearerLayer::require_authentication`](crate::BearerLayer::require_authentication).
///
/// A valid token satisfies the requirement if both hold:
///
/// 1. Its `acr` is one of the values, if there are any.
/// 2. Its `auth_time` is at most the maximum age and the leeway of its issuer ago, if there is a maximum age. An
///    `auth_time` that is further in the future than the leeway does not satisfy it.
///
/// A token without a required claim does not satisfy the requirement. A required `acr` that is not a string, or a
/// required `auth_time` that is not a number, makes the token invalid. Without values and maximum age, every token
/// satisfies the requirement.
///
/// ```
/// use std::time::Duration;
/// use tower_bearer::require::RequiredAuthentication;
///
/// let required = RequiredAuthentication::new()
///     .with_acr_values(["urn:example:mfa"])?
///     .with_max_age(Duration::from_secs(300));
/// # Ok::<(), tower_bearer::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "it is a setting of a layer"]
pub struct RequiredAuthentication {
    acr_values: Vec<Box<str>>,
    /// In seconds.
    max_age: Option<u64>,
}

impl RequiredAuthentication {
    /// A requirement that every token satisfies. Add values or a maximum age.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires one of these values in `acr` (OpenID Connect Core section 2). Default: no value is required.
    ///
    /// # Errors
    /// [`ConfigError::InvalidHeaderValue`] if a value is empty, or has a space or another character that the
    /// challenge cannot contain.
    pub fn with_acr_values<T>(mut self, values: T) -> Result<Self, ConfigError>
    where
        T: IntoIterator,
        T::Item: AsRef<str>,
    {
        self.acr_values = values.into_iter().map(|value| value.as_ref().into()).collect();
        if self.acr_values.iter().all(|value| is_acr_value(value)) {
            Ok(self)
        } else {
            Err(ConfigError::InvalidHeaderValue("acr value"))
        }
    }

    /// Requires that the user has logged in at most this long ago, by `auth_time` (OpenID Connect Core section 2).
    /// Parts of a second are cut off. Default: the time does not matter.
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age.as_secs());
        self
    }

    fn is_satisfied<C: Send + Sync + 'static>(
        &self,
        token: &Authenticated<C>,
        authenticator: &Authenticator<C>,
    ) -> Result<bool, RejectionKind> {
        let registered = token.registered();
        let claims = json::from_slice::<AuthenticationClaims>(registered.as_json().as_bytes());
        let claims = claims.map_err(|_| RejectionKind::InvalidClaim)?;
        // Both types come first: a claim of a wrong type makes the token invalid, whatever the other claim has.
        let acr = claims.acr.as_ref().filter(|_| !self.acr_values.is_empty());
        let acr = acr.map(|acr| acr.as_str().ok_or(RejectionKind::InvalidClaim)).transpose()?;
        let auth_time = claims.auth_time.as_ref().filter(|_| self.max_age.is_some());
        if auth_time.is_some_and(|time| !time.is_number()) {
            return Err(RejectionKind::InvalidClaim);
        }
        let is_accepted = |acr: &str| self.acr_values.iter().any(|value| **value == *acr);
        if !self.acr_values.is_empty() && !acr.is_some_and(is_accepted) {
            return Ok(false);
        }
        let Some(max_age) = self.max_age else { return Ok(true) };
        let Some(auth_time) = auth_time.and_then(seconds) else { return Ok(false) };
        let (now, leeway) = authenticator.now_and_leeway(registered.issuer());
        let (now, leeway) = (now.as_secs(), leeway.as_secs());
        let is_recent = now <= auth_time.saturating_add(max_age).saturating_add(leeway);
        Ok(is_recent && auth_time <= now.saturating_add(leeway))
    }
}

#[derive(Deserialize)]
struct AuthenticationClaims {
    #[serde(default, deserialize_with = "present")]
    acr: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    auth_time: Option<Value>,
}

/// A member that is `null` is present, and has the wrong type.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A `NumericDate` (RFC 7519 section 2), without a fraction. `None` for a number that is not a date after 1970.
fn seconds(value: &Value) -> Option<u64> {
    if let Some(seconds) = value.as_u64() {
        return Some(seconds);
    }
    let seconds = value.as_f64().filter(|seconds| (0.0..=MAX_SECONDS).contains(seconds))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
    Some(seconds as u64)
}

/// 2^53. Above it, not every JSON reader gets the same integer.
const MAX_SECONDS: f64 = 9_007_199_254_740_992.0;

impl<S, C> Layer<S> for RequireLayer<C> {
    type Service = Require<S, C>;

    fn layer(&self, inner: S) -> Require<S, C> {
        Require { inner, settings: Arc::clone(&self.settings) }
    }
}

/// The service that [`RequireLayer`] puts around an inner service.
#[must_use = "a service does nothing until it is called"]
pub struct Require<S, C = UntypedClaims> {
    inner: S,
    settings: Arc<RequireSettings<C>>,
}

impl<S, C, ReqB, ResB> Service<Request<ReqB>> for Require<S, C>
where
    S: Service<Request<ReqB>, Response = Response<ResB>> + Clone,
    C: Send + Sync + 'static,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqB>) -> Self::Future {
        let state = match self.settings.check(&request) {
            Ok(()) => State::Calling { future: self.inner.call(request) },
            Err(objection) => {
                // As in `BearerAuth`: a clone releases everything that was reserved for this call.
                self.inner = self.inner.clone();
                let (request, _) = request.into_parts();
                State::Rejected { response: Some(self.settings.reject(objection, &request)) }
            }
        };
        ResponseFuture { state }
    }
}

enum Objection {
    Rejected(Rejection),
    /// The layer that let the request through decides how it is rejected.
    Anonymous(Arc<Rejections>),
    LayerNotInstalled,
}

impl<C: Send + Sync + 'static> RequireSettings<C> {
    fn check<B>(&self, request: &Request<B>) -> Result<(), Objection> {
        let extensions = request.extensions();
        match (extensions.get::<Authenticated<C>>(), extensions.get::<Anonymous<C>>()) {
            (Some(token), _) => self
                .requirement
                .check(token)
                .map_err(|rejection| Objection::Rejected(rejection.with_scheme(token.scheme()))),
            (None, Some(anonymous)) if anonymous.is_preflight => Ok(()),
            (None, Some(anonymous)) => Err(Objection::Anonymous(Arc::clone(&anonymous.rejections))),
            (None, None) => Err(Objection::LayerNotInstalled),
        }
    }

    fn reject(&self, objection: Objection, request: &Parts) -> Response<Bytes> {
        match objection {
            Objection::Rejected(rejection) => self.rejections.respond(rejection, request),
            Objection::Anonymous(rejections) => {
                let kind = RejectionKind::MissingCredential;
                match &self.requirement {
                    // RFC 6750 section 3. Without a resource, a 401 of a stacked layer has no scope.
                    Requirement::Scopes(scopes) if rejections.challenges.name_metadata() => {
                        let challenges = rejections.challenges.with_scopes(scopes.iter());
                        rejections.with_challenges(challenges).respond(kind.into(), request)
                    }
                    _ => rejections.respond(kind.into(), request),
                }
            }
            Objection::LayerNotInstalled => layer_not_installed::<C>(request),
        }
    }
}

pin_project! {
    /// The response of the inner service, or a rejection.
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Calling { #[pin] future: F },
        Rejected { response: Option<Response<Bytes>> },
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Calling { future } => {
                future.poll(cx).map_ok(|response| response.map(ResponseBody::inner))
            }
            StateProjection::Rejected { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(response.map(ResponseBody::rejection))),
                None => panic!("a response future was polled after it had completed"),
            },
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Calling { .. } => "ResponseFuture::Calling(..)",
            State::Rejected { .. } => "ResponseFuture::Rejected(..)",
        })
    }
}

impl<C> Clone for RequireLayer<C> {
    fn clone(&self) -> Self {
        Self { settings: Arc::clone(&self.settings) }
    }
}

impl<C> fmt::Debug for RequireLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireLayer")
            .field("requirement", &self.settings.requirement)
            .finish_non_exhaustive()
    }
}

impl<S: Clone, C> Clone for Require<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), settings: Arc::clone(&self.settings) }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Require<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Require")
            .field("inner", &self.inner)
            .field("requirement", &self.settings.requirement)
            .finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Requirement<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scopes(scopes) => f.debug_tuple("Scopes").field(scopes).finish(),
            Self::Authentication(required, _) => required.fmt(f),
            Self::Predicate(_) => f.write_str("Predicate(..)"),
        }
    }
}
