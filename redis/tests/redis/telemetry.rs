//! What the recorder of `metrics` is told about Redis.

use std::{collections::BTreeMap, time::Duration};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower_bearer::telemetry::Collector;
use tower_bearer_redis::DenyList;

use crate::{
    server::Server,
    service::{Service, eventually, id},
};

/// What the collector tells, without labels.
fn told(collector: &Collector) -> BTreeMap<String, u64> {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || collector.collect());
    let told = recorder.snapshotter().snapshot().into_vec().into_iter();
    told.filter_map(|(key, _, _, value)| {
        let value = match value {
            DebugValue::Counter(value) => value,
            DebugValue::Gauge(value) => value.into_inner() as u64,
            DebugValue::Histogram(_) => return None,
        };
        Some((key.key().name().trim_start_matches("tower_bearer_").to_owned(), value))
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn pushes_and_the_deny_list_are_reported() {
    let mut server = Server::start();
    let one = Service::at(&server.url()).await;
    one.store.initialise().await.unwrap();
    let deny_list = DenyList::follow(&one.store, Duration::from_millis(500));
    let pushes = one.listen().await;
    eventually("current", async || deny_list.stats().is_current).await;
    let other = Service::at(&server.url()).await;
    other.revoke(id("a")).await;
    eventually("pushed", async || pushes.stats().received == 1).await;
    eventually("followed", async || deny_list.stats().denials == 1).await;
    let collector = Collector::new()
        .add_revocation(&one.revocation)
        .add_source(pushes.clone())
        .add_source(pushes.clone())
        .add_source(deny_list.clone());
    let now = told(&collector);
    for (name, value) in [
        ("revocation_pushes_connected", 1),
        ("revocation_pushes_total", 1),
        ("revocation_push_connections_total", 1),
        ("revocation_push_gaps_total", 0),
        ("revocation_pushes_unreadable_total", 0),
        ("revocation_denials", 1),
        ("deny_list_entries", 1),
        ("deny_list_current", 1),
        ("deny_list_snapshots_total", 1),
    ] {
        assert_eq!(now.get(name), Some(&value), "{name}: {now:?}");
    }

    server.count_up();
    eventually("doubt", async || told(&collector)["revocation_push_gaps_total"] == 1).await;

    server.kill();
    eventually("old", async || {
        let now = told(&collector);
        now["deny_list_current"] == 0 && now["revocation_pushes_connected"] == 0
    })
    .await;
}
