//! An issuer in memory, for the tests of services, with the authenticator and the layer that trust it.

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;

use super::TestToken;
use crate::{
    Algorithm, Authenticator, AuthenticatorBuilder, BearerLayer, Issuer, UnixTime,
    claims::{Clock, SystemClock},
    jws::SigningKey,
};

/// An issuer with its own key, for tests.
///
/// By default its name is [`NAME`](Self::NAME), its audience is [`AUDIENCE`](Self::AUDIENCE), its key is a new ES256
/// key, and its clock is the system's clock. A clone is cheap: it increments a few counters.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_bearer::ConfigError> {
/// use std::time::Duration;
/// use tower_bearer::{
///     Authenticator, RejectionKind, UnixTime, claims::ManualClock, test_util::TestIssuer,
/// };
///
/// let clock = ManualClock::at(UnixTime::from_secs(1_800_000_000));
/// let issuer = TestIssuer::new().with_audience("api://orders").with_clock(clock.clone());
///
/// // The service's own policy, with the keys of the test.
/// let authenticator = Authenticator::builder()
///     .issuer(issuer.issuer().with_max_lifetime(Duration::from_secs(3600)))
///     .with_clock(clock.clone())
///     .build()?;
///
/// let token = issuer.token().subject("ada").expires_in(Duration::from_secs(60)).issue();
/// let user = authenticator.authenticate(&token).await.unwrap();
/// assert_eq!(user.registered().subject(), Some("ada"));
///
/// clock.advance(Duration::from_secs(60) + tower_bearer::claims::DEFAULT_LEEWAY);
/// let refused = authenticator.authenticate(&token).await.unwrap_err();
/// assert_eq!(refused.kind(), RejectionKind::Expired);
/// # Ok(()) }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
#[derive(Clone)]
#[must_use]
pub struct TestIssuer {
    name: Arc<str>,
    audience: Arc<str>,
    key: SigningKey,
    clock: Arc<dyn Clock>,
}

impl TestIssuer {
    /// The default name.
    pub const NAME: &str = "https://issuer.test";

    /// The default audience.
    pub const AUDIENCE: &str = "api://test";

    /// An issuer with a new key.
    ///
    /// # Panics
    /// Without a backend, or if the system cannot provide random bytes.
    #[track_caller]
    pub fn new() -> Self {
        Self {
            name: Self::NAME.into(),
            audience: Self::AUDIENCE.into(),
            key: new_key(Algorithm::ES256),
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets the name. Default: [`NAME`](Self::NAME). Use it for a service that has the issuer's name in its
    /// configuration.
    pub fn with_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the audience of the tokens. Default: [`AUDIENCE`](Self::AUDIENCE).
    pub fn with_audience(mut self, audience: impl Into<Arc<str>>) -> Self {
        self.audience = audience.into();
        self
    }

    /// Sets the key that signs. Default: a new ES256 key. Use it for another algorithm, or for a secret that the
    /// service has in its configuration.
    pub fn with_key(mut self, key: SigningKey) -> Self {
        self.key = key;
        self
    }

    /// Takes the time from `clock`. Default: [`SystemClock`]. The clock sets the dates of tokens, and the current time
    /// of [`authenticator`](Self::authenticator) and [`layer`](Self::layer). Give it to your own authenticator too.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The default policy that trusts this issuer, for your own [`Authenticator`].
    pub fn issuer(&self) -> Issuer {
        Issuer::new(Arc::clone(&self.name), self.key.verifying_key()).audience(&*self.audience)
    }

    /// The public keys as a JSON Web Key Set (RFC 7517 section 5), for a service that reads them from a file or a URL.
    /// The set is empty for HMAC.
    #[must_use]
    pub fn jwks_json(&self) -> String {
        format!(r#"{{"keys":[{}]}}"#, self.key.public_jwk_json().unwrap_or_default())
    }

    /// The settings of an authenticator that trusts only this issuer and uses its clock. Add revocation, checks, and
    /// the type of your claims.
    pub fn authenticator_builder(&self) -> AuthenticatorBuilder {
        Authenticator::builder().issuer(self.issuer()).with_clock(Arc::clone(&self.clock))
    }

    /// An authenticator that trusts only this issuer, without revocation.
    ///
    /// # Panics
    /// If the name or the audience is empty.
    #[must_use]
    #[track_caller]
    pub fn authenticator<C>(&self) -> Authenticator<C>
    where
        C: DeserializeOwned + Send + Sync + 'static,
    {
        let builder = self.authenticator_builder().claims();
        builder.build().expect("an issuer has a name and an audience")
    }

    /// A layer with the default settings and [`authenticator`](Self::authenticator). It rejects a request without a
    /// token.
    ///
    /// # Panics
    /// Like [`authenticator`](Self::authenticator).
    #[track_caller]
    pub fn layer<C>(&self) -> BearerLayer<C>
    where
        C: DeserializeOwned + Send + Sync + 'static,
    {
        BearerLayer::new(self.authenticator())
    }

    /// A valid token, to start from.
    pub fn token(&self) -> TestToken {
        TestToken::new(self.clone())
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn audience(&self) -> &str {
        &self.audience
    }

    pub(super) fn key(&self) -> &SigningKey {
        &self.key
    }

    pub(super) fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

/// A new random key.
#[track_caller]
pub(super) fn new_key(algorithm: Algorithm) -> SigningKey {
    match SigningKey::generate(algorithm) {
        Ok(key) => key,
        Err(error) => panic!("no {} key for a test: {error}", algorithm.name()),
    }
}

impl Default for TestIssuer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for TestIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestIssuer")
            .field("name", &self.name)
            .field("audience", &self.audience)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
