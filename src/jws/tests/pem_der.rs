//! Tests of keys in PEM and DER.

use x509_cert::der::{Encode as _, asn1::UintRef};

use super::*;
use crate::jws::{
    Algorithm::*,
    SigningKey,
    material::{Curve, Material},
};

#[test]
fn every_form_of_an_rsa_key_verifies() {
    let jws = signed_with_rsa(RS256);
    for pem in [
        fixture!("rsa2048.public.pem"),
        fixture!("rsa2048.pkcs1.pem"),
        fixture!("rsa2048.certificate.pem"),
        // The certificate's own key counts, not the key of the authority that signed it.
        fixture!("rsa2048.signed-by-ed25519.certificate.pem"),
        fixture!("rsa2048.signed-by-p256.certificate.pem"),
    ] {
        assert_verifies(Key::from_pem(RS256, pem).unwrap(), &jws);
        assert_verifies(Key::from_der(RS256, to_der(pem)).unwrap(), &jws);
        for algorithm in [ES256, EdDSA, HS256] {
            assert_refused!(Key::from_pem(algorithm, pem), ConfigError::KeyAlgorithmMismatch(_));
        }
    }
    for algorithm in [RS384, RS512, PS256, PS384, PS512] {
        let key = Key::from_pem(algorithm, fixture!("rsa2048.public.pem")).unwrap();
        assert_verifies(key, &signed_with_rsa(algorithm));
    }
}

#[test]
fn every_form_of_a_curve_key_verifies() {
    for pem in [
        fixture!("p256.public.pem"),
        fixture!("p256.compressed.pem"),
        fixture!("p256.certificate.pem"),
    ] {
        assert_verifies(Key::from_pem(ES256, pem).unwrap(), &signed_with_p256());
        assert_verifies(Key::from_der(ES256, to_der(pem)).unwrap(), &signed_with_p256());
    }
    let key = Key::from_pem(ES384, fixture!("p384.public.pem")).unwrap();
    assert_verifies(key, &signed_with_p384());
    let key = Key::from_pem(EdDSA, fixture!("ed25519.public.pem")).unwrap();
    assert_verifies(key, &signed_with_ed25519());
}

#[test]
fn every_form_of_a_key_has_the_same_thumbprint() {
    let thumbprint = |algorithm, pem: &str| {
        Key::from_pem(algorithm, pem).map(|key| key.thumbprint().to_owned()).unwrap()
    };
    let p256 = thumbprint(ES256, fixture!("p256.public.pem"));
    assert_eq!(thumbprint(ES256, fixture!("p256.compressed.pem")), p256);
    assert_eq!(thumbprint(ES256, fixture!("p256.certificate.pem")), p256);
    let rsa = thumbprint(RS256, fixture!("rsa2048.public.pem"));
    assert_eq!(thumbprint(RS256, fixture!("rsa2048.pkcs1.pem")), rsa);
    assert_eq!(thumbprint(PS512, fixture!("rsa2048.certificate.pem")), rsa);
    assert_ne!(thumbprint(RS256, fixture!("rsa3072.public.pem")), rsa);
    let private = SigningKey::from_pkcs8_pem(ES256, fixture!("p256.private.pem")).unwrap();
    let jwk = Key::from_jwk_json(&private.public_jwk_json().unwrap()).unwrap();
    assert_eq!(jwk.with_key_id("mine").thumbprint(), private.verifying_key().thumbprint());
}

#[test]
fn a_p521_key_is_read_where_the_backend_has_the_curve() {
    let key = Key::from_pem(ES512, fixture!("p521.public.pem"));
    if cfg!(feature = "aws-lc-rs") {
        assert_eq!(key.unwrap().algorithm(), ES512);
    } else {
        assert_refused!(key, ConfigError::UnsupportedByBackend(ES512));
    }
}

