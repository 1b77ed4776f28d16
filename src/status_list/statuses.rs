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
    /// Verifies a list and reads it (draft-ietf-oauth-status-list-20 sections 5.1 and 8.3). The inflated list has at most
    /// `max_size` bytes.
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
