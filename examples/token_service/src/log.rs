//! The log, on standard error: warnings of all libraries, and the audit events of the issuer. No event contains a
//! token, a password or a key.

use std::{io, str::FromStr};

use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::failure::Outcome;

/// The targets of the crates of this service begin with this.
const OWN: &str = "tower_bearer";

/// Which events are logged.
pub(crate) struct LogFilter(Targets);

impl FromStr for LogFilter {
    type Err = ();

    /// A level, and levels of targets. Only own targets get more than INFO: other libraries may write the headers of
    /// requests or parts of a connection at DEBUG and TRACE.
    fn from_str(text: &str) -> Result<Self, ()> {
        if !text.split(',').all(is_directive) {
            return Err(());
        }
        let named: Targets = text.parse().map_err(|_| ())?;
        let default = named.default_level().unwrap_or(LevelFilter::OFF);
        let levels = named.iter().map(|(target, level)| {
            let is_own = target.starts_with(OWN);
            (target.to_owned(), if is_own { level } else { level.min(LevelFilter::INFO) })
        });
        let all = Targets::new().with_default(default.min(LevelFilter::INFO));
        Ok(Self(all.with_target(OWN, default).with_targets(levels)))
    }
}

/// Whether it is `LEVEL` or `TARGET=LEVEL`. A single unknown word would be a target, and nothing else would be logged.
fn is_directive(text: &str) -> bool {
    let (target, level) = text.split_once('=').unwrap_or((OWN, text));
    // An empty level would be ERROR.
    !target.is_empty() && !level.is_empty() && level.parse::<LevelFilter>().is_ok()
}

/// Writes the events of this process from now on.
pub(crate) fn start(filter: &LogFilter) -> Outcome {
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(io::stderr);
    Ok(tracing_subscriber::registry().with(lines.with_filter(filter.0.clone())).try_init()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [LevelFilter; 5] = [
        LevelFilter::ERROR,
        LevelFilter::WARN,
        LevelFilter::INFO,
        LevelFilter::DEBUG,
        LevelFilter::TRACE,
    ];

    /// The most verbose level of this target.
    fn level(filter: &str, target: &str) -> Option<LevelFilter> {
        let LogFilter(targets) = filter.parse().unwrap();
        let is_logged = |level: &LevelFilter| {
            level.into_level().is_some_and(|level| targets.would_enable(target, &level))
        };
        LEVELS.into_iter().rfind(is_logged)
    }

    #[test]
    fn only_own_targets_are_logged_at_debug_and_trace() {
        for (filter, own, audit, other) in [
            ("off", None, None, None),
            ("warn", Some("WARN"), Some("WARN"), Some("WARN")),
            ("warn,tower_bearer=info", Some("INFO"), Some("INFO"), Some("WARN")),
            ("debug", Some("DEBUG"), Some("DEBUG"), Some("INFO")),
            ("trace,sqlx=trace", Some("TRACE"), Some("TRACE"), Some("INFO")),
            ("info,tower_bearer::audit=off", Some("INFO"), None, Some("INFO")),
            ("tower_bearer=debug", Some("DEBUG"), Some("DEBUG"), None),
        ] {
            let found = ["tower_bearer", "tower_bearer::audit", "sqlx::query"]
                .map(|target| level(filter, target).map(|level| level.to_string().to_uppercase()));
            assert_eq!(found.each_ref().map(Option::as_deref), [own, audit, other], "{filter}");
        }
    }

    #[test]
    fn an_unknown_level_is_an_error() {
        for text in
            ["verbose", "info,", "=info", "tower_bearer=", "tower_bearer=much", "a[b]=info,c"]
        {
            assert!(text.parse::<LogFilter>().is_err(), "{text}");
        }
    }
}
