//! The store of revocation entries, with its outbox.

use std::{fmt, slice, sync::Arc};

use super::{
    database::Database,
    deny_list::{self, follower::Sink},
    entries,
    migration::Migration,
    open::{self, OpenError, SqlStoreOptions},
    outbox, sweep,
};
use tower_bearer::{
    BackgroundTask, BoxFuture, RevocationCache, UnixTime,
    claims::{Clock, SystemClock},
    revocation::{
        Lookup, Revocable, RevocationEntry, RevocationStore, StoreError, Verdict,
        outbox::{Acknowledged, Outbox, OutboxEntry},
    },
};

/// Revocation entries and their outbox in a database; with the feature `issuing` also sessions, private tokens and
/// accounts. Clones share its connections.
#[derive(Clone)]
pub struct SqlStore {
    pub(crate) database: Database,
    clock: Arc<dyn Clock>,
}

impl SqlStore {
    /// Opens the database of this URL, and creates its tables or migrates them to the current version. Creates the
    /// SQLite file if there is none. [`SqlStoreOptions`] has settings.
    ///
    /// # Errors
    /// If the URL or the tables are not for this build, or the database cannot be reached.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        SqlStoreOptions::new().open(url).await
    }

    /// Creates the tables of this URL, or migrates them to the current version, and closes the database. It has no
    /// statement timeout. [`open`](Self::open) does the same, so this is only needed if replicas must not wait for a
    /// migration, or if their database role may not change tables. Run it with a role that may.
    ///
    /// Several calls at the same time, and replicas that start meanwhile, wait for the first. A replica that runs keeps
    /// working. If the tables are newer than this build, nothing is changed.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use tower_bearer_sql::SqlStore;
    /// let migration = SqlStore::migrate("sqlite::memory:").await?;
    /// assert_eq!((migration.from, migration.to), (0, 8));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The same as [`open`](Self::open).
    pub async fn migrate(url: &str) -> Result<Migration, OpenError> {
        SqlStoreOptions::new().migrate(url).await
    }

    /// Sets the clock that decides which revocation entries are in force. Default: [`SystemClock`].
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Asks the database something trivial, on a connection for lookups. For health checks.
    ///
    /// # Errors
    /// If the database does not answer, or no connection gets free within the wait timeout.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.database.look_up("SELECT 1", &[]).await?;
        Ok(())
    }

    /// Deletes at most `limit` rows that are obsolete at `now`, such as revocation entries of tokens that have expired.
    /// Returns how many it has deleted. Fewer than `limit` means that none is left.
    ///
    /// Call it from time to time in a deployment without an issuer. `TokenIssuer::spawn_maintenance` does the same. No
    /// decision depends on it: without it, the tables grow.
    ///
    /// A deleted revocation is lost for good. So pass a time that is a day before the current time: a clock that is
    /// ahead by less than a day then deletes nothing that is still needed. A few hundred rows in each call keep
    /// the other steps from waiting.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_bearer::{BackgroundTask, claims::{Clock, SystemClock}};
    /// use tower_bearer_sql::SqlStore;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = SqlStore::open("sqlite::memory:").await?;
    /// let task = BackgroundTask::new("deletion of obsolete revocations");
    /// let report = task.clone();
    /// task.start(async move {
    ///     let mut every_minute = tokio::time::interval(Duration::from_secs(60));
    ///     loop {
    ///         every_minute.tick().await;
    ///         let yesterday = SystemClock::default().now() - Duration::from_secs(24 * 60 * 60);
    ///         match store.delete_obsolete(yesterday, 500).await {
    ///             Ok(_) => report.succeeded(),
    ///             Err(error) => report.failed(error.kind()),
    ///         }
    ///     }
    /// });
    /// # task.shutdown().await;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the rows were not deleted, or may not have been deleted.
    pub async fn delete_obsolete(&self, now: UnixTime, limit: usize) -> Result<usize, StoreError> {
        self.database
            .step(move |mut transaction| async move {
                let answer = sweep::sweep(&mut transaction, now, limit).await?;
                Ok((transaction, answer))
            })
            .await
    }

    /// Gives the revocations of other processes to `cache`, so that its next request sees them. The cache still asks its
    /// store for everything else: a [`SqlDenyList`](crate::SqlDenyList) saves these queries.
    ///
    /// Use it for an issuer, whose cache has the store itself behind it. A task polls once a second, and PostgreSQL also
    /// notifies it, so that it polls at once. Notifications need one more connection:
    /// [`SqlStoreOptions::with_notifications`] turns them off. The task ends when the last clone of the cache is dropped. Until it has read the changes, and while it cannot read them, the staleness bound
    /// of the cache applies. Its [health](BackgroundTask::health) shows whether it can read them.
    ///
    /// # Panics
    /// If it is called outside a Tokio runtime.
    pub fn push_to(&self, cache: &RevocationCache) -> BackgroundTask {
        deny_list::push(self, Sink::Cache(cache.downgrade()))
    }

    fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

