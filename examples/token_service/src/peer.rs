//! The client's address behind a proxy.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderName, request::Parts},
};

/// The last address of the last line of this header: the proxy has added it. The client may have written the addresses
/// before it. If the header is absent or its last part is not an address, it is the address of the connection: then the
/// request did not pass the proxy.
pub(crate) fn address(parts: &Parts, header: &HeaderName) -> Option<IpAddr> {
    let last = parts.headers.get_all(header).into_iter().next_back();
    let last = last.and_then(|value| value.to_str().ok()).and_then(|text| text.rsplit(',').next());
    let named = last.map(str::trim).and_then(|text| {
        text.parse().or_else(|_| text.parse().map(|with_port: SocketAddr| with_port.ip())).ok()
    });
    let connection = || parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    named.or_else(connection)
}
