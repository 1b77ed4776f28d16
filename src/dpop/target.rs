//! Compares `htu` with the URL of the request (RFC 9449 section 4.3, check 9).
//!
//! Scheme, host and port come from the settings, never from the request.

use std::borrow::Cow;

use http::Uri;

use crate::ConfigError;

/// A public base URL, normalised. Without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Base(Box<str>);

impl Base {
    pub(super) fn new(url: &str) -> Result<Self, ConfigError> {
        let expected = |what| Err(ConfigError::InvalidDpop(what));
        let Ok(uri) = url.parse::<Uri>() else { return expected("an absolute public URL") };
        if !matches!(uri.scheme_str(), Some("https" | "http")) || uri.host().is_none() {
            return expected("a public URL that begins with https:// or http://");
        }
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return expected("a public URL without credentials");
        }
        if url.contains(['?', '#']) {
            return expected("a public URL without query and fragment");
        }
        match normalised(url) {
            Some(url) => Ok(Self(url.trim_end_matches('/').into())),
            None => expected("a public URL with only the characters of RFC 3986 section 2"),
        }
    }
}

/// Whether `htu` is the URL of a request with this path, below one of the bases. Query and fragment of `htu` do not
/// count.
pub(super) fn is_same(htu: &str, bases: &[Base], path: &str) -> bool {
    // The target `*` of `OPTIONS` names no URL.
    if !path.starts_with('/') {
        return false;
    }
    let end = htu.find(['?', '#']).unwrap_or(htu.len());
    let htu = htu.get(..end).unwrap_or_default();
    // The usual spelling needs no copy.
    let is_equal = |base: &Base| htu.strip_prefix(&*base.0).is_some_and(|rest| rest == path);
    if is_plain(path) && bases.iter().any(is_equal) {
        return true;
    }
    let Some(htu) = normalised(htu) else { return false };
    bases.iter().any(|base| normalised(&format!("{}{path}", base.0)).is_some_and(|url| url == htu))
}

/// Whether a path is normalised for certain.
fn is_plain(path: &str) -> bool {
    !path.contains('%') && !path.contains("/.")
}

/// The URL after the normalisation of RFC 3986 sections 6.2.2 and 6.2.3. `None` if it is not an absolute `http` or
/// `https` URL, or if it has characters that no URL has.
fn normalised(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = percent_normalised(authority)?.to_ascii_lowercase();
    // A port may be empty.
    let without_port = authority.strip_suffix(default_port).or_else(|| authority.strip_suffix(':'));
    let authority = without_port.unwrap_or(&authority);
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let path = percent_normalised(path)?;
    Some(format!("{scheme}://{authority}{}", without_dot_segments(&path)))
}

/// Decodes encoded unreserved characters and writes other encodings with capital letters (RFC 3986 sections 6.2.2.1
/// and 6.2.2.2).
fn percent_normalised(text: &str) -> Option<Cow<'_, str>> {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte);
    if !text.bytes().all(is_allowed) {
        return None;
    }
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut parts = text.split('%');
    let mut normalised = String::with_capacity(text.len());
    normalised.push_str(parts.next()?);
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(digits, 16).ok()?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            normalised.push(byte.into());
        } else {
            normalised.push('%');
            normalised.push_str(&digits.to_ascii_uppercase());
        }
        normalised.push_str(rest);
    }
    Some(Cow::Owned(normalised))
}

