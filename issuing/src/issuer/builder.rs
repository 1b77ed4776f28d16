//! Builds an issuer from its parts and the operator's settings.

use std::{fmt, sync::Arc, time::Duration};

use super::{IssuerParts, Settings, TokenIssuer, Verifying, verifying::policy};
use crate::{
    Accounts, ManagedAccounts, SigningKeys, TokenStore,
    audit::{AuditKind, AuditSink, Origin, Recorder},
    binding::ClientKey,
    claims::ACCESS_LIFETIME,
    known_devices::KnownDevices,
    last_used::LastUsed,
    new_passwords::NewHashes,
    refreshes::Refreshes,
    revoking_by_holder::RevocationsByHolders,
    signing_keys::Managed,
    throttle::Throttle,
};
use tower_bearer::{
    BackgroundTask, ConfigError, RevocationCache,
    claims::{Clock, Moment, SystemClock},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The maximum of [`TokenIssuerBuilder::with_refresh_reuse_grace`].
const MAX_REUSE_GRACE: Duration = Duration::from_secs(30);

/// The maximum of every lifetime. It is long enough for any use, and sums of times do not overflow.
const MAX_LIFETIME: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// Collects the parts of a [`TokenIssuer`] and the operator's settings.
#[must_use = "a builder does nothing until `build`"]
pub struct TokenIssuerBuilder {
    name: Arc<str>,
    audience: Arc<str>,
    client_id: Arc<str>,
    keys: SigningKeys,
    store: Arc<dyn TokenStore>,
    accounts: Arc<dyn Accounts>,
    managed_accounts: Option<Arc<dyn ManagedAccounts>>,
    clock: Arc<dyn Clock>,
    revocation_bound: Duration,
    audit_sink: Option<Arc<dyn AuditSink>>,
    audit_retention: Duration,
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
            client_id: Arc::clone(&name),
            name,
            audience,
            keys,
            store,
            accounts,
            managed_accounts: None,
            clock: Arc::new(SystemClock::default()),
            revocation_bound: Duration::from_secs(30),
            audit_sink: None,
            audit_retention: 180 * DAY,
            settings: Settings {
                refresh_lifetime: DAY,
                max_private_lifetime: 366 * DAY,
                max_overlap: DAY,
                max_private_tokens: 1000,
                reuse_grace: Duration::ZERO,
                known_device_retention: 90 * DAY,
                allows_private_token_management: false,
            },
        }
    }

    /// Lets the issuer add, list and change the accounts of `accounts`, and serves `POST password/`. It must be the
    /// same store as that of the tokens, so that a change and its revocations are one step. The [`Accounts`] of the
    /// issuer must check the passwords of the same store, like [`Passwords`](crate::Passwords). By default the issuer
    /// does not manage accounts, `POST password/` is 404, and you change accounts as
    /// [`Accounts::authenticate`] describes.
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_bearer::{Algorithm, RejectionKind, jws::SigningKey};
    /// use tower_bearer_issuing::{
    ///     ClientInfo, Credentials, NewAccount, Passwords, TokenIssuer, hash_password,
    ///     store::MemoryTokenStore,
    /// };
    ///
    /// let store = MemoryTokenStore::new();
    /// let (name, key) = ("https://issuer.example", SigningKey::generate(Algorithm::ES256)?);
    /// let passwords = Passwords::new(store.clone())?;
    /// let issuer = TokenIssuer::builder(name, "api://orders", key, store.clone(), passwords)
    ///     .with_managed_accounts(store)
    ///     .build()?;
    /// let hash = hash_password("a long one")?;
    /// let ada = issuer.add_account(&NewAccount::new("ada@example.org", hash)).await?;
    ///
    /// let credentials = Credentials::new("ada@example.org", "a long one");
    /// let login = issuer.log_in(&credentials, &ClientInfo::new()).await?;
    /// issuer.close_account(&ada.subject).await?;
    /// let refused = issuer.authenticator().authenticate(&login.tokens.access_token).await;
    /// assert_eq!(refused.unwrap_err().kind(), RejectionKind::Revoked);
    /// # Ok(()) }
    /// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
    /// ```
    pub fn with_managed_accounts(mut self, accounts: impl ManagedAccounts) -> Self {
        self.managed_accounts = Some(Arc::new(accounts));
        self
    }

    /// Sets the clock. Default: [`SystemClock`]. Give the store the same clock.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets `client_id` (RFC 9068 section 2.2) of access and private tokens: which client asked for the token. All
    /// clients of this issuer have the same. Default: the issuer's name, because the client is the issuer's own log-in.
    /// No subject should have the same text (RFC 9068 section 5).
    pub fn with_client_id(mut self, client_id: impl Into<Arc<str>>) -> Self {
        self.client_id = client_id.into();
        self
    }

    /// Lets private tokens with the scope [`private_tokens`](crate::scopes::PRIVATE_TOKENS) manage the private tokens
    /// of their owner: create, list, rotate and revoke. Default: only access tokens can, and no private token is
    /// created with this scope.
    ///
    /// Allow it for automation that cannot log in. A leaked token with this scope can list and revoke all private
    /// tokens of its owner. It can gain little:
    ///
    /// 1. Its owner must have the scope, too. Without it, the token manages nothing.
    /// 2. A token that it creates cannot have a scope that it lacks. It cannot rotate a token that has one.
    /// 3. A token that it creates or rotates cannot expire later than it does. So it cannot extend its own power.
    /// 4. It cannot log out, revoke all tokens or change the password. Once it is rotated, it manages nothing, even
    ///    during the overlap.
    pub fn allow_private_token_management(mut self) -> Self {
        self.settings.allows_private_token_management = true;
        self
    }

    /// Sets how long a refresh token lives, in whole seconds. Default: one day. A refresh gives a new token with a full
    /// lifetime.
    pub fn with_refresh_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.refresh_lifetime = lifetime;
        self
    }

    /// Sets how far away the expiry of a private token may be. Default: 366 days. If you lower it, tokens that were
    /// created before and live longer are rejected.
    pub fn with_max_private_lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.max_private_lifetime = lifetime;
        self
    }

    /// Sets how long a private token may outlive its rotation. Default: one day. A request for a longer overlap gets
    /// this overlap. With zero, every rotated token ends at once.
    pub fn with_max_overlap(mut self, overlap: Duration) -> Self {
        self.settings.max_overlap = overlap;
        self
    }

    /// Sets how many private tokens a subject may have that are neither expired nor revoked. Default: 1000. The next
    /// one is rejected with [`PrivateTokenError::TooMany`](crate::PrivateTokenError::TooMany), 400 in the HTTP API.
    ///
    /// A rotation without an overlap is always possible. During overlaps, a subject has at most twice as many tokens.
    /// If you lower the number, no token ends.
    pub fn with_max_private_tokens(mut self, count: u32) -> Self {
        self.settings.max_private_tokens = count;
        self
    }

    /// Sets how long after its first use a repeated refresh token gets the same successor again, if the successor is
    /// unused. At most 30 seconds. Default: zero, so every repeat ends the session.
    ///
    /// A grace helps clients that lose an answer and try again. It also helps a thief who presents a stolen refresh
    /// token within the grace: the issuer answers, and does not notice the theft until one of the two uses the
    /// successor.
    pub fn with_refresh_reuse_grace(mut self, grace: Duration) -> Self {
        self.settings.reuse_grace = grace;
        self
    }

    /// Sets how long after the last log-in the store remembers from which networks an account logged in. Default: 90
    /// days. Zero turns this off. Then a replica knows only the log-ins that it has seen itself, and an attack on an
    /// account locks its owner out of the other replicas.
    ///
    /// The store keeps keyed hashes of account and network (an IPv4 address, or the /64 of an IPv6 address). Each pair
    /// is written at most about once a day, so it can expire up to a day earlier than the setting.
    /// [`maintain`](TokenIssuer::maintain) deletes expired pairs. If an account is closed, its pairs stay until they
    /// expire. If it is deleted, they are deleted with it. A change of the setting does not affect pairs that are
    /// already stored. Without client addresses nothing is stored.
    pub fn with_known_device_retention(mut self, retention: Duration) -> Self {
        self.settings.known_device_retention = retention;
        self
    }

    /// Sets the staleness bound of the [`RevocationCache`]: how long it can take at most until a process sees a
    /// revocation of another process. Default: 30 seconds. It has no effect on revocations in the same process, which
    /// the next request sees.
    pub fn with_revocation_bound(mut self, bound: Duration) -> Self {
        self.revocation_bound = bound;
        self
    }

    /// Gives audit events to this sink, for example to the [`TokenStore`] itself. Default: none. The module
    /// [`audit`](crate::audit) says which events there are and what is guaranteed. With the feature `tracing`, events
    /// are logged with and without a sink.
    pub fn with_audit(mut self, sink: impl AuditSink) -> Self {
        self.audit_sink = Some(Arc::new(sink));
        self
    }

    /// Sets how long a sink keeps an audit event. Default: 180 days. A store deletes it up to a day later. It has no
    /// effect on events that are already stored, and none without [`with_audit`](Self::with_audit). If an account is
    /// deleted, its events are deleted with it.
    pub fn with_audit_retention(mut self, retention: Duration) -> Self {
        self.audit_retention = retention;
        self
    }

    /// Builds the issuer.
    ///
    /// # Errors
    /// For an empty name or audience. [`ConfigError::OutOfRange`] for a lifetime of less than a second or more than 100
    /// years, an overlap of more than 100 years, a maximum of zero private tokens, a grace of more than 30 seconds, a
    /// retention of known devices of more than 100 years, or a retention of audit events of less than a second or more
    /// than 100 years. Also for keys of a [`KeyDirectory`](crate::KeyDirectory) that belongs to another
    /// issuer, or whose longest lifetime is shorter than that of a token.
    pub fn build(self) -> Result<TokenIssuer, ConfigError> {
        let Settings {
            refresh_lifetime,
            max_private_lifetime,
            max_overlap,
            max_private_tokens,
            reuse_grace,
            known_device_retention,
            allows_private_token_management,
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
        if !lifetimes.contains(&self.audit_retention) {
            return Err(ConfigError::OutOfRange(
                "retention of audit events, 1 second to 100 years",
            ));
        }
        let audit = Recorder::new(
            Arc::clone(&self.name),
            Arc::clone(&self.clock),
            self.audit_retention,
            self.audit_sink,
        );
        if self.client_id != self.name && !is_client_id(&self.client_id) {
            return Err(ConfigError::OutOfRange("client id, 1 or more visible ASCII characters"));
        }
        if let Some(manager) = self.keys.manager() {
            if manager.issuer != self.name {
                return Err(ConfigError::OutOfRange(
                    "issuer of the key directory, the name of this issuer",
                ));
            }
            if manager.longest_lifetime
                < refresh_lifetime.max(max_private_lifetime).max(ACCESS_LIFETIME)
            {
                return Err(ConfigError::OutOfRange(
                    "longest lifetime of the key directory, at least that of refresh and private tokens",
                ));
            }
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
            client_id: self.client_id,
            keys: self.keys,
            clock: Arc::clone(&self.clock),
            longest_lifetime,
            revocation,
        };
        let [authenticator, access_authenticator] = verifying.authenticators()?;
        let unproved_authenticator = verifying.unproved_authenticator()?;
        let manager_authenticator = allows_private_token_management
            .then(|| verifying.manager_authenticator())
            .transpose()?;
        let parts = IssuerParts {
            start: Moment::of(&*self.clock),
            verifying,
            store: self.store,
            accounts: self.accounts,
            managed_accounts: self.managed_accounts,
            new_hashes: NewHashes::new(),
            settings: self.settings,
            throttle: Throttle::new(self.clock),
            known_devices,
            refreshes: Refreshes::new(),
            by_holders: RevocationsByHolders::new(),
            maintenance: BackgroundTask::new("maintenance of the token issuer"),
            authenticator,
            unproved_authenticator,
            access_authenticator,
            manager_authenticator,
            audit,
        };
        let issuer = TokenIssuer(Arc::new(parts), Origin::default(), ClientKey::default());
        let manager = issuer.keys().manager();
        if let Some(first) = manager.and_then(Managed::take_first_key) {
            issuer.record(AuditKind::KeyAdded, |event| event.key = Some(first));
        }
        Ok(issuer)
    }
}

/// RFC 6749 appendix A.1.
fn is_client_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

impl fmt::Debug for TokenIssuerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIssuerBuilder")
            .field("name", &self.name)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
