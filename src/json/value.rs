//! Values of a JSON text that was checked: positions in the text, without copies.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::de::{self, Visitor};
use smallvec::SmallVec;

/// The members of an object, in their order. A usual token needs no heap memory for them.
pub(crate) struct Object<'a> {
    pub(super) text: &'a str,
    pub(super) members: Members,
}

pub(super) type Members = SmallVec<[Member; 12]>;

#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) name: Span,
    pub(super) value: Span,
    pub(super) name_has_escapes: bool,
    pub(super) kind: ValueKind,
}

/// A part of a text, in bytes. For a string, it is the part between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    Null,
    True,
    False,
    Number,
    String,
    StringWithEscapes,
    Array,
    Object,
}

/// A value. Arrays and objects are checked, and kept as text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// The text of the number.
    Number(&'a str),
    String(Text<'a>),
    Array(&'a str),
    Object(&'a str),
}

/// The text of a string between its quotes. Its escapes were checked.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(super) raw: &'a str,
    pub(super) has_escapes: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = Text<'a>> {
        self.members.iter().filter_map(|member| member.name_in(self.text))
    }

    pub(crate) fn at(&self, position: usize) -> Option<Value<'a>> {
        self.members.get(position)?.value_in(self.text)
    }

    /// The position of the string at `position`, and the string itself if it has escapes.
    pub(crate) fn string_at(&self, position: usize) -> Option<(Span, Option<Text<'a>>)> {
        let member = self.members.get(position)?;
        match member.kind {
            ValueKind::String => Some((member.value, None)),
            ValueKind::StringWithEscapes => {
                let raw = member.value.of(self.text)?;
                Some((member.value, Some(Text { raw, has_escapes: true })))
            }
            _ => None,
        }
    }

    /// The position of the number at `position`, and its text.
    pub(crate) fn number_at(&self, position: usize) -> Option<(Span, &'a str)> {
        let member =
            self.members.get(position).filter(|member| member.kind == ValueKind::Number)?;
        Some((member.value, member.value.of(self.text)?))
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.names().position(|member| member.is(name))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.at(self.position(name)?)
    }
}

impl Member {
    pub(super) fn name_in<'a>(&self, text: &'a str) -> Option<Text<'a>> {
        Some(Text { raw: self.name.of(text)?, has_escapes: self.name_has_escapes })
    }

    fn value_in<'a>(&self, text: &'a str) -> Option<Value<'a>> {
        let raw = self.value.of(text)?;
        Some(match self.kind {
            ValueKind::Null => Value::Null,
            ValueKind::True => Value::Bool(true),
            ValueKind::False => Value::Bool(false),
            ValueKind::Number => Value::Number(raw),
            ValueKind::String => Value::String(Text { raw, has_escapes: false }),
            ValueKind::StringWithEscapes => Value::String(Text { raw, has_escapes: true }),
            ValueKind::Array => Value::Array(raw),
            ValueKind::Object => Value::Object(raw),
        })
    }
}

impl Span {
    pub(crate) fn of(self, text: &str) -> Option<&str> {
        text.get(self.start as usize..self.end as usize)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl<'a> Value<'a> {
    pub(crate) fn as_text(self) -> Option<Text<'a>> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_cow(self) -> Option<Cow<'a, str>> {
        self.as_text().map(Text::resolve)
    }
}

impl<'a> Text<'a> {
    /// The string, if it has no escapes.
    pub(crate) fn plain(self) -> Option<&'a str> {
        (!self.has_escapes).then_some(self.raw)
    }

    /// The string without its escapes.
    pub(crate) fn resolve(self) -> Cow<'a, str> {
        match self.plain() {
            Some(plain) => Cow::Borrowed(plain),
            None => Cow::Owned(resolve(self.raw)),
        }
    }

    #[inline]
    pub(crate) fn is(self, other: &str) -> bool {
        match self.plain() {
            Some(plain) => is_same(plain, other),
            None => self.resolve() == other,
        }
    }

