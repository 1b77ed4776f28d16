//! The certificates of the example, made at each start: an authority, a server and two clients.

use std::{error::Error, fs, io, path::Path};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};

pub(crate) struct Certificates {
    authority: CertifiedIssuer<'static, KeyPair>,
    server: Issued,
    client: Issued,
    other: Issued,
}

struct Issued {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Certificates {
    pub(crate) fn new() -> Result<Self, rcgen::Error> {
        let mut params = named("authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let issue = |name: &str| {
            let key = KeyPair::generate()?;
            let certificate = named(name)?.signed_by(&key, &authority)?;
            Ok::<_, rcgen::Error>(Issued { certificate, key })
        };
        let (server, client, other) = (issue("localhost")?, issue("client")?, issue("other")?);
        Ok(Self { server, client, other, authority })
    }

    /// The authority that issues the certificates of clients.
    pub(crate) fn roots(&self) -> Result<RootCertStore, rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone())?;
        Ok(roots)
    }

    pub(crate) fn server(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Box<dyn Error>> {
        let key = PrivateKeyDer::try_from(self.server.key.serialize_der())?;
        Ok((vec![self.server.certificate.der().clone()], key))
    }

    /// The DER encoding of the certificate of the client.
    pub(crate) fn client(&self) -> &[u8] {
        self.client.certificate.der()
    }

    /// Writes what `curl` needs.
    pub(crate) fn write_to(&self, folder: &Path) -> io::Result<()> {
        fs::write(folder.join("ca.pem"), self.authority.pem())?;
        for (name, issued) in [("client", &self.client), ("other", &self.other)] {
            fs::write(folder.join(format!("{name}.pem")), issued.certificate.pem())?;
            fs::write(folder.join(format!("{name}.key")), issued.key.serialize_pem())?;
        }
        Ok(())
    }
}

/// `curl` takes two certificates with one name for one that has signed itself.
fn named(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}
