//! The URL of the API as clients see it. Links in answers begin with it.

use std::fmt;

use http::{HeaderMap, Uri, header::HOST};

use tower_bearer::ConfigError;

/// The maximum length of a host, with its port, that is copied into a link.
const MAX_HOST: usize = 255 + 6;

/// The scheme, host and path that an operator has configured.
#[derive(Clone, Debug)]
pub(super) struct PublicUrl(Box<str>);

impl PublicUrl {
    pub(super) fn new(url: &str) -> Result<Self, ConfigError> {
        let error = ConfigError::OutOfRange("public URL, http or https with a host and no query");
        let Ok(uri) = url.parse::<Uri>() else { return Err(error) };
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let is_host = uri.authority().is_some_and(|authority| is_host(authority.as_str()));
        if !is_http || !is_host || uri.query().is_some() || url.contains('#') {
            return Err(error);
        }
        Ok(Self(url.trim_end_matches('/').into()))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `http` and the host of the request. `None` if the request has no host, several hosts, or an invalid one.
///
/// Headers such as `X-Forwarded-Host` are ignored, because every client can send them.
pub(super) fn of_request(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next(), uri.authority()) {
        (_, Some(_), _) => return None,
        // An absolute target takes precedence over the header (RFC 9112 section 3.2.2). HTTP/2 has only the target.
        (_, None, Some(authority)) => authority.as_str(),
        (Some(host), None, None) => host.to_str().ok()?,
        (None, None, None) => return None,
    };
    is_host(host).then(|| format!("http://{host}"))
}

/// Accepts a name, an IPv4 address, or an IPv6 address in brackets, with an optional port. No accepted character can
/// end the host in a URL.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => {
            (host.get(..colon).unwrap_or_default(), host.get(colon + 1..))
        }
        _ => (host, None),
    };
    let is_port = |port: &str| {
        (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
    };
    let is_name = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !name.is_empty() && name.bytes().all(is_part)
        }
    };
    host.len() <= MAX_HOST && is_name && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for host in ["a", "api.example.org", "a_b", "127.0.0.1:3000", "[::1]", "[::1]:3000", "a:80"]
        {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "", ":80", "a:", "a:b", "a:123456", "a/b", "a?b", "a#b", "a@b", "a b", "a\\b", "::1",
            "[::1", "[a]", "a:1:2", "\"", "<a>", "é", "[::1]x:3",
        ] {
            assert!(!is_host(host), "{host}");
        }
        assert!(!is_host(&"a".repeat(300)));
    }

    #[test]
    fn a_public_url_is_http_with_a_host_and_an_optional_path() {
        for url in ["https://api.example.org", "http://[::1]:3000/", "https://example.org/service"]
        {
            assert!(PublicUrl::new(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "example.org",
            "/path",
            "ftp://a",
            "https://",
            "https://user@a",
            "https://a?b",
            "https://a#b",
            "javascript:alert(1)",
        ] {
            assert!(PublicUrl::new(url).is_err(), "{url}");
        }
    }
}
