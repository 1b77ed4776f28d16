//! Reads the fields of a request body, and writes the messages for wrong fields.
//!
//! A body is a struct of [`Field`]s. A wrong field does not stop the reader, so that one answer can name all wrong
//! fields.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use zeroize::Zeroizing;

use super::{date_time::DateTime, responses::FieldErrors};

const REQUIRED: &str = "This field is required.";
const NULL: &str = "This field may not be null.";
const BLANK: &str = "This field may not be blank.";
const NUL: &str = "Null characters are not allowed.";
const TOO_LONG: &str = "Ensure this field has no more than 1000 bytes.";
const NOT_A_STRING: &str = "Not a valid string.";
const NOT_A_LIST: &str = "Expected a list of items.";
const NOT_AN_INTEGER: &str = "A valid integer is required.";
const NEGATIVE: &str = "Ensure this value is greater than or equal to 0.";

/// A field of a body: its value, or what is wrong with it. Add `#[serde(default)]` to it, so that the field may be
/// missing.
#[derive(Default)]
pub(super) enum Field<T> {
    #[default]
    Missing,
    Wrong(&'static str),
    Value(T),
}

impl<T> Field<T> {
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }

    /// The value. If the field is missing or wrong, this adds an error for it.
    pub(super) fn required(self, name: &'static str, errors: &mut FieldErrors) -> Option<T> {
        if self.is_missing() {
            errors.add(name, REQUIRED);
        }
        self.optional(name, errors)
    }

    /// The value. If the field is wrong, this adds an error for it.
    pub(super) fn optional(self, name: &'static str, errors: &mut FieldErrors) -> Option<T> {
        match self {
            Self::Missing => None,
            Self::Wrong(message) => {
                errors.add(name, message);
                None
            }
            Self::Value(value) => Some(value),
        }
    }
}

/// A type that a field can have. It is read from strings, numbers, or both.
pub(super) trait FieldType: Sized {
    /// The message for JSON of another type.
    const WRONG_TYPE: &'static str;

    fn from_text(_: &str) -> Result<Self, &'static str> {
        Err(Self::WRONG_TYPE)
    }

    fn from_integer(_: u64) -> Result<Self, &'static str> {
        Err(Self::WRONG_TYPE)
    }

    /// Reads an array. This must read every element.
    fn from_array<'de, A: SeqAccess<'de>>(
        mut elements: A,
    ) -> Result<Result<Self, &'static str>, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Err(Self::WRONG_TYPE))
    }

    /// Reads a number that is negative, larger than a `u64`, or written with a point or an exponent.
    fn from_float(_: f64) -> Result<Self, &'static str> {
        Err(Self::WRONG_TYPE)
    }
}

/// A text that is not blank, without the white space around it.
impl FieldType for String {
    const WRONG_TYPE: &'static str = NOT_A_STRING;

    fn from_text(text: &str) -> Result<Self, &'static str> {
        not_blank(text.trim()).map(str::to_owned)
    }
}

/// A subject, or the id of a session or a key. It keeps the white space around it, because it must be the same as in
/// the tokens.
pub(super) struct Id(pub(super) String);

impl Id {
    /// Longer ids do not fit into the indexes of a database.
    const MAX_BYTES: usize = 1000;

    /// What is wrong with an id. `None` if nothing is.
    pub(super) fn problem(text: &str) -> Option<&'static str> {
        if text.len() > Self::MAX_BYTES {
            return Some(TOO_LONG);
        }
        text.contains('\0').then_some(NUL)
    }
}

impl FieldType for Id {
    const WRONG_TYPE: &'static str = NOT_A_STRING;

    fn from_text(text: &str) -> Result<Self, &'static str> {
        let text = not_blank(text)?;
        Self::problem(text).map_or_else(|| Ok(Self(text.to_owned())), Err)
    }
}

/// A password. It keeps the white space around it, and is wiped from memory when it is dropped.
impl FieldType for Zeroizing<String> {
    const WRONG_TYPE: &'static str = NOT_A_STRING;

    fn from_text(text: &str) -> Result<Self, &'static str> {
        not_blank(text).map(|text| Self::new(text.to_owned()))
    }
}

fn not_blank(text: &str) -> Result<&str, &'static str> {
    if text.is_empty() {
        return Err(BLANK);
    }
    if text.contains('\0') { Err(NUL) } else { Ok(text) }
}

impl FieldType for DateTime {
    const WRONG_TYPE: &'static str = super::date_time::WRONG_FORMAT;

    fn from_text(text: &str) -> Result<Self, &'static str> {
        Self::parse(text).map_err(|error| error.message())
    }
}

/// A whole number, at least 0. Numbers that are too large count as the largest.
impl FieldType for u64 {
    const WRONG_TYPE: &'static str = NOT_AN_INTEGER;

    fn from_integer(number: u64) -> Result<Self, &'static str> {
        Ok(number)
    }

    fn from_float(number: f64) -> Result<Self, &'static str> {
        if number.fract() != 0.0 {
            return Err(NOT_AN_INTEGER);
        }
        if number < 0.0 {
            return Err(NEGATIVE);
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole and not negative; `as` saturates"
        )]
        Ok(number as Self)
    }
}

/// An array of texts, of which the first wrong one counts.
impl FieldType for Vec<String> {
    const WRONG_TYPE: &'static str = NOT_A_LIST;

    fn from_array<'de, A: SeqAccess<'de>>(
        mut elements: A,
    ) -> Result<Result<Self, &'static str>, A::Error> {
        let mut texts = Ok(Self::new());
        while let Some(element) = elements.next_element::<Field<String>>()? {
            texts = match (texts, element) {
                (Ok(mut texts), Field::Value(text)) => {
                    texts.push(text);
                    Ok(texts)
                }
                (Ok(_), Field::Wrong(message)) => Err(message),
                (texts, _) => texts,
            };
        }
        Ok(texts)
    }
}

impl<'de, T: FieldType> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<T: FieldType> FieldVisitor<T> {
    fn field<E>(value: Result<T, &'static str>) -> Result<Field<T>, E> {
        Ok(match value {
            Ok(value) => Field::Value(value),
            Err(message) => Field::Wrong(message),
        })
    }
}

/// Accepts every value, so that the other fields are read too.
impl<'de, T: FieldType> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Field<T>, E> {
        Self::field(T::from_text(text))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Field<T>, E> {
        Self::field(T::from_integer(number))
    }

    #[expect(clippy::cast_precision_loss, reason = "only the sign is looked at")]
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Field<T>, E> {
        Self::field(T::from_float(number as f64))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Field<T>, E> {
        Self::field(T::from_float(number))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Field<T>, E> {
        Ok(Field::Wrong(NULL))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Field<T>, E> {
        Ok(Field::Wrong(T::WRONG_TYPE))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Field<T>, A::Error> {
        Self::field(T::from_array(elements)?)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Field<T>, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong(T::WRONG_TYPE))
    }
}
