//! How one layer rejects: its responder, and the headers of every rejection.

use std::{any, fmt, marker::PhantomData, mem, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
    request::Parts,
};

use super::{
    Answer, Rejection, Responder, TokenApiResponder, challenge::Challenges, grpc, responder,
};
use crate::{
    claims::Clock,
    credential::Scheme,
    dpop::{self, NonceKey},
    telemetry,
};

/// Seconds after which a client may retry while authentication is unavailable.
const RETRY_AFTER_SECONDS: &str = "5";

/// A cache must not answer with a rejection.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// Made when the layer is set up. The layer, its [`RequireLayer`](crate::require::RequireLayer)s and the extractors
/// behind it share it, so that all of them reject in the same way.
#[derive(Clone)]
pub(crate) struct Rejections {
    /// `None`: [`TokenApiResponder`].
    pub(crate) responder: Option<Arc<dyn Responder>>,
    pub(crate) challenges: Challenges,
    /// Whether gRPC requests get gRPC answers.
    pub(crate) grpc_answers: bool,
    /// Makes `DPoP-Nonce`. `None`: the layer needs no nonces.
    pub(crate) nonces: Option<(NonceKey, Arc<dyn Clock>)>,
}

impl Default for Rejections {
    fn default() -> Self {
        Self {
            responder: None,
            challenges: Challenges::default(),
            grpc_answers: true,
            nonces: None,
        }
    }
}

impl Rejections {
    /// The same with other challenges.
    pub(crate) fn with_challenges(&self, challenges: Challenges) -> Self {
        Self { challenges, ..self.clone() }
    }

    /// The nonce for clients at this time, if the layer needs nonces.
    pub(crate) fn nonce(&self) -> Option<HeaderValue> {
        self.nonces.as_ref().map(|(key, clock)| key.header(clock.now()))
    }

    /// The response to a rejected request that nothing needs afterwards. The default response reuses the memory of the
    /// request's headers and extensions, and nothing of their content.
    pub(crate) fn respond_in_place<B>(
        &self,
        rejection: Rejection,
        mut request: Request<B>,
    ) -> Response<Bytes> {
        let challenge = self.challenges.of(rejection.kind(), rejection.scheme());
        let is_grpc = || self.grpc_answers && grpc::is_grpc(request.method(), request.headers());
        let Some(challenge) = challenge.filter(|_| self.responder.is_none() && !is_grpc()) else {
            return self.respond(rejection, &request.into_parts().0);
        };
        telemetry::refused(rejection.kind());
        let mut response = responder::without_headers(rejection.answer());
        let headers = response.headers_mut();
        mem::swap(headers, request.headers_mut());
        headers.clear();
        headers.insert(CONTENT_TYPE, responder::MEDIA_TYPE);
        headers.insert(CACHE_CONTROL, NO_STORE);
        headers.insert(WWW_AUTHENTICATE, challenge.clone());
        if rejection.scheme() == Scheme::DPoP
            && let Some(nonce) = self.nonce()
        {
            headers.insert(dpop::NONCE, nonce);
        }
        let extensions = response.extensions_mut();
        mem::swap(extensions, request.extensions_mut());
        extensions.clear();
        extensions.insert(rejection);
        response
    }

    /// The response to a rejected request.
    pub(crate) fn respond(&self, rejection: Rejection, request: &Parts) -> Response<Bytes> {
        telemetry::refused(rejection.kind());
        let is_grpc = self.grpc_answers && grpc::is_grpc(&request.method, &request.headers);
        let responder = self.responder.as_deref().unwrap_or(&TokenApiResponder);
        let mut response = if is_grpc {
            let own = responder.respond_to_grpc(&rejection, request);
            own.unwrap_or_else(|| grpc::rejection(rejection.answer()))
        } else {
            responder.respond(&rejection, request)
        };
        let headers = response.headers_mut();
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, NO_STORE);
        }
        if rejection.answer() == Answer::Unavailable
            && !is_grpc
            && !headers.contains_key(RETRY_AFTER)
        {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
        }
        if rejection.scheme() == Scheme::DPoP
            && let Some(nonce) = self.nonce()
        {
            headers.insert(dpop::NONCE, nonce);
        }
        if let Some(challenge) = self.challenges.of(rejection.kind(), rejection.scheme())
            && !headers.contains_key(WWW_AUTHENTICATE)
        {
            headers.insert(WWW_AUTHENTICATE, challenge.clone());
        }
        response.extensions_mut().insert(rejection);
        response
    }
}

impl fmt::Debug for Rejections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejections")
            .field("challenges", &self.challenges)
            .field("grpc_answers", &self.grpc_answers)
            .finish_non_exhaustive()
    }
}

/// The layer for `C` puts this into the extensions of a request that it let through without a token. Extractors and
/// layers behind it use it to reject the request if they need a token.
pub(crate) struct Anonymous<C> {
    pub(crate) rejections: Arc<Rejections>,
    /// The request is a CORS preflight, so requirements on tokens do not apply to it.
    pub(crate) is_preflight: bool,
    claims: PhantomData<fn() -> C>,
}

impl<C> Anonymous<C> {
    pub(crate) fn new(rejections: &Arc<Rejections>, is_preflight: bool) -> Self {
        Self { rejections: Arc::clone(rejections), is_preflight, claims: PhantomData }
    }
}

impl<C> Clone for Anonymous<C> {
    fn clone(&self) -> Self {
        Self::new(&self.rejections, self.is_preflight)
    }
}

/// The 500 response to a request that has not passed a layer for `C`. This is a mistake of the service author, not of
/// the client. The text names `C`, because a layer for another type is the likely cause.
pub(crate) fn layer_not_installed<C>(request: &Parts) -> Response<Bytes> {
    let message = layer_not_installed_text::<C>();
    if grpc::is_grpc(&request.method, &request.headers) {
        return grpc::internal(&message);
    }
    let mut response = Response::new(Bytes::from(message));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, NO_STORE);
    response
}

pub(crate) fn layer_not_installed_text<C>() -> String {
    format!("no layer in front of this service provides Authenticated<{}>", any::type_name::<C>())
}