    pub(crate) fn is_empty(self) -> bool {
        self.raw.is_empty()
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.resolve())
    }
}

impl fmt::Debug for Text<'_> {
    /// Does not show the text. It may be a claim, and claims must not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.raw.len())
    }
}

/// The string of a checked text between quotes, without its escapes.
fn resolve(raw: &str) -> String {
    let (mut resolved, mut rest) = (String::with_capacity(raw.len()), raw);
    while let Some((plain, _)) = rest.split_once('\\') {
        resolved.push_str(plain);
        let escape = rest.get(plain.len() + 1..).unwrap_or_default();
        // The text was checked when it was read. So there is always an escape here.
        let Some((character, length)) = read_escape(escape.as_bytes()) else { return resolved };
        resolved.push(character);
        rest = escape.get(length..).unwrap_or_default();
    }
    resolved.push_str(rest);
    resolved
}

/// Reads the escape after a backslash. Returns the character, and how many bytes the escape has.
pub(super) fn read_escape(bytes: &[u8]) -> Option<(char, usize)> {
    let character = match bytes.first()? {
        escape @ (b'"' | b'\\' | b'/') => char::from(*escape),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return read_unicode_escape(bytes),
        _ => return None,
    };
    Some((character, 1))
}

fn read_unicode_escape(bytes: &[u8]) -> Option<(char, usize)> {
    let first = four_hex_digits(bytes.get(1..5)?)?;
    if !(0xD800..0xDC00).contains(&first) {
        // A lone trailing surrogate is not a `char`, so it is rejected here.
        return Some((char::from_u32(first)?, 5));
    }
    let second = four_hex_digits(bytes.get(5..11)?.strip_prefix(b"\\u")?)?;
    if !(0xDC00..0xE000).contains(&second) {
        return None;
    }
    Some((char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00))?, 11))
}

fn four_hex_digits(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

/// Whether two names are equal. Most names of a token have three letters. Comparing the first two here saves the call
/// that compares the rest.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    one.len() == other.len()
        && one.first() == other.first()
        && one.get(1) == other.get(1)
        && one == other
}

/// The value does not fit the type. The error contains no part of the value, because it may be a claim.
#[derive(Debug, thiserror::Error)]
#[error("the type does not fit")]
pub(super) struct Unfit;

impl de::Error for Unfit {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Passes a string to serde.
pub(super) fn visit_text<'de, V: Visitor<'de>>(
    text: Text<'de>,
    visitor: V,
) -> Result<V::Value, Unfit> {
    match text.plain() {
        Some(plain) => visitor.visit_borrowed_str(plain),
        None => visitor.visit_str(&text.resolve()),
    }
}

/// Passes a string to serde as bytes.
pub(super) fn visit_bytes<'de, V: Visitor<'de>>(
    text: Text<'de>,
    visitor: V,
) -> Result<V::Value, Unfit> {
    match text.plain() {
        Some(plain) => visitor.visit_borrowed_bytes(plain.as_bytes()),
        None => visitor.visit_bytes(text.resolve().as_bytes()),
    }
}

/// Visits a number as serde_json reads it without `arbitrary_precision`: minus zero is a double. `F` is the precision
/// of a number with a fraction or an exponent. A number that is infinity in `F` is an error.
pub(super) fn visit_number<'de, F, V>(number: &str, visitor: V) -> Result<V::Value, Unfit>
where
    F: FromStr + Into<f64>,
    V: Visitor<'de>,
{
    if let Ok(number) = number.parse() {
        return visitor.visit_u64(number);
    }
    if let Ok(number) = number.parse()
        && number != 0
    {
        return visitor.visit_i64(number);
    }
    let number: f64 = number.parse::<F>().map_err(|_| Unfit)?.into();
    if number.is_finite() { visitor.visit_f64(number) } else { Err(Unfit) }
}
