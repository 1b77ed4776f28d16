//! The service of the layer: decides on each request before the inner service gets it. Its future waits for what the
//! decision needs, and then for the inner service.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response,
    header::{
        ACCESS_CONTROL_REQUEST_METHOD, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, Entry, ORIGIN,
        TRANSFER_ENCODING, UPGRADE,
    },
};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    Authenticated, Authenticator, BoxFuture, ProtectedResource, Rejection, RejectionKind,
    ResponseBody,
    authenticator::Progress,
    claims::UntypedClaims,
    client_certificate::CertificateSource,
    confirmation::{KeyProof, Proof},
    credential::{Credential, Scheme, Sources, corrected_kind},
    dpop::{self, Dpop, PresentedProof},
    rejection::{Anonymous, Rejections},
    telemetry::{Admissions, Admitted},
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
    settings: Arc<LayerSettings<C>>,
}

impl<S, C> BearerAuth<S, C> {
    pub(crate) fn new(inner: S, settings: Arc<LayerSettings<C>>) -> Self {
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
            Admission::Admitted(additions) => {
                ResponseFuture::calling(self.inner.call(request), additions)
            }
            Admission::Rejected(rejection) => {
                // The inner service may have reserved something for this call (a permit, a place in a queue) that
                // others wait for. A clone has reserved nothing.
                self.inner = self.inner.clone();
                ResponseFuture::rejected(
                    self.settings.rejections.respond_in_place(rejection, request),
                )
            }
            Admission::Checking(check, additions) => {
                let successor = self.inner.clone();
                let ready = mem::replace(&mut self.inner, successor);
                let rejections = Arc::clone(&self.settings.rejections);
                let admissions = self.settings.authenticator.admissions().clone();
                ResponseFuture::checking(
                    check,
                    Instance::Ready(ready),
                    request,
                    rejections,
                    admissions,
                    additions,
                )
            }
            #[cfg(feature = "jwks")]
            Admission::CheckingUnverified(check, additions) => {
                // The token is not verified yet, so an unverified client must not hold anything that others wait for.
                let fresh = self.inner.clone();
                self.inner = fresh.clone();
                let rejections = Arc::clone(&self.settings.rejections);
                let admissions = self.settings.authenticator.admissions().clone();
                ResponseFuture::checking(
                    check,
                    Instance::Fresh(fresh),
                    request,
                    rejections,
                    admissions,
                    additions,
                )
            }
        }
    }
}

pub(crate) struct LayerSettings<C> {
    pub(crate) authenticator: Authenticator<C>,
    pub(crate) sources: Sources,
    pub(crate) optional: bool,
    pub(crate) allows_cors_preflight: bool,
    pub(crate) private_responses: bool,
    /// `None`: a request proves no certificate, so certificate-bound tokens are rejected.
    pub(crate) certificates: Option<CertificateSource>,
    /// `None`: a request proves no key, so tokens that are bound to a key are rejected.
    pub(crate) dpop: Option<Arc<Dpop>>,
    /// The resource that the layer guards, for its metadata document.
    pub(crate) resource: Option<ProtectedResource>,
    /// In its own `Arc`, because the layer attaches it to requests without a token.
    pub(crate) rejections: Arc<Rejections>,
}

