//! The service that was ready is the one that is called, and a call that is dropped leaves nothing behind.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use tokio::sync::Semaphore;
use tower::{
    Layer, Service, ServiceExt,
    buffer::Buffer,
    limit::{ConcurrencyLimit, GlobalConcurrencyLimitLayer},
    load_shed::LoadShed,
};
use tower_bearer::{
    Authenticated, BearerAuth, BearerLayer, BoxFuture, Rejection, RejectionKind, ResponseBody,
    ResponseFuture, RevocationCache, UnixTime,
    claims::{ManualClock, UntypedClaims},
    require::{self, Require, RequireLayer},
    revocation::{Lookup, RevocationEntry, RevocationStore, StoreError, Verdict},
    test_util::{FakeStore, StoreBehavior},
};
use tower_test::mock::{self, Mock, Spawn};

use crate::common::requests::{
    Body, NOW, authenticator, body, get, layer, open, send, token, token_with, with_bearer,
};

/// A store that answers as often as the test permits.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

impl Gate {
    fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    fn release(&self, answers: usize) {
        self.0.add_permits(answers);
    }

    /// A layer whose every token waits for this gate once.
    fn layer(&self) -> BearerLayer {
        let cache = RevocationCache::new(self.clone(), Duration::from_secs(30))
            .with_lookup_timeout(Duration::from_secs(3600))
            .with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
        BearerLayer::new(authenticator().with_revocation(cache))
    }
}

impl RevocationStore for Gate {
    fn look_up<'a>(&'a self, _: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        Box::pin(async {
            self.0.acquire().await.map_err(StoreError::new)?.forget();
            Ok(Verdict::NotRevoked)
        })
    }

    fn revoke<'a>(&'a self, _: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }
}

type MockService = Mock<Request<Body>, Response<Body>>;
type MockHandle = mock::Handle<Request<Body>, Response<Body>>;

