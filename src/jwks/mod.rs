//! Keys from the network: sets that survive rotation, outage and floods.
//!
//! A [`RemoteJwks`] stands where a [`KeySet`] would, and keeps itself fresh:
//!
//! 1. **Requests read, they do not fetch.** A token whose key is there is verified without waiting, as with keys of a
//!    file. One background task fetches.
//! 2. **Keys are fetched again at 80% of their lifetime**: `max-age` of `Cache-Control`, taken as a minute at least and 24
//!    hours at most, or 10 minutes where the server does not say. They are fetched again after
//!    [an hour](RemoteJwks::with_max_refresh_interval) at the latest. An `ETag` is sent back.
//! 3. **A `kid` that is not in the set triggers a fetch**, at most one in 30 seconds for each source, counted from the last
//!    attempt of any kind. Up to 64 requests wait for its end, each for up to the
//!    [time box](RemoteJwks::with_time_box); all others are answered at once, by what the last attempt said. A request that
//!    goes away ends no fetch, and one that waits holds nothing that the service behind the layer has reserved.
//! 4. **What is not known is not guessed.** A key that is unknown after the last attempt succeeded is 401; if that attempt
//!    failed, or one that a request waits for has not ended in time, or there are no keys that may be used, it is 503.
//! 5. **An outage is survived on the last good keys**, up to an hour past their lifetime (see
//!    [`with_stale_limit`](RemoteJwks::with_stale_limit)); then every token of the issuer is answered with 503. Attempts go on, with
//!    pauses that double up to a minute, shortened at random by up to half.
//! 6. **No answer but a good one replaces good keys.** An error, a redirect, HTML, an empty set or one without a usable
//!    key, too much of anything, or too late: all of it counts as a failure.
//! 7. **A key that is withdrawn is gone with the next good answer**, and so are tokens that were remembered under it. A
//!    key that stays keeps them.
//! 8. **No fetch goes where a token says.** Addresses are the author's, or that which the metadata name under
//!    [discovery](Issuer::discover); plain `http` only to the own machine, unless
//!    [allowed](RemoteJwks::allow_http).
//! 9. **Metadata of an issuer elsewhere do not lead to this machine or its link.** A `jwks_uri` whose host is a
//!    loopback, link-local or unspecified address is rejected, also as `localhost`, as one number, in octal or
//!    hexadecimal, or inside an IPv6 address (mapped, compatible, NAT64, 6to4). [`HttpFetcher`] also rejects a name
//!    that resolves to one. No setting lifts this. It does not apply if the issuer's own address is spelled so, or has
//!    the same scheme, host and port as the `jwks_uri`. Private networks stay allowed: key servers of a cluster are
//!    there. So is `fd00:ec2::254`, where AWS serves instance metadata over IPv6.
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
//! The service may start while the key server is down: its tokens are answered with 503 until keys have come.
//! [`RemoteJwks::spawn`] at start spares the first request the wait, and `ready().await` holds the start back:
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
//! The task runs on the Tokio runtime on which it was started, with its timer and network enabled. It ends with
//! [`shutdown`](RemoteJwks::shutdown), when the last clone and the last verifier with it are dropped, or with its runtime;
//! in the last case the next token with an unknown key starts it again where that token is.
//!
//! # Sets of large providers
//!
//! * **Keys without `alg`** (Microsoft Entra) count for the algorithm that type and curve imply: RS256 for RSA. If a
//!   provider signs with others and does not say so in `alg`, list them by
//!   [`with_rsa_algorithms`](RemoteJwks::with_rsa_algorithms).
//! * **Unknown key types, curves and uses** (`enc`, X25519, `AKP`) are left out one by one, and so are keys that are weak.
//!   [`JwksHealth::keys`] lists what was [refused](KeySet::refused), and why. With the feature `tracing` an event names
//!   each refused key whenever the list changes.
//! * **`null` and empty arrays** in a JWK count as absent: .NET writes `"key_ops":[]` and `"d":null` into good keys. A
//!   byte order mark before the set is skipped.
//! * **EC keys with coordinates of 31 bytes** are refused, and the reason names the length: old versions of Keycloak
//!   cut off leading zeros. Upgrade Keycloak, or have it make another key.
//! * **Tokens of AWS Application Load Balancers** (`x-amzn-oidc-data`) are rejected as malformed: their parts are
//!   padded with `=`, which RFC 7515 section 2 forbids. The padding is part of what is signed, so that removing it does
//!   not help. Verify the access token in `x-amzn-oidc-accesstoken` instead, which comes from your provider.
//! * **Two keys with one `kid`** are both tried.
//! * **`x5c`, `x5t` and `x5u` are ignored**: what counts is the key itself, not the dates of its certificate.
//! * **`oct` keys and private keys** in a document that is published are secret no more, and are refused.
//! * **Other spellings of `iss`** (Google) are [`Issuer::add_name`]; **an issuer that is reached under another address** is
//!   [`Issuer::discover_at`].
//! * **Applications of many Entra tenants**: the metadata for `common` and `organizations` name a template as their
//!   issuer, `https://login.microsoftonline.com/{tenantid}/v2.0`. See [`Issuer::multi_tenant`].
//!
//! # Caveats
//!
//! * Between two processes, and between a server and this one, keys may differ for as long as the lifetime. Issuers
//!   publish a key a lifetime before they sign with it; one that does not gets 401 for up to 30 seconds, until the unknown `kid`
//!   has been asked for.
//! * A token whose key was replaced under the same `kid`, or that has no `kid`, is 401 until the next refresh, up to an
//!   hour: any forged token looks like it, so it triggers no fetch. With
//!   [`refetch_on_bad_signature`](RemoteJwks::refetch_on_bad_signature) it does.
//! * A withdrawn key is trusted until the next refresh, and through an outage up to the stale limit. To stop a stolen key now,
//!   revoke it ([`Authenticator::revoke_key`](crate::Authenticator::revoke_key)).
//! * TLS of the ready client is AWS-LC even where `rust-crypto` verifies signatures.

