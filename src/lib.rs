//! `tower-bearer` is a [Tower](https://docs.rs/tower) layer that passes a request to your service only if it carries a
//! valid, unexpired and unrevoked Bearer JWT.
//!
#![doc = include_str!("../docs/request-path.svg")]
//!
//! The layer rejects every other request with one documented response. It answers 503 if it cannot check keys or
//! revocation. [`BearerLayer`] works with axum (`Router::layer`, `route_layer`), with tonic (`Server::layer`, or around
//! one service) and with bare hyper.
//!
//! # Try it
//!
//! In the repository, with a Rust toolchain and a C compiler:
//!
//! ```sh
//! cargo run -p resource_server   # prints tokens and `curl` lines to try
//! cargo test
//! ```
//!
//! # Use it
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
//! # fn main() -> Result<(), tower_bearer::ConfigError> {
//! use std::convert::Infallible;
//!
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, service_fn};
//! use tower_bearer::{
//!     Authenticated, Authenticator, BearerLayer, Issuer, Key, RevocationCache,
//! };
//!
//! async fn hello(request: Request<String>) -> Result<Response<String>, Infallible> {
//!     // The request has passed every check.
//!     let user = request.extensions().get::<Authenticated>().expect("the layer puts it in");
//!     Ok(Response::new(format!("hello {:?}", user.registered().subject())))
//! }
//!
//! let issuer = Issuer::new("https://issuer.example", Key::hs256([7; 32])?)
//!     .audience("api://orders"); // mandatory: without it this does not compile
//! let authenticator = Authenticator::builder()
//!     .issuer(issuer)
//!     // One process. Processes that share a store take `RevocationCache::new(store, bound)`.
//!     .revocation(RevocationCache::in_memory())
//!     .build()?;
//! let service = ServiceBuilder::new()
//!     .layer(BearerLayer::new(authenticator))
//!     .service(service_fn(hello));
//! # let _ = service;
//! # Ok(()) }
//! # #[cfg(not(any(feature = "aws-lc-rs", feature = "rust-crypto")))] fn main() {}
//! ```
//!
//! # Which crate do I need?
//!
//! | your service | crate |
//! |---|---|
//! | accepts the tokens of an issuer, in one process | `tower-bearer` |
//! | runs in several processes that share revocations through Redis or Valkey | `tower-bearer` and `tower-bearer-redis` |
//! | runs in several processes that share revocations through PostgreSQL or SQLite | `tower-bearer` and `tower-bearer-sql` (Rust 1.94) |
//! | issues tokens itself: log-in, refresh, private tokens, revocation | `tower-bearer` and `tower-bearer-issuing` |
//! | issues tokens, stores them in SQL, and copies the revocations to Redis | `tower-bearer`, `tower-bearer-issuing`, `tower-bearer-sql` (feature `issuing`) and `tower-bearer-redis` |
//!
//! # What is checked
//!
//! [`Authenticator`](Authenticator#checks) has the numbered list of checks, in the order in which they run, and names
//! those that run on a token-cache hit. A request passes these types, from the outside in:
//!
//! | type | what it does |
//! |---|---|
//! | [`BearerLayer`], [`BearerAuth`] | where the credential may be, which requests pass without one, how rejections look |
//! | [`Authenticator`] | every check on a token, without HTTP: also for WebSockets, GraphQL and queues; your own checks |
//! | [`Issuer`] | a trusted issuer, its keys, and the requirements on its tokens |
//! | [`jws`]: [`Key`], [`KeySet`], [`KeySetHandle`] | keys, each with one algorithm; signatures |
//! | [`revocation`]: [`RevocationCache`] | what is revoked, how soon that is seen, what happens if the store cannot answer |
//! | [`Authenticated`] | the witness that every check passed, in the extensions of the request |
//! | [`client_certificate`] | where the client certificate of a request comes from, for certificate-bound tokens |
//! | [`require`] | scopes and other requirements on a token that is already authenticated |
//! | [`rejection`]: [`Rejection`], [`Responder`](rejection::Responder) | why a request was rejected, and the response |
//!
//! # How rejections look
//!
//! 401, 400, 403 or 503, with a JSON body that has a `code` and a `detail`. Every invalid token gets the same bytes.
//! The page [`guide::rejected`] lists every reason, its usual cause, and what to do.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `aws-lc-rs` | yes | signatures by AWS-LC; the faster backend, and the only one with ES512 |
//! | `rust-crypto` | | signatures in pure Rust; used if `aws-lc-rs` is off |
//! | `axum` | | [`Authenticated`] and `Option<Authenticated>` as extractors |
//! | `tonic` | | forwards `NamedService`; claims of a `tonic::Request` |
//! | `test-util` | | [`test_util`]: tokens, users and faults for your tests, and the conformance suite for your own revocation store |
//! | `signing` | | [`jws::SigningKey`]: keys that sign, for your own issuer |
//! | `jwks` | | keys and status lists from the network: `jwks::RemoteJwks`, `Issuer::discover`, `status_list::StatusLists` |
//! | `jsonwebtoken` | | for services that move from the crate jsonwebtoken: [`Key`] and [`KeySet`] from its `DecodingKey`, `Jwk` and `JwkSet` |
//! | `tracing` | | [events](telemetry): each rejection, failures of stores, fetches of keys |
//! | `metrics` | | [counters, gauges and a histogram](telemetry) through the facade `metrics` |
//!
//! A feature only adds: none changes which tokens are accepted. Without a backend, constructors of keys return
//! [`ConfigError::NoBackend`].
//!
//! # Order of layers
//!
//! ```text
//!   tracing, metrics, timeouts
//!     CORS                      rejections carry its headers; it answers preflights
//!       gRPC-web                (tonic only)
//!         BearerLayer           401, 400, 503; 403 to a cookie from another site
//!           require_scopes      403
//!             limits by user
//!               routes
//! ```
//!
//! # Tokio
//!
//! A revocation lookup that has to wait has a timeout. The timer of the Tokio runtime that polls the request measures
//! it, and it must be enabled. Outside a runtime there is no timeout. Keys from the network and the other crates need
//! a Tokio runtime. Nothing else does.
//!
//! # More
//!
//! The [`guide`] has every default and its reason, why a token was rejected, attacks and their answers, revocation as a
//! contract and in every deployment, and how-tos.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod authenticated;
mod authenticator;
mod background;
mod body;
pub mod claims;
pub mod client_certificate;
mod config_error;
mod confirmation;
mod counters;
mod credential;
pub mod dpop;
pub mod explain;
#[cfg(any(doc, all(doctest, any(feature = "aws-lc-rs", feature = "rust-crypto"))))]
pub mod guide;
pub mod health;
mod issuer_policy;
pub mod json;
#[cfg(feature = "jwks")]
#[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
pub mod jwks;
pub mod jws;
mod layer;
pub mod rejection;
pub mod require;
pub mod resource;
pub mod revocation;
mod scopes;
pub mod security_events;
mod service;
#[cfg(feature = "jwks")]
#[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
pub mod status_list;
pub mod telemetry;
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod test_util;
#[cfg(feature = "jwks")]
mod tls;
mod token_cache;
#[cfg(feature = "tonic")]
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
pub mod tonic;
mod unix_time;
mod verifier;

#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub use self::authenticated::axum;
pub use self::authenticated::{Authenticated, VerifiedToken};
pub use self::authenticator::{Authenticator, AuthenticatorBuilder};
pub use self::background::{BackgroundTask, TaskHealth};
pub use self::body::ResponseBody;
pub use self::config_error::ConfigError;

pub use self::explain::Explanation;
pub use self::issuer_policy::{Issuer, IssuerWithoutAudience, IssuerWithoutTenants, KeySource};
pub use self::jws::{Algorithm, Key, KeySet, KeySetHandle};
pub use self::layer::BearerLayer;
pub use self::rejection::{CheckError, Rejection, RejectionKind};
pub use self::resource::{ProtectedResource, ResourceMetadata};
pub use self::revocation::RevocationCache;
pub use self::scopes::{RequiredScopes, ScopeHierarchy};
pub use self::service::{BearerAuth, ResponseFuture};
pub use self::unix_time::UnixTime;

/// A boxed future, as the object-safe traits of this crate return it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The examples in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
