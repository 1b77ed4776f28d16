//! The builder of an [`Authenticator`].

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;

use super::Authenticator;
use crate::{
    CheckError, ConfigError, Issuer, RevocationCache, VerifiedToken,
    claims::{Clock, SystemClock, UntypedClaims},
    verifier::{Verifier, VerifierSettings},
};

/// Default of [`AuthenticatorBuilder::with_token_cache_capacity`]: the bytes that all cached tokens together may use.
const DEFAULT_CACHE_CAPACITY: u64 = 16 * 1024 * 1024;

/// Default of [`AuthenticatorBuilder::with_max_token_length`], in bytes.
const DEFAULT_MAX_TOKEN_LENGTH: usize = 8 * 1024;

impl Authenticator {
    /// Starts an authenticator without an issuer. Its claims are [`UntypedClaims`], unless
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
    settings: VerifierSettings<C>,
    revocation: Option<RevocationCache>,
    /// Checks were added before `claims` changed the type of the claims.
    has_lost_checks: bool,
}

impl AuthenticatorBuilder {
    fn new() -> Self {
        let settings = VerifierSettings {
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
    /// Reads the claims as `D`. A token whose claims do not deserialize into `D` is rejected. Default:
    /// [`UntypedClaims`].
    ///
    /// Call it before you add checks, because a check is for one type of claims: [`build`](Self::build) fails if a
    /// check was added before.
    pub fn claims<D>(self) -> AuthenticatorBuilder<D> {
        let VerifierSettings {
            issuers, max_token_length, clock, cache_capacity, caches_hmac, ..
        } = self.settings;
        let checks = self.settings.pure_checks.len() + self.settings.checks.len();
        let has_checks = checks + self.settings.async_checks.len() > 0;
        AuthenticatorBuilder {
            settings: VerifierSettings {
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

    /// Looks up in `cache` whether a token is revoked, on every request. By default there is no revocation, so a token
    /// is accepted until it expires.
    ///
    /// Give the cache the same clock as [`with_clock`](Self::with_clock).
    pub fn revocation(mut self, cache: RevocationCache) -> Self {
        self.revocation = Some(cache);
        self
    }

    /// Adds an issuer to trust, with its own policy and its own keys.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.settings.issuers.push(issuer);
        self
    }

    /// Sets the maximum length of a token, in bytes. Longer tokens are rejected. Default: 8 KiB.
    pub fn with_max_token_length(mut self, bytes: usize) -> Self {
        self.settings.max_token_length = bytes;
        self
    }

    /// Reads the time from `clock`. Default: [`SystemClock`].
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Adds your own check. It runs on every request, after checks 1 to 14 of the [list](Authenticator#checks) and
    /// after the pure checks.
    ///
    /// ```
    /// use tower_bearer::{Authenticator, CheckError};
    ///
    /// let builder = Authenticator::builder().add_check(|token| {
    ///     match token.claims().get("tenant").and_then(|tenant| tenant.as_str()) {
    ///         Some("blue") => Ok(()),
    ///         _ => Err(CheckError::Rejected),
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

    /// Adds your own check whose outcome depends only on the token. It runs when a token is verified, and on
    /// [`recheck`](Authenticator::recheck). It does not run again on a token-cache hit.
    ///
    /// A check is not pure if it looks at anything that may change (a clock, a list of customers, a flag). Pass such a
    /// check to [`add_check`](Self::add_check). Otherwise a token that passed once would pass for as long as it is
    /// cached.
    pub fn add_pure_check(
        mut self,
        check: impl Fn(&VerifiedToken<C>) -> Result<(), CheckError> + Send + Sync + 'static,
    ) -> Self {
        self.settings.pure_checks.push(Box::new(check));
        self
    }

    /// Sets how many bytes the cache of verified tokens may use. Default: 16 MiB. Zero turns the cache off.
    ///
    /// The cache changes only the speed. Keys, times, checks and revocation are checked on every request, and a token
    /// that fails a rule of the authenticator is not cached. Requests with the same token share one `C`, so it should
    /// not change.
    ///
    /// A cached token uses about its own length, plus twice the length of its claims, plus one and a half kilobytes,
    /// and more for nested claims. These sizes are estimates, on the high side.
    ///
    /// Tokens with HMAC signatures are not cached unless you call [`cache_hmac_tokens`](Self::cache_hmac_tokens).
    pub fn with_token_cache_capacity(mut self, bytes: u64) -> Self {
        self.settings.cache_capacity = bytes;
        self
    }

    /// Also caches tokens with HMAC signatures. By default only tokens with other signatures are cached.
    ///
    /// An HMAC verification is nearly as cheap as a cache lookup. So this helps only if a small number of tokens makes
    /// up most of the requests. Measure before you use it.
    pub fn cache_hmac_tokens(mut self) -> Self {
        self.settings.caches_hmac = true;
        self
    }

    /// Adds your own asynchronous check. It runs on every request, after the revocation lookup.
    ///
    /// Each request allocates once for the future. The layer waits for the check without a timeout, so the check must
    /// limit its own time.
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

    /// Builds the authenticator.
    ///
    /// # Errors
    /// [`ConfigError`] in these cases:
    ///
    /// * There is no issuer.
    /// * Two issuers have the same name.
    /// * A name or an audience is empty.
    /// * A name is a template or the address of metadata.
    /// * The tenants or the remote keys of an issuer are not valid.
    /// * A leeway is above [`MAX_LEEWAY`](crate::claims::MAX_LEEWAY).
    /// * A check was added before [`claims`](Self::claims).
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
