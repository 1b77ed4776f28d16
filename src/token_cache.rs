//! The cache of verified tokens, by their whole text. A repeated token then costs one cache lookup.
//!
//! The cache answers one question: was exactly this text verified, by which key, and with which claims? On every hit,
//! the verifier checks again everything that can change later.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::atomic::{AtomicBool, Ordering},
};

use quick_cache::{Equivalent, Weighter, sync::Cache};

use crate::{VerifiedToken, jws::Algorithm, telemetry::Tally};

/// The approximate overhead of one entry in bytes, in addition to its token and its claims: list nodes, hash table,
/// counters.
const OVERHEAD: usize = 128;

/// The bytes that an object or array of the claims can use in addition to its text, as the author's own type or as
/// untyped claims. The smallest map of untyped claims has a node of this size.
const PER_CONTAINER: usize = 700;

/// The same for a value.
const PER_VALUE: usize = 40;

/// The size of a usual entry in bytes. It determines the size of the hash table.
const USUAL_SIZE: u64 = 2 * 1024;

pub(crate) struct TokenCache<C> {
    /// `None`: the cache is off.
    tokens: Option<Tokens<C>>,
    caches_hmac: bool,
    /// Whether the cache ever had an entry. Before that, a lookup does not hash the token.
    is_used: AtomicBool,
    /// Cache hits.
    pub(crate) hits: Tally,
    /// Cache misses: verified tokens that were then added to the cache.
    misses: Tally,
}

/// How the cache is used.
#[cfg(feature = "metrics")]
pub(crate) struct Usage {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
}

type Tokens<C> = Cache<Token<Box<[u8]>>, Entry<C>, Size>;

impl<C> TokenCache<C> {
    pub(crate) fn new(capacity: u64, caches_hmac: bool) -> Self {
        let items = usize::try_from(capacity / USUAL_SIZE).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        let tokens = (capacity > 0).then(|| Cache::with_weighter(items, capacity, Size));
        Self {
            tokens,
            caches_hmac,
            is_used: AtomicBool::new(false),
            hits: Tally::default(),
            misses: Tally::default(),
        }
    }

    /// Finds an entry by the whole text. The text is compared byte by byte: an equal hash is not enough.
    pub(crate) fn get(&self, token: &[u8]) -> Option<VerifiedToken<C>> {
        if !self.is_used.load(Ordering::Relaxed) {
            return None;
        }
        self.tokens.as_ref()?.get(&Token(token)).map(|entry| entry.token)
    }

    /// Whether tokens with this algorithm are cached.
    pub(crate) fn caches(&self, algorithm: Algorithm) -> bool {
        let is_hmac = matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        self.tokens.is_some() && (self.caches_hmac || !is_hmac)
    }

    /// Adds a token that has passed every check of the verifier. Other tokens are never cached.
    pub(crate) fn remember(&self, token: &[u8], verified: &VerifiedToken<C>) {
        if let Some(tokens) = &self.tokens
            && self.caches(verified.algorithm())
        {
            let size = OVERHEAD
                + token.len()
                + verified.size()
                + structure(verified.registered().as_json());
            tokens
                .insert(Token(token.into()), Entry { token: verified.clone(), size: size as u64 });
            self.is_used.store(true, Ordering::Relaxed);
            self.misses.add_one();
        }
    }

    pub(crate) fn forget(&self, token: &[u8]) {
        if let Some(tokens) = &self.tokens {
            tokens.remove(&Token(token));
        }
    }

    /// `None` if the cache is off.
    #[cfg(feature = "metrics")]
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.tokens.as_ref().map(|tokens| Usage {
            hits: self.hits.read(),
            misses: self.misses.read(),
            bytes: tokens.weight(),
            entries: tokens.len() as u64,
        })
    }
}

impl<C> fmt::Debug for TokenCache<C> {
    /// Does not show tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").finish_non_exhaustive()
    }
}

struct Entry<C> {
    token: VerifiedToken<C>,
    size: u64,
}

impl<C> Clone for Entry<C> {
    fn clone(&self) -> Self {
        Self { token: self.token.clone(), size: self.size }
    }
}

/// A token's text. It is compared byte by byte. Only its end is hashed: the cache has only verified tokens, which end
/// with a signature, and no two signatures are alike.
struct Token<T>(T);

impl<T: AsRef<[u8]>> Hash for Token<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let text = self.0.as_ref();
        state.write(text.last_chunk::<HASHED>().map_or(text, |end| end));
    }
}

/// The length of the shortest signature that is allowed: HMAC with SHA-256.
const HASHED: usize = 43;

