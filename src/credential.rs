//! The one Bearer credential of a request (RFC 9110 section 11, RFC 6750 section 2).
//!
//! Where it may stand:
//!
//! 1. `Authorization: Bearer <token>`, or alone in another header that the service author named.
//! 2. A query parameter, where the service author allowed one.
//! 3. A cookie, where the service author allowed one; looked at only if there is no header.
//!
//! More than one is none: which of two tokens was meant is not for a server to guess.
//!
//! A reader behind the layer may be more lenient than this one: it may trim white space, decode names, or look for
//! `Bearer` further on in a value. A request must not pass as anonymous if such a reader could find a token in it:
//!
//! 1. An `Authorization` whose scheme cannot be parsed is malformed. HTTP/2 carries white space around a value.
//! 2. [`Sources::resembles_a_credential`] finds the others. Optional layers reject them.
//! 3. [`Sources::conceal`] and [`Sources::clear_query`] remove all of them where the credential is removed.

mod cross_site;
mod look_alike;
#[cfg(test)]
mod tests;

use http::{
    HeaderMap, HeaderValue, Method, Uri,
    header::{AUTHORIZATION, COOKIE, HeaderName},
    uri::PathAndQuery,
};

use crate::RejectionKind;

/// Where the credential may stand, and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// `Authorization`, with its scheme; any other header holds the bare token.
    pub(crate) header: HeaderName,
    pub(crate) cookie: Option<Box<str>>,
    pub(crate) cookie_without_csrf_check: bool,
    pub(crate) query: Option<Box<str>>,
    /// Take header and cookie away, rather than mark them as sensitive.
    pub(crate) strip: bool,
    /// Longer tokens are refused unread, in bytes.
    pub(crate) max_token_length: usize,
}

impl Sources {
    pub(crate) fn new(max_token_length: usize) -> Self {
        Self {
            header: AUTHORIZATION,
            cookie: None,
            cookie_without_csrf_check: false,
            query: None,
            strip: false,
            max_token_length,
        }
    }

    /// What the request has where a token may stand: at most so long, and not yet known to be a b64token, which
    /// [`refusal_of`] makes up for.
    pub(crate) fn find<'r>(
        &self,
        method: &Method,
        uri: &'r Uri,
        headers: &'r HeaderMap,
    ) -> Result<Option<&'r [u8]>, RejectionKind> {
        let header = self.in_header(headers)?;
        let query = match &self.query {
            Some(name) => at_most_one(parameters(uri, name))?.map(str::as_bytes),
            None => None,
        };
        let token = match (header, query) {
            (Some(_), Some(_)) => return Err(RejectionKind::MultipleCredentials),
            (Some(token), None) => token,
            (None, query) => match (query, self.in_cookie(headers)?) {
                (Some(_), Some(_)) => return Err(RejectionKind::MultipleCredentials),
                (Some(token), None) => token,
                (None, None) => return Ok(None),
                (None, Some(token)) => {
                    if !self.cookie_without_csrf_check {
                        cross_site::check(method, uri, headers)?;
                    }
                    token
                }
            },
        };
        if token.len() > self.max_token_length {
            return Err(RejectionKind::TokenTooLong);
        }
        Ok(Some(token))
    }

    /// Whether the request has a header or cookie where a token may be, whatever is in it.
    pub(crate) fn is_present(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(&self.header)
            || self.cookie.as_deref().is_some_and(|name| {
                cookie_pairs(headers).any(|pair| look_alike::is_cookie(pair, name))
            })
    }

    /// Whether a lenient reader could find a token where [`find`](Self::find) found none.
    pub(crate) fn resembles_a_credential(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let in_header = self.header == AUTHORIZATION
            && headers.get_all(AUTHORIZATION).iter().any(|line| hides_bearer(line.as_bytes()));
        // An empty cookie of exactly this name is how sites take a cookie back.
        let is_other = |pair: &[u8], name: &str| {
            cookie_value(pair, name).is_none() && look_alike::is_cookie(pair, name)
        };
        in_header
            || self
                .cookie
                .as_deref()
                .is_some_and(|name| cookie_pairs(headers).any(|pair| is_other(pair, name)))
            || self
                .query
                .as_deref()
                .is_some_and(|name| pairs_of(uri).any(|pair| look_alike::is_parameter(pair, name)))
    }

    /// Removes the token from the query, with all parameters that a lenient reader takes for it.
    ///
    /// # Errors
    /// When the URI cannot be put together without it.
    pub(crate) fn clear_query(&self, uri: &mut Uri) -> Result<(), RejectionKind> {
        if let Some(name) = &self.query
            && pairs_of(uri).any(|pair| look_alike::is_parameter(pair, name))
        {
            *uri = without_parameter(uri, name).ok_or(RejectionKind::MalformedCredential)?;
        }
        Ok(())
    }

    /// Removes the header and cookie that can hold a token, or marks every line of them as sensitive; `is_alone` says
    /// that there is no second line of the header.
    pub(crate) fn conceal(&self, headers: &mut HeaderMap, is_alone: bool) {
        if self.strip {
            self.strip_header(headers);
        }
        if !is_alone {
            mark_sensitive(headers, &self.header);
        } else if let Some(line) = headers.get_mut(&self.header) {
            line.set_sensitive(true);
        }
        if let Some(name) = &self.cookie {
            if self.strip {
                strip_cookie(headers, name);
            }
            mark_sensitive(headers, &COOKIE);
        }
    }

    fn in_header<'r>(&self, headers: &'r HeaderMap) -> Result<Option<&'r [u8]>, RejectionKind> {
        let Some(line) = at_most_one(headers.get_all(&self.header).iter())? else {
            return Ok(None);
        };
        if self.header == AUTHORIZATION {
            bearer(line.as_bytes())
        } else {
            Ok(Some(line.as_bytes()))
        }
    }

    /// An empty cookie is how sites take a cookie back, so it is no credential.
    fn in_cookie<'r>(&self, headers: &'r HeaderMap) -> Result<Option<&'r [u8]>, RejectionKind> {
        let Some(name) = &self.cookie else { return Ok(None) };
        let values = cookie_pairs(headers).filter_map(|pair| cookie_value(pair, name));
        Ok(at_most_one(values)?.filter(|value| !value.is_empty()))
    }

    fn strip_header(&self, headers: &mut HeaderMap) {
        let is_ours = |line: &[u8]| !matches!(bearer(line), Ok(None)) || hides_bearer(line);
        if self.header != AUTHORIZATION
            || headers.get_all(AUTHORIZATION).iter().any(|line| is_ours(line.as_bytes()))
        {
            headers.remove(&self.header);
        }
    }
}