enum Admission<C> {
    Admitted(Additions),
    Rejected(Rejection),
    Checking(BoxFuture<'static, Result<Authenticated<C>, Rejection>>, Additions),
    #[cfg(feature = "jwks")]
    CheckingUnverified(BoxFuture<'static, Result<Authenticated<C>, Rejection>>, Additions),
}

/// What the layer adds to the response to a request.
struct Additions {
    /// The scheme of the request. A rejection has the challenge of this scheme.
    scheme: Scheme,
    /// `Cache-Control: private`, unless the inner service has set `Cache-Control`.
    is_private: bool,
    /// `DPoP-Nonce`, with `Cache-Control: no-store` unless the inner service has set `Cache-Control` (RFC 9449 section
    /// 8.2).
    nonce: Option<HeaderValue>,
}

impl<C: Send + Sync + 'static> LayerSettings<C> {
    /// Decides on a request as far as possible without waiting, and prepares it for the inner service.
    fn admit<B: Body>(&self, request: &mut Request<B>) -> Admission<C> {
        // The inner service may find only values that this layer has put there.
        request.extensions_mut().remove::<Authenticated<C>>();
        request.extensions_mut().remove::<Anonymous<C>>();
        let certificate = self.certificates.as_ref().and_then(|source| source.take(request));

        let is_preflight = self.allows_cors_preflight
            && is_cors_preflight(request)
            && !self.sources.is_present(request.headers());
        let credential = if is_preflight { Ok(None) } else { self.find(request) };
        let scheme = match &credential {
            Ok(Some(credential)) => credential.scheme,
            _ => Scheme::Bearer,
        };
        // The token is borrowed from the request. So check it before the request is changed.
        let progress = match credential {
            Ok(Some(Credential { scheme, token })) => {
                let proof = Proof { certificate, key: self.key_proof(scheme, request) };
                match self.authenticator.begin(token, proof) {
                    Progress::Done(Err(rejection)) => {
                        let kind = corrected_kind(token, rejection.kind());
                        Ok(Some(Progress::Done(Err(kind.into()))))
                    }
                    progress => Ok(Some(progress)),
                }
            }
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
                Admission::Admitted(self.additions(scheme))
            }
            Ok(Some(Progress::Done(Err(rejection)))) => {
                Admission::Rejected(rejection.with_scheme(scheme))
            }
            Ok(Some(Progress::Pending(check))) => {
                Admission::Checking(check, self.additions(scheme))
            }
            #[cfg(feature = "jwks")]
            Ok(Some(Progress::Unverified(check))) => {
                Admission::CheckingUnverified(check, self.additions(scheme))
            }
            Ok(None) if self.optional || is_preflight => {
                let anonymous = Anonymous::<C>::new(&self.rejections, is_preflight);
                request.extensions_mut().insert(anonymous);
                let admitted = if is_preflight { Admitted::Preflight } else { Admitted::Anonymous };
                self.authenticator.admissions().count(admitted);
                Admission::Admitted(Additions { scheme, is_private: false, nonce: None })
            }
            Ok(None) => Admission::Rejected(RejectionKind::MissingCredential.into()),
            Err(kind) => Admission::Rejected(Rejection::new(kind).with_scheme(scheme)),
        }
    }

    /// How a request with this scheme proves that it has the key of its token.
    fn key_proof<'r, B>(&self, scheme: Scheme, request: &'r Request<B>) -> KeyProof<'r> {
        match (&self.dpop, scheme) {
            (Some(dpop), Scheme::DPoP) => KeyProof::Presented(PresentedProof::of(dpop, request)),
            (Some(dpop), Scheme::Bearer) if dpop.is_required() => KeyProof::AbsentButRequired,
            _ => KeyProof::Absent,
        }
    }

    /// What the layer adds to the response to a request with a token.
    fn additions(&self, scheme: Scheme) -> Additions {
        let nonce = match scheme {
            Scheme::DPoP => self.rejections.nonce(),
            Scheme::Bearer => None,
        };
        Additions { scheme, is_private: self.private_responses, nonce }
    }

    /// The credential of a request. An optional layer rejects a request whose token could be read elsewhere, instead of
    /// treating it as anonymous.
    fn find<'r, B>(
        &self,
        request: &'r Request<B>,
    ) -> Result<Option<Credential<'r>>, RejectionKind> {
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

impl<C> Clone for LayerSettings<C> {
    fn clone(&self) -> Self {
        Self {
            authenticator: self.authenticator.clone(),
            sources: self.sources.clone(),
            optional: self.optional,
            allows_cors_preflight: self.allows_cors_preflight,
            private_responses: self.private_responses,
            certificates: self.certificates.clone(),
            dpop: self.dpop.clone(),
            resource: self.resource.clone(),
            rejections: Arc::clone(&self.rejections),
        }
    }
}

impl<C> fmt::Debug for LayerSettings<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerSettings")
            .field("authenticator", &self.authenticator)
            .field("sources", &self.sources)
            .field("optional", &self.optional)
            .field("allows_cors_preflight", &self.allows_cors_preflight)
            .field("private_responses", &self.private_responses)
            .field("certificates", &self.certificates)
            .field("dpop", &self.dpop)
            .field("resource", &self.resource)
            .field("rejections", &self.rejections)
            .finish()
    }
}

