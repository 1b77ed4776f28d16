//! Claims types as service authors write them. The crate reads them, and serde_json alone reads them.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

/// Most kinds of fields that serde supports.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Typed {
    pub iss: String,
    pub aud: Value,
    pub exp: f64,
    #[serde(default)]
    pub sub: Option<String>,
    #[serde(default)]
    pub flag: Option<bool>,
    #[serde(default)]
    pub small: Option<i8>,
    #[serde(default)]
    pub large: Option<u64>,
    #[serde(default)]
    pub real: Option<f32>,
    #[serde(default)]
    pub letter: Option<char>,
    #[serde(default)]
    pub role: Option<Role>,
    #[serde(default)]
    pub pair: Option<(u8, String)>,
    #[serde(default)]
    pub unit: Option<()>,
    #[serde(default)]
    pub nested: Option<Box<Nested>>,
    #[serde(default)]
    pub numbers: HashMap<u16, i64>,
    #[serde(default, alias = "other_name")]
    pub name: Wrapped,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nested {
    #[serde(default)]
    pub list: Vec<Option<i32>>,
    #[serde(default)]
    pub nested: Option<Box<Nested>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Reader,
    Writer(u8),
    Owner { of: String },
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Wrapped(String);

/// Keeps the members that it does not name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Flattened {
    #[serde(flatten)]
    pub known: Known,
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Known {
    pub iss: String,
    #[serde(default)]
    pub sub: Option<String>,
}

/// One of several types. serde selects the first that fits, or selects by the value of a member.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Untagged {
    Tagged(Tagged),
    Typed(Box<Typed>),
    Anything(HashMap<String, Value>),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "token_type", rename_all = "lowercase")]
pub enum Tagged {
    Access { sub: String },
    Private { jti: String, small: Option<i16> },
}
