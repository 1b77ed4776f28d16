//! Signed status lists for tests.

use std::fmt;

use base64_simd::URL_SAFE_NO_PAD;
use miniz_oxide::deflate::compress_to_vec_zlib;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{TestIssuer, test_issuer::to_json};
use crate::{jws::SigningKey, status_list::TYP};

/// A builder of a status list (draft-ietf-oauth-status-list-20), from [`TestIssuer::status_list`].
///
/// It starts as a valid list: all statuses are 0, there are 1024 of them with one bit each, `iat` is now, and `ttl` is
/// 5 minutes. Serve its text with your own [`FetchJwks`](crate::jwks::FetchJwks) or HTTP server.
///
/// ```
/// # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_bearer::ConfigError> {
/// use tower_bearer::{
///     Authenticator, BoxFuture, RejectionKind,
///     jwks::{FetchError, FetchJwks, FetchRequest, Fetched},
///     status_list::StatusLists,
///     test_util::TestIssuer,
/// };
///
/// struct Server(String);
///
/// impl FetchJwks for Server {
///     fn fetch<'a>(&'a self, _: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
///         Box::pin(async { Ok(Fetched::document(self.0.clone())) })
///     }
/// }
///
/// let (issuer, url) = (TestIssuer::new(), "https://issuer.test/lists/1");
/// let server = Server(issuer.status_list(url).with_status(7, 1).issue());
/// let lists = StatusLists::new("https://issuer.test/lists")?.with_fetcher(server);
/// let policy = issuer.issuer().with_status_lists(lists);
/// let authenticator = Authenticator::builder().issuer(policy).build()?;
///
/// let valid = issuer.token().with_status_entry(url, 6).issue();
/// assert!(authenticator.authenticate(&valid).await.is_ok());
/// let revoked = issuer.token().with_status_entry(url, 7).issue();
/// let rejected = authenticator.authenticate(&revoked).await.unwrap_err();
/// assert_eq!(rejected.kind(), RejectionKind::StatusInvalid);
/// # Ok(()) }
/// # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
/// ```
#[derive(Clone)]
#[must_use = "a `TestStatusList` does nothing until `issue`"]
pub struct TestStatusList {
    key: SigningKey,
    typ: String,
    claims: Map<String, Value>,
    bits: u8,
    statuses: Vec<u8>,
}

impl TestStatusList {
    pub(super) fn new(key: SigningKey, uri: &str, now: u64) -> Self {
        let mut claims = Map::new();
        claims.insert("sub".into(), uri.into());
        claims.insert("iat".into(), now.into());
        claims.insert("ttl".into(), 300.into());
        Self { key, typ: TYP.to_owned(), claims, bits: 1, statuses: vec![0; 1024] }
    }

    /// Sets the number of bits of each status: 1, 2, 4 or 8. Default: 1.
    pub fn with_bits(mut self, bits: u8) -> Self {
        self.bits = bits;
        self
    }

    /// Sets the number of statuses. Default: 1024.
    pub fn with_length(mut self, length: usize) -> Self {
        self.statuses.resize(length, 0);
        self
    }

    /// Sets the status at an index.
    ///
    /// # Panics
    /// If the index is not below the length.
    #[track_caller]
    pub fn with_status(mut self, index: usize, status: u8) -> Self {
        let place = self.statuses.get_mut(index);
        *place.expect("the index must be below the length of the `TestStatusList`") = status;
        self
    }

    /// Sets a claim, such as `exp`, `ttl`, or a `status_list` of your own. Replaces an earlier value.
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

    /// Sets the header's `typ`, a plain text without quotes and backslashes. Default: `statuslist+jwt`.
    pub fn with_typ(mut self, typ: impl Into<String>) -> Self {
        self.typ = typ.into();
        self
    }

    /// Signs with this key. Default: the key of the issuer.
    pub fn with_key(mut self, key: SigningKey) -> Self {
        self.key = key;
        self
    }

    /// The list in compact form.
    ///
    /// # Panics
    /// If the bits are not 1, 2, 4 or 8, if a status does not fit them, or if the backend cannot sign.
    #[must_use]
    #[track_caller]
    pub fn issue(&self) -> String {
        assert!([1, 2, 4, 8].contains(&self.bits), "the bits must be 1, 2, 4 or 8");
        let largest = u8::MAX >> (8 - self.bits);
        let fit = self.statuses.iter().all(|status| *status <= largest);
        assert!(fit, "a status of the `TestStatusList` does not fit its bits");
        let mut claims = self.claims.clone();
        let lst = URL_SAFE_NO_PAD.encode_to_string(compress_to_vec_zlib(&self.bytes(), 9));
        claims.entry("status_list").or_insert(json!({ "bits": self.bits, "lst": lst }));
        let payload = Value::from(claims).to_string();
        self.key.sign(&self.typ, &payload).expect("the cryptographic backend cannot sign")
    }

    /// The least significant bits come first.
    fn bytes(&self) -> Vec<u8> {
        let in_a_byte = usize::from(8 / self.bits);
        let byte = |statuses: &[u8]| {
            let shifted = statuses.iter().zip(0..).map(|(status, at)| status << (at * self.bits));
            shifted.fold(0, |byte, status| byte | status)
        };
        self.statuses.chunks(in_a_byte).map(byte).collect()
    }
}

impl TestIssuer {
    /// A status list at this URL, to start from. The issuer signs it.
    pub fn status_list(&self, uri: &str) -> TestStatusList {
        TestStatusList::new(self.key.clone(), uri, self.clock.now().as_secs())
    }
}

impl fmt::Debug for TestStatusList {
    /// Shows no claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStatusList").field("bits", &self.bits).finish_non_exhaustive()
    }
}
