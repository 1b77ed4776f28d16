//! Registered claims out of the strictly read object, exactly typed.
//!
//! A claim that is present with the wrong type is an error, never an absent claim: a reader that
//! treats `"exp":"never"` as no `exp` lets tokens live for ever.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::registered::Span;
use crate::{
    RejectionKind,
    json::{Object, Value},
};

/// The largest number of seconds that is read: above 2^53 not every reader of JSON sees the same integer.
const MAX_SECONDS: u64 = 1 << 53;

/// A claims set that was read once, and where its strings stand.
pub(crate) struct ClaimsSet<'t> {
    text: &'t str,
    members: Object<'t>,
    /// Strings that had escapes, without them; they will be appended to the text.
    unescaped: String,
}

impl<'t> ClaimsSet<'t> {
    pub(crate) fn parse(text: &'t str) -> Option<Self> {
        Some(Self { text, members: Object::parse(text)?, unescaped: String::new() })
    }

    pub(crate) fn members(&self) -> &Object<'t> {
        &self.members
    }

    /// What is to be appended to the text for the spans that were given out.
    pub(crate) fn into_unescaped(self) -> String {
        self.unescaped
    }

    /// A `NumericDate` (RFC 7519 section 2): seconds since the Unix epoch, a fraction cut off.
    pub(crate) fn numeric_date(&self, name: &str) -> Result<Option<u64>, RejectionKind> {
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::Number(literal)) => {
                whole_seconds(literal).map(Some).ok_or(RejectionKind::InvalidClaim)
            }
            Some(_) => Err(RejectionKind::InvalidClaim),
        }
    }

    /// A claim that is a string of at least one character, or absent.
    pub(crate) fn string(&self, name: &str) -> Result<Option<&Cow<'t, str>>, RejectionKind> {
        match self.members.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(_) => Err(RejectionKind::InvalidClaim),
        }
    }

    /// Where such a claim stands.
    pub(crate) fn span(&mut self, name: &str) -> Result<Option<Span>, RejectionKind> {
        let text = self.string(name)?.cloned();
        text.map(|text| self.span_of(&text)).transpose()
    }

    /// `aud`, or the claim that a policy reads in its place: a string or an array of strings, never empty.
    pub(crate) fn audience(&mut self, name: &str) -> Result<SmallVec<[Span; 2]>, RejectionKind> {
        let mut spans = SmallVec::new();
        if self.members.get(name).is_some() {
            self.add_strings(name, &mut spans)?;
            if spans.is_empty() {
                return Err(RejectionKind::InvalidClaim);
            }
        }
        Ok(spans)
    }

    /// `scope` and `scp`, either as a string with spaces or as an array of strings.
    pub(crate) fn scopes(&mut self) -> Result<SmallVec<[Span; 2]>, RejectionKind> {
        let mut spans = SmallVec::new();
        for name in ["scope", "scp"] {
            let before = spans.len();
            self.add_strings(name, &mut spans)?;
            // As an element of an array, "read admin" is not two scopes.
            let is_array = matches!(self.members.get(name), Some(Value::Array(_)));
            let mut elements = spans.iter().skip(before);
            if is_array && elements.any(|span| self.at(*span).contains(' ')) {
                return Err(RejectionKind::InvalidClaim);
            }
        }
        Ok(spans)
    }

    /// The string that a span stands for.
    pub(crate) fn at(&self, span: Span) -> &str {
        let (start, end) = (span.start as usize, span.end as usize);
        let appended = self.text.len();
        let part = if start < appended {
            self.text.get(start..end)
        } else {
            self.unescaped.get(start - appended..end - appended)
        };
        part.unwrap_or_default()
    }

    fn add_strings(
        &mut self,
        name: &str,
        spans: &mut SmallVec<[Span; 2]>,
    ) -> Result<(), RejectionKind> {
        match self.members.get(name).cloned() {
            None => {}
            Some(Value::String(text)) => spans.push(self.span_of(&text)?),
            Some(value) => {
                for text in value.as_strings().ok_or(RejectionKind::InvalidClaim)? {
                    spans.push(self.span_of(&text)?);
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::ptr_arg, reason = "whether it is borrowed is what matters")]
    fn span_of(&mut self, text: &Cow<'t, str>) -> Result<Span, RejectionKind> {
        let start = match text {
            // A part of the text itself: where, the addresses tell.
            Cow::Borrowed(part) => part
                .as_ptr()
                .addr()
                .checked_sub(self.text.as_ptr().addr())
                .ok_or(RejectionKind::InvalidClaim)?,
            Cow::Owned(unescaped) => {
                let start = self.text.len() + self.unescaped.len();
                self.unescaped.push_str(unescaped);
                start
            }
        };
        let offset = |at| u32::try_from(at).map_err(|_| RejectionKind::InvalidClaim);
        Ok(Span { start: offset(start)?, end: offset(start + text.len())? })
    }
}

/// The whole part of a number that is not negative, from its text: through a double, a fraction could be
/// rounded up, and let a token live a second longer.
fn whole_seconds(literal: &str) -> Option<u64> {
    let (mantissa, exponent) = match literal.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (literal, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // How many of the digits stand before the point once the exponent has moved it.
    let places = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let places = usize::try_from(places.max(0)).ok()?;
    let mut digits = whole.bytes().chain(fraction.bytes());
    if !digits.clone().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let mut seconds = 0_u64;
    for _ in 0..places {
        // All digits are used up: what follows are zeros, and of nothing but zeros there may be any number.
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

    fn date(literal: &str) -> Result<Option<u64>, RejectionKind> {
        ClaimsSet::parse(&format!("{{\"exp\":{literal}}}")).unwrap().numeric_date("exp")
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
        ] {
            assert_eq!(date(literal), Ok(Some(seconds)), "{literal}");
        }
    }

    #[test]
    fn dates_that_are_no_seconds_are_invalid_and_never_absent() {
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
            "18446744073709551616",
            "1e300",
            "1e16",
            "-0",
            "99999999999999999999999999999999.5",
        ] {
            assert_eq!(date(literal), Err(RejectionKind::InvalidClaim), "{literal}");
        }
        assert_eq!(ClaimsSet::parse("{}").unwrap().numeric_date("exp"), Ok(None));
    }

    /// The strings that spans stand for, once the unescaped ones are appended.
    fn resolve(
        text: &str,
        read: impl FnOnce(&mut ClaimsSet<'_>) -> Result<SmallVec<[Span; 2]>, RejectionKind>,
    ) -> Result<Vec<String>, RejectionKind> {
        let mut claims = ClaimsSet::parse(text).unwrap();
        let spans = read(&mut claims)?;
        let whole = format!("{text}{}", claims.into_unescaped());
        let at = |span: &Span| whole[span.start as usize..span.end as usize].to_owned();
        Ok(spans.iter().map(at).collect())
    }

    #[test]
    fn audiences_are_strings_or_arrays_of_strings() {
        let read = |text: &str| resolve(text, |claims| claims.audience("aud"));
        assert_eq!(read(r#"{"aud":"a"}"#).unwrap(), ["a"]);
        assert_eq!(read(r#"{"aud":["b","a","c"]}"#).unwrap(), ["b", "a", "c"]);
        assert_eq!(read(r#"{"aud":["\u00e9","a","\n"]}"#).unwrap(), ["\u{e9}", "a", "\n"]);
        assert!(read("{}").unwrap().is_empty());
        for text in
            [r#"{"aud":[]}"#, r#"{"aud":["a",1]}"#, r#"{"aud":null}"#, r#"{"aud":{"a":"a"}}"#]
        {
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
