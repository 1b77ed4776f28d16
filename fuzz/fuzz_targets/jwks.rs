//! Key sets, and the issuer metadata that name them.
//!
//! Input: one byte, and then a text. If the last bit of the byte is 0, the text is a key set. If it is 1, the text is
//! an issuer's metadata, NUL, and a key set, both as a server sends them.

#![no_main]

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock, Mutex},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use tower_bearer::{
    Algorithm, BoxFuture, Key, KeySet,
    jwks::{FetchError, FetchJwks, FetchRequest, Fetched, RemoteJwks},
};
use tower_bearer_fuzz::{ISSUER, block_on, json, signer::Signer};

fuzz_target!(|data: &[u8]| {
    let (choice, input) = data.split_first().unwrap_or((&0, &[]));
    if choice & 1 == 1 {
        discovered(input);
    } else if let Ok(document) = str::from_utf8(input) {
        key_set(document);
    }
});

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

fn key_set(document: &str) {
    let Ok(set) = KeySet::from_jwks_json(document) else { return };
    assert!(!set.is_empty());
    assert_eq!(set.len(), set.iter().count());

    // The crate may read a set that serde cannot read: one element is not JSON, and the crate rejects only that
    // element.
    if let Ok(Document { keys }) = serde_json::from_str(document) {
        assert_eq!(keys.len(), set.len() + set.refused().len());
        let refused: HashSet<usize> = set.refused().iter().map(|key| key.index()).collect();
        let mut accepted = set.iter();
        for (index, text) in keys.iter().enumerate() {
            let alone = Key::from_jwk_json(text.get());
            if refused.contains(&index) {
                let is_secret = alone.is_ok_and(|key| is_hmac(key.algorithm()));
                assert!(is_secret || Key::from_jwk_json(text.get()).is_err());
                continue;
            }
            let (key, alone) = (accepted.next().unwrap(), alone.expect("also accepted alone"));
            assert_eq!((key.algorithm(), key.key_id()), (alone.algorithm(), alone.key_id()));
            let members = json::strict(text.get().as_bytes()).expect("strict");
            check_key(key, &members);
        }
    }
    check_signatures(&set, document);
}

/// Checks a key that the crate uses.
fn check_key(key: &Key, members: &Map<String, Value>) {
    // `null` and empty arrays count as absent.
    let is_empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let member = |name: &str| members.get(name).filter(|value| !is_empty(value));
    let text = |name: &str| member(name).map(|value| value.as_str().expect("a string"));
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name).expect("a parameter")).unwrap();
    assert!(member("d").is_none(), "a private key");
    assert!(matches!(text("use"), None | Some("sig")));
    if let Some(operations) = member("key_ops") {
        assert!(operations.as_array().unwrap().iter().any(|operation| operation == "verify"));
    }
    assert_eq!(text("kid"), key.key_id());
    let alg = format!("{:?}", key.algorithm());
    assert!(text("alg").is_none_or(|name| name == alg), "{alg}");
    match (text("kty"), text("crv")) {
        (Some("RSA"), _) => {
            assert!(alg.starts_with("RS") || alg.starts_with("PS"));
            let (n, e) = (bytes("n"), bytes("e"));
            let bits = n
                .iter()
                .position(|byte| *byte != 0)
                .map_or(0, |first| 8 * (n.len() - first) - n[first].leading_zeros() as usize);
            assert!((2048..=8192).contains(&bits), "{bits} bits");
            let is_one = e.iter().rev().skip(1).all(|byte| *byte == 0) && e.last() == Some(&1);
            assert!(e.last().is_some_and(|last| last & 1 == 1) && !is_one, "{e:?}");
        }
        (Some("EC"), Some(curve)) => {
            let (expected, length) = match curve {
                "P-256" => ("ES256", 32),
                "P-384" => ("ES384", 48),
                "P-521" => ("ES512", 66),
                _ => panic!("{curve}"),
            };
            assert_eq!((&*alg, bytes("x").len(), bytes("y").len()), (expected, length, length));
        }
        (Some("OKP"), Some("Ed25519")) => {
            assert_eq!((&*alg, bytes("x").len()), ("EdDSA", 32));
        }
        (kty, crv) => panic!("{kty:?} {crv:?}"),
    }
}

