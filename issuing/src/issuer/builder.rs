//! How an issuer is put together.

use std::{fmt, sync::Arc, time::Duration};

use super::{Settings, Shared, TokenIssuer, Verifying, verifying::policy};
use crate::{
    Accounts, SigningKeys, TokenStore, claims::ACCESS_LIFETIME, known_devices::KnownDevices,
    last_used::LastUsed, refreshes::Refreshes, throttle::Throttle,
};
use tower_bearer::{
    ConfigError, RevocationCache,
    claims::{Clock, Moment, SystemClock},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest that a repeat of a refresh may be answered.
const MAX_REUSE_GRACE: Duration = Duration::from_secs(30);

/// Any lifetime is at most this long: far enough away, and no sum of times overflows.
const MAX_LIFETIME: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// Collects what a [`TokenIssuer`] needs, and the operator's decisions.
#[must_use = "a builder does nothing until `build`"]
pub struct TokenIssuerBuilder {
    name: Arc<str>,
    audience: Arc<str>,
    keys: SigningKeys,
    store: Arc<dyn TokenStore>,
    accounts: Arc<dyn Accounts>,
    clock: Arc<dyn Clock>,
    revocation_bound: Duration,
    settings: Settings,
}

impl TokenIssuerBuilder {
    pub(super) fn new(
        name: Arc<str>,
        audience: Arc<str>,
        keys: SigningKeys,
        store: Arc<dyn TokenStore>,
        accounts: Arc<dyn Accounts>,
    ) -> Self {
        Self {
            name,
            audience,
            keys,
            store,
            accounts,
            clock: Arc::new(SystemClock::default()),
            revocation_bound: Duration::from_secs(30),
            settings: Settings {
                refresh_lifetime: DAY,
                max_private_lifetime: 366 * DAY,
                max_overlap: DAY,
                max_private_tokens: 1000,
                reuse_grace: Duration::ZERO,
                known_device_retention: 90 * DAY,
            },
        }
    }

    /// Takes the time from `clock`, in place of [`SystemClock`]. The store should have the same.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// How long a refresh token lives, in whole seconds, in place of one day. A refresh gives a new one that lives as
    /// long again.
    pub fn with_refresh_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.refresh_lifetime = lifetime;
        self
    }

    /// How far away the expiry of a private token may be, in place of 366 days. To lower it ends tokens that were made
    /// before and live longer.
    pub fn with_max_private_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.max_private_lifetime = lifetime;
        self
    }

    /// How long a private token may outlive its rotation, in place of one day; who asks for more gets this. Zero has
    /// every rotated token die at once.
    pub fn with_max_overlap(mut self, overlap: Duration) -> Self {
        self.settings.max_overlap = overlap;
        self
    }

    /// How many private tokens a subject may have that are neither expired nor revoked, in place of 1000. The next one
    /// is refused: [`PrivateTokenError::TooMany`](crate::PrivateTokenError::TooMany), 400 in the HTTP API.
    ///
    /// A rotation without an overlap is always possible. During overlaps, a subject has at most twice as many tokens.
    /// To lower the number ends no token.
    pub fn with_max_private_tokens(mut self, count: u32) -> Self {
        self.settings.max_private_tokens = count;
        self
    }

    /// Answers a refresh token that is presented again this soon after its first use with the same successor, as long
    /// as that is unused; at most 30 seconds. By default every repeat ends the session.
    ///
    /// It forgives clients that lose an answer and ask again. It also gives whoever steals a refresh token this long
    /// after its use to have it answered, unnoticed until one of the two uses the successor.
    pub fn with_refresh_reuse_grace(mut self, grace: Duration) -> Self {
        self.settings.reuse_grace = grace;
        self
    }

    /// Sets for how long the store keeps, since the last log-in, from which networks an account was logged in to.
    /// Default: 90 days. Zero turns it off: then a replica knows only the log-ins that it has seen itself, and an
    /// attack on an account locks its owner out of the other replicas.
    ///
    /// The store keeps keyed hashes of account and network (an IPv4 address, or the /64 of an IPv6 address).
    /// [`maintain`](TokenIssuer::maintain) deletes them after their time, which is up to a day shorter than the
    /// setting: a pair is written once a day. They stay until then if an account is closed or deleted. A change of the
    /// setting does not change the time of what is already kept. Without client addresses nothing is kept.
    pub fn with_known_device_retention(mut self, retention: Duration) -> Self {
        self.settings.known_device_retention = retention;
        self
    }

    /// After how long at the latest a process sees what another has revoked, in place of 30 seconds: the bound of the
    /// [`RevocationCache`]. What is revoked in this process is seen by the next request, whatever the bound.
    pub fn with_revocation_bound(mut self, bound: Duration) -> Self {
        self.revocation_bound = bound;
        self
    }

    /// The issuer.
    ///
    /// # Errors
    /// An empty name or audience, and [`ConfigError::OutOfRange`] for a lifetime of less than a second or more than
    /// 100 years, a maximum of no private tokens, a grace above 30 seconds, or a retention of known devices above 100
    /// years.
    pub fn build(self) -> Result<TokenIssuer, ConfigError> {
        let Settings {
            refresh_lifetime,
            max_private_lifetime,
            max_overlap,
            max_private_tokens,
            reuse_grace,
            known_device_retention,
        } = self.settings;
        let lifetimes = Duration::from_secs(1)..=MAX_LIFETIME;
        if !lifetimes.contains(&refresh_lifetime) {
            return Err(ConfigError::OutOfRange("refresh lifetime, 1 second to 100 years"));
        }
        if !lifetimes.contains(&max_private_lifetime) {
            return Err(ConfigError::OutOfRange(
                "maximum lifetime of private tokens, 1 second to 100 years",
            ));
        }
        if max_overlap > MAX_LIFETIME {
            return Err(ConfigError::OutOfRange("maximum overlap, up to 100 years"));
        }
        if max_private_tokens == 0 {
            return Err(ConfigError::OutOfRange("maximum number of private tokens, at least 1"));
        }
        if reuse_grace > MAX_REUSE_GRACE {
            return Err(ConfigError::OutOfRange("grace for reuse, up to 30 seconds"));
        }
        if known_device_retention > MAX_LIFETIME {
            return Err(ConfigError::OutOfRange("retention of known devices, up to 100 years"));
        }
        let (name, clock) = (Arc::clone(&self.name), Arc::clone(&self.clock));
        let known_devices = KnownDevices::new(name, clock, known_device_retention);
        let revocation = RevocationCache::new(Arc::clone(&self.store), self.revocation_bound)
            .with_clock(Arc::clone(&self.clock));
        let longest_lifetime = max_private_lifetime.max(ACCESS_LIFETIME);
        let verifying = Verifying {
            last_used: Arc::new(LastUsed::new(Arc::clone(&self.name))),
            policy: policy(&self.name, &self.audience, &self.keys, longest_lifetime),
            name: self.name,
            audience: self.audience,
            keys: self.keys,
            clock: Arc::clone(&self.clock),
            longest_lifetime,
            revocation,
        };
        let [authenticator, access_authenticator] = verifying.authenticators()?;
        Ok(TokenIssuer(Arc::new(Shared {
            start: Moment::of(&*self.clock),
            verifying,
            store: self.store,
            accounts: self.accounts,
            settings: self.settings,
            throttle: Throttle::new(self.clock),
            known_devices,
            refreshes: Refreshes::new(),
            authenticator,
            access_authenticator,
        })))
    }
}

impl fmt::Debug for TokenIssuerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuerBuilder")
            .field("name", &self.name)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
