//! A Tower layer that lets a request through only with a valid, unexpired, unrevoked Bearer JWT, and answers
//! everything else with one documented response.
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
//!     // Whoever gets here has passed every check.
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
//! The same [`BearerLayer`] goes on axum (`Router::layer`, `route_layer`), on tonic (`Server::layer`, or around one
//! service) and on bare hyper.
//!
//! # Where things are
//!
//! A request walks through these, from the outside in:
//!
//! | | |
//! |---|---|
//! | [`BearerLayer`], [`BearerAuth`] | where the credential is looked for, what passes without one, how refusals look |
//! | [`Authenticator`] | every check on a token, as a numbered list, without HTTP: for WebSockets, GraphQL, queues; your own checks |
//! | [`Issuer`] | who is trusted, with which keys, and what is demanded of its tokens |
//! | [`jws`]: [`Key`], [`KeySet`], [`KeySetHandle`] | keys that know their algorithm; signatures |
//! | [`revocation`]: [`RevocationCache`] | what is revoked, how soon that is seen, what happens when nobody can tell |
//! | [`Authenticated`] | the witness that every check passed, in the extensions of the request |
//! | [`require`] | scopes and other demands on a token that is already authenticated |
//! | [`rejection`]: [`Rejection`], [`Responder`](rejection::Responder) | why a request was refused, and the response |
//!
//! The [`guide`] has what is no reference: every default and its reason, attacks and their answers, revocation as a
//! contract, and how-tos.
//!
//! # Order of layers
//!
//! ```text
//!   tracing, metrics, timeouts
//!     CORS                      refusals carry its headers, preflights are answered here
//!       gRPC-web                (tonic only)
//!         BearerLayer           401, 400, 503
//!           require_scopes      403
//!             limits by user
//!               routes
//! ```
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `aws-lc-rs` | yes | signatures by AWS-LC; the faster backend, and the only one with ES512 |
//! | `rust-crypto` | | signatures in pure Rust; used where `aws-lc-rs` is off |
//! | `axum` | | [`Authenticated`] and `Option<Authenticated>` as extractors |
//! | `tonic` | | `NamedService` forwarded; claims of a `tonic::Request` |
//! | `issuing` | | [`issuing`]: the token life cycle, from log-in to revocation |
//! | `openapi` | | with `issuing`: [`TokenApi::openapi`](issuing::TokenApi::openapi), generated from the handlers |
//! | `test-util` | | [`test_util`]: tokens, users and faults for your own tests; with `issuing`: [`issuing::store::conformance`], for token stores of your own |
//! | `postgres` | | [`SqlStore`](issuing::store::SqlStore) over PostgreSQL; needs Rust 1.94 |
//! | `sqlite` | | [`SqlStore`](issuing::store::SqlStore) over SQLite, which is built in; needs Rust 1.94 |
//! | `jwks` | | keys from the network: `jwks::RemoteJwks`, `Issuer::discover` |
//! | `redis` | | [`RedisStore`](revocation::redis::RedisStore), [`DenyList`](revocation::redis::DenyList): revocations that a fleet shares through Redis or Valkey |
//! | `tracing` | | [events](telemetry): each refusal, failures of stores, fetches of keys |
//! | `metrics` | | [counters, gauges and a histogram](telemetry) through the facade `metrics` |
//!
//! A feature only adds: none changes which tokens are accepted. With neither backend, constructors of keys return
//! [`ConfigError::NoBackend`].
//!
//! # A runtime
//!
//! A revocation store that has to wait for its answer is given a timeout, by the timer of the Tokio runtime that polls
//! the request; the timer has to be enabled. Outside a runtime there is no timeout.
//! Keys from the network, Redis and [`issuing`] run on one. Nothing else here asks for one.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod authenticated;
mod authenticator;
#[cfg(feature = "axum")]
#[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
pub mod axum;
mod body;
pub mod claims;
mod config_error;
mod counters;
mod credential;
mod future;
#[cfg(any(doc, all(doctest, any(feature = "aws-lc-rs", feature = "rust-crypto"))))]
pub mod guide;
mod issuer_policy;
#[cfg(feature = "issuing")]
#[cfg_attr(docsrs, doc(cfg(feature = "issuing")))]
pub mod issuing;
mod json;
#[cfg(feature = "jwks")]
#[cfg_attr(docsrs, doc(cfg(feature = "jwks")))]
pub mod jwks;
pub mod jws;
mod layer;
pub mod rejection;
pub mod require;
pub mod revocation;
mod service;
pub mod telemetry;
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod test_util;
#[cfg(any(feature = "jwks", feature = "redis"))]
mod tls;
mod token_cache;
#[cfg(feature = "tonic")]
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
pub mod tonic;
mod unix_time;
mod verified_token;
mod verifier;

pub use self::authenticated::Authenticated;
pub use self::authenticator::{Authenticator, AuthenticatorBuilder};
pub use self::body::ResponseBody;
pub use self::config_error::ConfigError;
pub use self::future::ResponseFuture;
pub use self::issuer_policy::{Issuer, IssuerWithoutAudience, IssuerWithoutTenants, KeySource};
pub use self::jws::{Algorithm, Key, KeySet, KeySetHandle};
pub use self::layer::BearerLayer;
pub use self::rejection::{Rejection, RejectionKind};
pub use self::revocation::RevocationCache;
pub use self::service::BearerAuth;
pub use self::unix_time::UnixTime;
pub use self::verified_token::VerifiedToken;
pub use self::verifier::CheckError;

/// A boxed future, as the object-safe traits of this crate return it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The examples in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