#[test]
fn a_curve_decides_its_algorithm() {
    for (pem, own) in [
        (fixture!("p256.public.pem"), ES256),
        (fixture!("p384.public.pem"), ES384),
        (fixture!("ed25519.public.pem"), EdDSA),
    ] {
        assert_eq!(Key::from_pem(own, pem).unwrap().algorithm(), own);
        for other in [ES256, ES384, ES512, EdDSA, RS256, PS512, HS256, HS512] {
            if other != own {
                assert_refused!(Key::from_pem(other, pem), ConfigError::KeyAlgorithmMismatch(_));
            }
        }
    }
    let secp256k1 = Key::from_pem(ES256, fixture!("secp256k1.public.pem"));
    assert_refused!(secp256k1, ConfigError::UnsupportedKey("elliptic curve"));
    let explicit = Key::from_pem(ES256, fixture!("p256.explicit.pem"));
    assert_refused!(explicit, ConfigError::UnsupportedKey("elliptic curve"));
    let x25519 = Key::from_pem(EdDSA, fixture!("x25519.public.pem"));
    assert_refused!(x25519, ConfigError::UnsupportedKey("key type"));
}

#[test]
fn private_keys_are_refused_in_every_form() {
    for (algorithm, pem) in [
        (RS256, fixture!("rsa2048.private.pem")),
        (RS256, fixture!("rsa2048.private.pkcs1.pem")),
        (ES256, fixture!("p256.private.pem")),
        (ES256, fixture!("p256.private.sec1.pem")),
        (ES256, fixture!("p256.private.encrypted.pem")),
        (EdDSA, fixture!("ed25519.private.pem")),
    ] {
        assert_refused!(Key::from_pem(algorithm, pem), ConfigError::PrivateKey);
        assert_refused!(Key::from_der(algorithm, to_der(pem)), ConfigError::PrivateKey);
    }
    // Also next to a public key.
    let both = [fixture!("p256.public.pem"), fixture!("p256.private.pem")].concat();
    assert_refused!(Key::from_pem(ES256, both), ConfigError::PrivateKey);
}

#[test]
fn rsa_moduli_have_2048_to_8192_bits() {
    let bits = |pem: &str| Key::from_pem(RS256, pem).map(|_| ());
    assert_refused!(bits(fixture!("rsa1024.public.pem")), ConfigError::RsaModulusBits(1024));
    assert_refused!(bits(fixture!("rsa2047.public.pem")), ConfigError::RsaModulusBits(2047));
    for pem in [
        fixture!("rsa2048.public.pem"),
        fixture!("rsa2049.public.pem"),
        fixture!("rsa3072.public.pem"),
        fixture!("rsa8192.public.pem"),
    ] {
        assert!(bits(pem).is_ok());
    }
    let too_long = rsa_public_key(&[0xff; 1025], &[1, 0, 1]);
    assert_refused!(Key::from_der(RS256, too_long), ConfigError::RsaModulusBits(8200));
    let enormous = rsa_public_key(&[0xff; 100_000], &[1, 0, 1]);
    assert_refused!(Key::from_der(RS256, enormous), ConfigError::RsaModulusBits(800_000));
}

#[test]
fn a_signature_of_a_modulus_of_one_bit_over_whole_octets_verifies() {
    let jws = fixture!("rsa2049.ps256.jws").trim_end();
    let keys = KeySet::from(Key::from_pem(PS256, fixture!("rsa2049.public.pem")).unwrap());
    let payload = keys.verify_compact(jws.as_bytes());
    assert_eq!(payload.as_deref(), Ok(b"modulus of 2049 bits".as_slice()));
    let refused = keys.verify_compact(one_bit_off(jws).as_bytes());
    assert_eq!(refused, Err(JwsError::BadSignature));
}

#[test]
fn an_rsa_exponent_is_odd_above_1_and_at_most_33_bits() {
    let e3 = fixture!("rsa2048-e3.public.pem");
    assert!(Key::from_pem(RS256, e3).is_ok());
    let bits = public_bits(e3);
    let numbers = Vec::<UintRef<'_>>::from_der(&bits).unwrap();
    let modulus = numbers[0].as_bytes();
    let with = |exponent: &[u8]| Key::from_der(RS256, rsa_public_key(modulus, exponent));
    for good in [&[3][..], &[1, 0, 1], &[1, 0, 0, 0, 1], &[1, 0xff, 0xff, 0xff, 0xff]] {
        assert!(with(good).is_ok(), "{good:?}");
    }
    for bad in [&[0][..], &[1], &[2], &[4], &[1, 0, 0], &[2, 0, 0, 0, 1], &[0xff; 256]] {
        assert_refused!(with(bad), ConfigError::RsaExponent);
    }
}

