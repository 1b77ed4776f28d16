//! The service of the layer: decides on each request before the inner service gets it.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    Method, Request, Response,
    header::{
        ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, TRANSFER_ENCODING,
        UPGRADE,
    },
};
use http_body::Body;
use tower_service::Service;

use crate::{
    Authenticated, BoxFuture, Rejection, RejectionKind, ResponseBody, ResponseFuture,
    authenticator::Progress, claims::UntypedClaims, credential::refusal_of, future::Instance,
    layer::Settings, rejection::Anonymous, telemetry::Admitted,
};

/// The service that [`BearerLayer`](crate::BearerLayer) puts around another.
///
/// It is ready when the inner service is ready. It calls exactly the instance that was ready. It calls that instance in
/// place if the token needs no lookup, and moves it into the future if the token needs one. If the service rejects a
/// request, or must first fetch its key, it replaces that instance by a clone. So others can use everything that
/// the instance had reserved.
///
/// `call` decides on tokens that need no lookup. The future then only waits for the inner service.
#[must_use = "a service does nothing until it is called"]
pub struct BearerAuth<S, C = UntypedClaims> {
    inner: S,
    settings: Arc<Settings<C>>,
}

impl<S, C> BearerAuth<S, C> {
    pub(crate) fn new(inner: S, settings: Arc<Settings<C>>) -> Self {
        Self { inner, settings }
    }
}

impl<S, C, ReqB, ResB> Service<Request<ReqB>> for BearerAuth<S, C>
where
    S: Service<Request<ReqB>, Response = Response<ResB>> + Clone,
    ReqB: Body,
    C: Send + Sync + 'static,
{
    type Response = Response<ResponseBody<ResB>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, ReqB, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqB>) -> Self::Future {
        match self.settings.admit(&mut request) {
            Admission::Admitted { has_token } => {
                let is_private = has_token && self.settings.private_responses;
                ResponseFuture::calling(self.inner.call(request), is_private)
            }
            Admission::Refused(rejection) => {
                // The inner service may have reserved something for this call (a permit, a place in a queue) that
                // others wait for. A clone has reserved nothing.
                self.inner = self.inner.clone();
                let (request, _) = request.into_parts();
                ResponseFuture::rejected(self.settings.refusals.respond(rejection, &request))
            }
            Admission::Checking(check) => {
                let successor = self.inner.clone();
                let ready = mem::replace(&mut self.inner, successor);
                let refusals = Arc::clone(&self.settings.refusals);
                let admissions = self.settings.authenticator.admissions().clone();
                ResponseFuture::checking(
                    check,
                    Instance::Ready(ready),
                    request,
                    refusals,
                    admissions,
                    self.settings.private_responses,
                )
            }
            #[cfg(feature = "jwks")]
            Admission::CheckingUnverified(check) => {
                // The token is not verified yet, so an unverified client must not hold anything that others wait for.
                let fresh = self.inner.clone();
                self.inner = fresh.clone();
                let refusals = Arc::clone(&self.settings.refusals);
                let admissions = self.settings.authenticator.admissions().clone();
                ResponseFuture::checking(
                    check,
                    Instance::Fresh(fresh),
                    request,
                    refusals,
                    admissions,
                    self.settings.private_responses,
                )
            }
        }
    }
}

enum Admission<C> {
    Admitted {
        /// If `false`, the request is anonymous or a preflight.
        has_token: bool,
    },
    Refused(Rejection),
    Checking(BoxFuture<'static, Result<Authenticated<C>, Rejection>>),
    #[cfg(feature = "jwks")]
    CheckingUnverified(BoxFuture<'static, Result<Authenticated<C>, Rejection>>),
}

impl<C: Send + Sync + 'static> Settings<C> {
    /// Decides on a request as far as possible without waiting, and prepares it for the inner service.
    fn admit<B: Body>(&self, request: &mut Request<B>) -> Admission<C> {
        // The inner service may find only values that this layer has put there.
        request.extensions_mut().remove::<Authenticated<C>>();
        request.extensions_mut().remove::<Anonymous<C>>();

        let is_preflight = self.allows_cors_preflight
            && is_cors_preflight(request)
            && !self.sources.is_present(request.headers());
        let token = if is_preflight { Ok(None) } else { self.find(request) };
        // The token is borrowed from the request. So check it before the request is changed.
        let progress = match token {
            Ok(Some(token)) => match self.authenticator.begin(token) {
                Progress::Done(Err(rejection)) => {
                    let kind = refusal_of(token, rejection.kind());
                    Ok(Some(Progress::Done(Err(kind.into()))))
                }
                progress => Ok(Some(progress)),
            },
            Ok(None) => Ok(None),
            Err(kind) => Err(kind),
        };
        // Two lines of one header are not a credential.
        let is_alone = progress.is_ok() && !is_preflight;
        self.sources.conceal(request.headers_mut(), is_alone);
        let cleared = self.sources.clear_query(request.uri_mut());

        match cleared.and(progress) {
            Ok(Some(Progress::Done(Ok(authenticated)))) => {
                request.extensions_mut().insert(authenticated);
                self.authenticator.admissions().count(Admitted::Token);
                Admission::Admitted { has_token: true }
            }
            Ok(Some(Progress::Done(Err(rejection)))) => Admission::Refused(rejection),
            Ok(Some(Progress::Pending(check))) => Admission::Checking(check),
            #[cfg(feature = "jwks")]
            Ok(Some(Progress::Unverified(check))) => Admission::CheckingUnverified(check),
            Ok(None) if self.optional || is_preflight => {
                let anonymous = Anonymous::<C>::new(&self.refusals, is_preflight);
                request.extensions_mut().insert(anonymous);
                let admitted = if is_preflight { Admitted::Preflight } else { Admitted::Anonymous };
                self.authenticator.admissions().count(admitted);
                Admission::Admitted { has_token: false }
            }
            Ok(None) => Admission::Refused(RejectionKind::MissingCredential.into()),
            Err(kind) => Admission::Refused(kind.into()),
        }
    }

    /// The token of a request. An optional layer rejects a request whose token could be read elsewhere, instead of
    /// treating it as anonymous.
    fn find<'r, B>(&self, request: &'r Request<B>) -> Result<Option<&'r [u8]>, RejectionKind> {
        let (uri, headers) = (request.uri(), request.headers());
        match self.sources.find(request.method(), uri, headers)? {
            None if self.optional && self.sources.resembles_a_credential(uri, headers) => {
                Err(RejectionKind::MalformedCredential)
            }
            found => Ok(found),
        }
    }
}

/// Whether this is a CORS-preflight request (Fetch standard, section 4.8). It has no content. A request with content
/// asks the service to do something.
///
/// HTTP/2 needs no header for content, so the body itself must report that it has ended. A body that cannot report this
/// counts as content. After an upgrade more bytes follow, even if the body reports its end.
fn is_cors_preflight<B: Body>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && [CONTENT_TYPE, TRANSFER_ENCODING, UPGRADE].iter().all(|name| !headers.contains_key(name))
        && headers.get_all(CONTENT_LENGTH).iter().all(|length| length == "0")
        && request.body().is_end_stream()
}

impl<S: Clone, C> Clone for BearerAuth<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), settings: Arc::clone(&self.settings) }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for BearerAuth<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAuth")
            .field("inner", &self.inner)
            .field("settings", &self.settings)
            .finish()
    }
}
