//! Signs tokens with any header and claims, with another library (jsonwebtoken).

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm as Theirs, DecodingKey, EncodingKey};

pub const SECRET: &[u8] = b"a secret of the fuzz targets, long enough for HMAC with SHA-512.";

/// The test keys of the crate.
pub const P256_PUBLIC: &[u8] = include_bytes!("../../tests/fixtures/keys/p256.public.pem");
pub const ED25519_PUBLIC: &[u8] = include_bytes!("../../tests/fixtures/keys/ed25519.public.pem");
const P256_PRIVATE: &[u8] = include_bytes!("../../tests/fixtures/keys/p256.private.pem");
const ED25519_PRIVATE: &[u8] = include_bytes!("../../tests/fixtures/keys/ed25519.private.pem");

#[derive(Clone, Copy, Debug, PartialEq, Eq, Arbitrary)]
pub enum Signer {
    Hs256,
    Es256,
    EdDsa,
}

struct Pair {
    signing: EncodingKey,
    verifying: DecodingKey,
}

static HS256: LazyLock<Pair> = LazyLock::new(|| Pair {
    signing: EncodingKey::from_secret(SECRET),
    verifying: DecodingKey::from_secret(SECRET),
});

static ES256: LazyLock<Pair> = LazyLock::new(|| Pair {
    signing: EncodingKey::from_ec_pem(P256_PRIVATE).unwrap(),
    verifying: DecodingKey::from_ec_pem(P256_PUBLIC).unwrap(),
});

static EDDSA: LazyLock<Pair> = LazyLock::new(|| Pair {
    signing: EncodingKey::from_ed_pem(ED25519_PRIVATE).unwrap(),
    verifying: DecodingKey::from_ed_pem(ED25519_PUBLIC).unwrap(),
});

impl Signer {
    pub const ALL: [Self; 3] = [Self::Hs256, Self::Es256, Self::EdDsa];

    /// The signer of a token with this `alg`.
    pub fn of(alg: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signer| signer.alg() == alg)
    }

    pub fn alg(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    pub fn theirs(self) -> Theirs {
        match self {
            Self::Hs256 => Theirs::HS256,
            Self::Es256 => Theirs::ES256,
            Self::EdDsa => Theirs::EdDSA,
        }
    }

    pub fn their_key(self) -> &'static DecodingKey {
        &self.pair().verifying
    }

    fn pair(self) -> &'static Pair {
        match self {
            Self::Hs256 => &HS256,
            Self::Es256 => &ES256,
            Self::EdDsa => &EDDSA,
        }
    }

    /// Signs a token. The header may name a different algorithm.
    pub fn sign(self, header: &[u8], claims: &[u8]) -> String {
        let input = format!("{}.{}", base64url(header), base64url(claims));
        let signature =
            jsonwebtoken::crypto::sign(input.as_bytes(), &self.pair().signing, self.theirs());
        format!("{input}.{}", signature.unwrap())
    }

    /// Whether the last part of a token is this signer's signature of the first two parts.
    pub fn has_signed(self, token: &str) -> bool {
        let Some((input, signature)) = token.rsplit_once('.') else { return false };
        jsonwebtoken::crypto::verify(signature, input.as_bytes(), self.their_key(), self.theirs())
            .unwrap_or(false)
    }
}

pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The three parts of a compact JWS (RFC 7515 section 7.1), decoded by another base64 library.
pub fn parts(token: &[u8]) -> Option<[Vec<u8>; 3]> {
    let parts: Vec<&[u8]> = token.split(|byte| *byte == b'.').collect();
    let [header, payload, signature] = parts[..] else { return None };
    if header.is_empty() || signature.is_empty() {
        return None;
    }
    let decode = |part| URL_SAFE_NO_PAD.decode(part).ok();
    Some([decode(header)?, decode(payload)?, decode(signature)?])
}
