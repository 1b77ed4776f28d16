//! Reads and verifies one proof (RFC 9449 sections 4.2 and 4.3). The strict code that reads tokens also reads proofs.

use std::{borrow::Cow, sync::Arc};

use base64_simd::{AsOut as _, URL_SAFE_NO_PAD};
use quick_cache::{Weighter, sync::Cache};
use smallvec::SmallVec;

use super::{Dpop, target};
use crate::{
    Algorithm, Key, RejectionKind, UnixTime,
    claims::whole_seconds,
    issuer_policy::is_same_type,
    json::{Object, Text, Value},
    jws::{self, Compact, Header, Scratch},
};

/// The maximum length of a proof, in bytes.
pub(super) const MAX_LENGTH: usize = 8 * 1024;

/// The maximum length of `jti`, in characters.
const MAX_ID_LENGTH: usize = 256;

/// The memory of remembered keys, in bytes.
const KEY_CACHE_BYTES: u64 = 8 << 20;

/// The approximate memory of a parsed key and its place in the cache, in bytes.
const PARSED_KEY: u64 = 1024;

/// What a proof must be about.
pub(super) struct Expected<'e> {
    /// `None` for a token request, which has no token yet (RFC 9449 section 5).
    pub(super) bound: Option<BoundToken<'e>>,
    pub(super) method: &'e str,
    pub(super) path: &'e str,
    pub(super) now: UnixTime,
}

/// The token of the request.
pub(super) struct BoundToken<'e> {
    pub(super) token: &'e [u8],
    /// The thumbprint in its `cnf.jkt`.
    pub(super) key: &'e str,
}

/// What is known about a proof that was checked.
pub(super) struct Checked {
    pub(super) id: ProofId,
    /// The thumbprint of its key.
    pub(super) thumbprint: Arc<str>,
    /// The last second in which it is not too old.
    pub(super) accepted_until: UnixTime,
}

/// Checks everything about a proof except whether it was used before.
pub(super) fn check(
    dpop: &Dpop,
    proof: &[u8],
    expected: &Expected<'_>,
) -> Result<Checked, RejectionKind> {
    let compact = Compact::parse(proof, MAX_LENGTH).map_err(|_| RejectionKind::MalformedProof)?;
    let payload = compact.decode_payload().map_err(|_| RejectionKind::MalformedProof)?;
    let mut scratch = Scratch::new();
    let signature = compact.decode_signature(&mut scratch);
    let signature = signature.map_err(|_| RejectionKind::MalformedProof)?;
    let claims = Object::parse(str::from_utf8(&payload).unwrap_or_default());
    let has_token = expected.bound.is_some();
    let claims = ProofClaims::read(&claims.ok_or(RejectionKind::MalformedProof)?, has_token)?;

    let remembered = dpop.keys.0.get(compact.encoded_header());
    let is_new = remembered.is_none();
    let key = match remembered {
        Some(key) => key,
        None => read_key(&compact, &dpop.algorithms)?,
    };
    // The proof is by another key (RFC 9449, figure 16).
    if expected.bound.as_ref().is_some_and(|bound| key.thumbprint() != bound.key) {
        return Err(RejectionKind::UnverifiedConfirmation);
    }
    claims.check(dpop, expected)?;
    if !key.verify(compact.signing_input(), signature) {
        return Err(RejectionKind::BadProofSignature);
    }
    let thumbprint = Arc::clone(key.thumbprint_arc());
    // Strangers send token requests, too.
    if is_new && has_token {
        dpop.keys.0.insert(compact.encoded_header().into(), key);
    }
    let id = ProofId::new(&thumbprint, &claims.jti);
    Ok(Checked { id, thumbprint, accepted_until: claims.issued_at + dpop.max_age })
}

/// The key in the header of a proof.
fn read_key(compact: &Compact<'_>, algorithms: &[Algorithm]) -> Result<Key, RejectionKind> {
    let mut scratch = Scratch::new();
    let json = compact.decode_header(&mut scratch).map_err(|_| RejectionKind::MalformedProof)?;
    let header = Header::parse(json).map_err(|_| RejectionKind::MalformedProof)?;
    let is_proof = header.typ().is_some_and(|typ| is_same_type(typ, "dpop+jwt"));
    if !is_proof || !algorithms.contains(&header.algorithm()) {
        return Err(RejectionKind::MalformedProof);
    }
    let members = Object::parse(str::from_utf8(json).unwrap_or_default());
    let jwk = members.and_then(|members| members.get("jwk"));
    let Some(Value::Object(jwk)) = jwk else { return Err(RejectionKind::MalformedProof) };
    Key::of_proof(jwk, header.algorithm()).map_err(|_| RejectionKind::UnusableProofKey)
}

