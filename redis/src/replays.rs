//! Records used DPoP proofs, so that no two processes of a fleet accept the same one.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use ::redis::Cmd;
use tokio::time::Instant;

use super::{connection::Connection, error::Failure, keys::Keys, store::RedisStore};
use tower_bearer::{
    BoxFuture,
    dpop::{ProofUse, Recorded, ReplayStore},
    revocation::StoreError,
};

/// Used DPoP proofs in Redis (RFC 9449 section 11.1), for
/// [`Dpop::with_replay_store`](tower_bearer::dpop::Dpop::with_replay_store). Get it from
/// [`RedisStore::replay_store`]. Clones share the connection of that store.
///
/// # The guarantee
///
/// Of all processes that use one prefix of one Redis, at most one accepts a proof, and it accepts it once. One script
/// checks the server and records the proof, so nothing can happen in between. Proofs are rejected with an error, which
/// is 503 by default:
///
/// 1. while Redis does not answer, is not seeded, is a replica, or has evicted a key;
/// 2. for one proof window after each of these: the first [`initialise`](RedisStore::initialise), a new generation, a
///    restart of Redis (with or without its data), and a failover. The window is the maximum age of a proof plus twice
///    the leeway plus a second, 121 seconds by default. After it, every proof whose record was lost is too old.
///
/// Redis writes replicas later, and data files too. So a restarted or promoted server may lack the latest proofs, and
/// no process can know which. That is why rule 2 does not depend on `appendfsync` and `WAIT`. Redis also takes a new
/// replication id when its first replica connects, and one hour after its last replica has left (`repl-backlog-ttl`).
/// Rule 2 then applies, too.
///
/// # What cannot be noticed
///
/// * A client that deletes keys of this prefix, or restores old data into a running server.
/// * Evicted keys, if `CONFIG RESETSTAT` runs before the next proof and before the next check, which is at most one
///   second later. A restart or a failover in place of it begins a new window.
/// * A master that is cut off from its replacement and still answers for longer than the leeway. A process that is
///   connected to it may accept a proof that is accepted again at the replacement, when the window there is over. The
///   failover software must stop the old master, or `min-replicas-to-write` must make it reject writes.
/// * A step of the clock of the Redis server. Redis removes the records by its own clock. A step forward of up to the
///   leeway is harmless if the clocks of the fleet agree. After a longer one, proofs that are still young enough can be
///   used again. A step back only makes rule 2 last longer.
///
/// # Costs
///
/// One round trip for each proof. In Redis 7.0, each used proof takes about 180 bytes for one window. The script reads
/// three sections of `INFO`, which is most of its time: about 0.1 ms of the server on a busy machine. If memory is used
/// up, Redis rejects the record, and the request gets 503. Records expire, so an evicting `maxmemory-policy` would
/// remove them first, and the store rejects such a server.
///
/// Services that share a Redis may share the prefix, because a proof is valid for one URL only. The processes of one
/// service must have the same maximum age and leeway.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_bearer::dpop::Dpop;
/// use tower_bearer_redis::RedisStore;
///
/// let store = RedisStore::connect("redis://redis.internal").await?;
/// let dpop = Dpop::new(["https://api.example"])?.with_replay_store(store.replay_store());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RedisReplayStore(RedisStore);

impl RedisStore {
    /// Returns a store of used DPoP proofs in this Redis. The first call in a new fleet begins the window in which
    /// proofs are rejected. So make it at start, and not at the first request.
    #[must_use]
    pub fn replay_store(&self) -> RedisReplayStore {
        self.0.health.replays.begin();
        self.0.link.suspect();
        RedisReplayStore(self.clone())
    }
}

impl ReplayStore for RedisReplayStore {
    fn record(&self, proof: ProofUse) -> BoxFuture<'static, Result<Recorded, StoreError>> {
        let begin = Instant::now();
        let store = self.0.clone();
        Box::pin(async move { Ok(record(&store, proof, begin).await?) })
    }
}

async fn record(store: &RedisStore, proof: ProofUse, begin: Instant) -> Result<Recorded, Failure> {
    let dialer = &store.0.dialer;
    let limit = dialer.connect_timeout.saturating_add(dialer.command_timeout);
    let command = command(&store.0.keys, proof, limit);
    let answer: u8 = store.0.link.send(&command).await?;
    let recorded = read(answer)?;
    // Redis keeps the record for the limit longer than the window. After a longer pause of this process, an earlier
    // record of the same proof may have expired before this one was written.
    if begin.elapsed() > limit {
        return Err(Failure::TimedOut);
    }
    Ok(recorded)
}

fn read(answer: u8) -> Result<Recorded, Failure> {
    match answer {
        0 => Ok(Recorded::Replay),
        1 => Ok(Recorded::FirstUse),
        2 => Err(Failure::NotSeeded),
        3 => Err(Failure::Evicted),
        4 => Err(Failure::ReplayWindow),
        _ => Err(Failure::Unreadable),
    }
}

/// Records a proof, unless it is recorded or the records may be incomplete. Without a proof it only checks the records.
///
/// A record may be missing if the server is not the one that has all records since the date in the second key: a
/// process of another run, another replication history (it was a replica meanwhile), or data of another generation. It
/// then writes the current date there.
///
/// It asks `INFO` for one section at a time, because Redis before version 7 takes only one.
const RECORD: &str = r"
local generation = redis.call('GET', KEYS[1])
if not generation then return 2 end
if not string.find(redis.call('INFO', 'stats'), '\nevicted_keys:0\r', 1, true) then
  redis.call('DEL', KEYS[2])
  return 3
end
local run = string.match(redis.call('INFO', 'server'), '\nrun_id:(%w+)')
local history = string.match(redis.call('INFO', 'replication'), '\nmaster_replid:(%w+)')
if not run or not history then return 5 end
local server = run .. ' ' .. history .. ' ' .. generation
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local known, since = string.match(redis.call('GET', KEYS[2]) or '', '^(.+) (%d+)$')
if known ~= server or now < tonumber(since) then
  redis.call('SET', KEYS[2], server .. ' ' .. string.format('%.0f', now))
  return 4
end
if not KEYS[3] then return 0 end
if now - tonumber(since) <= tonumber(ARGV[1]) then return 4 end
if redis.call('SET', KEYS[3], '', 'NX', 'PX', ARGV[2]) then return 1 end
return 0
";

fn command(keys: &Keys, proof: ProofUse, limit: Duration) -> Cmd {
    let mut command = ::redis::cmd("EVAL");
    command.arg(RECORD).arg(3).arg(&keys.generation).arg(&keys.replays_since);
    command.arg(keys.proof_key(proof.id()));
    let window = proof.keep_for().saturating_add(limit);
    command.arg(milliseconds(window)).arg(milliseconds(window));
    command
}

/// Rounded up.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// Checks the records at each new connection and once in each heartbeat. So the window begins when Redis is back, and
/// not at the next request.
#[derive(Clone, Default)]
pub(super) struct ReplayCheck(Arc<AtomicBool>);

impl ReplayCheck {
    fn begin(&self) {
        self.0.store(true, Relaxed);
    }

    /// The answer does not matter, because each record checks again.
    pub(super) async fn check(&self, keys: &Keys, connection: &Connection) {
        if !self.0.load(Relaxed) {
            return;
        }
        let mut command = ::redis::cmd("EVAL");
        command.arg(RECORD).arg(2).arg(&keys.generation).arg(&keys.replays_since);
        let _: Result<u8, _> = command.query_async(&mut connection.0.clone()).await;
    }
}

impl fmt::Debug for RedisReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisReplayStore").field(&self.0).finish()
    }
}
