//! Revocations that several processes share through Redis or through a database, and used DPoP proofs that they share
//! through Redis.

use std::{error::Error, time::Duration};

use tower_bearer::{
    BackgroundTask, RevocationCache, health::HealthChecks, revocation::MemoryStore,
    telemetry::Collector,
};
use tower_bearer_redis::{Pushes, RedisReplayStore, RedisStore};
use tower_bearer_sql::{SqlDenyList, SqlStore};

use crate::{print_causes, settings::setting};

/// Through what processes share revocations.
#[expect(clippy::large_enum_variant, reason = "a process has one")]
pub(crate) enum Sharing {
    /// Used proofs too.
    Redis { store: RedisStore, pushes: Pushes },
    /// This process has a copy of all revocations, so no request needs a query.
    Database { store: SqlStore, deny_list: SqlDenyList },
}

impl Sharing {
    /// The used proofs of all processes.
    pub(crate) fn replay_store(&self) -> Option<RedisReplayStore> {
        match self {
            Self::Redis { store, .. } => Some(store.replay_store()),
            Self::Database { .. } => None,
        }
    }

    /// Adds what all replicas share, and the task that follows it.
    pub(crate) fn add_to(&self, checks: HealthChecks) -> HealthChecks {
        let checks = checks.add_task(&self.task());
        match self {
            Self::Redis { store, .. } => {
                let redis = store.clone();
                checks.add_shared_part("redis", move || {
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
            Self::Database { store, .. } => {
                let store = store.clone();
                checks.add_shared_part("database", move || {
                    let store = store.clone();
                    async move { store.ping().await.map_err(|error| error.kind()) }
                })
            }
        }
    }

    pub(crate) fn add_to_collector(&self, collector: Collector) -> Collector {
        match self {
            Self::Redis { pushes, .. } => collector.add_source(pushes.clone()),
            Self::Database { deny_list, .. } => collector.add_source(deny_list.clone()),
        }
    }

    /// The task that follows the revocations of other processes.
    pub(crate) fn task(&self) -> BackgroundTask {
        match self {
            Self::Redis { pushes, .. } => pushes.task(),
            Self::Database { deny_list, .. } => deny_list.task(),
        }
    }
}

/// The revocation cache. Without Redis and without a database it is for this process only.
pub(crate) async fn revocation() -> Result<(RevocationCache, Option<Sharing>), Box<dyn Error>> {
    let (revocation, sharing) = match (setting("REDIS_URL"), setting("DATABASE_URL")) {
        (Some(_), Some(_)) => return Err("REDIS_URL and DATABASE_URL exclude each other".into()),
        (Some(url), None) => through_redis(&url).await?,
        (None, Some(url)) => through_database(&url).await?,
        (None, None) => return Ok((RevocationCache::new(MemoryStore::new(), BOUND), None)),
    };
    Ok((revocation, Some(sharing)))
}

/// After this time at the latest, a process sees a revocation of another one, or answers 503.
const BOUND: Duration = Duration::from_secs(30);

/// A revocation in any process is pushed to all of them. If a push is lost, it is visible after the bound at the latest.
async fn through_redis(url: &str) -> Result<(RevocationCache, Sharing), Box<dyn Error>> {
    // The start fails if settings are wrong. It does not fail if Redis is temporarily unreachable.
    let store = RedisStore::builder(url).allow_unreachable_at_start().connect().await?;
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
    let revocation = RevocationCache::new(store.clone(), BOUND);
    let pushes = store.push_to(&revocation);
    Ok((revocation, Sharing::Redis { store, pushes }))
}

/// A revocation in any process is in the deny-list of each process after milliseconds, or after a second if PostgreSQL
/// cannot notify it.
async fn through_database(url: &str) -> Result<(RevocationCache, Sharing), Box<dyn Error>> {
    let store = SqlStore::open(url).await?;
    let deny_list = SqlDenyList::follow(&store, BOUND);
    let revocation = RevocationCache::new(deny_list.clone(), Duration::ZERO);
    Ok((revocation, Sharing::Database { store, deny_list }))
}

/// Declares that the Redis holds all revocations.
pub(crate) async fn initialise_redis() -> Result<(), Box<dyn Error>> {
    let url = setting("REDIS_URL").ok_or("REDIS_URL is not set")?;
    let is_new = RedisStore::connect(&url).await?.initialise().await?;
    println!("{}", if is_new { "initialised" } else { "was initialised before" });
    Ok(())
}
