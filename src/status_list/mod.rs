//! Token Status Lists (draft-ietf-oauth-status-list-20): rejects tokens that their issuer has revoked or suspended in a
//! signed list at a URL.
//!
//! Configure them for an issuer with [`Issuer::with_status_lists`]. The claim `status.status_list` of a token has a URL
//! and an index. These rules hold:
//!
//! 1. **A token does not decide what is fetched.** Its URL must be under a [prefix](StatusLists::new) of its issuer.
//!    Scheme, host, port and path segments are compared, and a URL with `..`, a user name, an escaped dot or slash, or
//!    an empty segment is not under any prefix. Otherwise the token is rejected with 401, and nothing is fetched.
//! 2. **Only a verified token is looked up.** Signature, times, audience and required claims are checked before.
//! 3. **The list is a signed JWT**: `typ` is `statuslist+jwt`, a key of the issuer or one of
//!    [your keys](StatusLists::with_keys) signs it, `sub` is its URL, `iat` is present and not in the future (with
//!    30 seconds of leeway), `exp` is in the future if it is present, and `bits` is 1, 2, 4 or 8. The inflated list is
//!    at most [16 MiB](StatusLists::with_max_list_size) long. Inflating stops there.
//! 4. **Status 0 is valid.** 1 (invalid), 2 (suspended), every other status, and an index beyond the end of the list
//!    reject the token: 401, with the same body as any invalid token.
//! 5. **An older list never replaces a newer one** (by `iat`) in a running process.
//! 6. **Requests read lists and do not fetch.** The first token of a list starts a background task, and waits for the
//!    fetch up to the [timeout](StatusLists::with_wait_timeout). Requests at the same time share the fetch. The list is
//!    fetched again at 80% of its lifetime: `ttl`, or the time until `exp`, or `max-age` of `Cache-Control`, or 10
//!    minutes. The lifetime is at least a minute and at most 24 hours. The list is fetched again after
//!    [an hour](StatusLists::with_max_refresh_interval) at the latest.
//! 7. **A list is never used after its `exp`,** and not after its lifetime, unless
//!    [`OnUnavailable::ServeStale`] allows it. A list that cannot be fetched, or that breaks a rule, is an outage:
//!    attempts continue with backoff. After the lifetime of the last good list the layer answers 503, unless
//!    [`with_on_unavailable`](StatusLists::with_on_unavailable) decides otherwise.
//! 8. **At most [100 lists](StatusLists::with_max_lists)** of an issuer are used at a time. A list that no token has
//!    used for an hour is removed. Tokens of further lists are answered with 503.
//! 9. **Without configuration `status` is ignored,** as is every claim that the policy does not mention.
//!
//! The staleness bound: a change of a status is seen after the lifetime of the list that was fetched before the change
//! at the latest, usually after 80% of it. The bound does not depend on the token cache. `ServeStale` adds its time.
//!
//! A token is rejected if its list or the [revocation](crate::revocation) rejects it.
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
//! use tower_bearer::{Issuer, status_list::StatusLists};
//!
//! let lists = StatusLists::new("https://issuer.example/statuslists")?.require_status();
//! let issuer = Issuer::discover("https://issuer.example")?
//!     .audience("api://orders")
//!     .with_status_lists(lists);
//! assert_eq!(issuer.status_lists().unwrap().health().lists(), 0);
//! # }
//! # Ok::<(), tower_bearer::ConfigError>(())
//! ```
//!
//! # Caveats
//!
//! * A list that is removed after an hour without use, or lost with the process, is fetched anew. Rule 5 then has
//!   nothing to compare with. Have the issuer set `exp`.
//! * Redirects are not followed. Lists in CBOR (`statuslist+cwt`) are not read.
//! * The issuer learns from the fetch which lists this service uses, but not which tokens.

mod entry;
mod health;
mod list;
mod prefix;
mod statuses;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