fn at_most_one<T>(mut items: impl Iterator<Item = T>) -> Result<Option<T>, RejectionKind> {
    let first = items.next();
    match items.next() {
        Some(_) => Err(RejectionKind::MultipleCredentials),
        None => Ok(first),
    }
}

/// What follows the scheme, in an `Authorization` of the scheme `Bearer`; nothing for another scheme, or no value.
fn bearer(value: &[u8]) -> Result<Option<&[u8]>, RejectionKind> {
    match value.split_at_checked("Bearer ".len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => {
            Ok(Some(skip_spaces(token)))
        }
        _ => no_bearer(value).map(|()| None),
    }
}

/// Whether a value that does not begin with `Bearer` and a space is of another scheme, or empty.
///
/// A scheme that cannot be parsed (RFC 9110 section 11.4) is not another scheme: an HTTP/1 server behind this one trims
/// white space that HTTP/2 lets through, although RFC 9113 section 8.2.1 forbids it, and may then read a token.
fn no_bearer(value: &[u8]) -> Result<(), RejectionKind> {
    let (Some(first), Some(last)) = (value.first(), value.last()) else { return Ok(()) };
    if is_white_space(*first) || is_white_space(*last) {
        return Err(RejectionKind::MalformedCredential);
    }
    let mut parts = value.splitn(2, |byte| *byte == b' ');
    let (scheme, has_more) = (parts.next().unwrap_or_default(), parts.next().is_some());
    let starts_like_ours =
        scheme.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"Bearer"));
    match scheme.iter().all(|byte| is_token_character(*byte)) {
        // With nothing after a name that begins like ours, a space was forgotten.
        true if starts_like_ours && !has_more => Err(RejectionKind::MalformedCredential),
        true => Ok(()),
        // Bytes beyond ASCII are a bad token, unless they follow our name.
        false if !scheme.is_ascii() && !starts_like_ours => Err(RejectionKind::MalformedToken),
        false => Err(RejectionKind::MalformedCredential),
    }
}

