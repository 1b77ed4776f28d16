//! Key sets from the network, for issuers that publish their keys. They survive key rotation, outages and floods of
//! requests.
//!
//! Use a [`RemoteJwks`] in place of a [`KeySet`]. It keeps itself fresh by these rules:
//!
//! 1. **Requests read keys and do not fetch.** A token whose key is present is verified without waiting, as with keys
//!    from a file. One background task fetches.
//! 2. **Keys are fetched again at 80% of their lifetime.** The lifetime is `max-age` of `Cache-Control`, but at least a
//!    minute and at most 24 hours, or 10 minutes if the server does not send it. Keys are fetched again after
//!    [an hour](RemoteJwks::with_max_refresh_interval) at the latest. The task sends an `ETag` back.
//! 3. **A `kid` that is not in the set triggers a fetch**, at most one in 30 seconds for each source, counted from the
//!    last attempt of any kind. Up to 64 requests wait for its end, each up to the
//!    [timeout](RemoteJwks::with_wait_timeout). All other requests are answered at once, by the result of the last attempt.
//!    A dropped request does not cancel a fetch. A waiting request holds nothing that the service behind the layer has
//!    reserved.
//! 4. **Unknown keys fail closed.** If a key is unknown after the last attempt succeeded, the answer is 401. The answer
//!    is 503 if that attempt failed, if the attempt that a request waits for has not ended in time, or if there are no
//!    usable keys.
//! 5. **During an outage the last good keys are used**, up to an hour past their lifetime (see
//!    [`with_stale_limit`](RemoteJwks::with_stale_limit)). After that every token of the issuer is answered with 503.
//!    Attempts continue with backoff: the pauses double up to a minute, and each is shortened at random by up to half.
//! 6. **Only a good answer replaces good keys.** An error, a redirect, HTML, an empty set, a set without a usable key,
//!    an answer that is too large, and an answer that is too late are failures.
//! 7. **A withdrawn key is removed with the next good answer**, and so are cached tokens of that key. The cached tokens
//!    of a key that stays in the set are kept.
//! 8. **A token never decides where keys are fetched.** You configure the URL, or the metadata name it with
//!    [discovery](Issuer::discover). Plain `http` is used only for the same machine, unless it is
//!    [allowed](RemoteJwks::allow_http).
//! 9. **Metadata of an issuer elsewhere must not name this machine or its link.** A `jwks_uri` whose host is a
//!    loopback, link-local or unspecified address is rejected, also if it is spelled as `localhost`, as one number, in
//!    octal or hexadecimal, or inside an IPv6 address (mapped, compatible, translated, NAT64, 6to4). [`HttpFetcher`]
//!    also rejects a name that resolves to one. No setting disables this rule. It does not apply if the issuer's own
//!    URL has such a host, or has the same scheme, host and port as the `jwks_uri`. Private networks stay allowed,
//!    because the key servers of a cluster are there. `fd00:ec2::254`, where AWS serves instance metadata over IPv6, is
//!    allowed too.
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
//! use tower_bearer::{Authenticator, Issuer, jwks::RemoteJwks};
//!
//! // The keys' address is known,
//! let keys = RemoteJwks::new("https://one.example/.well-known/jwks.json")?;
//! let one = Issuer::new("https://one.example", keys.clone()).audience("api://orders");
//! // or the issuer tells it.
//! let two = Issuer::discover("https://two.example/realms/shop")?.audience("api://orders");
//!
//! let authenticator = Authenticator::builder().issuer(one).issuer(two).build()?;
//! # let _ = authenticator;
//!
//! // Nothing was fetched yet: that begins with `spawn`, `ready` or the first token.
//! assert_eq!(keys.health().attempts(), 0);
//! assert!(!keys.health().is_usable());
//! # }
//! # Ok::<(), tower_bearer::ConfigError>(())
//! ```
//!
//! # Starting and ending
//!
//! The service may start while the key server is down. Its tokens are answered with 503 until there are keys. If you
//! call [`RemoteJwks::spawn`] at start, the first request does not have to wait. If you await `ready()`, the start
//! waits for the keys:
//!
//! ```no_run
//! # async fn start(keys: tower_bearer::jwks::RemoteJwks) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! if tokio::time::timeout(Duration::from_secs(30), keys.ready()).await.is_err() {
//!     return Err(format!("no keys: {:?}", keys.health().last_error()).into());
//! }
//! # Ok(()) }
//! ```
//!
//! The task runs on the Tokio runtime on which it was started. The runtime must have its timer and network enabled. The
//! task ends with `keys.task().shutdown().await` (see [`RemoteJwks::task`]), or when the last clone and the last verifier
//! with it are dropped, or with its runtime. If its runtime ended, the next token with an unknown key starts the task again on the runtime
//! of that token.
//!
//! # Sets of large providers
//!
//! * **Keys without `alg`** (Microsoft Entra) are used for the algorithm that type and curve imply: RS256 for RSA. If a
//!   provider signs with others and leaves out `alg`, list them by
//!   [`with_rsa_algorithms`](RemoteJwks::with_rsa_algorithms).
//! * **Unknown key types, curves and uses** (`enc`, X25519, `AKP`) are left out one by one, and so are weak keys.
//!   [`JwksHealth::keys`] lists the keys that were [left out](KeySet::refused), with the reasons. With the feature
//!   `tracing` an event names each of them whenever the list changes.
//! * **`null` and empty arrays** in a JWK count as absent: .NET writes `"key_ops":[]` and `"d":null` into valid keys. A
//!   byte order mark before the set is skipped.
//! * **EC keys with coordinates of 31 bytes** are rejected, and the reason names the length: old versions of Keycloak
//!   drop leading zeros. Upgrade Keycloak, or create another key in it.
//! * **Tokens of AWS Application Load Balancers** (`x-amzn-oidc-data`) are rejected as malformed: their parts are
//!   padded with `=`, which RFC 7515 section 2 forbids. The padding is part of the signed bytes, so removing it does
//!   not help. Verify the access token in `x-amzn-oidc-accesstoken` instead, which your provider issues.
//! * **Two keys with one `kid`** are both tried.
//! * **`x5c`, `x5t` and `x5u` are ignored**: the key itself counts, not the dates of its certificate.
//! * **`oct` keys and private keys** in a published document are no longer secret, and are rejected.
//! * **Other spellings of `iss`** (Google): use [`Issuer::add_name`]. **An issuer that you reach at another URL**: use
//!   [`Issuer::discover_at`].
//! * **Applications of many Entra tenants**: the metadata for `common` and `organizations` name a template as their
//!   issuer, `https://login.microsoftonline.com/{tenantid}/v2.0`. See [`Issuer::multi_tenant`].
//!
//! # Caveats
//!
//! * Two processes, or a server and this process, may have different keys for up to the lifetime. Issuers should
//!   publish a key one lifetime before they sign with it. If an issuer does not, its tokens get 401 for up to 30
//!   seconds, until the unknown `kid` has triggered a fetch.
//! * A token without `kid`, or whose key was replaced under the same `kid`, gets 401 until the next refresh, up to an
//!   hour. Such a token looks like a forged one, so it triggers no fetch, unless
//!   [`refetch_on_bad_signature`](RemoteJwks::refetch_on_bad_signature) is set.
//! * A withdrawn key is trusted until the next refresh, and during an outage up to the stale limit. To stop a stolen
//!   key now, revoke it ([`Authenticator::revoke_key`](crate::Authenticator::revoke_key)).
//! * TLS of [`HttpFetcher`] is AWS-LC, even if `rust-crypto` verifies signatures.

