//! The error of the strict JSON reader.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, Error as _, MapAccess, SeqAccess, Visitor},
};

/// Why [`from_slice`](super::from_slice) did not read a value. It contains nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonError {
    /// The text is not UTF-8.
    NotUtf8,
    /// The text breaks a rule of JSON or of this reader. The message is for people and may change. It names the line
    /// and the column if they are known.
    Syntax(String),
    /// The text follows all rules, but its value does not fit the type.
    TypeMismatch,
}

impl JsonError {
    /// Makes a message for a text that the strict reader has rejected.
    ///
    /// The strict reader only accepts or rejects, because that is faster for tokens. serde_json describes the error and
    /// its place. Its result does not change the decision: the text is rejected even if serde_json accepts it.
    ///
    /// The token API shows these messages to its clients, and its tests compare them.
    pub(super) fn explain(text: &str) -> Self {
        let mut reader = serde_json::Deserializer::from_str(text);
        let error = Described::deserialize(&mut reader).and_then(|_| reader.end()).err();
        Self::Syntax(match error {
            Some(error) => error.to_string(),
            None => "more than 32 levels, or a member name that serde_json reserves".into(),
        })
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 => f.write_str("the text is not UTF-8"),
            Self::Syntax(message) => f.write_str(message),
            Self::TypeMismatch => f.write_str("the value does not have the expected type"),
        }
    }
}

impl std::error::Error for JsonError {}

/// Any value without a duplicate member.
struct Described;

impl<'de> Deserialize<'de> for Described {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

/// Accepts every type, so that no message can quote a value.
impl<'de> Visitor<'de> for Described {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            map.next_value::<Self>()?;
            if !names.insert(name) {
                return Err(A::Error::custom("a member appears twice"));
            }
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
}