/// Whether the word `Bearer` stands somewhere in a value, with white space behind it: `Basic x, Bearer y`.
fn hides_bearer(value: &[u8]) -> bool {
    value.windows("Bearer ".len()).enumerate().any(|(at, window)| {
        let (word, end) = window.split_at("Bearer".len());
        let before = at.checked_sub(1).and_then(|before| value.get(before));
        word.eq_ignore_ascii_case(b"Bearer")
            && end.iter().all(|byte| is_white_space(*byte))
            && !before.is_some_and(|byte| is_token_character(*byte))
    })
}

/// `OWS` (RFC 9110 section 5.6.3).
fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn skip_spaces(mut bytes: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// `tchar` (RFC 9110 section 5.6.2).
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// What is wrong with a request whose token was refused as `kind`.
///
/// What is no b64token is no credential at all, and no token either: all characters of a token are ones of a b64token,
/// and whatever has others is a malformed token. So only those need another look, and good tokens none.
pub(crate) fn refusal_of(token: &[u8], kind: RejectionKind) -> RejectionKind {
    match kind {
        RejectionKind::MalformedToken if !is_b64token(token) => RejectionKind::MalformedCredential,
        kind => kind,
    }
}

/// Whether this is a b64token (RFC 6750 section 2.1).
fn is_b64token(bytes: &[u8]) -> bool {
    let mut unpadded = bytes;
    while let [rest @ .., b'='] = unpadded {
        unpadded = rest;
    }
    // Whole blocks without a branch inside are compared many bytes at a time; the first bad block ends it.
    let is_good =
        |block: &[u8]| block.iter().fold(true, |good, byte| good & is_b64_character(*byte));
    !unpadded.is_empty() && unpadded.chunks(64).all(is_good)
}

fn is_b64_character(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let is_digit_dot_or_slash = byte.wrapping_sub(b'-') < 13;
    is_letter | is_digit_dot_or_slash | (byte == b'_') | (byte == b'~') | (byte == b'+')
}

fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
}

/// The value of a `name=value` pair of a `Cookie` line, if it has this name (RFC 6265 section 4.2.1).
fn cookie_value<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

/// The values of a query parameter. Nothing is percent-decoded: a token needs no escapes, and a name that
/// was escaped is another name.
fn parameters<'r>(uri: &'r Uri, name: &str) -> impl Iterator<Item = &'r str> {
    pairs_of(uri).filter_map(move |pair| parameter_value(pair, name))
}

fn pairs_of(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.query().unwrap_or_default().split('&')
}

fn parameter_value<'p>(pair: &'p str, name: &str) -> Option<&'p str> {
    match pair.strip_prefix(name)? {
        "" => Some(""),
        rest => rest.strip_prefix('='),
    }
}

/// The URI without a query parameter and what looks like it; the others keep their order and bytes.
fn without_parameter(uri: &Uri, name: &str) -> Option<Uri> {
    let kept: Vec<&str> =
        uri.query()?.split('&').filter(|pair| !look_alike::is_parameter(pair, name)).collect();
    let path_and_query = if kept.is_empty() {
        uri.path().to_owned()
    } else {
        format!("{}?{}", uri.path(), kept.join("&"))
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
    Uri::from_parts(parts).ok()
}

/// Keeps the values of a header out of `Debug` and of HPACK's tables (RFC 7541 section 7.1.3).
fn mark_sensitive(headers: &mut HeaderMap, name: &HeaderName) {
    for (_, value) in headers.iter_mut().filter(|(other, _)| *other == name) {
        value.set_sensitive(true);
    }
}

/// Removes every cookie of this name, or one that looks like it, from the `Cookie` lines; a line that held nothing else
/// goes.
fn strip_cookie(headers: &mut HeaderMap, name: &str) {
    let is_ours = |pair: &&[u8]| look_alike::is_cookie(pair, name);
    let pairs = |line: &'_ HeaderValue| -> Vec<Vec<u8>> {
        line.as_bytes()
            .split(|byte| *byte == b';')
            .filter(|pair| !is_ours(pair))
            .map(|pair| pair.trim_ascii().to_vec())
            .collect()
    };
    let kept: Vec<Vec<u8>> = headers
        .get_all(COOKIE)
        .iter()
        .map(|line| pairs(line).join(&b"; "[..]))
        .filter(|line| !line.is_empty())
        .collect();
    headers.remove(COOKIE);
    for line in kept.into_iter().filter_map(|line| HeaderValue::from_bytes(&line).ok()) {
        headers.append(COOKIE, line);
    }
}
