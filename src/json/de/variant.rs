//! Variants of enums, for serde.

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, EnumAccess, VariantAccess, Visitor},
};

use super::{Element, Member, Name, Text, Unfit};

/// Reads a variant with content. It is an object with one member.
pub(super) fn visit_only_member<'de, V: Visitor<'de>>(
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
pub(super) struct Variant<'de> {
    pub(super) name: Text<'de>,
    /// `None` if the variant is only a name, as a string.
    pub(super) content: Option<Element<'de>>,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Unfit;
    type Variant = Content<'de>;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Content<'de>), Unfit> {
        let variant = seed.deserialize(Name(self.name))?;
        Ok((variant, Content(self.content)))
    }
}

pub(super) struct Content<'de>(Option<Element<'de>>);

impl<'de> VariantAccess<'de> for Content<'de> {
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
