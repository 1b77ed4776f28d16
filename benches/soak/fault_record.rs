//! The record of the run: the faults of the key server and of Redis, and each request for keys.

use std::{
    collections::BTreeSet,
    sync::Mutex,
    time::{Duration, Instant},
};

/// The maximum time in which the resource server applies an answer, on a busy machine.
const ON_THE_WAY: Duration = Duration::from_secs(1);
/// The sum of the longest pause before the resource server reconnects (2 seconds), the heartbeat that detects the fault
/// (1 second), a command that times out, and the delay of a busy machine.
const RECOVERY: Duration = Duration::from_secs(6);
/// On a healthy machine, every request is faster than this.
const STALL: Duration = Duration::from_millis(250);
/// A question to Redis that began before a fault ends within this time.
const IN_FLIGHT: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFault {
    Fails,
    Hangs,
    Empty,
    Garbage,
    BreaksOff,
}

/// Each request for keys that the key server got.
#[derive(Default)]
pub(crate) struct KeyFetches(Mutex<Vec<KeyFetch>>);

#[derive(Clone)]
struct KeyFetch {
    begun: Instant,
    ended: Instant,
    /// The keys in a valid answer.
    keys: Option<BTreeSet<usize>>,
}

/// The knowledge that the resource server may have about a key during a request.
#[derive(Clone, Copy)]
pub(crate) struct KeyKnowledge {
    pub(crate) may_know: bool,
    pub(crate) surely_knows: bool,
    /// The last fetch of keys may have failed.
    pub(crate) fetch_may_have_failed: bool,
}

impl KeyFetches {
    pub(crate) fn record(&self, begun: Instant, ended: Instant, keys: Option<BTreeSet<usize>>) {
        self.0.lock().unwrap().push(KeyFetch { begun, ended, keys });
    }

    /// The knowledge about `key` between these two times.
    pub(crate) fn key_knowledge(
        &self,
        key: Option<usize>,
        from: Instant,
        until: Instant,
    ) -> KeyKnowledge {
        let attempts = self.0.lock().unwrap();
        let is_settled = |attempt: &&KeyFetch| attempt.ended + ON_THE_WAY <= from;
        let may_count = |attempt: &&KeyFetch| !is_settled(attempt) && attempt.begun <= until;
        let good = |attempt: &&KeyFetch| attempt.keys.is_some();
        let last = attempts.iter().rfind(is_settled);
        let last_good = attempts.iter().filter(is_settled).rfind(good);
        let is_in = |attempt: &KeyFetch| {
            key.is_some_and(|key| attempt.keys.as_ref().is_some_and(|keys| keys.contains(&key)))
        };
        let later: Vec<_> = attempts.iter().filter(may_count).collect();
        let mut sets =
            last_good.into_iter().chain(later.iter().copied().filter(|it| it.keys.is_some()));
        KeyKnowledge {
            may_know: sets.clone().any(is_in),
            surely_knows: last_good.is_some() && sets.all(is_in),
            fetch_may_have_failed: last_good.is_none()
                || last.into_iter().chain(later).any(|attempt| attempt.keys.is_none()),
        }
    }

    pub(crate) fn count(&self) -> (usize, usize) {
        let attempts = self.0.lock().unwrap();
        (attempts.len(), attempts.iter().filter(|attempt| attempt.keys.is_none()).count())
    }

    /// The longest time without a request for keys.
    pub(crate) fn longest_pause(&self) -> Duration {
        let attempts = self.0.lock().unwrap();
        let pauses = attempts.windows(2).map(|two| two[1].begun - two[0].begun);
        pauses.max().unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RedisFault {
    Killed,
    Stopped,
    Swallows,
    Cut,
    Emptied,
}

impl RedisFault {
    pub(crate) const ALL: [Self; 5] =
        [Self::Killed, Self::Stopped, Self::Swallows, Self::Cut, Self::Emptied];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed, restarted with its data",
            Self::Stopped => "stopped, and continued",
            Self::Swallows => "behind a proxy that drops every byte",
            Self::Cut => "every connection cut at once",
            Self::Emptied => "restarted empty, and seeded 2 s later",
        }
    }
}

