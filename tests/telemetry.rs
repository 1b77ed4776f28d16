//! What is logged. Alone in its binary: a test on another thread, without a subscriber, could make `tracing`
//! remember that nobody is interested.

mod common;

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use common::{
    requests::{body, get, layer, open, send, token, with_bearer},
    tokens::{block_on, fixture},
};
use tower::Layer;
use tower_bearer::{
    BoxFuture, KeySet,
    jwks::{FetchError, FetchJwks, FetchRequest, Fetched, RemoteJwks},
};
use tracing_subscriber::{filter::LevelFilter, fmt, util::SubscriberInitExt};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);
impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The events of this crate while `run` runs, one a line.
fn events(run: impl Future<Output = ()>) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = fmt()
        .with_max_level(LevelFilter::TRACE)
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = subscriber.set_default();
    block_on(run);
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines = log.lines().map(str::trim).filter(|line| line.contains("tower_bearer"));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_refusal_is_one_event_with_its_reason_and_nothing_of_the_request() {
    let events = events(async {
        let service = layer().layer(open());
        send(service.clone(), with_bearer("a.secret.c")).await;
        send(service.clone(), with_bearer(&token())).await;
        send(service, body(get("/secret"))).await;
    });
    assert_eq!(
        events,
        [
            r#"DEBUG tower_bearer: request refused reason="malformed_token""#,
            r#"DEBUG tower_bearer: request refused reason="missing_credential""#,
        ]
    );
}

/// Fails first, and then has the keys of the fixtures.
#[derive(Default)]
struct KeyServer(AtomicBool);

impl FetchJwks for KeyServer {
    fn fetch<'a>(&'a self, _: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async {
            match self.0.swap(true, Ordering::Relaxed) {
                false => Err(FetchError::client("a secret of the client")),
                true => Ok(Fetched::document(fixture("../jwks.json"))),
            }
        })
    }
}

#[test]
fn a_fetch_of_keys_is_one_event_and_nothing_of_the_keys() {
    let count = KeySet::from_jwks_json(str::from_utf8(&fixture("../jwks.json")).unwrap());
    let count = count.unwrap().len();
    let events = events(async {
        let keys = RemoteJwks::new("https://issuer.example/secret").unwrap();
        keys.with_fetcher(KeyServer::default()).ready().await.unwrap();
    });
    assert_eq!(
        events,
        [
            "WARN tower_bearer: keys not fetched error=the exchange with the key server failed"
                .to_owned(),
            format!("DEBUG tower_bearer: keys fetched keys={count} modified=true"),
        ]
    );
}