#[test]
fn an_even_rsa_modulus_is_refused() {
    let mut modulus = [0xff; 256];
    assert!(Key::from_der(RS256, rsa_public_key(&modulus, &[1, 0, 1])).is_ok());
    modulus[255] = 0xfe;
    let key = Key::from_der(RS256, rsa_public_key(&modulus, &[1, 0, 1]));
    assert_refused!(key, ConfigError::UnreadableKey("an odd RSA modulus"));
}

#[test]
fn negative_rsa_numbers_are_refused() {
    // A modulus whose first bit is set, without the zero octet that makes it positive.
    let mut der = rsa_public_key(&[0xff; 256], &[1, 0, 1]);
    assert!(Key::from_der(RS256, &der).is_ok());
    assert_eq!(der[..9], [0x30, 0x82, 1, 10, 2, 0x82, 1, 1, 0]);
    der.remove(8);
    der[3] -= 1;
    der[7] -= 1;
    assert_refused!(Key::from_der(RS256, der), ConfigError::UnreadableKey(_));
}

#[test]
fn points_off_their_curve_are_refused() {
    for (algorithm, pem) in
        [(ES256, fixture!("p256.public.pem")), (ES384, fixture!("p384.public.pem"))]
    {
        let mut der = to_der(pem);
        assert!(Key::from_der(algorithm, &der).is_ok());
        *der.last_mut().unwrap() ^= 1;
        assert_refused!(Key::from_der(algorithm, der), ConfigError::InvalidPoint);
    }
    if cfg!(feature = "aws-lc-rs") {
        let mut der = to_der(fixture!("p521.public.pem"));
        *der.last_mut().unwrap() ^= 1;
        assert_refused!(Key::from_der(ES512, der), ConfigError::InvalidPoint);
    }
}

#[test]
fn points_have_one_of_two_forms() {
    let point = public_bits(fixture!("p256.public.pem"));
    let compressed = public_bits(fixture!("p256.compressed.pem"));
    let check = |point: &[u8]| {
        let material = Material::Ec { curve: Curve::P256, point };
        key::Verifier::new(ES256, material).map(|_| ())
    };
    assert!(check(&point).is_ok() && check(&compressed).is_ok());
    for length in [0, 1, 33, 64] {
        assert_refused!(check(&point[..length]), ConfigError::KeyLength);
    }
    assert_refused!(check(&[&point[..], &[0]].concat()), ConfigError::KeyLength);
    assert_refused!(check(&compressed[..32]), ConfigError::KeyLength);
    // The point at infinity, and the hybrid form with the correct parity.
    assert_refused!(check(&[0]), ConfigError::InvalidPoint);
    let hybrid = [&[4 + compressed[0]], &point[1..]].concat();
    assert_refused!(check(&hybrid), ConfigError::InvalidPoint);
    // An x larger than the prime of the field.
    assert_refused!(check(&[&[2][..], &[0xff; 32]].concat()), ConfigError::InvalidPoint);
}

#[test]
fn a_pss_key_verifies_pss_alone() {
    let pem = fixture!("rsa-pss.public.pem");
    for algorithm in [PS256, PS384, PS512] {
        assert!(Key::from_pem(algorithm, pem).is_ok());
    }
    for algorithm in [RS256, RS512, ES256] {
        assert_refused!(Key::from_pem(algorithm, pem), ConfigError::KeyAlgorithmMismatch(_));
    }
    let bound = Key::from_pem(PS256, fixture!("rsa-pss-sha256.public.pem"));
    assert_refused!(bound, ConfigError::UnsupportedKey("RSASSA-PSS parameters"));
}

