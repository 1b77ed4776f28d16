//! Tests of key sets: which keys are tried for a token, and how documents are read.

use jsonwebtoken::EncodingKey;

use super::*;
use crate::jws::{
    KeySetHandle,
    tests::{base64url, fixture, public_bits, sign, signed_with_rsa, to_der},
};

fn secret(number: u8) -> [u8; 32] {
    [number; 32]
}

fn key(number: u8) -> Key {
    Key::hs256(secret(number)).unwrap()
}

fn token(number: u8, key_id: Option<&str>) -> String {
    sign(Algorithm::HS256, key_id, &EncodingKey::from_secret(&secret(number)))
}

#[track_caller]
fn assert_verdict(keys: &KeySet, token: &str, verdict: Result<(), JwsError>) {
    assert_eq!(keys.verify_compact(token.as_bytes()).map(|_| ()), verdict);
}

#[test]
fn a_kid_means_the_keys_of_that_id() {
    let keys = KeySet::new([key(1).with_key_id("a"), key(2).with_key_id("b"), key(3)]);
    assert_verdict(&keys, &token(1, Some("a")), Ok(()));
    assert_verdict(&keys, &token(2, Some("b")), Ok(()));
    // Another key does not verify it, not even the key without an id.
    assert_verdict(&keys, &token(2, Some("a")), Err(JwsError::BadSignature));
    assert_verdict(&keys, &token(3, Some("a")), Err(JwsError::BadSignature));
}

#[test]
fn an_unknown_kid_means_the_keys_without_an_id() {
    let keys = KeySet::new([key(1).with_key_id("a"), key(2)]);
    assert_verdict(&keys, &token(2, Some("x")), Ok(()));
    assert_verdict(&keys, &token(1, Some("x")), Err(JwsError::BadSignature));
    let keys = KeySet::new([key(1).with_key_id("a")]);
    for id in ["x", "A", "a ", ""] {
        assert_verdict(&keys, &token(1, Some(id)), Err(JwsError::UnknownKey));
    }
}

#[test]
fn without_a_kid_all_keys_are_meant() {
    let keys = KeySet::new([key(1).with_key_id("a"), key(2), key(3).with_key_id("c")]);
    for number in [1, 2, 3] {
        assert_verdict(&keys, &token(number, None), Ok(()));
    }
    assert_verdict(&keys, &token(4, None), Err(JwsError::BadSignature));
    assert_verdict(&KeySet::default(), &token(1, None), Err(JwsError::UnknownKey));
}

#[test]
fn keys_with_one_id_are_each_tried_up_to_four() {
    let keys = KeySet::new((1..=5).map(|number| key(number).with_key_id("a")));
    assert_eq!(keys.len(), 5);
    for number in 1..=4 {
        assert_verdict(&keys, &token(number, Some("a")), Ok(()));
        assert_verdict(&keys, &token(number, None), Ok(()));
    }
    assert_verdict(&keys, &token(5, Some("a")), Err(JwsError::BadSignature));
    assert_verdict(&keys, &token(5, None), Err(JwsError::BadSignature));
}

#[test]
fn the_four_tries_are_counted_for_each_algorithm() {
    let others = (0..100).map(|_| Key::hs512([9; 64]).unwrap().with_key_id("a"));
    let keys = KeySet::new(others.chain([key(1).with_key_id("a")]));
    assert_verdict(&keys, &token(1, Some("a")), Ok(()));
    assert_verdict(&keys, &token(1, None), Ok(()));
    assert_eq!(keys.candidates(Algorithm::HS512, None).unwrap().count(), MAX_TRIED);
}

#[test]
fn a_set_still_means_a_key_if_material_algorithm_and_name_have_stayed() {
    let own = key(1).with_key_id("a");
    let still = |keys: Vec<Key>| KeySet::new(keys).still_means(&own, Some("a"));
    let read_again = || key(1).with_key_id("a");
    assert!(still(vec![read_again()]));
    assert!(still(vec![key(2).with_key_id("a"), read_again(), key(3)]));
    assert!(!still(vec![key(2).with_key_id("a")]), "another key under its name");
    assert!(!still(vec![key(1).with_key_id("b")]) && !still(vec![key(1)]), "another name");
    let other_hash = Key::allow_short_secret(Algorithm::HS512, secret(1)).unwrap();
    assert!(!still(vec![other_hash.with_key_id("a")]), "another algorithm");
    assert!(!still(vec![]));
}

