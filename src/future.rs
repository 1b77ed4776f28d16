//! The future that a call of [`BearerAuth`](crate::BearerAuth) returns.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{CACHE_CONTROL, Entry},
};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{
    Authenticated, BoxFuture, Rejection, ResponseBody,
    claims::UntypedClaims,
    rejection::Refusals,
    telemetry::{Admissions, Admitted},
};

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
        Calling { #[pin] future: F, is_private: bool },
        // In its own heap allocation, so that the future of a request that does not wait stays small.
        Checking { waiting: Option<Box<Waiting<S, B, C>>> },
        Rejected { response: Option<Response<Bytes>> },
    }
}

/// The instance of the inner service that a waiting request will call.
pub(crate) enum Instance<S> {
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
    refusals: Arc<Refusals>,
    admissions: Admissions,
    is_private: bool,
}

/// Why a request does not reach the inner service.
enum Stopped<E> {
    Refused(Rejection),
    /// The inner service failed before it became ready.
    #[cfg_attr(not(feature = "jwks"), expect(dead_code, reason = "it was ready before"))]
    Failed(E),
}

impl<S: Service<Request<B>>, B, C: Send + Sync + 'static> Waiting<S, B, C> {
    /// Ready when the inner service may be called.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped<S::Error>>> {
        if let Some(check) = &mut self.check {
            let token = ready!(check.as_mut().poll(cx)).map_err(Stopped::Refused)?;
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
    /// `is_private`: the response gets `Cache-Control: private`, unless the inner service has set `Cache-Control`.
    pub(crate) fn calling(future: S::Future, is_private: bool) -> Self {
        Self { state: State::Calling { future, is_private } }
    }

    pub(crate) fn checking(
        check: BoxFuture<'static, Result<Authenticated<C>, Rejection>>,
        service: Instance<S>,
        request: Request<B>,
        refusals: Arc<Refusals>,
        admissions: Admissions,
        is_private: bool,
    ) -> Self {
        let check = Some(check);
        let waiting = Waiting { check, service, request, refusals, admissions, is_private };
        Self { state: State::Checking { waiting: Some(Box::new(waiting)) } }
    }

    pub(crate) fn rejected(response: Response<Bytes>) -> Self {
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
                StateProjection::Calling { future, is_private } => {
                    let is_private = *is_private;
                    return future.poll(cx).map_ok(|response| answered(response, is_private));
                }
                StateProjection::Rejected { response } => {
                    return Poll::Ready(Ok(refused(response.take().expect(FINISHED))));
                }
                StateProjection::Checking { waiting } => waiting,
            };
            let verdict = ready!(waiting.as_mut().expect(FINISHED).poll(cx));
            let Waiting { service, request, refusals, is_private, .. } =
                *waiting.take().expect(FINISHED);
            match verdict {
                Ok(()) => {
                    let future = service.into_inner().call(request);
                    state.set(State::Calling { future, is_private });
                }
                Err(Stopped::Refused(rejection)) => {
                    let (request, _) = request.into_parts();
                    return Poll::Ready(Ok(refused(refusals.respond(rejection, &request))));
                }
                Err(Stopped::Failed(error)) => return Poll::Ready(Err(error)),
            }
        }
    }
}

const FINISHED: &str = "polled after it was ready";

fn answered<B>(mut response: Response<B>, is_private: bool) -> Response<ResponseBody<B>> {
    if is_private && let Entry::Vacant(entry) = response.headers_mut().entry(CACHE_CONTROL) {
        entry.insert(HeaderValue::from_static("private"));
    }
    response.map(ResponseBody::inner)
}

fn refused<B>(response: Response<Bytes>) -> Response<ResponseBody<B>> {
    response.map(ResponseBody::refusal)
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
