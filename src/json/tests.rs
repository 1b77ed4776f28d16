//! The texts that the strict reader accepts and rejects, and that serde reads the same values.

use proptest::prelude::*;
use serde_json::Value as Serde;

use super::{
    reader::{MAX_DEPTH, first_special},
    *,
};

fn accepts(text: &str) -> bool {
    Object::parse(text).is_some()
}

#[test]
fn members_are_read_with_their_types() {
    let text = r#" {"a":"x","b":-1.5e2,"c":true,"d":null,"e":[1,"y"],"f":{"g":0}} "#;
    let object = Object::parse(text).unwrap();
    assert_eq!(object.get("a").and_then(Value::as_cow), Some("x".into()));
    assert_eq!(object.get("b"), Some(Value::Number("-1.5e2")));
    assert_eq!(object.get("c"), Some(Value::Bool(true)));
    assert_eq!(object.get("d"), Some(Value::Null));
    assert_eq!(object.get("e"), Some(Value::Array(r#"[1,"y"]"#)));
    assert_eq!(object.get("f"), Some(Value::Object(r#"{"g":0}"#)));
    assert_eq!(object.get("g"), None);
}

#[test]
fn escapes_are_resolved_in_names_and_values() {
    let object = Object::parse(r#"{"\u0061lg":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z"}"#).unwrap();
    let alg = object.get("alg").and_then(Value::as_text).unwrap();
    assert_eq!(alg.resolve(), "\"\\/\u{8}\u{c}\n\r\té😀z");
    assert_eq!(object.get("alg"), Some(Value::String(alg)));
    assert_ne!(Object::parse(r#"{"alg":"z"}"#).unwrap().get("alg"), Some(Value::String(alg)));
    assert!(alg.is("\"\\/\u{8}\u{c}\n\r\té😀z") && !alg.is("z") && alg.plain().is_none());
}

#[test]
fn arrays_of_strings_are_read_and_mixed_arrays_are_rejected() {
    let object = Object::parse(r#"{"a":["x" , "\u0079"],"b":["x",1],"c":[],"d":"x"}"#).unwrap();
    assert_eq!(object.get("a").unwrap().as_strings(), Some(vec!["x".into(), "y".into()]));
    assert_eq!(object.get("b").unwrap().as_strings(), None);
    assert_eq!(object.get("c").unwrap().as_strings(), Some(vec![]));
    assert_eq!(object.get("d").unwrap().as_strings(), None);
}

#[test]
fn only_one_object_with_nothing_after_it_is_read() {
    assert!(accepts("{}") && accepts(" \t\r\n{ } \n"));
    for text in
        ["", " ", "[]", "1", "\"a\"", "null", "{}{}", "{} x", "{},", "{", "{\"a\":1", "\u{feff}{}"]
    {
        assert!(!accepts(text), "{text:?}");
    }
}

#[test]
fn loose_syntax_is_refused() {
    for text in [
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a" 1}"#,
        r#"{a:1}"#,
        r#"{'a':1}"#,
        r#"{"a":01}"#,
        r#"{"a":+1}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":1e}"#,
        r#"{"a":-}"#,
        r#"{"a":0x10}"#,
        r#"{"a":NaN}"#,
        r#"{"a":Infinity}"#,
        r#"{"a":True}"#,
        r#"{"a":nul}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[1 2]}"#,
        r#"{"a":/**/1}"#,
        "{\"a\":\"\n\"}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u12\"}",
        "{\"a\":\"\\u+123\"}",
        "{\"a\":\"\0\"}",
    ] {
        assert!(!accepts(text), "{text:?}");
    }
}

#[test]
fn lone_surrogates_are_refused() {
    for text in
        [r#"{"a":"\ud800"}"#, r#"{"a":"\udc00"}"#, r#"{"a":"\ud800\u0041"}"#, r#"{"\ud800":1}"#]
    {
        assert!(!accepts(text), "{text:?}");
    }
    assert!(accepts(r#"{"a":"\ud800\udc00"}"#));
}

#[test]
fn duplicates_are_refused_at_every_level_and_through_escapes() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"x":{"a":1,"b":2,"a":3}}"#,
        r#"{"x":[{"y":[{"a":1,"a":2}]}]}"#,
    ] {
        assert!(!accepts(text), "{text}");
    }
    assert!(accepts(r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}],"A":1}"#));
}

#[test]
fn names_that_mean_something_to_serde_alone_are_refused() {
    for name in ["RawValue", "Number", "x"] {
        let member = format!("\"$serde_json::private::{name}\":\"1\"");
        assert!(!accepts(&format!("{{{member}}}")), "{name}");
        assert!(!accepts(&format!("{{\"a\":[{{{member}}}]}}")), "{name}");
    }
    assert!(accepts(r#"{"$serde_json":{"private::Number":1}}"#));
}

#[test]
fn elements_are_separated_whatever_they_contain() {
    let text = r#" {"x":{"y":1}, "keys" : [ {"a":1,"a":2} , 7,"]\"}",[{}],{} , nul ] } "#;
    assert_eq!(
        elements_of(text, "keys"),
        Some(vec![r#"{"a":1,"a":2}"#, "7", r#""]\"}""#, "[{}]", "{}", "nul"])
    );
    assert_eq!(elements_of(r#"{"keys":[]}"#, "keys"), Some(vec![]));
    for text in [
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[],"\u006beys":[]}"#,
        r#"{"x":,"keys":[]}"#,
        r#"{"keys":[1,,2]}"#,
        r#"{"keys":[{]}"#,
        r#"{"keys":[,]}"#,
        r#"{"keys":["#,
        r#"{"keys":["a"#,
        "{\"keys\":[\"\\",
        r#"{"keys":[]} x"#,
        r#"{"keys":[]"#,
    ] {
        assert_eq!(elements_of(text, "keys"), None, "{text}");
    }
}

#[test]
fn duplicates_are_found_among_hundreds_of_names() {
    let names: Vec<String> = (0..400).map(|n| format!("\"m{n}\":{n}")).collect();
    let all = names.join(",");
    assert!(accepts(&format!("{{{all}}}")));
    assert!(accepts(&format!("{{\"x\":{{{all}}}}}")));
    for duplicate in [0, 15, 16, 17, 399] {
        assert!(!accepts(&format!("{{{all},\"m{duplicate}\":0}}")), "{duplicate}");
        assert!(!accepts(&format!("{{\"x\":{{{all},\"m{duplicate}\":0}}}}")), "{duplicate}");
    }
}

#[test]
fn duplicates_are_found_after_names_that_begin_alike() {
    let names = r#""registered1":1,"registered2":2,"a":3"#;
    assert!(accepts(&format!("{{{names}}}")));
    for duplicate in ["registered1", "registered2", "a"] {
        assert!(!accepts(&format!("{{{names},\"{duplicate}\":4}}")), "{duplicate}");
    }
}

#[test]
fn the_first_special_byte_of_eight_is_found_at_every_position() {
    for filler in [b' ', b'!', b'#', b'[', b']', b'a', 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
        assert_eq!(first_special([filler; 8]), None, "{filler:#x}");
        for first in 0..8 {
            for second in first..8 {
                for special in (0..0x20).chain([b'"', b'\\']) {
                    let mut bytes = [filler; 8];
                    bytes[second] = b'\\';
                    bytes[first] = special;
                    assert_eq!(first_special(bytes), Some(first), "{bytes:?}");
                }
            }
        }
    }
}

#[test]
fn depth_is_limited_to_the_level() {
    let nested =
        |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(accepts(&nested(MAX_DEPTH)));
    assert!(!accepts(&nested(MAX_DEPTH + 1)));
    assert!(!accepts(&"{\"a\":".repeat(100_000)));
    assert!(!accepts(&format!("{{\"a\":{}", "[".repeat(100_000))));
}

#[test]
fn numbers_that_overflow_a_double_are_refused() {
    for number in ["1e400", "-1e999", "1E+309", &"9".repeat(400)] {
        assert!(!accepts(&format!("{{\"a\":{number}}}")), "{number}");
    }
    for number in ["1e308", "1e-999", "0", "-0", "18446744073709551616", &"9".repeat(300)] {
        assert!(accepts(&format!("{{\"a\":{number}}}")), "{number}");
    }
}

#[test]
fn a_value_of_any_type_is_read_from_bytes() {
    for text in [r#""a\n""#, "7", "-1.5", "true", " null ", r#"[1,{"a":"\u00e9"}]"#, r#"{"a":[]}"#]
    {
        let serde: Serde = serde_json::from_str(text).unwrap();
        assert_eq!(from_slice::<Serde>(text.as_bytes()), Ok(serde), "{text}");
    }
    assert_eq!(from_slice(br#"["borrowed"]"#), Ok(["borrowed"]));
    assert_eq!(from_slice::<u8>(b"256"), Err(JsonError::TypeMismatch));
    assert_eq!(from_slice::<u8>(b"\"\xff\""), Err(JsonError::NotUtf8));
}

#[test]
fn values_of_any_type_are_read_strictly() {
    let deepest = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    assert!(from_slice::<Serde>(deepest.as_bytes()).is_ok());
    for text in [
        "",
        "nul",
        "1 2",
        "[1,]",
        "01",
        "1e999",
        "\u{feff}1",
        r#"["\ud800"]"#,
        r#"[{"a":1,"\u0061":2}]"#,
        r#"[{"$serde_json::private::Number":"1"}]"#,
        &format!("[{deepest}]"),
    ] {
        let read = from_slice::<Serde>(text.as_bytes());
        assert!(matches!(&read, Err(JsonError::Syntax(_))), "{text}: {read:?}");
    }
}

#[test]
fn an_error_names_the_place_and_nothing_of_the_text() {
    for (text, message) in [
        (r#"{"secret":secret}"#, "expected value at line 1 column 11"),
        (r#"{"a":1,"a":"secret"}"#, "a member appears twice at line 1 column 20"),
        (r#"{"secret":1,"secret":1}"#, "a member appears twice at line 1 column 23"),
        (r#"{"$serde_json::private::secret":1}"#, OTHER_RULES),
        (r#""secret""secret""#, "trailing characters at line 1 column 9"),
    ] {
        let error = from_slice::<Serde>(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    let error = from_slice::<bool>(br#""secret""#).unwrap_err();
    assert_eq!(error.to_string(), "the value does not have the expected type");
}

const OTHER_RULES: &str = "more than 32 levels, or a member name that serde_json reserves";

/// Whether both readers got the same value.
fn agrees(ours: Value<'_>, serde: &Serde) -> bool {
    match (ours, serde) {
        (Value::Null, Serde::Null) => true,
        (Value::Bool(ours), Serde::Bool(serde)) => ours == *serde,
        (Value::Number(text), Serde::Number(number)) => {
            // serde_json is less exact in the last bit of a double, for speed.
            let (ours, serde) = (text.parse::<f64>().unwrap(), number.as_f64().unwrap());
            (ours - serde).abs() <= serde.abs() * 1e-15
        }
        (Value::String(ours), Serde::String(serde)) => ours.is(serde) && ours.resolve() == *serde,
        (Value::Array(text), Serde::Array(_)) | (Value::Object(text), Serde::Object(_)) => {
            serde_json::from_str::<Serde>(text).is_ok_and(|value| &value == serde)
        }
        _ => false,
    }
}

fn any_json() -> impl Strategy<Value = Serde> {
    json_with(any::<f64>())
}

pub(super) fn json_with(
    doubles: impl Strategy<Value = f64> + 'static,
) -> impl Strategy<Value = Serde> {
    let leaf = prop_oneof![
        Just(Serde::Null),
        any::<bool>().prop_map(Serde::from),
        any::<i64>().prop_map(Serde::from),
        any::<u64>().prop_map(Serde::from),
        doubles.prop_map(Serde::from),
        ".{0,8}".prop_map(Serde::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Serde::from),
            prop::collection::hash_map("\\PC{0,6}", inner, 0..6)
                .prop_map(|members| Serde::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn serde_reads_every_accepted_text_the_same(
        members in prop::collection::hash_map("\\PC{0,6}", any_json(), 0..24),
        pretty: bool,
    ) {
        let members = Serde::Object(members.into_iter().collect());
        let text = if pretty { serde_json::to_string_pretty(&members) } else { serde_json::to_string(&members) };
        let text = text.unwrap();
        let object = Object::parse(&text).expect("serde writes strict JSON");
        let serde: Serde = serde_json::from_str(&text).unwrap();
        let members = serde.as_object().unwrap();
        prop_assert_eq!(object.members.len(), members.len());
        for (name, value) in members {
            prop_assert!(agrees(object.get(name).unwrap(), value), "{}", name);
        }
    }

    #[test]
    fn a_value_from_bytes_is_the_one_that_serde_reads(value in json_with(-1e6..1e6_f64)) {
        let text = serde_json::to_vec(&value).unwrap();
        let ours = from_slice::<Serde>(&text).unwrap();
        prop_assert_eq!(serde_json::to_vec(&ours).unwrap(), text);
    }

    #[test]
    fn nothing_is_accepted_that_serde_refuses(
        seed in prop::sample::select(vec![
            r#"{"iss":"a","aud":["b","c"],"exp":1300819380,"nbf":1.5e9,"x":{"y":[true,null]}}"#,
            r#"{"alg":"HS256","typ":"JWT","kid":"\u00e9\ud83d\ude00","n":-0.0e-1}"#,
        ]),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let mut bytes = seed.as_bytes().to_vec();
        for (index, byte, kind) in edits {
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        if let Some(object) = std::str::from_utf8(&bytes).ok().and_then(Object::parse) {
            let serde: Serde = serde_json::from_slice(&bytes).expect("what we accept serde accepts");
            let members = serde.as_object().unwrap();
            prop_assert_eq!(object.members.len(), members.len());
            for (name, value) in members {
                prop_assert!(agrees(object.get(name).unwrap(), value), "{}", name);
            }
        }
    }
}
