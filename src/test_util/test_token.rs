//! Valid and invalid tokens, for tests.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use http::HeaderValue;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{TestIssuer, test_issuer::new_key};
use crate::{Authenticated, claims::MAX_LEEWAY, jws::SigningKey};

/// The default lifetime of a token, in seconds.
const LIFETIME: u64 = 3600;

/// A builder of a token, from [`TestIssuer::token`].
///
/// It starts as a valid token: `iss` and `aud` are the issuer's, `sub` is `test-user`, `iat` is now, `exp` is in an
/// hour, `jti` is unique, and the header's `typ` is `at+jwt`. Each method changes one thing, so a rejected token is
/// rejected for this reason only:
///
/// | | [`RejectionKind`](crate::RejectionKind) under the default policy |
/// |---|---|
/// | [`expired`](Self::expired) | `Expired` |
/// | [`not_yet_valid`](Self::not_yet_valid) | `NotYetValid` |
/// | [`for_audience`](Self::for_audience) with another audience | `WrongAudience` |
/// | [`with_bad_signature`](Self::with_bad_signature) | `BadSignature` |
/// | [`of_unknown_key`](Self::of_unknown_key) | `UnknownKey` |
/// | [`without`](Self::without) `exp`, `iss` or `aud` | `MissingClaim` |
/// | [`claim`](Self::claim)`("iss", "https://other.test")` | `UnknownIssuer` |
/// | [`with_typ`](Self::with_typ)`("dpop+jwt")` | `WrongType` |
///
/// A client gets the same 401 for all of them. So assert on the status. The kind is in the extensions of the response.
#[derive(Clone)]
#[must_use = "a token in the making does nothing until `issue` or `bearer`"]
pub struct TestToken {
    issuer: TestIssuer,
    now: u64,
    typ: String,
    claims: Map<String, Value>,
    signature: Signature,
}

#[derive(Clone, Copy)]
enum Signature {
    Good,
    OfOtherBytes,
    OfUnknownKey,
}

