//! The URLs from which keys may be fetched, for the configuration and for metadata.

use std::{fmt, net::IpAddr};

use http::Uri;

use super::local_address::is_local_host;
use crate::ConfigError;

/// An absolute `http` or `https` address without credentials.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    url: Box<str>,
    host: Box<str>,
    is_secure: bool,
    /// Metadata named the URL, and it must not be on this machine or its link.
    must_be_remote: bool,
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Self, ConfigError> {
        let uri: Uri = url.parse().map_err(|_| ConfigError::InvalidUrl("an absolute URL"))?;
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or(ConfigError::InvalidUrl("a URL with a host"))?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(ConfigError::InvalidUrl("a URL without credentials"));
        }
        // `Uri` silently drops a fragment.
        if url.contains('#') {
            return Err(ConfigError::InvalidUrl("a URL without a fragment"));
        }
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_loopback(host),
            _ => return Err(ConfigError::InvalidUrl("a URL that begins with https://")),
        };
        Ok(Self { url: url.into(), host: host.into(), is_secure, must_be_remote: false })
    }

    /// This URL, if the metadata at `source` may name it. `None` if `source` is elsewhere and this URL is on this
    /// machine or its link.
    pub(crate) fn named_by(mut self, source: &Self) -> Option<Self> {
        let is_same_origin =
            self.origin_and_path().0.eq_ignore_ascii_case(source.origin_and_path().0);
        self.must_be_remote = !is_same_origin && !is_local_host(&source.host);
        (!self.must_be_remote || !is_local_host(&self.host)).then_some(self)
    }

    /// Whether a client must not connect to this machine or its link, whatever the name resolves to.
    pub(crate) fn must_be_remote(&self) -> bool {
        self.must_be_remote
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }

    /// Whether an attacker on the network cannot change the answer: TLS protects it, or the URL is on this machine.
    pub(crate) fn is_secure(&self) -> bool {
        self.is_secure
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }

    /// Splits the URL after the host and port.
    pub(crate) fn origin_and_path(&self) -> (&str, &str) {
        let authority = self.url.find("://").map_or(0, |colon| colon + "://".len());
        let path = self.url.get(authority..).and_then(|rest| rest.find(['/', '?']));
        self.url
            .split_at_checked(path.map_or(self.url.len(), |path| authority + path))
            .unwrap_or_default()
    }
}

impl fmt::Debug for Address {
    /// Leaves out the query, which may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.url.split_once('?').map_or(&*self.url, |(address, _)| address);
        fmt::Debug::fmt(shown, f)
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_and_the_own_machine_are_secure() {
        for url in [
            "https://issuer.example",
            "https://issuer.example:8443/keys?p=policy",
            "http://localhost/keys",
            "http://LOCALHOST:8080",
            "http://127.0.0.1:8080/keys",
            "http://127.1.2.3",
            "http://[::1]:8080/keys",
        ] {
            assert!(Address::parse(url).unwrap().is_secure(), "{url}");
        }
    }

    #[test]
    fn plain_http_to_others_is_not() {
        for url in [
            "http://issuer.example/keys",
            "http://localhost.issuer.example",
            "http://127.0.0.1.issuer.example",
            "http://10.0.0.1",
            "http://[::2]/",
        ] {
            assert!(!Address::parse(url).unwrap().is_secure(), "{url}");
        }
    }

    #[test]
    fn a_text_that_is_not_a_web_url_is_rejected() {
        for url in [
            "",
            "keys",
            "/keys",
            "issuer.example/keys",
            "https://",
            "https:///keys",
            "file:///etc/passwd",
            "ftp://issuer.example",
            "https://user:password@issuer.example/keys",
            "https://issuer.example/keys#fragment",
            "https://issuer.example/a key",
        ] {
            assert!(matches!(Address::parse(url), Err(ConfigError::InvalidUrl(_))), "{url}");
        }
    }

    #[test]
    fn a_query_is_not_shown() {
        let shown =
            format!("{:?}", Address::parse("https://issuer.example/keys?k=secret").unwrap());
        assert_eq!(shown, "\"https://issuer.example/keys\"");
    }
}
