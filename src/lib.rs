//! A Tower layer that lets a request through only with a valid, unexpired, unrevoked Bearer JWT.

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
mod credential;
mod future;
mod issuer_policy;
mod json;
pub mod jws;
mod layer;
pub mod rejection;
pub mod require;
pub mod revocation;
mod service;
mod telemetry;
#[cfg(feature = "tonic")]
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
pub mod tonic;
mod verified_token;
mod verifier;

pub use self::authenticated::Authenticated;
pub use self::authenticator::Authenticator;
pub use self::body::ResponseBody;
pub use self::config_error::ConfigError;
pub use self::future::ResponseFuture;
pub use self::issuer_policy::{Issuer, IssuerWithoutAudience, KeySource};
pub use self::jws::{Algorithm, Key, KeySet, KeySetHandle};
pub use self::layer::BearerLayer;
pub use self::rejection::{Rejection, RejectionKind};
pub use self::revocation::RevocationCache;
pub use self::service::BearerAuth;
pub use self::verified_token::VerifiedToken;
pub use self::verifier::{CheckError, Verifier, VerifierBuilder};

/// A boxed future, as the object-safe traits of this crate return it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The examples in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
