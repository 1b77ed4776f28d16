//! Fetching: what a client is asked for, and what it may answer.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::StatusCode;

use crate::{BoxFuture, ConfigError};

/// A client that fetches documents over HTTP: [`HttpFetcher`](super::HttpFetcher), or the service author's own.
///
/// The engine gives each call 5 seconds (see
/// [`with_time_limit`](super::RemoteJwks::with_time_limit)) and then drops the future; a panic counts as a failure. A
/// client of one's own
///
/// * **does not follow redirects**: whoever can answer for the address could point anywhere;
/// * stops reading after [`MAX_LENGTH`] bytes: a longer document is refused, but only once it is there;
/// * asks for `application/json` and `application/jwk-set+json`: the API server of Kubernetes has nothing else;
/// * hands over the document as it is, without a content coding such as gzip;
/// * checks certificates;
/// * resolves names to other machines only, where [`FetchRequest::must_be_remote`] says so.
///
/// ```
/// use tower_bearer::{
///     BoxFuture,
///     jwks::{FetchError, FetchJwks, FetchRequest, Fetched},
/// };
///
/// /// Keys that were compiled in.
/// struct Bundled;
///
/// impl FetchJwks for Bundled {
///     fn fetch<'a>(&'a self, request: FetchRequest<'a>) -> BoxFuture<'a, Result<Fetched, FetchError>> {
///         Box::pin(async move {
///             match request.url() {
///                 "https://issuer.example/keys" => Ok(Fetched::document(r#"{"keys":[]}"#)),
///                 _ => Err(FetchError::client("no such address")),
///             }
///         })
///     }
/// }
/// ```
pub trait FetchJwks: Send + Sync + 'static {
    /// Fetches one document by `GET`.
    ///
    /// # Errors
    /// [`FetchError::Status`] for any answer but 200 and 304, [`FetchError::TooLong`] and [`FetchError::client`] for
    /// whatever else goes wrong.
    fn fetch<'a>(&'a self, request: FetchRequest<'a>)
    -> BoxFuture<'a, Result<Fetched, FetchError>>;
}

impl<T: FetchJwks + ?Sized> FetchJwks for Arc<T> {
    fn fetch<'a>(
        &'a self,
        request: FetchRequest<'a>,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        (**self).fetch(request)
    }
}

/// The longest document that is taken, in bytes.
pub const MAX_LENGTH: usize = 1024 * 1024;

/// One document that is wanted.
#[derive(Clone, Copy)]
pub struct FetchRequest<'a> {
    url: &'a str,
    etag: Option<&'a str>,
    must_be_remote: bool,
}

impl<'a> FetchRequest<'a> {
    pub(super) fn new(url: &'a str, etag: Option<&'a str>, must_be_remote: bool) -> Self {
        Self { url, etag, must_be_remote }
    }

    /// The address: `https`, or `http` where that is allowed.
    #[must_use]
    pub fn url(&self) -> &'a str {
        self.url
    }

    /// Whether the client must not connect to a loopback, link-local or unspecified address: metadata of an issuer
    /// elsewhere named this URL. The host is not spelled as such an address, but its name may resolve to one. A client
    /// that resolves names checks the addresses; [`HttpFetcher`](super::HttpFetcher) does.
    #[must_use]
    pub fn must_be_remote(&self) -> bool {
        self.must_be_remote
    }

    /// The `ETag` of the document that is there already, to be sent as `If-None-Match` (RFC 9110 section 13.1.2).
    #[must_use]
    pub fn etag(&self) -> Option<&'a str> {
        self.etag
    }
}

impl fmt::Debug for FetchRequest<'_> {
    /// Leaves out the query, in which there may be anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.url.split_once('?').map_or(self.url, |(address, _)| address);
        f.debug_struct("FetchRequest").field("url", &shown).finish_non_exhaustive()
    }
}

/// What a server answered.
#[derive(Clone, Debug)]
#[must_use]
pub struct Fetched {
    /// `None`: not modified.
    pub(super) document: Option<Bytes>,
    pub(super) etag: Option<Box<str>>,
    pub(super) max_age: Option<Duration>,
}

impl Fetched {
    /// 200, with this content.
    pub fn document(content: impl Into<Bytes>) -> Self {
        Self { document: Some(content.into()), etag: None, max_age: None }
    }

    /// 304: the document is still the one whose `ETag` was sent.
    pub fn not_modified() -> Self {
        Self { document: None, etag: None, max_age: None }
    }

    /// The document's `ETag`. By default it has none, and is fetched in full each time.
    pub fn with_etag(mut self, etag: impl Into<Box<str>>) -> Self {
        self.etag = Some(etag.into());
        self
    }

    /// How much longer the answer is fresh: `max-age` of `Cache-Control` less `Age` (RFC 9111 section 4.2). By default
    /// that is not known. The engine takes no less than a minute and no more than 24 hours.
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }
}

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The client failed: no connection, a certificate that is not trusted, a broken answer.
    #[error(
        "the exchange with the key server failed: check its address, its certificate and the network"
    )]
    Client(#[source] Box<dyn Error + Send + Sync>),
    /// The answer was not complete in time.
    #[error(
        "the key server did not answer in time: expected a complete answer within `RemoteJwks::with_time_limit`"
    )]
    TimedOut,
    /// A status other than 200; redirects are not followed, and 304 counts only where an `ETag` was sent.
    #[error("the key server answered {}: expected 200", .0.as_u16())]
    Status(StatusCode),
    /// More than [`MAX_LENGTH`] bytes.
    #[error("the answer of the key server is too long: expected at most {MAX_LENGTH} bytes")]
    TooLong,
    /// The document is no set of keys, or has none that can be used.
    #[error("the answer of the key server is not a key set that can be used")]
    Unusable(#[source] ConfigError),
    /// The document is encoded, as by gzip, although it was asked for as it is: the value of `Content-Encoding`, up to
    /// 64 characters of it.
    #[error(
        "the key server answered with the content encoding {0:?}: expected none, as was requested"
    )]
    ContentEncoding(Box<str>),
    /// The document is not metadata of an issuer; the string says what was expected, and names the member.
    #[error("the answer is not metadata of an issuer: expected {0}")]
    UnreadableMetadata(&'static str),
    /// The metadata are those of another issuer (RFC 8414 section 3.3).
    #[error("the metadata belong to a different issuer: expected {configured:?}, found {found:?}")]
    IssuerMismatch {
        /// The name that was expected.
        configured: Box<str>,
        /// What the metadata say, up to 256 characters of it.
        found: Box<str>,
    },
    /// The `jwks_uri` of the metadata is none that may be fetched from.
    #[error("the `jwks_uri` of the metadata cannot be used")]
    KeysAddress(#[source] ConfigError),
    /// Plain `http` to another machine, without
    /// [`allow_http`](super::RemoteJwks::allow_http).
    #[error("the address of keys is plain http to another machine: expected https")]
    Insecure,
    /// The metadata of an issuer elsewhere lead to a loopback or link-local address.
    #[error(
        "the `jwks_uri` of the metadata is a loopback or link-local address: expected an address elsewhere, like that of the issuer"
    )]
    LocalAddress,
    /// The client panicked.
    #[error("the HTTP client panicked: see its panic message")]
    Panicked,
    /// The engine was shut down, or its runtime was.
    #[error("fetching was stopped: the engine or its runtime was shut down")]
    Stopped,
}

impl FetchError {
    /// Wraps the error of a client.
    pub fn client(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Client(source.into())
    }
}
