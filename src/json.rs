//! One strict reading of a JSON object, for protected headers and claims (RFC 7515 section 4, RFC 7519
//! section 4): UTF-8, no duplicate names at any level, at most [`MAX_DEPTH`] levels, nothing after it.

use std::borrow::Cow;

/// Levels of nesting, the object itself counted.
pub(crate) const MAX_DEPTH: usize = 32;

/// The members of an object, in their order.
pub(crate) struct Object<'a> {
    members: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// A value: scalars are read, arrays and objects are checked and kept as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Bool(bool),
    /// The literal's own text.
    Number(&'a str),
    String(Cow<'a, str>),
    Array(&'a str),
    Object(&'a str),
}

impl<'a> Object<'a> {
    /// Reads `bytes` as exactly one object; `None` where anything is not strict.
    pub(crate) fn parse(_bytes: &'a [u8]) -> Option<Self> {
        None
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }
}

impl<'a> Value<'a> {
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The elements, if this is an array of strings only.
    pub(crate) fn as_strings(&self) -> Option<Vec<Cow<'a, str>>> {
        None
    }
}
