//! Finds names of cookies and query parameters that a lenient reader could mistake for the one that holds a token.
//!
//! Frameworks decode percent-encoded names. They trim white space and other characters around names. They split cookies
//! at `,` and queries at `;`. Case matters: `SESSION` and `session` are two cookies.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

/// Whether a part between two `;` of a `Cookie` line could be read as the cookie `name`.
pub(super) fn is_cookie(pair: &[u8], name: &str) -> bool {
    pair.split(|byte| *byte == b',').any(|part| is_named(part, name))
}

/// Whether a part between two `&` of a query could be read as the parameter `name`.
pub(super) fn is_parameter(pair: &str, name: &str) -> bool {
    pair.as_bytes().split(|byte| *byte == b';').any(|part| {
        let is_bare = !part.contains(&b'=') && resembles(part, name);
        is_bare || is_named(part, name)
    })
}

fn is_named(part: &[u8], name: &str) -> bool {
    part.iter()
        .position(|byte| *byte == b'=')
        .and_then(|end| part.get(..end))
        .is_some_and(|found| resembles(found, name))
}

fn resembles(found: &[u8], name: &str) -> bool {
    let decoded = percent_decoded(found);
    let is_same = |text: &[u8]| text == name.as_bytes();
    is_same(found.trim_ascii()) || is_same(decoded.trim_ascii()) || is_same(trimmed(&decoded))
}

/// Removes the bytes at both ends that cannot be part of a token (RFC 9110 section 5.6.2), such as a no-break space.
fn trimmed(text: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| is_token_character(*byte);
    match (text.iter().position(is_kept), text.iter().rposition(is_kept)) {
        (Some(first), Some(last)) => text.get(first..=last).unwrap_or_default(),
        _ => &[],
    }
}

/// Percent-decodes, and decodes `+` as a space, as in queries. A usual name of a cookie or parameter contains neither
/// character.
fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, after @ ..] if *first == b'%' => {
                hex_digit(*high).zip(hex_digit(*low)).map(|(high, low)| (high * 16 + low, after))
            }
            _ => None,
        };
        let (byte, after) = match (escaped, first) {
            (Some((byte, after)), _) => (byte, after),
            (None, b'+') => (b' ', after),
            (None, other) => (*other, after),
        };
        decoded.push(byte);
        rest = after;
    }
    Cow::Owned(decoded)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// `tchar` (RFC 9110 section 5.6.2).
pub(super) fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
