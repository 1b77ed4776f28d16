//! Finds members and elements of a document without reading their values.
//!
//! It finds the end of each value by quotes and brackets. An error in one value does not affect the others: each value
//! is read and checked separately.

#[cfg(feature = "jwks")]
use std::borrow::Cow;

use super::{reader::Reader, value::Text};

/// The result of a search for a member. Other members of the object are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Absent,
    /// The text of its value.
    Once(&'a str),
    /// Several members have the name.
    Repeated,
}

/// The members with these names. `None` if the text is not one object.
pub(crate) fn members_of<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Option<[Found<'a>; N]> {
    let mut members = [Found::Absent; N];
    let mut reader = Reader::new(text, 0);
    reader.skip_white_space();
    reader.list(b'{', b'}', |reader| {
        let (span, has_escapes) = reader.string()?;
        let name = Text { raw: span.of(text)?, has_escapes };
        reader.skip_white_space();
        reader.expect(b':')?;
        reader.skip_white_space();
        let value = reader.unread_value()?;
        for (wanted, member) in names.iter().zip(&mut members) {
            if name.is(wanted) {
                let is_first = *member == Found::Absent;
                *member = if is_first { Found::Once(value) } else { Found::Repeated };
            }
        }
        Some(())
    })?;
    reader.skip_white_space();
    reader.is_at_end().then_some(members)
}

/// The texts of the elements of the array `name` in an object. The object must have only one member of that name.
pub(crate) fn elements_of<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let [Found::Once(array)] = members_of(text, [name])? else { return None };
    let mut elements = Vec::new();
    Reader::new(array, 0).list(b'[', b']', |reader| {
        elements.push(reader.unread_value()?);
        Some(())
    })?;
    Some(elements)
}

/// The string that this text contains. `None` if the text is anything else.
#[cfg(feature = "jwks")]
pub(crate) fn string_of(text: &str) -> Option<Cow<'_, str>> {
    let mut reader = Reader::new(text, 0);
    let (span, has_escapes) = reader.string()?;
    let string = Text { raw: span.of(text)?, has_escapes };
    reader.is_at_end().then(|| string.resolve())
}
