//! Certificate-bound tokens (RFC 8705) behind a proxy that ends TLS.
//!
//! The proxy asks clients for a certificate, checks it, and sends it in the header `Client-Cert` (RFC 9440). The layer
//! accepts the header only from the addresses that you list, and compares the certificate with the token:
//!
//! ```
//! # #[cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]
//! # fn layer(authenticator: tower_bearer::Authenticator) -> Result<tower_bearer::BearerLayer, tower_bearer::ConfigError> {
//! use tower_bearer::{
//!     BearerLayer,
//!     client_certificate::{CertificateSource, TrustedProxies},
//! };
//!
//! // Both proxies below run on the same machine.
//! let source = CertificateSource::header(TrustedProxies::loopback());
//! let layer = BearerLayer::new(authenticator).with_client_certificates(source);
//! # Ok(layer) }
//! ```
//!
//! The server must put the address of the connection into the extensions of each request: axum does with
//! `into_make_service_with_connect_info::<SocketAddr>()`. Other servers use
//! [`PeerAddress`](crate::client_certificate::PeerAddress).
//!
//! **The proxy must not pass on a `Client-Cert` of its client**, on any route and on any port. Otherwise everyone who
//! has stolen a token can also send its certificate, which is public. Try it: send a wrong `Client-Cert` through the
//! proxy, without a certificate, and look at what arrives.
//!
//! # HAProxy
//!
//! Tried with HAProxy 2.6.
//!
//! ```text
//! frontend api
//!     mode http
//!     bind :443 ssl crt server.pem ca-file clients-ca.pem verify optional
//!     http-request del-header Client-Cert
//!     http-request del-header Client-Cert-Chain
//!     http-request set-header Client-Cert :%[ssl_c_der,base64]: if { ssl_c_used } { ssl_c_verify 0 }
//!     default_backend service
//! ```
//!
//! Certificates that no authority has signed (RFC 8705 section 2.2) need `verify optional crt-ignore-err all
//! ca-ignore-err all`, and no `{ ssl_c_verify 0 }`. TLS then still proves that the client has the key.
//!
//! # nginx
//!
//! nginx has the certificate as PEM only. Its module njs writes the header. Tried with nginx 1.22 and njs 0.7. An empty
//! value removes the header that the client has sent.
//!
//! ```text
//! // certificate.js
//! function header(r) {
//!     if (r.variables.ssl_client_verify !== 'SUCCESS') {
//!         return '';
//!     }
//!     return ':' + r.variables.ssl_client_raw_cert.replace(/-----[^-]+-----|\s/g, '') + ':';
//! }
//! export default { header };
//!
//! # nginx.conf, in the block http
//! js_import certificate from certificate.js;
//! js_set $client_cert certificate.header;
//! server {
//!     listen 443 ssl;
//!     ssl_client_certificate clients-ca.pem;
//!     ssl_verify_client optional;
//!     location / {
//!         proxy_pass http://127.0.0.1:3000;
//!         proxy_set_header Client-Cert $client_cert;
//!         proxy_set_header Client-Cert-Chain "";
//!     }
//! }
//! ```
//!
//! # Proxies and DPoP
//!
//! A proof names the URL that the client calls. Give [`Dpop::new`](crate::dpop::Dpop::new) the public URL of the
//! service, as clients see it. The proxy must keep the path as the client has sent it, and the headers `Authorization`
//! and `DPoP`.
//!
//! Tried with nginx 1.22: the form of `proxy_pass` decides about the path.
//!
//! | `location` and `proxy_pass` | the client sends | the service gets |
//! |---|---|---|
//! | `/` and `http://127.0.0.1:3000` | `/a//b`, `/a/%7Eb`, `/a/c%2Fd` | the same |
//! | `/v1/` and `http://127.0.0.1:3000/` | `/v1/a//b`, `/v1/a/%7Eb`, `/v1/a/c%2Fd` | `/a/b`, `/a/~b`, `/a/c/d` |
//!
//! So write `proxy_pass` without a path, not even a slash. With a path, nginx decodes the path and merges slashes, and
//! the layer can reject a valid proof. nginx passes on two `DPoP` headers as two. It answers 400 itself to a header of
//! 9000 bytes.
//!
//! # Envoy and load balancers
//!
//! Envoy (`x-forwarded-client-cert`) and AWS (`X-Amzn-Mtls-Clientcert`) send the certificate as URL-encoded PEM. Read
//! it with [`CertificateSource::function`](crate::client_certificate::CertificateSource::function). Your function must
//! check the address of the peer, and the layer does not remove these headers. This was not tried.