fn is_hmac(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

/// The set verifies a signature of a test key only if the document contains that key.
fn check_signatures(set: &KeySet, document: &str) {
    static SIGNED: LazyLock<[String; 2]> = LazyLock::new(|| {
        [Signer::Es256, Signer::EdDsa]
            .map(|signer| signer.sign(format!(r#"{{"alg":"{}"}}"#, signer.alg()).as_bytes(), b"{}"))
    });
    // The test keys in `tests/fixtures/jwks.json`.
    static OUR_KEYS: LazyLock<[String; 2]> = LazyLock::new(|| {
        let fixture = include_str!("../../tests/fixtures/jwks.json");
        let keys: Value = serde_json::from_str(fixture).unwrap();
        ["P-256", "Ed25519"].map(|curve| {
            let mut keys = keys["keys"].as_array().unwrap().iter();
            keys.find(|key| key["crv"] == curve).unwrap()["x"].as_str().unwrap().to_owned()
        })
    });
    for (token, x) in SIGNED.iter().zip(&*OUR_KEYS) {
        if set.verify_compact(token.as_bytes()).is_ok() {
            // With escapes, the document may spell it differently.
            assert!(document.contains(x.as_str()) || document.contains('\\'), "{document}");
        }
    }
}

/// The members of the metadata that are read. serde rejects the document if one of these occurs twice. Other members
/// may occur twice.
#[derive(Deserialize)]
struct Metadata {
    issuer: Value,
    jwks_uri: Value,
}

/// Two documents, and the addresses that were requested.
struct Server {
    metadata: Vec<u8>,
    keys: Vec<u8>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FetchJwks for Server {
    fn fetch<'a>(
        &'a self,
        request: FetchRequest<'a>,
    ) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.asked.lock().unwrap().push(request.url().to_owned());
        let is_metadata = request.url().starts_with("https://issuer.example/.well-known/");
        let document = if is_metadata { &self.metadata } else { &self.keys };
        Box::pin(std::future::ready(Ok(Fetched::document(document.clone()))))
    }
}

fn discovered(input: &[u8]) {
    static DISCOVERY: LazyLock<RemoteJwks> =
        LazyLock::new(|| RemoteJwks::discover(ISSUER).unwrap());
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let metadata = parts.next().unwrap_or_default().to_vec();
    let keys = parts.next().unwrap_or_default().to_vec();
    // `None` if the metadata is not JSON. Members that are not used may occur twice.
    let document = str::from_utf8(&metadata).unwrap_or_default();
    let members: Option<Metadata> = serde_json::from_str(document).ok();
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(document).is_ok();
    let text =
        |of: fn(&Metadata) -> &Value| members.as_ref().and_then(|members| of(members).as_str());
    let (issuer, address) = (text(|members| &members.issuer), text(|members| &members.jwks_uri));
    let expected = match (issuer, address) {
        (Some(ISSUER), Some(address)) if address.starts_with("https://keys.example/") => {
            str::from_utf8(&keys).ok().and_then(|keys| KeySet::from_jwks_json(keys).ok())
        }
        _ => None,
    };

    let asked = Arc::<Mutex<Vec<String>>>::default();
    let server = Server { metadata, keys: keys.clone(), asked: Arc::clone(&asked) };
    let remote = DISCOVERY.clone().with_fetcher(server);
    let health = block_on(async {
        remote.spawn();
        for _ in 0..100 {
            tokio::task::yield_now().await;
            if remote.health().attempts() > 0 {
                break;
            }
        }
        let health = remote.health();
        remote.task().shutdown().await;
        health
    });
    assert_eq!(health.attempts(), 1);

    let asked = asked.lock().unwrap();
    assert!(asked.len() <= 3, "{asked:?}");
    for url in asked.iter() {
        // Metadata that was fetched with TLS must not lead to an address without TLS.
        let (scheme, rest) = url.split_once("://").unwrap_or_else(|| panic!("{url}"));
        assert!(scheme.eq_ignore_ascii_case("https"), "{url}");
        let host = rest.split(['/', '?']).next().unwrap();
        assert!(!host.is_empty() && !host.contains('@') && !url.contains('#'), "{url}");
    }
    if health.is_usable() {
        assert!(!is_json || issuer == Some(ISSUER));
        let keys = KeySet::from_jwks_json(str::from_utf8(&keys).unwrap()).unwrap();
        assert_eq!(health.keys().len(), keys.len());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":/.".contains(&byte);
    if let Some(expected) = expected
        && address.is_some_and(|address| address.bytes().all(is_plain))
    {
        assert!(health.is_usable() || expected.len() > 1000, "{:?}", health.last_error());
    }
}