#[test]
fn a_large_set_tries_only_the_matching_keys() {
    let shared = key(1);
    let keys = KeySet::new((0..10_000).map(|id| shared.clone().with_key_id(id.to_string())));
    let tried = |id| keys.candidates(Algorithm::HS256, id).map(Iterator::count);
    assert_eq!(tried(Some("9999")), Ok(1));
    assert_eq!(tried(None), Ok(4));
    assert_eq!(tried(Some("10000")), Err(JwsError::UnknownKey));
    assert_eq!(keys.all.0.len(), 4);
}

#[test]
fn the_key_decides_the_algorithm() {
    let public = fixture!("rsa2048.public.pem");
    let rsa = Key::from_pem(Algorithm::RS256, public).unwrap();
    let keys = KeySet::new([rsa.with_key_id("a")]);
    assert_verdict(&keys, &signed_with_rsa(Algorithm::RS256), Ok(()));
    // The same key with another padding or hash.
    let refused = Err(JwsError::AlgorithmMismatch);
    for algorithm in [Algorithm::RS384, Algorithm::PS256] {
        assert_verdict(&keys, &signed_with_rsa(algorithm), refused);
    }
    // The public key as an HMAC secret, in every form in which it is published.
    let der = to_der(public);
    for secret in [public.as_bytes(), public.trim_end().as_bytes(), &der, &public_bits(public)] {
        let forged = sign(Algorithm::HS256, None, &EncodingKey::from_secret(secret));
        assert_verdict(&keys, &forged, refused);
        let forged = sign(Algorithm::HS256, Some("a"), &EncodingKey::from_secret(secret));
        assert_verdict(&keys, &forged, refused);
    }
}

