//! The interface of an HTTP client that fetches keys: its requests, its answers and its errors.

use std::{error::Error, fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::StatusCode;

use crate::{BoxFuture, ConfigError};

/// A client that fetches documents over HTTP: [`HttpFetcher`](super::HttpFetcher), or your own.
///
/// The engine gives each call 5 seconds (see [`with_fetch_timeout`](super::RemoteJwks::with_fetch_timeout)) and then drops
/// the future. A panic counts as a failure. Your own client
///
/// * **does not follow redirects**: an attacker who can answer for the URL could redirect the request anywhere;
/// * stops reading after [`FetchRequest::max_length`] bytes: the engine rejects a longer document, but only after it was
///   read;
/// * sends [`FetchRequest::accept`] as `Accept`: the API server of Kubernetes offers only `application/jwk-set+json`;
/// * returns the document as it is, without a content coding such as gzip;
/// * checks certificates;
/// * connects only to other machines if [`FetchRequest::must_be_remote`] is true, whatever the name resolves to.
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
    /// [`FetchError::Status`] for any status but 200 and 304. [`FetchError::TooLong`] for a document that is too long.
    /// [`FetchError::client`] for every other failure.
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

/// Fetches one document with a timeout. A panic of the client is an error.
pub(crate) async fn exchange(
    fetcher: &dyn FetchJwks,
    request: FetchRequest<'_>,
    timeout: Duration,
) -> Result<Fetched, FetchError> {
    // The call itself may panic, and so may its future.
    let exchange = AssertUnwindSafe(async { fetcher.fetch(request).await }).catch_unwind();
    let fetched = tokio::time::timeout(timeout, exchange)
        .await
        .map_err(|_| FetchError::TimedOut)?
        .map_err(|_| FetchError::Panicked)??;
    match &fetched.document {
        Some(document) if document.len() > request.max_length => Err(FetchError::TooLong),
        _ => Ok(fetched),
    }
}

/// The `Accept` of a request for keys. The API server of Kubernetes serves key sets only as `application/jwk-set+json`,
/// and answers 406 to any other `Accept`.
const ACCEPTED: &str = "application/json, application/jwk-set+json, */*;q=0.1";

/// The longest accepted key set and metadata, in bytes.
pub const MAX_LENGTH: usize = 1024 * 1024;

/// A request for one document.
#[derive(Clone, Copy)]
pub struct FetchRequest<'a> {
    url: &'a str,
    etag: Option<&'a str>,
    must_be_remote: bool,
    accept: &'static str,
    max_length: usize,
}

impl<'a> FetchRequest<'a> {
    /// A request for metadata or a key set.
    pub(crate) fn new(url: &'a str, etag: Option<&'a str>, must_be_remote: bool) -> Self {
        Self { url, etag, must_be_remote, accept: ACCEPTED, max_length: MAX_LENGTH }
    }

    pub(crate) fn accepting(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }

    pub(crate) fn up_to(self, max_length: usize) -> Self {
        Self { max_length, ..self }
    }

    /// The URL: `https`, or `http` if that is allowed.
    #[must_use]
    pub fn url(&self) -> &'a str {
        self.url
    }

    /// Whether the client must not connect to a loopback, link-local or unspecified address, because the metadata of an
    /// issuer elsewhere named this URL. The host is not spelled as such an address, but its name may resolve to one. A
    /// client that resolves names must check the addresses. [`HttpFetcher`](super::HttpFetcher) does.
    #[must_use]
    pub fn must_be_remote(&self) -> bool {
        self.must_be_remote
    }

    /// The value of `Accept`.
    #[must_use]
    pub fn accept(&self) -> &'a str {
        self.accept
    }

    /// The longest accepted document, in bytes: [`MAX_LENGTH`] for keys, and
    /// [`with_max_list_size`](crate::status_list::StatusLists::with_max_list_size) for a status list.
    #[must_use]
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// The `ETag` of the current document. Send it as `If-None-Match` (RFC 9110 section 13.1.2).
    #[must_use]
    pub fn etag(&self) -> Option<&'a str> {
        self.etag
    }
}

impl fmt::Debug for FetchRequest<'_> {
    /// Leaves out the query, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.url.split_once('?').map_or(self.url, |(address, _)| address);
        f.debug_struct("FetchRequest").field("url", &shown).finish_non_exhaustive()
    }
}

/// The answer of a server.
#[derive(Clone, Debug)]
#[must_use]
pub struct Fetched {
    /// `None` if the document is not modified.
    pub(crate) document: Option<Bytes>,
    pub(crate) etag: Option<Box<str>>,
    pub(crate) max_age: Option<Duration>,
}