mod address;
mod discover_issuer;
mod discovery;
mod engine;
mod fetch;
mod http;
mod local_address;
pub(crate) mod schedule;
mod source;
mod status;

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::Guard;

pub(crate) use self::address::Address;
pub(crate) use self::engine::Wait;
pub(crate) use self::fetch::exchange;
pub use self::fetch::{FetchError, FetchJwks, FetchRequest, Fetched, MAX_LENGTH};
pub use self::http::HttpFetcher;
pub use self::status::JwksHealth;
pub(crate) use self::status::{Fetch, Status};
use self::{
    discovery::Discovery,
    engine::{Engine, Settings},
    source::{KeysLocation, Source},
};
#[cfg(doc)]
use crate::Issuer;
use crate::{
    Algorithm, BackgroundTask, ConfigError, KeySet, RejectionKind,
    claims::{Clock, SystemClock},
    issuer_policy::issuer_name::is_of_metadata,
    jws,
};

/// A key set that is fetched over the network and kept fresh, by the rules of the [module](self).
///
/// Clones are handles on one engine. A `with_*` or `allow_*` method makes a new engine without keys, and does not
/// change earlier clones: call them before the first use.
#[derive(Clone)]
pub struct RemoteJwks(Arc<Owner>);

/// Ends the engine's task when the last handle is dropped.
struct Owner(Arc<Engine>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.task().stop();
    }
}

