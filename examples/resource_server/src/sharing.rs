//! Revocations and used DPoP proofs that several processes share through Redis.

use std::{error::Error, time::Duration};

use tower_bearer::{RevocationCache, health::HealthChecks, revocation::MemoryStore};
use tower_bearer_redis::{Pushes, RedisReplayStore, RedisStore};

use crate::{print_causes, settings::setting};

/// Redis, through which processes share revocations and used proofs.
pub(crate) struct Sharing {
    redis: RedisStore,
    pub(crate) pushes: Pushes,
}

impl Sharing {
    /// The used proofs of all processes.
    pub(crate) fn replay_store(&self) -> RedisReplayStore {
        self.redis.replay_store()
    }

    /// Adds Redis and the connection to it. All replicas share Redis.
    pub(crate) fn add_to(&self, checks: HealthChecks) -> HealthChecks {
        let redis = self.redis.clone();
        checks.add_task(&self.pushes.task()).add_shared_part("redis", move || {
            let redis = redis.clone();
            async move {
                match redis.is_seeded().await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err("not_seeded"),
                    Err(error) => Err(error.kind()),
                }
            }
        })
    }
}

/// The revocation cache. Without Redis it is for this process only. With Redis, a revocation in any process is pushed
/// to all of them. If a push is lost, it is visible after the staleness bound at the latest.
pub(crate) async fn revocation() -> Result<(RevocationCache, Option<Sharing>), Box<dyn Error>> {
    let bound = Duration::from_secs(30);
    let Some(url) = setting("REDIS_URL") else {
        return Ok((RevocationCache::new(MemoryStore::new(), bound), None));
    };
    // The start fails if settings are wrong. It does not fail if Redis is temporarily unreachable.
    let store = RedisStore::builder(&url).allow_unreachable_at_start().connect().await?;
    match store.is_seeded().await {
        Ok(true) => {}
        Ok(false) => eprintln!(
            "warning: Redis is empty, and requests get 503: see --initialise-redis in --help"
        ),
        Err(error) => {
            eprintln!("warning: Redis cannot be asked, and requests get 503 until it can");
            print_causes(error.source());
        }
    }
    let revocation = RevocationCache::new(store.clone(), bound);
    let pushes = store.push_to(&revocation);
    Ok((revocation, Some(Sharing { redis: store, pushes })))
}

/// Declares that the Redis holds all revocations.
pub(crate) async fn initialise_redis() -> Result<(), Box<dyn Error>> {
    let url = setting("REDIS_URL").ok_or("REDIS_URL is not set")?;
    let is_new = RedisStore::connect(&url).await?.initialise().await?;
    println!("{}", if is_new { "initialised" } else { "was initialised before" });
    Ok(())
}