/// The claims of a proof. All but `nonce` are mandatory, `ath` only together with a token (RFC 9449 sections 4.2 and
/// 7).
struct ProofClaims<'a> {
    jti: Cow<'a, str>,
    method: Text<'a>,
    target: Cow<'a, str>,
    issued_at: UnixTime,
    /// `None` for a token request.
    token_hash: Option<Text<'a>>,
    nonce: Option<Cow<'a, str>>,
}

impl<'a> ProofClaims<'a> {
    fn read(claims: &Object<'a>, has_token: bool) -> Result<Self, RejectionKind> {
        Self::parse(claims, has_token).ok_or(RejectionKind::MalformedProof)
    }

    fn parse(claims: &Object<'a>, has_token: bool) -> Option<Self> {
        let jti = claims.get("jti")?.as_cow()?;
        let Value::Number(issued_at) = claims.get("iat")? else { return None };
        let has_id = !jti.is_empty() && jti.chars().nth(MAX_ID_LENGTH).is_none();
        let nonce = match claims.get("nonce") {
            Some(nonce) => Some(nonce.as_cow()?),
            None => None,
        };
        let token_hash = match has_token {
            true => Some(claims.get("ath")?.as_text()?),
            false => None,
        };
        has_id.then_some(Self {
            jti,
            method: claims.get("htm")?.as_text()?,
            target: claims.get("htu")?.as_cow()?,
            issued_at: UnixTime::from_secs(whole_seconds(issued_at)?),
            token_hash,
            nonce,
        })
    }

    fn check(&self, dpop: &Dpop, expected: &Expected<'_>) -> Result<(), RejectionKind> {
        if !self.method.is(expected.method)
            || !target::is_same(&self.target, &dpop.bases, expected.path)
        {
            return Err(RejectionKind::WrongProofTarget);
        }
        if let Some(bound) = &expected.bound {
            let mut text = [0; 43];
            let hash = jws::sha256(bound.token);
            let hash = URL_SAFE_NO_PAD.encode_as_str(&hash, text.as_mut_slice().as_out());
            if !self.token_hash.as_ref().is_some_and(|shown| shown.is(hash)) {
                return Err(RejectionKind::WrongProofToken);
            }
        }
        let now = expected.now;
        if now.saturating_duration_since(self.issued_at) > dpop.max_age
            || self.issued_at > now + dpop.leeway
        {
            return Err(RejectionKind::ProofNotCurrent);
        }
        match &dpop.nonces {
            Some(nonces) if !nonces.accept(self.nonce.as_deref(), now) => {
                Err(RejectionKind::UseDpopNonce)
            }
            _ => Ok(()),
        }
    }
}

/// Identifies a proof of a key: a hash of the key's thumbprint and `jti`, half of a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ProofId(pub(super) [u8; 16]);

impl ProofId {
    fn new(thumbprint: &str, jti: &str) -> Self {
        // Every thumbprint has the same length, so two pairs never make the same text.
        let mut text = SmallVec::<[u8; 128]>::new();
        text.extend_from_slice(thumbprint.as_bytes());
        text.extend_from_slice(jti.as_bytes());
        Self(jws::sha256(&text).first_chunk().copied().unwrap_or_default())
    }
}

/// Keys of proofs, by the header that they came in.
///
/// A client sends the same header with each of its proofs, so its key is parsed once. Reading a header is a pure
/// function of its bytes. Only a header whose key has verified a proof for a valid token is remembered, so strangers
/// cannot fill the cache.
pub(super) struct ProofKeys(Cache<Box<[u8]>, Key, KeySize>);

impl ProofKeys {
    pub(super) fn new() -> Self {
        let usual = usize::try_from(KEY_CACHE_BYTES / PARSED_KEY).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(usual, KEY_CACHE_BYTES, KeySize))
    }
}

/// Weighs keys in bytes.
#[derive(Clone)]
struct KeySize;

impl Weighter<Box<[u8]>, Key> for KeySize {
    fn weight(&self, header: &Box<[u8]>, _: &Key) -> u64 {
        header.len() as u64 + PARSED_KEY
    }
}
