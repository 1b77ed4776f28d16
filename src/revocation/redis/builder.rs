//! Settings of a store.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    ConnectError, Inner, RedisStore, Seen, Waiting, dial::Dialer, link::Link, names::Space,
};

/// Settings of a [`RedisStore`], from [`RedisStore::builder`].
#[must_use = "nothing happens before `connect`"]
pub struct RedisBuilder {
    url: String,
    prefix: String,
    connect_timeout: Duration,
    command_timeout: Duration,
    wait: Option<(u32, Duration)>,
}

impl RedisBuilder {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            prefix: "tower-bearer:".to_owned(),
            connect_timeout: Duration::from_secs(1),
            command_timeout: Duration::from_millis(500),
            wait: None,
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
    /// [time box](crate::RevocationCache::with_time_box) of a cache.
    pub fn with_command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// Acknowledges a revocation only when so many replicas have it, and fails after `timeout` (`WAIT`). Default: the
    /// master alone.
    ///
    /// Revocations then take a connection of their own and wait for each other. One that failed is in force on the
    /// master, and perhaps on replicas.
    pub fn with_wait(mut self, replicas: u32, timeout: Duration) -> Self {
        self.wait = Some((replicas, timeout));
        self
    }

    /// Connects, and looks whether the server can be relied on.
    ///
    /// Needs a Tokio runtime with I/O and timer enabled, and keeps a task in it that reconnects. That Redis was not
    /// [seeded](RedisStore::seed) yet is no error here.
    ///
    /// # Errors
    /// As [`ConnectError`] says.
    pub async fn connect(self) -> Result<RedisStore, ConnectError> {
        if !cfg!(any(feature = "aws-lc-rs", feature = "rust-crypto")) {
            return Err(ConnectError::NoBackend);
        }
        for (timeout, name) in [
            (self.connect_timeout, "connect timeout (above zero)"),
            (self.command_timeout, "command timeout (above zero)"),
        ] {
            if timeout.is_zero() {
                return Err(ConnectError::OutOfRange(name));
            }
        }
        let dialer = Dialer::new(&self.url, self.connect_timeout, self.command_timeout)?;
        let waiting = match self.wait {
            None => None,
            // `WAIT 0` waits for nobody, and a time of zero waits for ever.
            Some((replicas, timeout)) if replicas == 0 || timeout < Duration::from_millis(1) => {
                return Err(ConnectError::OutOfRange("wait (1 replica and 1 ms at least)"));
            }
            Some((replicas, timeout)) => {
                let dialer = dialer.with_command_timeout(timeout + self.command_timeout);
                Some(Waiting { link: Link::open(&dialer).await?, replicas, timeout })
            }
        };
        let link = Link::open(&dialer).await?;
        let space = Space::new(&self.prefix);
        Ok(RedisStore(Arc::new(Inner { space, link, waiting, seen: Seen::default(), dialer })))
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
            .finish_non_exhaustive()
    }
}
