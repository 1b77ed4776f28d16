//! The registered claims (RFC 7519 section 4.1): reads them with their exact types, and keeps them with a verified
//! token.
//!
//! A claim with the wrong type is an error. It is never treated as absent: a reader that treats `"exp":"never"` as an
//! absent `exp` accepts tokens that never expire.

use std::{fmt, mem, sync::Arc};

use smallvec::SmallVec;

use crate::{
    RejectionKind, UnixTime,
    json::{Object, Span, Text, Value},
};

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

/// The maximum number of seconds. Above 2^53, not every JSON reader gets the same integer.
const MAX_SECONDS: u64 = 1 << 53;

/// The claims that are read in every token. Each is searched for once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    Iss,
    Sub,
    Aud,
    Exp,
    Nbf,
    Iat,
    Jti,
    Sid,
    Scope,
    Scp,
    Cnf,
    TokenType,
    Status,
}

const REGISTERED: usize = 13;

impl Registered {
    fn from_name(name: &str) -> Option<Self> {
        // Bytes, because they are compared one by one, without a call.
        Some(match name.as_bytes() {
            b"iss" => Self::Iss,
            b"sub" => Self::Sub,
            b"aud" => Self::Aud,
            b"exp" => Self::Exp,
            b"nbf" => Self::Nbf,
            b"iat" => Self::Iat,
            b"jti" => Self::Jti,
            b"sid" => Self::Sid,
            b"scope" => Self::Scope,
            b"scp" => Self::Scp,
            b"cnf" => Self::Cnf,
            b"token_type" => Self::TokenType,
            b"status" => Self::Status,
            _ => return None,
        })
    }
}

/// A claims set that was read once, and the positions of its strings.
pub(crate) struct ClaimsSet<'t> {
    members: Object<'t>,
    /// The position of each [`Registered`] claim among the members.
    positions: [u32; REGISTERED],
    /// Strings that had escapes, without them. They will be appended to the text.
    unescaped: String,
}

/// A position that no member has.
const ABSENT: u32 = u32::MAX;

impl<'t> ClaimsSet<'t> {
    /// A claims set without claims, before [`read`](Self::read). It is filled in place, because it is large.
    pub(crate) fn unread(text: &'t str) -> Self {
        let members = Object::unread(text);
        Self { members, positions: [ABSENT; REGISTERED], unescaped: String::new() }
    }

    pub(crate) fn read(&mut self) -> Option<()> {
        self.members.read()?;
        for (position, name) in (0..).zip(self.members.names()) {
            let registered = match name.plain() {
                Some(name) => Registered::from_name(name),
                None => Registered::from_name(&name.resolve()),
            };
            let slot = registered.and_then(|claim| self.positions.get_mut(claim as usize));
            if let Some(slot) = slot {
                *slot = position;
            }
        }
        Some(())
    }

