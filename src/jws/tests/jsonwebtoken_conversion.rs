//! Tests that keys of jsonwebtoken verify like our own keys, and that weak keys are rejected for the same reasons.

use jsonwebtoken::{
    Algorithm as Theirs, DecodingKey,
    jwk::{Jwk, JwkSet},
};

use super::{
    Algorithm::{self, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512, RS256},
    *,
};

const RSA: [Algorithm; 6] = [
    RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

#[test]
fn each_algorithm_keeps_its_name() {
    let theirs = [
        Theirs::HS256,
        Theirs::HS384,
        Theirs::HS512,
        Theirs::RS256,
        Theirs::RS384,
        Theirs::RS512,
        Theirs::PS256,
        Theirs::PS384,
        Theirs::PS512,
        Theirs::ES256,
        Theirs::ES384,
        Theirs::EdDSA,
    ];
    for theirs in theirs {
        let ours = Algorithm::try_from(theirs).unwrap();
        assert_eq!(ours.name(), format!("{theirs:?}"));
    }
}

#[test]
fn a_secret_verifies_and_a_short_one_is_rejected() {
    for (algorithm, least) in HMAC.into_iter().zip([32, 48, 64]) {
        let secret = vec![7; least];
        let jws = sign(algorithm, None, &EncodingKey::from_secret(&secret));
        let key = DecodingKey::from_secret(&secret);
        assert_verifies(Key::from_decoding_key(algorithm, &key).unwrap(), &jws);
        let key = DecodingKey::from_secret(&secret[1..]);
        let rejected = Key::from_decoding_key(algorithm, &key);
        assert_refused!(rejected, ConfigError::SecretTooShort { .. });
    }
    let public = DecodingKey::from_secret(fixture!("rsa2048.public.pem").as_bytes());
    let rejected = Key::from_decoding_key(HS256, &public);
    assert_refused!(rejected, ConfigError::KeyAlgorithmMismatch(HS256));
    let empty = DecodingKey::from_secret(&[]);
    let rejected = Key::from_decoding_key(HS256, &empty);
    assert_refused!(rejected, ConfigError::SecretTooShort { .. });
}

#[test]
fn an_rsa_key_verifies_in_each_form_and_a_weak_one_is_rejected() {
    let pem = DecodingKey::from_rsa_pem(fixture!("rsa2048.public.pem").as_bytes()).unwrap();
    let pkcs1 = DecodingKey::from_rsa_pem(fixture!("rsa2048.pkcs1.pem").as_bytes()).unwrap();
    let der = DecodingKey::from_rsa_der(&to_der(fixture!("rsa2048.public.pem")));
    let numbers = jwk("rsa");
    let numbers = DecodingKey::from_jwk(&numbers).unwrap();
    for key in [pem, pkcs1, der, numbers] {
        for algorithm in RSA {
            let converted = Key::from_decoding_key(algorithm, &key).unwrap();
            assert_verifies(converted, &signed_with_rsa(algorithm));
        }
        for other in [HS256, ES256, EdDSA] {
            let rejected = Key::from_decoding_key(other, &key);
            assert_refused!(rejected, ConfigError::KeyAlgorithmMismatch(_));
        }
    }
    let short = DecodingKey::from_rsa_pem(fixture!("rsa1024.public.pem").as_bytes()).unwrap();
    assert_refused!(Key::from_decoding_key(RS256, &short), ConfigError::RsaModulusBits(1024));
    let exponent = DecodingKey::from_rsa_raw_components(&[0xff; 256], &[1]);
    assert_refused!(Key::from_decoding_key(RS256, &exponent), ConfigError::RsaExponent);
    for private in [fixture!("rsa2048.private.pem"), fixture!("rsa2048.private.pkcs1.pem")] {
        let private = DecodingKey::from_rsa_pem(private.as_bytes()).unwrap();
        assert_refused!(Key::from_decoding_key(RS256, &private), ConfigError::PrivateKey);
    }
}

#[test]
fn a_curve_key_verifies_in_each_form_and_one_off_the_curve_is_rejected() {
    for (algorithm, pem, name, jws) in [
        (ES256, fixture!("p256.public.pem"), "p256", signed_with_p256()),
        (ES384, fixture!("p384.public.pem"), "p384", signed_with_p384()),
    ] {
        for key in [
            DecodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
            DecodingKey::from_ec_der(&public_bits(pem)),
            DecodingKey::from_ec_der(&to_der(pem)),
            DecodingKey::from_jwk(&jwk(name)).unwrap(),
        ] {
            assert_verifies(Key::from_decoding_key(algorithm, &key).unwrap(), &jws);
            for other in [HS256, RS256, EdDSA, ES512] {
                let rejected = Key::from_decoding_key(other, &key);
                assert_refused!(rejected, ConfigError::KeyAlgorithmMismatch(_));
            }
        }
    }
    let compressed = DecodingKey::from_ec_pem(fixture!("p256.compressed.pem").as_bytes()).unwrap();
    assert_verifies(Key::from_decoding_key(ES256, &compressed).unwrap(), &signed_with_p256());
    let p384 = DecodingKey::from_ec_pem(fixture!("p384.public.pem").as_bytes()).unwrap();
    let rejected = Key::from_decoding_key(ES256, &p384);
    assert_refused!(rejected, ConfigError::KeyAlgorithmMismatch(ES256));

    let mut point = public_bits(fixture!("p256.public.pem"));
    for length in [0, 1, 64] {
        let key = DecodingKey::from_ec_der(&point[..length]);
        assert_refused!(Key::from_decoding_key(ES256, &key), ConfigError::KeyLength);
    }
    point[64] ^= 1;
    let key = DecodingKey::from_ec_der(&point);
    assert_refused!(Key::from_decoding_key(ES256, &key), ConfigError::InvalidPoint);
    let private = DecodingKey::from_ec_der(&to_der(fixture!("p256.private.pem")));
    assert_refused!(Key::from_decoding_key(ES256, &private), ConfigError::PrivateKey);
}

#[test]
fn an_ed25519_key_verifies_in_each_form_and_a_weak_one_is_rejected() {
    let pem = fixture!("ed25519.public.pem");
    for key in [
        DecodingKey::from_ed_pem(pem.as_bytes()).unwrap(),
        DecodingKey::from_ed_der(&public_bits(pem)),
        DecodingKey::from_ed_der(&to_der(pem)),
        DecodingKey::from_jwk(&jwk("ed25519")).unwrap(),
    ] {
        assert_verifies(Key::from_decoding_key(EdDSA, &key).unwrap(), &signed_with_ed25519());
        for other in [HS256, RS256, ES256] {
            let rejected = Key::from_decoding_key(other, &key);
            assert_refused!(rejected, ConfigError::KeyAlgorithmMismatch(_));
        }
    }
    for length in [0, 31, 33] {
        let key = DecodingKey::from_ed_der(&vec![7; length]);
        assert_refused!(Key::from_decoding_key(EdDSA, &key), ConfigError::KeyLength);
    }
    // The neutral element, which has order 1.
    let mut small = [0; 32];
    small[0] = 1;
    let small = DecodingKey::from_ed_der(&small);
    assert_refused!(Key::from_decoding_key(EdDSA, &small), ConfigError::InvalidPoint);
}

fn set() -> JwkSet {
    serde_json::from_str(include_str!("../../../tests/fixtures/jwks.json")).unwrap()
}

fn jwk(key_id: &str) -> Jwk {
    set().find(key_id).unwrap().clone()
}

fn parsed(json: &str) -> Result<Key, ConfigError> {
    Key::try_from(&serde_json::from_str::<Jwk>(json).unwrap())
}

#[test]
fn a_jwk_verifies_under_its_id() {
    for (name, algorithm, jws) in [
        ("rsa", RS256, signed_with_rsa(RS256)),
        ("p256", ES256, signed_with_p256()),
        ("p384", ES384, signed_with_p384()),
        ("ed25519", EdDSA, signed_with_ed25519()),
    ] {
        let key = Key::try_from(&jwk(name)).unwrap();
        assert_eq!((key.algorithm(), key.key_id()), (algorithm, Some(name)));
        assert_verifies(key, &jws);
    }
    for (algorithm, length) in [(HS256, 32), (HS384, 48), (HS512, 64)] {
        let secret = vec![7; length];
        let k = base64url(&secret);
        let json = format!(r#"{{"kty":"oct","alg":"{algorithm}","k":"{k}"}}"#);
        let jws = sign(algorithm, None, &EncodingKey::from_secret(&secret));
        assert_verifies(parsed(&json).unwrap(), &jws);
    }
}

#[test]
fn a_jwk_that_is_weak_or_not_meant_to_verify_is_rejected() {
    let p256 = r#""kty":"EC","crv":"P-256","x":"tvhQf3MwXw7wskGbPDk2g__wc1xhc4bgiwX2W_pwMm4","y":"4k-_rAC69e5JsyK5LvoXGhjsGf0zoxBwTlZxa5ykuU8""#;
    let with = |more: &str| parsed(&format!("{{{p256}{more}}}"));
    assert!(with("").is_ok() && with(r#","use":"sig","key_ops":["verify"]"#).is_ok());
    assert_refused!(with(r#","use":"enc""#), ConfigError::KeyUse);
    assert_refused!(with(r#","key_ops":["sign"]"#), ConfigError::KeyOperations);
    assert_refused!(with(r#","alg":"ES384""#), ConfigError::KeyAlgorithmMismatch(ES384));
    // jsonwebtoken does not know the name, so it does not keep it.
    assert_refused!(with(r#","alg":"ES512""#), ConfigError::UnsupportedKey("algorithm name"));
    let short = parsed(r#"{"kty":"oct","k":"c2VjcmV0"}"#);
    assert_refused!(short, ConfigError::SecretTooShort { .. });
    let weak = parsed(r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#);
    assert_refused!(weak, ConfigError::RsaModulusBits(_));
    assert_refused!(parsed(r#"{"kty":"new"}"#), ConfigError::UnsupportedKey("key type"));
    let curve = parsed(r#"{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"}"#);
    assert_refused!(curve, ConfigError::UnsupportedKey("elliptic curve"));
}

/// The docs of the conversion state this loss: the private member is no longer present.
#[test]
fn the_private_member_of_a_jwk_is_lost_before_the_conversion() {
    let private = r#"{"kty":"OKP","crv":"Ed25519","x":"6WZVQzv6KxTEY8VHDQoYH9PEvCMxCa0WwniEsYZ_01M","d":"AA"}"#;
    assert_refused!(Key::from_jwk_json(private), ConfigError::PrivateKey);
    assert_verifies(parsed(private).unwrap(), &signed_with_ed25519());
}

#[test]
fn a_set_leaves_out_unusable_keys() {
    let mut theirs = set();
    let secret =
        r#"{"kty":"oct","kid":"secret","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#;
    theirs.keys.push(serde_json::from_str(secret).unwrap());
    let keys = KeySet::try_from(&theirs).unwrap();
    let rejected: Vec<_> = keys.refused().iter().filter_map(|key| key.key_id()).collect();
    let expected: &[&str] =
        if cfg!(feature = "aws-lc-rs") { &["secret"] } else { &["p521", "secret"] };
    assert_eq!(rejected, expected);
    for jws in [signed_with_p256(), signed_with_p384(), signed_with_ed25519()] {
        assert!(keys.verify_compact(jws.as_bytes()).is_ok());
    }
    let none = KeySet::try_from(&JwkSet { keys: Vec::new() });
    assert!(matches!(none, Err(ConfigError::NoUsableKey(_))), "{none:?}");
}
