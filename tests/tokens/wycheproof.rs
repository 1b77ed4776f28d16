//! Project Wycheproof's JSON Web Signature and JSON Web Key files.
//!
//! `tests/fixtures/wycheproof` has the files. What they say is asserted of every vector but those that are listed here,
//! each with its reason.

#![cfg(any(feature = "aws-lc-rs", feature = "rust-crypto"))]

use std::{fs, path::Path};

use serde_json::Value;
use tower_bearer::{Key, KeySet};

/// What becomes of one vector.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Accepted,
    Refused,
}
use Verdict::{Accepted, Refused};

/// Vectors whose label does not hold here.
const SIGNATURE_OVERRIDES: &[(u64, Verdict, &str)] = &[
    (346, Refused, "a PS384 token with a key whose `alg` is PS256"),
    (347, Refused, "an ES512 token with a key whose `alg` is ES521, which is no algorithm"),
    (350, Refused, "a PS384 token with a key whose `alg` is PS256"),
    (351, Refused, "an ES512 token with a key whose `alg` is ES521, which is no algorithm"),
    (367, Accepted, "byte by byte the same as 357, which is valid"),
    (370, Accepted, "byte by byte the same as 357, which is valid"),
    (372, Refused, "labelled valid, but `?` is not in the alphabet of base64url"),
    (373, Refused, "labelled valid, but `?` is not in the alphabet of base64url"),
];

const KEY_OVERRIDES: &[(u64, Verdict, &str)] = &[
    (4, Accepted, "two keys with one kid: each is tried"),
    (7, Accepted, "a ROCA key, which only its maker's name would give away: not looked for"),
];

#[test]
fn json_web_signatures_have_the_results_of_the_file() {
    let file = read_vectors("json_web_signature_test.json");
    assert_eq!(run(&file, SIGNATURE_OVERRIDES, one_key), (42, 359));
}

#[test]
fn json_web_keys_have_the_results_of_the_file() {
    let file = read_vectors("json_web_key_test.json");
    assert_eq!(run(&file, KEY_OVERRIDES, key_set), (7, 19));
}

fn read_vectors(name: &str) -> Value {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wycheproof");
    let text = fs::read_to_string(folder.join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Returns how many vectors were accepted and refused.
fn run(
    file: &Value,
    overrides: &[(u64, Verdict, &str)],
    keys_of: fn(&Value) -> Option<KeySet>,
) -> (usize, usize) {
    let (mut accepted, mut refused) = (0, 0);
    let mut overridden = Vec::new();
    for group in file["testGroups"].as_array().unwrap() {
        let keys = keys_of(group);
        for test in group["tests"].as_array().unwrap() {
            let id = test["tcId"].as_u64().unwrap();
            let labelled = if test["result"] == "valid" { Accepted } else { Refused };
            let expected = match overrides.iter().find(|(overridden, ..)| *overridden == id) {
                Some(&(_, verdict, reason)) => {
                    assert_ne!(verdict, labelled, "{id} needs no override: {reason}");
                    overridden.push(id);
                    verdict
                }
                None => labelled,
            };
            let verdict = judge(keys.as_ref(), &test["jws"]);
            assert_eq!(verdict, expected, "{id} {}", test["comment"]);
            match verdict {
                Accepted => accepted += 1,
                Refused => refused += 1,
            }
        }
    }
    assert_eq!(overridden, overrides.iter().map(|(id, ..)| *id).collect::<Vec<_>>());
    assert_eq!(Some((accepted + refused) as u64), file["numberOfTests"].as_u64());
    (accepted, refused)
}

fn judge(keys: Option<&KeySet>, jws: &Value) -> Verdict {
    // One vector is a JSON serialisation, given as an object.
    let jws = jws.as_str().map_or_else(|| jws.to_string(), str::to_owned);
    match keys.map(|keys| keys.verify_compact(jws.as_bytes())) {
        Some(Ok(_)) => Accepted,
        Some(Err(_)) | None => Refused,
    }
}

/// The public key of a group, or its secret; `None` where the key itself is refused.
fn one_key(group: &Value) -> Option<KeySet> {
    let key = group.get("public").unwrap_or(&group["private"]);
    Key::from_jwk_json(&key.to_string()).ok().map(KeySet::from)
}

/// The public set of a group. Secrets are no set of public keys, so they are given one by one.
fn key_set(group: &Value) -> Option<KeySet> {
    let document = group.get("public").unwrap_or(&group["private"]);
    let keys = document["keys"].as_array().unwrap();
    if keys.iter().any(|key| key["kty"] != "oct") {
        return KeySet::from_jwks_json(&document.to_string()).ok();
    }
    Some(KeySet::new(keys.iter().filter_map(|key| Key::from_jwk_json(&key.to_string()).ok())))
}
