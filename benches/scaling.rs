//! Measures whole requests on several threads at once, and with many distinct tokens.
//!
//! The service behind the layer returns the request. So the same requests are used again, and making them is not
//! measured.

use std::{
    cell::{LazyCell, RefCell},
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    rc::Rc,
    sync::Barrier,
    task::{Context, Poll},
    thread,
    time::Duration,
};

use criterion::{
    Criterion, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, WallTime},
};
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
use http_body_util::Full;
use tower::{Layer, Service};
use tower_bearer::{Algorithm, BearerAuth, BearerLayer};

mod common;

use common::{
    Body, Claims, Outcome, Random, Repeats, authenticator, credential, numbered_tokens, request,
    revocation,
};

const THREADS: [usize; 3] = [1, 2, 4];
/// Tokens that only one thread uses.
const OWN_TOKENS: usize = 500;
const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Keeps the last request that reached it.
#[derive(Clone, Default)]
struct Inner(Rc<RefCell<Option<Request<Body>>>>);

impl Service<Request<Body>> for Inner {
    type Response = Response<Full<bytes::Bytes>>;
    type Error = Infallible;
    type Future = Ready<Outcome>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        black_box(request.extensions().len());
        self.0.replace(Some(request));
        ready(Ok(Response::new(Full::from("ok"))))
    }
}

/// The layer around the service.
#[derive(Clone, Copy)]
enum Guard {
    /// There is no layer.
    None,
    /// Every token is verified.
    Cold,
    /// Tokens are cached, in this many bytes.
    Cached(u64),
}

impl Guard {
    fn layer(self) -> Option<BearerLayer<Claims>> {
        let repeats = match self {
            Guard::None => return None,
            Guard::Cold => Repeats::Cold,
            Guard::Cached(bytes) => Repeats::Cached(bytes),
        };
        let authenticator = authenticator(Algorithm::HS256, repeats);
        Some(BearerLayer::new(authenticator.with_revocation(revocation())))
    }
}

/// Credentials with different tokens, numbered from `first`.
fn credentials(first: usize, count: usize) -> Vec<HeaderValue> {
    numbered_tokens(Algorithm::HS256, first, count).iter().map(|token| credential(token)).collect()
}

/// The time in which the threads have handled `count` requests each. There is one thread for each set of credentials.
fn on_threads(
    sets: &[Vec<HeaderValue>],
    layer: Option<&BearerLayer<Claims>>,
    count: u64,
) -> Duration {
    let barrier = Barrier::new(sets.len() + 1);
    thread::scope(|scope| {
        for credentials in sets {
            let barrier = &barrier;
            scope.spawn(move || {
                let mut carousel = Carousel::new(credentials, layer);
                barrier.wait();
                carousel.turn(count);
                barrier.wait();
            });
        }
        barrier.wait();
        let start = WallTime.start();
        barrier.wait();
        WallTime.end(start)
    })
}

/// Requests that are used again and again, each with its own credential, and the service that they pass.
struct Carousel {
    inner: Inner,
    guarded: Option<BearerAuth<Inner, Claims>>,
    requests: Vec<Option<Request<Body>>>,
    next: usize,
}

impl Carousel {
    fn new(credentials: &[HeaderValue], layer: Option<&BearerLayer<Claims>>) -> Self {
        let inner = Inner::default();
        let guarded = layer.map(|layer| layer.layer(inner.clone()));
        let requests =
            credentials.iter().map(|credential| Some(request(Some(credential)))).collect();
        Self { inner, guarded, requests, next: 0 }
    }

    fn turn(&mut self, count: u64) {
        for _ in 0..count {
            let request = self.requests[self.next].take().expect("it came back");
            self.requests[self.next] = Some(self.round(request));
            self.next = if self.next + 1 == self.requests.len() { 0 } else { self.next + 1 };
        }
    }

    /// Sends the only request with another credential.
    fn turn_with(&mut self, credential: &HeaderValue) {
        let mut request = self.requests[0].take().expect("it came back");
        request.headers_mut().insert(AUTHORIZATION, credential.clone());
        self.requests[0] = Some(self.round(request));
    }

    fn round(&mut self, request: Request<Body>) -> Request<Body> {
        match &mut self.guarded {
            Some(service) => drop(black_box(service.call(request).now_or_never())),
            None => drop(black_box(self.inner.call(request).now_or_never())),
        }
        self.inner.0.take().expect("the request passed")
    }
}

/// Requests for each second, of all threads together. Twice the number on two threads is perfect.
fn threads(c: &mut Criterion) {
    let own: Vec<_> = (0..4).map(|thread| credentials(thread * OWN_TOKENS, OWN_TOKENS)).collect();
    let shared = vec![credentials(0, 1); 4];
    let cached = Guard::Cached(16 << 20);
    let cases = [
        ("threads/inner", Guard::None, &own),
        ("threads/cold_own_tokens", Guard::Cold, &own),
        ("threads/cached_own_tokens", cached, &own),
        ("threads/cached_shared_token", cached, &shared),
    ];
    for (name, guard, sets) in cases {
        let mut group = c.benchmark_group(name);
        for threads in THREADS {
            let layer = guard.layer();
            // This thread asks for revocation first: if two threads ask about one token at once, one waits for the
            // other.
            for credentials in &sets[..threads] {
                Carousel::new(credentials, layer.as_ref()).turn(credentials.len() as u64);
            }
            group.throughput(Throughput::Elements(threads as u64));
            group.bench_function(threads.to_string(), |b| {
                b.iter_custom(|count| on_threads(&sets[..threads], layer.as_ref(), count));
            });
        }
        group.finish();
    }
}

/// One thread and this many tokens in random order. It measures the cost of memory accesses.
fn distinct_tokens(c: &mut Criterion) {
    for size in SIZES {
        // They are made when they are first needed: a filter on the command line may skip all of this.
        let credentials = LazyCell::new(|| credentials(0, size));
        let mut group = c.benchmark_group(format!("distinct_tokens/10^{}", size.ilog10()));
        group.sample_size(20);
        let cases = [
            ("inner", Guard::None),
            ("cold", Guard::Cold),
            ("cached_in_16_MiB", Guard::Cached(16 << 20)),
            ("cached_in_2_GiB", Guard::Cached(2 << 30)),
        ];
        for (name, guard) in cases {
            let mut carousel = None;
            let mut random = Random(size as u64);
            group.bench_function(name, |b| {
                let carousel = carousel.get_or_insert_with(|| warm(&credentials, guard));
                b.iter(|| carousel.turn_with(&credentials[random.below(size)]));
            });
        }
        group.finish();
    }
}

/// A carousel that has already used each of these credentials.
fn warm(credentials: &[HeaderValue], guard: Guard) -> Carousel {
    let mut carousel = Carousel::new(&credentials[..1], guard.layer().as_ref());
    for credential in credentials {
        carousel.turn_with(credential);
    }
    carousel
}

criterion_group!(benches, threads, distinct_tokens);
criterion_main!(benches);
