//! Finds the one credential of a request (RFC 9110 section 11, RFC 6750 section 2, RFC 9449 section 7.1).
//!
//! The credential may be in these places:
//!
//! 1. `Authorization: Bearer <token>`, or with DPoP also `Authorization: DPoP <token>`. Or another header that the
//!    service author named, which holds only the token.
//! 2. A query parameter, if the service author allowed one.
//! 3. A cookie, if the service author allowed one. It is ignored if the header has a token.
//!
//! A request with more than one credential is rejected: the server must not guess which token the client meant.
//!
//! A reader behind the layer may be more lenient than this one. It may trim white space, decode names, or search the
//! rest of a value for `Bearer` or `DPoP`. A request must not pass as anonymous if such a reader could find a token in
//! it:
//!
//! 1. An `Authorization` whose scheme cannot be parsed is malformed. HTTP/2 carries white space around a value.
//! 2. [`Sources::resembles_a_credential`] finds the others. Optional layers reject them.
//! 3. [`Sources::conceal`] and [`Sources::clear_query`] remove all of them if the credential is removed.

mod cross_site;
mod look_alike;
#[cfg(test)]
mod tests;

use base64_simd::URL_SAFE_NO_PAD;
use http::{
    HeaderMap, HeaderValue, Method, Uri,
    header::{AUTHORIZATION, COOKIE, HeaderName},
    uri::PathAndQuery,
};

use self::look_alike::is_token_character;
use crate::{RejectionKind, dpop};

/// The scheme of a credential. A token outside of `Authorization` counts as `Bearer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Bearer,
    DPoP,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::DPoP => "DPoP",
        }
    }
}

/// A token that was found, with its scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Credential<'r> {
    pub(crate) scheme: Scheme,
    /// It may still be something other than a b64token: [`corrected_kind`] handles that.
    pub(crate) token: &'r [u8],
}

impl<'r> Credential<'r> {
    fn bearer(token: &'r [u8]) -> Self {
        Self { scheme: Scheme::Bearer, token }
    }
}

/// Where the credential may be, and whether it is removed.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// `Authorization`, with its scheme. Any other header holds only the token.
    pub(crate) header: HeaderName,
    /// The schemes that `Authorization` may have.
    pub(crate) schemes: &'static [Scheme],
    pub(crate) cookie: Option<Box<str>>,
    pub(crate) cookie_without_csrf_check: bool,
    pub(crate) query: Option<Box<str>>,
    /// Remove header and cookie, instead of marking them as sensitive.
    pub(crate) strip: bool,
    /// Maximum length in bytes. Longer tokens are rejected unread.
    pub(crate) max_token_length: usize,
}

impl Sources {
    pub(crate) fn new(max_token_length: usize) -> Self {
        Self {
            header: AUTHORIZATION,
            schemes: &[Scheme::Bearer],
            cookie: None,
            cookie_without_csrf_check: false,
            query: None,
            strip: false,
            max_token_length,
        }
    }

    /// Accepts the scheme `DPoP`, too.
    pub(crate) fn accept_dpop(&mut self) {
        self.schemes = &[Scheme::Bearer, Scheme::DPoP];
    }

