//! How an authenticator is put together.

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;

use super::Authenticator;
use crate::{
    CheckError, ConfigError, Issuer, RevocationCache, VerifiedToken,
    claims::{Clock, SystemClock, UntypedClaims},
    verifier::{Settings, Verifier},
};

/// Bytes that remembered tokens may take up together unless
/// [`AuthenticatorBuilder::with_token_cache_capacity`] says otherwise.
const DEFAULT_CACHE_CAPACITY: u64 = 16 * 1024 * 1024;

/// The longest token that is looked at unless [`AuthenticatorBuilder::with_max_token_length`] says otherwise.
const DEFAULT_MAX_TOKEN_LENGTH: usize = 8 * 1024;

impl Authenticator {
    /// An authenticator that trusts no issuer yet, for [`UntypedClaims`] unless
    /// [`claims`](AuthenticatorBuilder::claims) names another type.
    pub fn builder() -> AuthenticatorBuilder {
        AuthenticatorBuilder::new()
    }
}

/// Collects issuers, checks and revocation for an [`Authenticator`].
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// # fn main() -> Result<(), tower_bearer::ConfigError> {
/// use serde::Deserialize;
/// use tower_bearer::{Authenticator, Issuer, Key, RevocationCache};
///
/// #[derive(Deserialize)]
/// struct Claims {
///     tenant: String,
/// }
///
/// let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?).audience("api://orders");
/// let authenticator = Authenticator::builder()
///     .claims::<Claims>()
///     .issuer(issuer)
///     .revocation(RevocationCache::in_memory())
///     .build()?;
/// # let _ = authenticator;
/// # Ok(()) }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct AuthenticatorBuilder<C = UntypedClaims> {
    settings: Settings<C>,
    revocation: Option<RevocationCache>,
    /// Checks were added for claims of another type.
    has_lost_checks: bool,
}

impl AuthenticatorBuilder {
    fn new() -> Self {
        let settings = Settings {
            issuers: Vec::new(),
            max_token_length: DEFAULT_MAX_TOKEN_LENGTH,
            clock: Arc::new(SystemClock),
            pure_checks: Vec::new(),
            checks: Vec::new(),
            cache_capacity: DEFAULT_CACHE_CAPACITY,
            caches_hmac: false,
            async_checks: Vec::new(),
        };
        Self { settings, revocation: None, has_lost_checks: false }
    }
}

