//! For the tests of services: tokens, good and bad, users without tokens, and stores that fail.
//!
//! 1. **Nothing is faked that a test could do without.** A [`TestIssuer`] has a key of its own, and the
//!    [`Authenticator`](crate::Authenticator) and [`BearerLayer`](crate::BearerLayer) that it makes are those of
//!    production: a test goes through every check, and gets the very answers that clients get.
//! 2. **The witness stays one.** Here, too, an [`Authenticated<C>`] comes out of an authenticator, from a token
//!    that was signed for it; there is no other way to make one. Such tokens are good for their own `TestIssuer` only,
//!    whose key is made anew each time.
//! 3. **The feature opens nothing by itself.** No line on the path of a request knows of it. Where another crate of a
//!    build turns it on, it takes a call of something in `test_util` to make a difference: that is the word to look
//!    for in a review. It belongs into `[dev-dependencies]`.
//! 4. What is misused panics, as tests do. Nothing in here prints a token or a claim.
//!
//! | to test | take |
//! |---|---|
//! | a handler alone | [`authenticated`] |
//! | a router that has no [`BearerLayer`](crate::BearerLayer) of its own | [`PassAnyoneAs`] |
//! | the whole of a service | [`TestIssuer::layer`] or [`TestIssuer::issuer`], and [`TestToken::bearer`] |
//! | its 401s | the same, and the bad tokens of [`TestToken`], or none |
//! | its 503s | [`FakeStore`] |
//! | a revocation store of your own | [`revocation_conformance`] |
//! | a token store of your own | `store::conformance` of the crate `tower-bearer-issuing` |
//!
//! A handler is a function of what it is given:
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
//! A service that takes its layer as an argument is tested whole:
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
//!     test_util::{FakeStore, StoreHabit, TestIssuer},
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
//! let store = FakeStore::that(StoreHabit::Fails);
//! let revocation = RevocationCache::new(store, Duration::from_secs(30));
//! let layer = BearerLayer::new(issuer.authenticator().with_revocation(revocation));
//! assert_eq!(status(&layer, issuer.token().bearer()).await, 503);
//! # Ok(()) }
//! # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
//! ```
//!
//! Without one of the features `aws-lc-rs` and `rust-crypto` there is no key, and [`TestIssuer::new`] panics.

mod issuer;
mod pass_anyone;
pub mod revocation_conformance;
mod store;
mod token;

use serde::{Serialize, de::DeserializeOwned};

pub use self::issuer::TestIssuer;
pub use self::pass_anyone::{PassAnyoneAs, PassingAnyone};
pub use self::store::{FakeStore, StoreHabit};
pub use self::token::TestToken;
use crate::Authenticated;

/// A user with these claims, for a handler that is called without HTTP: the token that a new [`TestIssuer`] makes,
/// with `claims`, an object, in place of those that it brings or beside them.
///
/// # Panics
/// Where the claims do not fit `C`, or are no good token's; see [`TestToken::authenticated`].
#[must_use]
#[track_caller]
pub fn authenticated<C>(claims: impl Serialize) -> Authenticated<C>
where
    C: DeserializeOwned + Send + Sync + 'static,
{
    TestIssuer::new().token().claims(claims).authenticated()
}