impl TestToken {
    pub(super) fn new(issuer: TestIssuer) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);

        let now = issuer.now().as_secs();
        let mut claims = Map::new();
        claims.insert("iss".into(), issuer.name().into());
        claims.insert("aud".into(), issuer.audience().into());
        let token = Self { issuer, now, typ: "at+jwt".into(), claims, signature: Signature::Good };
        token
            .subject("test-user")
            .claim("iat", now)
            .expires_in(Duration::from_secs(LIFETIME))
            .claim("jti", format!("test-token-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    /// Sets `sub`.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.claim("sub", subject.into())
    }

    /// Sets `scope`: one scope, or several separated by spaces.
    pub fn scope(self, scope: impl Into<String>) -> Self {
        self.claim("scope", scope.into())
    }

    /// Sets a claim. Replaces an earlier value.
    ///
    /// # Panics
    /// If `value` cannot be JSON.
    #[track_caller]
    pub fn claim(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.claims.insert(name.into(), to_json(value));
        self
    }

    /// Sets every member of an object as a claim, such as the service's own type or a `serde_json::json!`.
    ///
    /// # Panics
    /// If `claims` is not a JSON object.
    #[track_caller]
    pub fn claims(mut self, claims: impl Serialize) -> Self {
        match to_json(claims) {
            Value::Object(members) => self.claims.extend(members),
            _ => panic!("claims that are no object"),
        }
        self
    }

    /// Removes a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets `exp` to this long after the call of [`TestIssuer::token`], in whole seconds. Default: an hour.
    pub fn expires_in(self, lifetime: Duration) -> Self {
        let expires_at = self.now.saturating_add(lifetime.as_secs());
        self.claim("exp", expires_at)
    }

    /// Sets `exp` and `iat` so far in the past that no leeway covers `exp`.
    ///
    /// # Panics
    /// If the issuer's clock is so close to 1970 that there is no such time.
    #[track_caller]
    pub fn expired(self) -> Self {
        let issued_at = self.now.checked_sub(beyond_leeway() + LIFETIME);
        let issued_at = issued_at.expect("a clock past the first hours of 1970");
        self.claim("iat", issued_at).claim("exp", issued_at + LIFETIME)
    }

    /// Sets `nbf` so far in the future that no leeway covers it.
    pub fn not_yet_valid(self) -> Self {
        let not_before = self.now.saturating_add(beyond_leeway());
        self.claim("nbf", not_before)
    }

    /// Sets `aud`.
    pub fn for_audience(self, audience: impl Into<String>) -> Self {
        self.claim("aud", audience.into())
    }

    /// Sets the header's `typ`, a plain text without quotes and backslashes.
    pub fn with_typ(mut self, typ: impl Into<String>) -> Self {
        self.typ = typ.into();
        self
    }

    /// Gives the token a signature of the issuer's key over other bytes.
    pub fn with_bad_signature(mut self) -> Self {
        self.signature = Signature::OfOtherBytes;
        self
    }

    /// Signs the token with a key that the issuer does not have. The `kid` in the header is new too.
    pub fn of_unknown_key(mut self) -> Self {
        self.signature = Signature::OfUnknownKey;
        self
    }

    /// The token in compact form.
    ///
    /// # Panics
    /// If the backend cannot sign.
    #[must_use]
    #[track_caller]
    pub fn issue(&self) -> String {
        let payload = Value::from(self.claims.clone()).to_string();
        let issuer = self.issuer.key();
        let sign = |key: &SigningKey, payload: &str| {
            key.sign(&self.typ, payload).expect("a backend that signs")
        };
        match self.signature {
            Signature::Good => sign(issuer, &payload),
            Signature::OfUnknownKey => sign(&new_key(issuer.algorithm()), &payload),
            Signature::OfOtherBytes => {
                let (token, other) = (sign(issuer, &payload), sign(issuer, "{}"));
                let [token, other] = [&token, &other].map(|token| token.rsplit_once('.'));
                let (token, other) = token.zip(other).expect("a compact JWS has dots");
                format!("{}.{}", token.0, other.1)
            }
        }
    }

    /// The token as the value of `Authorization`, marked as sensitive.
    ///
    /// # Panics
    /// Like [`issue`](Self::issue).
    #[must_use]
    #[track_caller]
    pub fn bearer(&self) -> HeaderValue {
        let value = HeaderValue::try_from(format!("Bearer {}", self.issue()));
        let mut value = value.expect("base64url and dots");
        value.set_sensitive(true);
        value
    }

    /// The user that the issuer's own [`authenticator`](TestIssuer::authenticator) makes from the token. Use it for
    /// handlers that are called without HTTP, and for [`FixedUserLayer`](super::FixedUserLayer).
    ///
    /// # Panics
    /// If the token is rejected. The panic names the rejection kind.
    #[must_use]
    #[track_caller]
    pub fn authenticated<C>(&self) -> Authenticated<C>
    where
        C: DeserializeOwned + Send + Sync + 'static,
    {
        let token = self.issue();
        let authenticator = self.issuer.authenticator();
        let verdict = authenticator.authenticate(&token).now_or_never();
        match verdict.expect("there is no store to wait for") {
            Ok(user) => user,
            Err(refused) => panic!("the token of the test is refused: {}", refused.kind()),
        }
    }
}

/// One second more than the longest leeway that a policy may have.
fn beyond_leeway() -> u64 {
    MAX_LEEWAY.as_secs() + 1
}

#[track_caller]
fn to_json(value: impl Serialize) -> Value {
    match serde_json::to_value(value) {
        Ok(value) => value,
        // The error may repeat the value.
        Err(_) => panic!("a claim that cannot be JSON"),
    }
}

impl fmt::Debug for TestToken {
    /// Shows no claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestToken").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
