//! Passes the members that were read to serde.
//!
//! For every type, the result is the same as that of serde_json with `float_roundtrip`: an `f64` or `f32` is the
//! nearest one, and a number that is too large for the type is an error.
//!
//! The code does not use serde_json itself, because any crate of a build can enable features that change what
//! serde_json passes to a visitor. `arbitrary_precision` makes a number an object, so another variant of an untagged
//! enum fits. `float_roundtrip` changes the last bit of a double. In this module a number is always a `u64`, else an
//! `i64`, else the nearest `f64`, at every level. Only a `RawValue` is left to serde_json, because only serde_json can
//! make one.

#[cfg(test)]
mod tests;

use serde::{
    Deserializer,
    de::{
        Deserialize, DeserializeOwned, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess,
        VariantAccess, Visitor, value::SeqDeserializer,
    },
    forward_to_deserialize_any,
};
use smallvec::SmallVec;

use super::{
    reader::{PRIVATE_TO_SERDE, Reader, is_number},
    value::{
        Member, Members, Object, Span, Text, Unfit, ValueKind, visit_bytes, visit_number,
        visit_text,
    },
};

/// Makes a `T` from an object, as serde_json does from its text. `None` if the object does not fit `T`.
pub(crate) fn deserialize<T: DeserializeOwned>(object: &Object<'_>) -> Option<T> {
    T::deserialize(Whole(object)).ok()
}

/// Makes a `T` from any value that was read. `None` if the value does not fit `T`.
pub(super) fn deserialize_value<'de, T: Deserialize<'de>>(
    text: &'de str,
    kind: ValueKind,
    value: Span,
) -> Option<T> {
    T::deserialize(Element { text, value, kind }).ok()
}

/// Methods for types that an object cannot be.
macro_rules! unfit {
    ($($method:ident($($argument:ty),*))*) => {
        $(
            fn $method<V: Visitor<'de>>(self, $(_: $argument,)* _: V) -> Result<V::Value, Unfit> {
                Err(Unfit)
            }
        )*
    };
}

/// The whole object.
struct Whole<'o, 'de>(&'o Object<'de>);

impl<'de> Deserializer<'de> for Whole<'_, 'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visit_members(self.0.text, &self.0.members, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visit_only_member(self.0.text, &self.0.members, visitor)
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
            return raw(self.0.text.trim_ascii(), name, visitor);
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
        deserialize_tuple_struct(&'static str, usize) deserialize_identifier()
    }
}

fn visit_members<'de, V: Visitor<'de>>(
    text: &'de str,
    members: &[Member],
    visitor: V,
) -> Result<V::Value, Unfit> {
    let mut members = Entries { text, rest: members.iter(), current: None };
    let value = visitor.visit_map(&mut members)?;
    if members.rest.next().is_some() { Err(Unfit) } else { Ok(value) }
}

/// Uses serde_json for one value, because its `RawValue` needs that.
fn raw<'de, V: Visitor<'de>>(
    json: &'de str,
    name: &'static str,
    visitor: V,
) -> Result<V::Value, Unfit> {
    serde_json::Deserializer::from_str(json)
        .deserialize_newtype_struct(name, visitor)
        .map_err(|_| Unfit)
}

/// The members, in their order.
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
        seed.deserialize(MemberName(name)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unfit> {
        let Member { value, kind, .. } = *self.current.take().ok_or(Unfit)?;
        seed.deserialize(Element { text: self.text, value, kind })
    }
}

/// Methods for numbers: those of up to 64 bits, and those that hold integers of 128 bits.
macro_rules! numbers {
    () => {
        numbers! { @any f64 deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8
            deserialize_u16 deserialize_u32 deserialize_u64 deserialize_f64 }
        numbers! { @any f32 deserialize_f32 }
        numbers! { @wide deserialize_i128 visit_i128 deserialize_u128 visit_u128 }
    };
    (@any $float:ident $($method:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
                visit_number::<$float, V>(self.as_number().ok_or(Unfit)?, visitor)
            }
        )*
    };
    (@wide $($method:ident $visit:ident)*) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
                let number = self.as_number().ok_or(Unfit)?;
                visitor.$visit(number.parse().map_err(|_| Unfit)?)
            }
        )*
    };
}

/// A member's name. As the key of a map it may also become a number, a bool or an enum variant.
struct MemberName<'de>(Text<'de>);

impl<'de> MemberName<'de> {
    fn as_number(&self) -> Option<&'de str> {
        self.0.plain().filter(|name| is_number(name))
    }
}