    pub(crate) fn get(&self, claim: Registered) -> Option<Value<'t>> {
        self.members.at(self.position(claim)?)
    }

    pub(crate) fn members(&self) -> &Object<'t> {
        &self.members
    }

    /// The text that must be appended to the claims for the spans that were returned.
    pub(crate) fn take_unescaped(&mut self) -> String {
        mem::take(&mut self.unescaped)
    }

    /// A `NumericDate` (RFC 7519 section 2): seconds since the Unix epoch. A fraction is cut off.
    pub(crate) fn numeric_date(
        &self,
        claim: Registered,
    ) -> Result<Option<UnixTime>, RejectionKind> {
        match self.get(claim) {
            None => Ok(None),
            Some(Value::Number(literal)) => {
                let seconds = whole_seconds(literal).ok_or(RejectionKind::InvalidClaim)?;
                Ok(Some(UnixTime::from_secs(seconds)))
            }
            Some(_) => Err(RejectionKind::InvalidClaim),
        }
    }

    /// A claim that is absent, or a string of at least one character.
    pub(crate) fn string(&self, claim: Registered) -> Result<Option<Text<'t>>, RejectionKind> {
        self.get(claim).map(as_string).transpose()
    }

    /// The position of such a claim.
    pub(crate) fn span(&mut self, claim: Registered) -> Result<Option<Span>, RejectionKind> {
        self.position(claim).map(|position| self.span_of_string(position)).transpose()
    }

    /// The same for a claim of any name.
    pub(crate) fn span_of_name(&mut self, name: &str) -> Result<Option<Span>, RejectionKind> {
        self.members.position(name).map(|position| self.span_of_string(position)).transpose()
    }

    /// Treats these claims as absent if they are `null`.
    pub(crate) fn forget_nulls(&mut self, claims: &[Registered]) {
        for &claim in claims {
            if self.get(claim) == Some(Value::Null)
                && let Some(position) = self.positions.get_mut(claim as usize)
            {
                *position = ABSENT;
            }
        }
    }

    /// The position of a claim that is absent, or an integer in plain decimal digits.
    pub(crate) fn span_of_integer(&self, claim: Registered) -> Result<Option<Span>, RejectionKind> {
        let Some(position) = self.position(claim) else { return Ok(None) };
        let number = self.members.number_at(position);
        let is_plain = |text: &str| text != "-0" && text.parse::<i64>().is_ok();
        number
            .filter(|(_, text)| is_plain(text))
            .map(|(span, _)| Some(span))
            .ok_or(RejectionKind::InvalidClaim)
    }

    /// `aud`, or the claim that a policy reads instead: a string or an array of strings.
    pub(crate) fn audience(&mut self, name: &str) -> Result<SmallVec<[Span; 2]>, RejectionKind> {
        let position = match name {
            "aud" => self.position(Registered::Aud),
            name => self.members.position(name),
        };
        let mut spans = SmallVec::new();
        if let Some(position) = position {
            self.add_strings(position, &mut spans)?;
        }
        Ok(spans)
    }

    /// Whether `aud`, or the claim that a policy reads instead, is present.
    pub(crate) fn has_audience(&self, name: &str) -> bool {
        match name {
            "aud" => self.position(Registered::Aud).is_some(),
            name => self.members.position(name).is_some(),
        }
    }

    /// `scope` and `scp`, each as a string with spaces or as an array of strings.
    pub(crate) fn scopes(&mut self) -> Result<SmallVec<[Span; 2]>, RejectionKind> {
        let mut spans = SmallVec::new();
        for claim in [Registered::Scope, Registered::Scp] {
            let Some(position) = self.position(claim) else { continue };
            let before = spans.len();
            self.add_strings(position, &mut spans)?;
            // "read admin" as an element of an array is not two scopes.
            let is_array = matches!(self.members.at(position), Some(Value::Array(_)));
            let mut elements = spans.iter().skip(before);
            if is_array && elements.any(|span| self.at(*span).contains(' ')) {
                return Err(RejectionKind::InvalidClaim);
            }
        }
        Ok(spans)
    }

    /// The string at a span.
    pub(crate) fn at(&self, span: Span) -> &str {
        let (start, end) = (span.start as usize, span.end as usize);
        let text = self.members.text();
        let appended = text.len();
        let part = if start < appended {
            text.get(start..end)
        } else {
            self.unescaped.get(start - appended..end - appended)
        };
        part.unwrap_or_default()
    }

    fn position(&self, claim: Registered) -> Option<usize> {
        let position = self.positions.get(claim as usize).copied();
        position.filter(|position| *position != ABSENT).map(|position| position as usize)
    }

    fn span_of_string(&mut self, position: usize) -> Result<Span, RejectionKind> {
        self.members
            .string_at(position)
            .filter(|(span, _)| !span.is_empty())
            .and_then(|(span, escaped)| self.resolved(span, escaped))
            .ok_or(RejectionKind::InvalidClaim)
    }

    /// The final position of a string that was found at `span`. It is the same position, or behind the text if the
    /// string has escapes.
    fn resolved(&mut self, span: Span, escaped: Option<Text<'_>>) -> Option<Span> {
        match escaped {
            None => Some(span),
            Some(escaped) => append(escaped, self.members.text(), &mut self.unescaped),
        }
    }

    fn add_strings(
        &mut self,
        position: usize,
        spans: &mut SmallVec<[Span; 2]>,
    ) -> Result<(), RejectionKind> {
        if let Some((span, escaped)) = self.members.string_at(position) {
            spans.push(self.resolved(span, escaped).ok_or(RejectionKind::InvalidClaim)?);
            return Ok(());
        }
        let Self { members, unescaped, .. } = self;
        let add = |span, string: Text<'_>| {
            let is_plain = string.plain().is_some();
            spans.push(if is_plain { span } else { append(string, members.text(), unescaped)? });
            Some(())
        };
        members.strings_at(position, add).ok_or(RejectionKind::InvalidClaim)
    }
}

/// Appends a string without its escapes. Returns its position after `unescaped` is appended to the text.
fn append(string: Text<'_>, text: &str, unescaped: &mut String) -> Option<Span> {
    let start = text.len() + unescaped.len();
    unescaped.push_str(&string.resolve());
    let end = text.len() + unescaped.len();
    Some(Span { start: u32::try_from(start).ok()?, end: u32::try_from(end).ok()? })
}