/// RFC 3986 section 5.2.4. An empty path becomes `/`.
fn without_dot_segments(path: &str) -> Cow<'_, str> {
    if path.is_empty() {
        return Cow::Borrowed("/");
    }
    if !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => _ = kept.pop(),
            _ => {
                kept.push(segment);
                continue;
            }
        }
        // `/a/.` names the same as `/a/`.
        if is_last {
            kept.push("");
        }
    }
    Cow::Owned(format!("/{}", kept.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(htu: &str, base: &str, path: &str) -> bool {
        is_same(htu, &[Base::new(base).unwrap()], path)
    }

    #[test]
    fn equivalent_urls_are_the_same_target() {
        for (htu, base, path) in [
            ("https://api.example/orders", "https://api.example", "/orders"),
            ("https://api.example/orders?x=1", "https://api.example", "/orders"),
            ("https://api.example/orders#x", "https://api.example/", "/orders"),
            ("HTTPS://API.Example:443/orders", "https://api.example", "/orders"),
            ("https://api.example/orders", "https://API.example:443", "/orders"),
            ("http://api.example:80/", "http://api.example", "/"),
            ("https://api.example", "https://api.example", "/"),
            ("https://api.example:/x", "https://api.example", "/x"),
            ("https://api.example/a/./b/../c", "https://api.example", "/a/c"),
            ("https://api.example/a/c", "https://api.example", "/a/b/../c"),
            ("https://api.example/a/", "https://api.example", "/a/b/.."),
            ("https://api.example/%7Eme/%c3%a4", "https://api.example", "/~me/%C3%A4"),
            ("https://api.example/v1/orders", "https://api.example/v1", "/orders"),
            ("https://api.example/v1/orders", "https://api.example/v1/", "/orders"),
            ("https://[::1]:8443/x", "https://[::1]:8443", "/x"),
        ] {
            assert!(same(htu, base, path), "{htu} {base} {path}");
        }
    }

    #[test]
    fn other_urls_are_another_target() {
        for (htu, base, path) in [
            ("http://api.example/orders", "https://api.example", "/orders"),
            ("https://api.example.evil/orders", "https://api.example", "/orders"),
            ("https://api.example:444/orders", "https://api.example", "/orders"),
            ("https://api.example:80/orders", "https://api.example", "/orders"),
            ("https://api.example::443/orders", "https://api.example", "/orders"),
            ("https://user@api.example/orders", "https://api.example", "/orders"),
            ("https://api.example/Orders", "https://api.example", "/orders"),
            ("https://api.example/orders/", "https://api.example", "/orders"),
            ("https://api.example//orders", "https://api.example", "/orders"),
            ("https://api.example/a%2Fb", "https://api.example", "/a/b"),
            ("https://api.example/orders", "https://api.example/v1", "/orders"),
            ("https://api.example/v10/orders", "https://api.example/v1", "/orders"),
            ("/orders", "https://api.example", "/orders"),
            ("orders", "https://api.example", "/orders"),
            ("", "https://api.example", "/orders"),
            ("https://", "https://api.example", "/"),
            ("https://api.example/%zz", "https://api.example", "/%zz"),
            ("https://api.example/%", "https://api.example", "/%"),
            ("https://api.example/\u{e4}", "https://api.example", "/%C3%A4"),
            ("https://api.example/ x", "https://api.example", "/%20x"),
            ("https://api.example*", "https://api.example", "*"),
            ("https://api.examplex", "https://api.example", "x"),
            ("ftp://api.example/x", "https://api.example", "/x"),
        ] {
            assert!(!same(htu, base, path), "{htu} {base} {path}");
        }
    }

    #[test]
    fn dot_segments_are_removed_as_in_rfc_3986() {
        for (path, expected) in [
            ("/a/b/c/./../../g", "/a/g"),
            ("/..", "/"),
            ("/../a", "/a"),
            ("/a/.", "/a/"),
            ("/a/..", "/"),
            ("/a/.b/..c", "/a/.b/..c"),
            ("/a//../b", "/a/b"),
        ] {
            assert_eq!(without_dot_segments(path), expected, "{path}");
        }
    }

    #[test]
    fn a_base_is_an_absolute_web_url_without_query() {
        for url in [
            "",
            "api.example",
            "/orders",
            "ftp://api.example",
            "https://user@api.example",
            "https://api.example?x",
            "https://api.example#x",
            "https://api.example/%zz",
        ] {
            assert!(matches!(Base::new(url), Err(ConfigError::InvalidDpop(_))), "{url}");
        }
    }
}