/// The times when Redis could not answer, and when the machine stalled.
#[derive(Default)]
pub(crate) struct RedisFaults(Mutex<Vec<Window>>, Mutex<Vec<(Instant, Instant)>>);

#[derive(Clone, Copy)]
struct Window {
    fault: RedisFault,
    from: Instant,
    /// From this time on, some process may reach Redis again.
    repaired: Option<Instant>,
    until: Option<Instant>,
    /// The last request that got 503 because of this fault.
    last_unavailable: Option<Instant>,
}

impl RedisFaults {
    pub(crate) fn begin(&self, fault: RedisFault) {
        let from = Instant::now();
        let window = Window { fault, from, repaired: None, until: None, last_unavailable: None };
        self.0.lock().unwrap().push(window);
    }

    pub(crate) fn repair(&self) {
        if let Some(window) = self.0.lock().unwrap().last_mut() {
            window.repaired = Some(Instant::now());
        }
    }

    pub(crate) fn end(&self) {
        if let Some(window) = self.0.lock().unwrap().last_mut() {
            window.until = Some(Instant::now());
        }
    }

    /// Whether Redis may have been unreachable for a request between these times.
    pub(crate) fn may_be_down(&self, from: Instant, until: Instant) -> bool {
        let overlaps = |window: &Window| {
            window.from <= until && window.until.is_none_or(|end| from <= end + RECOVERY)
        };
        self.0.lock().unwrap().iter().rev().take(2).any(overlaps)
    }

    /// Whether Redis was certainly unreachable at every moment between these times.
    pub(crate) fn is_surely_down(&self, from: Instant, until: Instant) -> bool {
        self.0.lock().unwrap().last().is_some_and(|window| {
            window.fault != RedisFault::Cut
                && window.from + IN_FLIGHT <= from
                && window.repaired.is_none_or(|end| until < end)
        })
    }

    /// Records that a request took too long. The machine must have stalled, or Redis on its disk. That may also make a
    /// lookup fail.
    pub(crate) fn record_stall(&self, from: Instant, until: Instant) {
        if until - from >= STALL && !self.may_be_down(from, until) {
            self.1.lock().unwrap().push((from, until));
        }
    }

    pub(crate) fn is_near_a_stall(&self, from: Instant, until: Instant) -> bool {
        let stalls = self.1.lock().unwrap();
        stalls.iter().any(|stall| stall.0 <= until && from <= stall.1 + RECOVERY)
    }

    /// The total time for which the machine stalled.
    pub(crate) fn stalled(&self) -> Duration {
        let mut stalls = self.1.lock().unwrap().clone();
        stalls.sort_unstable();
        let mut over = None;
        let part = |(from, until): (Instant, Instant)| {
            let begin = over.map_or(from, |over| from.max(over));
            over = over.max(Some(until));
            until.saturating_duration_since(begin)
        };
        stalls.into_iter().map(part).sum()
    }

    pub(crate) fn record_unavailable(&self, at: Instant) {
        if let Some(window) = self.0.lock().unwrap().last_mut() {
            window.last_unavailable = Some(at);
        }
    }

    /// The last fault, how long ago it began, and how long ago it ended.
    pub(crate) fn last(&self) -> Option<(RedisFault, Duration, Option<Duration>)> {
        let windows = self.0.lock().unwrap();
        let window = windows.last()?;
        Some((window.fault, window.from.elapsed(), window.until.map(|end| end.elapsed())))
    }

    /// For each fault: how often it occurred, and the longest time from its end to the last 503.
    pub(crate) fn summary(&self) -> Vec<(RedisFault, usize, Duration)> {
        let windows = self.0.lock().unwrap();
        let of = |fault| windows.iter().filter(move |window| window.fault == fault);
        let recovery = |window: &Window| {
            let last = window.last_unavailable?;
            Some(last.saturating_duration_since(window.until?))
        };
        RedisFault::ALL
            .into_iter()
            .map(|fault| {
                let longest = of(fault).filter_map(recovery).max().unwrap_or_default();
                (fault, of(fault).count(), longest)
            })
            .collect()
    }
}