fn as_string(value: Value<'_>) -> Result<Text<'_>, RejectionKind> {
    value.as_text().filter(|text| !text.is_empty()).ok_or(RejectionKind::InvalidClaim)
}

/// The whole part of a number that is not negative, from its text. A conversion to a double could round a fraction up,
/// and the token would live one second longer.
pub(crate) fn whole_seconds(literal: &str) -> Option<u64> {
    // The usual form.
    if let Ok(seconds) = literal.parse() {
        return (seconds <= MAX_SECONDS).then_some(seconds);
    }
    let (mantissa, exponent) = match literal.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (literal, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // How many of the digits are before the point, after the exponent has moved it.
    let places = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let places = usize::try_from(places.max(0)).ok()?;
    let mut digits = whole.bytes().chain(fraction.bytes());
    if !digits.clone().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let mut seconds = 0_u64;
    for _ in 0..places {
        // After the last digit, only zeros follow. If all digits are zeros, the result is zero, however many follow.
        let digit = match digits.next() {
            Some(digit) => u64::from(digit - b'0'),
            None if seconds == 0 => return Some(0),
            None => 0,
        };
        seconds = seconds * 10 + digit;
        if seconds > MAX_SECONDS {
            return None;
        }
    }
    Some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ClaimsSet<'_> {
        let mut claims = ClaimsSet::unread(text);
        claims.read().unwrap();
        claims
    }

    fn date(literal: &str) -> Result<Option<u64>, RejectionKind> {
        read(&format!("{{\"exp\":{literal}}}"))
            .numeric_date(Registered::Exp)
            .map(|date| date.map(UnixTime::as_secs))
    }

    #[test]
    fn dates_are_read_in_whole_seconds() {
        for (literal, seconds) in [
            ("0", 0),
            ("1300819380", 1_300_819_380),
            ("1300819380.0", 1_300_819_380),
            ("1300819379.99999999999999999999", 1_300_819_379),
            ("1.30081938e9", 1_300_819_380),
            ("13008193805E-1", 1_300_819_380),
            ("1300819379.99999999999999999999e0", 1_300_819_379),
            ("13008193799999999999999999.999e-16", 1_300_819_379),
            ("0.00000000013e20", 13_000_000_000),
            ("1e-999999999999", 0),
            ("0e999999999999", 0),
            ("0.0", 0),
            ("1e3", 1_000),
            ("9007199254740992", MAX_SECONDS),
            ("9007199254740992.9", MAX_SECONDS),
        ] {
            assert_eq!(date(literal), Ok(Some(seconds)), "{literal}");
        }
    }

    #[test]
    fn dates_that_are_not_seconds_are_invalid_and_never_absent() {
        for literal in [
            "\"1300819380\"",
            "true",
            "null",
            "[]",
            "[1300819380]",
            "{}",
            "-1",
            "-0.5",
            "-1e9",
            "9007199254740993",
            "9007199254740993.0",
            "18446744073709551616",
            "1e300",
            "1e16",
            "-0",
            "99999999999999999999999999999999.5",
        ] {
            assert_eq!(date(literal), Err(RejectionKind::InvalidClaim), "{literal}");
        }
        assert_eq!(read("{}").numeric_date(Registered::Exp), Ok(None));
    }

    /// The strings at the spans, after the unescaped ones are appended.
    fn resolve(
        text: &str,
        read: impl FnOnce(&mut ClaimsSet<'_>) -> Result<SmallVec<[Span; 2]>, RejectionKind>,
    ) -> Result<Vec<String>, RejectionKind> {
        let mut claims = self::read(text);
        let spans = read(&mut claims)?;
        let whole = format!("{text}{}", claims.take_unescaped());
        let at = |span: &Span| whole[span.start as usize..span.end as usize].to_owned();
        Ok(spans.iter().map(at).collect())
    }

    #[test]
    fn audiences_are_strings_or_arrays_of_strings() {
        let read = |text: &str| resolve(text, |claims| claims.audience("aud"));
        assert_eq!(read(r#"{"aud":"a"}"#).unwrap(), ["a"]);
        assert_eq!(read(r#"{"aud":["b","a","c"]}"#).unwrap(), ["b", "a", "c"]);
        assert_eq!(read(r#"{"aud":["\u00e9","a","\n"]}"#).unwrap(), ["\u{e9}", "a", "\n"]);
        assert!(read("{}").unwrap().is_empty() && read(r#"{"aud":[]}"#).unwrap().is_empty());
        for text in [r#"{"aud":["a",1]}"#, r#"{"aud":null}"#, r#"{"aud":{"a":"a"}}"#] {
            assert_eq!(read(text), Err(RejectionKind::InvalidClaim), "{text}");
        }
    }

    #[test]
    fn scopes_come_from_scope_and_scp_in_both_forms() {
        let read = |text: &str| resolve(text, |claims| claims.scopes());
        assert_eq!(read(r#"{"scope":"a b"}"#).unwrap(), ["a b"]);
        assert_eq!(read(r#"{"scp":["a","b"]}"#).unwrap(), ["a", "b"]);
        assert_eq!(read(r#"{"scp":["a"],"scope":"b\u0020c"}"#).unwrap(), ["b c", "a"]);
        assert_eq!(read(r#"{"scope":1}"#), Err(RejectionKind::InvalidClaim));
        assert_eq!(read(r#"{"scp":["a",1]}"#), Err(RejectionKind::InvalidClaim));
        assert_eq!(read(r#"{"scp":["a","read admin"]}"#), Err(RejectionKind::InvalidClaim));
    }
}