    /// The ways of RFC 6750 section 2 in which this layer reads a token, by their names in RFC 9728 section 2.
    pub(crate) fn bearer_methods(&self) -> Vec<&'static str> {
        let header = (self.header == AUTHORIZATION).then_some("header");
        let query = (self.query.as_deref() == Some("access_token")).then_some("query");
        header.into_iter().chain(query).collect()
    }

    /// The credential of the request. Its token is at most `max_token_length` bytes long.
    pub(crate) fn find<'r>(
        &self,
        method: &Method,
        uri: &'r Uri,
        headers: &'r HeaderMap,
    ) -> Result<Option<Credential<'r>>, RejectionKind> {
        let header = self.in_header(headers)?;
        let query = match &self.query {
            Some(name) => at_most_one(parameters(uri, name))?.map(str::as_bytes),
            None => None,
        };
        let credential = match (header, query) {
            (Some(_), Some(_)) => return Err(RejectionKind::MultipleCredentials),
            (Some(credential), None) => credential,
            (None, query) => match (query, self.in_cookie(headers)?) {
                (Some(_), Some(_)) => return Err(RejectionKind::MultipleCredentials),
                (Some(token), None) => Credential::bearer(token),
                (None, None) => return Ok(None),
                (None, Some(token)) => {
                    if !self.cookie_without_csrf_check {
                        cross_site::check(method, uri, headers)?;
                    }
                    Credential::bearer(token)
                }
            },
        };
        if credential.token.len() > self.max_token_length {
            return Err(RejectionKind::TokenTooLong);
        }
        Ok(Some(credential))
    }

    /// Whether the request has a header or cookie where a token may be. The value does not matter.
    pub(crate) fn is_present(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(&self.header)
            || self.cookie.as_deref().is_some_and(|name| {
                cookie_pairs(headers).any(|pair| look_alike::is_cookie(pair, name))
            })
    }

    /// Whether a lenient reader could find a token although [`find`](Self::find) found none.
    pub(crate) fn resembles_a_credential(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let in_header = self.header == AUTHORIZATION
            && headers.get_all(AUTHORIZATION).iter().any(|line| self.hides(line.as_bytes()));
        // Sites delete a cookie by making it empty, so an empty cookie of exactly this name is not suspicious.
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

    /// Removes the token from the query, with all parameters that a lenient reader could mistake for it.
    ///
    /// # Errors
    /// If the URI is not valid without it.
    pub(crate) fn clear_query(&self, uri: &mut Uri) -> Result<(), RejectionKind> {
        if let Some(name) = &self.query
            && pairs_of(uri).any(|pair| look_alike::is_parameter(pair, name))
        {
            *uri = without_parameter(uri, name).ok_or(RejectionKind::MalformedCredential)?;
        }
        Ok(())
    }

    /// Removes the headers and the cookie that can hold a token or a proof, or marks every line of them as sensitive.
    /// `is_alone` means that there is no second line of the header.
    pub(crate) fn conceal(&self, headers: &mut HeaderMap, is_alone: bool) {
        if self.strip {
            self.strip_header(headers);
        }
        if !is_alone {
            mark_sensitive(headers, &self.header);
        } else if let Some(line) = headers.get_mut(&self.header) {
            line.set_sensitive(true);
        }
        if self.schemes.contains(&Scheme::DPoP) {
            if self.strip {
                headers.remove(&dpop::PROOF);
            }
            mark_sensitive(headers, &dpop::PROOF);
        }
        if let Some(name) = &self.cookie {
            if self.strip {
                strip_cookie(headers, name);
            }
            mark_sensitive(headers, &COOKIE);
        }
    }

    fn in_header<'r>(
        &self,
        headers: &'r HeaderMap,
    ) -> Result<Option<Credential<'r>>, RejectionKind> {
        let Some(line) = at_most_one(headers.get_all(&self.header).iter())? else {
            return Ok(None);
        };
        if self.header == AUTHORIZATION {
            self.in_authorization(line.as_bytes())
        } else {
            Ok(Some(Credential::bearer(line.as_bytes())))
        }
    }

    /// The text after an accepted scheme in an `Authorization`. `None` for another scheme and for an empty value.
    fn in_authorization<'r>(
        &self,
        value: &'r [u8],
    ) -> Result<Option<Credential<'r>>, RejectionKind> {
        for scheme in self.schemes {
            if let Some((name, rest)) = value.split_at_checked(scheme.name().len())
                && let [b' ', token @ ..] = rest
                && name.eq_ignore_ascii_case(scheme.name().as_bytes())
            {
                return Ok(Some(Credential { scheme: *scheme, token: skip_spaces(token) }));
            }
        }
        self.check_other_scheme(value).map(|()| None)
    }

    /// Whether a value that does not begin with an accepted scheme and a space is of another scheme, or empty.
    ///
    /// A scheme that cannot be parsed (RFC 9110 section 11.4) is not another scheme. HTTP/2 lets white space through,
    /// although RFC 9113 section 8.2.1 forbids it. An HTTP/1 server behind this one trims that white space and may then
    /// read a token.
    fn check_other_scheme(&self, value: &[u8]) -> Result<(), RejectionKind> {
        let (Some(first), Some(last)) = (value.first(), value.last()) else { return Ok(()) };
        if is_white_space(*first) || is_white_space(*last) {
            return Err(RejectionKind::MalformedCredential);
        }
        let mut parts = value.splitn(2, |byte| *byte == b' ');
        let (scheme, has_more) = (parts.next().unwrap_or_default(), parts.next().is_some());
        let starts_like_ours = self.schemes.iter().any(|own| {
            let start = scheme.get(..own.name().len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(own.name().as_bytes()))
        });
        match scheme.iter().all(|byte| is_token_character(*byte)) {
            // The value begins with the name of our scheme and nothing follows: the space was forgotten.
            true if starts_like_ours && !has_more => Err(RejectionKind::MalformedCredential),
            true => Ok(()),
            // Non-ASCII bytes are an invalid token, unless they follow the name of our scheme.
            false if !scheme.is_ascii() && !starts_like_ours => Err(RejectionKind::MalformedToken),
            false => Err(RejectionKind::MalformedCredential),
        }
    }

    /// Whether a value contains the name of an accepted scheme with white space behind it, as in `Basic x, Bearer y`.
    fn hides(&self, value: &[u8]) -> bool {
        self.schemes.iter().any(|scheme| hides_word(value, scheme.name()))
    }

    /// Sites delete a cookie by making it empty, so an empty cookie is not a credential.
    fn in_cookie<'r>(&self, headers: &'r HeaderMap) -> Result<Option<&'r [u8]>, RejectionKind> {
        let Some(name) = &self.cookie else { return Ok(None) };
        let values = cookie_pairs(headers).filter_map(|pair| cookie_value(pair, name));
        Ok(at_most_one(values)?.filter(|value| !value.is_empty()))
    }

    fn strip_header(&self, headers: &mut HeaderMap) {
        let is_ours =
            |line: &[u8]| !matches!(self.in_authorization(line), Ok(None)) || self.hides(line);
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

/// Whether a value contains this word with white space behind it.
fn hides_word(value: &[u8], word: &str) -> bool {
    value.windows(word.len() + 1).enumerate().any(|(at, window)| {
        let (start, end) = window.split_at(word.len());
        let before = at.checked_sub(1).and_then(|before| value.get(before));
        start.eq_ignore_ascii_case(word.as_bytes())
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

/// Corrects the kind of a rejection of this token.
///
/// A text that is not a b64token is a malformed credential. It cannot be a token, because every character of a token is
/// allowed in a b64token. So any such text is first rejected as a malformed token, and only malformed tokens need this
/// second check. Valid tokens do not pay for it.
pub(crate) fn corrected_kind(token: &[u8], kind: RejectionKind) -> RejectionKind {
    match kind {
        RejectionKind::MalformedToken if !is_b64token(token) => RejectionKind::MalformedCredential,
        kind => kind,
    }
}

/// Whether this is a b64token (RFC 6750 section 2.1).
fn is_b64token(bytes: &[u8]) -> bool {
    // Base64url is a part of it, and this check has instructions for many bytes. It rejects nothing here.
    if !bytes.is_empty() && URL_SAFE_NO_PAD.check(bytes).is_ok() {
        return true;
    }
    let mut unpadded = bytes;
    while let [rest @ .., b'='] = unpadded {
        unpadded = rest;
    }
    // Whole blocks without a branch inside are compared many bytes at a time. The first bad block ends the loop.
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

/// The values of a query parameter. The code does not percent-decode: a token needs no escapes, and an escaped name is
/// a different name.
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

/// The URI without a query parameter and everything that looks like it. The other parameters keep their order and
/// bytes.
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

/// Keeps the values of a header out of `Debug` and out of HPACK's tables (RFC 7541 section 7.1.3).
fn mark_sensitive(headers: &mut HeaderMap, name: &HeaderName) {
    for (_, value) in headers.iter_mut().filter(|(other, _)| *other == name) {
        value.set_sensitive(true);
    }
}

/// Removes every cookie of this name, or with a name that looks like it, from the `Cookie` lines. Removes a line that
/// is then empty.
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
