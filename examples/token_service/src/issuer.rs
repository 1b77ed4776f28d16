//! The central part of the example: which key signs, where tokens and accounts are stored, and who may log in.

use std::time::Duration;

use tower_bearer::{Algorithm, BackgroundTask, jws::SigningKey};
use tower_bearer_issuing::{
    DirectoryKeys, KeyDirectory, Passwords, SigningKeys, TokenIssuer, TokenIssuerBuilder,
};
use tower_bearer_redis::{OutboxRelay, Pushes, RedisStore};
use tower_bearer_sql::SqlStore;

use crate::{failure::Outcome, settings::Settings};

/// The issuer of this replica, and what it depends on.
pub(crate) struct Replica {
    pub(crate) issuer: TokenIssuer,
    pub(crate) store: SqlStore,
    pub(crate) keys: DirectoryKeys,
    /// Gives the revocations of other replicas to the issuer.
    pub(crate) changes: BackgroundTask,
    pub(crate) sharing: Option<Sharing>,
}

/// The database is the source of truth. Redis notifies every replica and every resource server at once. Redis may lose its data at any time.
pub(crate) struct Sharing {
    pub(crate) redis: RedisStore,
    pub(crate) pushes: Pushes,
    pub(crate) relay: BackgroundTask,
}

impl Replica {
    pub(crate) async fn open(settings: &Settings) -> Outcome<Self> {
        let store = open_store(settings).await?;
        let keys = key_directory(settings).open(store.clone()).await?;
        let issuer = builder(settings, keys.signing_keys(), &store)?.build()?;
        let changes = store.push_to(issuer.revocation());
        let sharing = match &settings.redis_url {
            Some(url) => Some(Sharing::start(url, store.clone(), &issuer).await?),
            None => None,
        };
        Ok(Self { issuer, store, keys, changes, sharing })
    }

    /// Stops the tasks. Call it after the server has stopped.
    pub(crate) async fn close(self, maintenance: &BackgroundTask) -> Outcome {
        maintenance.shutdown().await;
        // Stores the uses of private tokens and the audit events that are not stored yet.
        self.issuer.maintain().await?;
        self.keys.task().shutdown().await;
        self.changes.shutdown().await;
        if let Some(sharing) = self.sharing {
            // The entries that it has not published yet stay in the database for the next start.
            sharing.relay.shutdown().await;
        }
        Ok(())
    }
}

impl Sharing {
    async fn start(url: &str, store: SqlStore, issuer: &TokenIssuer) -> Outcome<Self> {
        // The start fails if settings are wrong. It does not fail if Redis is temporarily unreachable.
        let redis = RedisStore::builder(url).allow_unreachable_at_start().connect().await?;
        if redis.is_seeded().await.is_err() {
            eprintln!(
                "warning: Redis cannot be asked, and revocations take up to the bound until it can"
            );
        }
        let pushes = redis.push_to(issuer.revocation());
        let relay = OutboxRelay::new(store, redis.clone()).spawn();
        Ok(Self { redis, pushes, relay })
    }
}

/// An issuer for commands, with the name of the command as actor of its audit events. It never signs, so its key is not
/// stored, and it needs no key of the service.
pub(crate) fn for_commands(
    settings: &Settings,
    store: &SqlStore,
    command: &str,
) -> Outcome<TokenIssuer> {
    let key = SigningKey::generate(Algorithm::ES256)?;
    Ok(builder(settings, key, store)?.build()?.by_operator(command))
}

/// Writes the audit events of a command, also if the command failed, because a part of its work may be done.
pub(crate) async fn finish(issuer: &TokenIssuer, outcome: Outcome) -> Outcome {
    let written = issuer.flush_audit().await;
    outcome?;
    written.map_err(|error| {
        format!("the command is done, but its audit event is not stored: {error}")
    })?;
    Ok(())
}

pub(crate) async fn open_store(settings: &Settings) -> Outcome<SqlStore> {
    Ok(settings.database.open(&settings.database_url).await?)
}

pub(crate) fn key_directory(settings: &Settings) -> KeyDirectory {
    KeyDirectory::new(&settings.key_dir, settings.issuer.as_str())
        .with_publication(settings.key_publication)
        .with_longest_lifetime(longest_lifetime(settings))
        .with_earlier_key_file(&settings.key_file)
}

/// That of any token. Access tokens live for an hour.
fn longest_lifetime(settings: &Settings) -> Duration {
    let hour = Duration::from_secs(60 * 60);
    settings.refresh_lifetime.max(settings.max_private_lifetime).max(hour)
}

fn builder(
    settings: &Settings,
    keys: impl Into<SigningKeys>,
    store: &SqlStore,
) -> Outcome<TokenIssuerBuilder> {
    let issuer = TokenIssuer::builder(
        settings.issuer.as_str(),
        settings.audience.as_str(),
        keys,
        store.clone(),
        Passwords::new(store.clone())?,
    );
    let mut issuer = issuer
        .with_managed_accounts(store.clone())
        .with_audit(store.clone())
        .with_audit_retention(settings.audit_retention)
        .with_revocation_bound(settings.revocation_bound)
        .with_refresh_reuse_grace(settings.refresh_reuse_grace)
        .with_refresh_lifetime(settings.refresh_lifetime)
        .with_max_private_lifetime(settings.max_private_lifetime)
        .with_max_overlap(settings.max_rotation_overlap);
    if let Some(id) = &settings.client_id {
        issuer = issuer.with_client_id(id.as_str());
    }
    if settings.allows_private_token_management {
        issuer = issuer.allow_private_token_management();
    }
    Ok(issuer)
}
