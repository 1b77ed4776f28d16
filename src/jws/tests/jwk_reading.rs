//! Tests of JSON Web Keys.

use x509_cert::der::asn1::UintRef;

use super::*;
use crate::jws::Algorithm::*;

/// A JWK with these members, followed by the text `further`.
fn jwk(members: &[(&str, &str)], further: &str) -> Result<Key, ConfigError> {
    let members: Vec<String> =
        members.iter().map(|(name, value)| format!(r#""{name}":"{value}""#)).collect();
    Key::from_jwk_json(&format!("{{{}{further}}}", members.join(",")))
}

fn rsa_with(modulus: &[u8], exponent: &[u8], further: &str) -> Result<Key, ConfigError> {
    let (n, e) = (base64url(modulus), base64url(exponent));
    jwk(&[("kty", "RSA"), ("n", &n), ("e", &e)], further)
}

fn rsa(further: &str) -> Result<Key, ConfigError> {
    rsa_with(&modulus(), &[1, 0, 1], further)
}

fn modulus() -> Vec<u8> {
    let bits = public_bits(fixture!("rsa2048.public.pem"));
    Vec::<UintRef<'_>>::from_der(&bits).unwrap()[0].as_bytes().to_vec()
}

fn ec_with(curve: &str, x: &[u8], y: &[u8], further: &str) -> Result<Key, ConfigError> {
    let (x, y) = (base64url(x), base64url(y));
    jwk(&[("kty", "EC"), ("crv", curve), ("x", &x), ("y", &y)], further)
}

fn coordinates(pem: &str) -> (Vec<u8>, Vec<u8>) {
    let point = public_bits(pem);
    let (x, y) = point[1..].split_at(point.len() / 2);
    (x.to_vec(), y.to_vec())
}

fn p256(further: &str) -> Result<Key, ConfigError> {
    let (x, y) = coordinates(fixture!("p256.public.pem"));
    ec_with("P-256", &x, &y, further)
}

fn ed25519_with(x: &[u8], further: &str) -> Result<Key, ConfigError> {
    jwk(&[("kty", "OKP"), ("crv", "Ed25519"), ("x", &base64url(x))], further)
}

fn ed25519(further: &str) -> Result<Key, ConfigError> {
    ed25519_with(&public_bits(fixture!("ed25519.public.pem")), further)
}

fn oct(secret: &[u8], further: &str) -> Result<Key, ConfigError> {
    jwk(&[("kty", "oct"), ("k", &base64url(secret))], further)
}

#[test]
fn type_and_curve_imply_the_algorithm() {
    assert_verifies(rsa("").unwrap(), &signed_with_rsa(RS256));
    assert_verifies(p256("").unwrap(), &signed_with_p256());
    let (x, y) = coordinates(fixture!("p384.public.pem"));
    assert_verifies(ec_with("P-384", &x, &y, "").unwrap(), &signed_with_p384());
    assert_verifies(ed25519("").unwrap(), &signed_with_ed25519());
    let jws = sign(HS256, None, &EncodingKey::from_secret(&[7; 40]));
    assert_verifies(oct(&[7; 40], "").unwrap(), &jws);
    let (x, y) = coordinates(fixture!("p521.public.pem"));
    match ec_with("P-521", &x, &y, "") {
        Ok(key) => assert_eq!(key.algorithm(), ES512),
        Err(reason) => assert!(
            matches!(reason, ConfigError::UnsupportedByBackend(ES512))
                && cfg!(not(feature = "aws-lc-rs"))
        ),
    }
}

#[test]
fn alg_names_an_algorithm_of_the_type_and_curve() {
    for (name, algorithm) in [("RS512", RS512), ("PS256", PS256), ("PS384", PS384)] {
        let key = rsa(&format!(r#","alg":"{name}""#)).unwrap();
        assert_verifies(key, &signed_with_rsa(algorithm));
    }
    assert_eq!(ed25519(r#","alg":"Ed25519""#).unwrap().algorithm(), EdDSA);
    assert_eq!(ed25519(r#","alg":"EdDSA""#).unwrap().algorithm(), EdDSA);
    assert_eq!(oct(&[7; 64], r#","alg":"HS512""#).unwrap().algorithm(), HS512);

    assert_refused!(rsa(r#","alg":"ES256""#), ConfigError::KeyAlgorithmMismatch(ES256));
    assert_refused!(rsa(r#","alg":"HS256""#), ConfigError::KeyAlgorithmMismatch(HS256));
    assert_refused!(p256(r#","alg":"ES384""#), ConfigError::KeyAlgorithmMismatch(ES384));
    assert_refused!(ed25519(r#","alg":"ES256""#), ConfigError::KeyAlgorithmMismatch(ES256));
    assert_refused!(oct(&[7; 64], r#","alg":"RS256""#), ConfigError::KeyAlgorithmMismatch(RS256));
    for name in ["none", "", "rs256", "RSA1_5", "RSA-OAEP-256", "ES521", "A256GCM"] {
        let key = rsa(&format!(r#","alg":"{name}""#));
        assert_refused!(key, ConfigError::UnsupportedKey("algorithm name"));
    }
    assert_refused!(rsa(r#","alg":["RS256"]"#), ConfigError::UnreadableKey(_));
}

#[test]
fn kid_becomes_the_key_id() {
    assert_eq!(rsa("").unwrap().key_id(), None);
    assert_eq!(rsa(r#","kid":"a\u002fb""#).unwrap().key_id(), Some("a/b"));
    assert_eq!(rsa(r#","kid":"a""#).unwrap().with_key_id("b").key_id(), Some("b"));
    for kid in ["1", "true", "[1]", "{}"] {
        assert_refused!(rsa(&format!(r#","kid":{kid}"#)), ConfigError::UnreadableKey(_));
    }
}

#[test]
fn a_public_key_has_the_thumbprint_of_rfc_7638() {
    // RFC 7638 section 3.1.
    let key = Key::from_jwk_json(
        r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#,
    );
    assert_eq!(key.unwrap().thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    let leading_zero = rsa_with(&[&[0], &modulus()[..]].concat(), &[0, 1, 0, 1], "").unwrap();
    let plain = rsa_with(&modulus(), &[1, 0, 1], "").unwrap();
    assert_eq!(leading_zero.thumbprint(), plain.thumbprint());
}

#[test]
fn the_thumbprint_of_a_secret_is_not_a_plain_hash_of_it() {
    let key = Key::hs256([7; 32]).unwrap();
    let k = base64_simd::URL_SAFE_NO_PAD.encode_to_string([7; 32]);
    let rfc_7638 = crate::jws::backend::sha256(format!(r#"{{"k":"{k}","kty":"oct"}}"#).as_bytes());
    let plain = base64_simd::URL_SAFE_NO_PAD.encode_to_string(rfc_7638);
    assert_ne!(key.thumbprint(), plain);
    assert_eq!(key.thumbprint().len(), 22);
    assert_eq!(
        Key::from_jwk_json(&format!(r#"{{"kty":"oct","k":"{k}"}}"#)).unwrap().thumbprint(),
        key.thumbprint()
    );
    assert_ne!(Key::hs256([8; 32]).unwrap().thumbprint(), key.thumbprint());
}

#[test]
fn a_key_is_meant_to_verify() {
    assert!(rsa(r#","use":"sig","key_ops":["sign","verify"]"#).is_ok());
    for purpose in ["enc", "", "SIG", "sig "] {
        assert_refused!(rsa(&format!(r#","use":"{purpose}""#)), ConfigError::KeyUse);
    }
    for operations in [r#"["sign"]"#, r#"["encrypt","wrapKey"]"#, r#"["Verify"]"#] {
        let key = rsa(&format!(r#","use":"sig","key_ops":{operations}"#));
        assert_refused!(key, ConfigError::KeyOperations);
    }
    for member in [
        r#""use":["sig"]"#,
        r#""use":{}"#,
        r#""key_ops":"verify""#,
        r#""key_ops":[1]"#,
        r#""key_ops":[[]]"#,
    ] {
        assert_refused!(rsa(&format!(",{member}")), ConfigError::UnreadableKey(_));
    }
}

#[test]
fn private_members_are_refused() {
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth"] {
        let member = format!(r#","{name}":"AQAB""#);
        for key in [rsa(&member), p256(&member), ed25519(&member)] {
            assert_refused!(key, ConfigError::PrivateKey);
        }
    }
    for value in ["\"\"", "0", "false", "{}", r#"[{"r":"AQAB"}]"#] {
        assert_refused!(p256(&format!(r#","d":{value}"#)), ConfigError::PrivateKey);
        assert_refused!(rsa(&format!(r#","oth":{value}"#)), ConfigError::PrivateKey);
    }
    assert_refused!(p256(r#","\u0064":"AQAB""#), ConfigError::PrivateKey);
}

#[test]
fn null_and_empty_arrays_are_absent_as_dotnet_writes_them() {
    let empty = r#","key_ops":[],"oth":[ ],"x5c":[],"use":null,"alg":null,"d":null,"kid":null"#;
    assert_verifies(rsa(empty).unwrap(), &signed_with_rsa(RS256));
    assert_verifies(p256(empty).unwrap(), &signed_with_p256());
    assert_verifies(ed25519(empty).unwrap(), &signed_with_ed25519());
    assert_eq!(rsa(empty).unwrap().key_id(), None);
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "use", "key_ops", "alg", "kid"] {
        for value in ["null", "[]", "[\n\t]"] {
            assert!(rsa(&format!(r#","{name}":{value}"#)).is_ok(), "{name} {value}");
        }
    }
    // A required member then counts as missing.
    let no_modulus = Key::from_jwk_json(r#"{"kty":"RSA","n":null,"e":"AQAB"}"#);
    assert_refused!(no_modulus, ConfigError::UnreadableKey(_));
}

#[test]
fn names_are_unique_and_the_text_is_one_object() {
    assert!(rsa(r#","x5c":["MII"],"x5u":"https://attacker.example","ext":{"a":1}"#).is_ok());
    for further in [r#","kty":"RSA""#, r#","\u006e":"AQAB""#, r#","ext":{"a":1,"a":1}"#] {
        assert_refused!(rsa(further), ConfigError::UnreadableKey(_));
    }
    for json in ["", "null", "[]", "{}", r#""RSA""#, r#"{"kty":1}"#, r#"{"kty":null}"#] {
        assert_refused!(Key::from_jwk_json(json), ConfigError::UnreadableKey(_));
    }
    // A byte order mark is skipped only before a set.
    let n = base64url(&modulus());
    let json = format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#);
    assert!(Key::from_jwk_json(&json).is_ok());
    let marked = Key::from_jwk_json(&format!("\u{feff}{json}"));
    assert_refused!(marked, ConfigError::UnreadableKey(_));
}

#[test]
fn unknown_types_and_curves_are_unsupported() {
    for json in [r#"{"kty":"AKP"}"#, r#"{"kty":"rsa"}"#, r#"{"kty":""}"#] {
        assert_refused!(Key::from_jwk_json(json), ConfigError::UnsupportedKey("key type"));
    }
    let (x, y) = coordinates(fixture!("p256.public.pem"));
    for curve in ["secp256k1", "p-256", "P-256K", "Ed25519", ""] {
        let key = ec_with(curve, &x, &y, "");
        assert_refused!(key, ConfigError::UnsupportedKey("elliptic curve"));
    }
    for curve in ["X25519", "Ed448", "P-256"] {
        let key = jwk(&[("kty", "OKP"), ("crv", curve), ("x", &base64url(&x))], "");
        assert_refused!(key, ConfigError::UnsupportedKey("elliptic curve"));
    }
    let key = jwk(&[("kty", "EC"), ("x", &base64url(&x)), ("y", &base64url(&y))], "");
    assert_refused!(key, ConfigError::UnreadableKey(_));
}

#[test]
fn parameters_are_canonical_base64url() {
    let n = base64url(&modulus());
    let with = |n: &str, e: &str| jwk(&[("kty", "RSA"), ("n", n), ("e", e)], "");
    assert!(with(&n, "AQAB").is_ok());
    for (n, e) in [
        (n.as_str(), "AQAB="),
        (&n, "AQA B"),
        (&n, "AQ+B"),
        (&n, "AQABA"),
        (&format!("{n}=="), "AQAB"),
    ] {
        assert_refused!(with(n, e), ConfigError::UnreadableKey(_));
    }
    // 2048 bits leave four unused bits in the last character.
    let trailing = format!("{}{}", &n[..n.len() - 1], '_');
    assert_refused!(with(&trailing, "AQAB"), ConfigError::UnreadableKey(_));
    assert_refused!(jwk(&[("kty", "RSA"), ("n", &n)], ""), ConfigError::UnreadableKey(_));
    assert_refused!(
        jwk(&[("kty", "RSA"), ("n", &n)], r#","e":65537"#),
        ConfigError::UnreadableKey(_)
    );
}

#[test]
fn leading_zero_octets_change_no_rsa_number() {
    let padded = rsa_with(&[&[0, 0], &modulus()[..]].concat(), &[0, 1, 0, 1], "");
    assert_verifies(padded.unwrap(), &signed_with_rsa(RS256));
    // Leading zeros do not make a short modulus long either.
    let key = rsa_with(&[&[0; 128][..], &[0xff; 128]].concat(), &[1, 0, 1], "");
    assert_refused!(key, ConfigError::RsaModulusBits(1024));
}

#[test]
fn weak_rsa_numbers_are_refused() {
    let modulus = modulus();
    assert!(rsa_with(&modulus, &[3], "").is_ok());
    for exponent in [&[][..], &[0], &[1], &[0, 1], &[2], &[1, 0, 0], &[2, 0, 0, 0, 1]] {
        assert_refused!(rsa_with(&modulus, exponent, ""), ConfigError::RsaExponent);
    }
    for (modulus, bits) in [(&[][..], 0), (&[0xff; 255], 2040), (&[0xff; 1025], 8200)] {
        match rsa_with(modulus, &[1, 0, 1], "") {
            Err(ConfigError::RsaModulusBits(counted)) => assert_eq!(counted, bits),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn coordinates_have_full_length_and_name_a_point_of_the_curve() {
    let (x, y) = coordinates(fixture!("p256.public.pem"));
    assert!(ec_with("P-256", &x, &y, "").is_ok());
    for (x, y) in [
        (&x[1..], &y[..]),
        (&x, &y[..31]),
        (&x[..31], &[&[0], &y[..]].concat()),
        (&[&[0], &x[..]].concat(), &y),
        (&x, &[&[0], &y[..]].concat()),
        (&[], &[]),
    ] {
        let key = ec_with("P-256", x, y, "");
        assert_refused!(key, ConfigError::CoordinateLength { expected: 32, .. });
    }
    let key = ec_with("P-384", &x, &y, "");
    assert_refused!(key, ConfigError::CoordinateLength { length: 32, expected: 48 });
    // Old versions of Keycloak drop a leading zero.
    let reason = ec_with("P-256", &x, &y[..31], "").unwrap_err().to_string();
    assert!(reason.contains("31 bytes") && reason.contains("leading zeros"), "{reason}");
    let mut off = y.clone();
    off[31] ^= 1;
    assert_refused!(ec_with("P-256", &x, &off, ""), ConfigError::InvalidPoint);
    assert_refused!(ec_with("P-256", &[0; 32], &[0; 32], ""), ConfigError::InvalidPoint);
    assert_refused!(ec_with("P-256", &[0xff; 32], &y, ""), ConfigError::InvalidPoint);
    let (x, y) = coordinates(fixture!("secp256k1.public.pem"));
    assert_refused!(ec_with("P-256", &x, &y, ""), ConfigError::InvalidPoint);
}

#[test]
fn ed25519_points_of_small_order_are_refused() {
    let mut order_2 = [0xff; 32];
    (order_2[0], order_2[31]) = (0xec, 0x7f);
    let mut identity = [0; 32];
    identity[0] = 1;
    let order_8 = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ];
    for mut point in [identity, [0; 32], order_2, order_8] {
        for sign in [0, 0x80] {
            point[31] ^= sign;
            assert_refused!(ed25519_with(&point, ""), ConfigError::InvalidPoint);
        }
    }
    assert!(ed25519("").is_ok());
}

#[test]
fn ed25519_points_have_one_encoding() {
    let mut on_curve = 0;
    // The field's prime is 2^255 - 19, so y below 19 can also be written as y plus the prime.
    for y in 2..19 {
        let mut reduced = [0; 32];
        reduced[0] = y;
        let mut unreduced = [0xff; 32];
        (unreduced[0], unreduced[31]) = (0xed + y, 0x7f);
        assert_refused!(ed25519_with(&unreduced, ""), ConfigError::InvalidPoint);
        match ed25519_with(&reduced, "") {
            Ok(_) => on_curve += 1,
            Err(reason) => assert!(matches!(reason, ConfigError::InvalidPoint)),
        }
    }
    assert!(on_curve > 3, "too few twins to mean anything: {on_curve}");
}

#[test]
fn ed25519_points_have_32_octets() {
    let x = public_bits(fixture!("ed25519.public.pem"));
    for wrong in [&x[..31], &[&x[..], &[0]].concat(), &[], &[7; 57]] {
        assert_refused!(ed25519_with(wrong, ""), ConfigError::KeyLength);
    }
}

#[test]
fn secrets_are_as_long_as_the_hash() {
    assert!(oct(&[7; 32], "").is_ok());
    assert_refused!(oct(&[7; 31], ""), ConfigError::SecretTooShort { length: 31, minimum: 32 });
    assert!(oct(&[7; 48], r#","alg":"HS384""#).is_ok());
    assert_refused!(
        oct(&[7; 47], r#","alg":"HS384""#),
        ConfigError::SecretTooShort { length: 47, minimum: 48 }
    );
    assert_refused!(oct(&[], ""), ConfigError::SecretTooShort { length: 0, minimum: 32 });
    assert_refused!(jwk(&[("kty", "oct")], ""), ConfigError::UnreadableKey(_));
}