pub(crate) use self::entry::{StatusCheck, StatusEntry};
use self::health::Counters;
pub use self::health::StatusListsHealth;
#[cfg(feature = "test-util")]
pub(crate) use self::statuses::TYP;
use self::{list::StatusList, prefix::Prefix};
#[cfg(doc)]
use crate::Issuer;
use crate::{
    ConfigError, KeySource, RejectionKind, UnixTime,
    claims::{Clock, SystemClock},
    jwks::{Address, FetchJwks, HttpFetcher, schedule},
    jws,
    revocation::OnUnavailable,
};

/// The `Accept` of a request for a list.
const ACCEPTED: &str = "application/statuslist+jwt";

const INFLATED_TOO_LONG: &str = "a list that is not longer than `with_max_list_size`";

/// The status lists of one issuer, by the rules of the [module](self).
///
/// Clones are handles on the same lists. Each method that changes a setting makes a new object without lists, and does
/// not change earlier clones. [`Issuer::with_status_lists`] does the same: read the health at [`Issuer::status_lists`].
#[derive(Clone)]
#[must_use = "status lists do nothing until an issuer takes them"]
pub struct StatusLists(Arc<Lists>);

struct Lists {
    settings: Arc<Settings>,
    counters: Arc<Counters>,
    by_url: RwLock<HashMap<Box<str>, Arc<StatusList>>>,
}

#[derive(Clone)]
struct Settings {
    prefixes: Vec<Prefix>,
    /// `None` until an issuer takes the lists.
    keys: Option<KeySource>,
    has_own_keys: bool,
    fetcher: Arc<dyn FetchJwks>,
    clock: Arc<dyn Clock>,
    on_unavailable: OnUnavailable,
    wait_timeout: Duration,
    fetch_timeout: Duration,
    /// The longest time between two fetches.
    longest_interval: Duration,
    /// In bytes.
    max_size: usize,
    max_lists: usize,
    requires_status: bool,
    allows_http: bool,
}

impl Settings {
    fn stale_limit(&self) -> Duration {
        match self.on_unavailable {
            OnUnavailable::ServeStale(limit) => limit,
            OnUnavailable::Deny | OnUnavailable::Allow => Duration::ZERO,
        }
    }
}

impl StatusLists {
    /// The lists whose URLs are under `prefix`, such as `https://issuer.example/statuslists`.
    ///
    /// A URL is under the prefix if it has the same scheme, host and port, and its path begins with the same segments.
    /// `https://issuer.example/statuslists2` is not under the prefix of the example.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] for anything but an absolute `https` or `http` URL without credentials, query,
    /// fragment, and `.`, `..`, empty or escaped segments. [`ConfigError::NoBackend`] without a backend. Otherwise like
    /// [`HttpFetcher::new`].
    pub fn new(prefix: &str) -> Result<Self, ConfigError> {
        jws::require_backend()?;
        Ok(Self::of(Settings {
            prefixes: vec![Prefix::parse(prefix)?],
            keys: None,
            has_own_keys: false,
            fetcher: Arc::new(HttpFetcher::new()?),
            clock: Arc::new(SystemClock),
            on_unavailable: OnUnavailable::default(),
            wait_timeout: Duration::from_secs(2),
            fetch_timeout: Duration::from_secs(5),
            longest_interval: schedule::LONGEST_INTERVAL,
            max_size: 16 * 1024 * 1024,
            max_lists: 100,
            requires_status: false,
            allows_http: false,
        }))
    }

    fn of(settings: Settings) -> Self {
        Self(Arc::new(Lists {
            settings: Arc::new(settings),
            counters: Arc::default(),
            by_url: RwLock::default(),
        }))
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = (*self.0.settings).clone();
        change(&mut settings);
        Self::of(settings)
    }

    /// Allows URLs under one more prefix.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] as for [`new`](Self::new).
    pub fn add_prefix(self, prefix: &str) -> Result<Self, ConfigError> {
        let prefix = Prefix::parse(prefix)?;
        Ok(self.with(|settings| settings.prefixes.push(prefix)))
    }