pin_project! {
    /// The response of the inner service, or a rejection.
    ///
    /// You can drop it at any point without side effects: it calls the inner service only after the token has passed
    /// every check.
    pub struct ResponseFuture<S, B, C = UntypedClaims>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, C, S::Future>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, C, F> {
        Calling { #[pin] future: F, additions: Additions },
        // In its own heap allocation, so that the future of a request that does not wait stays small.
        Checking { waiting: Option<Box<Waiting<S, B, C>>> },
        Rejected { response: Option<Response<Bytes>> },
    }
}

/// The instance of the inner service that a waiting request will call.
enum Instance<S> {
    /// The instance that was ready when the call came, with everything that it has reserved.
    Ready(S),
    /// An instance that is not ready yet.
    #[cfg(feature = "jwks")]
    Fresh(S),
}

impl<S> Instance<S> {
    fn into_inner(self) -> S {
        match self {
            Self::Ready(service) => service,
            #[cfg(feature = "jwks")]
            Self::Fresh(service) => service,
        }
    }
}

struct Waiting<S, B, C> {
    /// `None` after the check has let the request pass.
    check: Option<BoxFuture<'static, Result<Authenticated<C>, Rejection>>>,
    service: Instance<S>,
    request: Request<B>,
    rejections: Arc<Rejections>,
    admissions: Admissions,
    additions: Additions,
}

/// Why a request does not reach the inner service.
enum Stopped<E> {
    Rejected(Rejection),
    /// The inner service failed before it became ready.
    #[cfg_attr(not(feature = "jwks"), expect(dead_code, reason = "it was ready before"))]
    Failed(E),
}

impl<S: Service<Request<B>>, B, C: Send + Sync + 'static> Waiting<S, B, C> {
    /// Ready when the inner service may be called.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped<S::Error>>> {
        if let Some(check) = &mut self.check {
            let token = ready!(check.as_mut().poll(cx)).map_err(Stopped::Rejected)?;
            self.request.extensions_mut().insert(token);
            self.admissions.count(Admitted::Token);
            self.check = None;
        }
        match &mut self.service {
            Instance::Ready(_) => Poll::Ready(Ok(())),
            #[cfg(feature = "jwks")]
            Instance::Fresh(service) => service.poll_ready(cx).map_err(Stopped::Failed),
        }
    }
}

impl<S, B, C> ResponseFuture<S, B, C>
where
    S: Service<Request<B>>,
{
    fn calling(future: S::Future, additions: Additions) -> Self {
        Self { state: State::Calling { future, additions } }
    }

    fn checking(
        check: BoxFuture<'static, Result<Authenticated<C>, Rejection>>,
        service: Instance<S>,
        request: Request<B>,
        rejections: Arc<Rejections>,
        admissions: Admissions,
        additions: Additions,
    ) -> Self {
        let check = Some(check);
        let waiting = Waiting { check, service, request, rejections, admissions, additions };
        Self { state: State::Checking { waiting: Some(Box::new(waiting)) } }
    }

    fn rejected(response: Response<Bytes>) -> Self {
        Self { state: State::Rejected { response: Some(response) } }
    }
}

impl<S, B, C, ResB> Future for ResponseFuture<S, B, C>
where
    S: Service<Request<B>, Response = Response<ResB>>,
    C: Send + Sync + 'static,
{
    type Output = Result<Response<ResponseBody<ResB>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let waiting = match state.as_mut().project() {
                StateProjection::Calling { future, additions } => {
                    return future.poll(cx).map_ok(|response| inner_response(response, additions));
                }
                StateProjection::Rejected { response } => {
                    return Poll::Ready(Ok(rejected_response(response.take().expect(FINISHED))));
                }
                StateProjection::Checking { waiting } => waiting,
            };
            let result = ready!(waiting.as_mut().expect(FINISHED).poll(cx));
            let Waiting { service, request, rejections, additions, .. } =
                *waiting.take().expect(FINISHED);
            match result {
                Ok(()) => {
                    let future = service.into_inner().call(request);
                    state.set(State::Calling { future, additions });
                }
                Err(Stopped::Rejected(rejection)) => {
                    let rejection = rejection.with_scheme(additions.scheme);
                    return Poll::Ready(Ok(rejected_response(
                        rejections.respond_in_place(rejection, request),
                    )));
                }
                Err(Stopped::Failed(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}

const FINISHED: &str = "a response future was polled after it had completed";

fn inner_response<B>(
    mut response: Response<B>,
    additions: &mut Additions,
) -> Response<ResponseBody<B>> {
    // From a cache, the nonce would be an old one.
    let mut cache_control = additions.is_private.then_some("private");
    if let Some(nonce) = additions.nonce.take() {
        response.headers_mut().insert(dpop::NONCE, nonce);
        cache_control = Some("no-store");
    }
    if let Some(cache_control) = cache_control
        && let Entry::Vacant(entry) = response.headers_mut().entry(CACHE_CONTROL)
    {
        entry.insert(HeaderValue::from_static(cache_control));
    }
    response.map(ResponseBody::inner)
}

fn rejected_response<B>(response: Response<Bytes>) -> Response<ResponseBody<B>> {
    response.map(ResponseBody::rejection)
}

impl<S, B, C> fmt::Debug for ResponseFuture<S, B, C>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Calling { .. } => "ResponseFuture::Calling(..)",
            State::Checking { .. } => "ResponseFuture::Checking(..)",
            State::Rejected { .. } => "ResponseFuture::Rejected(..)",
        })
    }
}
