//! What a token is bound to (`cnf`, RFC 7800), and what a request proves.

use std::fmt;

use base64_simd::URL_SAFE_NO_PAD;

use crate::{
    RejectionKind, UnixTime,
    client_certificate::{CertificateThumbprint, ClientCertificate},
    dpop::{CheckedProof, PresentedProof},
    json::{Object, Value},
};

/// What a token is bound to: a key, a certificate, or both. A request must prove all of it.
pub(crate) struct Confirmation {
    /// The RFC 7638 thumbprint of the key, in base64url.
    key: Option<Box<str>>,
    certificate: Option<CertificateThumbprint>,
}

impl Confirmation {
    /// Reads `cnf`. Every member must be one that this crate can verify: a member that is ignored would let a thief
    /// pass. In its own heap memory, because few tokens are bound.
    pub(crate) fn read(cnf: Value<'_>) -> Result<Box<Self>, RejectionKind> {
        let confirmation = Self::parse(cnf).map(Box::new);
        confirmation.ok_or(RejectionKind::UnverifiedConfirmation)
    }

    fn parse(cnf: Value<'_>) -> Option<Self> {
        let Value::Object(text) = cnf else { return None };
        let mut members = Object::unread(text);
        members.read()?;
        let mut confirmation = Self { key: None, certificate: None };
        // Names are unique.
        for name in members.names() {
            let value = members.get(&name.resolve())?.as_cow()?;
            if name.is("jkt") {
                confirmation.key = Some(thumbprint(&value)?);
            } else if name.is("x5t#S256") {
                confirmation.certificate = Some(CertificateThumbprint::from_base64url(&value)?);
            } else {
                return None;
            }
        }
        let is_empty = confirmation.key.is_none() && confirmation.certificate.is_none();
        (!is_empty).then_some(confirmation)
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    pub(crate) fn certificate(&self) -> Option<&CertificateThumbprint> {
        self.certificate.as_ref()
    }

    /// The size in bytes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.key().map_or(0, str::len)
    }
}

/// The thumbprint of a key. It has exactly one spelling.
fn thumbprint(text: &str) -> Option<Box<str>> {
    let hash = URL_SAFE_NO_PAD.decode_to_vec(text).ok()?;
    (hash.len() == 32).then(|| text.into())
}

impl fmt::Debug for Confirmation {
    /// Does not show thumbprints: they are claims.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Confirmation(..)")
    }
}

/// What the sender of a request proves, apart from its token. The default is nothing.
#[derive(Debug, Default)]
pub(crate) struct Proof<'r> {
    pub(crate) certificate: Option<ClientCertificate>,
    pub(crate) key: KeyProof<'r>,
}

/// How a request proves that it has the key of its token.
#[derive(Debug, Default)]
pub(crate) enum KeyProof<'r> {
    /// The scheme is `Bearer`.
    #[default]
    Absent,
    /// The same, and the layer accepts bound tokens only.
    AbsentButRequired,
    /// The scheme is `DPoP`.
    Presented(PresentedProof<'r>),
}

#[cfg(feature = "jwks")]
impl Proof<'_> {
    /// A copy that outlives the request.
    pub(crate) fn into_owned(self) -> Proof<'static> {
        let key = match self.key {
            KeyProof::Absent => KeyProof::Absent,
            KeyProof::AbsentButRequired => KeyProof::AbsentButRequired,
            KeyProof::Presented(proof) => KeyProof::Presented(proof.into_owned()),
        };
        Proof { certificate: self.certificate, key }
    }
}

/// Checks that the request proves what its token is bound to. `confirmation` is `None` if the token is not bound.
/// Returns the proof that must be recorded, after every other check.
pub(crate) fn check(
    token: &[u8],
    confirmation: Option<&Confirmation>,
    proof: &Proof<'_>,
    now: UnixTime,
) -> Result<Option<CheckedProof>, RejectionKind> {
    let certificate = confirmation.and_then(Confirmation::certificate);
    let shown = proof.certificate.as_ref().map(ClientCertificate::thumbprint);
    if certificate.is_some() && certificate != shown.as_ref() {
        return Err(RejectionKind::UnverifiedConfirmation);
    }
    match (confirmation.and_then(Confirmation::key), &proof.key) {
        (None, KeyProof::Absent) => Ok(None),
        (None, KeyProof::AbsentButRequired) if certificate.is_some() => Ok(None),
        (Some(key), KeyProof::Presented(proof)) => proof.check(token, key, now).map(Some),
        _ => Err(RejectionKind::UnverifiedConfirmation),
    }
}
