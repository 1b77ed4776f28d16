//! Settings of a store: address, timeouts, replicas and TLS.

use std::{fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use super::{
    connection::{Dialer, Roots, Tls, start},
    data_loss::Health,
    error::ConnectError,
    keys::Keys,
    reconnect::{Link, LinkReport, ReplicaWait, UnreachableAtStart},
    replays::ReplayCheck,
    store::{RedisStore, StoreInner},
    topology::key_prefix,
};
use tower_bearer::BackgroundTask;

const WAITS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3_600);

/// Settings of a [`RedisStore`]. [`RedisStore::builder`] returns them.
#[must_use = "nothing happens before `connect`"]
pub struct RedisBuilder {
    url: String,
    prefix: String,
    connect_timeout: Duration,
    command_timeout: Duration,
    wait: Option<(u32, Duration)>,
    unreachable: UnreachableAtStart,
    allows_unknown_evictions: bool,
    tls: Tls,
}

impl RedisStore {
    /// Connects with the default settings. [`builder`](Self::builder) lets you change them.
    ///
    /// # Errors
    /// The same as [`RedisBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, ConnectError> {
        Self::builder(url).connect().await
    }

    /// Returns the settings of a store. The URL is `redis://[user[:password]@]host[:port][/database][?protocol=resp3]`,
    /// the same with `rediss://` for TLS, or `unix:///path[?db=..&user=..&pass=..&protocol=resp3]`.
    ///
    /// For Sentinel it is `redis-sentinel://[user:password@]host[:port],host[:port]/master-name[/database]`, or the same
    /// with `rediss-sentinel://` for TLS. The hosts are the sentinels, with port 26379 by default. User and password
    /// are for the servers with the data. The sentinels get only `?sentinel_user=..&sentinel_password=..`.
    ///
    /// For Redis Cluster it is `redis-cluster://[user:password@]host[:port],host[:port]`, or the same with
    /// `rediss-cluster://` for TLS. Name at least all masters. See the [crate] for what both promise.
    pub fn builder(url: &str) -> RedisBuilder {
        RedisBuilder::new(url)
    }
}

