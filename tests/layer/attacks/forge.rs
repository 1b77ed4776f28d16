//! What attackers make tokens with.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use tower_bearer::{Issuer, KeySource};

use crate::common::tokens::{SECRET, base64url, ed25519_key, p256_key, rsa_key, sign};

/// Claims of a good token.
pub(crate) const CLAIMS: &str =
    r#"{"iss":"https://issuer.example","aud":"api://orders","sub":"me","exp":1800000060}"#;

/// Good claims with these further members.
pub(crate) fn claims_with(members: &str) -> String {
    format!("{},{members}}}", CLAIMS.strip_suffix('}').unwrap())
}

/// The issuer of the tests with other keys.
pub(crate) fn issuer_with(keys: impl Into<KeySource>) -> Issuer {
    Issuer::new("https://issuer.example", keys).audience("api://orders")
}

/// A good token but for its header.
pub(crate) fn hs256(header: &str) -> String {
    sign_with_secret(header, CLAIMS)
}

/// Header and claims of any bytes, with a genuine signature.
pub(crate) fn sign_with_secret(header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
    authenticate(&format!("{}.{}", base64url(header), base64url(claims)))
}

/// Any text, with a genuine HS256 code behind it.
pub(crate) fn authenticate(signing_input: &str) -> String {
    authenticate_with(Algorithm::HS256, SECRET, signing_input)
}

pub(crate) fn authenticate_with(
    algorithm: Algorithm,
    secret: &[u8],
    signing_input: &str,
) -> String {
    let key = EncodingKey::from_secret(secret);
    let code = jsonwebtoken::crypto::sign(signing_input.as_bytes(), &key, algorithm).unwrap();
    format!("{signing_input}.{code}")
}

pub(crate) fn rs256(header: &str) -> String {
    sign(Algorithm::RS256, &rsa_key(), header, CLAIMS)
}

pub(crate) fn es256(header: &str) -> String {
    sign(Algorithm::ES256, &p256_key(), header, CLAIMS)
}

pub(crate) fn eddsa(header: &str) -> String {
    sign(Algorithm::EdDSA, &ed25519_key(), header, CLAIMS)
}

/// Three parts of a token, as text.
pub(crate) fn parts(token: &str) -> [&str; 3] {
    let mut parts = token.split('.');
    [(); 3].map(|()| parts.next().unwrap())
}

/// What is signed, and the bytes of the signature.
pub(crate) fn opened(token: &str) -> (&str, Vec<u8>) {
    let (signing_input, signature) = token.rsplit_once('.').unwrap();
    (signing_input, URL_SAFE_NO_PAD.decode(signature).unwrap())
}

/// A token with another signature.
pub(crate) fn with_signature(token: &str, signature: &[u8]) -> String {
    format!("{}.{}", opened(token).0, base64url(signature))
}

/// A fresh key on P-256, which nobody trusts until a test says so.
pub(crate) struct Signer(EcdsaKeyPair);

impl Signer {
    pub(crate) fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    /// The public half, with these further members.
    pub(crate) fn jwk(&self, members: &str) -> String {
        let point = self.0.public_key().as_ref();
        let (x, y) = (base64url(&point[1..33]), base64url(&point[33..]));
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"{members}}}"#)
    }

    pub(crate) fn sign(&self, header: &str) -> String {
        let signing_input = format!("{}.{}", base64url(header), base64url(CLAIMS));
        let signature = self.0.sign(&SystemRandom::new(), signing_input.as_bytes()).unwrap();
        format!("{signing_input}.{}", base64url(signature))
    }
}

/// Numbers of many bytes, the most significant first.
pub(crate) mod numbers {
    pub(crate) fn unhex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }

    /// The order of P-256.
    pub(crate) fn p256_order() -> Vec<u8> {
        unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
    }

    /// `a - b`, of the same length; `a` is the larger.
    pub(crate) fn minus(a: &[u8], b: &[u8]) -> Vec<u8> {
        let mut difference = a.to_vec();
        let mut borrow = 0;
        for (digit, b) in difference.iter_mut().zip(b).rev() {
            let value = i16::from(*digit) - i16::from(*b) - borrow;
            borrow = i16::from(value < 0);
            *digit = value.rem_euclid(256).try_into().unwrap();
        }
        assert_eq!(borrow, 0);
        difference
    }

    /// `a + b`, of the same length.
    pub(crate) fn plus(a: &[u8], b: &[u8]) -> Vec<u8> {
        let mut sum = a.to_vec();
        let mut carry = 0;
        for (digit, b) in sum.iter_mut().zip(b).rev() {
            let value = u16::from(*digit) + u16::from(*b) + carry;
            carry = value >> 8;
            *digit = value.to_le_bytes()[0];
        }
        assert_eq!(carry, 0);
        sum
    }
}
