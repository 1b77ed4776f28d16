//! Row 75: the same claims become the same variant, whatever features of serde_json another crate enables.

use std::fmt::Debug;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use tower_bearer::test_util::authenticated;

#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Claims<T> {
    x: T,
}

/// The claim `x` of a token with these claims, through the whole authenticator.
fn claim<T: DeserializeOwned + Clone + Debug + Send + Sync + 'static>(x: &str) -> T {
    let x: serde_json::Value = serde_json::from_str(x).unwrap();
    authenticated::<Claims<T>>(json!({ "sub": "ada", "x": x })).claims().x.clone()
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Amount {
    Whole(u64),
    Signed(i64),
    Of(f64),
    Any(serde_json::Value),
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Tagged {
    A { n: f64 },
    B { n: u64 },
}

const NUMBERS: [(&str, Amount); 7] = [
    ("7", Amount::Whole(7)),
    ("-7", Amount::Signed(-7)),
    ("1.5", Amount::Of(1.5)),
    ("1e2", Amount::Of(100.0)),
    ("18446744073709551615", Amount::Whole(u64::MAX)),
    ("18446744073709551616", Amount::Of(18_446_744_073_709_551_616.0)),
    ("0.1234567890123456789", Amount::Of(0.123_456_789_012_345_68)),
];

#[test]
fn the_features_are_enabled_here() {
    let number: serde_json::Value = serde_json::from_str("1.50").unwrap();
    assert_eq!(number.to_string(), "1.50", "arbitrary_precision");
    let order: serde_json::Value = serde_json::from_str(r#"{"b":1,"a":2}"#).unwrap();
    assert_eq!(order.to_string(), r#"{"b":1,"a":2}"#, "preserve_order");
}

#[test]
fn a_number_gets_the_same_variant() {
    for (number, expected) in NUMBERS {
        assert_eq!(claim::<Amount>(number), expected, "{number}");
    }
}

#[test]
fn a_nested_number_gets_the_same_variant() {
    for (number, expected) in NUMBERS {
        assert_eq!(claim::<Vec<Amount>>(&format!("[{number}]")), [expected.clone()], "{number}");
        let nested = claim::<Claims<Claims<Amount>>>(&format!(r#"{{"x":{{"x":{number}}}}}"#));
        assert_eq!(nested.x.x, expected, "{number}");
    }
}

#[test]
fn a_tagged_number_gets_the_same_variant() {
    assert_eq!(claim::<Tagged>(r#"{"kind":"a","n":1.5}"#), Tagged::A { n: 1.5 });
    assert_eq!(claim::<Tagged>(r#"{"n":2,"kind":"b"}"#), Tagged::B { n: 2 });
}

/// `serde_json::Value` and `Number` can still be made: both are part of what users write.
#[test]
fn a_value_is_made_of_numbers() {
    assert_eq!(claim::<serde_json::Value>("[1,-1,1.5]"), json!([1, -1, 1.5]));
    assert_eq!(claim::<serde_json::Number>("7").as_u64(), Some(7));
    let raw = claim::<Box<serde_json::value::RawValue>>("1.50");
    assert_eq!(raw.get(), "1.50");
}
