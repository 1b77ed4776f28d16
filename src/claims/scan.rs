//! Registered claims out of the strictly read object, exactly typed.
//!
//! A claim that is present with the wrong type is an error, never an absent claim: a reader that
//! treats `"exp":"never"` as no `exp` lets tokens live for ever.

use std::borrow::Cow;

use super::{Audience, Scopes};
use crate::{
    RejectionKind,
    json::{Object, Value},
};

/// The largest number of seconds that is read: above 2^53 not every reader of JSON sees the same integer.
const MAX_SECONDS: u64 = 1 << 53;

/// A `NumericDate` (RFC 7519 section 2): seconds since the Unix epoch, a fraction cut off.
pub(crate) fn numeric_date(claims: &Object<'_>, name: &str) -> Result<Option<u64>, RejectionKind> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::Number(literal)) => {
            whole_seconds(literal).map(Some).ok_or(RejectionKind::InvalidClaim)
        }
        Some(_) => Err(RejectionKind::InvalidClaim),
    }
}

/// A claim that is a string of at least one character, or absent.
pub(crate) fn string<'o>(
    claims: &'o Object<'_>,
    name: &str,
) -> Result<Option<&'o str>, RejectionKind> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
        Some(_) => Err(RejectionKind::InvalidClaim),
    }
}

/// `aud`, or the claim that a policy reads in its place: a string or an array of strings, never empty.
pub(crate) fn audience(claims: &Object<'_>, name: &str) -> Result<Audience, RejectionKind> {
    let Some(value) = claims.get(name) else { return Ok(Audience::default()) };
    let members = strings(value)?;
    if members.is_empty() {
        return Err(RejectionKind::InvalidClaim);
    }
    Ok(Audience::new(members.into_iter().map(|member| member.into_owned().into()).collect()))
}

/// `scope` and `scp`, either as a string with spaces or as an array of strings.
pub(crate) fn scopes(claims: &Object<'_>) -> Result<Scopes, RejectionKind> {
    let mut separated = String::new();
    for value in ["scope", "scp"].into_iter().filter_map(|name| claims.get(name)) {
        for member in strings(value)? {
            if !separated.is_empty() {
                separated.push(' ');
            }
            separated.push_str(&member);
        }
    }
    Ok(Scopes::new(separated))
}

fn strings<'a>(value: &Value<'a>) -> Result<Vec<Cow<'a, str>>, RejectionKind> {
    match value {
        Value::String(text) => Ok(vec![text.clone()]),
        value => value.as_strings().ok_or(RejectionKind::InvalidClaim),
    }
}

fn whole_seconds(literal: &str) -> Option<u64> {
    let seconds = if literal.contains(['e', 'E']) {
        let value: f64 = literal.parse().ok()?;
        // The bounds make the cast exact; a NaN is within neither.
        if !(0.0..=MAX_SECONDS as f64).contains(&value) {
            return None;
        }
        value as u64
    } else {
        // The text, not a double: rounding up would let a token live a second longer.
        literal.split('.').next()?.parse().ok()?
    };
    (seconds <= MAX_SECONDS).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(literal: &str) -> Result<Option<u64>, RejectionKind> {
        let text = format!("{{\"exp\":{literal}}}");
        numeric_date(&Object::parse(text.as_bytes()).unwrap(), "exp")
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
            "99999999999999999999999999999999.5",
        ] {
            assert_eq!(date(literal), Err(RejectionKind::InvalidClaim), "{literal}");
        }
        assert_eq!(numeric_date(&Object::parse(b"{}").unwrap(), "exp"), Ok(None));
    }

    #[test]
    fn audiences_are_strings_or_arrays_of_strings() {
        let read = |text: &str| audience(&Object::parse(text.as_bytes()).unwrap(), "aud");
        assert!(read(r#"{"aud":"a"}"#).unwrap().contains("a"));
        assert!(read(r#"{"aud":["b","a"]}"#).unwrap().contains("a"));
        assert!(!read(r#"{"aud":["ab"]}"#).unwrap().contains("a"));
        assert_eq!(read("{}").unwrap().iter().count(), 0);
        for text in
            [r#"{"aud":[]}"#, r#"{"aud":["a",1]}"#, r#"{"aud":null}"#, r#"{"aud":{"a":"a"}}"#]
        {
            assert_eq!(read(text), Err(RejectionKind::InvalidClaim), "{text}");
        }
    }

    #[test]
    fn scopes_come_from_scope_and_scp_in_both_forms() {
        let read = |text: &str| scopes(&Object::parse(text.as_bytes()).unwrap());
        for text in [
            r#"{"scope":"a b"}"#,
            r#"{"scp":"b a"}"#,
            r#"{"scp":["a","b"]}"#,
            r#"{"scope":"b","scp":["a"]}"#,
        ] {
            let scopes = read(text).unwrap();
            assert!(scopes.contains("a") && scopes.contains("b"), "{text}");
            assert!(!scopes.contains("a b") && !scopes.contains(""), "{text}");
        }
        assert_eq!(read(r#"{"scope":1}"#), Err(RejectionKind::InvalidClaim));
        assert_eq!(read(r#"{"scp":["a",1]}"#), Err(RejectionKind::InvalidClaim));
    }
}
