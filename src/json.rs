//! The strict JSON reader for protected headers, claims and request bodies (RFC 7515 section 4, RFC 7519 section 4).
//!
//! Other parsers keep the first or the last of two members with one name, and accept different texts. Two of them can
//! read two different tokens from one text. This reader rejects every text on which strict readers could disagree:
//!
//! 1. The text is UTF-8 without a byte order mark. An escape is not a lone surrogate.
//! 2. It is exactly one value, with nothing but white space around it. Headers and claims are objects.
//! 3. No object, at any level, has two members with the same name. Names are compared without their escapes.
//! 4. It has at most 32 levels of objects and arrays. No number overflows a double.
//! 5. No member name starts with `$serde_json::private::`. serde_json would read such an object as something else.
//!
//! Use [`from_slice`] for bodies of your own that must follow the same rules.

// The reader stores positions and does not copy. `deserialize` passes the members to serde.

mod de;
mod error;
mod reader;
#[cfg(test)]
mod tests;
mod unread;

use std::{borrow::Cow, fmt};

use serde::Deserialize;
use smallvec::SmallVec;

pub(crate) use self::de::deserialize;
pub use self::error::JsonError;
use self::reader::{PRIVATE_TO_SERDE, Reader, is_same};
pub(crate) use self::unread::elements_of;
#[cfg(feature = "jwks")]
pub(crate) use self::unread::{Found, members_of, string_of};

/// Reads `T` from a JSON text, by the rules of this [module](self).
///
/// `T` gets the same values as from `serde_json::from_slice`. Only the set of accepted texts is smaller.
///
/// ```
/// use tower_bearer::json::{self, JsonError};
///
/// #[derive(Debug, PartialEq, serde::Deserialize)]
/// struct Login {
///     username: String,
/// }
///
/// let login: Login = json::from_slice(br#"{"username":"ada"}"#)?;
/// assert_eq!(login, Login { username: "ada".into() });
///
/// let two_names = json::from_slice::<Login>(br#"{"username":"ada","username":"eve"}"#);
/// assert!(matches!(two_names, Err(JsonError::Syntax(_))));
/// let wrong_type = json::from_slice::<Login>(br#"{"username":7}"#);
/// assert_eq!(wrong_type, Err(JsonError::TypeMismatch));
/// # Ok::<(), JsonError>(())
/// ```
///
/// # Errors
/// [`JsonError`] if the text breaks one of the rules, or if its value does not fit `T`.
pub fn from_slice<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, JsonError> {
    let text = std::str::from_utf8(json).map_err(|_| JsonError::NotUtf8)?;
    let (kind, value) = value_of(text).ok_or_else(|| JsonError::explain(text))?;
    de::deserialize_value(text, kind, value).ok_or(JsonError::TypeMismatch)
}

/// The only value of a text, of any kind.
fn value_of(text: &str) -> Option<(Kind, Span)> {
    // Positions are stored in 32 bits.
    u32::try_from(text.len()).ok()?;
    let mut reader = Reader::new(text, 0);
    reader.skip_white_space();
    let value = reader.value(0)?;
    reader.skip_white_space();
    reader.is_at_end().then_some(value)
}

/// The members of an object, in their order. A usual token needs no heap memory for them.
pub(crate) struct Object<'a> {
    text: &'a str,
    members: Members,
}

type Members = SmallVec<[Member; 12]>;

#[derive(Clone, Copy)]
struct Member {
    name: Span,
    value: Span,
    name_has_escapes: bool,
    kind: Kind,
}

/// A part of a text, in bytes. For a string, it is the part between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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
    raw: &'a str,
    has_escapes: bool,
}

impl<'a> Object<'a> {
    /// Reads `text` as exactly one object. Returns `None` if the text breaks a rule.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut object = Self::unread(text);
        object.read().map(|()| object)
    }

    /// An object without members, before [`read`](Self::read). It is filled in place, because it is large.
    pub(crate) fn unread(text: &'a str) -> Self {
        Self { text, members: SmallVec::new() }
    }

    pub(crate) fn read(&mut self) -> Option<()> {
        // Positions are stored in 32 bits.
        u32::try_from(self.text.len()).ok()?;
        self.members.clear();
        let mut reader = Reader::new(self.text, 0);
        reader.skip_white_space();
        reader.object(1, &mut self.members)?;
        reader.skip_white_space();
        reader.is_at_end().then_some(())
    }

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
            Kind::String => Some((member.value, None)),
            Kind::StringWithEscapes => {
                let raw = member.value.of(self.text)?;
                Some((member.value, Some(Text { raw, has_escapes: true })))
            }
            _ => None,
        }
    }

    /// The position of the number at `position`, and its text.
    pub(crate) fn number_at(&self, position: usize) -> Option<(Span, &'a str)> {
        let member = self.members.get(position).filter(|member| member.kind == Kind::Number)?;
        Some((member.value, member.value.of(self.text)?))
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.names().position(|member| member.is(name))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value<'a>> {
        self.at(self.position(name)?)
    }

    /// Passes the elements of the array at `position`, with their positions, to `each`. Stops if `each` returns `None`,
    /// or if an element is not a string.
    pub(crate) fn strings_at(
        &self,
        position: usize,
        mut each: impl FnMut(Span, Text<'a>) -> Option<()>,
    ) -> Option<()> {
        let array = self.members.get(position).filter(|member| member.kind == Kind::Array)?;
        Reader::new(self.text, array.value.start as usize).elements(1, |kind, span| {
            let has_escapes = match kind {
                Kind::String => false,
                Kind::StringWithEscapes => true,
                _ => return None,
            };
            each(span, Text { raw: span.of(self.text)?, has_escapes })
        })
    }
}

impl Member {
    fn name_in<'a>(&self, text: &'a str) -> Option<Text<'a>> {
        Some(Text { raw: self.name.of(text)?, has_escapes: self.name_has_escapes })
    }

    fn value_in<'a>(&self, text: &'a str) -> Option<Value<'a>> {
        let raw = self.value.of(text)?;
        Some(match self.kind {
            Kind::Null => Value::Null,
            Kind::True => Value::Bool(true),
            Kind::False => Value::Bool(false),
            Kind::Number => Value::Number(raw),
            Kind::String => Value::String(Text { raw, has_escapes: false }),
            Kind::StringWithEscapes => Value::String(Text { raw, has_escapes: true }),
            Kind::Array => Value::Array(raw),
            Kind::Object => Value::Object(raw),
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

    /// The elements, if all elements of this array are strings.
    pub(crate) fn as_strings(self) -> Option<Vec<Cow<'a, str>>> {
        let Self::Array(text) = self else { return None };
        let mut strings = Vec::new();
        Reader::new(text, 0).elements(1, |kind, span| {
            let has_escapes = match kind {
                Kind::String => false,
                Kind::StringWithEscapes => true,
                _ => return None,
            };
            strings.push(Text { raw: span.of(text)?, has_escapes }.resolve());
            Some(())
        })?;
        Some(strings)
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
            None => Cow::Owned(reader::resolve(self.raw)),
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