    /// Verifies lists with these keys, and not with those of the issuer. Default: the keys of the issuer.
    ///
    /// Use it if another party signs the lists. A multi-tenant issuer needs it, because its keys may be for one tenant
    /// only.
    pub fn with_keys(self, keys: impl Into<KeySource>) -> Self {
        self.with(|settings| {
            settings.keys = Some(keys.into());
            settings.has_own_keys = true;
        })
    }

    /// Rejects tokens of this issuer without `status`, as [`RejectionKind::MissingClaim`]. Default: off. Then such
    /// tokens are not looked up, so someone who can get a token without `status` has one that no list can revoke.
    pub fn require_status(self) -> Self {
        self.with(|settings| settings.requires_status = true)
    }

    /// Decides about a request if its list cannot be used and cannot be fetched. Default: [`OnUnavailable::Deny`]: 503.
    ///
    /// [`OnUnavailable::ServeStale`] uses the last good list for this time after its lifetime, but never after its
    /// `exp`. [`OnUnavailable::Allow`] lets the token pass, unless the last good list rejects it and was used in the
    /// last hour. **An attacker who can block the list can then use a revoked token.**
    pub fn with_on_unavailable(self, on_unavailable: OnUnavailable) -> Self {
        self.with(|settings| settings.on_unavailable = on_unavailable)
    }

    /// Fetches with this client. Default: [`HttpFetcher::new`].
    pub fn with_fetcher(self, fetcher: impl FetchJwks) -> Self {
        self.with(|settings| settings.fetcher = Arc::new(fetcher))
    }

