//! Keys of DPoP clients and proofs by them, for the tests of services.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use base64_simd::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::Serialize;
use serde_json::{Map, Value};

use super::test_issuer::{new_key, to_json};
use crate::{
    Algorithm,
    claims::{Clock, SystemClock},
    jws::{self, SigningKey},
};

/// The key of a client that sends DPoP proofs (RFC 9449), for tests.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::convert::Infallible;
/// use http::{Request, Response, header::AUTHORIZATION};
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_bearer::{BearerLayer, dpop::Dpop, test_util::{ProofKey, TestIssuer}};
///
/// let issuer = TestIssuer::new();
/// let layer: BearerLayer = issuer.layer().with_dpop(Dpop::new(["https://api.example"])?);
/// let app = layer.layer(service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(()))));
///
/// let key = ProofKey::new();
/// let token = issuer.token().bound_to_key(&key).issue();
/// let request = |proof| {
///     let request = Request::get("/orders").header(AUTHORIZATION, format!("DPoP {token}"));
///     request.header("DPoP", proof).body(String::new()).unwrap()
/// };
///
/// let proof = key.proof("GET", "https://api.example/orders", &token);
/// assert_eq!(app.clone().oneshot(request(proof.value())).await?.status(), 200);
/// // The same `jti` again.
/// assert_eq!(app.clone().oneshot(request(proof.value())).await?.status(), 401);
///
/// let other = key.proof("POST", "https://api.example/orders", &token);
/// assert_eq!(app.oneshot(request(other.value())).await?.status(), 401);
/// # Ok(()) }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
#[derive(Clone)]
#[must_use]
pub struct ProofKey {
    key: SigningKey,
    clock: Arc<dyn Clock>,
}

impl ProofKey {
    /// A new ES256 key.
    ///
    /// # Panics
    /// Without a backend, or if the system cannot provide random bytes.
    #[track_caller]
    pub fn new() -> Self {
        Self { key: new_key(Algorithm::ES256), clock: Arc::new(SystemClock) }
    }

    /// Sets the key that signs. Default: a new ES256 key.
    pub fn with_key(mut self, key: SigningKey) -> Self {
        self.key = key;
        self
    }

    /// Takes the time from `clock`. Default: [`SystemClock`].
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The RFC 7638 thumbprint, as in `cnf.jkt`.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.key.verifying_key().thumbprint().to_owned()
    }

    /// A valid proof for a request with this method and URL and this token, to start from.
    ///
    /// # Panics
    /// If the key is an HMAC secret.
    #[track_caller]
    pub fn proof(&self, method: &str, url: &str, token: &str) -> TestProof {
        static NUMBER: AtomicU64 = AtomicU64::new(1);

        let jwk = self.key.public_jwk_json().expect("the key of a proof is not an HMAC secret");
        let proof = TestProof { key: self.key.clone(), header: Map::new(), claims: Map::new() };
        let hash = URL_SAFE_NO_PAD.encode_to_string(jws::sha256(token.as_bytes()));
        proof
            .header("typ", "dpop+jwt")
            .header("alg", self.key.algorithm().name())
            .header("jwk", serde_json::from_str::<Value>(&jwk).expect("a JWK is JSON"))
            .claim("jti", format!("test-proof-{}", NUMBER.fetch_add(1, Ordering::Relaxed)))
            .claim("htm", method)
            .claim("htu", url)
            .claim("iat", self.clock.now().as_secs())
            .claim("ath", hash)
    }
}

impl Default for ProofKey {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ProofKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProofKey").finish_non_exhaustive()
    }
}

/// A builder of a DPoP proof, from [`ProofKey::proof`].
///
/// It starts as a valid proof: `typ`, `alg` and `jwk` in the header, and the claims `jti` (unique), `htm`, `htu`, `iat`
/// (now) and `ath`. Each method changes one thing, so a rejected proof is rejected for this reason only.
#[derive(Clone)]
#[must_use = "a `TestProof` does nothing until `issue` or `value`"]
pub struct TestProof {
    key: SigningKey,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl TestProof {
    /// Sets a claim. Replaces an earlier value.
    ///
    /// # Panics
    /// If `value` cannot be JSON.
    #[track_caller]
    pub fn claim(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.claims.insert(name.into(), to_json(value));
        self
    }

    /// Removes a claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// Sets a member of the header. Replaces an earlier value.
    ///
    /// # Panics
    /// If `value` cannot be JSON.
    #[track_caller]
    pub fn header(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.header.insert(name.into(), to_json(value));
        self
    }

    /// Removes a member of the header.
    pub fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// Sets `nonce`.
    pub fn with_nonce(self, nonce: impl Into<String>) -> Self {
        self.claim("nonce", nonce.into())
    }

    /// Signs with another key. The header still has the first one.
    pub fn signed_by(mut self, other: &ProofKey) -> Self {
        self.key = other.key.clone();
        self
    }

    /// The proof in compact form. The same proof has the same text each time if its algorithm is deterministic.
    ///
    /// # Panics
    /// If the backend cannot sign.
    #[must_use]
    #[track_caller]
    pub fn issue(&self) -> String {
        let [header, claims] = [&self.header, &self.claims].map(|map| Value::from(map.clone()));
        let proof = self.key.sign_with_header(&header.to_string(), &claims.to_string());
        proof.expect("the cryptographic backend cannot sign")
    }

    /// The proof as the value of the header `DPoP`.
    ///
    /// # Panics
    /// Like [`issue`](Self::issue).
    #[must_use]
    #[track_caller]
    pub fn value(&self) -> HeaderValue {
        HeaderValue::try_from(self.issue()).expect("a proof can be a header value")
    }
}

impl fmt::Debug for TestProof {
    /// Shows no claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestProof").finish_non_exhaustive()
    }
}
