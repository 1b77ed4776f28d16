//! Checks that a page of the same origin made a request that carries a cookie.
//!
//! A browser adds cookies to requests that other sites cause. On methods that are not safe and on WebSocket upgrades,
//! the request must show that it is same-origin:
//!
//! 1. If there is `Sec-Fetch-Site` (Fetch Metadata), every line of it must be `same-origin`.
//! 2. Otherwise there must be exactly one `Origin` (RFC 6454 section 7), with the scheme, host and port of the request.
//!    The scheme is compared only if the request has one: in HTTP/2, and in the absolute form of HTTP/1.

#[cfg(test)]
mod tests;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{HOST, ORIGIN, UPGRADE},
};

use crate::RejectionKind;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

pub(super) fn check(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), RejectionKind> {
    let harmless = method.is_safe() && !is_websocket_upgrade(headers);
    if harmless || is_same_origin(uri, headers) { Ok(()) } else { Err(RejectionKind::CrossSite) }
}

/// Whether this is an upgrade of HTTP/1.1 (RFC 6455 section 4.1). In HTTP/2 the upgrade is a CONNECT, which is not a
/// safe method.
fn is_websocket_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get_all(UPGRADE)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|protocol| protocol.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

fn is_same_origin(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        return sites.all(|site| site == "same-origin");
    }
    let Some((scheme, origin)) = only(headers, ORIGIN).and_then(|origin| origin.split_once("://"))
    else {
        return false;
    };
    let default_port = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return false,
    };
    // HTTP/1 does not name the scheme of the request. Then the scheme of the origin is used for both.
    if uri.scheme_str().is_some_and(|own| own != scheme) {
        return false;
    }
    let target = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => only(headers, HOST),
    };
    match (
        host_and_port(origin, default_port),
        target.map(|host| host_and_port(host, default_port)),
    ) {
        (Some((host, port)), Some(Some((target_host, target_port)))) => {
            host.eq_ignore_ascii_case(target_host) && port == target_port
        }
        _ => false,
    }
}

fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut lines = headers.get_all(name).iter();
    let first: &HeaderValue = lines.next()?;
    if lines.next().is_some() { None } else { first.to_str().ok() }
}

/// Splits `host` or `host:port`. Uses the default port if there is none.
fn host_and_port(authority: &str, default_port: u16) -> Option<(&str, u16)> {
    // The colons of an IPv6 address are in brackets.
    let end_of_host = match authority.find(']') {
        Some(bracket) => bracket + 1,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(end_of_host)?;
    if host.is_empty() {
        return None;
    }
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => default_port,
        Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
            digits.parse().ok()?
        }
        _ => return None,
    };
    Some((host, port))
}
