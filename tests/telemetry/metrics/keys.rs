//! Keys from the network.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tower_bearer::{
    Authenticator, BoxFuture, Issuer, KeySet, UnixTime,
    claims::ManualClock,
    jwks::{FetchError, FetchJwks, FetchRequest, Fetched, RemoteJwks},
    telemetry::Collector,
};

use super::recording::record;
use crate::common::{requests::NOW, tokens::fixture};

/// Fails at first, then has keys, and then the same ones.
#[derive(Default)]
struct KeyServer(AtomicUsize);

impl FetchJwks for KeyServer {
    fn fetch<'a>(
        &'a self,
        request: FetchRequest<'a>,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move {
            match (self.0.fetch_add(1, Ordering::Relaxed), request.etag()) {
                (0, _) => Err(FetchError::client("no")),
                (_, None) => Ok(Fetched::document(fixture("../jwks.json")).with_etag("one")),
                (_, Some(_)) => Ok(Fetched::not_modified()),
            }
        })
    }
}

fn trusting(keys: &RemoteJwks) -> Authenticator {
    let issuer = Issuer::new("https://issuer.example", keys.clone()).audience("api://orders");
    Authenticator::builder().issuer(issuer).build().unwrap()
}

#[test]
fn keys_have_an_age_and_fetches_by_outcome_for_each_issuer() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let recorded = record(async {
        let server = Arc::new(KeyServer::default());
        let keys = RemoteJwks::new("https://issuer.example/a?secret=in-the-query").unwrap();
        let keys = keys.with_fetcher(Arc::clone(&server)).with_clock(clock.clone());
        let collector = Collector::new();
        let collector =
            collector.add_authenticator(&trusting(&keys)).add_authenticator(&trusting(&keys));
        let (ready, ticking) = (keys.ready(), async {
            // The pause after the failure is measured by the clock.
            while keys.health().failures() == 0 {
                tokio::task::yield_now().await;
            }
            clock.advance(Duration::from_secs(60));
        });
        let (ready, ()) = futures_util::future::join(ready, ticking).await;
        ready.unwrap();
        clock.advance(Duration::from_secs(500));
        while keys.health().not_modified() == 0 {
            let _ =
                tokio::time::timeout(Duration::from_secs(600), std::future::pending::<()>()).await;
        }
        clock.advance(Duration::from_secs(42));
        collector.collect();
    });
    let document = String::from_utf8(fixture("../jwks.json")).unwrap();
    let refused = KeySet::from_jwks_json(&document).unwrap().refused().len() as f64;
    let fetches = |outcome: &str| {
        format!(r#"keys_fetches_total{{issuer="https://issuer.example",outcome="{outcome}"}}"#)
    };
    assert_eq!(
        recorded.all("keys"),
        [
            (r#"keys_age_seconds{issuer="https://issuer.example"}"#, 42.0),
            (&*fetches("changed"), 1.0),
            (&*fetches("failed"), 1.0),
            (&*fetches("unchanged"), 1.0),
            (r#"keys_refused{issuer="https://issuer.example"}"#, refused),
            (r#"keys_usable{issuer="https://issuer.example"}"#, 1.0),
        ]
    );
}

#[test]
fn keys_that_never_came_have_no_age_and_are_not_usable() {
    let recorded = record(async {
        let keys = RemoteJwks::new("https://issuer.example/keys").unwrap();
        Collector::new().add_authenticator(&trusting(&keys)).collect();
    });
    assert_eq!(recorded.all("keys_age"), []);
    assert_eq!(
        recorded.all("keys_usable"),
        [(r#"keys_usable{issuer="https://issuer.example"}"#, 0.0)]
    );
}
