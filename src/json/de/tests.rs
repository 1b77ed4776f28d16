//! A value that is made from members is equal to the value that serde_json makes from their text, for every type.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt::Debug,
};

use proptest::prelude::*;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

use super::*;
use crate::json::tests::json_with;

/// Both ways to make a `T` from a text agree. Returns whether there is a `T`.
fn agree<T: DeserializeOwned + PartialEq + Debug>(text: &str) -> bool {
    let object = Object::parse(text).unwrap();
    let (ours, serde) = (deserialize::<T>(&object), serde_json::from_str::<T>(text).ok());
    assert_eq!(ours, serde, "{text}");
    // A value that is made without serde_json is the same.
    if let Ok(direct) = T::deserialize(Whole(&object)) {
        assert_eq!(Some(direct), serde, "{text}");
    }
    serde.is_some()
}

#[derive(Debug, PartialEq, Deserialize)]
struct Owned {
    a: String,
    b: Option<u64>,
    c: Option<Vec<String>>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    #[serde(default)]
    a: i8,
    #[serde(default, rename = "b", alias = "c")]
    b: Option<Name>,
}

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
struct Name(Cow<'static, str>);

#[derive(Debug, PartialEq, Deserialize)]
struct Flat {
    a: Value,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Kinds {
    a: Kind,
    #[serde(default)]
    b: f64,
    #[serde(default)]
    c: (),
}

#[derive(Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    A,
    B(u8),
    C { a: bool },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Either {
    Numbers { a: i128, b: u8 },
    Text { a: char },
    Other(BTreeMap<String, Value>),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "a", rename_all = "lowercase")]
enum Tagged {
    B { b: i64 },
    C(Flat),
}

/// For this type, absent and null are the same.
#[derive(Debug, PartialEq, Deserialize)]
struct Nullable {
    a: Option<Value>,
    b: Option<()>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Wrapper<T>(T);

/// Checks that both ways agree for many types. Returns how many of the types could be made.
fn every_type_agrees(text: &str) -> usize {
    [
        agree::<Owned>(text),
        agree::<Strict>(text),
        agree::<Flat>(text),
        agree::<Kinds>(text),
        agree::<Either>(text),
        agree::<Tagged>(text),
        agree::<Nullable>(text),
        agree::<Kind>(text),
        agree::<Wrapper<Option<Owned>>>(text),
        agree::<Option<Wrapper<Kinds>>>(text),
        agree::<Value>(text),
        agree::<Map<String, Value>>(text),
        agree::<HashMap<u64, Value>>(text),
        agree::<HashMap<Kind, Value>>(text),
        agree::<BTreeMap<Name, u8>>(text),
        agree::<BTreeMap<i8, f32>>(text),
        agree::<BTreeMap<String, serde::de::IgnoredAny>>(text),
        agree::<IgnoredAny>(text),
        agree::<()>(text),
        agree::<String>(text),
        agree::<(String, u64)>(text),
    ]
    .into_iter()
    .filter(|made| *made)
    .count()
}

#[test]
fn every_type_is_made_of_some_text() {
    for (text, made) in [
        (r#"{"a":"x","b":7,"c":["\u0079"]}"#, true),
        (r#"{"a":-128,"c":"n\u00e9"}"#, true),
        (r#"{"a":128}"#, true),
        (r#"{"a":"a","b":1.5,"c":null}"#, true),
        (r#"{"a":{"b":3}}"#, true),
        (r#"{"a":{"c":{"a":true}},"b":18446744073709551616}"#, true),
        (r#"{"a":170141183460469231731687303715884105727,"b":255}"#, true),
        (r#"{"a":"b","b":-9223372036854775808}"#, true),
        (r#"{"a":"\u0063","d":[1,{"e":null}]}"#, true),
        (r#"{"b":3}"#, true),
        (r#"{"a":null}"#, true),
        (r#"{"1":2,"18446744073709551615":[]}"#, true),
        (r#"{"-1":1e3,"7":-0.0}"#, true),
        (r#" { } "#, true),
    ] {
        assert_eq!(every_type_agrees(text) > 2, made, "{text}");
    }
    assert!(agree::<Owned>(r#"{"a":"x","b":7,"c":["\u0079"]}"#));
    assert!(agree::<Strict>(r#"{"a":-128,"c":"n\u00e9"}"#));
    assert!(!agree::<Strict>(r#"{"a":-128,"d":1}"#));
    assert!(agree::<Flat>(r#"{"x":[],"a":{"y":1.5}}"#));
    assert!(agree::<Kinds>(r#"{"a":"a","b":1.5,"c":null}"#));
    assert!(agree::<Kinds>(r#"{"a":{"c":{"a":true}}}"#));
    assert!(agree::<Either>(r#"{"a":170141183460469231731687303715884105727,"b":255}"#));
    assert!(agree::<Either>(r#"{"a":"x"}"#));
    assert!(agree::<Tagged>(r#"{"a":"b","b":-1}"#));
    assert!(agree::<Nullable>(r#"{"a":null,"b":null}"#) && agree::<Nullable>("{}"));
    assert!(agree::<Kind>(r#"{"b":3}"#));
    assert!(agree::<HashMap<u64, Value>>(r#"{"1":2}"#));
    assert!(agree::<HashMap<Kind, Value>>(r#"{"a":2}"#));
    assert!(agree::<BTreeMap<i8, f32>>(r#"{"-7":-0.0}"#));
    assert!(!agree::<HashMap<u64, Value>>(r#"{" 1":2}"#));
    assert!(!agree::<()>("{}") && !agree::<String>("{}") && !agree::<(String, u64)>("{}"));
}

#[test]
fn usual_claims_are_made_without_reading_the_text_again() {
    let text = r#"{"a":"x","b":7,"c":["y"],"other":{"nested":true}}"#;
    let object = Object::parse(text).unwrap();
    assert!(Owned::deserialize(Whole(&object)).is_ok());
    assert!(Map::<String, Value>::deserialize(Whole(&object)).is_ok());
    assert!(IgnoredAny::deserialize(Whole(&object)).is_ok());
}

/// Without `float_roundtrip`, serde_json rounds some numbers differently.
#[test]
fn a_double_is_the_nearest_one() {
    for (text, expected) in [
        (r#"{"a":7.975863582740632e+121}"#, 7.975_863_582_740_632e121),
        (r#"{"a":{"":[7.975863582740632e+121]}}"#, 7.975_863_582_740_632e121),
        (r#"{"a":0.1}"#, 0.1),
    ] {
        let object = Object::parse(text).unwrap();
        let made = deserialize::<BTreeMap<String, Value>>(&object).unwrap();
        let number = made["a"].pointer("//0").unwrap_or(&made["a"]);
        assert_eq!(number.as_f64(), Some(expected), "{text}");
    }
}

/// Without `float_roundtrip`, serde_json makes infinity of the first number and rounds the others twice.
#[test]
fn a_single_is_the_nearest_one_and_never_infinite() {
    let single = |number: &str| {
        let text = format!(r#"{{"a":{number}}}"#);
        let made = deserialize::<BTreeMap<String, f32>>(&Object::parse(&text).unwrap())?;
        made.get("a").copied()
    };
    assert_eq!(single("1e39"), None);
    assert_eq!(single("-3.5e38"), None);
    assert_eq!(single("3.4028235e38"), Some(f32::MAX));
    assert_eq!(single("1.00000005960464477540"), Some(1.000_000_1));
    assert_eq!(single("16777217"), Some(16_777_216.0));
    assert_eq!(single("-0.0").map(f32::is_sign_negative), Some(true));
}

/// Uses doubles with few digits, which serde_json also reads as the nearest double.
fn json() -> impl Strategy<Value = Value> {
    let doubles =
        (any::<i32>(), 0..=9_i32, any::<bool>()).prop_map(|(digits, exponent, is_small)| {
            let power = 10_f64.powi(exponent);
            if is_small { f64::from(digits) / power } else { f64::from(digits) * power }
        });
    json_with(doubles)
}

fn odd_json() -> impl Strategy<Value = Value> {
    prop_oneof![
        json(),
        prop::sample::select(vec!["a", "b", "c", "1", "true", ""]).prop_map(Value::from),
        (0..300_u64).prop_map(Value::from),
        prop::collection::hash_map("[abc]", json(), 0..3)
            .prop_map(|members| Value::Object(members.into_iter().collect())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_type_is_made_of_members_as_of_their_text(
        members in prop::collection::hash_map("[abc]|[0-9]{1,3}|-[1-9]|\\PC{0,3}", odd_json(), 0..8),
        pretty: bool,
    ) {
        let members = Value::Object(members.into_iter().collect());
        let text = if pretty { serde_json::to_string_pretty(&members) } else { serde_json::to_string(&members) };
        every_type_agrees(&text.unwrap());
    }
}