impl RedisBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: "tower-bearer:".to_owned(),
            connect_timeout: Duration::from_secs(1),
            command_timeout: Duration::from_millis(500),
            wait: None,
            unreachable: UnreachableAtStart::IsAnError,
            allows_unknown_evictions: false,
            tls: Tls::new(),
        }
    }

    /// Sets the prefix of every key and of the channel. Fleets with different prefixes share nothing. Default:
    /// `tower-bearer:`.
    ///
    /// In a Redis Cluster, the whole prefix becomes a hash tag unless it has one: `tower-bearer:` becomes
    /// `{tower-bearer:}`. So all keys of a fleet are in one slot.
    ///
    /// Redis channels do not belong to a database. So two fleets in two databases of one server need two prefixes.
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Sets how long connecting may take. Default: 1 second.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets how long Redis may take to answer one command. Default: 500 milliseconds, which is below the
    /// [timeout](tower_bearer::RevocationCache::with_lookup_timeout) of a cache.
    pub fn with_command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// Acknowledges a revocation only when this many replicas have it (`WAIT`), and fails after `timeout`. Default:
    /// only the master has to have it.
    ///
    /// A revocation that failed because of too few replicas is in force nevertheless: on the master, in this process,
    /// and by its push in every other process. Revocations that are made at the same time wait together, on a separate
    /// connection. A revocation may first have to wait for the end of an earlier wait, so it may take up to twice the
    /// timeout. `timeout` may be from 1 millisecond to 1 hour, and `replicas` must be at least 1.
    /// [`connect`](Self::connect) checks both.
    pub fn with_wait(mut self, replicas: u32, timeout: Duration) -> Self {
        self.wait = Some((replicas, timeout));
        self
    }

    /// Starts without a server. If no server can be reached, or the server still loads its data,
    /// [`connect`](Self::connect) succeeds and the store connects as soon as it can. Default: `connect` fails.
    ///
    /// Until then lookups fail. If a server answers at start, the store checks it as usual: a wrong password, a server
    /// that evicts keys, a replica, or an untrusted certificate makes `connect` fail. The store also rejects such a
    /// server if it meets it later. [`is_seeded`](RedisStore::is_seeded) fails with the reason why there is no
    /// connection.
    pub fn allow_unreachable_at_start(mut self) -> Self {
        self.unreachable = UnreachableAtStart::IsAllowed;
        self
    }

    /// Accepts a server whose `INFO` does not show `maxmemory_policy` or `evicted_keys`, as some managed services hide
    /// them. Default: such a server is rejected. Has no effect on what `INFO` does show: another policy than
    /// `noeviction` and evicted keys are still rejected.
    ///
    /// With this setting, a revocation that such a server evicts is lost, and no process notices it. Before you use it,
    /// set the policy to `noeviction` in the settings of the service. A [replay store](RedisStore::replay_store) still
    /// needs `evicted_keys`.
    pub fn allow_unknown_evictions(mut self) -> Self {
        self.allows_unknown_evictions = true;
        self
    }

    /// Trusts the root certificates of the operating system, in place of those that were trusted before. They are read
    /// once, by this call. Default: the bundled roots of Mozilla's programme. Has no effect without TLS.
    ///
    /// # Errors
    /// [`ConnectError::Roots`] if the system has no readable root certificate.
    pub fn with_system_roots(self) -> Result<Self, ConnectError> {
        Ok(self.with_roots(Roots::of_system()?))
    }

    /// Trusts only the certificates of this PEM text, in place of those that were trusted before. Has no effect without
    /// TLS.
    ///
    /// # Errors
    /// [`ConnectError::Roots`] if the text has no certificate, or one that cannot be read.
    pub fn with_root_pem(self, pem: impl AsRef<[u8]>) -> Result<Self, ConnectError> {
        Ok(self.with_roots(Roots::of_pem(pem.as_ref())?))
    }

    /// Also trusts the certificates of this PEM text, such as those of a private authority. Has no effect without TLS.
    ///
    /// # Errors
    /// The same as [`with_root_pem`](Self::with_root_pem).
    pub fn add_root_pem(self, pem: impl AsRef<[u8]>) -> Result<Self, ConnectError> {
        let roots = self.tls.roots.clone().and_pem(pem.as_ref())?;
        Ok(self.with_roots(roots))
    }

    fn with_roots(mut self, roots: Roots) -> Self {
        self.tls.roots = roots;
        self
    }

    /// Sets a client certificate. A Redis with TLS demands one unless it has `tls-auth-clients no`. `certificate` is
    /// the PEM text of the certificate, followed by those of its chain. `private_key` is the PEM text of its private
    /// key. Default: none. Has no effect without TLS.
    ///
    /// # Errors
    /// [`ConnectError::ClientCertificate`] if one of the two cannot be read, or the key does not belong to the
    /// certificate.
    pub fn with_client_certificate_pem(
        mut self,
        certificate: impl AsRef<[u8]>,
        private_key: impl AsRef<[u8]>,
    ) -> Result<Self, ConnectError> {
        self.tls = self.tls.with_identity(certificate.as_ref(), private_key.as_ref())?;
        Ok(self)
    }

    /// Connects, and checks whether the server can be relied on.
    ///
    /// Needs a Tokio runtime with I/O and timer enabled. Starts a [task](RedisStore::task) in that runtime that
    /// reconnects. It is not an error if Redis was not [seeded](RedisStore::seed) yet.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(self) -> Result<RedisStore, ConnectError> {
        for (timeout, name) in [
            (self.connect_timeout, "a connect timeout above zero"),
            (self.command_timeout, "a command timeout above zero"),
        ] {
            if timeout.is_zero() {
                return Err(ConnectError::OutOfRange(name));
            }
        }
        let prefix = key_prefix(&self.url, &self.prefix)?;
        let (connect, command) = (self.connect_timeout, self.command_timeout);
        let dialer = Dialer::new(&self.url, &prefix, &self.tls, connect, command)?;
        let keys = Arc::new(Keys::new(&prefix));
        let health = Health {
            keys: Arc::clone(&keys),
            known: Arc::default(),
            replays: ReplayCheck::default(),
            allows_unknown_evictions: self.allows_unknown_evictions,
            is_cluster: dialer.is_cluster(),
        };
        let task = BackgroundTask::new("redis connection");
        let report = LinkReport::new(&task);
        let (replica_wait, wait_keeper) = match self.wait {
            None => (None, None),
            // `WAIT 0` does not wait for any replica, and `WAIT` with a timeout of zero waits forever.
            Some((replicas, timeout)) if replicas == 0 || !WAITS.contains(&timeout) => {
                return Err(ConnectError::OutOfRange(
                    "a wait for at least 1 replica, of 1 ms to 1 hour",
                ));
            }
            Some((replicas, timeout)) => {
                let dialer = dialer.with_more_time(timeout);
                let (link, keeper) =
                    Link::open(&dialer, &health, self.unreachable, report.clone()).await?;
                (Some(ReplicaWait::new(link, replicas, timeout)), Some(keeper))
            }
        };
        let (link, keeper) = Link::open(&dialer, &health, self.unreachable, report).await?;
        start(&task, async move {
            match wait_keeper {
                None => keeper.run().await,
                Some(wait_keeper) => drop(tokio::join!(keeper.run(), wait_keeper.run())),
            }
        });
        let known = Arc::clone(&health.known);
        let inner = StoreInner { keys, link, replica_wait, known, health, dialer, task };
        Ok(RedisStore(Arc::new(inner)))
    }
}

impl fmt::Debug for RedisBuilder {
    /// Does not show the URL, which may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("command_timeout", &self.command_timeout)
            .field("wait", &self.wait)
            .field("unreachable", &self.unreachable)
            .field("allows_unknown_evictions", &self.allows_unknown_evictions)
            .field("roots", &self.tls.roots.len())
            .finish_non_exhaustive()
    }
}
