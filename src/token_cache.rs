//! Tokens that were verified, by their text, so that repeats cost a look-up.
//!
//! The cache answers one question: has exactly this text been verified, by which key, and with which claims? Everything
//! that can change afterwards is asked again by the verifier on every hit.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use quick_cache::{Weighter, sync::Cache};

use crate::{VerifiedToken, jws::Algorithm};

/// About what one entry takes up beside its token and its claims: list nodes, hash table, counters.
const OVERHEAD: usize = 128;

/// A usual entry, to size the hash table by.
const USUAL_SIZE: u64 = 2 * 1024;

pub(crate) struct TokenCache<C> {
    /// `None`: nothing is remembered.
    tokens: Option<Cache<Box<str>, VerifiedToken<C>, Size>>,
    caches_hmac: bool,
    /// Whether anything ever was remembered: otherwise there is no need to hash a token for nothing.
    is_used: AtomicBool,
}

impl<C> TokenCache<C> {
    pub(crate) fn new(capacity: u64, caches_hmac: bool) -> Self {
        let items = usize::try_from(capacity / USUAL_SIZE).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        let tokens = (capacity > 0).then(|| Cache::with_weighter(items, capacity, Size));
        Self { tokens, caches_hmac, is_used: AtomicBool::new(false) }
    }

    /// Looked up by the whole text, compared byte by byte: no hash stands for a token.
    pub(crate) fn get(&self, token: &str) -> Option<VerifiedToken<C>> {
        if !self.is_used.load(Ordering::Relaxed) {
            return None;
        }
        self.tokens.as_ref()?.get(token)
    }

    /// Remembers a token that has passed every check; tokens that have not are never remembered.
    pub(crate) fn remember(&self, token: &str, verified: &VerifiedToken<C>) {
        let is_hmac =
            matches!(verified.algorithm(), Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        if let Some(tokens) = &self.tokens
            && (self.caches_hmac || !is_hmac)
        {
            tokens.insert(token.into(), verified.clone());
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn forget(&self, token: &str) {
        if let Some(tokens) = &self.tokens {
            tokens.remove(token);
        }
    }
}

impl<C> fmt::Debug for TokenCache<C> {
    /// Shows no token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}

/// Weighs entries in bytes.
#[derive(Clone, Copy)]
struct Size;

impl<C> Weighter<Box<str>, VerifiedToken<C>> for Size {
    fn weight(&self, token: &Box<str>, verified: &VerifiedToken<C>) -> u64 {
        (token.len() + verified.size() + OVERHEAD) as u64
    }
}