impl<C: DeserializeOwned + Send + Sync + 'static> AuthenticatorBuilder<C> {
    /// Reads the claims as `D`. A token whose claims do not fit is rejected. Default: [`UntypedClaims`].
    ///
    /// Call it before you add checks, because a check is for one type of claims:
    /// [`build`](Self::build) fails if a check was added before.
    pub fn claims<D>(self) -> AuthenticatorBuilder<D> {
        let Settings { issuers, max_token_length, clock, cache_capacity, caches_hmac, .. } =
            self.settings;
        let checks = self.settings.pure_checks.len() + self.settings.checks.len();
        let has_checks = checks + self.settings.async_checks.len() > 0;
        AuthenticatorBuilder {
            settings: Settings {
                issuers,
                max_token_length,
                clock,
                cache_capacity,
                caches_hmac,
                pure_checks: Vec::new(),
                checks: Vec::new(),
                async_checks: Vec::new(),
            },
            revocation: self.revocation,
            has_lost_checks: self.has_lost_checks || has_checks,
        }
    }

    /// Looks up in `cache` whether a token is revoked, on every request. Default: no revocation, so that a token is
    /// accepted until it expires.
    ///
    /// Give the cache the same clock as [`with_clock`](Self::with_clock).
    pub fn revocation(mut self, cache: RevocationCache) -> Self {
        self.revocation = Some(cache);
        self
    }

    /// Trusts one more issuer, under its own policy and with its own keys.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.settings.issuers.push(issuer);
        self
    }

    /// Looks at tokens of up to `bytes` bytes, in place of 8 KiB.
    pub fn with_max_token_length(mut self, bytes: usize) -> Self {
        self.settings.max_token_length = bytes;
        self
    }

    /// Takes the time from `clock`, in place of [`SystemClock`].
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Adds a check of the service author's own, which runs after all others on every request.
    ///
    /// ```
    /// use tower_bearer::{Authenticator, CheckError};
    ///
    /// let builder = Authenticator::builder().add_check(|token| {
    ///     match token.claims().get("tenant").and_then(|tenant| tenant.as_str()) {
    ///         Some("blue") => Ok(()),
    ///         _ => Err(CheckError::Refused),
    ///     }
    /// });
    /// ```
    pub fn add_check(
        mut self,
        check: impl Fn(&VerifiedToken<C>) -> Result<(), CheckError> + Send + Sync + 'static,
    ) -> Self {
        self.settings.checks.push(Box::new(check));
        self
    }

    /// Adds a check whose outcome depends on nothing but the token: it runs when a token is verified, and not again while
    /// the token is remembered.
    ///
    /// A check that looks at anything that may change (a clock, a list of customers, a flag) is not pure and belongs into
    /// [`add_check`](Self::add_check): a token that it has let pass once would pass for as long as it is remembered.
    pub fn add_pure_check(
        mut self,
        check: impl Fn(&VerifiedToken<C>) -> Result<(), CheckError> + Send + Sync + 'static,
    ) -> Self {
        self.settings.pure_checks.push(Box::new(check));
        self
    }

    /// Remembers verified tokens in up to `bytes` bytes, in place of 16 MiB; zero remembers none.
    ///
    /// What is remembered cannot be observed but by its speed: keys, times, checks and revocation are looked at on every
    /// request, and a token that fails a rule of the authenticator is not remembered. `C` is shared by repeats: it should
    /// not change.
    ///
    /// A token takes up about its own length, twice that of its claims, a kilobyte and a half, and more for nested claims.
    /// Sizes are estimated, on the high side.
    ///
    /// Tokens with HMAC signatures are not remembered unless
    /// [`cache_hmac_tokens`](Self::cache_hmac_tokens) is called.
    pub fn with_token_cache_capacity(mut self, bytes: u64) -> Self {
        self.settings.cache_capacity = bytes;
        self
    }

    /// Remembers tokens with HMAC signatures too; by default only others are.
    ///
    /// Verifying HMAC is nearly as cheap as looking a token up, so this pays only where a small number of tokens makes up
    /// most of the requests: measure before.
    pub fn cache_hmac_tokens(mut self) -> Self {
        self.settings.caches_hmac = true;
        self
    }

    /// Adds an asynchronous check, which runs after the revocation look-up on every request.
    ///
    /// A request pays one allocation for the future. The check bounds its own time: the layer waits for it.
    pub fn add_async_check<F>(
        mut self,
        check: impl Fn(VerifiedToken<C>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), CheckError>> + Send + 'static,
    {
        self.settings.async_checks.push(Box::new(move |token| Box::pin(check(token))));
        self
    }

    /// The authenticator.
    ///
    /// # Errors
    /// [`ConfigError`] without an issuer, with two issuers of one name, an empty name or audience, a name that is a
    /// template or the
    /// address of metadata, a leeway above [`MAX_LEEWAY`](crate::claims::MAX_LEEWAY), or
    /// with a check that was added before [`claims`](Self::claims).
    pub fn build(self) -> Result<Authenticator<C>, ConfigError> {
        if self.has_lost_checks {
            return Err(ConfigError::ChecksBeforeClaims);
        }
        let verifier = Verifier::new(self.settings)?;
        Ok(Authenticator::new(verifier, self.revocation))
    }
}

impl<C> fmt::Debug for AuthenticatorBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthenticatorBuilder")
            .field("issuers", &self.settings.issuers)
            .finish_non_exhaustive()
    }
}
