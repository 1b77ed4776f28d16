//! TLS with Redis: the authorities that the client trusts, and the certificate that it sends.
//!
//! It uses rustls with AWS-LC, also if another backend checks signatures. The provider is passed explicitly, so a
//! default provider of the process has no effect.

use std::sync::Arc;

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::ConnectError;

/// The TLS settings. They have an effect only if the URL asks for TLS.
pub(super) struct Tls {
    pub(super) roots: Roots,
    identity: Option<Identity>,
}

/// The certificate of the client, with its chain, and its private key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Tls {
    pub(super) fn new() -> Self {
        Self { roots: Roots::bundled(), identity: None }
    }

    /// Sets the client certificate. Fails if the key and the certificate do not belong together.
    pub(super) fn with_identity(self, chain: &[u8], key: &[u8]) -> Result<Self, ConnectError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let (Ok(chain), Ok(key)) = (chain, PrivateKeyDer::from_pem_slice(key)) else {
            return Err(ConnectError::ClientCertificate);
        };
        let tls = Self { identity: Some(Identity { chain, key }), ..self };
        tls.client_config()?;
        Ok(tls)
    }

    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        let config = self.roots.client()?;
        let config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(Identity { chain, key }) => config
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|_| ConnectError::ClientCertificate)?,
        };
        Ok(Arc::new(config))
    }
}

/// The trusted root certificates.
#[derive(Clone)]
pub(super) struct Roots(Arc<RootCertStore>);

impl Roots {
    /// Returns the roots of Mozilla's programme.
    pub(super) fn bundled() -> Self {
        Self(Arc::new(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()))
    }

    /// Returns the roots that the operating system has now.
    pub(super) fn of_system() -> Result<Self, ConnectError> {
        let mut roots = RootCertStore::empty();
        // Some systems have certificates that cannot be read: they are left out.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(ConnectError::Roots("certificate of an authority on this system"));
        }
        Ok(Self(Arc::new(roots)))
    }

    /// Returns only the certificates of this PEM text.
    pub(super) fn of_pem(pem: &[u8]) -> Result<Self, ConnectError> {
        Self(Arc::new(RootCertStore::empty())).and_pem(pem)
    }

    /// Adds the certificates of this PEM text.
    pub(super) fn and_pem(self, pem: &[u8]) -> Result<Self, ConnectError> {
        let mut roots = Arc::unwrap_or_clone(self.0);
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            certificate
                .ok()
                .and_then(|certificate| roots.add(certificate).ok())
                .ok_or(ConnectError::Roots("certificate in PEM that can be read"))?;
        }
        if roots.len() == before {
            return Err(ConnectError::Roots("certificate in PEM"));
        }
        Ok(Self(Arc::new(roots)))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns a configuration to which the caller adds the client certificate, if there is one.
    pub(super) fn client(
        &self,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, ConnectError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| ConnectError::Tls)?;
        Ok(config.with_root_certificates(Arc::clone(&self.0)))
    }
}
