//! What a token is bound to (`cnf`, RFC 7800), and what a request proves.

use crate::{
    RejectionKind,
    client_certificate::{CertificateThumbprint, ClientCertificate},
    json::{Object, Value},
};

/// What a token is bound to. A request must prove all of it.
#[derive(Debug)]
pub(crate) struct Confirmation {
    certificate: CertificateThumbprint,
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
        // Names are unique, so one name means one member.
        if members.names().count() != 1 {
            return None;
        }
        let thumbprint = members.get("x5t#S256")?.as_cow()?;
        Some(Self { certificate: CertificateThumbprint::from_base64url(&thumbprint)? })
    }

    pub(crate) fn certificate(&self) -> &CertificateThumbprint {
        &self.certificate
    }
}

/// Whether the request proves what its token is bound to. `None`: the token is not bound.
pub(crate) fn check(
    confirmation: Option<&Confirmation>,
    proof: &Proof,
) -> Result<(), RejectionKind> {
    match confirmation {
        Some(bound) if proof.certificate != Some(bound.certificate) => {
            Err(RejectionKind::UnverifiedConfirmation)
        }
        _ => Ok(()),
    }
}

/// What the sender of a request has proved, apart from its token. The default is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Proof {
    certificate: Option<CertificateThumbprint>,
}

impl Proof {
    pub(crate) fn with_certificate(certificate: Option<ClientCertificate>) -> Self {
        Self { certificate: certificate.map(|certificate| certificate.thumbprint()) }
    }
}