impl RemoteJwks {
    /// The key set at `url`.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] for anything but an absolute `https` or `http` URL without credentials and fragment,
    /// and for a URL of metadata. [`ConfigError::NoBackend`] without a backend. Otherwise like [`HttpFetcher::new`].
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        if is_of_metadata(url) {
            return Err(ConfigError::InvalidUrl(
                "the URL of a key set; for metadata pass the issuer's URL to `discover`",
            ));
        }
        Self::at(KeysLocation::KeySet(Address::parse(url)?))
    }

    /// The key set whose URL the metadata of `issuer` name. Use it in place of [`Issuer::discover`] to change settings.
    ///
    /// # Errors
    /// Like [`new`](Self::new), and [`ConfigError::InvalidUrl`] for a URL with a query, with braces, or with the
    /// `/.well-known/...` path of the metadata.
    pub fn discover(issuer: &str) -> Result<Self, ConfigError> {
        Self::discover_at(issuer, issuer)
    }

    /// The key set whose URL the metadata of the server at `url` name. The metadata must contain the name `issuer`. Use
    /// it in place of [`Issuer::discover_at`] to change settings.
    ///
    /// # Errors
    /// Like [`discover`](Self::discover).
    pub fn discover_at(url: &str, issuer: impl Into<Arc<str>>) -> Result<Self, ConfigError> {
        Self::at(KeysLocation::Discovered(Discovery::new(url, issuer.into())?))
    }

    fn at(location: KeysLocation) -> Result<Self, ConfigError> {
        jws::require_backend()?;
        Ok(Self::of(Settings {
            source: Source {
                location,
                fetcher: Arc::new(HttpFetcher::new()?),
                allows_http: false,
                timeout: Duration::from_secs(5),
                rsa_algorithms: vec![Algorithm::RS256],
            },
            clock: Arc::new(SystemClock),
            stale_limit: Duration::from_secs(60 * 60),
            wait_timeout: Duration::from_secs(2),
            longest_interval: schedule::LONGEST_INTERVAL,
            refetches_on_bad_signature: false,
        }))
    }

    fn of(settings: Settings) -> Self {
        Self(Arc::new(Owner(Arc::new(Engine::new(settings)))))
    }

    fn with(self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.engine().settings().clone();
        change(&mut settings);
        Self::of(settings)
    }

    /// Fetches with this client. Default: [`HttpFetcher::new`].
    #[must_use]
    pub fn with_fetcher(self, fetcher: impl FetchJwks) -> Self {
        self.with(|settings| settings.source.fetcher = Arc::new(fetcher))
    }

    /// Takes the time from `clock`. Use the clock of the [`Authenticator`](crate::Authenticator). Default:
    /// [`SystemClock`].
    ///
    /// The clock measures ages. Tokio's timer wakes the task and limits waiting.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.with(|settings| settings.clock = Arc::new(clock))
    }

    /// How long keys are used past their lifetime while no new keys can be fetched. Default: 1 hour.
    ///
    /// A key that its issuer withdraws in the meantime is trusted for as long. With zero, the layer answers 503 as soon
    /// as the lifetime is over in an outage.
    #[must_use]
    pub fn with_stale_limit(self, limit: Duration) -> Self {
        self.with(|settings| settings.stale_limit = limit)
    }

    /// The longest time between two fetches, whatever the server's `max-age`. Default: 1 hour. Minimum: 30 seconds, and
    /// a smaller value counts as 30 seconds. Has no effect if 80% of the lifetime is shorter.
    ///
    /// A key that is replaced under the same `kid`, or withdrawn, is noticed after this time at the latest. Raise it
    /// for a server that cannot serve a fetch an hour.
    #[must_use]
    pub fn with_max_refresh_interval(self, interval: Duration) -> Self {
        self.with(|settings| settings.longest_interval = interval)
    }

    /// Lets RSA keys of the set without `alg` verify each of these algorithms. Default: only RS256. Has no effect on
    /// keys with `alg` and on keys of other types.
    ///
    /// Each algorithm makes a separate [`Key`](crate::Key), so a key still has one algorithm. Use it for a provider
    /// that signs with PS256, or with several algorithms, and leaves `alg` out of its key set. An empty list is an
    /// error when the verifier is built, and so is an algorithm that is not an RSA algorithm.
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
    /// use tower_bearer::{Algorithm, Issuer, jwks::RemoteJwks};
    ///
    /// let keys = RemoteJwks::discover("https://issuer.example")?
    ///     .with_rsa_algorithms([Algorithm::RS256, Algorithm::PS256]);
    /// let issuer = Issuer::new("https://issuer.example", keys).audience("api://orders");
    /// # let _ = issuer;
    /// # }
    /// # Ok::<(), tower_bearer::ConfigError>(())
    /// ```
    #[must_use]
    pub fn with_rsa_algorithms(self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.with(|settings| {
            let listed = &mut settings.source.rsa_algorithms;
            listed.clear();
            for algorithm in algorithms {
                if !listed.contains(&algorithm) {
                    listed.push(algorithm);
                }
            }
        })
    }

    /// Lets a token with a bad signature trigger a fetch too, although its `kid` is in the set or it has no `kid`. Off
    /// by default: then only an unknown `kid` triggers a fetch.
    ///
    /// Use it for a provider that replaces a key under the same `kid`, or publishes keys without `kid`. Without it,
    /// tokens of the new key get 401 until the next refresh. The limits are the same: one fetch in 30 seconds for each
    /// source, for which up to 64 requests wait. Anyone can send a bad signature, so expect fetches at that rate during
    /// an attack. If the last attempt failed, such a token is answered with 503, because its key may be a new one.
    #[must_use]
    pub fn refetch_on_bad_signature(self) -> Self {
        self.with(|settings| settings.refetches_on_bad_signature = true)
    }

    /// The timeout of a request that waits for an unknown key. After it the layer answers 503. Default: 2 seconds.
    ///
    /// The fetch continues, for later requests.
    #[must_use]
    pub fn with_wait_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.wait_timeout = timeout)
    }

    /// The timeout of one exchange with the server, from the connection to the last byte. Default: 5 seconds.
    #[must_use]
    pub fn with_fetch_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.source.timeout = timeout)
    }

    /// Allows plain `http` to other machines. **An attacker on the network can then put keys into the set and sign any
    /// token.** Default: off, and only the same machine may be asked without TLS.
    #[must_use]
    pub fn allow_http(self) -> Self {
        self.with(|settings| settings.source.allows_http = true)
    }

    /// Starts fetching now on the current Tokio runtime. Without this, the first token starts it. Does nothing if
    /// fetching has started, after [`BackgroundTask::shutdown`], and outside a runtime.
    pub fn spawn(&self) {
        self.engine().start();
    }

    /// Starts fetching, and returns when there are keys. This has no timeout.
    ///
    /// # Errors
    /// [`FetchError::Stopped`] after [`BackgroundTask::shutdown`], and outside a Tokio runtime.
    pub async fn ready(&self) -> Result<(), FetchError> {
        self.engine().ready().await
    }

    /// The background task that fetches the keys. Use it to stop the task, and for health checks.
    ///
    /// [`BackgroundTask::shutdown`] stops the task for all clones and for ever. The current keys are used until they
    /// are too old. The [`last_error`](crate::TaskHealth::last_error) is the kind of the last failure, such as
    /// `"timeout"`. [`health`](Self::health) has the error itself.
    ///
    /// ```
    /// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_bearer::ConfigError> {
    /// use tower_bearer::jwks::RemoteJwks;
    ///
    /// let keys = RemoteJwks::new("https://issuer.example/keys")?;
    /// keys.spawn();
    /// assert!(keys.task().health().is_running);
    ///
    /// keys.task().shutdown().await;
    /// assert!(!keys.task().health().is_running);
    /// # Ok(()) }
    /// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
    /// ```
    #[must_use]
    pub fn task(&self) -> BackgroundTask {
        self.engine().task().clone()
    }

    /// The current state, for metrics and health checks. Do not call it for every request.
    #[must_use]
    pub fn health(&self) -> JwksHealth {
        self.engine().health()
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn engine_address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Checks the URLs and settings, for an issuer of this name.
    pub(crate) fn validate(&self, issuer: &str) -> Result<(), ConfigError> {
        let source = &self.engine().settings().source;
        match &source.location {
            KeysLocation::Discovered(discovery) if discovery.issuer() != issuer => {
                Err(ConfigError::ForeignMetadata)
            }
            KeysLocation::Discovered(_) | KeysLocation::KeySet(_) => source.validate(),
        }
    }

    pub(crate) fn refetches_on_bad_signature(&self) -> bool {
        self.engine().settings().refetches_on_bad_signature
    }

    /// The keys that may be used now.
    pub(crate) fn current(&self, clock: &dyn Clock) -> Guard<Arc<KeySet>> {
        self.engine().current(clock)
    }

    /// The number of the set of [`current`](Self::current).
    pub(crate) fn current_number(&self, clock: &dyn Clock) -> u64 {
        self.engine().current_number(clock)
    }

    /// Decides about a token whose key is not in the set with the number `seen`: wait, or reject it at once.
    pub(crate) fn ask(&self, kind: RejectionKind, seen: u64) -> Result<Wait, RejectionKind> {
        self.engine().ask(kind, seen)
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.0.0
    }
}

impl fmt::Debug for RemoteJwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { source, stale_limit, wait_timeout, longest_interval, .. } =
            self.engine().settings();
        f.debug_struct("RemoteJwks")
            .field("location", &source.location)
            .field("allows_http", &source.allows_http)
            .field("stale_limit", stale_limit)
            .field("wait_timeout", wait_timeout)
            .field("fetch_timeout", &source.timeout)
            .field("max_refresh_interval", longest_interval)
            .finish_non_exhaustive()
    }
}