impl<'de> Deserializer<'de> for MemberName<'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visit_text(self.0, visitor)
    }

    numbers! {}

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.0.plain() {
            Some("true") => visitor.visit_bool(true),
            Some("false") => visitor.visit_bool(false),
            _ => Err(Unfit),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        visitor.visit_enum(Variant { name: self.0, content: None })
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visit_bytes(self.0, visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visit_bytes(self.0, visitor)
    }

    forward_to_deserialize_any! {
        char str string unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A value, at any level.
struct Element<'de> {
    text: &'de str,
    value: Span,
    kind: ValueKind,
}

impl<'de> Element<'de> {
    fn as_text(&self) -> Option<Text<'de>> {
        let has_escapes = match self.kind {
            ValueKind::String => false,
            ValueKind::StringWithEscapes => true,
            _ => return None,
        };
        Some(Text { raw: self.value.of(self.text)?, has_escapes })
    }

    fn as_number(&self) -> Option<&'de str> {
        if self.kind == ValueKind::Number { self.value.of(self.text) } else { None }
    }

    /// The value's text, with its quotes if it is a string.
    fn as_json(&self) -> Option<&'de str> {
        let Span { start, end } = self.value;
        let quote = u32::from(self.as_text().is_some());
        Span { start: start.saturating_sub(quote), end: end.saturating_add(quote) }.of(self.text)
    }

    fn reader(&self) -> Reader<'de> {
        Reader::new(self.text, self.value.start as usize)
    }

    fn members(&self) -> Result<Members, Unfit> {
        let mut members = Members::new();
        self.reader().object(1, &mut members).ok_or(Unfit)?;
        Ok(members)
    }

    fn elements(&self) -> Result<SmallVec<[Self; 8]>, Unfit> {
        let mut elements = SmallVec::new();
        let read = self.reader().elements(1, |kind, value| {
            elements.push(Self { text: self.text, value, kind });
            Some(())
        });
        read.map(|()| elements).ok_or(Unfit)
    }
}

impl<'de> IntoDeserializer<'de, Unfit> for Element<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
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

impl<'de> Deserializer<'de> for Element<'de> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.kind {
            ValueKind::Null => visitor.visit_unit(),
            ValueKind::True => visitor.visit_bool(true),
            ValueKind::False => visitor.visit_bool(false),
            ValueKind::Number => self.deserialize_f64(visitor),
            ValueKind::String | ValueKind::StringWithEscapes => self.deserialize_str(visitor),
            ValueKind::Array => self.deserialize_seq(visitor),
            ValueKind::Object => self.deserialize_map(visitor),
        }
    }

    numbers! {}

    strings! { deserialize_char deserialize_str deserialize_string deserialize_identifier }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.kind {
            ValueKind::True => visitor.visit_bool(true),
            ValueKind::False => visitor.visit_bool(false),
            _ => Err(Unfit),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.as_text() {
            Some(text) => visit_bytes(text, visitor),
            None => self.deserialize_seq(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.kind {
            ValueKind::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        if self.kind == ValueKind::Null { visitor.visit_unit() } else { Err(Unfit) }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        if name.starts_with(PRIVATE_TO_SERDE) {
            return raw(self.as_json().ok_or(Unfit)?, name, visitor);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        if self.kind != ValueKind::Array {
            return Err(Unfit);
        }
        let mut elements = SeqDeserializer::new(self.elements()?.into_iter());
        let value = visitor.visit_seq(&mut elements)?;
        elements.end().map(|()| value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        if self.kind != ValueKind::Object {
            return Err(Unfit);
        }
        visit_members(self.text, &self.members()?, visitor)
    }

    /// serde_json also accepts arrays for structs.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        match self.kind {
            ValueKind::Array => self.deserialize_seq(visitor),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        match (self.kind, self.as_text()) {
            (_, Some(name)) => visitor.visit_enum(Variant { name, content: None }),
            (ValueKind::Object, None) => visit_only_member(self.text, &self.members()?, visitor),
            _ => Err(Unfit),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        visitor.visit_unit()
    }
}

/// Reads a variant with content. It is an object with one member.
fn visit_only_member<'de, V: Visitor<'de>>(
    text: &'de str,
    members: &[Member],
    visitor: V,
) -> Result<V::Value, Unfit> {
    let [member] = members else { return Err(Unfit) };
    let name = member.name_in(text).ok_or(Unfit)?;
    let content = Some(Element { text, value: member.value, kind: member.kind });
    visitor.visit_enum(Variant { name, content })
}

/// A variant of an enum.
struct Variant<'de> {
    name: Text<'de>,
    /// `None` if the variant is only a name, as a string.
    content: Option<Element<'de>>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Unfit;
    type Variant = VariantContent<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, VariantContent<'de>), Unfit> {
        let variant = seed.deserialize(MemberName(self.name))?;
        Ok((variant, VariantContent(self.content)))
    }
}

struct VariantContent<'de>(Option<Element<'de>>);

impl<'de> VariantAccess<'de> for VariantContent<'de> {
    type Error = Unfit;

    fn unit_variant(self) -> Result<(), Unfit> {
        self.0.map_or(Ok(()), Deserialize::deserialize)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Unfit> {
        seed.deserialize(self.0.ok_or(Unfit)?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Unfit> {
        self.0.ok_or(Unfit)?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        self.0.ok_or(Unfit)?.deserialize_struct("", fields, visitor)
    }
}
