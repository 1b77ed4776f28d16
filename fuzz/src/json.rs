//! Reads a JSON object strictly, with serde_json.
//!
//! serde_json decides whether a text is JSON. This module adds the other rules: the text is one object, no name occurs
//! twice at any level after escapes are resolved, there are at most 32 levels, and no name has a special meaning in
//! serde_json.

use std::{collections::BTreeMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, value::RawValue};

const MAX_DEPTH: usize = 32;
const PRIVATE_TO_SERDE: &str = "$serde_json::private::";

/// The members, if the text is strict.
pub fn strict(text: &[u8]) -> Option<Map<String, Value>> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let is_object = Strict { depth: 0 }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    if !is_object || std::str::from_utf8(text).is_err() {
        return None;
    }
    Some(serde_json::from_slice(text).expect("the text was valid a moment ago"))
}

/// The text of each member's value.
pub fn literals(text: &[u8]) -> BTreeMap<String, Box<RawValue>> {
    serde_json::from_slice(text).expect("the text is strict JSON")
}

/// Reads one value at level `depth`. Returns whether it is an object.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl Strict {
    fn inside<E: Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        let inside = self.inside()?;
        let mut names = Vec::<String>::new();
        while let Some(name) = map.next_key::<String>()? {
            if names.contains(&name) || name.starts_with(PRIVATE_TO_SERDE) {
                return Err(A::Error::custom("a name that is not allowed here"));
            }
            names.push(name);
            map.next_value_seed(inside)?;
        }
        Ok(true)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let inside = self.inside()?;
        while elements.next_element_seed(inside)?.is_some() {}
        Ok(false)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }
}
