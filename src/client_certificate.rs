//! Certificate-bound tokens (RFC 8705 section 3): accepts a token only with the client certificate that it is bound to.
//!
//! An authorization server binds a token to a client certificate with `cnf["x5t#S256"]`. A thief of the token
//! cannot use it without the key of the certificate.
//!
//! 1. Give the layer a source of client certificates, with
//!    [`BearerLayer::with_client_certificates`](crate::BearerLayer::with_client_certificates). Without one, the layer
//!    rejects every bound token.
//! 2. The source must name the certificate whose key the client has proved to have, in the TLS handshake. The layer
//!    compares its SHA-256 with the token. It does not read the certificate, and checks neither its chain nor its
//!    dates: the TLS server or the proxy does this.
//! 3. A bound token without a certificate, or with another one, gets the same 401 as every invalid token. A token that
//!    is not bound passes without a certificate.
//! 4. The layer removes the header `Client-Cert` (RFC 9440) from every request whose header it does not accept. So a
//!    client cannot show the service behind the layer a certificate that it does not have.
//!
//! # Who ends TLS
//!
//! | TLS ends | source | what you do |
//! |---|---|---|
//! | in this process | [`CertificateSource::extension`] | the TLS acceptor puts a [`ClientCertificate`] into the extensions of each request |
//! | at a proxy | [`CertificateSource::header`] | the proxy asks for certificates, removes `Client-Cert` from what clients send, and sends its own |
//! | elsewhere | [`CertificateSource::function`] | your function finds the certificate |
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
//! # fn layer(authenticator: tower_bearer::Authenticator) -> Result<tower_bearer::BearerLayer, tower_bearer::ConfigError> {
//! use tower_bearer::{
//!     BearerLayer,
//!     client_certificate::{CertificateSource, TrustedProxies},
//! };
//!
//! let proxies = TrustedProxies::new(["192.0.2.7", "10.0.0.0/8"])?;
//! let layer = BearerLayer::new(authenticator)
//!     .with_client_certificates(CertificateSource::header(proxies));
//! # Ok(layer) }
//! ```

mod trusted_proxies;

use std::{fmt, mem, net::IpAddr, sync::Arc};

use base64_simd::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, Request, request::Parts};

pub use self::trusted_proxies::{PeerAddress, TrustedProxies};
use crate::jws;

/// The header of RFC 9440 section 2.2, with the client's certificate.
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

/// The header of RFC 9440 section 2.3, with the certificates above it.
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// The client certificate of a connection. A TLS acceptor puts it into the extensions of every request of the
/// connection.
///
/// It holds only the thumbprint, which is computed once. Cloning is cheap.
///
/// ```
/// use tower_bearer::client_certificate::ClientCertificate;
///
/// # let der = [0x30, 0x00];
/// // rustls: `connection.peer_certificates()`, after the handshake.
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(ClientCertificate::from_der(&der));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCertificate(CertificateThumbprint);

impl ClientCertificate {
    /// The certificate with this DER encoding: the first of the certificates that the client has sent. The client must
    /// have proved that it has the private key. TLS does this in the handshake.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Self {
        Self(CertificateThumbprint(jws::sha256(der)))
    }

    /// The thumbprint of the certificate.
    #[must_use]
    pub fn thumbprint(&self) -> CertificateThumbprint {
        self.0
    }

    /// Reads a Byte Sequence (RFC 9440 section 2.1): base64 with padding between two colons. It must not have
    /// parameters.
    fn from_field_value(value: &[u8]) -> Option<Self> {
        let base64 = value.trim_ascii().strip_prefix(b":")?.strip_suffix(b":")?;
        let der = STANDARD.decode_to_vec(base64).ok().filter(|der| !der.is_empty())?;
        Some(Self::from_der(&der))
    }
}

/// The SHA-256 of the DER encoding of a certificate (RFC 8705 section 3.1). `Display` writes it as in `x5t#S256`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CertificateThumbprint([u8; 32]);

impl CertificateThumbprint {
    /// The 32 bytes of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads the value of `x5t#S256`. It has exactly one spelling.
    pub(crate) fn from_base64url(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for CertificateThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode_to_string(self.0))
    }
}

impl fmt::Debug for CertificateThumbprint {
    /// Does not show the thumbprint: a claim of the token has it, and claims must not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateThumbprint(..)")
    }
}

/// Where the layer finds the client certificate of a request, for
/// [`BearerLayer::with_client_certificates`](crate::BearerLayer::with_client_certificates).
#[derive(Clone)]
#[must_use = "it is a setting of a layer"]
pub struct CertificateSource(Source);

#[derive(Clone)]
enum Source {
    Extension,
    Header { name: HeaderName, proxies: TrustedProxies, peer: Option<PeerFunction> },
    Function(CertificateFunction),
}

type PeerFunction = Arc<dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync>;
type CertificateFunction = Arc<dyn Fn(&Parts) -> Option<ClientCertificate> + Send + Sync>;

impl CertificateSource {
    /// The [`ClientCertificate`] in the extensions of the request. The TLS acceptor of this process puts it there.
    pub fn extension() -> Self {
        Self(Source::Extension)
    }

