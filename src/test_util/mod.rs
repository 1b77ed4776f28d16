//! Helpers for the tests of services: valid and invalid tokens, users without tokens, and stores that fail.
//!
//! 1. **The checks are real.** A [`TestIssuer`] has its own key. Its [`Authenticator`](crate::Authenticator) and its
//!    [`BearerLayer`](crate::BearerLayer) are those of production. So a test runs every check, and gets the same
//!    answers as clients.
//! 2. **The witness stays a witness.** Here too, only an authenticator makes an [`Authenticated<C>`], from a token that
//!    was signed for it. Such a token is valid only for its own `TestIssuer`, which has a new key each time.
//! 3. **The feature alone has no effect.** The code that handles requests does not use it. If another crate of the
//!    build turns it on, nothing changes until code calls an item of `test_util`. Search for that word in a review. The
//!    feature belongs in `[dev-dependencies]`.
//! 4. **Misuse panics**, as tests do. No panic message and no `Debug` output contains a token or a claim.
//!
//! | to test | use |
//! |---|---|
//! | a handler alone | [`authenticated`] |
//! | a router without its own [`BearerLayer`](crate::BearerLayer) | [`FixedUserLayer`] |
//! | a whole service | [`TestIssuer::layer`] or [`TestIssuer::issuer`], and [`TestToken::bearer`] |
//! | its 401 answers | the same, and an invalid [`TestToken`] or no token |
//! | bound tokens | [`ProofKey`], [`TestToken::bound_to_key`] and [`TestToken::bound_to_certificate`] |
//! | its 503 answers | [`FakeStore`] |
//! | your own revocation store | [`revocation_conformance`] |
//! | your own token store | `store::conformance` of the crate `tower-bearer-issuing` |
//!
//! A handler is a function of its arguments:
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))] {
//! use serde::Deserialize;
//! use serde_json::json;
//! use tower_bearer::{Authenticated, test_util};
//!
//! #[derive(Deserialize)]
//! struct Claims {
//!     sub: String,
//!     tenant: u32,
//! }
//!
//! fn greet(user: &Authenticated<Claims>) -> String {
//!     format!("{} of {}", user.claims().sub, user.claims().tenant)
//! }
//!
//! let user = test_util::authenticated(json!({ "sub": "ada", "tenant": 7 }));
//! assert_eq!(greet(&user), "ada of 7");
//! # }
//! ```
//!
//! A service that takes its layer as an argument can be tested as a whole:
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{convert::Infallible, time::Duration};
//!
//! use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
//! use tower::{Layer, ServiceExt, service_fn};
//! use tower_bearer::{
//!     BearerLayer, RevocationCache,
//!     test_util::{FakeStore, StoreBehavior, TestIssuer},
//! };
//!
//! async fn status(layer: &BearerLayer, bearer: HeaderValue) -> u16 {
//!     let handler = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(())));
//!     let app = layer.layer(layer.require_scopes(["orders:read"]).layer(handler));
//!     let request = Request::get("/orders").header(AUTHORIZATION, bearer).body(String::new()).unwrap();
//!     app.oneshot(request).await.unwrap().status().as_u16()
//! }
//!
//! let issuer = TestIssuer::new();
//! let layer = issuer.layer();
//! assert_eq!(status(&layer, issuer.token().scope("orders:read").bearer()).await, 200);
//! assert_eq!(status(&layer, issuer.token().bearer()).await, 403);
//! assert_eq!(status(&layer, issuer.token().expired().bearer()).await, 401);
//!
//! let store = FakeStore::new(StoreBehavior::Fails);
//! let revocation = RevocationCache::new(store, Duration::from_secs(30));
//! let layer = BearerLayer::new(issuer.authenticator().with_revocation(revocation));
//! assert_eq!(status(&layer, issuer.token().bearer()).await, 503);
//! # Ok(()) }
//! # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
//! ```
//!
//! Without the feature `aws-lc-rs` or `rust-crypto` no key can be made, and [`TestIssuer::new`] panics.

mod fake_store;
mod fixed_user;
mod proof_key;
pub mod revocation_conformance;
#[cfg(feature = "jwks")]
mod status_list;
mod test_issuer;

use serde::{Serialize, de::DeserializeOwned};

pub use self::fake_store::{FakeStore, StoreBehavior};
pub use self::fixed_user::{FixedUser, FixedUserLayer};
pub use self::proof_key::{ProofKey, TestProof};
#[cfg(feature = "jwks")]
#[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
pub use self::status_list::TestStatusList;
pub use self::test_issuer::{TestIssuer, TestToken};
use crate::Authenticated;

/// A user with these claims, for a handler that is called without HTTP. The user comes from a token of a new
/// [`TestIssuer`]. `claims` is an object. Its members replace the claims of the token, or are added to them.
///
/// # Panics
/// If the claims do not fit `C`, or if a token with them is not valid. See [`TestToken::authenticated`].
#[must_use]
#[track_caller]
pub fn authenticated<C>(claims: impl Serialize) -> Authenticated<C>
where
    C: DeserializeOwned + Send + Sync + 'static,
{
    TestIssuer::new().token().claims(claims).authenticated()
}
