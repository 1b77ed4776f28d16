//! The HTTP client of this crate, which fetches keys if you do not provide your own client.

use std::{
    fmt, io,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, Request, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, AGE, CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH,
        USER_AGENT,
    },
};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{
            HttpConnector,
            dns::{GaiResolver, Name},
        },
    },
    rt::TokioExecutor,
};
use rustls::ClientConfig;
use tower_service::Service;

use super::{
    FetchError, FetchJwks, FetchRequest, Fetched,
    local_address::{is_local, is_local_host},
};
use crate::{BoxFuture, ConfigError, tls::Roots};

/// How many characters of a content encoding are repeated in an error.
const SHOWN_ENCODING: usize = 64;

/// Fetches over HTTP/1.1, with TLS if the URL is `https`.
///
/// * Certificates are checked against the bundled roots of Mozilla's programme, unless
///   [`with_system_roots`](Self::with_system_roots) or [`with_root_pem`](Self::with_root_pem) replaces them.
/// * Redirects are not followed.
/// * If the metadata of an issuer elsewhere name the URL, it does not connect to a loopback, link-local or unspecified
///   address, also if a name resolves to one.
/// * Reading stops after [`FetchRequest::max_length`] bytes.
/// * Every fetch opens a new connection, so it finds a server that has moved. Proxies are not used.
///
/// TLS is rustls with AWS-LC, whichever backend verifies signatures. The provider is passed explicitly, so it does not
/// need and does not use a provider that the process has installed.
#[derive(Clone)]
pub struct HttpFetcher {
    roots: Roots,
    client: HttpClient<GaiResolver>,
    /// Connects only to other machines.
    remote_only: HttpClient<RemoteOnly>,
}

type HttpClient<R> = Client<HttpsConnector<HttpConnector<R>>, Empty<Bytes>>;

impl HttpFetcher {
    /// A client that trusts the bundled roots.
    ///
    /// # Errors
    /// [`ConfigError::Tls`] if TLS cannot be set up.
    pub fn new() -> Result<Self, ConfigError> {
        Self::with_roots(Roots::bundled())
    }

    /// Trusts the operating system's roots. Replaces the roots that were trusted so far. They are read once, now.
    ///
    /// # Errors
    /// [`ConfigError::Roots`] if the system has no readable roots.
    pub fn with_system_roots(self) -> Result<Self, ConfigError> {
        Self::with_roots(Roots::of_system()?)
    }

    /// Trusts only the certificates of this PEM text. Replaces the roots that were trusted so far.
    ///
    /// # Errors
    /// [`ConfigError::Roots`] if the text has no certificate, or one that cannot be read.
    pub fn with_root_pem(self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Self::with_roots(Roots::of_pem(pem.as_ref())?)
    }

    /// Also trusts the certificates of this PEM text, for example those of a private authority.
    ///
    /// # Errors
    /// Like [`with_root_pem`](Self::with_root_pem).
    pub fn add_root_pem(self, pem: impl AsRef<[u8]>) -> Result<Self, ConfigError> {
        Self::with_roots(self.roots.and_pem(pem.as_ref())?)
    }

    fn with_roots(roots: Roots) -> Result<Self, ConfigError> {
        let config = roots.client()?.with_no_client_auth();
        let builder = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).clone();
        let client = builder.build(connector(config.clone(), GaiResolver::new()));
        let remote_only = builder.build(connector(config, RemoteOnly(GaiResolver::new())));
        Ok(Self { roots, client, remote_only })
    }
}

fn connector<R>(config: ClientConfig, resolver: R) -> HttpsConnector<HttpConnector<R>> {
    let mut connector = HttpConnector::new_with_resolver(resolver);
    connector.enforce_http(false);
    HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector)
}

/// Resolves names. Fails if an address is on this machine or its link.
#[derive(Clone)]
struct RemoteOnly(GaiResolver);

impl Service<Name> for RemoteOnly {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = resolving.await?.collect();
            match addresses.iter().any(|address| is_local(address.ip())) {
                true => {
                    Err(io::Error::other("the name resolves to a loopback or link-local address"))
                }
                false => Ok(addresses.into_iter()),
            }
        })
    }
}

impl FetchJwks for HttpFetcher {
    fn fetch<'a>(
        &'a self,
        request: FetchRequest<'a>,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(async move {
            let mut builder = Request::get(request.url())
                .header(ACCEPT, request.accept())
                .header(ACCEPT_ENCODING, "identity")
                .header(USER_AGENT, concat!("tower-bearer/", env!("CARGO_PKG_VERSION")));
            if let Some(etag) = request.etag() {
                builder = builder.header(IF_NONE_MATCH, etag);
            }
            let (must_be_remote, max_length) = (request.must_be_remote(), request.max_length());
            let request = builder.body(Empty::new()).map_err(FetchError::client)?;
            // The connector does not call its resolver for a host that is an IP address.
            if must_be_remote && request.uri().host().is_none_or(is_local_host) {
                return Err(FetchError::LocalAddress);
            }
            let response = match must_be_remote {
                true => self.remote_only.request(request).await,
                false => self.client.request(request).await,
            };
            let response = response.map_err(FetchError::client)?;
            let (head, body) = response.into_parts();
            let fetched = match head.status {
                StatusCode::OK => {
                    check_encoding(&head.headers)?;
                    let body = Limited::new(body, max_length).collect().await;
                    Fetched::document(body.map_err(unread)?.to_bytes())
                }
                StatusCode::NOT_MODIFIED => Fetched::not_modified(),
                status => return Err(FetchError::Status(status)),
            };
            Ok(with_metadata(fetched, &head.headers))
        })
    }
}

