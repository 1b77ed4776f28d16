//! Status lists from the network.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tower_bearer::{
    Authenticator, BoxFuture, UnixTime,
    claims::ManualClock,
    jwks::{FetchError, FetchJwks, FetchRequest, Fetched},
    status_list::StatusLists,
    telemetry::Collector,
    test_util::TestIssuer,
};

use super::recording::record;
use crate::common::requests::NOW;

/// Has a list, and fails after that.
struct ListServer(String, AtomicUsize);

impl FetchJwks for ListServer {
    fn fetch<'a>(&'a self, _: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async {
            match self.1.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(Fetched::document(self.0.clone())),
                _ => Err(FetchError::client("no")),
            }
        })
    }
}

#[test]
fn status_lists_have_an_age_and_fetches_by_outcome_for_each_issuer() {
    const URL: &str = "https://issuer.test/lists/1";

    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let recorded = record(async {
        let issuer = TestIssuer::new().with_name("https://issuer.example");
        let issuer = issuer.with_clock(clock.clone());
        let server = ListServer(issuer.status_list(URL).issue(), AtomicUsize::new(0));
        let lists = StatusLists::new("https://issuer.test/lists").unwrap();
        let lists = lists.with_fetcher(server).with_clock(clock.clone());
        let policy = issuer.issuer().with_status_lists(lists);
        let build = || {
            let builder = Authenticator::builder().issuer(policy.clone());
            builder.with_clock(clock.clone()).build().unwrap()
        };
        let (one, same): (Authenticator, Authenticator) = (build(), build());
        let collector = Collector::new().add_authenticator(&one).add_authenticator(&same);
        let token = |url: &str| issuer.token().with_status_entry(url, 7).issue();
        one.authenticate(&token(URL)).await.unwrap();
        same.authenticate(&token("https://issuer.test/lists/2")).await.unwrap_err();
        clock.advance(Duration::from_secs(42));
        collector.collect();
    });
    let fetches = |outcome: &str| {
        format!(
            r#"status_lists_fetches_total{{issuer="https://issuer.example",outcome="{outcome}"}}"#
        )
    };
    assert_eq!(
        recorded.all("status_lists"),
        [
            (r#"status_lists_age_seconds{issuer="https://issuer.example"}"#, 42.0),
            (&*fetches("changed"), 1.0),
            (&*fetches("failed"), 1.0),
            (&*fetches("unchanged"), 0.0),
            (r#"status_lists_unusable{issuer="https://issuer.example"}"#, 1.0),
            (r#"status_lists{issuer="https://issuer.example"}"#, 2.0),
        ]
    );
}
