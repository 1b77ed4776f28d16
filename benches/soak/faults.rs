//! The faults of the key server and of Redis, and their times.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tower_bearer_redis::RedisStore;

use crate::{Failure, proxy::Proxy, redis_server::Server as RedisServer, revoker, world::World};

/// How long the key server fails. It is long enough for one attempt: unknown keys cause one every 30 seconds.
const KEYS_FAIL: Duration = Duration::from_secs(35);
const KEYS_ARE_WELL: Duration = Duration::from_secs(20);

const REDIS_FAILS: Duration = Duration::from_secs(5);
const REDIS_IS_WELL: Duration = Duration::from_secs(15);
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

/// Each fault in turn, with pauses without a fault between them.
pub(crate) async fn of_keys(world: Arc<World>) -> Result<(), Failure> {
    let faults =
        [KeyFault::Fails, KeyFault::Hangs, KeyFault::Empty, KeyFault::Garbage, KeyFault::BreaksOff];
    for fault in faults.into_iter().cycle() {
        if !world.goes_on_for(KEYS_ARE_WELL).await {
            break;
        }
        *world.key_fault.lock().unwrap() = Some(fault);
        world.goes_on_for(KEYS_FAIL).await;
        *world.key_fault.lock().unwrap() = None;
    }
    Ok(())
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
            Self::Swallows => "behind a wire that swallows every byte",
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
    mended: Option<Instant>,
    until: Option<Instant>,
    /// The last request that got 503 because of this fault.
    last_unavailable: Option<Instant>,
}

impl RedisFaults {
    fn begin(&self, fault: RedisFault) {
        let from = Instant::now();
        let window = Window { fault, from, mended: None, until: None, last_unavailable: None };
        self.0.lock().unwrap().push(window);
    }

    fn mend(&self) {
        if let Some(window) = self.0.lock().unwrap().last_mut() {
            window.mended = Some(Instant::now());
        }
    }

    fn end(&self) {
        if let Some(window) = self.0.lock().unwrap().last_mut() {
            window.until = Some(Instant::now());
        }
    }

    /// Whether Redis may have been unreachable for a request between these times.
    pub(crate) fn may_concern(&self, from: Instant, until: Instant) -> bool {
        let concerns = |window: &Window| {
            window.from <= until && window.until.is_none_or(|end| from <= end + RECOVERY)
        };
        self.0.lock().unwrap().iter().rev().take(2).any(concerns)
    }

    /// Whether Redis was certainly unreachable at every moment between these times.
    pub(crate) fn surely_concern(&self, from: Instant, until: Instant) -> bool {
        self.0.lock().unwrap().last().is_some_and(|window| {
            window.fault != RedisFault::Cut
                && window.from + IN_FLIGHT <= from
                && window.mended.is_none_or(|end| until < end)
        })
    }

    /// Records that a request took too long. The machine must have stalled, or Redis on its disk. That may also make a
    /// lookup fail.
    pub(crate) fn note_stall(&self, from: Instant, until: Instant) {
        if until - from >= STALL && !self.may_concern(from, until) {
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

    pub(crate) fn note_unavailable(&self, at: Instant) {
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

/// Each fault in turn, with pauses without a fault between them.
pub(crate) async fn of_redis(
    world: Arc<World>,
    mut redis: RedisServer,
    proxy: Proxy,
    store: RedisStore,
) -> Result<(), Failure> {
    for fault in RedisFault::ALL.into_iter().cycle() {
        if !world.goes_on_for(REDIS_IS_WELL).await {
            break;
        }
        world.redis.begin(fault);
        match fault {
            RedisFault::Killed => {
                redis.kill();
                world.goes_on_for(REDIS_FAILS).await;
                world.redis.mend();
                redis.restart();
            }
            RedisFault::Stopped => {
                redis.signal("STOP");
                world.goes_on_for(REDIS_FAILS).await;
                world.redis.mend();
                redis.signal("CONT");
            }
            RedisFault::Swallows => {
                proxy.swallow(true);
                world.goes_on_for(REDIS_FAILS).await;
                world.redis.mend();
                proxy.swallow(false);
                // Half a message is not valid in the protocol.
                proxy.cut();
            }
            RedisFault::Cut => proxy.cut(),
            RedisFault::Emptied => {
                redis.kill();
                redis.lose_data();
                redis.restart();
                world.goes_on_for(Duration::from_secs(2)).await;
                world.redis.mend();
                revoker::seed(&world, &store).await?;
            }
        }
        world.redis.end();
    }
    Ok(())
}
