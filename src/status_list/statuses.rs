//! One signed status list: its checks, and the status of an index.

use std::time::Duration;

use super::INFLATED_TOO_LONG;
use crate::{
    KeySet, RejectionKind, UnixTime,
    claims::{ClaimsSet, DEFAULT_LEEWAY, Registered},
    json::{Object, Value},
    jws::{JwsError, decode_base64url},
};

/// The `typ` of a list.
pub(crate) const TYP: &str = "statuslist+jwt";

/// The content of a list.
pub(super) struct Statuses {
    /// 1, 2, 4 or 8.
    bits: u8,
    bytes: Vec<u8>,
    pub(super) issued_at: UnixTime,
    /// After this the list must not be used.
    pub(super) expires_at: Option<UnixTime>,
    /// How long the list may be cached after it was fetched.
    pub(super) time_to_live: Option<Duration>,
}

/// Why a list cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// The keys do not have the key that signed it.
    UnknownKey,
    /// Names what was expected.
    Because(&'static str),
}

impl Statuses {
    /// Verifies a list and reads it (draft-ietf-oauth-status-list-20 sections 5.1 and 8.3). The inflated list has at
    /// most `max_size` bytes.
    pub(super) fn read(
        document: &[u8],
        uri: &str,
        keys: &KeySet,
        now: UnixTime,
        max_size: usize,
    ) -> Result<Self, Unreadable> {
        let payload = keys.verify_compact_of_type(TYP, document).map_err(|error| match error {
            JwsError::UnknownKey => Unreadable::UnknownKey,
            JwsError::UnexpectedType => {
                Unreadable::Because("`typ` with the value `statuslist+jwt`")
            }
            JwsError::BadSignature | JwsError::AlgorithmMismatch => {
                Unreadable::Because("a signature by a key of the issuer")
            }
            _ => Unreadable::Because("a compact JWS with a supported header"),
        })?;
        let text = String::from_utf8(payload).map_err(|_| Unreadable::Because(CLAIMS))?;
        let mut claims = ClaimsSet::unread(&text);
        claims.read().ok_or(Unreadable::Because(CLAIMS))?;
        Self::of_claims(&claims, uri, now, max_size)
    }

    fn of_claims(
        claims: &ClaimsSet<'_>,
        uri: &str,
        now: UnixTime,
        max_size: usize,
    ) -> Result<Self, Unreadable> {
        let is_of_uri =
            claims.string(Registered::Sub).is_ok_and(|sub| sub.is_some_and(|sub| sub.is(uri)));
        if !is_of_uri {
            return Err(Unreadable::Because("`sub` equal to the URL of the list"));
        }
        let date = |claim| {
            claims.numeric_date(claim).map_err(|_| Unreadable::Because("dates that are numbers"))
        };
        let latest = now + DEFAULT_LEEWAY;
        let issued_at = date(Registered::Iat)?.filter(|issued_at| *issued_at <= latest);
        let issued_at = issued_at.ok_or(Unreadable::Because("`iat`, not in the future"))?;
        if date(Registered::Nbf)?.is_some_and(|not_before| not_before > latest) {
            return Err(Unreadable::Because("`nbf`, not in the future"));
        }
        let expires_at = date(Registered::Exp)?;
        if expires_at.is_some_and(|expires_at| now >= expires_at) {
            return Err(Unreadable::Because("`exp` in the future"));
        }
        let time_to_live = match claims.members().get("ttl") {
            None => None,
            Some(ttl) => {
                Some(positive_seconds(ttl).ok_or(Unreadable::Because("`ttl` above zero"))?)
            }
        };
        let Some(Value::Object(list)) = claims.members().get("status_list") else {
            return Err(Unreadable::Because("an object `status_list`"));
        };
        let list = Object::parse(list).ok_or(Unreadable::Because(CLAIMS))?;
        let bits = match list.get("bits") {
            Some(Value::Number("1")) => 1,
            Some(Value::Number("2")) => 2,
            Some(Value::Number("4")) => 4,
            Some(Value::Number("8")) => 8,
            _ => return Err(Unreadable::Because("`bits` of 1, 2, 4 or 8")),
        };
        let text = list.get("lst").and_then(Value::as_cow).ok_or(Unreadable::Because(BASE64URL))?;
        let deflated = decode_base64url(text.as_bytes()).ok_or(Unreadable::Because(BASE64URL))?;
        Ok(Self { bits, bytes: inflate(&deflated, max_size)?, issued_at, expires_at, time_to_live })
    }

    /// The status at this index, or `None` if the list is too short.
    pub(super) fn at(&self, index: u64) -> Option<u8> {
        let in_a_byte = u64::from(8 / self.bits);
        let byte = self.bytes.get(usize::try_from(index / in_a_byte).ok()?)?;
        // The least significant bits come first (section 4.1).
        let shift = (index % in_a_byte) * u64::from(self.bits);
        Some((byte >> shift) & (u8::MAX >> (8 - self.bits)))
    }