impl Fetched {
    /// 200 with this content.
    pub fn document(content: impl Into<Bytes>) -> Self {
        Self { document: Some(content.into()), etag: None, max_age: None }
    }

    /// 304: the document still has the `ETag` that was sent.
    pub fn not_modified() -> Self {
        Self { document: None, etag: None, max_age: None }
    }

    /// Sets the document's `ETag`. Default: none, and the document is fetched in full each time.
    pub fn with_etag(mut self, etag: impl Into<Box<str>>) -> Self {
        self.etag = Some(etag.into());
        self
    }

    /// Sets how much longer the answer is fresh: `max-age` of `Cache-Control` minus `Age` (RFC 9111 section 4.2).
    /// Default: not known. The engine uses at least a minute and at most 24 hours.
    pub fn with_max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }
}

/// The reason why a fetch returned no keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The client failed: no connection, a certificate that is not trusted, or a broken answer.
    #[error(
        "the exchange with the server failed: check its address, its certificate and the network"
    )]
    Client(#[source] Box<dyn Error + Send + Sync>),
    /// The answer was not complete before the timeout.
    #[error(
        "the server did not answer in time: expected a complete answer within `with_fetch_timeout`"
    )]
    TimedOut,
    /// The status is not 200. Redirects are not followed. 304 is accepted only if an `ETag` was sent.
    #[error("the server answered {}: expected 200", .0.as_u16())]
    Status(StatusCode),
    /// The document is longer than [`FetchRequest::max_length`].
    #[error(
        "the answer is too long: expected at most {MAX_LENGTH} bytes for keys, or `with_max_list_size` for a list"
    )]
    TooLong,
    /// The document is not a key set, or it has no usable key.
    #[error("the answer of the key server is not a key set that can be used")]
    Unusable(#[source] ConfigError),
    /// The document is not a status list that can be used. The string names what was expected.
    #[error("the answer is not a status list that can be used: expected {0}")]
    UnusableStatusList(&'static str),
    /// The document has a content encoding such as gzip, although the client asked for none. Holds the value of
    /// `Content-Encoding`, up to 64 characters.
    #[error("the server answered with the content encoding {0:?}: expected none, as was requested")]
    ContentEncoding(Box<str>),
    /// The document is not metadata of an issuer. The string names the expected member or form.
    #[error("the answer is not metadata of an issuer: expected {0}")]
    UnreadableMetadata(&'static str),
    /// The metadata belong to another issuer (RFC 8414 section 3.3).
    #[error("the metadata belong to a different issuer: expected {configured:?}, found {found:?}")]
    IssuerMismatch {
        /// The expected name.
        configured: Box<str>,
        /// The name in the metadata, up to 256 characters.
        found: Box<str>,
    },
    /// The `jwks_uri` of the metadata is not a URL from which keys may be fetched.
    #[error("the `jwks_uri` of the metadata cannot be used")]
    KeysAddress(#[source] ConfigError),
    /// The URL is plain `http` to another machine, or metadata from an `https` URL name keys at a plain `http` URL, and
    /// [`allow_http`](super::RemoteJwks::allow_http) is not set.
    #[error("the address of keys is plain http to another machine: expected https")]
    Insecure,
    /// The metadata of an issuer elsewhere name a loopback or link-local address.
    #[error(
        "the `jwks_uri` of the metadata is a loopback or link-local address: expected an address elsewhere, like that of the issuer"
    )]
    LocalAddress,
    /// The client panicked.
    #[error("the HTTP client panicked: see its panic message")]
    Panicked,
    /// The engine or its runtime was shut down.
    #[error("fetching was stopped: the engine or its runtime was shut down")]
    Stopped,
}

impl FetchError {
    /// Wraps the error of a client.
    pub fn client(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Client(source.into())
    }

    /// The kind of the failure, for health checks.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::TimedOut => "timeout",
            Self::Status(_) => "status",
            Self::TooLong => "too_long",
            Self::Unusable(_) | Self::UnusableStatusList(_) => "unusable",
            Self::ContentEncoding(_) => "content_encoding",
            Self::UnreadableMetadata(_) => "unreadable_metadata",
            Self::IssuerMismatch { .. } => "issuer_mismatch",
            Self::KeysAddress(_) => "keys_address",
            Self::Insecure => "insecure",
            Self::LocalAddress => "local_address",
            Self::Panicked => "panicked",
            Self::Stopped => "stopped",
        }
    }

    /// The text for events: the error, with its cause if that has nothing of the answer but the ids of keys that cannot
    /// be used. The text of the HTTP client is left out, because it may quote data.
    pub(crate) fn without_client_text(&self) -> String {
        match self {
            Self::Unusable(cause) | Self::KeysAddress(cause) => format!("{self}: {cause}"),
            _ => self.to_string(),
        }
    }
}
