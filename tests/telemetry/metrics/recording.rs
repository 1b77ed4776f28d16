//! A recorder for one test, which takes nothing that is not in the table of the documentation.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tower_bearer::RejectionKind;

/// What was recorded, by name and labels as `name{label="value"}`; of histograms every value, of others the one.
#[derive(Debug)]
pub(crate) struct Recorded(BTreeMap<String, Vec<f64>>);

/// Runs `run` with a recorder, on one thread and in a time that only passes where everybody waits.
pub(crate) fn record(run: impl Future<Output = ()>) -> Recorded {
    let recorder = DebuggingRecorder::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(run));
    let table = Table::read();
    let mut recorded = BTreeMap::new();
    for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
        let (key, values) = match (key.key(), value) {
            (key, DebugValue::Counter(value)) => (key.clone(), vec![value as f64]),
            (key, DebugValue::Gauge(value)) => (key.clone(), vec![value.into_inner()]),
            (key, DebugValue::Histogram(values)) => {
                (key.clone(), values.into_iter().map(|value| value.into_inner()).collect())
            }
        };
        let labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
        table.assert_has(key.name(), &labels);
        let labels: Vec<_> =
            labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
        recorded.insert(format!("{}{{{}}}", key.name(), labels.join(",")), values);
    }
    Recorded(recorded)
}

impl Recorded {
    /// All that begins with this behind `tower_bearer_`, in order.
    pub(crate) fn all(&self, begin: &str) -> Vec<(&str, f64)> {
        let begin = format!("tower_bearer_{begin}");
        self.0
            .iter()
            .filter(|(name, _)| name.starts_with(&begin))
            .map(|(name, values)| {
                let [value] = **values else { panic!("{name}: {values:?}") };
                (name.trim_start_matches("tower_bearer_"), value)
            })
            .collect()
    }

    /// Those that are not zero.
    pub(crate) fn counted(&self, begin: &str) -> Vec<(&str, f64)> {
        self.all(begin).into_iter().filter(|(_, value)| *value != 0.0).collect()
    }

    pub(crate) fn values(&self, name: &str) -> &[f64] {
        self.0.get(&format!("tower_bearer_{name}")).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The table of the documentation: labels and values by name.
struct Table(BTreeMap<String, (Vec<String>, BTreeSet<String>)>);

impl Table {
    fn read() -> Self {
        let tables = [
            include_str!("../../../src/telemetry/metrics.md"),
            include_str!("../../../issuing/src/telemetry/metrics.md"),
            include_str!("../../../redis/src/telemetry/metrics.md"),
        ];
        let rows = tables.iter().flat_map(|table| table.lines().skip(2)).map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').collect();
            let [name]: [String; 1] = quoted(cells[0]).try_into().unwrap();
            (name, (quoted(cells[2]), quoted(cells[3]).into_iter().collect()))
        });
        Self(rows.collect())
    }

    #[track_caller]
    fn assert_has(&self, name: &str, labels: &[(&str, &str)]) {
        let (names, values) = self.0.get(name).unwrap_or_else(|| panic!("{name} is in no table"));
        let recorded: Vec<_> = labels.iter().map(|(label, _)| *label).collect();
        assert_eq!(&recorded, names, "{name}");
        for (label, value) in labels {
            let is_known = match *label {
                // Configured by the tests.
                "issuer" => *value == "https://issuer.example",
                "store" => values.contains(*value) || *value == "partner",
                "reason" => {
                    values.contains(*value)
                        || RejectionKind::ALL.iter().any(|kind| kind.as_str() == *value)
                }
                _ => values.contains(*value),
            };
            assert!(is_known, "{name} has no {label} of {value}");
        }
    }
}

/// What stands between backquotes, names of types left out.
fn quoted(cell: &str) -> Vec<String> {
    let texts = cell.split('`').skip(1).step_by(2);
    texts.filter(|text| !text.starts_with(char::is_uppercase)).map(str::to_owned).collect()
}