fn around_mock(layer: &BearerLayer) -> (Spawn<BearerAuth<MockService>>, MockHandle) {
    let (service, handle) = mock::pair();
    (Spawn::new(layer.layer(service)), handle)
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn good_request() -> Request<Body> {
    with_bearer(&token())
}

/// A good token that nobody else uses.
fn unique_request(number: usize) -> Request<Body> {
    with_bearer(&token_with(&format!(r#""exp":{},"jti":"{number}""#, NOW + 60)))
}

#[tokio::test]
async fn the_layer_is_ready_when_the_service_is() {
    let (mut service, mut handle) = around_mock(&layer());
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.is_woken());
    assert!(service.poll_ready().is_ready());

    handle.send_error("broken");
    assert!(matches!(service.poll_ready(), Poll::Ready(Err(_))));
}

#[tokio::test]
async fn a_requirement_is_ready_when_the_service_is() {
    let (service, mut handle): (MockService, MockHandle) = mock::pair();
    let mut service = Spawn::new(layer().require_scopes(["admin"]).layer(service));
    handle.allow(0);
    assert!(service.poll_ready::<Request<Body>>().is_pending());
    handle.allow(1);
    assert!(service.is_woken());
    assert!(service.poll_ready::<Request<Body>>().is_ready());

    handle.send_error("broken");
    assert!(matches!(service.poll_ready::<Request<Body>>(), Poll::Ready(Err(_))));
}

// The mock panics when an instance is called that was not ready itself.
#[tokio::test]
async fn a_token_without_a_lookup_reaches_the_service_within_the_call() {
    let (mut service, mut handle) = around_mock(&layer());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let mut future = pin!(service.call(good_request()));

    let Poll::Ready(Some((request, answer))) = handle.poll_request() else { panic!("not called") };
    assert!(request.extensions().get::<Authenticated>().is_some());
    assert!(poll(future.as_mut()).is_pending());
    answer.send_response(Response::new(Body::from("yes")));
    assert_eq!(future.await.unwrap().status(), StatusCode::OK);
    assert!(service.poll_ready().is_pending());
}

#[tokio::test]
async fn a_lookup_keeps_the_ready_service() {
    let gate = Gate::closed();
    let (mut service, mut handle) = around_mock(&gate.layer());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let mut future = pin!(service.call(good_request()));
    assert!(poll(future.as_mut()).is_pending());
    assert!(handle.poll_request().is_pending());

    gate.release(1);
    assert!(poll(future.as_mut()).is_pending());
    let Poll::Ready(Some((request, answer))) = handle.poll_request() else { panic!("not called") };
    assert!(request.extensions().get::<Authenticated>().is_some());
    answer.send_response(Response::new(Body::default()));
    assert_eq!(future.await.unwrap().status(), StatusCode::OK);

    // What is left behind is a clone, which has its own readiness to reach.
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
}

#[tokio::test]
async fn calls_that_wait_do_not_delay_each_other() {
    let gate = Gate::closed();
    let (mut service, mut handle) = around_mock(&gate.layer());
    handle.allow(2);
    assert!(service.poll_ready().is_ready());
    let mut first = pin!(service.call(unique_request(1)));
    assert!(poll(first.as_mut()).is_pending());
    assert!(service.poll_ready().is_ready());
    let mut second = pin!(service.call(unique_request(2)));

    gate.release(1);
    assert!(poll(second.as_mut()).is_pending());
    // The gate is fair and the first asked before; whoever polls, one answer was given.
    assert!(poll(first.as_mut()).is_pending());
    gate.release(1);
    assert!(poll(second.as_mut()).is_pending());
    for _ in 0..2 {
        let (_, answer) = handle.next_request().await.unwrap();
        answer.send_response(Response::new(Body::default()));
    }
    assert_eq!(first.await.unwrap().status(), StatusCode::OK);
    assert_eq!(second.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_rejected_request_leaves_the_service_uncalled_and_ready() {
    let (mut service, mut handle) = around_mock(&layer());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let response = service.call(body(get("/"))).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(handle.poll_request().is_pending());

    assert!(service.poll_ready().is_ready());
    let _future = service.call(good_request());
    assert!(handle.poll_request().is_ready());
}

#[tokio::test]
async fn a_rejected_request_releases_its_reservations() {
    let permits = Arc::new(Semaphore::new(1));
    let limited = || GlobalConcurrencyLimitLayer::with_semaphore(permits.clone()).layer(open());
    let nobody = |_: &Authenticated| false;
    let mut refused_by_the_layer = layer().layer(limited());
    let mut refused_by_a_demand = layer().layer(layer().require(nobody).layer(limited()));
    for _ in 0..3 {
        let ready = refused_by_the_layer.ready().await.unwrap();
        assert_eq!(ready.call(body(get("/"))).await.unwrap().status(), 401);
        let ready = refused_by_a_demand.ready().await.unwrap();
        assert_eq!(ready.call(good_request()).await.unwrap().status(), 403);
        assert_eq!(permits.available_permits(), 1);
    }
}

#[tokio::test]
async fn an_error_of_the_service_is_passed_on() {
    let (mut service, mut handle) = around_mock(&layer());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let future = service.call(good_request());
    handle.next_request().await.unwrap().1.send_error("broken");
    assert_eq!(future.await.unwrap_err().to_string(), "broken");
}

#[tokio::test]
#[should_panic(expected = "a response future was polled after it had completed")]
async fn a_rejection_is_returned_once() {
    let mut future = pin!(layer().layer(open()).call(body(get("/"))));
    assert!(poll(future.as_mut()).is_ready());
    let _ = poll(future.as_mut());
}

/// Sends more requests at once than the service behind the layer takes, some with good tokens.
async fn assert_all_answered<S>(service: S, gate: &Gate)
where
    S: Service<Request<Body>, Response = Response<ResponseBody<Body>>> + Clone,
    S::Error: std::fmt::Debug,
{
    let bad = (0..5).map(|_| body(get("/")));
    let good = (0..20).map(unique_request);
    let calls = bad.chain(good).map(|request| send(service.clone(), request));
    gate.release(20);
    let outcomes = join_all(calls).await;
    let passed = outcomes.iter().filter(|outcome| outcome.status == StatusCode::OK);
    assert_eq!(passed.count(), 20);
}

#[tokio::test]
async fn a_buffer_behind_the_layer_works() {
    let gate = Gate::closed();
    let buffer = Buffer::new(open(), 2);
    assert_all_answered(gate.layer().layer(buffer.clone()), &gate).await;
    assert_all_answered(layer().layer(buffer), &gate).await;
}

#[tokio::test]
async fn a_concurrency_limit_behind_the_layer_works() {
    let gate = Gate::closed();
    let limit = ConcurrencyLimit::new(open(), 2);
    assert_all_answered(gate.layer().layer(limit.clone()), &gate).await;
    assert_all_answered(layer().layer(limit), &gate).await;
}

#[tokio::test]
async fn a_load_shed_behind_the_layer_does_not_shed_a_ready_call() {
    let gate = Gate::closed();
    let service = gate.layer().layer(LoadShed::new(open()));
    assert_all_answered(service, &gate).await;
}

#[tokio::test]
async fn a_load_shed_behind_the_layer_sheds_excess_calls() {
    let gate = Gate::closed();
    let limit = ConcurrencyLimit::new(open(), 1);
    let service = gate.layer().layer(LoadShed::new(limit));
    let mut first = pin!(service.clone().oneshot(unique_request(1)));
    assert!(poll(first.as_mut()).is_pending());
    // The second is shed only once its token is known to be good.
    let mut second = pin!(service.oneshot(unique_request(2)));
    assert!(poll(second.as_mut()).is_pending());
    gate.release(2);
    assert_eq!(first.await.unwrap().status(), StatusCode::OK);
    assert!(second.await.unwrap_err().is::<tower::load_shed::error::Overloaded>());
}

/// Whether anything still holds the request that this made.
struct Witness(Arc<()>);

impl Witness {
    fn in_request(mut request: Request<Body>) -> (Self, Request<Body>) {
        let witness = Arc::new(());
        request.extensions_mut().insert(Arc::clone(&witness));
        (Self(witness), request)
    }

    fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}

#[tokio::test]
async fn dropping_a_call_during_the_lookup_leaves_nothing_behind() {
    let gate = Gate::closed();
    let limit = ConcurrencyLimit::new(open(), 1);
    let service = gate.layer().layer(limit.clone());
    for polled in [false, true] {
        let (witness, request) = Witness::in_request(unique_request(1));
        let mut call = service.clone();
        let mut future = Box::pin(call.ready().await.unwrap().call(request));
        drop(call);
        if polled {
            assert!(poll(future.as_mut()).is_pending());
        }
        assert!(!witness.is_alone());
        let mut other = limit.clone();
        assert!(poll(pin!(other.ready())).is_pending());
        drop(future);
        assert!(witness.is_alone());
        assert!(poll(pin!(other.ready())).is_ready());
    }
}

#[tokio::test]
async fn dropping_a_call_during_the_lookup_does_not_cancel_others() {
    let gate = Gate::closed();
    let service = gate.layer().layer(open());
    let mut dropped = Box::pin(service.clone().oneshot(good_request()));
    assert!(poll(dropped.as_mut()).is_pending());
    let mut kept = pin!(service.clone().oneshot(good_request()));
    assert!(poll(kept.as_mut()).is_pending());
    drop(dropped);
    gate.release(1);
    assert_eq!(kept.await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn dropping_a_call_while_the_service_works_leaves_nothing_behind() {
    let gate = Gate::closed();
    gate.release(1);
    for layer in [layer(), gate.layer()] {
        let (mut service, mut handle) = around_mock(&layer);
        handle.allow(1);
        let (witness, request) = Witness::in_request(good_request());
        assert!(service.poll_ready().is_ready());
        let mut future = Box::pin(service.call(request));
        assert!(poll(future.as_mut()).is_pending());
        let Poll::Ready(Some((request, _answer))) = handle.poll_request() else {
            panic!("not called")
        };
        drop(request);
        assert!(witness.is_alone());
        drop(future);
    }
}

#[tokio::test]
async fn dropping_a_rejection_leaves_nothing_behind() {
    let (witness, request) = Witness::in_request(body(get("/")));
    drop(layer().layer(open()).call(request));
    assert!(witness.is_alone());
}

#[tokio::test]
async fn a_lookup_that_ends_in_a_rejection_does_not_call_the_service() {
    let store = FakeStore::new(StoreBehavior::Answers(Verdict::Revoked));
    let cache = RevocationCache::new(store, Duration::ZERO)
        .with_clock(ManualClock::at(UnixTime::from_secs(NOW)));
    let layer = BearerLayer::new(authenticator().with_revocation(cache));
    let (mut service, mut handle) = around_mock(&layer);
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
    let response = service.call(good_request()).await.unwrap();
    let rejection: &Rejection = response.extensions().get().unwrap();
    assert_eq!(rejection.kind(), RejectionKind::Revoked);
    assert!(handle.poll_request().is_pending());
}

#[test]
fn types_satisfy_the_bounds_of_hosts() {
    fn is_host_ready<T: Clone + Send + Sync + 'static>() {}
    fn is_send<T: Send + 'static>() {}
    fn is_value<T: Send + Sync + 'static>() {}
    fn is_service<S, B>()
    where
        S: Service<Request<B>, Error = Infallible, Response: Send, Future: Send + 'static>,
    {
    }

    /// No claims of `C` are cloned, compared or shown.
    struct Claims;
    #[derive(Clone)]
    struct Inner;
    impl Service<Request<Body>> for Inner {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Body>, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Request<Body>) -> Self::Future {
            std::future::ready(Ok(Response::default()))
        }
    }

    is_host_ready::<BearerLayer<Claims>>();
    is_host_ready::<RequireLayer<Claims>>();
    is_host_ready::<BearerAuth<Inner, Claims>>();
    is_host_ready::<Require<Inner, Claims>>();
    is_host_ready::<Authenticated<Claims>>();
    is_host_ready::<Rejection>();
    is_send::<ResponseFuture<Inner, Body, Claims>>();
    is_send::<require::ResponseFuture<std::future::Ready<()>>>();
    is_value::<ResponseBody<Body>>();
    is_service::<BearerAuth<Inner, Claims>, Body>();
    is_service::<Require<Inner, Claims>, Body>();
    is_service::<BearerAuth<Require<Inner, UntypedClaims>, UntypedClaims>, Body>();
}
