//! The report for people: one line for each check, with dates instead of seconds.

use std::fmt::Write;

use jiff::Timestamp;
use tower_bearer::{
    Explanation, UnixTime,
    explain::{CheckOutcome, FoundValue},
};

/// The token in a text that may begin with `Authorization:` and `Bearer`, as it is copied out of a request.
pub(crate) fn token_in(text: &str) -> &str {
    let text = text.trim();
    let without = |text: &'_ str, prefix: &str| match text.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => prefix.len(),
        _ => 0,
    };
    let text = text.get(without(text, "authorization:")..).unwrap_or_default().trim_start();
    text.get(without(text, "bearer ")..).unwrap_or_default().trim_start()
}

pub(crate) fn text(explanation: &Explanation, has_colour: bool) -> String {
    let colour = |code: &str, text: &str| match has_colour {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let mut report = String::new();
    for check in explanation.checks() {
        let (mark, code) = match check.outcome {
            CheckOutcome::Passed => ("passed", "32"),
            CheckOutcome::Failed => ("FAILED", "1;31"),
            CheckOutcome::Skipped => ("skipped", "2"),
            _ => ("not reached", "2"),
        };
        // Writing to a `String` does not fail.
        let _ = write!(
            report,
            "{:2}  {}  {}",
            check.number,
            colour(code, &format!("{mark:11}")),
            check.name
        );
        let found: Vec<String> = check
            .found
            .iter()
            .map(|found| format!("{}: {}", found.name, value(&found.value, explanation.now())))
            .collect();
        match check.outcome {
            CheckOutcome::Failed => {
                let _ = write!(report, "\n      expected  {}", check.expected);
                for found in &found {
                    let _ = write!(report, "\n      found     {found}");
                }
            }
            CheckOutcome::Passed if !found.is_empty() => {
                let _ = write!(report, "  ({})", found.join(", "));
            }
            _ => {}
        }
        report.push('\n');
    }
    let verdict = match explanation.rejection() {
        None => colour("1;32", "accepted"),
        Some(kind) => colour("1;31", &format!("rejected: {kind}")),
    };
    let _ = writeln!(report, "\n{verdict}");
    report
}

fn value(value: &FoundValue, now: UnixTime) -> String {
    match value {
        FoundValue::Time(time) => date(*time, now),
        other => other.to_string(),
    }
}

/// A date in UTC, and how far it is from now: `2027-01-15T08:00:00Z (12 minutes ago)`.
fn date(time: UnixTime, now: UnixTime) -> String {
    let timestamp = i64::try_from(time.as_secs()).ok();
    let Some(timestamp) = timestamp.and_then(|seconds| Timestamp::from_second(seconds).ok()) else {
        return format!("{} s after 1970", time.as_secs());
    };
    let seconds = time.as_secs().abs_diff(now.as_secs());
    let (number, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        7_200..172_800 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    let distance = match time.cmp(&now) {
        std::cmp::Ordering::Less => format!("{number} {unit}{plural} ago"),
        std::cmp::Ordering::Equal => "now".to_owned(),
        std::cmp::Ordering::Greater => format!("in {number} {unit}{plural}"),
    };
    format!("{timestamp} ({distance})")
}
