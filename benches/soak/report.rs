//! The results of the run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use crate::{
    answer::Answer,
    failure::Failure,
    resource_server::{Sample, ServerResults},
    run_state::RunState,
    traffic::CONNECTIONS,
};

/// The maximum by which the median of the last quarter may exceed that of the second quarter. The arenas of an
/// allocator still grow in that time. A leak of ten bytes for each request is more than this in ten minutes.
const GROWTH_KIB: u64 = 4 * 1024;
const GROWTH_FILES: u64 = 8;
/// Shorter runs are still filling caches. That growth is not a leak.
const CACHES_FILLED: Duration = Duration::from_secs(600);
/// The longest pause between two attempts to fetch keys is one minute.
const LONGEST_PAUSE: Duration = Duration::from_secs(63);

pub(crate) struct Report {
    page: String,
    faults: Vec<String>,
}

impl Report {
    pub(crate) fn new(
        state: &RunState,
        end: &ServerResults,
        duration: Duration,
        redis: &str,
    ) -> Self {
        let counts = state.counts();
        let all: u64 = counts.values().sum();
        let samples = &end.samples;
        let quarter = |number: usize| {
            let length = samples.len() / 4;
            &samples[number * length..(number + 1) * length]
        };
        // A requirement behind the layer is a second decision. A request whose client disconnected may or may not have
        // a decision.
        let of = |wanted: Answer| -> u64 {
            counts.iter().filter(|((_, it), _)| *it == wanted).map(|(_, count)| count).sum()
        };
        let decided = all + of(Answer::PermissionDenied);
        let disconnects = state.disconnects.load(Relaxed);
        let (second, last) = (quarter(1), quarter(3));
        let memory = |samples: &[Sample]| median(samples.iter().map(|sample| sample.kibibytes));
        let files = |samples: &[Sample]| median(samples.iter().map(|sample| sample.files as u64));
        let most = samples.iter().map(|sample| sample.kibibytes).max().unwrap_or(0);
        let panics = end.errors.matches("panicked").count();
        let pause = state.key_fetches.longest_pause();

        let mut faults = Vec::new();
        let mut check = |is_ok: bool, what: &str| {
            if !is_ok {
                faults.push(what.to_owned());
            }
        };
        check(state.wrong_answers() == 0, "there were wrong answers");
        check(panics == 0, "the server panicked");
        check(
            duration < CACHES_FILLED || memory(last) <= memory(second) + GROWTH_KIB,
            "the memory of the server grew",
        );
        check(
            files(last) <= files(second) + GROWTH_FILES,
            "the number of open files of the server grew",
        );
        check(
            (decided..=decided + disconnects).contains(&end.decisions),
            "the metrics of the server count a different number of requests than the client sent",
        );
        check(state.redis_faults.stalled() <= duration / 50, "requests were slow without a fault");
        check(pause <= LONGEST_PAUSE, "the server did not fetch keys in time");
        for kind in KINDS_WITH_SUCCESS {
            check(
                counts.contains_key(&(kind, Answer::Passed)),
                "no request of a valid kind passed",
            );
        }

        let mut page = String::new();
        let (fetches, failed) = state.key_fetches.count();
        write!(
            page,
            "# Soak\n\n\
             Written by `cargo bench --bench soak -- --minutes {} --write`: the example `resource_server`, built for release, with \
             a key server that rotates its keys, and Redis {redis}, on {} cores that it shares with the client.\n\n\
             * {all} requests in {} s over {CONNECTIONS} keep-alive connections, and {} connections that the client closed early.\n\
             * Wrong answers: {}. Panics: {panics}.\n\
             * Resident memory, medians: {:.1} MiB in the second quarter, {:.1} MiB in the last; {:.1} MiB at most. \
             Open files: {} and {}.\n\
             * Decisions by the server's own metrics: {}; by the client {decided}, and up to {disconnects} more on connections that \
             the client closed early.\n\
             * The machine stalled for {:.1} s in total. A stall is a request without a fault that took longer than 250 ms. \
             A lookup may also fail then.\n\
             * The server fetched keys {fetches} times. {failed} of the fetches failed. The longest pause was {:.1} s.\n\
             * Tokens that another process revoked while Redis had no fault: the last request that still passed was sent {:.1} ms \
             after the revocation was recorded (the staleness bound is 30 s).\n",
            duration.as_secs_f64() / 60.0,
            std::thread::available_parallelism().map_or(0, usize::from),
            duration.as_secs(),
            disconnects,
            state.wrong_answers(),
            mebibytes(memory(second)),
            mebibytes(memory(last)),
            mebibytes(most),
            files(second),
            files(last),
            end.decisions,
            state.redis_faults.stalled().as_secs_f64(),
            pause.as_secs_f64(),
            state.longest_pass_after_revocation().as_secs_f64() * 1e3,
        )
        .expect("text");
        page += "\n## Faults of Redis\n\n| Redis was | times | longest time from its end to the last 503 |\n|---|--:|--:|\n";
        for (fault, times, recovery) in state.redis_faults.summary() {
            writeln!(page, "| {} | {times} | {:.2} s |", fault.name(), recovery.as_secs_f64())
                .expect("text");
        }
        page += "\n## Answers\n\n";
        page += &table(&counts);
        Self { page, faults }
    }

    pub(crate) fn page(&self) -> &str {
        &self.page
    }

    pub(crate) fn verdict(&self) -> Result<(), Failure> {
        if self.faults.is_empty() { Ok(()) } else { Err(self.faults.join("; ").into()) }
    }
}

/// If no request of one of these kinds passes, the run proves nothing.
const KINDS_WITH_SUCCESS: [&str; 4] = ["good", "new", "expiring", "log-out"];

fn table(counts: &BTreeMap<(&'static str, Answer), u64>) -> String {
    let answers: BTreeSet<_> = counts.keys().map(|(_, answer)| *answer).collect();
    let kinds: BTreeSet<_> = counts.keys().map(|(kind, _)| *kind).collect();
    let mut table = String::from("| requests |");
    for answer in &answers {
        table += &format!(" {} |", answer.name());
    }
    table += "\n|---|";
    table += &"--:|".repeat(answers.len());
    table.push('\n');
    for kind in kinds {
        table += &format!("| {kind} |");
        for answer in &answers {
            match counts.get(&(kind, *answer)) {
                Some(count) => table += &format!(" {count} |"),
                None => table += " |",
            }
        }
        table.push('\n');
    }
    table
}

fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
