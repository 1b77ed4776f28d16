use std::time::Duration;

#[cfg(feature = "tracing")]
#[test]
fn a_warning_is_logged_at_once_and_then_once_in_ten_seconds() {
    let limit = super::WarningLimit::default();
    let at = |seconds| limit.allows(Duration::from_secs(seconds));
    assert_eq!(
        [at(0), at(0), at(9), at(10), at(11), at(19), at(20)].map(u8::from),
        [1, 0, 0, 1, 0, 0, 1]
    );
}

/// The cells of each row of a table, without the head.
#[cfg(any(feature = "tracing", feature = "metrics"))]
fn rows(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .skip(2)
        .map(|line| {
            let line = line.trim().trim_start_matches('|').trim_end_matches('|');
            line.split('|').map(str::trim).collect()
        })
        .collect()
}

#[cfg(feature = "tracing")]
#[test]
fn the_table_of_events_has_every_name_and_no_other() {
    let rows = rows(include_str!("events.md"));
    let names: Vec<_> = rows.iter().map(|cells| cells[0].trim_matches('`')).collect();
    assert_eq!(names, super::names::events::ALL);
}

#[cfg(feature = "metrics")]
#[test]
fn the_table_of_metrics_has_exactly_the_metrics_of_the_code() {
    use super::names;

    let described: Vec<_> = names::ALL
        .iter()
        .map(|metric| {
            let labels: Vec<_> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let kind = format!("{:?}", metric.kind).to_lowercase();
            [format!("`{}`", metric.name), kind, labels.join(", ")]
        })
        .collect();
    let rows = rows(include_str!("metrics.md"));
    let documented: Vec<_> = rows.iter().map(|cells| [cells[0], cells[1], cells[2]]).collect();
    assert_eq!(documented, described);
    for (metric, cells) in names::ALL.iter().zip(&rows) {
        assert!(cells[5].starts_with(metric.text), "{}: {}", metric.name, metric.text);
    }
}

#[cfg(feature = "metrics")]
#[test]
fn every_rejection_kind_is_counted_with_its_own_reason() {
    use ::metrics::with_local_recorder;
    use metrics_util::debugging::{DebugValue, DebuggingRecorder};

    use crate::{RejectionKind, rejection::Answer};

    for kind in RejectionKind::ALL {
        let recorder = DebuggingRecorder::new();
        with_local_recorder(&recorder, || super::refused(*kind));
        let snapshot = recorder.snapshotter().snapshot().into_vec();
        let [(key, _, _, DebugValue::Counter(1))] = &*snapshot else { panic!("{snapshot:?}") };
        let labels: Vec<_> = key.key().labels().map(|label| (label.key(), label.value())).collect();
        let decision = match kind.answer() {
            Answer::Unavailable => "unavailable",
            _ => "rejected",
        };
        assert_eq!(labels, [("decision", decision), ("reason", kind.as_str())]);
    }
}

#[cfg(feature = "metrics")]
#[test]
fn every_metric_is_described_to_the_recorder() {
    use ::metrics::with_local_recorder;

    #[derive(Default)]
    struct Descriptions(std::cell::RefCell<Vec<String>>);

    impl Descriptions {
        fn note(&self, name: &::metrics::KeyName) {
            self.0.borrow_mut().push(name.as_str().to_owned());
        }
    }

    use ::metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    };

    impl Recorder for Descriptions {
        fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
            assert!(name.as_str().ends_with("_total"));
            self.note(&name);
        }

        fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
            self.note(&name);
        }

        fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
            assert_eq!(unit, Some(Unit::Seconds));
            self.note(&name);
        }

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    let descriptions = Descriptions::default();
    with_local_recorder(&descriptions, super::describe);
    let names: Vec<_> = super::names::ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(*descriptions.0.borrow(), names);
}
