//! How a verifier is put together.

use std::{
    collections::HashMap,
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::de::DeserializeOwned;

use super::{AsyncCheck, Check, CheckError, Shared, Verifier};
use crate::{
    ConfigError, Issuer, VerifiedToken,
    claims::{Clock, SystemClock, UntypedClaims},
    json,
    jws::KnownHeaders,
    token_cache::TokenCache,
};

/// Bytes that remembered tokens may take up together unless
/// [`VerifierBuilder::with_token_cache_capacity`] says otherwise.
const DEFAULT_CACHE_CAPACITY: u64 = 16 * 1024 * 1024;

/// The longest token that is looked at unless [`VerifierBuilder::with_max_token_length`] says otherwise.
const DEFAULT_MAX_TOKEN_LENGTH: usize = 8 * 1024;

impl<C: DeserializeOwned + Send + Sync + 'static> Verifier<C> {
    /// A verifier that trusts nobody yet.
    pub fn builder() -> VerifierBuilder<C> {
        VerifierBuilder {
            issuers: Vec::new(),
            max_token_length: DEFAULT_MAX_TOKEN_LENGTH,
            clock: Arc::new(SystemClock),
            pure_checks: Vec::new(),
            checks: Vec::new(),
            cache_capacity: DEFAULT_CACHE_CAPACITY,
            caches_hmac: false,
            async_checks: Vec::new(),
            claims: PhantomData,
        }
    }
}

/// Collects issuers and checks for a [`Verifier`].
#[must_use = "a builder does nothing until `build`"]
pub struct VerifierBuilder<C = UntypedClaims> {
    issuers: Vec<Issuer>,
    max_token_length: usize,
    clock: Arc<dyn Clock>,
    pure_checks: Vec<Check<C>>,
    checks: Vec<Check<C>>,
    cache_capacity: u64,
    caches_hmac: bool,
    async_checks: Vec<AsyncCheck<C>>,
    claims: PhantomData<fn() -> C>,
}

impl<C: DeserializeOwned + Send + Sync + 'static> VerifierBuilder<C> {
    /// Trusts one more issuer, under its own policy and with its own keys.
    pub fn issuer(mut self, issuer: Issuer) -> Self {
        self.issuers.push(issuer);
        self
    }

    /// Looks at tokens of up to `bytes` bytes, in place of 8 KiB.
    pub fn with_max_token_length(mut self, bytes: usize) -> Self {
        self.max_token_length = bytes;
        self
    }

    /// Takes the time from `clock`, in place of [`SystemClock`].
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Adds a check of the service author's own, which runs after all others on every request.
    ///
    /// ```
    /// use tower_bearer::{CheckError, Verifier};
    ///
    /// let builder = Verifier::<tower_bearer::claims::UntypedClaims>::builder().add_check(|token| {
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
        self.checks.push(Box::new(check));
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
        self.pure_checks.push(Box::new(check));
        self
    }

    /// Remembers verified tokens in up to `bytes` bytes, in place of 16 MiB; zero remembers none.
    ///
    /// What is remembered cannot be observed but by its speed: keys, times, checks and revocation are looked at on every
    /// request, and a token that fails a rule of the verifier is not remembered. `C` is shared by repeats: it should
    /// not change.
    ///
    /// A token takes up about its own length, twice that of its claims, a kilobyte and a half, and more for nested claims.
    /// Sizes are estimated, on the high side.
    ///
    /// Tokens with HMAC signatures are not remembered unless
    /// [`cache_hmac_tokens`](Self::cache_hmac_tokens) is called.
    pub fn with_token_cache_capacity(mut self, bytes: u64) -> Self {
        self.cache_capacity = bytes;
        self
    }

    /// Remembers tokens with HMAC signatures too; by default only others are.
    ///
    /// Verifying HMAC is nearly as cheap as looking a token up, so this pays only where a small number of tokens makes up
    /// most of the requests: measure before.
    pub fn cache_hmac_tokens(mut self) -> Self {
        self.caches_hmac = true;
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
        self.async_checks.push(Box::new(move |token| Box::pin(check(token))));
        self
    }

    /// The verifier.
    ///
    /// # Errors
    /// Without an issuer, with two issuers of one name, an empty name or audience, a name that is a template or the
    /// address of metadata, or a leeway above [`MAX_LEEWAY`](crate::claims::MAX_LEEWAY).
    pub fn build(self) -> Result<Verifier<C>, ConfigError> {
        if self.issuers.is_empty() {
            return Err(ConfigError::NoIssuer);
        }
        let (mut by_name, mut multi_tenant) = (HashMap::new(), Vec::new());
        for (index, issuer) in self.issuers.iter().enumerate() {
            issuer.validate()?;
            if issuer.tenants().is_some() {
                multi_tenant.push(index);
            }
            for name in issuer.names() {
                if by_name.insert(Arc::clone(name), index).is_some() {
                    return Err(ConfigError::DuplicateIssuer(name.to_string()));
                }
            }
        }
        // A template is not a name that a token may have.
        by_name.retain(|_, index| !multi_tenant.contains(index));
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Ok(Verifier(Arc::new(Shared {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            issuers: self.issuers,
            by_name,
            multi_tenant,
            max_token_length: self.max_token_length,
            headers: KnownHeaders::new(),
            clock: self.clock,
            read_claims: json::deserialize,
            pure_checks: self.pure_checks,
            checks: self.checks,
            cache: TokenCache::new(self.cache_capacity, self.caches_hmac),
            async_checks: self.async_checks,
        })))
    }
}

impl<C> fmt::Debug for VerifierBuilder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifierBuilder").field("issuers", &self.issuers).finish_non_exhaustive()
    }
}