    /// The header `Client-Cert` (RFC 9440), if the request comes from one of these proxies. The header must be there
    /// exactly once.
    ///
    /// The layer finds the address of the peer in the first of these places:
    ///
    /// 1. Your function, if you set [`with_peer_address`](Self::with_peer_address).
    /// 2. The [`PeerAddress`] in the extensions of the request.
    /// 3. With the feature `axum`: axum's `ConnectInfo<SocketAddr>` in the extensions.
    ///
    /// A request without an address does not come from a proxy. The address must be that of the connection, not one
    /// that a layer has read from `Forwarded` or `X-Forwarded-For`.
    ///
    /// **The proxy must remove `Client-Cert` from the requests of its clients**, also on connections without a
    /// certificate (RFC 9440 section 4). Otherwise a client can send the certificate of someone else.
    pub fn header(proxies: TrustedProxies) -> Self {
        Self(Source::Header { name: CLIENT_CERT, proxies, peer: None })
    }

    /// The certificate that this function finds. It must return only a certificate whose key the client has proved to
    /// have. `None`: the request has no certificate. It runs on every request, before the token is read.
    pub fn function(
        find: impl Fn(&Parts) -> Option<ClientCertificate> + Send + Sync + 'static,
    ) -> Self {
        Self(Source::Function(Arc::new(find)))
    }

    /// Sets the name of the header, for a proxy that cannot send `Client-Cert`. Its value is still that of RFC 9440.
    /// Default: `Client-Cert`. It has no effect without [`header`](Self::header).
    pub fn with_header_name(mut self, header: HeaderName) -> Self {
        if let Source::Header { name, .. } = &mut self.0 {
            *name = header;
        }
        self
    }

    /// Sets the function that finds the address of the peer of the connection. Default: the extensions, as
    /// [`header`](Self::header) describes. It has no effect without [`header`](Self::header).
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use tower_bearer::client_certificate::{CertificateSource, TrustedProxies};
    ///
    /// // The server puts the address into the extensions as a `SocketAddr`. tonic has `TcpConnectInfo` there.
    /// let source = CertificateSource::header(TrustedProxies::loopback())
    ///     .with_peer_address(|parts| Some(parts.extensions.get::<SocketAddr>()?.ip()));
    /// # let _ = source;
    /// ```
    pub fn with_peer_address(
        mut self,
        find: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        if let Source::Header { peer, .. } = &mut self.0 {
            *peer = Some(Arc::new(find));
        }
        self
    }

    /// The certificate of the request. Removes every header with a certificate that is not accepted.
    pub(crate) fn take<B>(&self, request: &mut Request<B>) -> Option<ClientCertificate> {
        if let Source::Extension = self.0 {
            remove_headers(request.headers_mut(), None);
            return request.extensions().get().copied();
        }
        // Functions of the author get the parts of the request, without its body.
        let (mut parts, ()) = Request::new(()).into_parts();
        swap(&mut parts, request);
        let found = self.find(&parts);
        let accepted = match &self.0 {
            Source::Header { name, .. } if found.is_some() => Some(name),
            Source::Header { name, .. } => {
                parts.headers.remove(name);
                None
            }
            Source::Extension | Source::Function(_) => None,
        };
        remove_headers(&mut parts.headers, accepted);
        swap(&mut parts, request);
        found
    }

    fn find(&self, parts: &Parts) -> Option<ClientCertificate> {
        match &self.0 {
            Source::Extension => parts.extensions.get().copied(),
            Source::Function(find) => find(parts),
            Source::Header { name, proxies, peer } => {
                let peer = match peer {
                    Some(find) => find(parts),
                    None => PeerAddress::of(&parts.extensions),
                };
                if !proxies.contain(peer?) {
                    return None;
                }
                let mut lines = parts.headers.get_all(name).iter();
                match (lines.next(), lines.next()) {
                    (Some(only), None) => ClientCertificate::from_field_value(only.as_bytes()),
                    _ => None,
                }
            }
        }
    }
}

/// Removes the headers of RFC 9440, except those that a trusted proxy has sent: `accepted` is the header with the
/// certificate.
fn remove_headers(headers: &mut HeaderMap, accepted: Option<&HeaderName>) {
    if accepted != Some(&CLIENT_CERT) {
        headers.remove(CLIENT_CERT);
        headers.remove(CLIENT_CERT_CHAIN);
    }
}

fn swap<B>(parts: &mut Parts, request: &mut Request<B>) {
    mem::swap(&mut parts.method, request.method_mut());
    mem::swap(&mut parts.uri, request.uri_mut());
    mem::swap(&mut parts.version, request.version_mut());
    mem::swap(&mut parts.headers, request.headers_mut());
    mem::swap(&mut parts.extensions, request.extensions_mut());
}

impl fmt::Debug for CertificateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Extension => f.write_str("Extension"),
            Source::Function(_) => f.write_str("Function(..)"),
            Source::Header { name, proxies, .. } => f
                .debug_struct("Header")
                .field("name", name)
                .field("proxies", proxies)
                .finish_non_exhaustive(),
        }
    }
}