    /// Whether a token with this index is valid (section 7.1).
    pub(super) fn check(&self, index: u64) -> Result<(), RejectionKind> {
        match self.at(index) {
            Some(0) => Ok(()),
            Some(1) => Err(RejectionKind::StatusInvalid),
            Some(2) => Err(RejectionKind::StatusSuspended),
            Some(_) => Err(RejectionKind::StatusOther),
            None => Err(RejectionKind::StatusIndexOutOfRange),
        }
    }

    pub(super) fn is_expired(&self, now: UnixTime) -> bool {
        self.expires_at.is_some_and(|expires_at| now >= expires_at)
    }
}

const CLAIMS: &str = "claims that are a strict JSON object";
const BASE64URL: &str = "`lst` as base64url without padding";

/// Inflates a zlib stream. Stops at `max_size` bytes, before a small stream can fill the memory.
fn inflate(deflated: &[u8], max_size: usize) -> Result<Vec<u8>, Unreadable> {
    use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_zlib_with_limit};

    decompress_to_vec_zlib_with_limit(deflated, max_size).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => Unreadable::Because(INFLATED_TOO_LONG),
        _ => Unreadable::Because("`lst` with zlib data"),
    })
}

fn positive_seconds(value: Value<'_>) -> Option<Duration> {
    let Value::Number(text) = value else { return None };
    // A longer time is cut to a day anyway.
    let seconds: f64 = text.parse().ok().filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds.min(1e9)).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;

    const URL: &str = "https://issuer.example/lists/1";

    #[derive(serde::Deserialize)]
    struct Vectors {
        lists: Vec<Vector>,
    }

    #[derive(serde::Deserialize)]
    struct Vector {
        bits: u8,
        length: u64,
        lst: String,
        /// Other statuses are 0.
        statuses: BTreeMap<u64, u8>,
    }

    fn vectors() -> Vec<Vector> {
        let text = include_str!("../../tests/fixtures/status_list/vectors.json");
        serde_json::from_str::<Vectors>(text).unwrap().lists
    }

    fn read(status_list: &str, max_size: usize) -> Result<Statuses, Unreadable> {
        let text = format!(r#"{{"sub":"{URL}","iat":1,"status_list":{status_list}}}"#);
        let mut claims = ClaimsSet::unread(&text);
        claims.read().unwrap();
        Statuses::of_claims(&claims, URL, UnixTime::from_secs(1), max_size)
    }

    #[test]
    fn every_status_of_the_vectors_of_the_draft_is_read() {
        let vectors = vectors();
        assert_eq!(
            vectors.iter().map(|vector| vector.bits).collect::<Vec<_>>(),
            [1, 2, 1, 2, 4, 8]
        );
        for Vector { bits, length, lst, statuses } in vectors {
            let list = read(&format!(r#"{{"bits":{bits},"lst":"{lst}"}}"#), 1 << 20).unwrap();
            for index in 0..length {
                let expected = statuses.get(&index).copied().unwrap_or(0);
                assert_eq!(list.at(index), Some(expected), "{bits} bits, index {index}");
            }
            for index in [length, length + 1, u64::from(u32::MAX) + 1, u64::MAX] {
                assert_eq!(list.at(index), None, "{bits} bits, index {index}");
                assert_eq!(list.check(index), Err(RejectionKind::StatusIndexOutOfRange));
            }
        }
    }

    #[test]
    fn only_status_0_is_valid() {
        let vector = &vectors()[5];
        let list = read(&format!(r#"{{"bits":8,"lst":"{}"}}"#, vector.lst), 1 << 20).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for (index, status) in &vector.statuses {
            seen.insert(*status);
            let expected = match status {
                0 => Ok(()),
                1 => Err(RejectionKind::StatusInvalid),
                2 => Err(RejectionKind::StatusSuspended),
                _ => Err(RejectionKind::StatusOther),
            };
            assert_eq!(list.check(*index), expected, "{status}");
        }
        assert_eq!(seen.len(), 255);
        assert_eq!(list.check(1), Ok(()));
    }

    #[test]
    fn inflating_stops_at_the_limit() {
        const LIMIT: usize = 1 << 16;
        let inflated = |length: usize| inflate(&compress_to_vec_zlib(&vec![0; length], 9), LIMIT);
        assert_eq!(inflated(LIMIT).map(|bytes| bytes.len()), Ok(LIMIT));
        for length in [LIMIT + 1, 100 * LIMIT] {
            assert_eq!(inflated(length), Err(Unreadable::Because(INFLATED_TOO_LONG)), "{length}");
        }
    }

    #[test]
    fn data_that_is_not_zlib_is_rejected() {
        let good = compress_to_vec_zlib(&[7; 100], 9);
        assert_eq!(inflate(&good, 100), Ok(vec![7; 100]));
        let mut bad_checksum = good.clone();
        *bad_checksum.last_mut().unwrap() ^= 1;
        let raw_deflate = &good[2..];
        for data in [b"".as_slice(), b"x", &good[..good.len() - 1], &bad_checksum, raw_deflate] {
            let rejected = inflate(data, 100).unwrap_err();
            assert_eq!(rejected, Unreadable::Because("`lst` with zlib data"), "{data:?}");
        }
    }
}
