//! The registered claims (RFC 7519 section 4.1) of a verified token.

use std::{fmt, sync::Arc};

use smallvec::SmallVec;

use crate::{UnixTime, json::Span};

/// The registered claims of a verified token.
///
/// One text holds all strings. So they cost one allocation for each token, however many there are.
pub struct RegisteredClaims {
    /// The claims as they were signed. Strings that had escapes are appended without them.
    text: Box<str>,
    /// Length of the claims as they were signed.
    signed: usize,
    issuer: Arc<str>,
    spans: Spans,
    times: Times,
}

/// The positions of the strings in the text.
#[derive(Default)]
pub(crate) struct Spans {
    pub(crate) subject: Option<Span>,
    pub(crate) token_id: Option<Span>,
    pub(crate) session_id: Option<Span>,
    pub(crate) audience: SmallVec<[Span; 2]>,
    /// Each may hold several scopes, separated by spaces.
    pub(crate) scopes: SmallVec<[Span; 2]>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) expires_at: UnixTime,
    pub(crate) not_before: Option<UnixTime>,
    pub(crate) issued_at: Option<UnixTime>,
}

impl RegisteredClaims {
    /// `text` is the claims set that was signed. `unescaped` is the text that the spans need in addition.
    pub(crate) fn new(
        mut text: String,
        unescaped: &str,
        issuer: Arc<str>,
        spans: Spans,
        times: Times,
    ) -> Self {
        let signed = text.len();
        text.push_str(unescaped);
        Self { text: text.into_boxed_str(), signed, issuer, spans, times }
    }

    /// `iss`: the issuer, by the name of the policy that accepted the token. For a multi-tenant issuer, the `iss` of
    /// the token.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.spans.subject.map(|span| self.at(span))
    }

    /// `aud`, or the claim that the policy reads instead.
    #[must_use]
    pub fn audience(&self) -> Audience<'_> {
        Audience(self)
    }

    /// `exp`, without a fraction of a second.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.times.expires_at
    }

    /// `nbf`, without a fraction of a second.
    #[must_use]
    pub fn not_before(&self) -> Option<UnixTime> {
        self.times.not_before
    }

    /// `iat`, without a fraction of a second.
    #[must_use]
    pub fn issued_at(&self) -> Option<UnixTime> {
        self.times.issued_at
    }

    /// `jti`.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.spans.token_id.map(|span| self.at(span))
    }

    /// `sid` (OpenID Connect Front-Channel Logout 1.0 section 3).
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.spans.session_id.map(|span| self.at(span))
    }

    /// `scope` (RFC 8693 section 4.2) and `scp`.
    #[must_use]
    pub fn scopes(&self) -> Scopes<'_> {
        Scopes(self)
    }

    /// The whole claims set as it was signed: a JSON object.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.text.get(..self.signed).unwrap_or_default()
    }

    pub(crate) fn text_length(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn times(&self) -> Times {
        self.times
    }

    pub(crate) fn issuer_arc(&self) -> &Arc<str> {
        &self.issuer
    }

    pub(crate) fn at(&self, span: Span) -> &str {
        // Spans are made together with the text, so they are within it.
        span.of(&self.text).unwrap_or_default()
    }
}

impl fmt::Debug for RegisteredClaims {
    /// Shows only the times: claims must not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredClaims").field("times", &self.times).finish_non_exhaustive()
    }
}

/// `aud`: zero, one or several recipients (RFC 7519 section 4.1.3).
#[derive(Clone, Copy)]
pub struct Audience<'a>(&'a RegisteredClaims);

impl<'a> Audience<'a> {
    /// Whether `audience` is one of them. Compares byte by byte.
    #[must_use]
    pub fn contains(self, audience: &str) -> bool {
        self.iter().any(|member| member == audience)
    }

    /// All recipients.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        self.0.spans.audience.iter().map(|span| self.0.at(*span))
    }
}

impl fmt::Debug for Audience<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audience({} members)", self.iter().count())
    }
}

/// The scopes of a token: `scope` and `scp`. Each is a string with spaces or an array of strings.
#[derive(Clone, Copy)]
pub struct Scopes<'a>(&'a RegisteredClaims);

impl<'a> Scopes<'a> {
    /// Whether `scope` is one of them. Compares byte by byte.
    #[must_use]
    pub fn contains(self, scope: &str) -> bool {
        self.iter().any(|member| member == scope)
    }

    /// All scopes.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        let separated = self.0.spans.scopes.iter().map(|span| self.0.at(*span));
        separated.flat_map(|scopes| scopes.split(' ')).filter(|scope| !scope.is_empty())
    }
}

impl fmt::Debug for Scopes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({} members)", self.iter().count())
    }
}