#[test]
fn a_key_has_the_algorithm_parameters_of_its_type_and_no_others() {
    let rsa = to_der(fixture!("rsa2048.public.pem"));
    assert_eq!((&rsa[..6], &rsa[17..19]), (&[0x30, 0x82, 1, 34, 0x30, 13][..], &[5, 0][..]));
    // NULL is optional. Other parameters restrict the key in a way that this crate does not understand.
    let mut without = rsa.clone();
    without.drain(17..19);
    without[3] -= 2;
    without[5] -= 2;
    assert_verifies(Key::from_der(RS256, without).unwrap(), &signed_with_rsa(RS256));
    let mut other = rsa;
    other[17] = 4;
    let key = Key::from_der(RS256, other);
    assert_refused!(key, ConfigError::UnreadableKey("a SubjectPublicKeyInfo"));

    let mut ed25519 = to_der(fixture!("ed25519.public.pem"));
    assert!(Key::from_der(EdDSA, &ed25519).is_ok());
    assert_eq!(ed25519[..4], [0x30, 42, 0x30, 5]);
    ed25519.splice(9..9, [5, 0]);
    ed25519[1] += 2;
    ed25519[3] += 2;
    let key = Key::from_der(EdDSA, ed25519);
    assert_refused!(key, ConfigError::UnreadableKey("a SubjectPublicKeyInfo"));
}

#[test]
fn exactly_one_pem_block_with_white_space_around_it_is_read() {
    let pem = fixture!("p256.public.pem");
    let one_line = {
        let lines: Vec<&str> = pem.lines().collect();
        let (body, last) = lines[1..].split_at(lines.len() - 2);
        [lines[0], &body.concat(), last[0]].join("\n")
    };
    for good in [
        format!("\n \t{pem}\r\n\n"),
        pem.trim_end().to_owned(),
        pem.replace('\n', "\r\n"),
        one_line,
    ] {
        assert!(Key::from_pem(ES256, &good).is_ok(), "{good}");
    }
    for bad in [
        String::new(),
        "no PEM".to_owned(),
        format!("{pem}{pem}"),
        format!("{pem}{}", fixture!("p256.certificate.pem")),
        format!("text\n{pem}"),
        format!("{pem}text"),
        pem.replace("END PUBLIC", "END RSA PUBLIC"),
        pem.replace("-----END PUBLIC KEY-----", ""),
        pem.replace("PUBLIC KEY", "CERTIFICATE"),
        pem.replace("PUBLIC KEY", "RSA PUBLIC KEY"),
        pem.replace("PUBLIC KEY", "SSH2 PUBLIC KEY"),
        pem.replace("PUBLIC KEY", "EC PARAMETERS"),
        pem.replacen('M', "*", 1),
    ] {
        assert_refused!(Key::from_pem(ES256, &bad), ConfigError::UnreadableKey(_));
    }
}

#[test]
fn der_is_read_to_its_end_and_not_beyond() {
    for (algorithm, pem) in [
        (RS256, fixture!("rsa2048.public.pem")),
        (RS256, fixture!("rsa2048.pkcs1.pem")),
        (RS256, fixture!("rsa2048.certificate.pem")),
        (EdDSA, fixture!("ed25519.public.pem")),
    ] {
        let der = to_der(pem);
        assert!(Key::from_der(algorithm, &der).is_ok());
        assert_refused!(
            Key::from_der(algorithm, [&der[..], &[0]].concat()),
            ConfigError::UnreadableKey(_)
        );
        for length in 0..der.len() {
            assert_refused!(
                Key::from_der(algorithm, &der[..length]),
                ConfigError::UnreadableKey(_)
            );
        }
    }
}

#[test]
fn no_changed_octet_of_a_key_makes_the_reader_panic() {
    for (algorithm, pem) in [
        (RS256, fixture!("rsa2048.signed-by-p256.certificate.pem")),
        (ES256, fixture!("p256.public.pem")),
        (EdDSA, fixture!("ed25519.public.pem")),
    ] {
        let der = to_der(pem);
        for place in 0..der.len() {
            for change in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = der.clone();
                changed[place] ^= change;
                let _ = Key::from_der(algorithm, changed);
            }
        }
    }
}

fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    [UintRef::new(modulus).unwrap(), UintRef::new(exponent).unwrap()].to_der().unwrap()
}
