//! The dashboard and the alert rules of `operations/`, against a real Prometheus.
//!
//! Queries are read from the files, so a new panel or alert is checked without a change here. The programs
//! `prometheus` and `promtool` are those of the folder that `PROMETHEUS_BIN` names, or those in `PATH`.

#![allow(clippy::disallowed_methods, reason = "processes take real time")]

#[path = "../../../../tests/common/program.rs"]
mod program;
mod prometheus;
mod queries;
#[path = "../../../../redis/tests/redis/server.rs"]
#[allow(dead_code, reason = "the tests of the store use all of it")]
mod redis_server;
mod traffic;

use std::collections::BTreeSet;

use prometheus::{Prometheus, promtool};
use queries::{Query, dashboard_queries, operations};
use traffic::Traffic;

#[test]
#[ignore = "needs prometheus"]
fn promtool_accepts_the_alert_rules_and_their_unit_tests() {
    promtool(&["check", "rules", &operations("alerts.yml")]);
    promtool(&["test", "rules", &operations("alerts_test.yml")]);
}

#[test]
#[ignore = "needs prometheus and redis-server"]
fn every_query_of_the_dashboard_and_of_each_alert_returns_data() {
    let traffic = Traffic::start();
    let prometheus = Prometheus::start(&traffic.targets());
    let alerts = prometheus.alerts();
    let expressions = alerts.iter().map(|(name, expression)| Query::of_alert(name, expression));
    let queries: Vec<_> = dashboard_queries().into_iter().chain(expressions).collect();
    assert!(alerts.len() >= 12 && queries.len() >= 36, "{queries:?}");

    prometheus.wait_for_data(&queries);

    // Misspelt names and values have no data, so the check above can fail.
    for query in [
        "sum(rate(tower_bearer_decision_total[5m]))",
        "sum(rate(tower_bearer_decisions_total{decision=\"reject\"}[5m]))",
        "sum by (job) (rate(tower_bearer_decisions_total[5m])) / on (no) vector(0)",
    ] {
        assert!(prometheus.data(query).is_err(), "{query}");
    }
    let reasons = prometheus.labels("tower_bearer_decisions_total", "reason");
    for reason in traffic::REASONS {
        assert!(reasons.contains(reason), "{reason} is not in {reasons:?}");
    }
}

#[test]
fn every_metric_in_the_files_is_in_a_table_of_metrics() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let tables = ["src", "redis/src", "issuing/src"];
    let tables = tables.map(|folder| read(&format!("{root}/{folder}/telemetry/metrics.md")));
    for file in ["grafana-dashboard.json", "alerts.yml", "alerts_test.yml"] {
        let text = read(&operations(file));
        let names = metrics_in(&text);
        assert!(names.len() > 8, "{file}: {names:?}");
        for name in names {
            let name = name.trim_end_matches("_bucket").trim_end_matches("_count");
            let is_documented = tables.iter().any(|table| table.contains(&format!("| `{name}` |")));
            assert!(is_documented, "{file}: {name}");
        }
    }
}

#[test]
fn each_alert_is_explained_and_tested_both_ways() {
    let rules = read(&operations("alerts.yml"));
    let names = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: Vec<_> = names.collect();
    assert!(names.len() >= 12, "{names:?}");
    let (cases, page) = (read(&operations("alerts_test.yml")), read(&operations("README.md")));
    for name in names {
        assert!(page.contains(&format!("\n### {name}\n")), "README.md does not explain {name}");
        let link = format!("operations/README.md#{}\"", name.to_lowercase());
        assert!(rules.contains(&link), "alerts.yml has no {link}");
        let quiet = format!("{{ alertname: {name}, eval_time: 80m, exp_alerts: [] }}");
        assert!(cases.contains(&quiet), "no case in which {name} does not fire");
        let fires = cases.split(&format!("- alertname: {name}\n")).skip(1).any(|case| {
            case.lines().nth(2).is_some_and(|line| line.trim().starts_with("- exp_labels:"))
        });
        assert!(fires, "no case in which {name} fires");
    }
}

/// The names of this crate's metrics in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with("tower_bearer_")).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
