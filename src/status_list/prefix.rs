//! The URLs under which an issuer may publish status lists: a token names a URL, and a configured prefix must allow it.

use std::fmt;

use http::Uri;

use crate::{ConfigError, jwks::Address};

/// A URL without query. It allows every URL with the same scheme, host and port whose path has the same first segments.
#[derive(Clone)]
pub(super) struct Prefix {
    address: Address,
    location: Location,
}

#[derive(Clone, PartialEq, Eq)]
struct Location {
    scheme: Box<str>,
    host: Box<str>,
    port: u16,
    segments: Vec<Box<str>>,
}

impl Prefix {
    pub(super) fn parse(url: &str) -> Result<Self, ConfigError> {
        let address = Address::parse(url)?;
        if url.contains('?') {
            return Err(ConfigError::InvalidUrl("a prefix without a query"));
        }
        let mut location = Location::parse(url).ok_or(ConfigError::InvalidUrl(
            "a prefix whose path has no `.`, `..`, empty or escaped segments",
        ))?;
        // `https://issuer.example/lists/` means the same as `https://issuer.example/lists`.
        location.segments.pop_if(|last| last.is_empty());
        Ok(Self { address, location })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The address of the list at `url`, if one of the prefixes allows it.
    pub(super) fn allowed(prefixes: &[Self], url: &str) -> Option<Address> {
        let address = Address::parse(url).ok()?;
        let location = Location::parse(url)?;
        prefixes.iter().any(|prefix| prefix.location.contains(&location)).then_some(address)
    }
}

impl Location {
    /// `None` if two readers of the URL could find different locations in it: `..` and its escapes, backslashes, empty
    /// segments.
    fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let default_port = if scheme == "https" { 443 } else { 80 };
        let path = uri.path();
        let lower = path.to_ascii_lowercase();
        if ["%2e", "%2f", "%5c", "%25", "\\"].iter().any(|part| lower.contains(part)) {
            return None;
        }
        let segments: Vec<Box<str>> = path.strip_prefix('/')?.split('/').map(Box::from).collect();
        let (last, others) = segments.split_last()?;
        let is_relative = |segment: &str| segment == "." || segment == "..";
        if is_relative(last) || others.iter().any(|one| one.is_empty() || is_relative(one)) {
            return None;
        }
        // A port that is not a number is not the default port.
        let authority = uri.authority()?.as_str();
        let has_port = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest).contains(':');
        let port = if has_port { uri.port_u16()? } else { default_port };
        let host = uri.host()?.to_ascii_lowercase().into();
        Some(Self { scheme: scheme.into(), host, port, segments })
    }

    fn contains(&self, other: &Self) -> bool {
        self.scheme == other.scheme
            && self.host == other.host
            && self.port == other.port
            && other.segments.starts_with(&self.segments)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.address, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(prefix: &str, url: &str) -> bool {
        Prefix::allowed(&[Prefix::parse(prefix).unwrap()], url).is_some()
    }

    #[test]
    fn urls_under_the_prefix_are_allowed() {
        for (prefix, url) in [
            ("https://issuer.example", "https://issuer.example/1"),
            ("https://issuer.example/", "https://issuer.example/a/b"),
            ("https://issuer.example/lists", "https://issuer.example/lists"),
            ("https://issuer.example/lists", "https://issuer.example/lists/1"),
            ("https://issuer.example/lists/", "https://issuer.example/lists/1?of=2026"),
            ("https://issuer.example/lists", "HTTPS://ISSUER.example:443/lists/a%20b"),
            ("https://issuer.example:8443/lists", "https://issuer.example:8443/lists/1"),
            ("https://[2001:db8::1]/lists", "https://[2001:db8::1]:443/lists/1"),
        ] {
            assert!(allows(prefix, url), "{prefix} {url}");
        }
    }

    #[test]
    fn other_urls_are_not() {
        for url in [
            "",
            "/lists/1",
            "issuer.example/lists/1",
            "http://issuer.example/lists/1",
            "http://issuer.example:443/lists/1",
            "https://issuer.example:8443/lists/1",
            "https://issuer.example:/lists/1",
            "https://issuer.example./lists/1",
            "https://issuer.example.evil.example/lists/1",
            "https://evil.example/issuer.example/lists/1",
            "https://evil-issuer.example/lists/1",
            "https://issuer.example@evil.example/lists/1",
            "https://issuer.example/lists/1#fragment",
            "https://user@issuer.example/lists/1",
            "https://issuer.example/",
            "https://issuer.example/list",
            "https://issuer.example/lists2/1",
            "https://issuer.example/LISTS/1",
            "https://issuer.example//lists/1",
            "https://issuer.example/lists//1",
            "https://issuer.example/lists/../other",
            "https://issuer.example/lists/..",
            "https://issuer.example/lists/./1",
            "https://issuer.example/lists/%2e%2E/other",
            "https://issuer.example/lists/%252e%252e/other",
            "https://issuer.example/lists%2f1",
            "https://issuer.example/lists/..%2fother",
            "https://issuer.example/lists/..\\other",
            "https://issuer.example/lists/..%5Cother",
            "https://issuer.example?/lists/1",
            "https://issuer.example/?x=/lists/1",
            "https://issuer.example/other?x=/../lists/1",
        ] {
            assert!(!allows("https://issuer.example/lists", url), "{url}");
        }
    }

    #[test]
    fn a_prefix_that_is_ambiguous_is_an_error() {
        for url in [
            "lists",
            "ftp://issuer.example/lists",
            "https://user@issuer.example/lists",
            "https://issuer.example/lists?x",
            "https://issuer.example/lists#x",
            "https://issuer.example/../lists",
            "https://issuer.example//lists",
            "https://issuer.example/%2e%2e",
        ] {
            assert!(matches!(Prefix::parse(url), Err(ConfigError::InvalidUrl(_))), "{url}");
        }
    }
}