impl SqlStoreOptions {
    /// Opens the database of this URL with these settings; see [`SqlStore::open`].
    ///
    /// # Errors
    /// The same as [`SqlStore::open`].
    pub async fn open(self, url: &str) -> Result<SqlStore, OpenError> {
        let database = open::open(url, self).await?;
        Ok(SqlStore { database, clock: Arc::new(SystemClock::default()) })
    }

    /// Migrates the tables of this URL with these settings; see [`SqlStore::migrate`]. The numbers of connections have
    /// no effect: a migration has one.
    ///
    /// # Errors
    /// The same as [`SqlStore::open`].
    pub async fn migrate(self, url: &str) -> Result<Migration, OpenError> {
        open::migrate_only(url, self).await
    }
}

impl RevocationStore for SqlStore {
    fn look_up<'a>(&'a self, lookup: &'a Lookup) -> BoxFuture<'a, Result<Verdict, StoreError>> {
        let now = self.now();
        Box::pin(async move { Ok(entries::look_up(&self.database, lookup, now).await?) })
    }

    fn revoke<'a>(&'a self, entry: &'a RevocationEntry) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.database.revoking_step(move |mut transaction| async move {
            entries::revoke(&mut transaction, slice::from_ref(entry)).await?;
            Ok((transaction, ()))
        }))
    }
}

impl Outbox for SqlStore {
    fn outbox(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OutboxEntry>, StoreError>> {
        Box::pin(async move { Ok(outbox::oldest(&self.database, limit).await?) })
    }

    fn denials<'a>(
        &'a self,
        after: Option<&'a Revocable>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<RevocationEntry>, StoreError>> {
        let now = self.now();
        Box::pin(async move { Ok(entries::list(&self.database, after, limit, now).await?) })
    }

    fn outbox_done<'a>(
        &'a self,
        ids: &'a [i64],
        acknowledged: &'a Acknowledged,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.database.step(move |mut transaction| async move {
            let answer = outbox::remove(&mut transaction, ids, acknowledged).await?;
            Ok((transaction, answer))
        }))
    }

    fn acknowledged<'a>(
        &'a self,
        fleet: &'a str,
    ) -> BoxFuture<'a, Result<Option<Acknowledged>, StoreError>> {
        Box::pin(async move { Ok(outbox::acknowledged(&self.database, fleet).await?) })
    }

    fn begin_generation<'a>(
        &'a self,
        new: &'a Acknowledged,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.database.step(move |mut transaction| async move {
            outbox::begin_generation(&mut transaction, new).await?;
            Ok((transaction, ()))
        }))
    }

    fn change_server<'a>(
        &'a self,
        kept: &'a Acknowledged,
        server: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(self.database.step(move |mut transaction| async move {
            let answer = outbox::change_server(&mut transaction, kept, server).await?;
            Ok((transaction, answer))
        }))
    }

    fn new_entries(&self) -> BoxFuture<'_, Vec<OutboxEntry>> {
        Box::pin(self.database.new_entries.take())
    }
}

impl fmt::Debug for SqlStore {
    /// Shows neither the URL nor the clock.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").finish_non_exhaustive()
    }
}
