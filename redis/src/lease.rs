//! The lease: decides which relay copies the backlog and seeds Redis.

use std::time::Duration;

use ::redis::Cmd;

use super::{RedisStore, error::Failure, generation::random};

/// How long a relay keeps the lease without renewing it.
const LEASE: Duration = Duration::from_secs(2);

/// Takes the lease if it is free, or renews it if this owner has it. Returns 1 if the owner has it now.
const HOLD: &str = r"
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
";

/// Gives the lease up if this owner has it.
const GIVE_UP: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
";

/// One relay's claim to the lease of its fleet. The lease expires if it is neither renewed nor given up.
///
/// A lease only saves work. Two relays that both believe they have it record entries twice, which changes nothing.
pub(super) struct Lease(String);

impl Lease {
    pub(super) fn new() -> Result<Self, Failure> {
        random().map(Self)
    }

    /// Takes or renews the lease. Returns `false` if another relay has it.
    pub(super) async fn hold(&self, redis: &RedisStore) -> Result<bool, Failure> {
        let mut command = self.command(HOLD, redis);
        command.arg(LEASE.as_millis().to_string());
        redis.0.link.send(&command).await
    }

    /// Gives the lease up, so that another relay can take it. If that fails, the lease expires.
    pub(super) async fn give_up(&self, redis: &RedisStore) {
        let _: Result<(), Failure> = redis.0.link.send(&self.command(GIVE_UP, redis)).await;
    }

    fn command(&self, script: &str, redis: &RedisStore) -> Cmd {
        let mut command = ::redis::cmd("EVAL");
        command.arg(script).arg(1).arg(format!("{}relay", redis.0.space.prefix)).arg(&self.0);
        command
    }
}
