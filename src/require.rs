//! Layers that require more of a token that is already authenticated: scopes, or a condition of your own.
//!
//! [`BearerLayer::require_scopes`](crate::BearerLayer::require_scopes) and
//! [`BearerLayer::require`](crate::BearerLayer::require) make a [`RequireLayer`]. Put it behind that layer:
//!
//! 1. A token that satisfies the demand passes.
//! 2. For any other token the layer answers 403 (RFC 6750 section 3.1).
//! 3. For an anonymous request, which an optional layer let through, it answers 401.
//! 4. A CORS preflight request that the bearer layer let through passes: it has no token to check.
//! 5. For a request that has not passed a layer for `C` it answers 500, with a text that names `C`.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, request::Parts};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Authenticated, Rejection, RejectionKind, ResponseBody,
    claims::UntypedClaims,
    rejection::{Anonymous, Rejections, layer_not_installed},
};

/// Rejects tokens that do not satisfy a demand.
///
/// Cloning is cheap: all settings are behind one `Arc`.
#[must_use = "a layer does nothing until it is put around a service"]
pub struct RequireLayer<C = UntypedClaims> {
    settings: Arc<RequireSettings<C>>,
}

struct RequireSettings<C> {
    demand: Demand<C>,
    /// The rejection of a token that does not satisfy the demand.
    rejection: Rejection,
    challenge: Option<HeaderValue>,
    rejections: Arc<Rejections>,
}

enum Demand<C> {
    Scopes(Vec<Box<str>>),
    Predicate(Predicate<C>),
}

pub(crate) type Predicate<C> = Box<dyn Fn(&Authenticated<C>) -> bool + Send + Sync>;

impl<C> RequireLayer<C> {
    pub(crate) fn scopes(scopes: Vec<Box<str>>, rejections: Arc<Rejections>) -> Self {
        let challenge = rejections.challenges.naming_scopes(scopes.iter().map(|scope| &**scope));
        Self {
            settings: Arc::new(RequireSettings {
                rejection: Rejection::insufficient_scope(scopes.join(" ").into()),
                demand: Demand::Scopes(scopes),
                challenge: Some(challenge),
                rejections,
            }),
        }
    }

    pub(crate) fn demand(predicate: Predicate<C>, rejections: Arc<Rejections>) -> Self {
        let kind = RejectionKind::PermissionDenied;
        Self {
            settings: Arc::new(RequireSettings {
                demand: Demand::Predicate(predicate),
                rejection: kind.into(),
                challenge: rejections.challenges.of(kind).cloned(),
                rejections,
            }),
        }
    }
}

impl<C> Demand<C> {
    fn is_satisfied_by(&self, token: &Authenticated<C>) -> bool {
        match self {
            Self::Scopes(scopes) => scopes.iter().all(|scope| token.scopes().contains(scope)),
            Self::Predicate(predicate) => predicate(token),
        }
    }
}

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
        let state = match self.settings.objection_to(&request) {
            None => State::Calling { future: self.inner.call(request) },
            Some(objection) => {
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
    NotEnough,
    Anonymous(Arc<Rejections>),
    LayerNotInstalled,
}

impl<C: Send + Sync + 'static> RequireSettings<C> {
    fn objection_to<B>(&self, request: &Request<B>) -> Option<Objection> {
        let extensions = request.extensions();
        match (extensions.get::<Authenticated<C>>(), extensions.get::<Anonymous<C>>()) {
            (Some(token), _) if self.demand.is_satisfied_by(token) => None,
            (Some(_), _) => Some(Objection::NotEnough),
            (None, Some(anonymous)) if anonymous.is_preflight => None,
            (None, Some(anonymous)) => {
                Some(Objection::Anonymous(Arc::clone(&anonymous.rejections)))
            }
            (None, None) => Some(Objection::LayerNotInstalled),
        }
    }

    fn reject(&self, objection: Objection, request: &Parts) -> Response<Bytes> {
        match objection {
            Objection::NotEnough => {
                let challenge = self.challenge.as_ref();
                self.rejections.respond_with(self.rejection.clone(), challenge, request)
            }
            Objection::Anonymous(rejections) => {
                rejections.respond(RejectionKind::MissingCredential.into(), request)
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
            .field("demand", &self.settings.demand)
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
            .field("demand", &self.settings.demand)
            .finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Demand<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scopes(scopes) => f.debug_tuple("Scopes").field(scopes).finish(),
            Self::Predicate(_) => f.write_str("Predicate(..)"),
        }
    }
}