mod address;
mod discovery;
mod engine;
mod fetch;
mod http;
mod issuer;
mod local;
mod schedule;
mod source;
mod status;

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::Guard;

pub(crate) use self::engine::Wait;
pub use self::fetch::{FetchError, FetchJwks, FetchRequest, Fetched, MAX_LENGTH};
pub use self::http::HttpFetcher;
pub use self::status::JwksHealth;
use self::{
    address::Address,
    discovery::Discovery,
    engine::{Engine, Settings},
    source::{Place, Source},
};
#[cfg(doc)]
use crate::Issuer;
use crate::{
    Algorithm, ConfigError, KeySet, RejectionKind,
    claims::{Clock, SystemClock},
    jws,
};

/// A key set that is fetched over the network and kept fresh, under the rules that the [module](self) states.
///
/// Clones are handles on one engine. The `with_*` and `allow_*` methods make an engine of its own, without keys, and leave
/// clones made before as they are: set everything before the first use.
#[derive(Clone)]
pub struct RemoteJwks(Arc<Owner>);

/// Ends the engine's task when the last handle goes.
struct Owner(Arc<Engine>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl RemoteJwks {
    /// The key set at `url`.
    ///
    /// # Errors
    /// [`ConfigError::InvalidUrl`] for anything but an absolute `https` or `http` URL without credentials and fragment,
    /// and for the address of metadata, [`ConfigError::NoBackend`] without one, and as [`HttpFetcher::new`].
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        if discovery::is_of_metadata(url) {
            return Err(ConfigError::InvalidUrl(
                "the URL of a key set; for metadata pass the issuer's URL to `discover`",
            ));
        }
        Self::at(Place::KeySet(Address::parse(url)?))
    }

    /// The key set whose address the metadata of `issuer` tell; [`Issuer::discover`] for those who have settings to
    /// change.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`ConfigError::InvalidUrl`] for a URL with a query, with braces, or with the
    /// `/.well-known/...` path of the metadata.
    pub fn discover(issuer: &str) -> Result<Self, ConfigError> {
        Self::discover_at(issuer, issuer)
    }

    /// The key set whose address the metadata of the server at `url` tell, which must call itself `issuer`;
    /// [`Issuer::discover_at`] for those who have settings to change.
    ///
    /// # Errors
    /// As [`discover`](Self::discover).
    pub fn discover_at(url: &str, issuer: impl Into<Arc<str>>) -> Result<Self, ConfigError> {
        Self::at(Place::Discovered(Discovery::new(url, issuer.into())?))
    }

    fn at(place: Place) -> Result<Self, ConfigError> {
        jws::require_backend()?;
        Ok(Self::of(Settings {
            source: Source {
                place,
                fetcher: Arc::new(HttpFetcher::new()?),
                allows_http: false,
                time_limit: Duration::from_secs(5),
                rsa_algorithms: vec![Algorithm::RS256],
            },
            clock: Arc::new(SystemClock),
            stale_limit: Duration::from_secs(60 * 60),
            time_box: Duration::from_secs(2),
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

    /// Takes the time from `clock`, which should be the [`Authenticator`](crate::Authenticator)'s. Default: [`SystemClock`].
    ///
    /// Ages are measured with it; what wakes the task, and what limits waiting, is Tokio's timer.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        self.with(|settings| settings.clock = Arc::new(clock))
    }

    /// How long past their lifetime keys are used while no new ones can be had. Default: 1 hour.
    ///
    /// A key that its issuer withdraws meanwhile is trusted for as long. Zero turns an outage into 503 as soon as the lifetime is
    /// over.
    #[must_use]
    pub fn with_stale_limit(self, limit: Duration) -> Self {
        self.with(|settings| settings.stale_limit = limit)
    }

    /// The longest time between two fetches, however long the server's `max-age` is. Default: 1 hour. At least 30
    /// seconds: less counts as that. It has no effect where 80% of the lifetime is shorter.
    ///
    /// A key that is replaced under the same `kid`, or withdrawn, is noticed after this time at the latest. Raise it
    /// for a server that cannot bear a fetch an hour.
    #[must_use]
    pub fn with_max_refresh_interval(self, interval: Duration) -> Self {
        self.with(|settings| settings.longest_interval = interval)
    }

    /// Lets RSA keys of the set that have no `alg` verify each of these algorithms. Default: RS256 alone. It has no
    /// effect on keys with `alg`, and on keys of other types.
    ///
    /// Each algorithm makes a [`Key`](crate::Key) of its own, so that a key still has one algorithm. Use it for a
    /// provider that signs with PS256, or with several algorithms, and leaves `alg` out of its key set. An empty list,
    /// and an algorithm that is not one of RSA, are errors when the verifier is built.
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

    /// Lets a token whose signature does not verify trigger a fetch too, although its `kid` is in the set or it names
    /// none. Off by default: then only an unknown `kid` does.
    ///
    /// Use it for a provider that replaces a key under the same `kid`, or publishes keys without `kid`. Without it,
    /// tokens of the new key are 401 until the next refresh. The budget is the same: one fetch in 30 seconds for each
    /// source, for which up to 64 requests wait. Anyone can send a bad signature, so expect fetches at that rate under
    /// attack. While the last attempt has failed, such a token is answered with 503, because the key may be a new one.
    #[must_use]
    pub fn refetch_on_bad_signature(self) -> Self {
        self.with(|settings| settings.refetches_on_bad_signature = true)
    }

    /// How long a request waits for an unknown key before it is answered with 503. Default: 2 seconds.
    ///
    /// The fetch goes on, for those who come later.
    #[must_use]
    pub fn with_time_box(self, time_box: Duration) -> Self {
        self.with(|settings| settings.time_box = time_box)
    }

    /// How long one exchange with the server may take, from the connection to the last byte. Default: 5 seconds.
    #[must_use]
    pub fn with_time_limit(self, limit: Duration) -> Self {
        self.with(|settings| settings.source.time_limit = limit)
    }

    /// Allows plain `http` to other machines. **Whoever is on the way can then put keys of their own into the set and sign
    /// any token.** By default only the own machine may be asked without TLS.
    #[must_use]
    pub fn allow_http(self) -> Self {
        self.with(|settings| settings.source.allows_http = true)
    }

    /// Starts fetching on the current Tokio runtime, in place of the first token. Does nothing if that has been done, after
    /// [`shutdown`](Self::shutdown), and outside of a runtime.
    pub fn spawn(&self) {
        self.engine().start();
    }

    /// Starts fetching, and returns when there are keys, however long that takes.
    ///
    /// # Errors
    /// [`FetchError::Stopped`] after [`shutdown`](Self::shutdown), and outside of a Tokio runtime.
    pub async fn ready(&self) -> Result<(), FetchError> {
        self.engine().ready().await
    }

    /// Ends the background task for all clones, for good, and returns when it has ended. Keys that are there are used
    /// until they are too old.
    pub async fn shutdown(&self) {
        self.engine().stop();
        self.engine().ended().await;
    }

    /// How it is doing: for metrics and health checks, not for every request.
    #[must_use]
    pub fn health(&self) -> JwksHealth {
        self.engine().health()
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn place(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Whether all addresses are allowed, for an issuer of this name.
    pub(crate) fn validate(&self, issuer: &str) -> Result<(), ConfigError> {
        let source = &self.engine().settings().source;
        match &source.place {
            Place::Discovered(discovery) if discovery.issuer() != issuer => {
                Err(ConfigError::ForeignMetadata)
            }
            Place::Discovered(_) | Place::KeySet(_) => source.validate(),
        }
    }

    pub(crate) fn refetches_on_bad_signature(&self) -> bool {
        self.engine().settings().refetches_on_bad_signature
    }

    /// The keys that may be used now.
    pub(crate) fn current(&self, clock: &dyn Clock) -> Guard<Arc<KeySet>> {
        self.engine().current(clock)
    }

    /// The number of their set.
    pub(crate) fn current_number(&self, clock: &dyn Clock) -> u64 {
        self.engine().current_number(clock)
    }

    /// What is to be done about a token whose key is not in the set of number `seen`: wait, or refuse it at once.
    pub(crate) fn ask(&self, kind: RejectionKind, seen: u64) -> Result<Wait, RejectionKind> {
        self.engine().ask(kind, seen)
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.0.0
    }
}

impl fmt::Debug for RemoteJwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { source, stale_limit, time_box, longest_interval, .. } =
            self.engine().settings();
        f.debug_struct("RemoteJwks")
            .field("place", &source.place)
            .field("allows_http", &source.allows_http)
            .field("stale_limit", stale_limit)
            .field("time_box", time_box)
            .field("max_refresh_interval", longest_interval)
            .finish_non_exhaustive()
    }
}
