//! Settings of a store.

use std::{fmt, ops::RangeInclusive, sync::Arc, time::Duration};

use super::{
    ConnectError, Inner, RedisStore,
    dial::Dialer,
    health::Health,
    link::{Absence, Link},
    names::Space,
    tls::{Roots, Tls},
    waiting::Waiting,
};

const WAITS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3_600);

/// Settings of a [`RedisStore`], from [`RedisStore::builder`].
#[must_use = "nothing happens before `connect`"]
pub struct RedisBuilder {
    url: String,
    prefix: String,
    connect_timeout: Duration,
    command_timeout: Duration,
    wait: Option<(u32, Duration)>,
    absence: Absence,
    tls: Tls,
}

impl RedisBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: "tower-bearer:".to_owned(),
            connect_timeout: Duration::from_secs(1),
            command_timeout: Duration::from_millis(500),
            wait: None,
            absence: Absence::IsAnError,
            tls: Tls::new(),
        }
    }

    /// What every key and the channel begin with: fleets with different prefixes share nothing. Default:
    /// `tower-bearer:`.
    ///
    /// The channel is not of a database: fleets in two databases of one server need two prefixes.
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// How long it may take to connect. Default: 1 second.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long Redis may take over one command. Default: 500 milliseconds, which is below the
    /// [timeout](tower_bearer::RevocationCache::with_lookup_timeout) of a cache.
    pub fn with_command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// Acknowledges a revocation only when so many replicas have it, and fails after `timeout` (`WAIT`). Default: the
    /// master alone.
    ///
    /// One that failed with too few replicas is in force all the same: on the master, in this process, and by its push
    /// in every other. Revocations that are made at the same time wait together, on a connection of their own; one may
    /// have to wait for the end of those before it, so that it takes up to twice the time. From 1 millisecond to 1 hour.
    pub fn with_wait(mut self, replicas: u32, timeout: Duration) -> Self {
        self.wait = Some((replicas, timeout));
        self
    }

    /// Starts without a server: where none can be reached, or it still loads its data, [`connect`](Self::connect) succeeds
    /// and the store connects as soon as it can. Default: it is an error.
    ///
    /// Look-ups are unavailable until then, and whatever else `connect` refuses, a server that evicts or a replica, is
    /// refused whenever it is met. What a server answers at start is judged as ever: a wrong password, one that evicts,
    /// or a certificate that is not trusted ends the start. [`is_seeded`](RedisStore::is_seeded) tells why there is no
    /// connection.
    pub fn allow_unreachable_at_start(mut self) -> Self {
        self.absence = Absence::MayPass;
        self
    }

    /// Trusts the operating system's roots, in place of those that were trusted so far. They are read once, now.
    /// Default: the bundled roots of Mozilla's programme. Has no effect without TLS.
    ///
    /// # Errors
    /// [`ConnectError::Roots`] where the system has none that can be read.
    pub fn with_system_roots(self) -> Result<Self, ConnectError> {
        Ok(self.with_roots(Roots::of_system()?))
    }

    /// Trusts the certificates of this PEM text alone, in place of those that were trusted so far. Has no effect without
    /// TLS.
    ///
    /// # Errors
    /// [`ConnectError::Roots`] where it has none, or one that cannot be read.
    pub fn with_root_pem(self, pem: impl AsRef<[u8]>) -> Result<Self, ConnectError> {
        Ok(self.with_roots(Roots::of_pem(pem.as_ref())?))
    }

    /// Trusts the certificates of this PEM text too: those of a private authority. Has no effect without TLS.
    ///
    /// # Errors
    /// As [`with_root_pem`](Self::with_root_pem).
    pub fn add_root_pem(self, pem: impl AsRef<[u8]>) -> Result<Self, ConnectError> {
        let roots = self.tls.roots.clone().and_pem(pem.as_ref())?;
        Ok(self.with_roots(roots))
    }

    fn with_roots(mut self, roots: Roots) -> Self {
        self.tls.roots = roots;
        self
    }

    /// Shows a certificate of the client's own, which a Redis demands unless it has `tls-auth-clients no`: its PEM text,
    /// followed by those of its chain, and the PEM text of its private key. Default: none. Has no effect without TLS.
    ///
    /// # Errors
    /// [`ConnectError::ClientCertificate`] where one of the two cannot be read, or the key is another's.
    pub fn with_client_certificate_pem(
        mut self,
        certificate: impl AsRef<[u8]>,
        private_key: impl AsRef<[u8]>,
    ) -> Result<Self, ConnectError> {
        self.tls = self.tls.with_identity(certificate.as_ref(), private_key.as_ref())?;
        Ok(self)
    }

    /// Connects, and looks whether the server can be relied on.
    ///
    /// Needs a Tokio runtime with I/O and timer enabled, and keeps a task in it that reconnects. That Redis was not
    /// [seeded](RedisStore::seed) yet is no error here.
    ///
    /// # Errors
    /// As [`ConnectError`] says.
    pub async fn connect(self) -> Result<RedisStore, ConnectError> {
        for (timeout, name) in [
            (self.connect_timeout, "connect timeout (above zero)"),
            (self.command_timeout, "command timeout (above zero)"),
        ] {
            if timeout.is_zero() {
                return Err(ConnectError::OutOfRange(name));
            }
        }
        let dialer = Dialer::new(&self.url, &self.tls, self.connect_timeout, self.command_timeout)?;
        let space = Arc::new(Space::new(&self.prefix));
        let health = Health { space: Arc::clone(&space), seen: Arc::default() };
        let waiting = match self.wait {
            None => None,
            // `WAIT 0` waits for nobody, and a time of zero waits for ever.
            Some((replicas, timeout)) if replicas == 0 || !WAITS.contains(&timeout) => {
                return Err(ConnectError::OutOfRange("wait (1 replica at least, 1 ms to 1 hour)"));
            }
            Some((replicas, timeout)) => {
                let dialer = dialer.with_more_time(timeout);
                let link = Link::open(&dialer, &health, self.absence).await?;
                Some(Waiting::new(link, replicas, timeout))
            }
        };
        let link = Link::open(&dialer, &health, self.absence).await?;
        let seen = Arc::clone(&health.seen);
        Ok(RedisStore(Arc::new(Inner { space, link, waiting, seen, health, dialer })))
    }
}

impl fmt::Debug for RedisBuilder {
    /// Without the URL, which may have a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBuilder")
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("command_timeout", &self.command_timeout)
            .field("wait", &self.wait)
            .field("absence", &self.absence)
            .field("roots", &self.tls.roots.len())
            .finish_non_exhaustive()
    }
}
