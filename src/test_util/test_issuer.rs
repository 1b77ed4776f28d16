//! An issuer in memory, for the tests of services, with the authenticator and the layer that trust it. It makes valid
//! and invalid tokens.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use http::HeaderValue;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::ProofKey;
use crate::{
    Algorithm, Authenticated, Authenticator, AuthenticatorBuilder, BearerLayer, Issuer,
    claims::{Clock, MAX_LEEWAY, SystemClock},
    client_certificate::ClientCertificate,
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
/// let rejected = authenticator.authenticate(&token).await.unwrap_err();
/// assert_eq!(rejected.kind(), RejectionKind::Expired);
/// # Ok(()) }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
#[derive(Clone)]
#[must_use]
pub struct TestIssuer {
    name: Arc<str>,
    audience: Arc<str>,
    pub(super) key: SigningKey,
    pub(super) clock: Arc<dyn Clock>,
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
        builder.build().expect("the name and the audience of a `TestIssuer` must not be empty")
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
}

/// A new random key.
#[track_caller]
pub(super) fn new_key(algorithm: Algorithm) -> SigningKey {
    match SigningKey::generate(algorithm) {
        Ok(key) => key,
        Err(error) => panic!("cannot make a {} key for a test: {error}", algorithm.name()),
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
#[must_use = "a `TestToken` does nothing until `issue` or `bearer`"]
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
    fn new(issuer: TestIssuer) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);

        let now = issuer.clock.now().as_secs();
        let mut claims = Map::new();
        claims.insert("iss".into(), (*issuer.name).into());
        claims.insert("aud".into(), (*issuer.audience).into());
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
            _ => {
                panic!("the claims are not a JSON object: pass a struct, a map or a JSON object")
            }
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
        let issued_at = issued_at
            .expect("the clock of the `TestIssuer` is too close to 1970 for an expired token");
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

    /// Binds the token to a key (RFC 9449 section 6.1). It is accepted only with a proof by this key, and only by a
    /// layer [with DPoP](crate::BearerLayer::with_dpop). Call [`issue`](Self::issue) once, and use its text for the request
    /// and the proof: each call can make another signature, and a proof is for one text.
    pub fn bound_to_key(self, key: &ProofKey) -> Self {
        self.claim("cnf", serde_json::json!({ "jkt": key.thumbprint() }))
    }

    /// Binds the token to a client certificate (RFC 8705 section 3.1).
    pub fn bound_to_certificate(self, certificate: ClientCertificate) -> Self {
        let thumbprint = certificate.thumbprint().to_string();
        self.claim("cnf", serde_json::json!({ "x5t#S256": thumbprint }))
    }

    /// Sets `status` to an entry of the status list at this URL (draft-ietf-oauth-status-list-20 section 6.2).
    #[cfg(feature = "jwks")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
    pub fn with_status_entry(self, uri: &str, index: u64) -> Self {
        self.claim("status", serde_json::json!({ "status_list": { "idx": index, "uri": uri } }))
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
        let issuer = &self.issuer.key;
        let sign = |key: &SigningKey, payload: &str| {
            key.sign(&self.typ, payload).expect("the cryptographic backend cannot sign")
        };
        match self.signature {
            Signature::Good => sign(issuer, &payload),
            Signature::OfUnknownKey => sign(&new_key(issuer.algorithm()), &payload),
            Signature::OfOtherBytes => {
                let (token, other) = (sign(issuer, &payload), sign(issuer, "{}"));
                let [token, other] = [&token, &other].map(|token| token.rsplit_once('.'));
                let (token, other) = token.zip(other).expect("a signed token has dots");
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
        let mut value = value.expect("a token can be a header value");
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
        match verdict
            .expect("an authenticator without revocation and with local keys does not wait")
        {
            Ok(user) => user,
            Err(rejection) => {
                panic!("the authenticator rejects this `TestToken`: {}", rejection.kind())
            }
        }
    }
}

/// One second more than the longest leeway that a policy may have.
fn beyond_leeway() -> u64 {
    MAX_LEEWAY.as_secs() + 1
}

#[track_caller]
pub(super) fn to_json(value: impl Serialize) -> Value {
    match serde_json::to_value(value) {
        Ok(value) => value,
        // The error may repeat the value.
        Err(_) => panic!("the value of a claim cannot be serialized as JSON"),
    }
}

impl fmt::Debug for TestToken {
    /// Shows no claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestToken").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
