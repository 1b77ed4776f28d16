//! Members that were read, handed to serde.
//!
//! Strings, whole numbers and names, which are nearly all that claims consist of, are handed over as they were read;
//! values of other kinds are left to serde_json. Where a type asks for something unusual, or does not fit, serde_json
//! reads the whole text and has the last word.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{
    Deserializer,
    de::{self, DeserializeOwned, DeserializeSeed, MapAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{Kind, Member, Object, PRIVATE_TO_SERDE, Span, Text};

/// `T` out of an object, as serde_json makes it of its text; `None` where it does not fit.
pub(crate) fn deserialize<T: DeserializeOwned>(object: &Object<'_>) -> Option<T> {
    T::deserialize(Whole(object)).ok().or_else(|| serde_json::from_str(object.text).ok())
}

/// Not this way.
#[derive(Debug)]
struct Unfit;

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not read this way")
    }
}

impl std::error::Error for Unfit {}

impl de::Error for Unfit {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Methods for what an object or a name is not.
macro_rules! unfit {
    ($($method:ident($($argument:ty),*))*) => {
        $(
            fn $method<V: Visitor<'de>>(self, $(_: $argument,)* _: V) -> Result<V::Value, Unfit> {
                Err(Unfit)
            }
        )*
    };
}

/// The object itself.
struct Whole<'o, 'de>(&'o Object<'de>);

impl<'de> Deserializer<'de> for Whole<'_, 'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let Object { text, members } = self.0;
        let mut members = Entries { text, rest: members.iter(), current: None };
        let value = visitor.visit_map(&mut members)?;
        if members.rest.next().is_some() { Err(Unfit) } else { Ok(value) }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        if name.starts_with(PRIVATE_TO_SERDE) {
            return Err(Unfit);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! { map struct }

    unfit! {
        deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64()
        deserialize_u128() deserialize_f32() deserialize_f64() deserialize_char() deserialize_str()
        deserialize_string() deserialize_bytes() deserialize_byte_buf() deserialize_unit()
        deserialize_unit_struct(&'static str) deserialize_seq() deserialize_tuple(usize)
        deserialize_tuple_struct(&'static str, usize)
        deserialize_enum(&'static str, &'static [&'static str]) deserialize_identifier()
    }
}

/// The members, one after the other.
struct Entries<'m, 'de> {
    text: &'de str,
    rest: std::slice::Iter<'m, Member>,
    current: Option<&'m Member>,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Unfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Unfit> {
        self.current = self.rest.next();
        let Some(member) = self.current else { return Ok(None) };
        let name = member.name_in(self.text).ok_or(Unfit)?;
        seed.deserialize(Name(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        let Member { value, kind, .. } = *self.current.take().ok_or(Unfit)?;
        seed.deserialize(Element { text: self.text, value, kind })
    }
}

fn visit_text<'de, V: Visitor<'de>>(text: Text<'de>, visitor: V) -> Result<V::Value, Unfit> {
    match text.plain() {
        Some(plain) => visitor.visit_borrowed_str(plain),
        None => visitor.visit_str(&text.resolve()),
    }
}

/// A member's name.
struct Name<'de>(Text<'de>);

impl<'de> Deserializer<'de> for Name<'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visit_text(self.0, visitor)
    }

    forward_to_deserialize_any! { str string identifier ignored_any }

    // A map with numbers for names, say.
    unfit! {
        deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_i128() deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64()
        deserialize_u128() deserialize_f32() deserialize_f64() deserialize_char() deserialize_bytes()
        deserialize_byte_buf() deserialize_option() deserialize_unit()
        deserialize_unit_struct(&'static str) deserialize_newtype_struct(&'static str)
        deserialize_seq() deserialize_tuple(usize) deserialize_tuple_struct(&'static str, usize)
        deserialize_map() deserialize_struct(&'static str, &'static [&'static str])
        deserialize_enum(&'static str, &'static [&'static str])
    }
}

/// A member's value.
struct Element<'de> {
    text: &'de str,
    value: Span,
    kind: Kind,
}

impl<'de> Element<'de> {
    fn as_text(&self) -> Option<Text<'de>> {
        let has_escapes = match self.kind {
            Kind::String => false,
            Kind::StringWithEscapes => true,
            _ => return None,
        };
        Some(Text { raw: self.value.of(self.text)?, has_escapes })
    }

    fn as_whole_number(&self) -> Option<u64> {
        if self.kind == Kind::Number { self.value.of(self.text)?.parse().ok() } else { None }
    }

    /// serde_json on the value, with its quotes if it is a string.
    fn as_json(&self) -> Result<serde_json::Deserializer<serde_json::de::StrRead<'de>>, Unfit> {
        let Span { start, end } = self.value;
        let quote = u32::from(self.as_text().is_some());
        let json = Span { start: start.saturating_sub(quote), end: end.saturating_add(quote) };
        json.of(self.text).map(serde_json::Deserializer::from_str).ok_or(Unfit)
    }
}

macro_rules! strings {
    ($($method:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
                visit_text(self.as_text().ok_or(Unfit)?, visitor)
            }
        )*
    };
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
                match self.as_whole_number() {
                    Some(number) => visitor.visit_u64(number),
                    None => self.as_json()?.$method(visitor).map_err(|_| Unfit),
                }
            }
        )*
    };
}

macro_rules! left_to_serde_json {
    ($($method:ident($($name:ident: $argument:ty),*))*) => {
        $(
            fn $method<V: Visitor<'de>>(self, $($name: $argument,)* visitor: V) -> Result<V::Value, Unfit> {
                self.as_json()?.$method($($name,)* visitor).map_err(|_| Unfit)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Element<'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match (self.kind, self.as_text()) {
            (_, Some(text)) => visit_text(text, visitor),
            (Kind::Null, _) => visitor.visit_unit(),
            (Kind::True, _) => visitor.visit_bool(true),
            (Kind::False, _) => visitor.visit_bool(false),
            // What a number is to `any` depends on features of serde_json.
            _ => self.as_json()?.deserialize_any(visitor).map_err(|_| Unfit),
        }
    }

    strings! { deserialize_str deserialize_string deserialize_identifier }

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.kind {
            Kind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        if name.starts_with(PRIVATE_TO_SERDE) {
            return self.as_json()?.deserialize_newtype_struct(name, visitor).map_err(|_| Unfit);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_unit()
    }

    left_to_serde_json! {
        deserialize_bool() deserialize_i128() deserialize_u128() deserialize_f32() deserialize_f64()
        deserialize_char() deserialize_bytes() deserialize_byte_buf() deserialize_unit()
        deserialize_unit_struct(name: &'static str) deserialize_seq() deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize) deserialize_map()
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }
}