impl Equivalent<Token<Box<[u8]>>> for Token<&[u8]> {
    fn equivalent(&self, other: &Token<Box<[u8]>>) -> bool {
        *self.0 == *other.0
    }
}

impl PartialEq for Token<Box<[u8]>> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Token<Box<[u8]>> {}

/// Weighs entries in bytes.
#[derive(Clone, Copy)]
struct Size;

impl<C> Weighter<Token<Box<[u8]>>, Entry<C>> for Size {
    fn weight(&self, _: &Token<Box<[u8]>>, entry: &Entry<C>) -> u64 {
        entry.size
    }
}

/// The maximum number of bytes that claims use in addition to their text: short names and values use more memory than
/// their length.
fn structure(claims: &str) -> usize {
    claims.bytes().fold(0, |size, byte| match byte {
        b'{' | b'[' => size + PER_CONTAINER,
        b',' => size + PER_VALUE,
        _ => size,
    })
}

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use futures_util::FutureExt;
    use jsonwebtoken::{Algorithm as Theirs, EncodingKey};

    use super::*;
    use crate::{
        Authenticator, Issuer, Key,
        claims::{ManualClock, NoClaims},
    };

    /// A token with these members in addition to the required ones, and its verified form.
    fn verified(members: &str) -> (String, VerifiedToken<NoClaims>) {
        let claims = format!(r#"{{"iss":"https://issuer.example","exp":1800000060{members}}}"#);
        let head = format!("eyJhbGciOiJIUzI1NiJ9.{}", URL_SAFE_NO_PAD.encode(claims));
        let key = EncodingKey::from_secret(&[7; 32]);
        let signature = jsonwebtoken::crypto::sign(head.as_bytes(), &key, Theirs::HS256).unwrap();
        let token = format!("{head}.{signature}");
        let key = Key::hs256([7; 32]).unwrap();
        let authenticator = Authenticator::builder()
            .claims()
            .issuer(Issuer::new("https://issuer.example", key).allow_any_audience())
            .with_clock(ManualClock::at(crate::UnixTime::from_secs(1_800_000_000)))
            .build()
            .unwrap();
        let user = authenticator.authenticate(&token).now_or_never().unwrap().unwrap();
        (token, user.token().clone())
    }

    /// The bytes that the cache counts for a token of this text, computed from how many of them fit into the cache.
    fn size_of_each(token: &str, verified: &VerifiedToken<NoClaims>) -> usize {
        const CAPACITY: usize = 4 << 20;
        let cache = TokenCache::new(CAPACITY as u64, true);
        let text = |number: usize| format!("{}{number:06}", &token[..token.len() - 6]);
        for number in 0..4_000 {
            cache.remember(text(number).as_bytes(), verified);
        }
        CAPACITY / (0..4_000).filter(|number| cache.get(text(*number).as_bytes()).is_some()).count()
    }

    #[test]
    fn the_cache_holds_as_many_tokens_as_their_sizes_allow() {
        let long = format!(r#","x":"{}""#, "x".repeat(3_000));
        let many = format!(r#","x":[{}0]"#, "0,".repeat(200));
        let nested = format!(r#","x":[{}0]"#, "[0],{},".repeat(10));
        for (members, containers, values) in
            [(",\"x\":0", 0, 2), (&long, 0, 2), (&many, 1, 202), (&nested, 21, 22)]
        {
            let (token, verified) = verified(members);
            let claims = verified.registered().as_json().len();
            // Untyped claims use a little more.
            let said = token.len() + 2 * claims + 1_100 + 700 * containers + 40 * values;
            let taken = size_of_each(&token, &verified);
            assert!((said * 4 / 5..said * 6 / 5).contains(&taken), "{said} {taken}");
        }
    }

    #[test]
    fn a_text_that_differs_in_one_byte_is_another_token() {
        let (token, verified) = verified("");
        let cache = TokenCache::new(1 << 20, true);
        cache.remember(token.as_bytes(), &verified);
        assert!(cache.get(token.as_bytes()).is_some());
        for place in 0..token.len() {
            let mut other = token.clone().into_bytes();
            other[place] ^= 1;
            assert!(cache.get(&other).is_none(), "{place}");
            assert!(Token(other.into()) != Token(Box::from(token.as_bytes())), "{place}");
        }
        assert!(Token(Box::from(token.as_bytes())) == Token(Box::from(token.as_bytes())));
        cache.forget(token.as_bytes());
        assert!(cache.get(token.as_bytes()).is_none());
    }
}
