//! Rows 18 to 24, and 26: signatures that are not what the holder of the key wrote.

use std::{collections::BTreeMap, time::Duration};

use jsonwebtoken::Algorithm as SigningAlgorithm;
use tower_bearer::{
    Algorithm, BearerLayer, ConfigError, Key, RejectionKind, RevocationCache, UnixTime,
    claims::ManualClock, revocation::MemoryStore,
};

use super::{
    forge::{
        CLAIMS, eddsa, es256, issuer_with,
        numbers::{minus, p256_order, plus, unhex},
        opened, with_signature,
    },
    server::{Server, authenticator_at},
};
use crate::common::{
    requests::NOW,
    tokens::{base64url, fixture, p384_key, sha256_hex, sign},
};

async fn server_with(algorithm: Algorithm, file: &str) -> Server {
    Server::trusting([issuer_with(Key::from_pem(algorithm, fixture(file)).unwrap())]).await
}

async fn p256_server() -> (Server, String) {
    let server = server_with(Algorithm::ES256, "p256.public.pem").await;
    let good = es256(r#"{"alg":"ES256"}"#);
    server.assert_admitted(&good).await;
    (server, good)
}

async fn refuse_all(server: &Server, good: &str, signatures: impl IntoIterator<Item = Vec<u8>>) {
    for signature in signatures {
        let token = with_signature(good, &signature);
        assert_ne!(token, good);
        server.assert_refused(&token, RejectionKind::BadSignature).await;
    }
}

#[tokio::test]
async fn row_18_zeros_are_not_a_signature() {
    let (server, good) = p256_server().await;
    refuse_all(&server, &good, [vec![0; 64]]).await;

    let server = server_with(Algorithm::ES384, "p384.public.pem").await;
    let good = sign(SigningAlgorithm::ES384, &p384_key(), r#"{"alg":"ES384"}"#, CLAIMS);
    server.assert_admitted(&good).await;
    refuse_all(&server, &good, [vec![0; 96]]).await;

    let server = server_with(Algorithm::EdDSA, "ed25519.public.pem").await;
    let good = eddsa(r#"{"alg":"EdDSA"}"#);
    server.assert_admitted(&good).await;
    refuse_all(&server, &good, [vec![0; 64]]).await;
}

#[tokio::test]
async fn row_19_r_and_s_at_their_limits_are_rejected() {
    let (server, good) = p256_server().await;
    let (_, genuine) = opened(&good);
    let (r, s) = genuine.split_at(32);
    let order = p256_order();
    let mut one = vec![0; 32];
    one[31] = 1;
    let limits = [
        vec![0; 32],
        one.clone(),
        minus(&order, &one),
        order.clone(),
        plus(&order, &one),
        vec![0xff; 32],
    ];
    for limit in &limits {
        let pairs = limits.iter().map(|other| [limit.as_slice(), other].concat());
        refuse_all(&server, &good, pairs).await;
        refuse_all(&server, &good, [[limit, s].concat(), [r, limit].concat()]).await;
    }
}

#[tokio::test]
async fn row_20_an_ecdsa_signature_in_der_is_rejected() {
    fn integer(number: &[u8]) -> Vec<u8> {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let mut number = number[zeros..].to_vec();
        if number[0] >= 0x80 {
            number.insert(0, 0);
        }
        [&[2, u8::try_from(number.len()).unwrap()], number.as_slice()].concat()
    }
    fn der(signature: &[u8]) -> Vec<u8> {
        let (r, s) = signature.split_at(signature.len() / 2);
        let numbers = [integer(r), integer(s)].concat();
        [&[0x30, u8::try_from(numbers.len()).unwrap()], numbers.as_slice()].concat()
    }

    let (server, good) = p256_server().await;
    refuse_all(&server, &good, [der(&opened(&good).1)]).await;

    let server = server_with(Algorithm::ES384, "p384.public.pem").await;
    let good = sign(SigningAlgorithm::ES384, &p384_key(), r#"{"alg":"ES384"}"#, CLAIMS);
    server.assert_admitted(&good).await;
    refuse_all(&server, &good, [der(&opened(&good).1)]).await;
}

#[tokio::test]
async fn row_21_an_ecdsa_signature_of_another_length_is_rejected() {
    let (server, good) = p256_server().await;
    let (_, genuine) = opened(&good);
    let (r, s) = genuine.split_at(32);
    refuse_all(
        &server,
        &good,
        [
            [&genuine[..], &[0]].concat(),
            [&genuine[..], &[0; 32]].concat(),
            [&[0], &genuine[..]].concat(),
            [&[0], r, &[0], s].concat(),
            [&[0; 16], r, &[0; 16], s].concat(),
            [r, s, r, s].concat(),
            genuine[..63].to_vec(),
            genuine[1..].to_vec(),
            r.to_vec(),
            [s, r].concat(),
            [r, &[0xff; 33]].concat(),
        ],
    )
    .await;
}

#[tokio::test]
async fn row_22_both_ecdsa_signatures_are_revoked_with_the_token() {
    let clock = ManualClock::at(UnixTime::from_secs(NOW));
    let revocation =
        RevocationCache::new(MemoryStore::new().with_clock(clock.clone()), Duration::from_secs(30))
            .with_clock(clock);
    let key = Key::from_pem(Algorithm::ES256, fixture("p256.public.pem")).unwrap();
    let authenticator =
        authenticator_at(NOW, [issuer_with(key)]).with_revocation(revocation.clone());
    let server = Server::with(BearerLayer::new(authenticator.clone())).await;

    let good = es256(r#"{"alg":"ES256"}"#);
    let (signing_input, genuine) = opened(&good);
    let (r, s) = genuine.split_at(32);
    let other = with_signature(&good, &[r, &minus(&p256_order(), s)].concat());
    assert_ne!(other, good);
    server.assert_admitted(&good).await;
    server.assert_admitted(&other).await;

    let user = authenticator.authenticate(&good).await.unwrap();
    let same_user = authenticator.authenticate(&other).await.unwrap();
    assert_eq!(user.revocation_id(), sha256_hex(signing_input.as_bytes()));
    assert_eq!(user.revocation_id(), same_user.revocation_id());

    revocation.revoke_token(&user).await.unwrap();
    server.assert_refused(&good, RejectionKind::Revoked).await;
    server.assert_refused(&other, RejectionKind::Revoked).await;
    // Another token of the same subject is not meant.
    server.assert_admitted(&es256(r#"{"alg":"ES256","typ":"JWT"}"#)).await;
}

#[tokio::test]
async fn row_23_an_ed25519_signature_with_another_s_is_rejected() {
    let server = server_with(Algorithm::EdDSA, "ed25519.public.pem").await;
    let good = eddsa(r#"{"alg":"EdDSA"}"#);
    server.assert_admitted(&good).await;
    let (_, genuine) = opened(&good);
    let (r, s) = genuine.split_at(32);
    // The order of the group is added to `s`, which is little-endian, until it no longer fits.
    let order = unhex("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed");
    let mut number: Vec<u8> = s.iter().rev().copied().collect();
    let mut signatures = Vec::new();
    while number[0] < 0xe0 {
        number = plus(&number, &order);
        let s: Vec<u8> = number.iter().rev().copied().collect();
        signatures.push([r, &s].concat());
    }
    assert!(signatures.len() >= 12);
    signatures.extend([
        [r, &[0; 32]].concat(),
        [&[0; 32], s].concat(),
        [&genuine[..], &[0]].concat(),
        genuine[..63].to_vec(),
    ]);
    refuse_all(&server, &good, signatures).await;
}

#[test]
fn row_23_ed25519_keys_with_small_order_or_encoded_twice_do_not_load() {
    let jwk = |point: &[u8]| {
        let x = base64url(point);
        Key::from_jwk_json(&format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#))
    };
    // RFC 8032 section 7.1, test 1.
    let good = unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert!(jwk(&good).is_ok());
    for point in [
        // Of order 1, 2, 4 and 8.
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        // The same with a coordinate that is not reduced, or with the sign of zero.
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ] {
        assert!(matches!(jwk(&unhex(point)), Err(ConfigError::InvalidPoint)), "{point}");
    }
    assert!(matches!(jwk(&good[..31]), Err(ConfigError::KeyLength)));
}

/// Tokens by `tests/fixtures/forged/make.py`.
fn forged(group: &str) -> BTreeMap<String, String> {
    let mut groups: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_slice(&fixture("../forged/rsa.json")).unwrap();
    groups.remove(group).unwrap()
}

async fn refuse_forged(algorithm: Algorithm, group: &str, count: usize) {
    let server = server_with(algorithm, "rsa2048.public.pem").await;
    let mut tokens = forged(group);
    server.assert_admitted(&tokens.remove("accepted").unwrap()).await;
    assert_eq!(tokens.len(), count);
    for token in tokens.values() {
        server.assert_refused(token, RejectionKind::BadSignature).await;
    }
}

#[tokio::test]
async fn row_24_an_rsa_signature_with_another_padding_is_rejected() {
    refuse_forged(Algorithm::RS256, "RS256", 21).await;
}

#[tokio::test]
async fn row_24_an_rsa_signature_as_another_number_is_rejected() {
    refuse_forged(Algorithm::RS256, "numbers", 9).await;
}

#[tokio::test]
async fn row_26_pss_with_another_salt_length_hash_or_mask_is_rejected() {
    refuse_forged(Algorithm::PS256, "PS256", 15).await;
}