/// Rejects encoded answers, because this client does not decompress.
fn check_encoding(headers: &HeaderMap) -> Result<(), FetchError> {
    for value in headers.get_all(CONTENT_ENCODING) {
        let coding = String::from_utf8_lossy(value.as_bytes());
        let coding = coding.trim();
        if !coding.is_empty() && !coding.eq_ignore_ascii_case("identity") {
            return Err(FetchError::ContentEncoding(coding.chars().take(SHOWN_ENCODING).collect()));
        }
    }
    Ok(())
}

fn unread(error: Box<dyn std::error::Error + Send + Sync>) -> FetchError {
    if error.is::<LengthLimitError>() { FetchError::TooLong } else { FetchError::Client(error) }
}

fn with_metadata(mut fetched: Fetched, headers: &HeaderMap) -> Fetched {
    if let Some(etag) = headers.get(ETAG).and_then(|etag| etag.to_str().ok()) {
        fetched = fetched.with_etag(etag);
    }
    match max_age(headers) {
        Some(max_age) => fetched.with_max_age(max_age),
        None => fetched,
    }
}

/// The rest of `max-age`. The smallest one if there are several.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let max_age = directives
        .filter_map(|directive| directive.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("max-age"))
        .filter_map(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .min()?;
    let age = headers.get(AGE).and_then(|age| age.to_str().ok()?.trim().parse().ok());
    Some(Duration::from_secs(max_age).saturating_sub(Duration::from_secs(age.unwrap_or(0))))
}

impl fmt::Debug for HttpFetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpFetcher").field("roots", &self.roots.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn seconds(cache_control: &[&'static str], age: Option<&'static str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for value in cache_control {
            headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
        }
        if let Some(age) = age {
            headers.insert(AGE, HeaderValue::from_static(age));
        }
        max_age(&headers).map(|max_age| max_age.as_secs())
    }

    #[test]
    fn max_age_is_read_from_among_other_directives() {
        for (lines, expected) in [
            (&["max-age=300"][..], Some(300)),
            (&["public, max-age=21600, must-revalidate, no-transform"], Some(21_600)),
            (&["PUBLIC , Max-Age = \"300\""], Some(300)),
            (&["s-maxage=900"], None),
            (&["no-store"], None),
            (&["max-age"], None),
            (&["max-age=-1"], None),
            (&["max-age=soon"], None),
            (&["max-age=99999999999999999999"], None),
            (&["max-age=300", "max-age=200"], Some(200)),
            (&[], None),
        ] {
            assert_eq!(seconds(lines, None), expected, "{lines:?}");
        }
    }

    #[test]
    fn age_is_subtracted_from_max_age() {
        assert_eq!(seconds(&["max-age=300"], Some("100")), Some(200));
        assert_eq!(seconds(&["max-age=300"], Some("301")), Some(0));
        assert_eq!(seconds(&["max-age=300"], Some("unknown")), Some(300));
        assert_eq!(seconds(&[], Some("100")), None);
    }

    #[test]
    fn roots_are_replaced_or_added_and_unreadable_ones_rejected() {
        let fetcher = HttpFetcher::new().unwrap();
        let bundled = fetcher.roots.len();
        assert!(bundled > 100);
        let pem = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys/p256.certificate.pem");
        let pem = std::fs::read(pem).unwrap();
        assert_eq!(fetcher.clone().add_root_pem(&pem).unwrap().roots.len(), bundled + 1);
        assert_eq!(fetcher.clone().with_root_pem(&pem).unwrap().roots.len(), 1);
        for odd in ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
            assert!(
                matches!(fetcher.clone().add_root_pem(odd), Err(ConfigError::Roots(_))),
                "{odd}"
            );
        }
        assert_eq!(format!("{fetcher:?}"), format!("HttpFetcher {{ roots: {bundled}, .. }}"));
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_not_remote() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let fetcher = HttpFetcher::new().unwrap();
        let fetch = async |host: &str, must_be_remote| {
            let url = format!("http://{host}:{port}/");
            let fetched = fetcher.fetch(FetchRequest::new(&url, None, must_be_remote)).await;
            fetched.unwrap_err()
        };
        for spelled in ["127.0.0.1", "[::ffff:127.0.0.1]", "2130706433", "localhost."] {
            assert!(matches!(fetch(spelled, true).await, FetchError::LocalAddress), "{spelled}");
        }
        let name: Name = "localhost".parse().unwrap();
        let resolved = RemoteOnly(GaiResolver::new()).call(name).await;
        assert!(resolved.unwrap_err().to_string().contains("resolves to a loopback"));
        // The rejected fetches have not connected. The first connection is that of the allowed fetch.
        let (_, accepted) = tokio::join!(fetch("localhost", false), async {
            let (mut stream, _) = server.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(
                &mut stream,
                b"HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n",
            )
            .await
        });
        accepted.unwrap();
        assert!(tokio::time::timeout(Duration::ZERO, server.accept()).await.is_err());
    }
}