    /// Takes the time from `clock`. Use the clock of the [`Authenticator`](crate::Authenticator). Default:
    /// [`SystemClock`].
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.with(|settings| settings.clock = Arc::new(clock))
    }

    /// The timeout of a request that waits for a list. After it the layer answers 503. Default: 2 seconds.
    ///
    /// The fetch continues, for later requests.
    pub fn with_wait_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.wait_timeout = timeout)
    }

    /// The timeout of one exchange with the server, from the connection to the last byte. Default: 5 seconds.
    pub fn with_fetch_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.fetch_timeout = timeout)
    }

    /// The longest time between two fetches of a list. Default: 1 hour. Minimum: 30 seconds, and a smaller value counts
    /// as 30 seconds. Has no effect if 80% of the lifetime is shorter.
    pub fn with_max_refresh_interval(self, interval: Duration) -> Self {
        self.with(|settings| settings.longest_interval = interval)
    }

    /// The maximum length of a list, in bytes: of the inflated list, and of the response. Default: 16 MiB, which is 128
    /// million tokens with one bit each. A longer list counts as unavailable.
    pub fn with_max_list_size(self, bytes: usize) -> Self {
        self.with(|settings| settings.max_size = bytes)
    }

    /// The maximum number of lists that are used at a time. Default: 100. Tokens of further lists get 503.
    ///
    /// Only tokens that the issuer has signed can name a list. A list does not count if no token has used it for an
    /// hour. The lists use up to this number times [the maximum length](Self::with_max_list_size) of memory.
    pub fn with_max_lists(self, lists: usize) -> Self {
        self.with(|settings| settings.max_lists = lists)
    }

    /// Allows plain `http` to other machines. An attacker on the network can then answer with an older list that the
    /// issuer has signed, or block it. Default: off, and only the same machine may be asked without TLS.
    pub fn allow_http(self) -> Self {
        self.with(|settings| settings.allows_http = true)
    }

    /// The current state, for metrics and health checks. Do not call it for every request.
    ///
    /// ```
    /// # fn checks(lists: tower_bearer::status_list::StatusLists) -> tower_bearer::health::HealthChecks {
    /// use tower_bearer::health::HealthChecks;
    ///
    /// // A failure is shown as failing. The replica stays ready, because all replicas share the server of the lists.
    /// HealthChecks::new().add_shared_part("status lists", move || {
    ///     let unusable = lists.health().unusable();
    ///     async move { if unusable == 0 { Ok(()) } else { Err("unusable") } }
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn health(&self) -> StatusListsHealth {
        let lists = self.0.by_url.read().unwrap_or_else(PoisonError::into_inner);
        StatusListsHealth::new(lists.values().map(|list| list.state()), &self.0.counters)
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn place(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// The same settings, with the keys of the issuer if there are no other keys.
    pub(crate) fn of_issuer(self, keys: &KeySource) -> Self {
        self.with(|settings| {
            settings.keys.get_or_insert_with(|| keys.clone());
        })
    }

    pub(crate) fn validate(&self, is_multi_tenant: bool) -> Result<(), ConfigError> {
        let settings = &self.0.settings;
        if is_multi_tenant && !settings.has_own_keys {
            return Err(ConfigError::OutOfRange(
                "keys for the status lists of a multi-tenant issuer: `StatusLists::with_keys`",
            ));
        }
        let is_allowed = |prefix: &Prefix| settings.allows_http || prefix.address().is_secure();
        match settings.prefixes.iter().all(is_allowed) {
            true => Ok(()),
            false => Err(ConfigError::InsecureUrl),
        }
    }

    pub(crate) fn requires_status(&self) -> bool {
        self.0.settings.requires_status
    }

    /// The list at `url`, if a prefix allows it and there is a place for it.
    fn find(&self, url: &str) -> Result<Arc<StatusList>, RejectionKind> {
        let address = Prefix::allowed(&self.0.settings.prefixes, url)
            .ok_or(RejectionKind::ForeignStatusList)?;
        self.0.find_or_add(&address).ok_or(RejectionKind::StatusUnavailable)
    }
}

impl Lists {
    fn find_or_add(self: &Arc<Self>, address: &Address) -> Option<Arc<StatusList>> {
        let now = self.settings.clock.now();
        let known = {
            let lists = self.by_url.read().unwrap_or_else(PoisonError::into_inner);
            lists.get(address.as_str()).map(|list| used(list, now))
        };
        if known.is_some() {
            return known;
        }
        let mut lists = self.by_url.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = lists.get(address.as_str()) {
            return Some(used(list, now));
        }
        if lists.len() >= self.settings.max_lists {
            return None;
        }
        let weak = Arc::downgrade(self);
        let list = Arc::new(StatusList::new(address.clone(), &self.settings, &self.counters, weak));
        lists.insert(address.as_str().into(), Arc::clone(&list));
        Some(list)
    }

    /// Removes a list that no request has used for long. Returns whether it was removed.
    fn remove_idle(&self, list: &StatusList) -> bool {
        let now = self.settings.clock.now();
        let mut lists = self.by_url.write().unwrap_or_else(PoisonError::into_inner);
        let is_idle = list.is_idle(now);
        if is_idle {
            lists.remove(list.address().as_str());
        }
        is_idle
    }
}

/// Notes the use while the map is locked, so that the list is not removed before it is used.
fn used(list: &Arc<StatusList>, now: UnixTime) -> Arc<StatusList> {
    list.note_use(now);
    Arc::clone(list)
}

impl Drop for Lists {
    fn drop(&mut self) {
        let lists = self.by_url.get_mut().unwrap_or_else(PoisonError::into_inner);
        lists.values().for_each(|list| list.stop());
    }
}

impl fmt::Debug for StatusLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.0.settings;
        f.debug_struct("StatusLists")
            .field("prefixes", &settings.prefixes)
            .field("has_own_keys", &settings.has_own_keys)
            .field("on_unavailable", &settings.on_unavailable)
            .field("wait_timeout", &settings.wait_timeout)
            .field("fetch_timeout", &settings.fetch_timeout)
            .field("max_refresh_interval", &settings.longest_interval)
            .field("max_list_size", &settings.max_size)
            .field("max_lists", &settings.max_lists)
            .field("requires_status", &settings.requires_status)
            .field("allows_http", &settings.allows_http)
            .finish_non_exhaustive()
    }
}
