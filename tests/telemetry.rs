//! What is logged. Alone in its binary: a test on another thread, without a subscriber, could make `tracing`
//! remember that nobody is interested.

mod common;

use std::{
    io,
    sync::{Arc, Mutex},
};

use common::{
    requests::{body, get, layer, open, send, token, with_bearer},
    tokens::block_on,
};
use tower::Layer;
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

#[test]
fn a_refusal_is_one_event_with_its_reason_and_nothing_of_the_request() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = fmt()
        .with_max_level(LevelFilter::TRACE)
        .without_time()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = subscriber.set_default();
    block_on(async {
        let service = layer().layer(open());
        send(service.clone(), with_bearer("a.secret.c")).await;
        send(service.clone(), with_bearer(&token())).await;
        send(service, body(get("/secret"))).await;
    });
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> =
        log.lines().map(str::trim).filter(|line| line.contains("tower_bearer")).collect();
    assert_eq!(
        lines,
        [
            r#"DEBUG tower_bearer: request refused reason="malformed_token""#,
            r#"DEBUG tower_bearer: request refused reason="missing_credential""#,
        ]
    );
}
