//! Nonces of the server (RFC 9449 section 9): the client must have talked to this service a short time ago.
//!
//! No state is kept. A nonce is its date and a message authentication code of it.

use std::{fmt, time::Duration};

use base64_simd::URL_SAFE_NO_PAD;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::{ConfigError, UnixTime, jws};

/// How long a nonce is accepted at least.
const LIFETIME: Duration = Duration::from_secs(300);

/// A new nonce is made once in this time. A nonce is accepted for up to this time longer than [`LIFETIME`].
const STEP_SECONDS: u64 = 10;

/// How far the clock of another process of the fleet may be ahead.
const LEEWAY: Duration = Duration::from_secs(30);

/// The time for which one derived key makes nonces, in seconds.
const PERIOD_SECONDS: u64 = 3600;

/// The key from which nonces are made. All processes that serve one public URL must have the same key.
///
/// The key of each hour is derived from it. A nonce lives for 5 minutes, and up to 10 seconds longer.
#[derive(Clone)]
pub struct NonceKey(Zeroizing<[u8; 32]>);

impl NonceKey {
    /// A random key, for one process. Its nonces are not accepted by other processes, nor after a restart. Clients then
    /// get a new nonce with the 401.
    ///
    /// # Errors
    /// [`ConfigError::NoRandomness`] if the system has no random bytes.
    pub fn random() -> Result<Self, ConfigError> {
        let mut key = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *key).map_err(|_| ConfigError::NoRandomness)?;
        Ok(Self(key))
    }

    /// The key with these bytes, from a random generator.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads a key from base64url without padding, as in `openssl rand 32 | basenc --base64url | tr -d =`.
    ///
    /// # Errors
    /// [`ConfigError::InvalidDpop`] if the text is not base64url of 32 bytes. The error does not contain the text.
    pub fn from_base64url(text: &str) -> Result<Self, ConfigError> {
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(text).map(Zeroizing::new).ok();
        let key = bytes.and_then(|bytes| bytes.as_slice().try_into().ok());
        key.map(Self::from_bytes).ok_or(ConfigError::InvalidDpop(
            "a nonce key of 32 bytes, as base64url without padding",
        ))
    }

    /// The nonce for clients at this time.
    pub(super) fn current(&self, now: UnixTime) -> String {
        self.nonce(now.as_secs() / STEP_SECONDS)
    }

    /// The header with the nonce of this time.
    pub(crate) fn header(&self, now: UnixTime) -> HeaderValue {
        // base64url is a valid header value.
        HeaderValue::try_from(self.current(now)).unwrap_or_else(|_| HeaderValue::from_static(""))
    }

    pub(super) fn accept(&self, nonce: Option<&str>, now: UnixTime) -> bool {
        let Some(nonce) = nonce else { return false };
        let Some(step) = step_of(nonce) else { return false };
        let (Some(begin), Some(end)) =
            (step.checked_mul(STEP_SECONDS), (step.saturating_add(1)).checked_mul(STEP_SECONDS))
        else {
            return false;
        };
        let is_current =
            UnixTime::from_secs(begin) <= now + LEEWAY && now < UnixTime::from_secs(end) + LIFETIME;
        // The code is compared by its SHA-256, so the time of the comparison tells nothing about the code.
        is_current && jws::sha256(nonce.as_bytes()) == jws::sha256(self.nonce(step).as_bytes())
    }

    fn nonce(&self, step: u64) -> String {
        let period = step / (PERIOD_SECONDS / STEP_SECONDS);
        let mut label = *b"tower-bearer: DPoP nonces\0\0\0\0\0\0\0\0";
        if let Some(end) = label.last_chunk_mut() {
            *end = period.to_be_bytes();
        }
        let key = Zeroizing::new(jws::hmac_sha256(&*self.0, &label));
        let step = step.to_be_bytes();
        let code = jws::hmac_sha256(&*key, &step);
        let mut bytes = [0; 24];
        let (date, tag) = bytes.split_at_mut(step.len());
        date.copy_from_slice(&step);
        for (byte, code) in tag.iter_mut().zip(code) {
            *byte = code;
        }
        URL_SAFE_NO_PAD.encode_to_string(bytes)
    }
}

/// The date in a nonce, which is not verified yet.
fn step_of(nonce: &str) -> Option<u64> {
    let mut bytes = [0; 24];
    // Longer texts are not nonces.
    if nonce.len() != 32 {
        return None;
    }
    let decoded = URL_SAFE_NO_PAD.decode_to_vec(nonce).ok()?;
    bytes.copy_from_slice(decoded.get(..24)?);
    bytes.first_chunk().copied().map(u64::from_be_bytes)
}

impl fmt::Debug for NonceKey {
    /// Does not show the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NonceKey(..)")
    }
}

#[cfg(all(test, any(feature = "aws-lc-rs", feature = "rust-crypto")))]
mod tests {
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    #[test]
    fn a_nonce_is_accepted_for_five_minutes() {
        let key = NonceKey::from_bytes([7; 32]);
        let nonce = key.current(NOW);
        let is_accepted = |seconds| key.accept(Some(&nonce), NOW + Duration::from_secs(seconds));
        assert!(is_accepted(0) && is_accepted(300) && is_accepted(309));
        assert!(!is_accepted(310) && !is_accepted(1_000_000));
    }

    #[test]
    fn a_nonce_from_a_clock_that_is_ahead_is_accepted_within_30_seconds() {
        let key = NonceKey::from_bytes([7; 32]);
        assert!(key.accept(Some(&key.current(NOW + Duration::from_secs(30))), NOW));
        assert!(!key.accept(Some(&key.current(NOW + Duration::from_secs(40))), NOW));
    }

    #[test]
    fn missing_forged_and_foreign_nonces_are_rejected() {
        let key = NonceKey::from_bytes([7; 32]);
        let nonce = key.current(NOW);
        assert!(!key.accept(None, NOW));
        for place in 0..nonce.len() {
            let mut forged = nonce.clone().into_bytes();
            forged[place] = if forged[place] == b'A' { b'B' } else { b'A' };
            assert!(!key.accept(str::from_utf8(&forged).ok(), NOW), "{place}");
        }
        let other = NonceKey::from_bytes([8; 32]).current(NOW);
        let long = nonce.repeat(100);
        for text in ["", "x", &long, &other, &nonce[1..], &format!("{nonce}=")] {
            assert!(!key.accept(Some(text), NOW), "{text}");
        }
    }

    #[test]
    fn a_fleet_with_one_key_accepts_the_nonces_of_each_process_across_periods() {
        let text = URL_SAFE_NO_PAD.encode_to_string([7; 32]);
        let (own, other) =
            (NonceKey::from_bytes([7; 32]), NonceKey::from_base64url(&text).unwrap());
        for seconds in [0, 3_000, 3_590, 3_599, 3_600] {
            let time = UnixTime::from_secs(1_800_000_000 + seconds);
            assert!(own.accept(Some(&other.current(time)), time + Duration::from_secs(200)));
        }
        assert!(!own.accept(Some(&NonceKey::random().unwrap().current(NOW)), NOW));
    }

    #[test]
    fn a_key_of_another_length_is_an_error_that_does_not_show_it() {
        for text in ["", "c2VjcmV0", "****", &URL_SAFE_NO_PAD.encode_to_string([7; 33])] {
            let error = NonceKey::from_base64url(text).unwrap_err().to_string();
            assert!(error.contains("32 bytes") && !error.contains("c2Vj"), "{error}");
        }
        assert_eq!(format!("{:?}", NonceKey::from_bytes([7; 32])), "NonceKey(..)");
    }
}
