//! The issuer of the tokens: keys that change, and tokens signed with them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use tokio::time::sleep;

use crate::{
    Failure, random, signing,
    token::{Flaw, Token},
    world::World,
};

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "api://soak";

/// The time between two new keys.
const ROTATION: Duration = Duration::from_secs(20);
/// How many of the changing keys are published at the same time.
const PUBLISHED: usize = 5;
/// How long a key is published before it signs. It is longer than `max-age`, as issuers must do.
const SIGNS_AFTER: Duration = Duration::from_secs(61);
/// The number of valid tokens in use. New ones replace old ones.
const STOCK: usize = 2_000;
const MINTED_PER_SECOND: u32 = 200;

#[derive(Clone)]
pub(crate) struct SigningKey {
    pub(crate) number: usize,
    pub(crate) jwk: String,
    pub(crate) published: Instant,
    algorithm: Algorithm,
    key: EncodingKey,
}

impl SigningKey {
    /// The RSA key, which never changes.
    pub(crate) fn lasting() -> Self {
        let set: serde_json::Value =
            serde_json::from_slice(&signing::fixture("../jwks.json")).unwrap_or_default();
        let rsa = &set["keys"][0];
        Self {
            number: 0,
            jwk: format!(
                r#"{{"kty":"RSA","kid":"key-0","alg":"RS256","n":{},"e":{}}}"#,
                rsa["n"], rsa["e"]
            ),
            published: Instant::now(),
            algorithm: Algorithm::RS256,
            key: signing::rsa_key(),
        }
    }

    /// ES256 and EdDSA in turn.
    pub(crate) fn new(number: usize) -> Result<Self, Failure> {
        let head = format!(r#"{{"kid":"key-{number}","use":"sig""#);
        let (algorithm, key, jwk) = if number.is_multiple_of(2) {
            let pair = KeyPair::generate_for(&PKCS_ED25519)?;
            let x = URL_SAFE_NO_PAD.encode(pair.public_key_raw());
            let jwk = format!(r#"{head},"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
            let key = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes())?;
            (Algorithm::EdDSA, key, jwk)
        } else {
            let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            // Uncompressed: one byte for the format, and two coordinates.
            let (x, y) = pair.public_key_raw()[1..].split_at(32);
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            let jwk = format!(r#"{head},"kty":"EC","crv":"P-256","x":"{x}","y":"{y}"}}"#);
            (Algorithm::ES256, EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes())?, jwk)
        };
        Ok(Self { number, jwk, published: Instant::now(), algorithm, key })
    }

    pub(crate) fn sign(&self, claims: &str) -> String {
        let header = format!(
            r#"{{"alg":"{:?}","typ":"at+jwt","kid":"key-{}"}}"#,
            self.algorithm, self.number
        );
        signing::sign(self.algorithm, &self.key, &header, claims)
    }
}

/// Adds a new key at regular intervals, and withdraws the oldest.
pub(crate) async fn rotate(world: Arc<World>) -> Result<(), Failure> {
    let mut number = world.keys().len();
    while world.goes_on_for(ROTATION).await {
        let key = SigningKey::new(number)?;
        let mut keys = world.keys();
        keys.push(key);
        if keys.len() > PUBLISHED + 1 {
            keys.remove(1);
        }
        number += 1;
    }
    Ok(())
}

/// A key that has been published for long enough.
pub(crate) fn signing_key(world: &World) -> SigningKey {
    let keys = world.keys();
    let old = |key: &&SigningKey| key.number <= 2 || key.published.elapsed() >= SIGNS_AFTER;
    let old: Vec<_> = keys.iter().filter(old).collect();
    // Signing with the RSA key is slow.
    let at = if random::one_in(20) { 0 } else { random::below(old.len()) };
    old[at].clone()
}

pub(crate) fn newest_key(world: &World) -> SigningKey {
    world.keys().last().expect("the lasting key is one").clone()
}

/// Keeps a stock of valid tokens. Random old ones are replaced by new ones.
pub(crate) async fn mint(world: Arc<World>) -> Result<(), Failure> {
    while world.goes_on() {
        let token = Arc::new(Token::new(&signing_key(&world), world.number(), 3_600, Flaw::None));
        let is_stocked = {
            let mut stock = world.stock();
            if stock.len() < STOCK {
                stock.push(token);
                false
            } else {
                stock[random::below(STOCK)] = token;
                true
            }
        };
        if is_stocked {
            sleep(Duration::from_secs(1) / MINTED_PER_SECOND).await;
        }
    }
    Ok(())
}

pub(crate) async fn is_stocked(world: &World) {
    while world.stock().len() < STOCK {
        sleep(Duration::from_millis(10)).await;
    }
}
