//! The client's address behind a proxy.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderName, request::Parts},
};

/// The last address of the last such header: the one that the proxy has added. What stands before it the client may have
/// written itself. Without one it is the connection's address: the request came around the proxy.
pub(crate) fn address(parts: &Parts, header: &HeaderName) -> Option<IpAddr> {
    let last = parts.headers.get_all(header).into_iter().next_back();
    let last = last.and_then(|value| value.to_str().ok()).and_then(|text| text.rsplit(',').next());
    let named = last.map(str::trim).and_then(|text| {
        text.parse().or_else(|_| text.parse().map(|with_port: SocketAddr| with_port.ip())).ok()
    });
    let connection = || parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    named.or_else(connection)
}