#[test]
fn a_token_breaks_the_first_rule_that_it_breaks() {
    let keys = KeySet::from(key(1));
    let good = token(1, None);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (_, payload) = head.split_once('.').unwrap();
    let with = |header: &str| format!("{}.{payload}.{signature}", base64url(header.as_bytes()));
    assert_verdict(&keys, &good, Ok(()));
    assert_verdict(&keys, head, Err(JwsError::NotCompact));
    assert_verdict(&keys, &format!("{good}="), Err(JwsError::NotCompact));
    assert_verdict(&keys, &with("{}"), Err(JwsError::MalformedHeader));
    assert_verdict(&keys, &with(r#"{"alg":"none"}"#), Err(JwsError::UnsupportedAlgorithm));
    let crit = with(r#"{"alg":"HS256","crit":["exp"]}"#);
    assert_verdict(&keys, &crit, Err(JwsError::UnsupportedHeader));
    assert_verdict(&keys, &with(r#"{"alg":"RS256"}"#), Err(JwsError::AlgorithmMismatch));
    assert_verdict(&keys, &with(r#"{"alg":"HS256","kid":"x"}"#), Err(JwsError::BadSignature));
}

#[test]
fn a_second_text_of_one_signature_is_refused() {
    let keys = KeySet::from(key(1));
    let good = token(1, None);
    assert_verdict(&keys, &good, Ok(()));
    // 32 bytes leave two unused bits in the last character. They must be zero.
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let last = alphabet.find(good.chars().last().unwrap()).unwrap();
    assert_eq!(last % 4, 0);
    for bits in 1..4 {
        let other = &alphabet[last + bits..=last + bits];
        let token = format!("{}{other}", &good[..good.len() - 1]);
        assert_verdict(&keys, &token, Err(JwsError::NotCompact));
    }
}

const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","kid":"good","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

#[test]
fn unusable_keys_of_a_document_are_rejected_one_by_one() {
    let odd = [
        r#"{"kty":"oct","kid":"secret","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#,
        r#"{"kty":"OKP","crv":"Ed25519","kid":"private","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","d":"A"}"#,
        r#"{"kty":"RSA","kid":"short","n":"_w","e":"AQAB"}"#,
        r#"{"kty":"new","kid":"new"}"#,
        r#"{"kty":"RSA","use":"enc","kid":7,"n":"_w","e":"AQAB"}"#,
        r#"{"kty":"OKP","kty":"OKP"}"#,
        "null",
        "[]",
        r#""key""#,
        "1",
        r#"{"kid":"\ud800"}"#,
    ];
    let document = format!(r#"{{"v":{{"v":1}},"keys":[{},{ED25519}]}}"#, odd.join(","));
    let keys = KeySet::from_jwks_json(&document).unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(keys.iter().next().unwrap().key_id(), Some("good"));
    assert_eq!((&keys).into_iter().count(), 1);
    let refused: Vec<_> = keys
        .refused()
        .iter()
        .map(|key| (key.index(), key.key_id(), key.reason().to_string()))
        .collect();
    let unique = "unreadable key: expected a JSON object with unique member names";
    let expected = [
        (0, Some("secret"), "a symmetric key in a set of public keys: expected public keys only"),
        (1, Some("private"), "a private key: expected the public key of the pair"),
        (2, Some("short"), "an RSA modulus of 8 bits: expected 2048 to 8192"),
        (3, Some("new"), "unsupported key type: `tower_bearer::Algorithm` lists what is supported"),
        (4, None, "a key whose `use` is not `sig`: expected `sig`, or no `use`"),
        (5, None, unique),
        (6, None, unique),
        (7, None, unique),
        (8, None, unique),
        (9, None, unique),
        (10, None, unique),
    ]
    .map(|(index, id, reason)| (index, id, reason.to_owned()));
    assert_eq!(refused, expected);
    assert!(!format!("{:?}", keys.refused()).contains("secret\""));
}

#[test]
fn a_document_is_an_object_with_an_array_of_keys() {
    assert!(KeySet::from_jwks_json(&format!("\n {{\"keys\":[{ED25519}]}}\n")).is_ok());
    // Tools on Windows write a byte order mark.
    assert!(KeySet::from_jwks_json(&format!("\u{feff}{{\"keys\":[{ED25519}]}}")).is_ok());
    for document in [
        "",
        "<html>",
        "null",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":null}"#,
        &format!("[{ED25519}]"),
        &format!("[[{ED25519}]]"),
        ED25519,
        &format!(r#"{{"keys":[{ED25519}],"keys":[{ED25519}]}}"#),
        &format!(r#"{{"keys":[{ED25519}]}}x"#),
        &format!("\u{feff}\u{feff}{{\"keys\":[{ED25519}]}}"),
        &format!("{{\"keys\":[{ED25519}]}}\u{feff}"),
    ] {
        let refused = KeySet::from_jwks_json(document);
        assert!(matches!(refused, Err(ConfigError::UnreadableKey(_))), "{document}: {refused:?}");
    }
}

#[test]
fn a_document_of_more_keys_than_allowed_is_refused_whole() {
    let document = format!(r#"{{"keys":[{ED25519},null]}}"#);
    let read = |max_keys| KeySet::read_jwks(&document, max_keys, &[Algorithm::RS256]);
    assert!(read(2).is_ok() && read(3).is_ok());
    let refused = read(1);
    assert!(matches!(refused, Err(ConfigError::UnreadableKey("a set of fewer keys"))));
}

#[test]
fn a_document_without_a_usable_key_is_refused() {
    for keys in ["", r#"{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#, "{}"] {
        let refused = KeySet::from_jwks_json(&format!(r#"{{"keys":[{keys}]}}"#));
        assert!(matches!(refused, Err(ConfigError::NoUsableKey(_))), "{refused:?}");
    }
}

#[test]
fn an_error_names_each_refused_key_with_index_kid_and_reason() {
    let error = |keys: &[String]| {
        let document = format!(r#"{{"keys":[{}]}}"#, keys.join(","));
        KeySet::from_jwks_json(&document).unwrap_err().to_string()
    };
    let keys = [r#"{"kty":"RSA","kid":"a\nb","use":"enc"}"#, r#"{"kty":"new"}"#];
    assert_eq!(
        error(&keys.map(str::to_owned)),
        "no key of the set can be used: key 0 (kid \"a\\nb\"): a key whose `use` is not `sig`: \
         expected `sig`, or no `use`; key 1: unsupported key type: `tower_bearer::Algorithm` lists what is supported"
    );
    assert_eq!(error(&[]), "no key of the set can be used: the set is empty");
}

#[test]
fn an_error_repeats_a_bounded_part_of_the_refused_keys() {
    let key = |number: usize| format!(r#"{{"kty":"new","kid":"{number}{}"}}"#, "k".repeat(10_000));
    let keys: Vec<String> = (0..100).map(key).collect();
    let error = KeySet::from_jwks_json(&format!(r#"{{"keys":[{}]}}"#, keys.join(","))).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with("; and 84 more") && text.contains("key 15 (kid "), "{text}");
    assert!(text.contains("k\"...)") && text.len() < 16 * 200, "{}", text.len());
    let ConfigError::NoUsableKey(refused) = error else { panic!("{error:?}") };
    assert_eq!(refused.len(), 100);
}

#[test]
fn each_listed_algorithm_of_an_rsa_key_without_alg_is_a_key() {
    use Algorithm::{PS256, RS256, RS512};

    let fixture = include_str!("../../../tests/fixtures/jwks.json");
    let fixture: serde_json::Value = serde_json::from_str(fixture).unwrap();
    let (n, e) = (&fixture["keys"][0]["n"], &fixture["keys"][0]["e"]);
    let rsa = |more: &str| format!(r#"{{"kty":"RSA","n":{n},"e":{e}{more}}}"#);
    let document = format!(r#"{{"keys":[{},{ED25519},{}]}}"#, rsa(""), rsa(r#","alg":"RS512""#));
    let keys = KeySet::read_jwks(&document, 3, &[PS256, RS256]).unwrap();
    let algorithms: Vec<_> = keys.iter().map(Key::algorithm).collect();
    assert_eq!(algorithms, [PS256, RS256, Algorithm::EdDSA, RS512]);
    for algorithm in [PS256, RS256, RS512] {
        assert_verdict(&keys, &signed_with_rsa(algorithm), Ok(()));
    }
    assert_verdict(&keys, &signed_with_rsa(Algorithm::RS384), Err(JwsError::AlgorithmMismatch));
    let keys = KeySet::from_jwks_json(&document).unwrap();
    assert_verdict(&keys, &signed_with_rsa(PS256), Err(JwsError::AlgorithmMismatch));
}

#[test]
fn deep_nesting_costs_only_its_own_key() {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let keys = KeySet::from_jwks_json(&format!(r#"{{"keys":[{deep},{ED25519}]}}"#)).unwrap();
    assert_eq!((keys.len(), keys.refused().len()), (1, 1));
}

#[test]
fn a_key_file_is_read_and_named_where_it_cannot_be() {
    let folder = std::env::temp_dir();
    let path = folder.join(format!("tower-bearer-{}.jwks", std::process::id()));
    std::fs::write(&path, format!(r#"{{"keys":[{ED25519}]}}"#)).unwrap();
    let keys = KeySet::from_jwks_file(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(keys.unwrap().len(), 1);
    match KeySet::from_jwks_file(&path) {
        Err(ConfigError::KeyFile { path: named, .. }) => assert_eq!(named, path),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_replaced_set_is_seen_by_every_clone_and_not_by_snapshots() {
    let handle = KeySetHandle::new(key(1).into());
    let clone = handle.clone();
    let before = clone.snapshot();
    assert_eq!(clone.number(), before.number());
    handle.replace(key(2).into());
    assert_eq!(clone.number(), clone.load().number());
    assert_ne!(clone.number(), before.number());
    assert_verdict(&clone.load(), &token(2, None), Ok(()));
    assert_verdict(&clone.load(), &token(1, None), Err(JwsError::BadSignature));
    assert_verdict(&before, &token(1, None), Ok(()));
}
